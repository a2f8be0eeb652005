//! One file and how it is sent: zipped as it was built, once to each browser, under a policy that forbids all but ourselves.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The files, sorted by path.
pub(crate) static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Scripts and styles of our own files alone, no other host, no frame of others. `data:` and `blob:` are pictures and files that the page makes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// Names of assets hold a hash of what is in them.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    /// Below `web/dist`.
    pub(crate) path: &'static str,
    /// Of the plain bytes.
    pub(crate) hash: &'static str,
    pub(crate) plain: &'static [u8],
    pub(crate) zipped: Option<&'static [u8]>,
}

impl File {
    pub(crate) fn find(files: &'static [File], path: &str) -> Option<&'static File> {
        files.iter().find(|file| file.path == path)
    }

    /// The whole answer; 304 if the browser has it.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response {
        let zipped = self.zipped.filter(|_| takes_gzip(request));
        // Other bytes, other tag.
        let tag = format!("\"{}{}\"", self.hash, if zipped.is_some() { "-gz" } else { "" });
        let known = has(request, &tag);
        let body = if known { Body::empty() } else { Body::from(zipped.unwrap_or(self.plain)) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        let cache = if self.path.starts_with("assets/") { FOR_EVER } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (header::ETAG, tag)));
        if known {
            return response;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(self.path)));
        if zipped.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// Whether gzip is among the encodings, and not with weight 0.
fn takes_gzip(request: &HeaderMap) -> bool {
    items(request, &header::ACCEPT_ENCODING).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0));
        named && !refused
    })
}

/// Whether `If-None-Match` names this tag; weak tags compare like strong ones.
fn has(request: &HeaderMap, tag: &str) -> bool {
    items(request, &header::IF_NONE_MATCH).any(|item| item == "*" || item.trim_start_matches("W/") == tag)
}

fn items<'a>(request: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    request
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: File =
        File { path: "assets/index-1.js", hash: "00ff", plain: b"let a = 1;", zipped: Some(b"zipped") };
    const PAGE: File = File { path: "index.html", hash: "00aa", plain: b"<!doctype html>", zipped: None };

    fn request(headers: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    /// Status, tag, encoding and cache of an answer.
    fn check(file: File, headers: &[(header::HeaderName, &'static str)], wanted: &str) {
        let answer = file.answer(&request(headers));
        let get = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        let got = [answer.status().as_str(), get("etag"), get("content-encoding"), get("cache-control")].join(" ");
        assert_eq!(got, wanted);
    }

    #[test]
    fn scripts_are_sent_zipped_and_kept_for_ever() {
        let gzip = (header::ACCEPT_ENCODING, "br, gzip;q=0.8");
        check(SCRIPT, &[gzip], "200 \"00ff-gz\" gzip public, max-age=31536000, immutable");
        check(SCRIPT, &[], "200 \"00ff\" - public, max-age=31536000, immutable");
        check(SCRIPT, &[(header::ACCEPT_ENCODING, "gzip;q=0")], "200 \"00ff\" - public, max-age=31536000, immutable");
    }

    #[test]
    fn the_page_is_asked_for_each_time_and_sent_once() {
        check(PAGE, &[(header::ACCEPT_ENCODING, "gzip")], "200 \"00aa\" - no-cache");
        check(PAGE, &[(header::IF_NONE_MATCH, "\"x\", W/\"00aa\"")], "304 \"00aa\" - no-cache");
        check(PAGE, &[(header::IF_NONE_MATCH, "\"x\"")], "200 \"00aa\" - no-cache");
        check(SCRIPT, &[(header::IF_NONE_MATCH, "\"00ff-gz\"")], "200 \"00ff\" - public, max-age=31536000, immutable");
    }

    #[test]
    fn every_answer_carries_the_policy() {
        for file in [SCRIPT, PAGE] {
            let answer = file.answer(&HeaderMap::new());
            let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        assert_eq!(SCRIPT.answer(&HeaderMap::new()).headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    }
}
