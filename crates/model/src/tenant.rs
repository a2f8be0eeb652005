//! Who owns the data: a checked tenant id, part of every path, key and request type (promise P4).

use std::fmt;
use std::sync::Arc;

use crate::{Coded, ErrorCode};

/// A valid tenant id: 1 to 150 bytes of `A-Za-z0-9!-_.*'()`, not `.` or `..` (contract `ingest.md` section 6).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The longest allowed id.
    pub const BYTES_MAX: usize = 150;

    /// The tenant of every request while multi-tenancy is off.
    pub fn anonymous() -> Self {
        Self(Arc::from("anonymous"))
    }

    /// Checks one id.
    pub fn parse(text: &str) -> Result<Self, TenantIdError> {
        if text.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(TenantIdError::TooLong { bytes: text.len() });
        }
        if let Some(char) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "!-_.*'()".contains(*c))) {
            return Err(TenantIdError::UnsupportedChar { char });
        }
        if text == "." || text == ".." {
            return Err(TenantIdError::Reserved);
        }
        Ok(Self(Arc::from(text)))
    }

    /// Checks the `a|b` list of an `X-Scope-OrgID` header: sorted, without repeats; metadata after `:` is cut off each id.
    pub fn parse_list(header: &str) -> Result<Vec<Self>, TenantIdError> {
        let mut tenants = header
            .split('|')
            .map(|part| Self::parse(part.split(':').next().unwrap_or_default().trim()))
            .collect::<Result<Vec<_>, _>>()?;
        tenants.sort();
        tenants.dedup();
        Ok(tenants)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

/// Why a text is no tenant id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// Nothing was given.
    #[error("no org id")]
    Empty,
    /// Longer than [`TenantId::BYTES_MAX`].
    #[error("tenant id is {bytes} bytes long, at most {} are allowed", TenantId::BYTES_MAX)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character outside the allowed set.
    #[error("tenant id contains the unsupported character {char:?}; allowed are letters, digits and !-_.*'()")]
    UnsupportedChar {
        /// The first such character.
        char: char,
    },
    /// `.` or `..`.
    #[error("tenant id must not be '.' or '..'")]
    Reserved,
}

impl Coded for TenantIdError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Unauthenticated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_unique() {
        let ids = TenantId::parse_list("b|a|b:k=v").unwrap();
        assert_eq!(ids.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn bad_ids_are_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "|", "a|", &"x".repeat(151)] {
            assert!(TenantId::parse_list(bad).is_err(), "{bad:?}");
        }
    }
}
