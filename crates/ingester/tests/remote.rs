//! The ingester behind a socket answers as the one in memory does; calls end when their caller is gone.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_catalog::{CatalogConfig, CatalogStore};
use flamelake_config::ByteSize;
use flamelake_ingester::{Ingester, IngesterConfig, IngesterDeps, NoRing, RemoteIngester, ingester_service};
use flamelake_journal::{JournalConfig, open_log_store};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, SampleFilter, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::{ErrorCode, ProfileType, StatusError, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_rpc::peer::{PeerConfig, Peers};
use flamelake_rpc::{App, Server, ServerConfig, ServerMetrics, Tenancy};
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::FrameBuilder;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

async fn ingester(folder: &tempfile::TempDir) -> Arc<Ingester> {
    let (clock, registry, bucket) = (SystemClock::shared(), Registry::new(), Bucket::in_memory());
    let journal = JournalConfig { url: format!("file://{}", folder.path().display()), ..JournalConfig::default() };
    let deps = IngesterDeps {
        symboliser: None,
        bucket: bucket.clone(),
        logs: open_log_store(&journal, &bucket, Arc::clone(&clock), &registry).unwrap(),
        catalog: Arc::new(CatalogStore::new(bucket, Arc::clone(&clock), CatalogConfig::default(), &registry)),
        registrar: Arc::new(NoRing),
        clock,
        registry,
    };
    Arc::new(Ingester::start("one", IngesterConfig::default(), journal, deps).await.unwrap())
}

async fn serve(ingester: Arc<dyn IngesterApi>) -> SocketAddr {
    let metrics = ServerMetrics::register(&Registry::new(), SystemClock::shared()).unwrap();
    let config = ServerConfig::default();
    let server = Server::bind("127.0.0.1:0", config.clone(), metrics.clone()).await.unwrap();
    let address = server.local_addr();
    let app = App::new().grpc(ingester_service(ingester, 64 << 20)).build(&config, Tenancy::Single, &metrics).unwrap();
    tokio::spawn(server.run(app, CancellationToken::new()));
    address
}

fn remote(address: impl ToString, config: PeerConfig) -> RemoteIngester {
    RemoteIngester::new(&address.to_string(), Peers::new(config))
}

fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

fn question() -> IngesterQuery {
    let selection = Selection {
        profile_type: Some(ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap()),
        selector: Selector::all(),
        range: TimeRange::new(TimestampMs(0), TimestampMs(1_000)).unwrap(),
    };
    let query = PartialQuery::Tree { selection, filter: SampleFilter::default() };
    IngesterQuery { tenant: tenant(), catalog_version: 0, watermarks: Vec::new(), query }
}

fn tree(answer: &PartialAnswer) -> Vec<u8> {
    match &answer.result {
        PartialResult::Tree(tree) => tree.encode(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_remote_ingester_is_as_good_as_a_local_one() {
    let folder = tempfile::tempdir().unwrap();
    let local = ingester(&folder).await;
    let remote = remote(serve(Arc::clone(&local) as _).await, PeerConfig::default());
    let frame = FrameBuilder::cpu("api").id_from(1).time_ns(5).group(&[("pod", "a")]).stack("main;work", &[7]).build();
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    let frames = vec![bytes.into(), "no frame".into()];
    let outcomes = remote.append(AppendRequest { tenant: tenant(), frames, spread: Vec::new() }).await.unwrap();
    assert_eq!(outcomes[0], Ok(()));
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, ErrorCode::InvalidArgument);

    let (near, far) = (local.query(question()).await.unwrap(), remote.query(question()).await.unwrap());
    assert_eq!((tree(&near), &near.stats), (tree(&far), &far.stats));
    assert_eq!(far.stats.samples, 1);

    remote.flush(Some(tenant())).await.unwrap();
    // Planned on the version before the flush: still answered from memory, on either side.
    assert_eq!(tree(&remote.query(question()).await.unwrap()), tree(&near));
    local.stop().await;
}

#[tokio::test]
async fn whoever_is_not_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = remote(address, PeerConfig::default()).query(question()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains(&address.to_string()), "{error}");
    // Surely not stored: a distributor may ask another one.
    let append = AppendRequest { tenant: tenant(), frames: Vec::new(), spread: Vec::new() };
    let error = remote(address, PeerConfig::default()).append(append).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FailedPrecondition, "{error}");
    let error = remote("not an address", PeerConfig::default()).query(question()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
}

/// Never answers; counts the questions that it was asked and those that were given up.
#[derive(Default)]
struct Slow {
    asked: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl IngesterApi for Slow {
    async fn append(&self, _: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Ok(Vec::new())
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _guard = Guard(Arc::clone(&self.given_up));
        std::future::pending().await
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }
}

async fn until(count: &AtomicUsize, wanted: usize) {
    let reached = async {
        while count.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("it never came so far");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_stops() {
    let slow = Slow::default();
    let (asked, given_up) = (Arc::clone(&slow.asked), Arc::clone(&slow.given_up));
    let address = serve(Arc::new(slow)).await;
    let patient = remote(address, PeerConfig::default());
    let call = tokio::spawn(async move { patient.query(question()).await });
    until(&asked, 1).await;
    call.abort();
    until(&given_up, 1).await;

    let hasty = remote(address, PeerConfig { query_timeout: Duration::from_millis(50), ..PeerConfig::default() });
    let error = hasty.query(question()).await.unwrap_err();
    assert!(matches!(error.code, ErrorCode::DeadlineExceeded | ErrorCode::Unavailable), "{error}");
    until(&given_up, 2).await;
}

#[tokio::test]
async fn too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let local = ingester(&folder).await;
    let address = serve(Arc::clone(&local) as _).await;
    let small = remote(address, PeerConfig { message_bytes_max: ByteSize(1), ..PeerConfig::default() });
    let error = small.query(question()).await.unwrap_err();
    assert!(matches!(error.code, ErrorCode::ResourceExhausted | ErrorCode::OutOfRange), "{error}");
    // An append that the answer does not match is no success.
    let outcomes = remote(serve(Arc::new(Slow::default())).await, PeerConfig::default())
        .append(AppendRequest { tenant: tenant(), frames: vec!["x".into()], spread: Vec::new() })
        .await;
    assert_eq!(outcomes.unwrap_err().code, ErrorCode::Internal);
    local.stop().await;
}
