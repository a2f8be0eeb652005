//! Client capabilities ride as media-type parameters of `Accept`: `*/*;allow-utf8-labelnames=true` (contract `wire.md` 8.2).

use http::{HeaderMap, header};

/// What a client says it can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Label names need not be plain identifiers.
    pub(crate) utf8_label_names: bool,
}

impl Capabilities {
    /// Reads all `Accept` headers; the error is the text of the 400 answer.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, String> {
        let mut capabilities = Self::default();
        for value in headers.get_all(header::ACCEPT) {
            let text = value.to_str().map_err(|_| "accept header contains bytes outside of ASCII".to_owned())?;
            for range in split_outside_quotes(text, ',') {
                capabilities.read_range(range.trim()).ok_or_else(|| format!("unparsable accept header: {text}"))?;
            }
        }
        Ok(capabilities)
    }

    fn read_range(&mut self, range: &str) -> Option<()> {
        let mut parts = split_outside_quotes(range, ';');
        let media_type = parts.next().unwrap_or_default().trim();
        if media_type.is_empty() {
            return range.is_empty().then_some(());
        }
        media_type.splitn(2, '/').all(is_token).then_some(())?;
        for parameter in parts.map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=')?;
            let (name, value) = (name.trim(), unquote(value.trim())?);
            is_token(name).then_some(())?;
            self.utf8_label_names |= name.eq_ignore_ascii_case("allow-utf8-labelnames") && value == "true";
        }
        Some(())
    }
}

fn is_token(text: &str) -> bool {
    let separators = "()<>@,;:\\\"/[]?=";
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !separators.contains(byte as char))
}

fn unquote(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return is_token(value).then(|| value.to_owned());
    };
    let (mut text, mut escaped) = (String::new(), false);
    for (at, char) in rest.char_indices() {
        match char {
            _ if escaped => {
                text.push(char);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (at + 1 == rest.len()).then_some(text),
            _ => text.push(char),
        }
    }
    None
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char: char| {
        let splits = char == separator && !quoted;
        quoted ^= char == '"' && !escaped;
        escaped = quoted && char == '\\' && !escaped;
        splits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf8(accept: &'static str) -> Result<bool, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
        Capabilities::from_headers(&headers).map(|capabilities| capabilities.utf8_label_names)
    }

    #[test]
    fn only_the_value_true_counts() {
        assert_eq!(utf8("*/*;allow-utf8-labelnames=true"), Ok(true));
        assert_eq!(utf8("text/html, */* ; q=0.8; Allow-UTF8-LabelNames=\"true\""), Ok(true));
        assert_eq!(utf8("application/json;allow-utf8-labelnames=yes"), Ok(false));
        assert_eq!(utf8("application/json;odata=verbose"), Ok(false));
        assert_eq!(utf8(""), Ok(false));
    }

    #[test]
    fn garbage_is_refused() {
        for bad in ["a/b;c", "a/b;=d", ";q=1", "a b", "a/b;c=\"d", "a/b/c", "a/b;c=\"d\"e"] {
            assert!(utf8(bad).is_err(), "{bad}");
        }
    }
}
