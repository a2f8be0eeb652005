//! A YAML document as a flat list of dotted keys and texts.

use serde_yaml_ng::Value;

use crate::environment::ExpandError;
use crate::{ConfigError, Environment};

/// A scalar of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The path as written, parts joined by `.`.
    pub(crate) path: String,
    /// The value after variables were replaced; lists joined by `,`.
    pub(crate) text: String,
    /// The value as written, where it has variables.
    pub(crate) template: Option<String>,
}

/// Reads a document. Empty values (`key:`) count as not given.
pub(crate) fn entries(text: &str, origin: &str, environment: &Environment) -> Result<Vec<Entry>, ConfigError> {
    let document = parse(text, origin)?;
    let mut reader = Reader { origin, environment, entries: Vec::new() };
    reader.map("", &document)?;
    Ok(reader.entries)
}

/// Reads a document of any shape.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Value, ConfigError> {
    serde_yaml_ng::from_str(text).map_err(|source| ConfigError::Yaml { origin: origin.to_owned(), source })
}

/// A part of a document that has been parsed already.
pub(crate) fn entries_of(value: &Value, origin: &str, environment: &Environment) -> Result<Vec<Entry>, ConfigError> {
    let mut reader = Reader { origin, environment, entries: Vec::new() };
    reader.map("", value)?;
    Ok(reader.entries)
}

struct Reader<'a> {
    origin: &'a str,
    environment: &'a Environment,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn map(&mut self, path: &str, value: &Value) -> Result<(), ConfigError> {
        let map = match value {
            Value::Null => return Ok(()),
            Value::Mapping(map) => map,
            other => return Err(self.shape(path, other, "a block of keys")),
        };
        for (key, value) in map {
            let key = scalar(key).ok_or_else(|| self.shape(path, key, "a key"))?;
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            self.value(path, value)?;
        }
        Ok(())
    }

    fn value(&mut self, path: String, value: &Value) -> Result<(), ConfigError> {
        let written = match value {
            Value::Mapping(_) | Value::Null => return self.map(&path, value),
            // Rules and the like: what they hold is read by their own type, and their `$1` are no variables.
            Value::Sequence(items) if items.iter().any(Value::is_mapping) => {
                let text = serde_json::to_string(value)
                    .map_err(|_| self.shape(&path, value, "a list of blocks with texts as keys"))?;
                self.entries.push(Entry { path, text, template: None });
                return Ok(());
            }
            Value::Sequence(items) => items
                .iter()
                .map(|item| scalar(item).ok_or_else(|| self.shape(&path, item, "a list of plain values")))
                .collect::<Result<Vec<_>, _>>()?
                .join(","),
            other => scalar(other).ok_or_else(|| self.shape(&path, other, "a plain value"))?,
        };
        let text = self.environment.expand(&written).map_err(|error| self.expand_error(&path, &written, error))?;
        let template = (text != written).then_some(written);
        self.entries.push(Entry { path, text, template });
        Ok(())
    }

    fn expand_error(&self, key: &str, text: &str, error: ExpandError) -> ConfigError {
        let (key, origin) = (key.to_owned(), self.origin.to_owned());
        match error {
            ExpandError::Unset(variable) => ConfigError::UnsetVariable { key, origin, variable },
            ExpandError::Broken => ConfigError::BrokenVariable { key, origin, text: text.to_owned() },
        }
    }

    fn shape(&self, path: &str, found: &Value, expected: &'static str) -> ConfigError {
        let path = if path.is_empty() { "the document" } else { path };
        ConfigError::Shape { path: path.to_owned(), origin: self.origin.to_owned(), found: name_of(found), expected }
    }
}

/// A plain value as text.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a block of keys",
        Value::Tagged(_) => "a tagged value",
    }
}
