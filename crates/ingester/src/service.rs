//! The life of an ingester: replay, log, serve, flush, stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_catalog::CatalogStore;
use flamelake_debuginfo::Symboliser;
use flamelake_journal::{Journal, JournalConfig, LogStore, OldEpoch};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::fair::FairTurns;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::append::{self, ApplyToHead};
use crate::config::IngesterConfig;
use crate::dedup::DedupWindow;
use crate::error::IngesterError;
use crate::flush::flush_tenant;
use crate::head::memory::{MemoryAccount, default_max};
use crate::head::{Head, TenantHead};
use crate::metrics::Metrics;
use crate::open_log::{OpenLog, keep_open};
use crate::query;
use crate::recovery::{self, OldLogs};

/// How often heads are looked at for age and size.
const TICK: Duration = Duration::from_secs(1);

/// Damaged logs named in answers; more are only counted.
const DAMAGED_LOGS_MAX: usize = 100;

/// Makes this ingester known to everybody who asks ingesters.
#[async_trait]
pub trait Registrar: Send + Sync + std::fmt::Debug {
    /// Ends once every query that begins from now on asks this ingester. Awaited before a new log takes pushes in the place of one that
    /// a peer sealed: the peer has removed this ingester from the ring.
    async fn register_anew(&self);
}

/// Nobody else asks: there is no ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRing;

#[async_trait]
impl Registrar for NoRing {
    async fn register_anew(&self) {}
}

/// What an ingester works with.
#[derive(Clone, Debug)]
pub struct IngesterDeps {
    /// Where blocks go.
    pub bucket: Bucket,
    /// Where logs go.
    pub logs: Arc<dyn LogStore>,
    /// Which blocks are live, and what of the logs they cover.
    pub catalog: Arc<CatalogStore>,
    /// Tells everybody that this ingester is there.
    pub registrar: Arc<dyn Registrar>,
    /// Names addresses in answers; `None`: they stay as they are.
    pub symboliser: Option<Symboliser>,
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// What the activities of one ingester share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: IngesterConfig,
    pub(crate) head: Arc<Head>,
    pub(crate) dedup: Arc<DedupWindow>,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<CatalogStore>,
    pub(crate) symboliser: Option<Symboliser>,
    pub(crate) clock: SharedClock,
    /// One a core, for questions. Tenants take turns.
    pub(crate) cores: FairTurns<TenantId>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) flush_wanted: Notify,
    pub(crate) stopping: CancellationToken,
    pub(crate) log: OpenLog,
    old_logs: tokio::sync::Mutex<OldLogs>,
    /// One purge at a time.
    purging: tokio::sync::Mutex<()>,
    /// Logs with damage that this process met: what they held is missing in every answer.
    damaged_logs: Mutex<BTreeSet<String>>,
    pub(crate) apply: Arc<ApplyToHead>,
    log_bytes_max: u64,
}

impl Shared {
    fn new(
        config: IngesterConfig,
        head_bytes_max: u64,
        log_bytes_max: u64,
        deps: &IngesterDeps,
        metrics: Arc<Metrics>,
    ) -> Self {
        let memory = MemoryAccount::new(head_bytes_max);
        let head = Arc::new(Head::new(memory, config.tenants_max, config.partition_stacks_max));
        let apply = Arc::new(ApplyToHead::new(Arc::clone(&head), Arc::clone(&deps.clock), Arc::clone(&metrics)));
        Self {
            dedup: DedupWindow::new(config.dedup_window, config.dedup_ids_max),
            config,
            head,
            bucket: deps.bucket.clone(),
            catalog: Arc::clone(&deps.catalog),
            symboliser: deps.symboliser.clone(),
            clock: Arc::clone(&deps.clock),
            cores: FairTurns::one_a_core(),
            metrics,
            flush_wanted: Notify::new(),
            stopping: CancellationToken::new(),
            log: OpenLog::default(),
            old_logs: tokio::sync::Mutex::default(),
            purging: tokio::sync::Mutex::default(),
            damaged_logs: Mutex::default(),
            log_bytes_max,
            apply,
        }
    }

    /// The open log.
    pub(crate) fn journal(&self) -> Result<Arc<Journal>, IngesterError> {
        self.log.journal()
    }

    /// A log of this process that is sealed and lies in the head.
    pub(crate) async fn add_old_log(&self, epoch: OldEpoch) {
        self.old_logs.lock().await.push(epoch);
    }

    /// Something of a log is set aside; who logs it, says what.
    pub(crate) fn note_damage(&self, log: &str) {
        self.metrics.log_damage_total.inc();
        let mut damaged = self.damaged_logs.lock();
        if damaged.len() < DAMAGED_LOGS_MAX {
            damaged.insert(log.to_owned());
        }
    }

    /// For answers: what they leave out.
    pub(crate) fn damaged_logs(&self) -> Vec<String> {
        self.damaged_logs.lock().iter().map(|log| format!("log {log}: damaged")).collect()
    }

    /// The tenant's head; at the first meeting its catalog is read, so that older plans can be told.
    pub(crate) async fn open_tenant(&self, tenant: &TenantId) -> Result<Arc<TenantHead>, IngesterError> {
        if let Some(known) = self.head.tenant(tenant) {
            return Ok(known);
        }
        let catalog_error = |source| IngesterError::Catalog { tenant: tenant.clone(), source };
        let state = self.catalog.load(tenant).await.map_err(catalog_error)?;
        self.head.open_tenant(tenant, state.version, &state.covered)
    }
}

/// A running ingester.
#[derive(Debug)]
pub struct Ingester {
    shared: Arc<Shared>,
    deps: IngesterDeps,
    /// Maintenance, and the keeper of the log.
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Ingester {
    /// Replays what older epochs left, opens a new log, and starts to work. `id` names this ingester's folder of logs. On a full disk it
    /// starts without a log, and opens one when there is room again.
    pub async fn start(
        id: &str,
        config: IngesterConfig,
        journal_config: JournalConfig,
        deps: IngesterDeps,
    ) -> Result<Self, IngesterError> {
        let metrics = Arc::new(
            Metrics::new(&deps.registry).map_err(|_| IngesterError::TaskFailed { what: "metric registration" })?,
        );
        let max = if config.head_bytes_max.0 == 0 { default_max() } else { config.head_bytes_max.0 };
        metrics.head_bytes_max.set(max as i64);
        let shared = Arc::new(Shared::new(config, max, journal_config.bytes_max.0, &deps, metrics));
        *shared.old_logs.lock().await = recovery::recover(&shared, &deps.logs, id).await?;
        let keeper =
            keep_open(&shared, Arc::clone(&deps.logs), id, journal_config, Arc::clone(&deps.registrar)).await?;
        let tasks = vec![tokio::spawn(maintain(Arc::clone(&shared))), tokio::spawn(keeper)];
        Ok(Self { shared, deps, tasks: Mutex::new(tasks) })
    }

    /// For an ingester that will not come back: refuses new pushes, closes the log, and commits everything. It still answers queries.
    pub async fn finish(&self) -> Result<(), IngesterError> {
        // Most of it while the log still takes what was let in.
        recovery::flush_all(&self.shared).await?;
        self.stop().await;
        recovery::flush_all(&self.shared).await
    }

    /// Seals all logs of an ingester that is gone, turns their uncovered rows into blocks and commits these. Nothing of it comes into
    /// this ingester's head; at most a quarter of its memory is used. May be repeated; the ingester may come back meanwhile: the catalog
    /// decides who commits which rows.
    pub async fn recover_peer(&self, id: &str) -> Result<(), IngesterError> {
        let (own, deps) = (&self.shared, &self.deps);
        let bytes_max = own.head.memory.max() / 4;
        let apart = Shared::new(own.config.clone(), bytes_max, own.log_bytes_max, deps, Arc::clone(&own.metrics));
        let apart = Arc::new(apart);
        let mut logs = recovery::recover(&apart, &deps.logs, id).await?;
        recovery::flush_all(&apart).await?;
        logs.delete_covered(&apart.head.tenants()).await;
        // Damage of the lost one's logs stays known here: it is missing in every answer.
        let damaged = std::mem::take(&mut *apart.damaged_logs.lock());
        own.damaged_logs.lock().extend(damaged.into_iter().take(DAMAGED_LOGS_MAX));
        own.metrics.peers_recovered_total.inc();
        Ok(())
    }

    /// Names of all ingesters with anything in their logs.
    pub async fn logged_ingesters(&self) -> Result<Vec<String>, IngesterError> {
        Ok(self.deps.logs.ingesters().await?)
    }

    /// Refuses new pushes, waits for those under way, and closes the log. What is in the head stays in the log for the next start.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if task.await.is_err() {
                error!("a background task of the ingester ended by panic");
            }
        }
        if let Some(journal) = self.shared.log.take() {
            journal.close().await;
        }
    }
}

#[async_trait]
impl IngesterApi for Ingester {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        append::append(&self.shared, request).await
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        query::query(&self.shared, request).await
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        for head in self.shared.head.tenants() {
            if tenant.as_ref().is_none_or(|wanted| *wanted == head.tenant) {
                flush_tenant(&self.shared, &head).await.map_err(|error| StatusError::from_coded(&error))?;
            }
        }
        delete_covered(&self.shared).await;
        Ok(())
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        purge_log(&self.shared).await.map_err(|error| StatusError::from_coded(&error))
    }
}

/// Ages, sizes and deletions, once a tick or when somebody asks for room.
async fn maintain(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = shared.clock.sleep(TICK) => {}
            () = shared.flush_wanted.notified() => {}
        }
        let flushed = flush_due(&shared).await;
        drop_retained(&shared);
        if flushed {
            delete_covered(&shared).await;
        }
        shared.metrics.head_bytes.set(shared.head.memory.held() as i64);
        shared.metrics.dedup_ids.set(shared.dedup.len() as i64);
    }
}

/// Flushes what is old or large; when memory is short, the largest tenant too. Tells whether anything was flushed.
async fn flush_due(shared: &Arc<Shared>) -> bool {
    let now = shared.clock.monotonic();
    let mut loads: Vec<(u64, Duration, Arc<TenantHead>)> = Vec::new();
    for tenant in shared.head.tenants() {
        if let (bytes, Some(opened_at)) = tenant.uncommitted() {
            loads.push((bytes, now.saturating_sub(opened_at), tenant));
        }
    }
    shared
        .metrics
        .oldest_unflushed_seconds
        .set(loads.iter().map(|(_, age, _)| age.as_secs()).max().unwrap_or(0) as i64);
    loads.sort_by_key(|(bytes, _, _)| std::cmp::Reverse(*bytes));
    // Well before the log is full: at `log.bytes-max` pushes are refused.
    let log_full = shared.journal().is_ok_and(|journal| journal.uncovered_bytes() > shared.log_bytes_max / 2);
    let mut flushed = false;
    for (position, (bytes, age, tenant)) in loads.iter().enumerate() {
        let short = position == 0 && (shared.head.memory.is_near_full() || log_full);
        let is_due = *age >= shared.config.flush_interval || *bytes >= shared.config.flush_bytes.0 || short;
        if !is_due || now < tenant.retry.lock().not_before {
            continue;
        }
        match flush_tenant(shared, tenant).await {
            Ok(()) => flushed = true,
            Err(error) => {
                warn!(tenant = %tenant.tenant, error = &error as &dyn std::error::Error, "flush failed; it will be tried again");
            }
        }
    }
    flushed
}

/// Committed rows leave memory after a while, at once when memory is short.
pub(crate) fn drop_retained(shared: &Shared) {
    let now = shared.clock.monotonic();
    let memory = &shared.head.memory;
    let retain = if memory.is_near_full() { Duration::ZERO } else { shared.config.retain_after_commit };
    // Symbols are worth keeping over a flush or two: a cold partition costs about twice a warm one.
    let idle = if memory.is_near_full() { Duration::ZERO } else { shared.config.flush_interval * 2 };
    for tenant in shared.head.tenants() {
        // A plan that is older than what was dropped is made anew by the querier; that is better than memory that grows with the rate.
        let bytes_max = shared.config.flush_bytes.0;
        tenant.drop_retained(memory, now.saturating_sub(retain), bytes_max, now.saturating_sub(idle));
    }
}

/// Everything that was logged before the call goes into blocks, and its log away.
async fn purge_log(shared: &Arc<Shared>) -> Result<(), IngesterError> {
    let _one_at_a_time = shared.purging.lock().await;
    let journal = shared.journal()?;
    let (log, cut_at) = journal.cut().await?;
    recovery::flush_all(shared).await?;
    let old_logs = delete_covered(shared).await;
    let is_uncovered = |tenant: &Arc<TenantHead>| tenant.first_uncovered(&log).is_some_and(|first| first < cut_at);
    if shared.head.tenants().iter().any(is_uncovered) {
        return Err(IngesterError::LogStays { log });
    }
    journal.delete_covered_of(&log, cut_at - 1).await?;
    let ended = shared.apply.epochs().into_iter().map(|epoch| epoch.log).find(|other| *other != log);
    match ended.or_else(|| old_logs.into_iter().next()) {
        Some(log) => Err(IngesterError::LogStays { log }),
        None => Ok(()),
    }
}

/// Deletes log segments and old logs whose rows all lie in committed blocks; names old logs that stay.
async fn delete_covered(shared: &Arc<Shared>) -> Vec<String> {
    // Read before the tenants are asked: what is applied meanwhile lies above it.
    let epochs = shared.apply.epochs();
    let tenants = shared.head.tenants();
    if let Ok(journal) = shared.journal() {
        for (position, epoch) in epochs.iter().enumerate() {
            let first = tenants.iter().filter_map(|tenant| tenant.first_uncovered(&epoch.log)).min();
            let through = first.map_or(epoch.seq, |first| first.saturating_sub(1).min(epoch.seq));
            match journal.delete_covered_of(&epoch.log, through).await {
                Ok(()) if first.is_none() && position + 1 < epochs.len() => shared.apply.forget_epoch(&epoch.log),
                Ok(()) => {}
                Err(error) => {
                    warn!(
                        log = epoch.log,
                        through,
                        error = &error as &dyn std::error::Error,
                        "covered log stays for now"
                    );
                }
            }
        }
    }
    shared.old_logs.lock().await.delete_covered(&tenants).await
}
