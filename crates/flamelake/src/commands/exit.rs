//! Exit codes of the commands, for scripts: 0 good, 1 failed, 2 wrong usage (clap's), 3 nothing found, 4 a check that did not hold.

use std::process::ExitCode;

/// An end that is no failure of the command, and still not 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exit {
    /// `--fail-if-empty`.
    #[error("nothing was found, and --fail-if-empty was given")]
    Empty,
    /// `--fail-over`.
    #[error("{0}")]
    Check(String),
}

impl Exit {
    /// The code of an error.
    pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
        match error.downcast_ref::<Self>() {
            Some(Self::Empty) => ExitCode::from(3),
            Some(Self::Check(_)) => ExitCode::from(4),
            None => ExitCode::FAILURE,
        }
    }
}
