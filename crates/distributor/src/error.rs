//! Why a profile or a whole push was refused, and under which reason it is counted (contract `ingest.md` section 1.10).

use flamelake_model::{Coded, ErrorCode, StatusError};
use flamelake_pprof::{DecodeError, RejectReason};

/// The value of the metric label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No labels, or no service name.
    MissingLabels,
    /// More labels than allowed.
    MaxLabelNamesPerSeries,
    /// A bad name or value.
    InvalidLabels,
    /// A name longer than allowed.
    LabelNameTooLong,
    /// A value longer than allowed.
    LabelValueTooLong,
    /// A name that comes twice.
    DuplicateLabelNames,
    /// Not a pprof, or one that contradicts itself.
    MalformedProfile,
    /// Too old or too new.
    NotInIngestionWindow,
    /// One profile is larger than allowed.
    ProfileSizeLimit,
    /// All profiles of the request are larger than allowed.
    BodySizeLimitExceeded,
    /// More samples than allowed.
    SamplesLimit,
    /// More labels on a sample than allowed.
    SampleLabelsLimit,
    /// The tenant sends too fast.
    RateLimited,
    /// A rule of the tenant's drops the series: no error.
    DroppedByRelabelRules,
    /// A rule of the tenant's keeps only a share of such profiles: no error.
    DroppedBySamplingRules,
    /// The tenant has too many active series.
    SeriesLimit,
    /// This process has too much in hand.
    InflightBytes,
}

impl Reason {
    /// As it stands in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingLabels => "missing_labels",
            Self::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Self::InvalidLabels => "invalid_labels",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::DuplicateLabelNames => "duplicate_label_names",
            Self::MalformedProfile => "malformed_profile",
            Self::NotInIngestionWindow => "not_in_ingestion_window",
            Self::ProfileSizeLimit => "profile_size_limit",
            Self::BodySizeLimitExceeded => "body_size_limit_exceeded",
            Self::SamplesLimit => "samples_limit",
            Self::SampleLabelsLimit => "sample_labels_limit",
            Self::RateLimited => "rate_limited",
            Self::DroppedByRelabelRules => "dropped_by_relabel_rules",
            Self::DroppedBySamplingRules => "dropped_by_sampling_rules",
            Self::SeriesLimit => "series_limit",
            Self::InflightBytes => "inflight_bytes",
        }
    }

    fn code(self) -> ErrorCode {
        match self {
            Self::RateLimited | Self::SeriesLimit | Self::InflightBytes => ErrorCode::ResourceExhausted,
            _ => ErrorCode::InvalidArgument,
        }
    }
}

impl From<RejectReason> for Reason {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::MalformedProfile => Self::MalformedProfile,
            RejectReason::NotInIngestionWindow => Self::NotInIngestionWindow,
            RejectReason::ProfileSizeLimit => Self::ProfileSizeLimit,
            RejectReason::SamplesLimit => Self::SamplesLimit,
            RejectReason::SampleLabelsLimit => Self::SampleLabelsLimit,
        }
    }
}

/// What a push can end with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Refused by a rule or a limit; counted as discarded.
    #[error("{message}")]
    Rejected {
        /// Which.
        reason: Reason,
        /// What is wrong with it.
        message: String,
    },
    /// The request holds nothing to store.
    #[error("no profiles received")]
    NoProfiles,
    /// The ingester refused or failed: its code and text. Not counted as discarded: a retry may pass.
    #[error("{0}")]
    Storage(StatusError),
}

impl PushError {
    /// Under what it is counted; `None` for failures that say nothing about the profile.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Rejected { reason, .. } => Some(*reason),
            Self::NoProfiles | Self::Storage(_) => None,
        }
    }
}

impl From<DecodeError> for PushError {
    fn from(error: DecodeError) -> Self {
        Self::Rejected { reason: error.reason().into(), message: error.to_string() }
    }
}

impl Coded for PushError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Rejected { reason, .. } => reason.code(),
            Self::NoProfiles => ErrorCode::InvalidArgument,
            Self::Storage(error) => error.code,
        }
    }
}
