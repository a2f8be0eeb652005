//! GNU build ids as profiles and uploads write them.

use std::fmt;

use serde::Deserialize;

const DIGITS_MAX: usize = 128;

/// Lower-case hex, 2 to 128 digits; safe in object names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BuildId(String);

impl BuildId {
    /// `None` unless it is hex of a sane length.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = (2..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| Self(text.to_ascii_lowercase()))
    }

    /// As a mapping has it: hex, or the JSON that labels of the service's version were folded into (contract `ingest.md` 1.8).
    pub(crate) fn of_mapping(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Folded {
            #[serde(default)]
            build_id: String,
        }
        if text.starts_with('{') {
            return Self::parse(&serde_json::from_str::<Folded>(text).ok()?.build_id);
        }
        Self::parse(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_mappings() {
        let of = |text| BuildId::of_mapping(text).map(|id| id.to_string());
        assert_eq!(of("AB12"), Some("ab12".to_owned()));
        assert_eq!(of(r#"{"repository":"r","build_id":"ab12"}"#), Some("ab12".to_owned()));
        for bad in ["", "a", "../ab", "xy", r#"{"repository":"r"}"#, r#"{"build_id":"#, &"a".repeat(129)] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
