//! The five-part profile type id (contract `query.md` section 3).

use std::fmt;

use crate::{Coded, ErrorCode};

/// `name:sample_type:sample_unit:period_type:period_unit`. Period parts may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileType {
    /// The profile's name, e.g. `process_cpu` (label `__name__`).
    pub name: String,
    /// e.g. `cpu` (label `__type__`).
    pub sample_type: String,
    /// e.g. `nanoseconds` (label `__unit__`).
    pub sample_unit: String,
    /// e.g. `cpu` (label `__period_type__`), empty if the pprof has none.
    pub period_type: String,
    /// e.g. `nanoseconds` (label `__period_unit__`), empty if the pprof has none.
    pub period_unit: String,
}

impl ProfileType {
    /// Parses an id of five parts; a sixth part is accepted and dropped, as the contract says. No part is checked for emptiness.
    pub fn parse(id: &str) -> Result<Self, ProfileTypeError> {
        let parts: Vec<&str> = id.split(':').collect();
        let (5 | 6, [name, sample_type, sample_unit, period_type, period_unit, ..]) = (parts.len(), parts.as_slice())
        else {
            return Err(ProfileTypeError { parts: parts.len(), id: id.to_owned() });
        };
        Ok(Self {
            name: (*name).to_owned(),
            sample_type: (*sample_type).to_owned(),
            sample_unit: (*sample_unit).to_owned(),
            period_type: (*period_type).to_owned(),
            period_unit: (*period_unit).to_owned(),
        })
    }
}

impl fmt::Display for ProfileType {
    /// The five-part id, equal to the label `__profile_type__`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}:{}", self.name, self.sample_type, self.sample_unit, self.period_type, self.period_unit)
    }
}

/// An id with too few or too many parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile-type selection must be of the form <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got({parts}): {id:?}"
)]
pub struct ProfileTypeError {
    /// How many parts there were.
    pub parts: usize,
    /// The id as given.
    pub id: String,
}

impl Coded for ProfileTypeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}
