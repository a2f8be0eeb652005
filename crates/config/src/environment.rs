//! `${VAR}`, `${VAR:default}` and `${VAR:-default}` in the values of a file.

use std::collections::BTreeMap;
use std::fmt;

/// Where variables come from: the process, or a table in tests.
#[derive(Clone)]
pub enum Environment {
    /// The variables of this process.
    Process,
    /// These only.
    Table(BTreeMap<String, String>),
}

/// Why a text could not be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExpandError {
    /// Not set and no default.
    Unset(String),
    /// No closing brace, or no name.
    Broken,
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Process => std::env::var(name).ok(),
            Self::Table(table) => table.get(name).cloned(),
        }
    }

    /// Replaces every variable of `text`; an empty variable counts as unset where a default is given.
    pub(crate) fn expand(&self, text: &str) -> Result<String, ExpandError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let escaped = rest[..at].ends_with('$');
            if escaped {
                out.push_str(&rest[..at]);
                out.push('{');
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let body = &rest[at + 2..];
            let end = body.find('}').ok_or(ExpandError::Broken)?;
            out.push_str(&self.value_of(&body[..end])?);
            rest = &body[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value_of(&self, body: &str) -> Result<String, ExpandError> {
        let (name, default) = match body.split_once(':') {
            Some((name, default)) => (name, Some(default.strip_prefix('-').unwrap_or(default))),
            None => (body, None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(ExpandError::Broken);
        }
        match (self.get(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(ExpandError::Unset(name.to_owned())),
        }
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Table(table) => f.debug_list().entries(table.keys()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let environment =
            Environment::Table([("A", "1"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("${A}", Ok("1")),
            ("x${A}y${A}", Ok("x1y1")),
            ("${B:two}", Ok("two")),
            ("${B:-two}", Ok("two")),
            ("${B:}", Ok("")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:full}", Ok("full")),
            ("${B:http://host:1}", Ok("http://host:1")),
            ("$${A}", Ok("${A}")),
            ("$A", Ok("$A")),
            ("${B}", Err(ExpandError::Unset("B".to_owned()))),
            ("${A", Err(ExpandError::Broken)),
            ("${}", Err(ExpandError::Broken)),
        ] {
            assert_eq!(environment.expand(text), expected.map(str::to_owned), "{text}");
        }
    }
}
