//! Asked now, answered later: whoever polls, whatever becomes of the querier that ran it.

use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::roles::{
    Alone, AppendRequest, IngesterApi, IngesterQuery, Member, StoreGatewayApi, StoreGatewayQuery,
};
use flamelake_catalog::CatalogState;
use flamelake_config::{ByteSize, Limits};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats};
use flamelake_model::tree::Tree;
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{BucketDeps, RetryPolicy};
use flamelake_testkit::FakeClock;
use object_store::memory::InMemory;
use prometheus::Registry;
use tokio::sync::Semaphore;

use super::*;
use crate::QuerierConfig;
use crate::plan::Catalog;

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

struct Empty;

#[async_trait]
impl Catalog for Empty {
    async fn load(&self, _tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError> {
        Ok(Arc::default())
    }
}

/// Answers once it is let, each time it is.
struct Held(Semaphore);

#[async_trait]
impl IngesterApi for Held {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.0.acquire().await.unwrap().forget();
        let PartialQuery::Tree { selection, .. } = &request.query else { panic!("only trees") };
        if selection.selector.to_string().contains("broken") {
            return Err(StatusError::internal("broken"));
        }
        let mut tree = Tree::default();
        tree.add(["main", request.tenant.as_str()], 3);
        let stats = QueryStats { set_aside: vec!["block X: cut".to_owned()], ..QueryStats::default() };
        Ok(PartialAnswer { result: PartialResult::Tree(tree), stats })
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl StoreGatewayApi for Held {
    async fn query(&self, _request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("there are no blocks"))
    }
}

struct World {
    queries: AsyncQueries,
    held: Arc<Held>,
    clock: FakeClock,
    bucket: Bucket,
    faults: Faults,
}

impl World {
    fn new() -> Self {
        Self::with(QuerierConfig::default(), Limits { max_async_query_concurrency: 2, ..Limits::default() })
    }

    fn with(config: QuerierConfig, limits: Limits) -> Self {
        let faults = Faults::default();
        let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
        let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
        // The store's clock is the machine's.
        let now = flamelake_runtime::clock::SystemClock::shared().unix_nanos();
        let (clock, held) = (FakeClock::at_unix_nanos(now), Arc::new(Held(Semaphore::new(0))));
        let queries = Self::another(config, limits, &bucket, &clock, &held);
        Self { queries, held, clock, bucket, faults }
    }

    /// A querier of the same world.
    fn another(
        config: QuerierConfig,
        limits: Limits,
        bucket: &Bucket,
        clock: &FakeClock,
        held: &Arc<Held>,
    ) -> AsyncQueries {
        let member = Member { name: "one".to_owned(), api: Arc::clone(held) as Arc<dyn IngesterApi> };
        let querier = Querier::with_catalog(
            QuerierConfig { timeout: Duration::ZERO, ..config },
            Arc::new(Alone(member)),
            Arc::clone(held) as Arc<dyn StoreGatewayApi>,
            Arc::new(Empty),
            Arc::new(Arc::new(limits)),
            clock.shared(),
            &Registry::new(),
        );
        AsyncQueries::new(querier, bucket.clone(), clock.shared())
    }

    fn request(&self, selector: &str, format: v1::ProfileFormat) -> v1::SelectMergeStacktracesRequest {
        let now_ms = flamelake_runtime::clock::Clock::unix_nanos(&self.clock) / 1_000_000;
        v1::SelectMergeStacktracesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: selector.to_owned(),
            start: now_ms - 1000,
            end: now_ms,
            format: format as i32,
            ..v1::SelectMergeStacktracesRequest::default()
        }
    }

    async fn submit(&self, tenant: &str) -> Result<String, StatusError> {
        self.ask(tenant, "{}", "").await.map(|answer| {
            let state = answer.value.r#async.clone().unwrap();
            assert_eq!(state.status, v1::AsyncQueryStatus::InProgress as i32);
            let r#async = Some(state.clone());
            let only = v1::SelectMergeStacktracesResponse { r#async, ..v1::SelectMergeStacktracesResponse::default() };
            assert_eq!(answer.value, only);
            state.request_id
        })
    }

    async fn ask(
        &self,
        tenant: &str,
        selector: &str,
        id: &str,
    ) -> Result<Answer<v1::SelectMergeStacktracesResponse>, StatusError> {
        let tenant = TenantId::parse(tenant).unwrap();
        let caller = Caller { tenants: vec![tenant.clone()], utf8_label_names: false };
        let wanted = v1::AsyncQueryRequest { request_id: id.to_owned(), r#type: v1::AsyncQueryType::Force as i32 };
        let request = self.request(selector, v1::ProfileFormat::Flamegraph);
        self.queries.answer(&tenant, caller, request, wanted).await
    }

    async fn poll(&self, tenant: &str, id: &str) -> (v1::AsyncQueryStatus, Answer<v1::SelectMergeStacktracesResponse>) {
        let answer = self.ask(tenant, "not looked at", id).await.unwrap();
        let state = answer.value.r#async.clone().unwrap();
        assert_eq!(state.request_id, id);
        (v1::AsyncQueryStatus::try_from(state.status).unwrap(), answer)
    }

    async fn error(&self, tenant: &str, id: &str) -> String {
        let (status, answer) = self.poll(tenant, id).await;
        assert_eq!(status, v1::AsyncQueryStatus::Failure);
        answer.value.r#async.unwrap().error_message
    }

    /// Lets one query answer, and waits until it has ended.
    async fn release(&self) {
        let before = self.queries.shared.tasks.len();
        self.held.0.add_permits(1);
        while self.queries.shared.tasks.len() == before {
            tokio::task::yield_now().await;
        }
    }

    async fn objects(&self) -> usize {
        self.bucket.list(store::ROOT).await.unwrap().len()
    }
}

async fn code_of(answer: impl Future<Output = Result<String, StatusError>>) -> ErrorCode {
    answer.await.unwrap_err().code
}

#[tokio::test]
async fn a_query_is_answered_later_as_it_would_be_now_and_to_its_tenant_alone() {
    let world = World::new();
    let id = world.submit("a").await.unwrap();
    assert_eq!(world.poll("a", &id).await.0, v1::AsyncQueryStatus::InProgress);
    world.release().await;
    let (status, answer) = world.poll("a", &id).await;
    assert_eq!(status, v1::AsyncQueryStatus::Success);
    assert_eq!(answer.set_aside, ["block X: cut"]);

    world.held.0.add_permits(1);
    let caller = Caller { tenants: vec![TenantId::parse("a").unwrap()], utf8_label_names: false };
    let request = world.request("{}", v1::ProfileFormat::Flamegraph);
    let now = merge_stacktraces(&world.queries.shared.querier, &caller, request).await.unwrap();
    assert_eq!(answer.value.flamegraph, now.value.flamegraph);
    assert!(answer.value.flamegraph.unwrap().names.contains(&"a".to_owned()));

    for (tenant, id) in [("b", id.as_str()), ("a", "01J00000000000000000000000"), ("a", "x"), ("a", "../b/x")] {
        assert_eq!(world.ask(tenant, "{}", id).await.unwrap_err().code, ErrorCode::NotFound, "{id}");
    }
    assert_eq!(world.ask("a", "{}", &id.to_lowercase()).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_tenant_runs_so_many_over_all_queriers() {
    let world = World::new();
    let limits = Limits { max_async_query_concurrency: 2, ..Limits::default() };
    let queries = World::another(QuerierConfig::default(), limits, &world.bucket, &world.clock, &world.held);
    let other = World {
        queries,
        held: Arc::clone(&world.held),
        clock: world.clock.clone(),
        bucket: world.bucket.clone(),
        faults: world.faults.clone(),
    };
    world.submit("a").await.unwrap();
    other.submit("a").await.unwrap();
    assert_eq!(code_of(world.submit("a")).await, ErrorCode::ResourceExhausted);
    assert_eq!(code_of(other.submit("a")).await, ErrorCode::ResourceExhausted);
    assert_eq!(world.objects().await, 2, "what was refused leaves nothing");
    world.submit("b").await.unwrap();
    world.held.0.add_permits(3);
    while world.queries.shared.tasks.len() + other.queries.shared.tasks.len() > 0 {
        tokio::task::yield_now().await;
    }
    other.submit("a").await.unwrap();
    other.submit("a").await.unwrap();
    assert_eq!(code_of(world.submit("a")).await, ErrorCode::ResourceExhausted);
    let off = World::with(QuerierConfig::default(), Limits { max_async_query_concurrency: 0, ..Limits::default() });
    assert_eq!(code_of(off.submit("a")).await, ErrorCode::Unimplemented);
}

#[tokio::test]
async fn a_query_that_fails_says_why() {
    let world = World::new();
    let id_of = |answer: Answer<v1::SelectMergeStacktracesResponse>| answer.value.r#async.unwrap().request_id;
    let broken = id_of(world.ask("a", "{x=\"broken\"}", "").await.unwrap());
    world.release().await;
    assert_eq!(world.error("a", &broken).await, "internal: broken");
    let wrong = id_of(world.ask("a", "{x=", "").await.unwrap());
    while !world.queries.shared.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(world.error("a", &wrong).await.starts_with("invalid_argument: "));

    let config = QuerierConfig { async_result_bytes_max: ByteSize(10), ..QuerierConfig::default() };
    let small = World::with(config, Limits::default());
    let id = small.submit("a").await.unwrap();
    small.release().await;
    assert!(small.error("a", &id).await.contains("query-frontend.async-result-bytes-max"));
}

#[tokio::test]
async fn a_query_runs_as_long_as_its_querier_says_so() {
    let world = World::new();
    let id = world.submit("a").await.unwrap();
    for _ in 0..12 {
        world.clock.until_sleepers(1).await;
        world.clock.advance(BEAT_EVERY);
    }
    world.clock.until_sleepers(1).await;
    assert_eq!(world.poll("a", &id).await.0, v1::AsyncQueryStatus::InProgress);

    // From now on it cannot say so.
    world.faults.plan(Operation::Put, ".run", 0, 1_000, Fault::Fail);
    for _ in 0..7 {
        world.clock.until_sleepers(1).await;
        world.clock.advance(BEAT_EVERY);
    }
    world.clock.until_sleepers(1).await;
    assert_eq!(world.error("a", &id).await, GONE);
    world.release().await;
    assert_eq!(world.error("a", &id).await, GONE, "what was told once stays so");
}

#[tokio::test]
async fn a_query_whose_querier_died_counts_for_a_minute_and_fails_then() {
    let world = World::new();
    let tenant = TenantId::parse("a").unwrap();
    let left = [
        world.queries.shared.store.begin(&tenant).await.unwrap(),
        world.queries.shared.store.begin(&tenant).await.unwrap(),
    ];
    assert_eq!(world.poll("a", &left[0].to_string()).await.0, v1::AsyncQueryStatus::InProgress);
    assert_eq!(code_of(world.submit("a")).await, ErrorCode::ResourceExhausted);
    world.clock.advance(GONE_AFTER + Duration::from_secs(1));
    world.submit("a").await.unwrap();
    assert_eq!(world.error("a", &left[0].to_string()).await, GONE);
}

#[tokio::test]
async fn a_stop_marks_what_runs() {
    let world = World::new();
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.queries.clone().run(stop.clone()));
    let id = world.submit("a").await.unwrap();
    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.error("a", &id).await, STOPPED);
    let late = world.submit("a").await.unwrap();
    while !world.queries.shared.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.error("a", &late).await, STOPPED);
}

#[tokio::test]
async fn results_are_kept_for_half_an_hour() {
    let world = World::new();
    let ended = world.submit("a").await.unwrap();
    world.release().await;
    world.queries.shared.store.begin(&TenantId::parse("b").unwrap()).await.unwrap();
    world.clock.advance(KEEP - Duration::from_secs(60));
    world.queries.sweep().await;
    assert_eq!(world.objects().await, 3);
    assert_eq!(world.poll("a", &ended).await.0, v1::AsyncQueryStatus::Success);
    world.clock.advance(Duration::from_secs(120));
    world.queries.sweep().await;
    assert_eq!(world.objects().await, 0);
    assert_eq!(world.ask("a", "{}", &ended).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_is_stored_is_read_for_ever() {
    let world = World::new();
    let (a, id) = (TenantId::parse("a").unwrap(), "01KAW0Z3ZSXQ8G7X7G2Z0Q3K4M");
    let put = async |suffix: &str, bytes: &[u8]| {
        world.bucket.put(&format!("async-queries/a/{id}{suffix}"), bytes.to_vec().into()).await.unwrap();
    };
    put(".run", br#"{"format":1,"beat_at_ms":1795359600000}"#).await;
    let parsed = Id::parse(id).unwrap();
    assert_eq!(world.queries.shared.store.beat(&a, &parsed).await.unwrap(), Some(1_795_359_600_000));
    // Field 3, `dot`.
    put(".end", b"{\"format\":1,\"status\":\"success\",\"set_aside\":[\"block X: cut\"]}\n\x1a\x03dot").await;
    let (status, answer) = world.poll("a", id).await;
    assert_eq!((status, answer.value.dot.as_str()), (v1::AsyncQueryStatus::Success, "dot"));
    assert_eq!(answer.set_aside, ["block X: cut"]);
    put(".end", b"{\"format\":1,\"status\":\"failure\",\"error\":\"unavailable: no\"}\n").await;
    assert_eq!(world.error("a", id).await, "unavailable: no");
    for damaged in [
        &b""[..],
        b"{}\n",
        b"{\"format\":2,\"status\":\"success\"}\n",
        b"{\"format\":1,\"status\":\"success\"}\n\x1a\x09x",
    ] {
        put(".end", damaged).await;
        assert_eq!(world.ask("a", "{}", id).await.unwrap_err().code, ErrorCode::DataLoss);
    }
}
