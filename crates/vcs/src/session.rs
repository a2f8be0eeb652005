//! A person's GitHub token, sealed: what the cookie holds.
//!
//! AES-256-GCM with a random nonce; the key is derived from the session secret for each tenant, so that a session opens for its tenant alone.
//! Text: URL-safe base64 of a version byte, the nonce and the sealed JSON.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flamelake_config::Secret;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

/// Its name, by the contract.
pub(crate) const COOKIE: &str = "pyroscope_git_session";
const VERSION: u8 = 1;
/// A cookie that is longer is none of ours: browsers keep 4096 bytes.
const TEXT_BYTES_MAX: usize = 4096;
const CONTEXT: &[u8] = b"flamelake vcs session 1";

/// What GitHub gave a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    #[serde(rename = "t")]
    pub(crate) access_token: String,
    /// Unix milliseconds; 0 = never.
    #[serde(rename = "e", default)]
    pub(crate) expires_at_ms: i64,
    /// Empty: it cannot be renewed.
    #[serde(rename = "r", default)]
    pub(crate) refresh_token: String,
    /// Unix milliseconds; 0 = never.
    #[serde(rename = "f", default)]
    pub(crate) refresh_expires_at_ms: i64,
}

/// Without tokens.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// Seals and opens sessions.
pub(crate) struct Sealer {
    secret: Secret,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

impl Sealer {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret }
    }

    pub(crate) fn seal(&self, tenant: &TenantId, session: &Session) -> Result<String, StatusError> {
        let internal = |what: &str| StatusError::internal(format!("seal a session: {what}"));
        let mut bytes = serde_json::to_vec(session).map_err(|error| internal(&error.to_string()))?;
        let key = self.key(tenant)?;
        let nonce = key.seal_in_place_append_tag(Aad::from(CONTEXT), &mut bytes);
        let nonce = nonce.map_err(|_| internal("the cipher refused"))?;
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        let sealed = [&[VERSION][..], nonce, &bytes].concat();
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// `None`: sealed by nobody, for somebody else, or with another secret.
    pub(crate) fn open(&self, tenant: &TenantId, text: &str) -> Result<Option<Session>, StatusError> {
        if text.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
        let Ok(sealed) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some((&VERSION, sealed)) = sealed.split_first() else { return Ok(None) };
        let Some((nonce, sealed)) = sealed.split_at_checked(NONCE_LEN) else { return Ok(None) };
        let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else { return Ok(None) };
        let mut bytes = sealed.to_vec();
        let opened = self.key(tenant)?.open_in_place(nonce, Aad::from(CONTEXT), &mut bytes);
        Ok(opened.ok().and_then(|json| serde_json::from_slice(json).ok()))
    }

    fn key(&self, tenant: &TenantId) -> Result<RandomizedNonceKey, StatusError> {
        let derived = || {
            let mut key = [0; 32];
            let pseudorandom = Salt::new(HKDF_SHA256, CONTEXT).extract(self.secret.expose().as_bytes());
            pseudorandom.expand(&[tenant.as_str().as_bytes()], KeyBytes)?.fill(&mut key)?;
            RandomizedNonceKey::new(&AES_256_GCM, &key)
        };
        derived().map_err(|_| StatusError::internal("derive the key of a session"))
    }
}

/// The sealed session of a request; `unauthenticated` without one.
pub(crate) fn from_headers(headers: &HeaderMap) -> Result<&str, StatusError> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let own = cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.trim().trim_matches('"'));
    own.ok_or_else(|| {
        StatusError::new(ErrorCode::Unauthenticated, format!("log in at GitHub first: there is no cookie {COOKIE}"))
    })
}

/// A cookie as a page may set it; see [`set_cookie`] for the one that we set.
pub(crate) fn cookie(sealed: &str, seconds: Option<i64>) -> String {
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    format!("{COOKIE}={sealed}; Path=/; SameSite=Lax{age}")
}

/// The header that gives the cookie to a browser, out of reach of scripts.
pub(crate) fn set_cookie(cookie: &str, is_https: bool) -> Result<HeaderMap, StatusError> {
    let secure = if is_https { "; Secure" } else { "" };
    let mut value = HeaderValue::try_from(format!("{cookie}; HttpOnly{secure}"))
        .map_err(|_| StatusError::internal("a cookie that is no header"))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::SET_COOKIE, value)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            access_token: "ghu_token".to_owned(),
            expires_at_ms: 7,
            refresh_token: "ghr_token".to_owned(),
            refresh_expires_at_ms: 9,
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_session_opens_for_its_tenant_and_with_its_secret_alone() {
        let sealer = Sealer::new(Secret::new("s".repeat(32)));
        let sealed = sealer.seal(&tenant("a"), &session()).unwrap();
        assert_eq!(sealer.open(&tenant("a"), &sealed).unwrap(), Some(session()));
        assert_ne!(sealer.seal(&tenant("a"), &session()).unwrap(), sealed, "a nonce is used once");
        assert_eq!(sealer.open(&tenant("b"), &sealed).unwrap(), None);
        assert_eq!(Sealer::new(Secret::new("t".repeat(32))).open(&tenant("a"), &sealed).unwrap(), None);
        let clear = format!("{:?} {sealed}", session());
        assert!(!clear.contains("token"));
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(&tenant("a"), &URL_SAFE_NO_PAD.encode(&changed)).unwrap(), None, "byte {at}");
            assert_eq!(sealer.open(&tenant("a"), &URL_SAFE_NO_PAD.encode(&bytes[..at])).unwrap(), None, "cut at {at}");
        }
        for wrong in ["", "x", "not base64!", &"A".repeat(5000)] {
            assert_eq!(sealer.open(&tenant("a"), wrong).unwrap(), None);
        }
    }

    #[test]
    fn cookies_are_found_among_others_and_given_out_of_reach() {
        let headers = |text: &str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(text).unwrap())]);
        let found = |text: &str| from_headers(&headers(text)).map(str::to_owned);
        assert_eq!(found("a=b; pyroscope_git_session=xyz; c=d").unwrap(), "xyz");
        assert_eq!(found("pyroscope_git_session=\"xyz\"").unwrap(), "xyz");
        assert_eq!(found("xpyroscope_git_session=1").unwrap_err().code, ErrorCode::Unauthenticated);
        assert_eq!(from_headers(&HeaderMap::new()).unwrap_err().code, ErrorCode::Unauthenticated);
        let cookie = cookie("xyz", Some(60));
        assert_eq!(cookie, "pyroscope_git_session=xyz; Path=/; SameSite=Lax; Max-Age=60");
        let header = set_cookie(&cookie, true).unwrap();
        assert_eq!(header[header::SET_COOKIE], format!("{cookie}; HttpOnly; Secure"));
    }
}
