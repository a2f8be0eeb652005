//! Prometheus vector selectors: which series a question is about (contract `query.md` section 3).

mod parse;
mod regex;

use std::fmt;
use std::sync::Arc;

use self::regex::Pattern;
pub(crate) use self::regex::compile_anchored;
use crate::{Labels, StatusError};

/// Longest selector.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most matchers of one selector.
const MATCHERS_MAX: usize = 512;
/// Most regular expressions of one selector that are more than a list of literals: each may cost megabytes.
const REGEXES_MAX: usize = 64;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl MatchOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
        }
    }
}

/// One condition on one label. A missing label counts as the empty text.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    /// Of [`MatchOp::Matches`] and [`MatchOp::MatchesNot`].
    pattern: Option<Pattern>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// Builds a matcher; `invalid_argument` when the value is no regular expression and should be one.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, StatusError> {
        if value.len() > TEXT_BYTES_MAX {
            return Err(StatusError::invalid_argument(format!(
                "a matcher's value is longer than {TEXT_BYTES_MAX} bytes"
            )));
        }
        let pattern = match op {
            MatchOp::Matches | MatchOp::MatchesNot => Some(compile(value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same condition on another label.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text or regular expression that it compares with.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Does a label with this value match? Empty = the label is missing.
    pub fn matches_value(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Matches, Some(pattern)) => pattern.is_match(value),
            (MatchOp::MatchesNot, Some(pattern)) => !pattern.is_match(value),
            (MatchOp::Matches | MatchOp::MatchesNot, None) => false,
        }
    }

    /// Does it need the regular expression engine?
    fn is_costly(&self) -> bool {
        matches!(self.pattern, Some(Pattern::Regex(_)))
    }
}

fn compile(pattern: &str) -> Result<Pattern, StatusError> {
    Pattern::compile(pattern)
        .map_err(|error| StatusError::invalid_argument(format!("error parsing regexp {pattern:?}: {error}")))
}

/// A conjunction of label matchers. The default one matches everything. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    matchers: Arc<[Matcher]>,
}

impl Selector {
    /// Parses a selector; `invalid_argument` with the position when it is none.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(StatusError::invalid_argument(format!("the selector is longer than {TEXT_BYTES_MAX} bytes")));
        }
        parse::parse(text).map(Self::from_matchers)
    }

    /// From matchers.
    pub fn from_matchers(matchers: Vec<Matcher>) -> Self {
        Self { matchers: matchers.into() }
    }

    /// Everything, as `{}`.
    pub fn all() -> Self {
        Self::default()
    }

    /// Its matchers in the order they were written.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// No condition at all?
    pub fn is_empty(&self) -> bool {
        self.matchers.is_empty()
    }

    /// Both must match.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self };
        }
        let mut matchers = self.matchers.to_vec();
        for matcher in other.matchers.iter().filter(|matcher| !self.matchers.contains(matcher)) {
            matchers.push(matcher.clone());
        }
        Self::from_matchers(matchers)
    }

    /// The same, and the label `name` must have this value.
    #[must_use]
    pub fn with_equal(self, name: &str, value: &str) -> Self {
        let (name, value) = (name.into(), value.into());
        self.and(Self::from_matchers(vec![Matcher { name, op: MatchOp::Equal, value, pattern: None }]))
    }

    /// Does the label set match? A missing label counts as empty.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_value(labels.value_or_empty(matcher.name())))
    }

    /// Can a label set match in which the label `name` has this value? For skipping whole partitions.
    pub fn admits(&self, name: &str, value: &str) -> bool {
        self.matchers.iter().filter(|matcher| matcher.name() == name).all(|matcher| matcher.matches_value(value))
    }
}

impl fmt::Display for Selector {
    /// `{a="b",c=~"d"}`; parses back to an equal selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, matcher) in self.matchers.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            f.write_str(comma)?;
            if parse::is_plain_name(&matcher.name) {
                f.write_str(&matcher.name)?;
            } else {
                f.write_str(&quote(&matcher.name))?;
            }
            write!(f, "{}{}", matcher.op.as_str(), quote(&matcher.value))?;
        }
        f.write_str("}")
    }
}

/// Reads a string in quotes, as Go writes them, from where a text begins: its value, and how many bytes it takes.
///
/// # Errors
/// What is wrong with it.
pub fn unquote(text: &str) -> Result<(String, usize), String> {
    parse::string(text)
}

/// A text in quotes, as [`unquote`] reads it.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
