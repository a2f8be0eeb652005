//! The one place that builds roles and hands them to each other. Roles of one process meet in memory, those of a cluster over gRPC, always
//! through the traits of `api::roles`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use flamelake_api::roles::{Alone, IngesterApi, Ingesters, Member, StoreGatewayApi};
use flamelake_catalog::CatalogStore;
use flamelake_compactor::{Compactor, CompactorDeps, Ownership, OwnsAll, compactor_service, delete_routes};
use flamelake_config::{LimitsSource, TenantLimits};
use flamelake_debuginfo::{Debuginfod, Symboliser, SymboliserDeps, Uploads};
use flamelake_distributor::{Distributor, DistributorDeps, Distributors, RouteDeps, RoutedIngesters};
use flamelake_ingester::{Ingester, IngesterDeps, ingester_service};
use flamelake_journal::{JournalConfig, open_log_store};
use flamelake_object_storage::{Bucket, LocalCache, LocalCacheConfig};
use flamelake_querier::{
    AdHocProfiles, AsyncQueries, OwnsAllRules, Querier, QuerierDeps, RecordingRules, RecordingRulesDeps, RuleOwnership,
    Settings, ShardedGateways,
};
use flamelake_ring::Role;
use flamelake_rpc::{App, RpcRouter};
use flamelake_runtime::clock::SharedClock;
use flamelake_store_gateway::{StoreGateway, StoreGatewayConfig, StoreGatewayDeps, store_gateway_service};
use flamelake_vcs::{Vcs, VcsDeps};
use prometheus::Registry;

use crate::adhoc_formats;
use crate::arbiter;
use crate::cluster::{Cluster, Gated, GatedAlone, member_service};
use crate::config::ServerSettings;
use crate::limit_gauges;
use crate::target::Roles;

/// Everything that runs in this process.
pub(crate) struct System {
    /// Methods of the public port.
    pub(crate) rpc: RpcRouter,
    /// Plain routes of the public port.
    pub(crate) http: Router,
    pub(crate) ingester: Option<Arc<Ingester>>,
    pub(crate) compactor: Option<Arc<Compactor>>,
    pub(crate) limits: Arc<TenantLimits>,
    ingester_api: Option<Arc<dyn IngesterApi>>,
    gateway: Option<Arc<dyn StoreGatewayApi>>,
    /// In front of the bucket of the store-gateway.
    pub(crate) local_cache: Option<LocalCache>,
    /// Queries that are answered later.
    pub(crate) async_queries: Option<AsyncQueries>,
    /// Metrics of profiles.
    pub(crate) recording_rules: Option<RecordingRules>,
    /// Fetches debug information that queries missed.
    pub(crate) debuginfod: Option<Debuginfod>,
}

impl System {
    /// What the other members of the cluster call.
    pub(crate) fn serve(&self, app: App, cluster: &Cluster, clock: &SharedClock) -> App {
        let bytes_max = cluster.peers().config().message_bytes_max.as_usize();
        let mut app = app.grpc(member_service(cluster.handle(), Arc::clone(clock)));
        if let Some(ingester) = &self.ingester_api {
            app = app.grpc(ingester_service(Arc::clone(ingester), bytes_max));
        }
        if let Some(gateway) = &self.gateway {
            app = app.grpc(store_gateway_service(Arc::clone(gateway), bytes_max));
        }
        if let Some(compactor) = &self.compactor {
            app = app.grpc(compactor_service(Arc::clone(compactor)));
        }
        app
    }
}

/// What all builders below take.
struct Parts<'a> {
    settings: &'a ServerSettings,
    roles: &'a Roles,
    cluster: &'a Cluster,
    clock: &'a SharedClock,
    registry: &'a Registry,
    limits: Arc<dyn LimitsSource>,
}

/// Where blocks lie and which are live.
struct Store {
    bucket: Bucket,
    catalog: Arc<CatalogStore>,
    /// `None`: addresses stay as they are.
    symboliser: Option<Symboliser>,
    /// To be run.
    debuginfod: Option<Debuginfod>,
}

/// Builds the roles of this process; when it returns, older logs are replayed and the roles can answer.
pub(crate) async fn build(
    settings: &ServerSettings,
    roles: &Roles,
    cluster: &Cluster,
    clock: &SharedClock,
    registry: &Registry,
) -> anyhow::Result<System> {
    let limits_file = Some(&settings.runtime_config_file).filter(|file| !file.is_empty()).map(Into::into);
    let limits = Arc::new(TenantLimits::open(settings.limits.clone(), limits_file)?);
    limit_gauges::register(&limits, registry)?;
    let source: Arc<dyn LimitsSource> = Arc::clone(&limits) as Arc<dyn LimitsSource>;
    let parts = Parts { settings, roles, cluster, clock, registry, limits: source };
    let mut system = System {
        rpc: RpcRouter::new(),
        http: Router::new(),
        ingester: None,
        compactor: None,
        limits,
        ingester_api: None,
        gateway: None,
        local_cache: None,
        async_queries: None,
        recording_rules: None,
        debuginfod: None,
    };
    let wants_store = [Role::Ingester, Role::StoreGateway, Role::Querier, Role::Compactor];
    let has_uploads = settings.symbolizer.enabled && roles.has(Role::Distributor);
    if has_uploads || wants_store.into_iter().any(|role| roles.has(role)) {
        let mut store = parts.store().await?;
        system.debuginfod = store.debuginfod.take();
        if has_uploads {
            let (config, clock) = (settings.symbolizer.clone(), Arc::clone(clock));
            let uploads = Uploads::new(config, store.bucket.clone(), clock, store.symboliser.clone());
            (system.rpc, system.http) = (uploads.rpc(), uploads.http(settings.tenancy()));
        }
        if roles.has(Role::Ingester) {
            let ingester = Arc::new(parts.ingester(&store).await?);
            let api = parts.gated(Arc::clone(&ingester) as Arc<dyn IngesterApi>);
            cluster.members().set_ingester(Arc::clone(&api));
            (system.ingester, system.ingester_api) = (Some(ingester), Some(api));
        }
        if roles.has(Role::StoreGateway) {
            system.local_cache = parts.local_cache().await?;
            let gateway = parts.gateway(&store, system.local_cache.clone());
            cluster.members().set_gateway(Arc::clone(&gateway));
            system.gateway = Some(gateway);
        }
        if roles.has(Role::Querier) {
            let querier = parts.querier(&store, &system);
            system.http = system.http.merge(querier.http(settings.tenancy())).merge(flamelake_web::routes());
            system.async_queries = settings
                .querier
                .async_queries_enabled
                .then(|| AsyncQueries::new(querier.clone(), store.bucket.clone(), Arc::clone(clock)));
            let settings_rpc = Settings::new(store.bucket.clone(), Arc::clone(clock)).rpc();
            let has_rules = settings.recording_rules.enabled;
            system.rpc = system.rpc.merge(querier.rpc(system.async_queries.clone(), has_rules)).merge(settings_rpc);
            if has_rules {
                let rules = parts.recording_rules(&store, querier)?;
                system.rpc = system.rpc.merge(rules.rpc());
                system.recording_rules = Some(rules);
            }
            let formats = Arc::new(adhoc_formats::pprofs);
            let limits = Arc::clone(&parts.limits);
            let adhoc = AdHocProfiles::new(store.bucket.clone(), Arc::clone(clock), limits, formats);
            let deps = VcsDeps { clock: Arc::clone(clock), registry: registry.clone() };
            system.rpc = system.rpc.merge(adhoc.rpc()).merge(Vcs::new(&settings.vcs, deps)?.rpc());
        }
        if roles.has(Role::Compactor) {
            let compactor = Arc::new(parts.compactor(store, &system)?);
            let deletes = delete_routes(Arc::clone(&compactor), settings.tenancy());
            system.http = system.http.merge(deletes);
            system.compactor = Some(compactor);
        }
    }
    if roles.has(Role::Distributor) {
        let distributor = parts.distributor(&system)?;
        let body_bytes_max = body_bytes_max(system.limits.defaults().ingestion_body_limit_mb);
        system.rpc = flamelake_distributor::register(system.rpc, Arc::clone(&distributor), body_bytes_max);
        system.http = system.http.merge(flamelake_distributor::routes(distributor, settings.tenancy()));
    }
    Ok(system)
}

impl Parts<'_> {
    fn has_etcd(&self) -> bool {
        !self.settings.ring.etcd.endpoints.is_empty()
    }

    async fn store(&self) -> anyhow::Result<Store> {
        let bucket = arbiter::open_bucket(self.settings, self.clock, self.registry)?;
        // Who only reads need not be allowed to write.
        if self.roles.has(Role::Ingester) || self.roles.has(Role::Compactor) {
            bucket.probe_put_if_absent().await.context("check the store")?;
            arbiter::sweep(&bucket).await;
        }
        let config = self.settings.catalog.clone();
        let catalog = CatalogStore::new(bucket.clone(), Arc::clone(self.clock), config, self.registry);
        let symbolizer = &self.settings.symbolizer;
        let deps = || SymboliserDeps {
            bucket: bucket.clone(),
            clock: Arc::clone(self.clock),
            registry: self.registry.clone(),
        };
        let symboliser = symbolizer.enabled.then(|| Symboliser::new(symbolizer, deps()));
        let (symboliser, debuginfod) = symboliser.unzip();
        Ok(Store { bucket, catalog: Arc::new(catalog), symboliser, debuginfod: debuginfod.flatten() })
    }

    async fn ingester(&self, store: &Store) -> anyhow::Result<Ingester> {
        let settings = self.settings;
        let journal = JournalConfig { url: log_url(settings), ..settings.journal.clone() };
        let logs = open_log_store(&journal, &store.bucket, Arc::clone(self.clock), self.registry)?;
        let deps = IngesterDeps {
            bucket: store.bucket.clone(),
            logs,
            catalog: Arc::clone(&store.catalog),
            registrar: self.cluster.registration(),
            symboliser: store.symboliser.clone(),
            clock: Arc::clone(self.clock),
            registry: self.registry.clone(),
        };
        Ok(Ingester::start(self.cluster.own_id().as_str(), settings.ingester.clone(), journal, deps).await?)
    }

    /// Without etcd nobody else asks, so the door is always open.
    fn gated(&self, ingester: Arc<dyn IngesterApi>) -> Arc<dyn IngesterApi> {
        let gate = self.cluster.gate();
        if !self.has_etcd() {
            return Arc::new(GatedAlone { inner: ingester, gate });
        }
        Arc::new(Gated { inner: ingester, gate, ring: self.cluster.handle() })
    }

    async fn local_cache(&self) -> anyhow::Result<Option<LocalCache>> {
        let StoreGatewayConfig { local_cache_dir, local_cache_bytes_max, local_cache_age_max, .. } =
            &self.settings.store_gateway;
        if local_cache_dir.is_empty() {
            return Ok(None);
        }
        let (bytes_max, age_max) = (local_cache_bytes_max.0, *local_cache_age_max);
        let config = LocalCacheConfig { dir: local_cache_dir.into(), bytes_max, age_max };
        let (clock, registry) = (Arc::clone(self.clock), self.registry.clone());
        let open = move || LocalCache::open(&config, clock, &registry);
        let opened = flamelake_runtime::spawn_blocking(open).await?;
        opened
            .map(Some)
            .with_context(|| format!("open the local cache {local_cache_dir} (store-gateway.local-cache-dir)"))
    }

    fn gateway(&self, store: &Store, local_cache: Option<LocalCache>) -> Arc<dyn StoreGatewayApi> {
        let bucket = store.bucket.clone();
        let bucket = match local_cache {
            Some(cache) => bucket.with_local_cache(cache),
            None => bucket,
        };
        Arc::new(StoreGateway::new(
            self.settings.store_gateway.clone(),
            StoreGatewayDeps {
                bucket,
                symboliser: store.symboliser.clone(),
                clock: Arc::clone(self.clock),
                registry: self.registry.clone(),
            },
        ))
    }

    fn querier(&self, store: &Store, system: &System) -> Querier {
        let config = self.settings.querier.clone();
        let (ingesters, gateways): (Arc<dyn Ingesters>, Arc<dyn StoreGatewayApi>) =
            match (&system.ingester_api, &system.gateway) {
                (Some(ingester), Some(gateway)) if !self.has_etcd() => {
                    let name = self.cluster.own_id().to_string();
                    (Arc::new(Alone(Member { name, api: Arc::clone(ingester) })), Arc::clone(gateway))
                }
                _ => {
                    let gateways = ShardedGateways::new(self.cluster.members(), config.partial_results);
                    (self.cluster.members(), Arc::new(gateways))
                }
            };
        Querier::new(
            config,
            QuerierDeps {
                ingesters,
                gateways,
                catalog: Arc::clone(&store.catalog),
                limits: Arc::clone(&self.limits),
                clock: Arc::clone(self.clock),
                registry: self.registry.clone(),
            },
        )
    }

    fn recording_rules(&self, store: &Store, querier: Querier) -> anyhow::Result<RecordingRules> {
        let ownership: Arc<dyn RuleOwnership> =
            if self.has_etcd() { self.cluster.members() } else { Arc::new(OwnsAllRules) };
        Ok(RecordingRules::new(
            self.settings.recording_rules.clone(),
            RecordingRulesDeps {
                querier,
                bucket: store.bucket.clone(),
                limits: Arc::clone(&self.limits),
                ownership,
                clock: Arc::clone(self.clock),
                registry: self.registry.clone(),
            },
        )?)
    }

    fn distributor(&self, system: &System) -> anyhow::Result<Arc<Distributor>> {
        let ring = self.cluster.handle();
        let distributors = Distributors(Arc::new(move || ring.snapshot().usable(Role::Distributor)));
        let ingester: Arc<dyn IngesterApi> = match &system.ingester_api {
            Some(ingester) if !self.has_etcd() => Arc::clone(ingester),
            _ => Arc::new(RoutedIngesters::new(
                &self.settings.distributor,
                RouteDeps {
                    members: self.cluster.members(),
                    clock: Arc::clone(self.clock),
                    distributors: distributors.clone(),
                    registry: self.registry.clone(),
                },
            )?),
        };
        Ok(Distributor::new(
            self.settings.distributor.clone(),
            DistributorDeps {
                clock: Arc::clone(self.clock),
                limits: Arc::clone(&self.limits),
                ingester,
                distributors,
                registry: self.registry.clone(),
            },
        )?)
    }

    /// Whom a delete asks to flush.
    fn ingesters(&self, system: &System) -> Arc<dyn Ingesters> {
        match &system.ingester_api {
            Some(ingester) if !self.has_etcd() => {
                Arc::new(Alone(Member { name: self.cluster.own_id().to_string(), api: Arc::clone(ingester) }))
            }
            _ => self.cluster.members(),
        }
    }

    fn compactor(&self, store: Store, system: &System) -> anyhow::Result<Compactor> {
        let ownership: Arc<dyn Ownership> = if self.has_etcd() { self.cluster.members() } else { Arc::new(OwnsAll) };
        Ok(Compactor::new(
            self.settings.compactor.clone(),
            CompactorDeps {
                bucket: store.bucket,
                catalog: store.catalog,
                ownership,
                ingesters: self.ingesters(system),
                limits: Arc::clone(&self.limits),
                clock: Arc::clone(self.clock),
                registry: self.registry.clone(),
            },
        )?)
    }
}

/// One folder is the whole state: without `log.url` the log lies beside the blocks.
pub(crate) fn log_url(settings: &ServerSettings) -> String {
    match (settings.journal.url.as_str(), settings.storage.backend.as_str()) {
        ("", "filesystem") => {
            let folder = Path::new(&settings.storage.filesystem.dir).join(&settings.storage.prefix).join("log");
            format!("file://{}", folder.display())
        }
        ("", _) => "bucket".to_owned(),
        (url, _) => url.to_owned(),
    }
}

/// MiB to bytes; 0 = no bound of the tenant's, only that of what fits into memory.
fn body_bytes_max(mib: f64) -> usize {
    const UNBOUNDED: usize = 1 << 30;
    if mib <= 0.0 { UNBOUNDED } else { (mib * f64::from(1 << 20)) as usize }
}
