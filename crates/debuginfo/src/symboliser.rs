//! Which build ids of a tenant have a table, and the frames of addresses by them. Everything is cached within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus::Registry;

use crate::address::Layout;
use crate::build_id::BuildId;
use crate::config::SymbolizerConfig;
use crate::debuginfod::{self, Debuginfod, Wishes};
use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::store::Store;
use crate::table::{FrameView, Group, Table};

/// Tenants whose build ids are remembered.
const TENANTS_MAX: usize = 10_000;

/// Decoded groups of one table that are kept, a few megabytes each.
const GROUPS_MAX: usize = 16;

/// Build ids of a tenant that have a table.
pub(crate) type Known = Arc<BTreeSet<BuildId>>;

/// What a symboliser works with.
#[derive(Clone, Debug)]
pub struct SymboliserDeps {
    /// Where tables lie.
    pub bucket: Bucket,
    /// For looking again.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Symboliser {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    refresh_interval: Duration,
    known: Mutex<HashMap<TenantId, (Duration, Known)>>,
    tables: moka::future::Cache<(TenantId, BuildId), Arc<Opened>>,
    overlays: moka::sync::Cache<OverlayKey, Arc<Overlay>>,
    metrics: Metrics,
    /// `None`: no debuginfod server is asked.
    wishes: Option<Wishes>,
}

/// A partition of an immutable source, named by the tables of these build ids.
pub(crate) type OverlayKey = (TenantId, String, u32, Vec<BuildId>);

/// A table in memory.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) layout: Layout,
    table: Table,
    groups: Mutex<HashMap<usize, Arc<Group>>>,
}

impl Opened {
    fn group(&self, group: usize) -> Result<Arc<Group>, parquet::errors::ParquetError> {
        if let Some(group) = self.groups.lock().get(&group) {
            return Ok(Arc::clone(group));
        }
        let decoded = Arc::new(self.table.group(group)?);
        let mut groups = self.groups.lock();
        if groups.len() >= GROUPS_MAX {
            groups.clear();
        }
        groups.insert(group, Arc::clone(&decoded));
        Ok(decoded)
    }

    fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.groups.lock().values().map(|group| group.memory_bytes()).sum::<usize>()
    }
}

impl Symboliser {
    /// Over the tables of a bucket; with the client of debuginfod servers, where some are named.
    pub fn new(config: &SymbolizerConfig, deps: SymboliserDeps) -> (Self, Option<Debuginfod>) {
        let bytes_max = config.cache_bytes_max.0;
        let weight = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let tables = moka::future::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(move |_, opened: &Arc<Opened>| weight(opened.memory_bytes()))
            .build();
        let overlays = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(move |_, overlay: &Arc<Overlay>| weight(overlay.memory_bytes()))
            .build();
        let (store, clock, metrics) = (Store::new(deps.bucket), deps.clock, Metrics::register(&deps.registry));
        let (wishes, receiver) = debuginfod::wishes(config).unzip();
        let inner = Inner {
            store: store.clone(),
            clock: Arc::clone(&clock),
            refresh_interval: config.refresh_interval,
            known: Mutex::default(),
            tables,
            overlays,
            metrics: metrics.clone(),
            wishes,
        };
        let symboliser = Self { inner: Arc::new(inner) };
        let own = symboliser.clone();
        let client = receiver.map(|wishes| Debuginfod::new(config.clone(), store, clock, own, metrics, wishes));
        (symboliser, client)
    }

    /// Nobody uploaded it: perhaps a server has it.
    pub(crate) fn wish(&self, tenant: &TenantId, id: &BuildId) {
        if let Some(wishes) = &self.inner.wishes {
            wishes.leave(tenant, id);
        }
    }

    /// The next query lists the tenant's build ids again.
    pub(crate) fn look_again(&self, tenant: &TenantId) {
        self.inner.known.lock().remove(tenant);
    }

    /// Build ids of the tenant that have a table.
    pub(crate) async fn known(&self, tenant: &TenantId) -> Result<Known, StatusError> {
        let now = self.inner.clock.monotonic();
        if let Some((at, known)) = self.inner.known.lock().get(tenant)
            && now.saturating_sub(*at) < self.inner.refresh_interval
        {
            return Ok(Arc::clone(known));
        }
        let listed = self.inner.store.list(tenant).await?;
        let with_table = listed.into_iter().filter(|(_, listed)| listed.has_table).map(|(id, _)| id);
        let known: Known = Arc::new(with_table.collect());
        let mut all = self.inner.known.lock();
        if all.len() >= TENANTS_MAX {
            all.clear();
        }
        all.insert(tenant.clone(), (now, Arc::clone(&known)));
        Ok(known)
    }

    pub(crate) fn overlay(&self, key: &OverlayKey) -> Option<Arc<Overlay>> {
        self.inner.overlays.get(key)
    }

    pub(crate) fn keep_overlay(&self, key: OverlayKey, overlay: Arc<Overlay>) {
        self.inner.overlays.insert(key, overlay);
    }

    /// The table of a build id. `None` if it was deleted, or is damaged, which is logged.
    pub(crate) async fn table(&self, tenant: &TenantId, id: &BuildId) -> Result<Option<Arc<Opened>>, StatusError> {
        let key = (tenant.clone(), id.clone());
        let loaded = self.inner.tables.try_get_with(key, self.load(tenant, id)).await;
        match loaded {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => match error.code {
                ErrorCode::NotFound => Ok(None),
                ErrorCode::DataLoss => {
                    self.inner.metrics.tables_damaged.inc();
                    tracing::warn!(%tenant, build_id = %id, error = &*error as &dyn std::error::Error, "debug information is damaged: delete it and upload it again");
                    Ok(None)
                }
                _ => Err(StatusError::clone(&error)),
            },
        }
    }

    async fn load(&self, tenant: &TenantId, id: &BuildId) -> Result<Arc<Opened>, StatusError> {
        let gone = || StatusError::new(ErrorCode::NotFound, "deleted");
        let store = &self.inner.store;
        let stored = store.table(tenant, id).await?.ok_or_else(gone)?;
        let bytes = store.table_bytes(tenant, id, &stored.crc32c).await?.ok_or_else(gone)?;
        let table = Table::open(bytes).map_err(|error| StatusError::new(ErrorCode::DataLoss, error.to_string()))?;
        Ok(Arc::new(Opened { layout: stored.layout, table, groups: Mutex::default() }))
    }

    /// Calls `each(index, frame)` for the frames of `addresses[index]`, innermost first; nothing for those that the table does not hold.
    pub(crate) async fn frames(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        opened: &Arc<Opened>,
        addresses: &[u64],
        each: &mut (dyn FnMut(usize, FrameView<'_>) + Send),
    ) -> Result<(), StatusError> {
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_unstable_by_key(|at| addresses[*at]);
        let mut named = 0_u64;
        let mut decoded: Option<(usize, Arc<Group>)> = None;
        for at in order {
            let Some(group) = opened.table.group_of(addresses[at]) else { continue };
            if decoded.as_ref().is_none_or(|(known, _)| *known != group) {
                let opened = Arc::clone(opened);
                let work = move || opened.group(group);
                let read = flamelake_runtime::spawn_blocking(work).await;
                let read = read.map_err(|error| StatusError::internal(error.to_string()))?;
                let read = read.map_err(|error| StatusError::new(ErrorCode::DataLoss, error.to_string()))?;
                decoded = Some((group, read));
            }
            let Some((_, group)) = &decoded else { continue };
            let mut found = 0;
            for frame in group.frames(addresses[at]) {
                each(at, frame);
                found = 1;
            }
            named += found;
        }
        let count = |outcome: &str, by: u64| self.inner.metrics.addresses.with_label_values(&[outcome]).inc_by(by);
        count("named", named);
        count("unknown", addresses.len() as u64 - named);
        // Groups were decoded: the table weighs more now.
        self.inner.tables.insert((tenant.clone(), id.clone()), Arc::clone(opened)).await;
        Ok(())
    }
}
