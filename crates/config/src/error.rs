//! What can be wrong with a configuration; every text says what was given, where, and what to do.

use std::fmt;
use std::path::PathBuf;

use flamelake_model::{Coded, ErrorCode};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Keys that do not exist.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    UnknownKeys(Vec<UnknownKey>),
    /// A value of the wrong type.
    #[error("{key} is {given} in {origin}, expected {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// The text that was given, quoted; asterisks for a secret.
        given: String,
        /// Where it was given.
        origin: String,
        /// What would be right.
        expected: String,
    },
    /// One source gives the same key twice, perhaps under two names.
    #[error("{key} is given twice in {origin}: as {first} and as {second}; keep one")]
    GivenTwice {
        /// The key.
        key: String,
        /// Where.
        origin: String,
        /// One spelling.
        first: String,
        /// The other spelling.
        second: String,
    },
    /// A file that cannot be read.
    #[error("read {path}")]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no YAML.
    #[error("{origin} is not valid YAML")]
    Yaml {
        /// The file.
        origin: String,
        /// Where and why.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// YAML of a shape that is no configuration.
    #[error("{path} in {origin} is {found}, expected {expected}")]
    Shape {
        /// The key.
        path: String,
        /// The file.
        origin: String,
        /// What stands there.
        found: &'static str,
        /// What should.
        expected: &'static str,
    },
    /// `${VAR}` without default, and the variable is not set.
    #[error(
        "{key} in {origin} needs the environment variable {variable}, which is not set; set it or write ${{{variable}:default}}"
    )]
    UnsetVariable {
        /// The key.
        key: String,
        /// The file.
        origin: String,
        /// The variable.
        variable: String,
    },
    /// `${` without `}` or without a name.
    #[error(
        "{key} in {origin} has a broken variable in {text:?}; write ${{VAR}} or ${{VAR:default}}, and $${{ for a plain ${{"
    )]
    BrokenVariable {
        /// The key.
        key: String,
        /// The file.
        origin: String,
        /// The text as written.
        text: String,
    },
    /// A word on the command line that is no flag.
    #[error("{argument:?} is not a flag; flags are written --key=value, see --help")]
    NotAFlag {
        /// The word.
        argument: String,
    },
    /// A flag at the end of the line that needs a value.
    #[error("flag --{key} needs a value: --{key}={expected}")]
    NoValue {
        /// The key.
        key: String,
        /// Its kind.
        expected: &'static str,
    },
    /// A tenant id in the runtime file that cannot be one.
    #[error("overrides of {tenant:?} in {origin}: {source}")]
    Tenant {
        /// As written.
        tenant: String,
        /// The file.
        origin: String,
        /// Why not.
        #[source]
        source: flamelake_model::TenantIdError,
    },
    /// A value that is read but makes no sense here, alone or with others.
    #[error("{0}")]
    Invalid(String),
}

impl Coded for ConfigError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

/// A key that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// As written.
    pub key: String,
    /// Where.
    pub origin: String,
    /// The existing key that looks most like it.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown key {} in {}", self.key, self.origin)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => f.write_str("; see --help for the keys that exist"),
        }
    }
}
