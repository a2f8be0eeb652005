//! The distributor as a value: built once from its configuration and what it needs, then called by every edge.

use std::sync::Arc;

use flamelake_api::roles::IngesterApi;
use flamelake_config::LimitsSource;
use flamelake_model::relabel::RelabelRules;
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;

use crate::DistributorConfig;
use crate::inflight::InflightBytes;
use crate::metrics::Metrics;
use crate::prepare::Workers;
use crate::rate_limit::RateLimiter;
use crate::refusals::Refusals;
use crate::relabel;

/// Counts the distributors that share a tenant's rate now; 0 counts as one.
#[derive(Clone)]
pub struct Distributors(pub Arc<dyn Fn() -> usize + Send + Sync>);

impl Distributors {
    /// This one has all of it.
    pub fn alone() -> Self {
        Self(Arc::new(|| 1))
    }
}

impl std::fmt::Debug for Distributors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Distributors({})", (self.0)())
    }
}

/// What a distributor needs from others.
#[derive(Clone)]
pub struct DistributorDeps {
    /// Time.
    pub clock: SharedClock,
    /// Limits of each tenant.
    pub limits: Arc<dyn LimitsSource>,
    /// Who makes frames durable.
    pub ingester: Arc<dyn IngesterApi>,
    /// Among whom a tenant's rate is divided.
    pub distributors: Distributors,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl std::fmt::Debug for DistributorDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DistributorDeps").finish_non_exhaustive()
    }
}

/// See [`push`](Self::push). Share it by `Arc`; it needs no running task.
pub struct Distributor {
    pub(crate) config: DistributorConfig,
    pub(crate) clock: SharedClock,
    pub(crate) limits: Arc<dyn LimitsSource>,
    pub(crate) ingester: Arc<dyn IngesterApi>,
    pub(crate) metrics: Metrics,
    pub(crate) workers: Workers,
    pub(crate) inflight: InflightBytes,
    pub(crate) default_rules: RelabelRules,
}

impl Distributor {
    /// Builds it; fails only if its metrics are registered already.
    pub fn new(config: DistributorConfig, deps: DistributorDeps) -> Result<Arc<Self>, prometheus::Error> {
        let DistributorDeps { clock, limits, ingester, distributors, registry } = deps;
        let metrics = Metrics::register(&registry, Refusals::new(Arc::clone(&clock)))?;
        let workers = Workers::new(
            config.decode_threads,
            RateLimiter::new(Arc::clone(&clock), distributors),
            Arc::clone(&clock),
            metrics.clone(),
        );
        metrics.inflight_bytes_max.set(i64::try_from(config.inflight_bytes_max.0).unwrap_or(i64::MAX));
        let inflight = InflightBytes::new(config.inflight_bytes_max.0, metrics.inflight_bytes.clone());
        let default_rules = relabel::default_rules().expect("literals that a test compiles");
        Ok(Arc::new(Self { config, clock, limits, ingester, metrics, workers, inflight, default_rules }))
    }
}

impl std::fmt::Debug for Distributor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Distributor").field("config", &self.config).finish_non_exhaustive()
    }
}
