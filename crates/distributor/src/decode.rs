//! Foreign formats of `/ingest` (contract `ingest.md` section 4) become series of tables: what the push path takes.
//!
//! Decoders judge only what the push path cannot see any more: the shape of the input, and bounds on what it may grow to. Everything
//! else (labels, window, samples, rate) is judged there, once, for all protocols.

pub(crate) mod app_name;
pub(crate) mod folded;
pub(crate) mod jfr;
pub(crate) mod pprof;
pub(crate) mod speedscope;
pub(crate) mod stacks;
pub(crate) mod text_type;
pub(crate) mod tree;

use flamelake_config::Limits;
use flamelake_model::label_name;
use flamelake_pprof::{DecodeError, RejectReason, Tables};

use crate::decode::app_name::AppName;
use crate::error::Reason;
use crate::limits::PushLimits;
use crate::{Content, PushSeries, RawProfile};

/// What a decoder may grow to; no bound is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeLimits {
    /// Of a part once it is unpacked, and of the profile that is made of it, as a pprof message.
    pub(crate) bytes_max: usize,
    /// Distinct stacks.
    pub(crate) samples_max: usize,
    /// Frames of a stack: those beyond, on the leaf side, are cut.
    pub(crate) depth_max: usize,
    /// Bytes of a frame's name in the format `tree`.
    pub(crate) name_bytes_max: usize,
}

impl From<&Limits> for DecodeLimits {
    fn from(limits: &Limits) -> Self {
        let or_all = |limit: usize, all: usize| if limit == 0 { all } else { limit };
        // Numbers of 32 bits count everything below.
        const ALL: usize = 1 << 30;
        Self {
            bytes_max: or_all(PushLimits::from(limits).profile_bytes_max(), ALL).min(ALL),
            samples_max: or_all(limits.max_profile_stacktrace_samples, ALL),
            depth_max: or_all(limits.max_profile_stacktrace_depth, ALL),
            name_bytes_max: or_all(limits.max_profile_symbol_value_length, ALL),
        }
    }
}

/// What the query of a request says of its profile.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) app: AppName,
    /// Nanoseconds since the epoch.
    pub(crate) from_ns: i64,
    pub(crate) until_ns: i64,
    /// Samples a second; 0 = values are not scaled.
    pub(crate) sample_rate: u32,
    pub(crate) spy: String,
}

impl Source {
    /// Nanoseconds between two samples; `None`: values are not scaled.
    pub(crate) fn period_ns(&self) -> Option<i64> {
        (self.sample_rate > 0).then(|| 1_000_000_000 / i64::from(self.sample_rate))
    }

    pub(crate) fn duration_ns(&self) -> i64 {
        self.until_ns.saturating_sub(self.from_ns).max(0)
    }

    /// A series of one profile: `service` names it unless the client does, `more` are labels of the format.
    pub(crate) fn series(&self, service: &str, name: &str, more: &[(&str, &str)], content: Content) -> PushSeries {
        let mut labels: Vec<(String, String)> = self
            .app
            .labels
            .iter()
            .filter(|(name, _)| !name.starts_with("__") || *name == label_name::SESSION_ID)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let own = [(label_name::NAME, name), (label_name::PYROSCOPE_SPY, self.spy.as_str())];
        for (name, value) in own.iter().chain(more) {
            labels.retain(|(other, _)| other != name);
            labels.push(((*name).to_owned(), (*value).to_owned()));
        }
        if !labels.iter().any(|(name, value)| name == label_name::SERVICE_NAME && !value.is_empty()) {
            labels.retain(|(name, _)| name != label_name::SERVICE_NAME);
            labels.push((label_name::SERVICE_NAME.to_owned(), service.to_owned()));
        }
        PushSeries { labels, profiles: vec![RawProfile { content, id: String::new() }] }
    }

    /// As [`series`](Self::series); where the client names the service, the application's name is kept as `app_name`.
    pub(crate) fn series_of_app(&self, app: &str, name: &str, more: &[(&str, &str)], tables: Tables) -> PushSeries {
        let mut series = self.series(app, name, more, Content::Tables(Box::new(tables)));
        let has = |wanted: &str| self.app.labels.get(wanted).is_some_and(|value| !value.is_empty());
        if has(label_name::SERVICE_NAME) && !has("app_name") {
            series.labels.push(("app_name".to_owned(), app.to_owned()));
        }
        series
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is not what its format says.
    #[error("{0}")]
    Malformed(String),
    /// Its name does not say what is measured: told apart because the answer differs by format.
    #[error(
        "pyroscopeIngesterAdapter failed to convert metadata: unknown profile type: {0}; end the name in .cpu, .wall, .inuse_space or another of docs/ingest.md"
    )]
    UnknownType(String),
    /// It parses, and what it holds is too much.
    #[error("{message}")]
    Limit {
        /// Which limit.
        reason: Reason,
        /// What to do.
        message: String,
    },
}

impl Refused {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) | Self::UnknownType(_) => Reason::MalformedProfile,
            Self::Limit { reason, .. } => *reason,
        }
    }
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        match error.reason() {
            RejectReason::MalformedProfile => Self::Malformed(error.to_string()),
            reason => Self::Limit { reason: reason.into(), message: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests;
