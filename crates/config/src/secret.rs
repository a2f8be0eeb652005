//! Text that no print may show.

use std::fmt;

/// A password or key. `Debug` and `Display` print asterisks; only [`Secret::expose`] gives it away.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

const MASK: &str = "********";

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Was nothing given?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { MASK })
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// URLs without what stands before their `@`: people write passwords there.
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after.find(|c: char| "/?#, ".contains(c)).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                shown.push_str(MASK);
                &after[at..]
            }
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_passwords() {
        for (given, shown) in [
            ("https://a.org/x@y", "https://a.org/x@y"),
            ("https://ann:canary@a.org/x", "https://********@a.org/x"),
            ("https://canary@a.org:80,http://b.org", "https://********@a.org:80,http://b.org"),
            ("http://b.org, https://ann:can@ary@a.org", "http://b.org, https://********@a.org"),
            ("no url: ann@a.org", "no url: ann@a.org"),
        ] {
            assert_eq!(without_passwords(given), shown);
        }
    }
}
