//! Frames to the ingesters that own their services (architecture section 6).
//!
//! A frame is passed on to the next ingester only if it surely was not stored. After an unclear outcome the same ingester is asked
//! once more, which knows the frame's id if it has it; only then the client is told, and may try again itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery, Ingesters, Member};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_pprof::frame::Frame;
use flamelake_runtime::clock::SharedClock;
use futures::future::join_all;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tracing::Instrument as _;

use crate::DistributorConfig;
use crate::heat::Heat;
use crate::service::Distributors;

/// Ingesters that are tried for a frame.
const INGESTERS_MAX: usize = 3;

/// What routing needs from others.
pub struct RouteDeps {
    /// The members of a ring.
    pub members: Arc<dyn Ingesters>,
    /// Time.
    pub clock: SharedClock,
    /// Among whom a service's pushes are divided.
    pub distributors: Distributors,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl std::fmt::Debug for RouteDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RouteDeps")
    }
}

/// The write side of a cluster behind the face of one ingester.
pub struct RoutedIngesters {
    members: Arc<dyn Ingesters>,
    heat: Heat,
    passed_on: IntCounterVec,
}

impl std::fmt::Debug for RoutedIngesters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutedIngesters")
    }
}

type Outcome = Result<(), StatusError>;

/// A frame on its way.
struct Pending {
    /// Its place in the request.
    at: usize,
    frame: Bytes,
    candidates: Arc<[Member<dyn IngesterApi>]>,
    /// Which of them is asked first.
    first: usize,
    /// Candidates that surely did not store it.
    tried: usize,
}

impl Pending {
    /// Whom to ask now: from the first one on, around.
    fn candidate(&self) -> Option<&Member<dyn IngesterApi>> {
        let in_reach = self.tried < self.candidates.len().min(INGESTERS_MAX);
        in_reach.then(|| &self.candidates[(self.first + self.tried) % self.candidates.len()])
    }
}

/// Who takes a service: its shards first, then their neighbours.
struct Candidates {
    members: Arc<[Member<dyn IngesterApi>]>,
    shards: usize,
}

impl Candidates {
    /// The shard of a series.
    fn first(&self, labels_hash: u64) -> usize {
        let shards = self.shards.min(self.members.len()).max(1);
        (labels_hash % shards as u64) as usize
    }
}

impl RoutedIngesters {
    /// Fails only if a metric is registered already.
    pub fn new(config: &DistributorConfig, deps: RouteDeps) -> Result<Self, prometheus::Error> {
        let RouteDeps { members, clock, distributors, registry } = deps;
        let passed_on = IntCounterVec::new(
            Opts::new(
                "flamelake_distributor_frames_passed_on_total",
                "Frames that an ingester refused and the next one was asked to take, by the reason.",
            ),
            &["code"],
        )?;
        registry.register(Box::new(passed_on.clone()))?;
        let spread_services = IntGauge::new(
            "flamelake_distributor_spread_services",
            "Services whose rate is too high for one ingester, so that several take them.",
        )?;
        registry.register(Box::new(spread_services.clone()))?;
        let heat = Heat::new(clock, distributors, config.service_rate_per_shard.0, spread_services);
        Ok(Self { members, heat, passed_on })
    }

    fn pending(&self, request: AppendRequest) -> (Vec<Pending>, Vec<Option<Outcome>>) {
        let AppendRequest { tenant, frames, spread } = request;
        let mut outcomes = vec![None; frames.len()];
        let mut known: BTreeMap<String, Candidates> = BTreeMap::new();
        let mut pending = Vec::with_capacity(frames.len());
        for (at, frame) in frames.into_iter().enumerate() {
            let service = match Frame::peek_header(&frame) {
                Ok(header) => header.service_name.to_owned(),
                Err(error) => {
                    outcomes[at] = Some(Err(StatusError::from_coded(&error)));
                    continue;
                }
            };
            let shards = self.heat.shards(&tenant, &service, frame.len() as u64);
            let candidates = known.entry(service).or_insert_with_key(|service| Candidates {
                members: self.members.for_service(&tenant, service, shards + INGESTERS_MAX - 1).into(),
                shards,
            });
            let first = candidates.first(spread.get(at).copied().unwrap_or_default());
            pending.push(Pending { at, frame, candidates: Arc::clone(&candidates.members), first, tried: 0 });
        }
        (pending, outcomes)
    }

    /// One call an ingester, all at once. Frames that go to nobody, or were refused by all, come back with their error.
    async fn round(&self, tenant: &TenantId, pending: Vec<Pending>) -> Vec<(Pending, Outcome)> {
        let mut settled = Vec::new();
        let mut groups: BTreeMap<String, (Arc<dyn IngesterApi>, Vec<Pending>)> = BTreeMap::new();
        for one in pending {
            match one.candidate() {
                Some(member) => {
                    let group = groups.entry(member.name.clone());
                    group.or_insert_with(|| (Arc::clone(&member.api), Vec::new())).1.push(one);
                }
                None => settled.push((one, Err(nobody()))),
            }
        }
        let calls = groups.into_iter().map(|(ingester, (api, frames))| {
            let span = tracing::trace_span!(target: "flamelake::span", "send", ingester, frames = frames.len());
            let call = async move {
                let outcomes = append_surely(&*api, tenant, frames.iter().map(|one| one.frame.clone()).collect()).await;
                frames.into_iter().zip(outcomes).collect::<Vec<_>>()
            };
            call.instrument(span)
        });
        settled.extend(join_all(calls).await.into_iter().flatten());
        settled
    }
}

/// Asks once more after an unclear outcome. One outcome a frame.
async fn append_surely(api: &dyn IngesterApi, tenant: &TenantId, frames: Vec<Bytes>) -> Vec<Outcome> {
    let first = append(api, tenant, frames.clone()).await;
    if first.iter().all(|outcome| outcome.as_ref().err().is_none_or(is_clear)) {
        return first;
    }
    let again: Vec<usize> =
        (0..first.len()).filter(|at| first[*at].as_ref().is_err_and(|error| !is_clear(error))).collect();
    let second = append(api, tenant, again.iter().map(|at| frames[*at].clone()).collect()).await;
    let mut outcomes = first;
    for (at, outcome) in again.into_iter().zip(second) {
        // The first try may have stored it whatever the second one says, so it must not go elsewhere.
        outcomes[at] = outcome.map_err(|error| StatusError::unavailable(error.message));
    }
    outcomes
}

async fn append(api: &dyn IngesterApi, tenant: &TenantId, frames: Vec<Bytes>) -> Vec<Outcome> {
    let count = frames.len();
    match api.append(AppendRequest { tenant: tenant.clone(), frames, spread: Vec::new() }).await {
        Ok(outcomes) if outcomes.len() == count => outcomes,
        Ok(_) => vec![Err(StatusError::internal("the ingester told fewer outcomes than it was given frames")); count],
        Err(error) => vec![Err(error); count],
    }
}

fn is_refusal(error: &StatusError) -> bool {
    matches!(error.code, ErrorCode::ResourceExhausted | ErrorCode::FailedPrecondition)
}

/// Surely not stored: refused, or faulty in itself.
fn is_clear(error: &StatusError) -> bool {
    is_refusal(error) || matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::DataLoss)
}

fn nobody() -> StatusError {
    StatusError::unavailable("no ingester takes pushes at the moment: try again")
}

/// What a client is told: that nobody took it is no fault of the client's.
pub(crate) fn told(outcome: Outcome) -> Outcome {
    outcome.map_err(|error| match error.code {
        ErrorCode::FailedPrecondition => StatusError::unavailable(error.message),
        _ => error,
    })
}

#[async_trait]
impl IngesterApi for RoutedIngesters {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Outcome>, StatusError> {
        let tenant = request.tenant.clone();
        let (mut pending, mut outcomes) = self.pending(request);
        while !pending.is_empty() {
            let settled = self.round(&tenant, std::mem::take(&mut pending)).await;
            for (mut one, outcome) in settled {
                match outcome {
                    Err(error) if is_refusal(&error) => {
                        one.tried += 1;
                        if one.candidate().is_some() {
                            self.passed_on.with_label_values(&[error.code.name()]).inc();
                            pending.push(one);
                        } else {
                            outcomes[one.at] = Some(Err(error));
                        }
                    }
                    outcome => outcomes[one.at] = Some(outcome),
                }
            }
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(nobody()))).collect())
    }

    async fn query(&self, _request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("the write side does not read"))
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        let members = self.members.all().members;
        let flushed = join_all(members.iter().map(|member| member.api.flush(tenant.clone()))).await;
        flushed.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
