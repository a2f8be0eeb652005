//! From the bytes of one profile to a frame, on a bounded number of threads.
//!
//! The order of the steps is that of contract `ingest.md` section 1.1: it decides which of several faults is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flamelake_config::Limits;
use flamelake_model::{StatusError, TenantId, label_name};
use flamelake_pprof::frame::Frame;
use flamelake_pprof::{DecodeError, Decoder, Language, ProfileStats};
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::fair::FairTurns;
use parking_lot::Mutex;

use crate::Content;
use crate::active_series::ActiveSeries;
use crate::error::{PushError, Reason};
use crate::labels;
use crate::limits::PushLimits;
use crate::metrics::Metrics;
use crate::profile_id::Sent;
use crate::rate_limit::{RateLimiter, binary_units};
use crate::refusals;
use crate::relabel::PushRules;
use crate::service_version::ServiceVersion;
use crate::usage::{Fate, UsageRules};

/// Smaller profiles are decoded where they are: a fifth of a millisecond is less than handing them to another thread and back costs
/// under load.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// Bodies of foreign formats are packed, so less of them is decoded where they are.
const INLINE_BODY_BYTES_MAX: u64 = 4 << 10;

/// One profile of a request, not decoded.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Index of its series in the request.
    pub(crate) series: usize,
    /// The client's name for it.
    pub(crate) id: String,
    pub(crate) content: Content,
    /// Of the content.
    pub(crate) hash: u128,
    /// Sorted, with a service name.
    pub(crate) labels: Arc<labels::Pairs>,
    /// How many equal profiles came before it in the request.
    pub(crate) repeat: u64,
}

/// A profile ready for the ingester.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Encoded; one a service name.
    pub(crate) frames: Vec<Bytes>,
    /// Hash of the labels that it came with.
    pub(crate) spread: u64,
    /// Of all frames.
    pub(crate) samples: u64,
}

/// What the profiles of one request share.
#[derive(Debug)]
pub(crate) struct Request {
    tenant: TenantId,
    limits: PushLimits,
    rules: PushRules,
    usage: UsageRules,
    /// Profiles unpacked so far.
    profiles: AtomicU64,
    /// Their uncompressed bytes.
    bytes: AtomicU64,
}

impl Request {
    pub(crate) fn new(tenant: TenantId, limits: &Limits, rules: PushRules) -> Self {
        let (profiles, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { tenant, limits: PushLimits::from(limits), rules, usage: UsageRules::new(limits), profiles, bytes }
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What a profile will hold once it is unpacked: what gzip's last four bytes say, within what will be unpacked at most.
    pub(crate) fn bytes_estimate(&self, content: &Content) -> u64 {
        let sent = content.bytes();
        let Content::Pprof(pprof) = content else { return sent };
        let Some((_, size)) = pprof.split_last_chunk::<4>().filter(|_| pprof.starts_with(&[0x1f, 0x8b])) else {
            return sent;
        };
        let unpacked = u64::from(u32::from_le_bytes(*size));
        let max = self.limits.profile_bytes_max() as u64;
        sent.max(if max > 0 { unpacked.min(max) } else { unpacked })
    }

    /// The error of the whole request once its profiles together are too large.
    pub(crate) fn too_large(&self) -> Option<PushError> {
        let (bytes, max) = (self.bytes.load(Ordering::Acquire), self.limits.body_bytes_max);
        (max > 0 && bytes > max).then(|| PushError::Rejected {
            reason: Reason::BodySizeLimitExceeded,
            message: format!(
                "profiles of the request hold {bytes} bytes uncompressed; limit {max} (ingestion_body_limit_mb)"
            ),
        })
    }

    /// Profiles and uncompressed bytes so far.
    pub(crate) fn seen(&self) -> (u64, u64) {
        (self.profiles.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    fn add(&self, bytes: u64) {
        self.profiles.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The threads that decode, and what they use. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    /// Tenants take turns.
    threads: FairTurns<TenantId>,
    tools: Arc<Tools>,
}

#[derive(Debug)]
struct Tools {
    /// Reused, with all their buffers; never more than there are threads.
    decoders: Mutex<Vec<Decoder>>,
    limiter: RateLimiter,
    series: ActiveSeries,
    clock: SharedClock,
    metrics: Metrics,
}

impl Workers {
    /// `threads` 0 = one a CPU.
    pub(crate) fn new(threads: usize, limiter: RateLimiter, clock: SharedClock, metrics: Metrics) -> Self {
        let series = ActiveSeries::new(Arc::clone(&clock));
        let threads = if threads == 0 { FairTurns::one_a_core() } else { FairTurns::new(threads) };
        Self { threads, tools: Arc::new(Tools { decoders: Mutex::default(), limiter, series, clock, metrics }) }
    }

    /// Prepares one profile when a thread is free. `None`: it holds no samples, which is no fault.
    pub(crate) async fn run(&self, request: Arc<Request>, job: Job) -> Result<Option<Prepared>, PushError> {
        let turn = self.threads.acquire(&request.tenant).await;
        let tools = Arc::clone(&self.tools);
        if request.bytes_estimate(&job.content) <= INLINE_BYTES_MAX {
            return tools.prepare(&request, job);
        }
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            tools.prepare(&request, job)
        });
        work.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "a thread that decodes a profile ended");
            Err(PushError::Storage(StatusError::internal(
                "the profile could not be decoded because of a fault of the server",
            )))
        })
    }
}

impl Workers {
    /// Decodes a body of so many bytes, when a thread is free.
    pub(crate) async fn decode<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        bytes: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StatusError> {
        let turn = self.threads.acquire(tenant).await;
        if bytes <= INLINE_BODY_BYTES_MAX {
            return Ok(work());
        }
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        work.await.map_err(|error| {
            tracing::error!(error = %error, "a thread that decodes a request ended");
            StatusError::internal("the request could not be decoded because of a fault of the server")
        })
    }
}

/// A refusal and the bytes it is counted with.
struct Refused {
    error: PushError,
    bytes: u64,
}

impl Tools {
    fn prepare(&self, request: &Request, mut job: Job) -> Result<Option<Prepared>, PushError> {
        if let Some(error) = request.too_large() {
            return Err(error);
        }
        let mut decoder = self.decoders.lock().pop().unwrap_or_default();
        let content = std::mem::take(&mut job.content);
        let prepared = self.frames(request, &job, content, &mut decoder);
        self.decoders.lock().push(decoder);
        prepared.map_err(|Refused { error, bytes }| {
            // Profiles that are too large together are counted once, with their request.
            if let Some(reason) = error.reason().filter(|reason| *reason != Reason::BodySizeLimitExceeded) {
                let (service, message) = (refusals::service(&job.labels), error.to_string());
                let refused = refusals::Discarded { reason, profiles: 1, bytes, service, message: &message };
                self.metrics.discarded(&request.tenant, refused);
                if reason != Reason::RateLimited
                    && let Some(groups) = request.usage.groups(&job.labels)
                {
                    self.metrics.usage_discarded(&request.tenant, &groups, reason, bytes);
                }
            }
            error
        })
    }

    fn frames(
        &self,
        request: &Request,
        job: &Job,
        content: Content,
        decoder: &mut Decoder,
    ) -> Result<Option<Prepared>, Refused> {
        let (tenant, limits, labels) = (&request.tenant, &request.limits, &job.labels[..]);
        let started = self.clock.monotonic();
        let bytes_max = limits.profile_bytes_max();
        let sent = content.bytes();
        let stats = match content {
            Content::Pprof(pprof) => decoder.decode(&pprof, bytes_max),
            Content::Tables(tables) => decoder.take(*tables, bytes_max),
        };
        let stats = stats.map_err(|error| match error {
            DecodeError::TooLarge { .. } => Refused { error: error.into(), bytes: bytes_max as u64 },
            _ => Refused { error: error.into(), bytes: sent },
        })?;
        let bytes = (labels::bytes(labels) + stats.uncompressed_bytes) as u64;
        request.add(stats.uncompressed_bytes as u64);
        if let Some(error) = request.too_large() {
            return Err(Refused { error, bytes });
        }
        self.metrics.received(tenant, bytes);
        self.rate(request, bytes).map_err(|error| Refused { error, bytes })?;
        let fate = self.fate(request, job, bytes);
        if fate == Fate::Dropped {
            return Ok(None);
        }
        let prepared = self.judged(request, job, decoder, stats, &fate).map_err(|error| Refused { error, bytes })?;
        if let Some(Prepared { samples, .. }) = &prepared {
            let took = self.clock.monotonic().saturating_sub(started);
            self.metrics.costs.add(tenant, refusals::service(labels), bytes, *samples, took);
        }
        Ok(prepared)
    }

    /// Counts a received profile for its usage groups; sampling may end it here.
    fn fate(&self, request: &Request, job: &Job, bytes: u64) -> Fate {
        let (tenant, labels) = (&request.tenant, &job.labels[..]);
        let Some(groups) = request.usage.groups(labels) else { return Fate::Kept };
        self.metrics.usage_received(tenant, &groups, bytes);
        let fate = request.usage.fate(&groups, labels, job.hash);
        if fate == Fate::Dropped {
            let reason = Reason::DroppedBySamplingRules;
            let message = "a sampling rule of the tenant keeps a share of such profiles only";
            let service = refusals::service(labels);
            self.metrics.discarded(tenant, refusals::Discarded { reason, profiles: 1, bytes, service, message });
            self.metrics.usage_discarded(tenant, &groups, reason, bytes);
        }
        fate
    }

    /// What remains once a profile is unpacked and within the rate.
    fn judged(
        &self,
        request: &Request,
        job: &Job,
        decoder: &mut Decoder,
        stats: ProfileStats,
        fate: &Fate,
    ) -> Result<Option<Prepared>, PushError> {
        let (limits, labels) = (&request.limits, &job.labels[..]);
        let language = decoder.language(labels);
        decoder.validate(&limits.at(self.clock.unix_nanos()))?;
        if language == Language::Go {
            decoder.fix_go();
        }
        let bytes = (labels::bytes(labels) + stats.uncompressed_bytes) as u64;
        let dropped = |series: u64, bytes: u64| {
            let refused = refusals::Discarded {
                reason: Reason::DroppedByRelabelRules,
                profiles: series,
                bytes,
                service: refusals::service(labels),
                message: "a relabelling rule of the tenant drops it",
            };
            self.metrics.discarded(&request.tenant, refused);
        };
        if !drop_types(decoder, labels, &request.rules) {
            dropped(1, bytes);
            return Ok(None);
        }
        if *fate == Fate::Stripped {
            decoder.strip();
        }
        let samples = decoder.normalise();
        if samples == 0 {
            return Ok(None);
        }
        let mut split = decoder.split(labels);
        let before = split.groups.len();
        split.groups.retain_mut(|group| request.rules.series(&mut group.labels));
        if split.groups.len() < before {
            // One profile came, however many series a rule took out of it.
            dropped((before - split.groups.len()) as u64, if split.groups.is_empty() { bytes } else { 0 });
        }
        if split.groups.is_empty() {
            return Ok(None);
        }
        for group in &mut split.groups {
            if *fate == Fate::Stripped {
                group.labels.retain(|(name, _)| name != label_name::SAMPLED);
                group.labels.push((label_name::SAMPLED.to_owned(), "true".to_owned()));
                group.labels.sort();
            }
            if limits.labels.sanitizes {
                self.metrics.sanitized(&request.tenant, labels::sanitize(&mut group.labels)?);
            }
            labels::check(&group.labels, limits.labels)?;
            annotate(&mut group.labels, fate);
        }
        let hashes: Vec<u64> = split.groups.iter().map(|group| labels::hash(&group.labels)).collect();
        self.active(request, &hashes)?;
        let sent = Sent {
            tenant: &request.tenant,
            labels,
            client_id: &job.id,
            time_ns: stats.time_nanos,
            content: decoder.content(),
            repeat: job.repeat,
        };
        let id = sent.id();
        let mut frames = decoder.into_frames(&split, id)?;
        if let Some(version) = ServiceVersion::from_labels(labels) {
            frames.iter_mut().for_each(|frame| version.write_into(frame));
        }
        self.metrics.samples(&request.tenant, samples as u64);
        let (frames, spread) = (frames.iter().map(encoded).collect(), labels::hash(labels));
        Ok(Some(Prepared { frames, spread, samples: samples as u64 }))
    }

    fn active(&self, request: &Request, series: &[u64]) -> Result<(), PushError> {
        let max = request.limits.series_max;
        self.series.admit(&request.tenant, max, series).map_err(|active| {
            let message = format!(
                "{active} series are active and {} more would pass {max} (max_global_series_per_tenant): give labels fewer values",
                series.len()
            );
            PushError::Rejected { reason: Reason::SeriesLimit, message }
        })
    }

    fn rate(&self, request: &Request, bytes: u64) -> Result<(), PushError> {
        let rate = request.limits.rate;
        if self.limiter.allow(&request.tenant, rate, bytes) {
            return Ok(());
        }
        let (limit, size) = (binary_units(rate.bytes_per_second), binary_units(bytes as f64));
        let message = format!("push rate limit ({limit}) exceeded while adding {size}");
        Err(PushError::Rejected { reason: Reason::RateLimited, message })
    }
}

/// The annotation travels with the series as a label, which only the server sets.
fn annotate(labels: &mut Vec<(String, String)>, fate: &Fate) {
    labels.retain(|(name, _)| name != label_name::SAMPLED_BY);
    if let Fate::Sampled(annotation) = fate {
        labels.push((label_name::SAMPLED_BY.to_owned(), annotation.clone()));
        labels.sort();
    }
}

/// Leaves out the types of values that rules drop; false if none is left.
fn drop_types(decoder: &mut Decoder, labels: &[(String, String)], rules: &PushRules) -> bool {
    if rules.keeps_all_types() {
        return true;
    }
    let keep: Vec<bool> = decoder.sample_types().map(|(kind, unit)| rules.keeps_type(labels, &kind, &unit)).collect();
    decoder.retain_sample_types(&keep);
    keep.contains(&true)
}

fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes.into()
}
