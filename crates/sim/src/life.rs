//! The lives of processes: roles built and ended in the order of the program's `server.rs` and `cluster.rs`, with short times.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use flamelake_api::roles::{IngesterApi, IngesterSet, Ingesters, Member};
use flamelake_catalog::{CatalogConfig, CatalogStore};
use flamelake_compactor::{Compactor, CompactorConfig, CompactorDeps, OwnsAll};
use flamelake_config::{ByteSize, Limits, LimitsSource};
use flamelake_distributor::{DistributorConfig, Distributors, RouteDeps, RoutedIngesters};
use flamelake_ingester::{Ingester, IngesterConfig, IngesterDeps};
use flamelake_journal::{JournalConfig, open_log_store};
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_querier::{Querier, QuerierConfig, QuerierDeps};
use flamelake_ring::{Instance, MemberId, Ring, RingConfig, RingDeps, Role, State};
use flamelake_rpc::Tenancy;
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::with_causes;
use flamelake_store_gateway::{StoreGateway, StoreGatewayConfig, StoreGatewayDeps};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use ulid::Ulid;

use crate::cluster::gate::{Gate, Gated};
use crate::cluster::members::RingMembers;
use crate::cluster::recovery::Recoverer;
use crate::cluster::registration::Registration;
use crate::cluster::remote::Remote;
use crate::etcd::SimEtcd;
use crate::process::{Face, Service};
use crate::store::SimStore;
use crate::world::{ProcessId, World};

/// Keeping times, short enough that a story is longer than they are. Clocks err by less than a quarter of each.
pub(crate) const TOMBSTONE_KEEP: Duration = Duration::from_secs(120);
/// As above, of the catalog.
pub(crate) const DELETE_DELAY: Duration = Duration::from_secs(80);
const LEASE_TTL: Duration = Duration::from_secs(4);
const LINGER: Duration = Duration::from_secs(2);
const TELL_WITHIN: Duration = Duration::from_secs(5);
const COMMIT_WITHIN: Duration = Duration::from_secs(120);

/// How a process is told to end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It will not come back: commits all and leaves the ring.
    Leave,
    /// It will come back: stays a member.
    Pause,
}

/// What every life begins with.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) world: Arc<World>,
    pub(crate) process: ProcessId,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) clock: SharedClock,
    pub(crate) face: Face,
}

/// The doors of a process that takes pushes and queries.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) write: Arc<dyn IngesterApi>,
    read: Router,
}

impl Front {
    /// A flame graph over everything as the legacy route answers it, and whether it says that something is left out.
    pub(crate) async fn query(&self, tenant: &str) -> Result<Vec<u8>, (StatusCode, String)> {
        const PATH: &str = "/pyroscope/render?query=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7B%7D\
                            &from=1795359590000&until=1795360200000&max-nodes=4096&format=json";
        let request = Request::get(PATH).header("X-Scope-OrgID", tenant).body(Body::empty());
        let response = self.read.clone().oneshot(request.expect("a request of literals")).await;
        let (parts, body) = response.unwrap_or_else(|never| match never {}).into_parts();
        let bytes = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        if parts.status != StatusCode::OK {
            return Err((parts.status, String::from_utf8_lossy(&bytes).into_owned()));
        }
        match parts.headers.get("x-flamelake-partial") {
            Some(left_out) => Err((StatusCode::OK, format!("an answer leaves out {left_out:?}"))),
            None => Ok(bytes),
        }
    }
}

type Outcome = Result<&'static str, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

struct Storage {
    bucket: Bucket,
    catalog: Arc<CatalogStore>,
    registry: Registry,
}

struct Membered {
    ring: Ring,
    instance: Instance,
    members: Arc<RingMembers>,
    registration: Arc<Registration>,
    gate: Gate,
}

impl Seat {
    fn storage(&self) -> Storage {
        let registry = Registry::new();
        let (world, name) = (Arc::clone(&self.world), self.name.clone());
        let store = Arc::new(SimStore { world, process: self.process, name });
        let retry = RetryPolicy {
            attempts_max: 3,
            backoff: Duration::from_millis(40),
            backoff_max: Duration::from_millis(500),
            attempt_timeout: Duration::from_millis(900),
            ..RetryPolicy::default()
        };
        let bucket = Bucket::from_store(store, retry, BucketDeps::new(Arc::clone(&self.clock), &registry));
        let config = CatalogConfig {
            delete_delay: DELETE_DELAY,
            orphan_grace: Duration::from_secs(40),
            checkpoint_every: 4,
            ..CatalogConfig::default()
        };
        let catalog = Arc::new(CatalogStore::new(bucket.clone(), Arc::clone(&self.clock), config, &registry));
        Storage { bucket, catalog, registry }
    }

    async fn membered(&self, roles: &[Role]) -> Result<Membered, String> {
        let config = RingConfig {
            tokens: 4,
            lease_ttl: LEASE_TTL,
            forget_after: Duration::from_secs(3),
            drop_grace: Duration::from_secs(15),
            ..RingConfig::default()
        };
        let etcd = SimEtcd {
            world: Arc::clone(&self.world),
            process: self.process,
            name: self.name.clone(),
            clock: Arc::clone(&self.clock),
        };
        let deps = RingDeps { clock: Arc::clone(&self.clock), registry: Registry::new() };
        let ring = Ring::over(Arc::new(etcd), config, deps).await.map_err(text)?;
        let now_ms = u64::try_from(self.clock.unix_nanos() / 1_000_000).unwrap_or(0);
        let instance = Instance {
            id: MemberId::parse(&self.name)?,
            incarnation: Ulid::from_parts(now_ms, self.clock.random()),
            roles: roles.to_vec(),
            address: self.address.clone(),
            zone: String::new(),
            log_url: roles.contains(&Role::Ingester).then(|| "bucket".to_owned()),
        };
        let remote = Remote {
            world: Arc::clone(&self.world),
            process: self.process,
            name: self.name.clone(),
            clock: Arc::clone(&self.clock),
        };
        let gate = Gate::default();
        let members = RingMembers::new(ring.handle(), instance.id.clone(), remote.clone(), Arc::clone(&self.clock));
        let registration = Registration::new(
            ring.handle(),
            instance.id.clone(),
            instance.incarnation,
            gate.clone(),
            remote,
            Arc::clone(&self.clock),
            LEASE_TTL,
        );
        Ok(Membered { ring, instance, members: Arc::new(members), registration: Arc::new(registration), gate })
    }

    fn serve(&self, membered: &Membered, ingester: Option<Arc<dyn IngesterApi>>) {
        let ring = Some((membered.ring.handle(), Arc::clone(&self.clock)));
        self.face.set_service(Service { ingester, ring });
    }

    /// Makes frames durable and answers for them.
    pub(crate) async fn ingester(self, stop: oneshot::Receiver<Ending>) -> Outcome {
        let membered = self.membered(&[Role::Ingester]).await?;
        let Storage { bucket, catalog, registry } = self.storage();
        let journal =
            JournalConfig { url: "bucket".to_owned(), tombstone_keep: TOMBSTONE_KEEP, ..JournalConfig::default() };
        let logs = open_log_store(&journal, &bucket, Arc::clone(&self.clock), &registry).map_err(text)?;
        let config = IngesterConfig {
            head_bytes_max: ByteSize(64 << 20),
            flush_interval: Duration::from_secs(15),
            retain_after_commit: Duration::from_secs(4),
            ..IngesterConfig::default()
        };
        let deps = IngesterDeps {
            symboliser: None,
            bucket,
            logs: self.world.plant.logs(logs),
            catalog,
            registrar: Arc::clone(&membered.registration) as _,
            clock: Arc::clone(&self.clock),
            registry,
        };
        let ingester = Ingester::start(&self.name, config, journal, deps).await;
        let ingester = Arc::new(ingester.map_err(|error| with_causes(&error))?);
        let gated =
            Gated { inner: Arc::clone(&ingester) as _, gate: membered.gate.clone(), ring: membered.ring.handle() };
        let gated: Arc<dyn IngesterApi> = Arc::new(gated);
        membered.members.set_ingester(Arc::clone(&gated));
        self.serve(&membered, Some(gated));
        let recoverer = Recoverer {
            ring: membered.ring.handle(),
            own: membered.instance.id.clone(),
            ingester: Arc::clone(&ingester),
            members: Arc::clone(&membered.members),
            clock: Arc::clone(&self.clock),
        };
        tokio::spawn(recoverer.run(CancellationToken::new()));
        let (ending, why) = self.member(&membered, stop).await?;
        membered.gate.shut();
        self.within(TELL_WITHIN, membered.registration.set_state(State::Leaving)).await;
        if ending == Ending::Leave
            && self.within(COMMIT_WITHIN, ingester.finish()).await
            && self.within(TELL_WITHIN, membered.registration.leave()).await
        {
            self.clock.sleep(LINGER).await;
        }
        ingester.stop().await;
        self.within(TELL_WITHIN, membered.registration.pause()).await;
        Ok(why)
    }

    /// Takes pushes and queries: a distributor, a querier and a store-gateway.
    pub(crate) async fn front(self, stop: oneshot::Receiver<Ending>) -> Outcome {
        let membered = self.membered(&[Role::Distributor, Role::Querier]).await?;
        let Storage { bucket, catalog, registry } = self.storage();
        let routes = RouteDeps {
            members: Arc::clone(&membered.members) as _,
            clock: Arc::clone(&self.clock),
            distributors: Distributors::alone(),
            registry: registry.clone(),
        };
        let write = RoutedIngesters::new(&DistributorConfig::default(), routes).map_err(text)?;
        let deps =
            StoreGatewayDeps { symboliser: None, bucket, clock: Arc::clone(&self.clock), registry: registry.clone() };
        let gateway = StoreGateway::new(StoreGatewayConfig::default(), deps);
        let deps = QuerierDeps {
            ingesters: Arc::clone(&membered.members) as _,
            gateways: Arc::new(gateway),
            catalog,
            limits: limits(),
            clock: Arc::clone(&self.clock),
            registry,
        };
        let config = QuerierConfig { timeout: Duration::from_secs(30), ..QuerierConfig::default() };
        let read = Querier::new(config, deps).http(Tenancy::Multi);
        self.serve(&membered, None);
        self.face.set_front(Front { write: Arc::new(write), read });
        let (ending, why) = self.member(&membered, stop).await?;
        self.within(TELL_WITHIN, membered.registration.set_state(State::Leaving)).await;
        if ending == Ending::Leave {
            self.within(TELL_WITHIN, membered.registration.leave()).await;
        }
        self.within(TELL_WITHIN, membered.registration.pause()).await;
        Ok(why)
    }

    /// Merges blocks and sweeps.
    pub(crate) async fn compactor(self, stop: oneshot::Receiver<Ending>) -> Outcome {
        let Storage { bucket, catalog, registry } = self.storage();
        let config = CompactorConfig {
            cleanup_interval: Duration::from_secs(20),
            compaction_interval: Duration::from_secs(15),
            blocks_per_merge_max: 4,
            ..CompactorConfig::default()
        };
        let (ownership, clock) = (Arc::new(OwnsAll), Arc::clone(&self.clock));
        let deps = CompactorDeps {
            bucket,
            catalog,
            ownership,
            ingesters: Arc::new(Nobody),
            limits: limits(),
            clock,
            registry,
        };
        let compactor = Compactor::new(config, deps).map_err(text)?;
        let token = CancellationToken::new();
        tokio::select! {
            biased;
            _ = stop => {}
            () = compactor.run(token) => {}
        }
        Ok("was stopped")
    }

    /// A member until it is told to end, or its id is taken.
    async fn member(
        &self,
        membered: &Membered,
        stop: oneshot::Receiver<Ending>,
    ) -> Result<(Ending, &'static str), String> {
        let membership = membered.ring.join(membered.instance.clone(), State::Joining).await.map_err(text)?;
        membered.registration.begin(membership).await;
        let name = self.name.clone();
        self.world.trace(&name, || "is active".to_owned());
        Ok(tokio::select! {
            biased;
            ending = stop => (ending.unwrap_or(Ending::Pause), "was stopped"),
            () = membered.registration.superseded() => (Ending::Leave, "its id was taken"),
        })
    }

    /// True if it was done in time.
    async fn within<E: std::fmt::Display>(&self, time: Duration, work: impl Future<Output = Result<(), E>>) -> bool {
        tokio::select! {
            biased;
            outcome = work => outcome.is_ok(),
            () = self.clock.sleep(time) => false,
        }
    }
}

/// Whom the compactor asks for a delete; no story has one.
struct Nobody;

#[async_trait::async_trait]
impl Ingesters for Nobody {
    fn all(&self) -> IngesterSet {
        IngesterSet { epoch: 0, members: Vec::new() }
    }

    fn for_service(&self, _: &TenantId, _: &str, _: usize) -> Vec<Member<dyn IngesterApi>> {
        Vec::new()
    }

    async fn catch_up(&self, _: u64) -> Result<(), StatusError> {
        Ok(())
    }
}

fn limits() -> Arc<dyn LimitsSource> {
    Arc::new(Arc::new(Limits {
        max_query_lookback: Duration::ZERO,
        max_query_length: Duration::ZERO,
        retention_period: Duration::ZERO,
        ..Limits::default()
    }))
}

/// A push's outcome in a word.
pub(crate) fn outcome_name(outcome: &Result<(), StatusError>) -> String {
    match outcome {
        Ok(()) => "acknowledged".to_owned(),
        Err(error) => format!("{}: {}", error.code.name(), error.message),
    }
}
