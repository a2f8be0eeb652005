//! Flags as existing manifests write them: one or two dashes, `=` or a space, booleans with or without a value.

use crate::{ConfigError, KeySpec, normal};

/// Flags in the order they were given, not yet checked against the keys that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Normal key and text.
    pub given: Vec<(String, String)>,
}

/// The key of `-key=value`, `--key` and the like, as normal text; `None` = no flag.
pub fn flag_name(argument: &str) -> Option<String> {
    let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    let name = bare.split('=').next().unwrap_or_default();
    (!name.is_empty() && !name.starts_with('-')).then(|| normal(name))
}

impl Flags {
    /// Reads a command line. `specs` tells which flags are booleans and so may stand alone.
    pub fn parse(arguments: &[String], specs: &[KeySpec]) -> Result<Self, ConfigError> {
        let mut given = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let key = flag_name(argument).ok_or_else(|| ConfigError::NotAFlag { argument: argument.clone() })?;
            let spec = specs.iter().find(|spec| normal(spec.key) == key || spec.aliases.contains(&key));
            let value = match argument.split_once('=') {
                Some((_, value)) => value.to_owned(),
                None if spec.is_some_and(|spec| spec.kind == "bool") => rest
                    .next_if(|next| matches!(next.as_str(), "true" | "false"))
                    .map_or_else(|| "true".to_owned(), Clone::clone),
                None => match (rest.next_if(|next| flag_name(next).is_none()), spec) {
                    (Some(value), _) => value.clone(),
                    (None, Some(spec)) => return Err(ConfigError::NoValue { key, expected: spec.kind }),
                    // Unknown: the check of keys says so and names the right one.
                    (None, None) => String::new(),
                },
            };
            given.push((key, value));
        }
        Ok(Self { given })
    }

    /// Takes a flag out; the last one counts.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let last = self.given.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        self.given.retain(|(name, _)| name != key);
        last
    }
}
