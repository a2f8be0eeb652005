//! What a store-gateway is made of. It has no work of its own between questions.

use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::roles::{StoreGatewayApi, StoreGatewayQuery};
use flamelake_block::meta::Ulid;
use flamelake_debuginfo::Symboliser;
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::fair::FairTurns;
use parking_lot::Mutex;
use prometheus::Registry;

use crate::block_cache::BlockCache;
use crate::config::StoreGatewayConfig;
use crate::metrics::Metrics;
use crate::query;

/// Damaged blocks that are remembered as told; at it the memory starts anew and a block may be told twice.
const TOLD_MAX: usize = 10_000;

/// What a store-gateway works with.
#[derive(Clone, Debug)]
pub struct StoreGatewayDeps {
    /// Where blocks lie.
    pub bucket: Bucket,
    /// Names addresses; `None`: they stay as they are.
    pub symboliser: Option<Symboliser>,
    /// Time, for the duration of queries.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// What the questions of one store-gateway share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StoreGatewayConfig,
    pub(crate) cache: BlockCache,
    /// One a block that is being read. Tenants take turns.
    pub(crate) turns: FairTurns<TenantId>,
    /// One a core, for computing.
    pub(crate) cores: FairTurns<TenantId>,
    pub(crate) symboliser: Option<Symboliser>,
    pub(crate) metrics: Metrics,
    clock: SharedClock,
    told: Mutex<std::collections::HashSet<(TenantId, Ulid)>>,
}

impl Shared {
    /// True the first time that a block is found damaged.
    pub(crate) fn is_news(&self, tenant: &TenantId, block: Ulid) -> bool {
        let mut told = self.told.lock();
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert((tenant.clone(), block))
    }
}

/// The committed-read side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreGateway {
    shared: Arc<Shared>,
}

impl StoreGateway {
    /// A store-gateway over a bucket. Registers its metrics.
    pub fn new(config: StoreGatewayConfig, deps: StoreGatewayDeps) -> Self {
        let metrics = Metrics::register(&deps.registry);
        let cache = BlockCache::new(deps.bucket, config.cache_bytes_max.0, metrics.clone());
        let (turns, cores) = (FairTurns::new(config.blocks_concurrent_max), FairTurns::one_a_core());
        let told = Mutex::default();
        let (clock, symboliser) = (deps.clock, deps.symboliser);
        Self { shared: Arc::new(Shared { config, cache, turns, cores, symboliser, metrics, clock, told }) }
    }
}

#[async_trait]
impl StoreGatewayApi for StoreGateway {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        let started = self.shared.clock.monotonic();
        let answer = query::query(&self.shared, request).await;
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.shared.metrics.query_seconds.observe(took.as_secs_f64());
        answer
    }
}
