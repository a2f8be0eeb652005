//! The token of a request: `Authorization: Bearer TOKEN`, or `Basic` with the token as password, as agents send it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flamelake_model::StatusError;
use http::{HeaderMap, header};

use super::unauthenticated;

/// Longer ones are none of ours.
pub(super) const TOKEN_BYTES_MAX: usize = 512;

/// The only token; the error tells what is missing and never what was sent.
pub(super) fn token(headers: &HeaderMap) -> Result<Vec<u8>, StatusError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| {
        unauthenticated("a token is needed: send Authorization: Bearer TOKEN, or Basic with the token as password")
    })?;
    if values.next().is_some() {
        return Err(unauthenticated("more than one Authorization header"));
    }
    parse(value.as_bytes()).ok_or_else(|| {
        unauthenticated(
            "the Authorization header is not understood: send Bearer TOKEN, or Basic with the token as password",
        )
    })
}

/// `None` for anything that is no token of either kind.
pub(super) fn parse(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    let token = if scheme.eq_ignore_ascii_case(b"bearer") {
        rest.to_vec()
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        // User, colon, token: a third more as base64.
        let pair = (rest.len() <= 4 * TOKEN_BYTES_MAX).then(|| STANDARD.decode(rest).ok()).flatten()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        pair[colon + 1..].to_vec()
    } else {
        return None;
    };
    (!token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_bring_the_token() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            // user:abc, :abc, user:a:c
            ("Basic dXNlcjphYmM=", Some("abc")),
            ("BASIC OmFiYw==", Some("abc")),
            ("Basic dXNlcjphOmM=", Some("a:c")),
            // user (no colon), user: (no password)
            ("Basic dXNlcg==", None),
            ("Basic dXNlcjo=", None),
            ("Basic !!!", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Digest abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(parse(value.as_bytes()).as_deref(), token.map(str::as_bytes), "{value}");
        }
        assert!(parse(format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX + 1)).as_bytes()).is_none());
    }

    #[test]
    fn errors_do_not_repeat_what_was_sent() {
        let mut headers = HeaderMap::new();
        assert!(token(&headers).unwrap_err().message.contains("Authorization"));
        headers.append(header::AUTHORIZATION, http::HeaderValue::from_static("Token s3cret"));
        assert!(!token(&headers).unwrap_err().message.contains("s3cret"));
        headers.append(header::AUTHORIZATION, http::HeaderValue::from_static("Bearer other"));
        assert_eq!(token(&headers).unwrap_err().message, "more than one Authorization header");
    }

    #[test]
    fn fuzz_authorization() {
        let corpus = [&b"Bearer abc"[..], b"Basic dXNlcjphYmM=", b"basic OmFiYw=="].map(<[u8]>::to_vec);
        flamelake_testkit::fuzz::run("fuzz_authorization", &corpus, |input| {
            if let Some(token) = parse(input) {
                assert!(!token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
            }
        });
    }
}
