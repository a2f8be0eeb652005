//! The closed set of error codes that leave the system, and the one error that crosses role boundaries.
//!
//! Only `rpc` maps a code to gRPC, Connect and HTTP (contract `wire.md` section 8.3).

use std::fmt;

/// The sixteen codes of gRPC and Connect without `ok`; numbers are gRPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorCode {
    /// The caller went away.
    Canceled = 1,
    /// A fault that nothing better describes.
    Unknown = 2,
    /// The request cannot be right, whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before an answer was there.
    DeadlineExceeded = 4,
    /// The named thing does not exist.
    NotFound = 5,
    /// The thing to create exists already.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A limit or quota is reached; the message names it.
    ResourceExhausted = 8,
    /// The state of the system does not allow this now; a refresh may cure it.
    FailedPrecondition = 9,
    /// A concurrent change won.
    Aborted = 10,
    /// A value lies outside the range that exists.
    OutOfRange = 11,
    /// Not built, or switched off.
    Unimplemented = 12,
    /// A broken invariant of ours.
    Internal = 13,
    /// Not now: try again.
    Unavailable = 14,
    /// Stored data is damaged or missing.
    DataLoss = 15,
    /// The caller did not say who it is.
    Unauthenticated = 16,
}

impl ErrorCode {
    /// The snake-case name that Connect writes (`invalid_argument`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every error enum of the workspace tells its code.
pub trait Coded {
    /// The code a caller of ours should see.
    fn code(&self) -> ErrorCode;
}

/// An error as one role tells it to another, or to a client: a code and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StatusError {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// One sentence, lower case, no full stop.
    pub message: String,
}

impl StatusError {
    /// An error with this code and text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `invalid_argument` with this text.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// `unimplemented` with this text.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unimplemented, message)
    }

    /// `unavailable` with this text.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// `internal` with this text.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// `resource_exhausted` with this text.
    pub fn resource_exhausted(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceExhausted, message)
    }

    /// The code and full text (sources included) of any coded error.
    pub fn from_coded<E: Coded + std::error::Error>(error: &E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(error.code(), message)
    }
}

impl Coded for StatusError {
    fn code(&self) -> ErrorCode {
        self.code
    }
}
