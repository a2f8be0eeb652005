//! The whole path of a push: prepare every profile, hand the good ones to the ingester, tell what failed.
//!
//! Partial success (contract `ingest.md` section 1): every profile is tried, good ones are stored even though the call fails.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use flamelake_api::roles::AppendRequest;
use flamelake_config::Limits;
use flamelake_model::{Coded, ErrorCode, StatusError, TenantId};
use futures::{StreamExt as _, stream};
use tracing::Instrument as _;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{PushError, Reason};
use crate::inflight::Reservation;
use crate::labels;
use crate::prepare::{Job, Prepared, Request};
use crate::refusals::{self, Discarded};
use crate::relabel::PushRules;
use crate::route::told;
use crate::{Distributor, PushBatch, RawProfile};

/// The text of all errors of a request; what is beyond is counted.
const ERRORS_TEXT_BYTES_MAX: usize = 64 << 10;

/// The service of a request, as far as there is one.
fn service_of(jobs: &[Job]) -> &str {
    jobs.first().map_or("", |job| refusals::service(&job.labels))
}

/// How one profile ended.
type Outcome = Result<(), PushError>;

impl Distributor {
    /// Stores a batch: `Ok` means that every profile is durable and visible to queries (or had no samples).
    ///
    /// # Errors
    /// The code of the first profile that failed; the text names all that did. Others are stored.
    pub async fn push(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), StatusError> {
        self.tried(tenant, batch).await?.all()
    }

    /// As [`Distributor::push`], but profiles that can never be stored fail the call only if all others failed too: their number, and why.
    ///
    /// # Errors
    /// The code of the first profile that failed, if none was stored or if sending it again may help.
    pub async fn push_partially(
        &self,
        tenant: &TenantId,
        batch: PushBatch,
    ) -> Result<Option<(usize, String)>, StatusError> {
        self.tried(tenant, batch).await?.partial()
    }

    async fn tried(&self, tenant: &TenantId, batch: PushBatch) -> Result<Tried, StatusError> {
        let limits = self.limits.for_tenant(tenant);
        let jobs = jobs(batch, &limits);
        if jobs.is_empty() {
            return Err(StatusError::from_coded(&PushError::NoProfiles));
        }
        let request = Arc::new(Request::new(tenant.clone(), &limits, PushRules::new(&limits, &self.default_rules)));
        let _inflight = self.reserve(&request, &jobs)?;
        let names: Vec<Name> = jobs.iter().map(Name::of).collect();
        let span = tracing::trace_span!(target: "flamelake::span", "decode", profiles = jobs.len());
        let prepared = self.prepare(&request, jobs, limits.push_max_concurrency).instrument(span).await;
        if let Some(error) = request.too_large() {
            let (profiles, bytes) = request.seen();
            let (reason, message) = (Reason::BodySizeLimitExceeded, error.to_string());
            self.metrics.discarded(tenant, Discarded { reason, profiles, bytes, service: "", message: &message });
            return Err(StatusError::from_coded(&error));
        }
        let outcomes = self.store(tenant, prepared).await;
        Ok(Tried { names, outcomes })
    }

    /// Room for what the profiles will take; held until the push is answered.
    fn reserve(&self, request: &Request, jobs: &[Job]) -> Result<Reservation, StatusError> {
        let bytes = jobs.iter().map(|job| request.bytes_estimate(&job.content)).sum();
        self.inflight.reserve(request.tenant(), bytes).map_err(|used| {
            let max = self.config.inflight_bytes_max;
            let message = format!(
                "{used} bytes of profiles are in work and {bytes} more would pass {} (distributor.inflight-bytes-max); try again",
                max.0
            );
            let (reason, profiles) = (Reason::InflightBytes, jobs.len() as u64);
            let refused = Discarded { reason, profiles, bytes, service: service_of(jobs), message: &message };
            self.metrics.discarded(request.tenant(), refused);
            StatusError::from_coded(&PushError::Rejected { reason, message })
        })
    }

    /// In the order of the request.
    async fn prepare(
        &self,
        request: &Arc<Request>,
        jobs: Vec<Job>,
        concurrency: usize,
    ) -> Vec<Result<Option<Prepared>, PushError>> {
        let concurrency = if concurrency == 0 { jobs.len() } else { concurrency };
        stream::iter(jobs).map(|job| self.workers.run(Arc::clone(request), job)).buffered(concurrency).collect().await
    }

    /// One append for all frames; a profile without samples is a success that stores nothing.
    async fn store(&self, tenant: &TenantId, prepared: Vec<Result<Option<Prepared>, PushError>>) -> Vec<Outcome> {
        let good = prepared.iter().filter_map(|one| one.as_ref().ok()?.as_ref());
        let frames = good.flat_map(|one| one.frames.iter().map(|frame| (frame.clone(), one.spread)));
        let (frames, spread): (Vec<_>, Vec<_>) = frames.unzip();
        let request = AppendRequest { tenant: tenant.clone(), frames, spread };
        let mut appended = if request.frames.is_empty() { Vec::new() } else { self.append(request).await }.into_iter();
        let mut next = || appended.next().unwrap_or_else(|| Err(missing_outcome())).map_err(PushError::Storage);
        let mut outcome = |frames: usize| (0..frames).map(|_| next()).fold(Ok(()), Result::and);
        prepared.into_iter().map(|one| outcome(one?.map_or(0, |prepared| prepared.frames.len()))).collect()
    }

    /// One outcome a frame: a failure of the whole call is the outcome of each.
    async fn append(&self, request: AppendRequest) -> Vec<Result<(), StatusError>> {
        let (tenant, count) = (request.tenant.clone(), request.frames.len());
        let append = self.ingester.append(request);
        let answer = if self.config.push_timeout.is_zero() {
            append.await
        } else {
            tokio::select! {
                biased;
                answer = append => answer,
                () = self.clock.sleep(self.config.push_timeout) => Err(self.timed_out()),
            }
        };
        match answer {
            Ok(outcomes) => outcomes.into_iter().map(told).collect(),
            Err(error) => {
                tracing::warn!(%tenant, profiles = count, code = %error.code, error = %error, "profiles not stored");
                vec![told(Err(error)); count]
            }
        }
    }

    fn timed_out(&self) -> StatusError {
        let waited = self.config.push_timeout;
        let text = format!("the ingester did not answer in {waited:?} (distributor.push.timeout); try again");
        StatusError::new(ErrorCode::DeadlineExceeded, text)
    }
}

fn missing_outcome() -> StatusError {
    StatusError::internal("the ingester told fewer outcomes than it was given frames")
}

/// A profile as error texts name it.
struct Name {
    series: usize,
    id: String,
}

impl Name {
    fn of(job: &Job) -> Self {
        Self { series: job.series, id: job.id.clone() }
    }
}

/// How each profile of a request ended.
struct Tried {
    names: Vec<Name>,
    outcomes: Vec<Outcome>,
}

impl Tried {
    fn all(self) -> Result<(), StatusError> {
        report(&self.names, self.outcomes)
    }

    fn partial(self) -> Result<Option<(usize, String)>, StatusError> {
        let refused = self.outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let of_caller = |error: &PushError| error.code() == ErrorCode::InvalidArgument;
        let final_ones = self.outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(of_caller);
        let some_stored = refused < self.outcomes.len();
        match self.all() {
            Err(error) if final_ones && some_stored => Ok(Some((refused, error.message))),
            other => other.map(|()| None),
        }
    }
}

/// Every profile of a batch with its labels ready, in order.
fn jobs(batch: PushBatch, limits: &Limits) -> Vec<Job> {
    let mut repeats = Repeats::default();
    let mut jobs = Vec::new();
    for (series, one) in batch.series.into_iter().enumerate() {
        if one.profiles.is_empty() {
            continue;
        }
        let labels = Arc::new(labels::prepare(one.labels, limits.max_sessions_per_series as u64));
        for profile in one.profiles {
            let RawProfile { content, id } = profile;
            let hash = content.hash();
            let repeat = repeats.count(&labels, &id, hash);
            jobs.push(Job { series, id, content, hash, labels: Arc::clone(&labels), repeat });
        }
    }
    if jobs.len() == 1 { jobs.into_iter().map(|job| Job { repeat: 0, ..job }).collect() } else { jobs }
}

/// Counts equal profiles of one request (see `profile_id`).
#[derive(Default)]
struct Repeats(HashMap<u128, u64>);

impl Repeats {
    /// How many equal ones came before.
    fn count(&mut self, labels: &[(String, String)], id: &str, content: u128) -> u64 {
        let mut key = content.to_le_bytes().to_vec();
        for text in labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).chain([id]) {
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        let met = self.0.entry(xxh3_128(&key)).or_default();
        let before = *met;
        *met += 1;
        before
    }
}

/// All errors as one: the code of the first, `N errors: a; b` if there are several.
fn report(names: &[Name], outcomes: Vec<Outcome>) -> Result<(), StatusError> {
    let failed: Vec<(&Name, PushError)> =
        names.iter().zip(outcomes).filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect();
    let Some((_, first)) = failed.first() else { return Ok(()) };
    let code = first.code();
    let mut text = if failed.len() > 1 { format!("{} errors: ", failed.len()) } else { String::new() };
    for (at, (name, error)) in failed.iter().enumerate() {
        if text.len() > ERRORS_TEXT_BYTES_MAX {
            write!(text, "; and {} more", failed.len() - at).expect("writing to a String");
            break;
        }
        let separator = if at > 0 { "; " } else { "" };
        write!(text, "{separator}push series with index {} and id {} failed: {error}", name.series, name.id)
            .expect("writing to a String");
    }
    Err(StatusError::new(code, text))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod laws;
