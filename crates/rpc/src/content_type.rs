//! The content types an RPC path takes, and what they say about a call (contract `wire.md` 8.1).

use http::{HeaderMap, header};

/// What a 415 answer advertises: everything that [`ContentType::parse`] takes, sorted.
pub(crate) const ACCEPT_POST: &str = "application/grpc, application/grpc+json, application/grpc+json; charset=utf-8, \
    application/grpc+proto, application/grpc-web, application/grpc-web+json, application/grpc-web+json; charset=utf-8, \
    application/grpc-web+proto, application/json, application/json; charset=utf-8, application/proto";

/// The three protocols of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Connect,
    Grpc,
    GrpcWeb,
}

/// A content type in its canonical spelling, with which the reply is labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub(crate) protocol: Protocol,
    pub(crate) canonical: &'static str,
    /// What the engine knows it by.
    pub(crate) engine: &'static str,
}

impl ContentType {
    /// `None`: answer 415. Parameters are not taken, but for `charset=utf-8` of JSON.
    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let (base, parameter) = text.split_once(';').map_or((text, None), |(base, rest)| (base, Some(rest.trim())));
        let base = base.trim().to_ascii_lowercase();
        let utf8 = parameter.map(is_utf8_charset);
        let (protocol, plain, with_charset) = match (base.as_str(), utf8) {
            (_, Some(false)) => return None,
            ("application/json", _) => (Protocol::Connect, "application/json", "application/json; charset=utf-8"),
            ("application/grpc+json", _) => {
                (Protocol::Grpc, "application/grpc+json", "application/grpc+json; charset=utf-8")
            }
            ("application/grpc-web+json", _) => {
                (Protocol::GrpcWeb, "application/grpc-web+json", "application/grpc-web+json; charset=utf-8")
            }
            (_, Some(true)) => return None,
            ("application/proto", None) => (Protocol::Connect, "application/proto", ""),
            ("application/grpc", None) => (Protocol::Grpc, "application/grpc", ""),
            ("application/grpc+proto", None) => (Protocol::Grpc, "application/grpc+proto", ""),
            ("application/grpc-web", None) => (Protocol::GrpcWeb, "application/grpc-web", ""),
            ("application/grpc-web+proto", None) => (Protocol::GrpcWeb, "application/grpc-web+proto", ""),
            _ => return None,
        };
        let canonical = if utf8.is_some() { with_charset } else { plain };
        Some(Self { protocol, canonical, engine: canonical })
    }

    /// Binary messages as OTLP over HTTP names them; everything else as [`ContentType::parse`].
    pub(crate) fn parse_otlp(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.trim();
        let names = ["application/x-protobuf", "application/protobuf"];
        match names.into_iter().find(|name| text.eq_ignore_ascii_case(name)) {
            Some(canonical) => Some(Self { protocol: Protocol::Connect, canonical, engine: "application/proto" }),
            None => Self::parse(headers),
        }
    }
}

fn is_utf8_charset(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or_default();
    name.trim().eq_ignore_ascii_case("charset") && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
}
