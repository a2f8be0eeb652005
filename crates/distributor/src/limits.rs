//! The limits of one tenant as a push uses them: bytes and numbers, no units left to mistake.

use flamelake_config::Limits;
use flamelake_pprof::ProfileLimits;

use crate::labels::LabelLimits;
use crate::rate_limit::Rate;

const MIB: f64 = 1_048_576.0;

/// Contract `ingest.md` section 7. A bound of 0 is off, except those of labels.
#[derive(Clone, Debug)]
pub(crate) struct PushLimits {
    pub(crate) rate: Rate,
    /// All profiles of a request, uncompressed.
    pub(crate) body_bytes_max: u64,
    /// Without the present: see [`at`](Self::at).
    profile: ProfileLimits,
    pub(crate) labels: LabelLimits,
    /// Active at a time.
    pub(crate) series_max: usize,
}

impl PushLimits {
    /// What one profile is judged by at a moment.
    pub(crate) fn at(&self, now_ns: i64) -> ProfileLimits {
        ProfileLimits { now_ns, ..self.profile }
    }

    /// Of one profile, uncompressed. No profile may hold more than its whole request, even if its own limit is off.
    pub(crate) fn profile_bytes_max(&self) -> usize {
        let (own, body) =
            (self.profile.max_profile_size_bytes, usize::try_from(self.body_bytes_max).unwrap_or(usize::MAX));
        match (own, body) {
            (0, body) => body,
            (own, _) => own,
        }
    }
}

impl From<&Limits> for PushLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            rate: Rate {
                bytes_per_second: limits.ingestion_rate_mb * MIB,
                burst_bytes: limits.ingestion_burst_size_mb * MIB,
            },
            body_bytes_max: (limits.ingestion_body_limit_mb * MIB) as u64,
            profile: ProfileLimits {
                max_profile_size_bytes: limits.max_profile_size_bytes,
                max_samples: limits.max_profile_stacktrace_samples,
                max_sample_labels: limits.max_profile_stacktrace_sample_labels,
                max_depth: limits.max_profile_stacktrace_depth,
                max_symbol_length: limits.max_profile_symbol_value_length,
                reject_older_than: limits.reject_older_than,
                reject_newer_than: limits.reject_newer_than,
                now_ns: 0,
            },
            labels: LabelLimits {
                names_max: limits.max_label_names_per_series,
                name_bytes_max: limits.max_label_name_length,
                value_bytes_max: limits.max_label_value_length,
                sanitizes: !limits.disable_label_sanitization,
            },
            series_max: limits.max_global_series_per_tenant,
        }
    }
}
