//! Settings: one YAML file and flags, typed keys that document themselves, and the limits of tenants.
//!
//! A crate declares its keys with [`section!`]; the binary composes the sections. Knows no role and no network, starts no
//! thread: whoever owns the clock calls [`TenantLimits::reload`].

mod section;
mod parse;
mod relabel;
mod usage_group;
mod recording_rules;
mod byte_size;
mod duration;
mod secret;
mod values;
mod flags;
mod yaml;
mod environment;
mod nearest;
mod reference;
mod limits;
mod tenant_limits;
mod error;

pub use byte_size::ByteSize;
pub use duration::{format_duration, parse_duration};
pub use environment::Environment;
pub use error::{ConfigError, UnknownKey};
pub use flags::{Flags, flag_name};
pub use limits::{Limits, LimitsSource};
pub use nearest::nearest;
pub use parse::FromText;
pub use reference::{Show, help, markdown, show};
pub use relabel::RulesPosition;
pub use secret::{Secret, without_passwords};
pub use section::{KeySpec, Section};
pub use tenant_limits::TenantLimits;
pub use values::{Values, normal};

/// What the expansion of [`section!`] uses.
#[doc(hidden)]
pub mod __private {
    pub use crate::section::{aliases, join_doc};
}

#[cfg(test)]
mod tests;
