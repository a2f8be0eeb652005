//! The life of rules: one task for each tenant that this process owns, one window after the other, each stored before it is sent.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flamelake_config::LimitsSource;
use flamelake_model::{StatusError, TenantId};
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::config::RecordingRulesConfig;
use super::evaluate::{Evaluator, Patience};
use super::metrics::Metrics;
use super::remote_write::{Receiver, Refusal, requests};
use super::rule::Rule;
use super::store::{ById, RuleStore};
use super::window::{Next, Outcome, Schedule, Window};
use super::{RecordingRulesDeps, RuleOwnership};
use crate::numbered::Place;

/// Windows that are evaluated at the same time, of all tenants.
const WINDOWS_AT_ONCE: usize = 8;
/// A rule has half of the interval for a window, or so long.
const EVALUATE_WITHIN_MIN: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Ruler {
    store: RuleStore,
    receiver: Arc<dyn Receiver>,
    limits: Arc<dyn LimitsSource>,
    ownership: Arc<dyn RuleOwnership>,
    clock: SharedClock,
    metrics: Metrics,
    evaluator: Evaluator,
    schedule: Schedule,
    interval: Duration,
    turns: Semaphore,
    /// When the oldest window ended, or ends, that is not sent.
    unsent: Mutex<HashMap<TenantId, i64>>,
}

/// The newest window, known to have arrived.
#[derive(Clone, Debug, Default)]
struct Arrived {
    place: Place,
    /// `None`: there was never one.
    end_ms: Option<i64>,
    start_ms: i64,
    /// Rules that it has an outcome of.
    rules: BTreeSet<String>,
}

impl Arrived {
    fn of(place: Place, window: &Window) -> Self {
        let rules = window.rules.iter().map(|outcome| outcome.id.clone()).collect();
        Self { place, end_ms: Some(window.end_ms), start_ms: window.start_ms, rules }
    }
}

/// What a tenant's task knows between windows.
#[derive(Debug, Default)]
struct Progress {
    arrived: Option<Arrived>,
    patience: Patience,
    failures: u32,
    /// Since when rules of the configuration are known here, Unix milliseconds.
    seen: HashMap<String, i64>,
}

/// Why a window is not done.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error("{why}")]
    Refused { why: String, after: Option<Duration> },
}

impl Ruler {
    pub(super) fn new(
        config: RecordingRulesConfig,
        deps: RecordingRulesDeps,
        store: RuleStore,
        receiver: Arc<dyn Receiver>,
        metrics: Metrics,
    ) -> Self {
        let RecordingRulesDeps { querier, limits, ownership, clock, .. } = deps;
        let evaluator = Evaluator {
            querier,
            clock: SharedClock::clone(&clock),
            tenant_label: config.tenant_label,
            series_max: config.series_max,
            within: (config.interval / 2).max(EVALUATE_WITHIN_MIN),
        };
        Self {
            store,
            receiver,
            limits,
            ownership,
            clock,
            metrics,
            evaluator,
            schedule: Schedule::new(config.interval, config.delay, config.catch_up),
            interval: config.interval,
            turns: Semaphore::new(WINDOWS_AT_ONCE),
            unsent: Mutex::default(),
        }
    }

    /// Looks for tenants and works for those that are its own. Dropping it stops all work.
    pub(super) async fn run(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<TenantId, AbortHandle> = HashMap::new();
        loop {
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    warn!(%error, "the rules of a tenant begin again: their task ended by panic");
                }
            }
            running.retain(|_, task| !task.is_finished());
            match self.tenants().await {
                Ok(tenants) => {
                    for tenant in tenants.into_iter().filter(|tenant| self.ownership.owns(tenant)) {
                        let task = || tasks.spawn(Arc::clone(self).tenant(tenant.clone()));
                        running.entry(tenant.clone()).or_insert_with(task);
                    }
                }
                Err(error) => info!(%error, "tenants with recording rules cannot be listed; it is tried again later"),
            }
            self.tell_lag();
            self.clock.sleep(self.interval.min(PAUSE_MAX)).await;
        }
    }

    /// Who has, or had, rules.
    async fn tenants(&self) -> Result<BTreeSet<TenantId>, StatusError> {
        let mut tenants: BTreeSet<TenantId> = self.store.tenants().await?.into_iter().collect();
        let mut others = self.limits.named();
        if !self.limits.for_others().recording_rules.is_empty() {
            others.extend(self.store.tenants_with_data().await?);
        }
        tenants.extend(others.into_iter().filter(|tenant| !self.limits.for_tenant(tenant).recording_rules.is_empty()));
        Ok(tenants)
    }

    async fn tenant(self: Arc<Self>, tenant: TenantId) {
        let mut progress = Progress::default();
        while self.ownership.owns(&tenant) {
            let pause = match self.step(&tenant, &mut progress).await {
                Ok(pause) => {
                    progress.failures = 0;
                    pause
                }
                Err(error) => {
                    self.metrics.retries.inc();
                    progress.failures += 1;
                    let pause = pause_after(&error, progress.failures);
                    warn!(%tenant, %error, failures = progress.failures, ?pause, "a window of recording rules is tried again");
                    pause
                }
            };
            self.tell_lag();
            self.clock.sleep(pause).await;
        }
        self.unsent.lock().remove(&tenant);
    }

    /// One window, or none if none is due. How long to wait for the next.
    async fn step(&self, tenant: &TenantId, progress: &mut Progress) -> Result<Duration, StepError> {
        let arrived = match progress.arrived.clone() {
            Some(arrived) => arrived,
            None => self.newest_arrived(tenant, progress.failures > 0).await?,
        };
        progress.arrived = Some(arrived.clone());
        let rules = self.rules(tenant, &arrived, &mut progress.seen).await?;
        let Some(created_at_ms) = rules.values().map(|rule| rule.created_at_ms).min() else {
            self.unsent.lock().remove(tenant);
            return Ok(self.interval);
        };
        let (span, skipped_ms) = match self.schedule.next(arrived.end_ms, created_at_ms, self.now_ms()) {
            Next::Due { span, skipped_ms } => (span, skipped_ms),
            Next::At { ms, end_ms } => {
                self.unsent.lock().insert(tenant.clone(), end_ms);
                // A clock that jumps, and rules that come, are seen soon enough.
                let wait = Duration::from_millis(u64::try_from(ms - self.now_ms()).unwrap_or_default());
                return Ok(wait.clamp(Duration::from_millis(1), self.interval));
            }
        };
        self.unsent.lock().insert(tenant.clone(), span.end_ms);
        if skipped_ms > 0 {
            let windows = skipped_ms / self.schedule.interval_ms;
            self.metrics.skipped_windows.inc_by(u64::try_from(windows).unwrap_or_default());
            warn!(%tenant, windows, "windows of recording rules are too old to be made up for (recording-rules.catch-up)");
        }
        let due: Vec<Rule> = rules.into_values().filter(|rule| rule.created_at_ms < span.end_ms).collect();
        let window = {
            let _turn = self.turns.acquire().await;
            self.evaluator.window(tenant, due, span, &mut progress.patience).await?
        };
        // From here on it may be stored, by whomever.
        progress.arrived = None;
        let Some(place) = self.store.windows.put_after(&arrived.place, tenant, &window).await? else {
            info!(%tenant, "another process was first with a window of recording rules");
            return Ok(Duration::ZERO);
        };
        self.count(&window);
        self.send(tenant, &window).await?;
        progress.arrived = Some(Arrived::of(place, &window));
        Ok(Duration::ZERO)
    }

    /// Those that requests made, and those of the configuration: these count since the newest window if they are in it, else from now on.
    async fn rules(
        &self,
        tenant: &TenantId,
        arrived: &Arrived,
        seen: &mut HashMap<String, i64>,
    ) -> Result<ById, StatusError> {
        let mut rules = self.store.load(tenant).await?;
        let provisioned = &self.limits.for_tenant(tenant).recording_rules;
        seen.retain(|id, _| provisioned.iter().any(|(known, _)| known == id));
        let now_ms = self.now_ms();
        for (id, spec) in provisioned.iter() {
            let first_seen_ms = *seen.entry(id.to_owned()).or_insert(now_ms);
            let created_at_ms = if arrived.rules.contains(id) { arrived.start_ms } else { first_seen_ms };
            rules.insert(id.to_owned(), Rule::provisioned(id, spec, created_at_ms));
        }
        Ok(rules)
    }

    /// The newest window is sent again: whoever stored it may have died before it arrived.
    async fn newest_arrived(&self, tenant: &TenantId, is_again: bool) -> Result<Arrived, StepError> {
        let Some((place, window)) = self.store.windows.newest(tenant).await? else {
            return Ok(Arrived::default());
        };
        self.unsent.lock().insert(tenant.clone(), window.end_ms);
        if self.schedule.is_kept(window.end_ms, self.now_ms()) {
            self.send(tenant, &window).await?;
        } else if is_again {
            self.metrics.skipped_windows.inc();
            warn!(%tenant, "a window of recording rules could not be sent while it was young enough (recording-rules.catch-up)");
        }
        Ok(Arrived::of(place, &window))
    }

    async fn send(&self, tenant: &TenantId, window: &Window) -> Result<(), StepError> {
        for outcome in &window.rules {
            for (samples, body) in requests(&outcome.series, window.end_ms) {
                let outcome_of = match self.receiver.write(tenant, body).await {
                    Ok(()) => "sent",
                    Err(Refusal::Never { why }) => {
                        warn!(%tenant, rule = outcome.id, samples, why, "samples of a recording rule are dropped");
                        "refused"
                    }
                    Err(Refusal::Later { why, after }) => return Err(StepError::Refused { why, after }),
                };
                self.metrics.samples.with_label_values(&[outcome_of]).inc_by(samples as u64);
            }
        }
        Ok(())
    }

    fn count(&self, window: &Window) {
        for Outcome { id, series, failed, .. } in &window.rules {
            let outcome = match (failed, series.is_empty()) {
                (Some(why), _) => {
                    info!(rule = id, why, "a recording rule has no value for a window");
                    "failed"
                }
                (None, true) => "empty",
                (None, false) => "samples",
            };
            self.metrics.evaluations.with_label_values(&[outcome]).inc();
        }
    }

    fn tell_lag(&self) {
        let due_ms = self.now_ms() - self.schedule.delay_ms;
        let oldest = self.unsent.lock().values().min().copied();
        let lag_ms = oldest.map_or(0, |end_ms| (due_ms - end_ms).max(0));
        self.metrics.lag_seconds.set(lag_ms as f64 / 1000.0);
    }

    #[cfg(test)]
    pub(super) fn lag_seconds(&self) -> f64 {
        self.metrics.lag_seconds.get()
    }

    #[cfg(test)]
    pub(super) fn skipped_windows(&self) -> u64 {
        self.metrics.skipped_windows.get()
    }

    fn now_ms(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }
}

fn pause_after(error: &StepError, failures: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE_MAX);
    match error {
        StepError::Refused { after: Some(after), .. } => doubled.max(*after),
        _ => doubled,
    }
}
