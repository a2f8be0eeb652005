//! The one place that builds roles and hands them to each other. In `all` they meet in memory, through the traits of `api::roles`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use flamelake_api::roles::{Alone, IngesterApi, Member, StoreGatewayApi};
use flamelake_catalog::CatalogStore;
use flamelake_compactor::{Compactor, CompactorDeps, OwnsAll};
use flamelake_config::{LimitsSource, TenantLimits};
use flamelake_distributor::{Distributor, DistributorDeps};
use flamelake_ingester::{Ingester, IngesterDeps};
use flamelake_journal::{JournalConfig, open_log_store};
use flamelake_object_storage::{Bucket, BucketDeps};
use flamelake_querier::{Querier, QuerierDeps};
use flamelake_rpc::RpcRouter;
use flamelake_runtime::clock::SharedClock;
use flamelake_store_gateway::{StoreGateway, StoreGatewayDeps};
use prometheus::Registry;

use crate::cluster::member_id;
use crate::config::ServerSettings;

/// Everything that runs in this process.
pub(crate) struct System {
    pub(crate) rpc: RpcRouter,
    pub(crate) ingester: Arc<Ingester>,
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) limits: Arc<TenantLimits>,
}

/// Builds all roles; when it returns, older logs are replayed and the roles can answer.
pub(crate) async fn build(
    settings: &ServerSettings,
    clock: &SharedClock,
    registry: &Registry,
) -> anyhow::Result<System> {
    let limits_file = Some(&settings.runtime_config_file).filter(|file| !file.is_empty()).map(Into::into);
    let limits = Arc::new(TenantLimits::open(settings.limits.clone(), limits_file)?);
    let source: Arc<dyn LimitsSource> = Arc::clone(&limits) as Arc<dyn LimitsSource>;
    let bucket = Bucket::open(&settings.storage, BucketDeps::new(Arc::clone(clock), registry))?;
    bucket.probe_put_if_absent().await.context("check the store")?;
    let catalog = Arc::new(CatalogStore::new(bucket.clone(), Arc::clone(clock), settings.catalog.clone(), registry));
    let ingester = Arc::new(ingester(settings, &bucket, &catalog, clock, registry).await?);
    let ingester_api: Arc<dyn IngesterApi> = Arc::clone(&ingester) as Arc<dyn IngesterApi>;
    let gateway: Arc<dyn StoreGatewayApi> = Arc::new(StoreGateway::new(
        settings.store_gateway.clone(),
        StoreGatewayDeps { bucket: bucket.clone(), clock: Arc::clone(clock), registry: registry.clone() },
    ));
    let querier = Querier::new(
        settings.querier.clone(),
        QuerierDeps {
            ingesters: Arc::new(Alone(Member {
                name: member_id(&settings.ring)?.to_string(),
                api: Arc::clone(&ingester_api),
            })),
            gateways: gateway,
            catalog: Arc::clone(&catalog),
            limits: Arc::clone(&source),
            clock: Arc::clone(clock),
            registry: registry.clone(),
        },
    );
    let distributor = Distributor::new(
        settings.distributor.clone(),
        DistributorDeps {
            clock: Arc::clone(clock),
            limits: Arc::clone(&source),
            ingester: ingester_api,
            registry: registry.clone(),
        },
    )?;
    let compactor = Arc::new(Compactor::new(
        settings.compactor.clone(),
        CompactorDeps {
            bucket: bucket.clone(),
            catalog,
            ownership: Arc::new(OwnsAll),
            limits: source,
            clock: Arc::clone(clock),
            registry: registry.clone(),
        },
    )?);
    let body_bytes_max = body_bytes_max(limits.defaults().ingestion_body_limit_mb);
    let rpc = flamelake_distributor::register(querier.rpc(), distributor, body_bytes_max);
    Ok(System { rpc, ingester, compactor, limits })
}

async fn ingester(
    settings: &ServerSettings,
    bucket: &Bucket,
    catalog: &Arc<CatalogStore>,
    clock: &SharedClock,
    registry: &Registry,
) -> anyhow::Result<Ingester> {
    let journal = JournalConfig { url: log_url(settings), ..settings.journal.clone() };
    let logs = open_log_store(&journal, bucket, Arc::clone(clock), registry)?;
    let deps = IngesterDeps {
        bucket: bucket.clone(),
        logs,
        catalog: Arc::clone(catalog),
        clock: Arc::clone(clock),
        registry: registry.clone(),
    };
    Ok(Ingester::start(member_id(&settings.ring)?.as_str(), settings.ingester.clone(), journal, deps).await?)
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
