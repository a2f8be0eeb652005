//! The given values in layers: defaults (in the sections) below the file below the flags. Each value knows where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::yaml::{self, Entry};
use crate::{ConfigError, Environment, Flags, FromText, KeySpec, UnknownKey, nearest};

/// A key as all keys are compared: lower case, `-` for `_`.
pub fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

/// What was given for which key.
#[derive(Clone, Debug)]
pub struct Values {
    specs: Vec<KeySpec>,
    /// Every accepted name, normal, and the key it stands for.
    names: BTreeMap<String, &'static str>,
    given: BTreeMap<&'static str, Given>,
}

#[derive(Clone)]
struct Given {
    text: String,
    /// The spelling that was used.
    name: String,
    origin: String,
    /// With variables, before they were replaced.
    template: Option<String>,
    /// The text is the name of a file that holds the value.
    in_file: bool,
}

/// Without the text, which may be a secret.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.name, self.origin)
    }
}

const FILE_SUFFIX: &str = "-file";

impl Values {
    /// No values yet, for these keys.
    pub fn new(specs: Vec<KeySpec>) -> Self {
        let mut names = BTreeMap::new();
        for spec in &specs {
            let spellings = spec.aliases.iter().map(|alias| normal(alias)).chain([normal(spec.key)]);
            for name in spellings {
                if spec.secret {
                    names.insert(format!("{name}{FILE_SUFFIX}"), spec.key);
                }
                names.insert(name, spec.key);
            }
        }
        Self { specs, names, given: BTreeMap::new() }
    }

    /// The keys that exist.
    pub fn specs(&self) -> &[KeySpec] {
        &self.specs
    }

    /// Lays a file over what is there.
    pub fn add_file(&mut self, path: &Path, environment: &Environment) -> Result<(), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::ReadFile { path: path.to_owned(), source })?;
        self.add_yaml(&text, &path.display().to_string(), environment)
    }

    /// Lays a YAML document over what is there; `origin` names it in errors.
    pub fn add_yaml(&mut self, text: &str, origin: &str, environment: &Environment) -> Result<(), ConfigError> {
        let entries = yaml::entries(text, origin, environment)?;
        self.add(entries, |_| origin.to_owned(), true)
    }

    /// Lays flags over what is there; of repeated ones the last counts.
    pub fn add_flags(&mut self, flags: Flags) -> Result<(), ConfigError> {
        let entries = flags.given.into_iter().map(|(path, text)| Entry { path, text, template: None }).collect();
        self.add(entries, |key| format!("flag --{key}"), false)
    }

    pub(crate) fn add(
        &mut self,
        entries: Vec<Entry>,
        origin: impl Fn(&str) -> String,
        unique: bool,
    ) -> Result<(), ConfigError> {
        let mut layer: BTreeMap<&'static str, Given> = BTreeMap::new();
        let mut unknown = Vec::new();
        for Entry { path, text, template } in entries {
            let name = normal(&path);
            let origin = origin(&name);
            let Some(key) = self.names.get(&name).copied() else {
                unknown.push(UnknownKey { nearest: self.nearest(&name), key: path, origin });
                continue;
            };
            let in_file = name.ends_with(FILE_SUFFIX) && self.is_secret(key);
            let given = Given { text, name: path, origin, template, in_file };
            if let Some(before) = layer.get(key).filter(|_| unique) {
                return Err(given_twice(key, before, &given));
            }
            layer.insert(key, given);
        }
        if !unknown.is_empty() {
            return Err(ConfigError::UnknownKeys(unknown));
        }
        self.given.extend(layer);
        Ok(())
    }

    fn is_secret(&self, key: &str) -> bool {
        self.specs.iter().any(|spec| spec.secret && spec.key == key)
    }

    fn nearest(&self, name: &str) -> Option<String> {
        // The proper keys first: an alias is only offered when it fits better.
        nearest(name, self.specs.iter().map(|spec| spec.key).chain(self.names.keys().map(String::as_str)))
            .map(str::to_owned)
    }

    /// The value given for `key`, else `default`.
    pub fn get<T: FromText>(&self, key: &str, default: T) -> Result<T, ConfigError> {
        let Some(given) = self.given.get(key) else { return Ok(default) };
        let text = given.read()?;
        T::from_text(&text).ok_or_else(|| ConfigError::BadValue {
            key: key.to_owned(),
            given: if T::SECRET || given.template.is_some() { "wrong".to_owned() } else { format!("{text:?}") },
            origin: given.origin.clone(),
            expected: T::EXPECTED.to_owned(),
        })
    }

    /// Was the key given anywhere?
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Where the key was given, for errors.
    pub fn origin(&self, key: &str) -> String {
        self.given.get(key).map_or_else(|| "the defaults".to_owned(), |given| given.origin.clone())
    }

    /// The text with its variables unreplaced, if it has any.
    pub(crate) fn template(&self, key: &str) -> Option<&str> {
        self.given.get(key)?.template.as_deref()
    }
}

impl Given {
    fn read(&self) -> Result<String, ConfigError> {
        if !self.in_file {
            return Ok(self.text.clone());
        }
        let path = std::path::PathBuf::from(&self.text);
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::ReadFile { path, source })?;
        // Editors end files with a line feed; no secret does.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn given_twice(key: &str, before: &Given, again: &Given) -> ConfigError {
    ConfigError::GivenTwice {
        key: key.to_owned(),
        origin: again.origin.clone(),
        first: before.name.clone(),
        second: again.name.clone(),
    }
}
