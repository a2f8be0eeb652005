//! Queries that are answered later: submit, poll, and what becomes of them when a querier stops or dies (`docs/formats/async.md`).

mod places;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flamelake_api::querier::v1;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::places::{Place, Places};
use self::store::{Ended, Id, Store};
use crate::Querier;
use crate::rpc::{STACKTRACES, merge_stacktraces};
use crate::service::{Answer, Caller};

/// How often a running query says that it runs.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Who has not said so for this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(60);
/// Results are there for so long.
const KEEP: Duration = Duration::from_secs(30 * 60);
/// How often old ones are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A stop waits for no longer than this until every query is marked as stopped.
const MARK_WITHIN: Duration = Duration::from_secs(10);
/// Of one tenant.
const KEPT_MAX: usize = 1000;

const GONE: &str = "the querier that ran it is gone: ask again";
const STOPPED: &str = "the querier that ran it was stopped: ask again";

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct AsyncQueries {
    shared: Arc<Shared>,
}

struct Shared {
    querier: Querier,
    store: Store,
    clock: SharedClock,
    places: Places,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl fmt::Debug for AsyncQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncQueries").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

impl AsyncQueries {
    /// Queries of this querier, with results in this bucket. [`run`](Self::run) it.
    pub fn new(querier: Querier, bucket: Bucket, clock: SharedClock) -> Self {
        let store = Store::new(bucket, SharedClock::clone(&clock));
        let (places, tasks, stop) = (Places::default(), TaskTracker::new(), CancellationToken::new());
        Self { shared: Arc::new(Shared { querier, store, clock, places, tasks, stop }) }
    }

    /// Deletes old results until stopped; then every query that runs here ends and is marked.
    pub async fn run(self, stop: CancellationToken) {
        let sweeping = async {
            loop {
                self.sweep().await;
                self.shared.clock.sleep(SWEEP_EVERY).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sweeping => {}
        }
        self.shared.stop.cancel();
        self.shared.tasks.close();
        tokio::select! {
            biased;
            () = self.shared.tasks.wait() => {}
            () = self.shared.clock.sleep(MARK_WITHIN) => {
                warn!(running = self.shared.tasks.len(), "asynchronous queries end without a mark: polls will tell so in a minute");
            }
        }
    }

    /// A submission without an id, else a poll.
    pub(crate) async fn answer(
        &self,
        tenant: &TenantId,
        caller: Caller,
        request: v1::SelectMergeStacktracesRequest,
        wanted: v1::AsyncQueryRequest,
    ) -> Result<Answer<v1::SelectMergeStacktracesResponse>, StatusError> {
        if !wanted.request_id.is_empty() {
            return self.poll(tenant, &wanted.request_id).await;
        }
        let id = self.submit(tenant, caller, request).await?;
        Ok(state(&id, v1::AsyncQueryStatus::InProgress, String::new()))
    }

    async fn submit(
        &self,
        tenant: &TenantId,
        caller: Caller,
        request: v1::SelectMergeStacktracesRequest,
    ) -> Result<Id, StatusError> {
        let max = self.shared.querier.limits_of(tenant).max_async_query_concurrency;
        if max == 0 {
            return Err(StatusError::unimplemented(
                "asynchronous queries are off for this tenant (query-frontend.max-async-query-concurrency is 0): ask without async",
            ));
        }
        // Of this process, without asking the store; those of all processes below.
        let place = self.shared.places.enter(tenant, max).ok_or_else(|| too_many(max))?;
        let id = self.shared.store.begin(tenant).await?;
        if let Err(refused) = self.admit(tenant, max).await {
            self.shared.store.withdraw(tenant, &id).await;
            return Err(refused);
        }
        let task = Task { queries: self.clone(), tenant: tenant.clone(), id, caller, _place: place };
        self.shared.tasks.spawn(task.run(request));
        Ok(id)
    }

    /// The own one is among those that are listed.
    async fn admit(&self, tenant: &TenantId, max: usize) -> Result<(), StatusError> {
        let kept = self.shared.store.list(tenant).await?;
        if kept.len() > KEPT_MAX {
            return Err(StatusError::resource_exhausted(format!(
                "{KEPT_MAX} asynchronous queries of this tenant are kept already, each for {} minutes: ask again later, or without async",
                KEEP.as_secs() / 60
            )));
        }
        let open: Vec<Id> = kept.into_iter().filter(|kept| !kept.has_ended).map(|kept| kept.id).collect();
        let mut running = 0;
        for id in open {
            let beat = self.shared.store.beat(tenant, &id).await?;
            running += usize::from(beat.is_some_and(|at_ms| !self.is_gone(at_ms)));
        }
        if running > max { Err(too_many(max)) } else { Ok(()) }
    }

    async fn poll(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Answer<v1::SelectMergeStacktracesResponse>, StatusError> {
        let missing = || {
            let why =
                format!("there is no asynchronous query {id:?}; results are kept for {} minutes", KEEP.as_secs() / 60);
            StatusError::new(ErrorCode::NotFound, why)
        };
        let id = Id::parse(id).ok_or_else(missing)?;
        let store = &self.shared.store;
        if let Some(ended) = store.ended(tenant, &id).await? {
            return Ok(told(&id, ended));
        }
        let beat_at_ms = store.beat(tenant, &id).await?.ok_or_else(missing)?;
        if !self.is_gone(beat_at_ms) {
            return Ok(state(&id, v1::AsyncQueryStatus::InProgress, String::new()));
        }
        info!(%tenant, %id, "an asynchronous query was left behind by its querier");
        store.end(tenant, &id, Ended::Failure { error: GONE.to_owned() }).await?;
        // Whoever was first: it may have ended after all.
        Ok(told(&id, store.ended(tenant, &id).await?.ok_or_else(missing)?))
    }

    fn is_gone(&self, beat_at_ms: i64) -> bool {
        let now_ms = self.shared.clock.unix_nanos() / 1_000_000;
        now_ms.saturating_sub(beat_at_ms) > GONE_AFTER.as_millis() as i64
    }

    async fn sweep(&self) {
        if let Err(error) = self.shared.store.sweep(KEEP).await {
            info!(%error, "old results of asynchronous queries are deleted later");
        }
    }
}

/// One query that runs.
struct Task {
    queries: AsyncQueries,
    tenant: TenantId,
    id: Id,
    caller: Caller,
    _place: Place,
}

impl Task {
    async fn run(self, request: v1::SelectMergeStacktracesRequest) {
        let Shared { store, stop, querier, .. } = &*self.queries.shared;
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Failure { error: STOPPED.to_owned() },
            ended = self.query(request) => ended,
            () = self.beat() => Ended::Failure { error: GONE.to_owned() },
        };
        querier.metrics().async_queries.with_label_values(&[ended.name()]).inc();
        if let Err(error) = store.end(&self.tenant, &self.id, ended).await {
            warn!(tenant = %self.tenant, id = %self.id, %error, "the end of an asynchronous query was not stored: polls will tell that it is gone");
        }
    }

    async fn query(&self, request: v1::SelectMergeStacktracesRequest) -> Ended {
        let querier = &self.queries.shared.querier;
        let call = merge_stacktraces(querier, &self.caller, request);
        let answered = Box::pin(querier.run(&self.caller, STACKTRACES, call)).await;
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => return Ended::Failure { error: format!("{}: {error}", error.code) },
        };
        let (bytes, bytes_max) = (answer.value.encoded_len(), querier.config().async_result_bytes_max.as_usize());
        if bytes > bytes_max {
            let error = format!(
                "resource_exhausted: the result has {bytes} bytes and {bytes_max} are kept (query-frontend.async-result-bytes-max): \
                 shorten the range, add matchers or lower max_nodes"
            );
            return Ended::Failure { error };
        }
        Ended::Success(Box::new(answer))
    }

    /// Says that the query runs, and never ends.
    async fn beat(&self) {
        let Shared { store, clock, .. } = &*self.queries.shared;
        loop {
            clock.sleep(BEAT_EVERY).await;
            if let Err(error) = store.put_beat(&self.tenant, &self.id).await {
                info!(tenant = %self.tenant, id = %self.id, %error, "an asynchronous query could not tell that it runs");
            }
        }
    }
}

fn too_many(max: usize) -> StatusError {
    StatusError::resource_exhausted(format!(
        "{max} asynchronous queries of this tenant run already (query-frontend.max-async-query-concurrency): ask again when one has ended"
    ))
}

fn told(id: &Id, ended: Ended) -> Answer<v1::SelectMergeStacktracesResponse> {
    match ended {
        Ended::Failure { error } => state(id, v1::AsyncQueryStatus::Failure, error),
        Ended::Success(answer) => (*answer).map(|response| v1::SelectMergeStacktracesResponse {
            r#async: Some(message(id, v1::AsyncQueryStatus::Success, String::new())),
            ..response
        }),
    }
}

fn state(id: &Id, status: v1::AsyncQueryStatus, error: String) -> Answer<v1::SelectMergeStacktracesResponse> {
    let r#async = Some(message(id, status, error));
    Answer { value: v1::SelectMergeStacktracesResponse { r#async, ..Default::default() }, set_aside: Vec::new() }
}

fn message(id: &Id, status: v1::AsyncQueryStatus, error_message: String) -> v1::AsyncQueryResponse {
    v1::AsyncQueryResponse { request_id: id.to_string(), status: status as i32, error_message }
}
