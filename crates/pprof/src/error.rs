//! Why a profile is refused, with the reason code of contract `ingest.md` section 1.10.

use std::fmt;

use flamelake_model::{Coded, ErrorCode};

/// Label `reason` of the discard metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Not a pprof, or one that contradicts itself.
    MalformedProfile,
    /// Too old or too new.
    NotInIngestionWindow,
    /// Too many bytes when unpacked.
    ProfileSizeLimit,
    /// Too many samples.
    SamplesLimit,
    /// Too many labels on one sample.
    SampleLabelsLimit,
}

impl RejectReason {
    /// As the metric writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedProfile => "malformed_profile",
            Self::NotInIngestionWindow => "not_in_ingestion_window",
            Self::ProfileSizeLimit => "profile_size_limit",
            Self::SamplesLimit => "samples_limit",
            Self::SampleLabelsLimit => "sample_labels_limit",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused profile. All are the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The gzip stream is broken.
    #[error("profile is not valid gzip: {0}; send it whole, as gzip or as plain pprof")]
    Gzip(&'static str),
    /// The bytes are not the protobuf message.
    #[error("profile is not a pprof message: {what} at byte {at}")]
    Wire {
        /// What is wrong.
        what: &'static str,
        /// Where, in the uncompressed message.
        at: usize,
    },
    /// The message contradicts itself.
    #[error("profile is malformed: {0}")]
    Malformed(String),
    /// More bytes than allowed.
    #[error(
        "uncompressed profile exceeds the size limit of {limit} bytes (max_profile_size_bytes); send fewer samples a profile"
    )]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Outside the window of accepted times.
    #[error(
        "profile timestamp {time_ns} ns is outside the ingestion window (now {now_ns} ns; accepted from {older_s} s before \
         to {newer_s} s after; 0 = any); check the sender's clock, or reject_older_than and reject_newer_than"
    )]
    NotInIngestionWindow {
        /// The profile's time.
        time_ns: i64,
        /// The server's.
        now_ns: i64,
        /// `reject_older_than` in seconds.
        older_s: u64,
        /// `reject_newer_than` in seconds.
        newer_s: u64,
    },
    /// More samples than allowed.
    #[error(
        "profile has {samples} samples, the limit is {limit} (max_profile_stacktrace_samples); send shorter profiles or raise it"
    )]
    TooManySamples {
        /// How many there are.
        samples: usize,
        /// The limit.
        limit: usize,
    },
    /// More labels on a sample than allowed.
    #[error(
        "a sample of the profile has {labels} labels, the limit is {limit} (max_profile_stacktrace_sample_labels); drop some"
    )]
    TooManySampleLabels {
        /// How many there are.
        labels: usize,
        /// The limit.
        limit: usize,
    },
    /// A group of samples lost its service name.
    #[error("a group of samples has no label service_name; relabel rules must keep it")]
    NoServiceName,
    /// An index space is full.
    #[error("profile holds more {0} than 32 bits can count")]
    TooMany(&'static str),
}

impl DecodeError {
    /// The reason code.
    pub fn reason(&self) -> RejectReason {
        match self {
            Self::TooLarge { .. } => RejectReason::ProfileSizeLimit,
            Self::NotInIngestionWindow { .. } => RejectReason::NotInIngestionWindow,
            Self::TooManySamples { .. } => RejectReason::SamplesLimit,
            Self::TooManySampleLabels { .. } => RejectReason::SampleLabelsLimit,
            Self::Gzip(_) | Self::Wire { .. } | Self::Malformed(_) | Self::NoServiceName | Self::TooMany(_) => {
                RejectReason::MalformedProfile
            }
        }
    }
}

impl Coded for DecodeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}
