//! Which versions are asked, what makes the querier ask again, and when it gives up.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use flamelake_api::roles::{Alone, AppendRequest, IngesterApi, IngesterQuery, Member, StoreGatewayQuery};
use flamelake_catalog::{CatalogState, Ulid};
use flamelake_model::query::{PartialResult, QueryStats, Selection, TimeSpan};
use flamelake_model::selector::Selector;
use flamelake_model::{TimeRange, TimestampMs, TimestampNs};
use parking_lot::Mutex;
use prometheus::Registry;

use super::*;

/// Gives version 1 first, and one more at each call until the last.
struct Versions {
    given: AtomicUsize,
    last: u64,
}

#[async_trait]
impl Catalog for Versions {
    async fn load(&self, _tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError> {
        Ok(Arc::new(state((self.given.fetch_add(1, Ordering::Relaxed) as u64 + 1).min(self.last))))
    }
}

/// A state with one block, named after its version, and one watermark.
fn state(version: u64) -> CatalogState {
    let mut state = CatalogState { version, ..CatalogState::default() };
    let block = format!(
        r#"{{"version":1,"ulid":"{}","tenant":"t","min_time_ns":0,"max_time_ns":1000000000,"bytes":1,"level":0,
        "log_ranges":[],"sources":[],"partitions":[{{"part":0,"service_name":"a","profile_types":["x:y:z:p:q"],
        "min_time_ns":0,"max_time_ns":1000000000,"series":1,"profiles":1,"samples":1}}]}}"#,
        ulid(version)
    );
    state.blocks.insert(Ulid::from_string(&ulid(version)).unwrap(), Arc::new(serde_json::from_str(&block).unwrap()));
    state.covered.insert("ingester-0/e".to_owned(), version * 10);
    state
}

fn ulid(version: u64) -> String {
    format!("0000000000000000000000000{version}")
}

/// Answers with the blocks or versions it was asked for, after failing `failures` times.
struct Side {
    name: &'static str,
    failures: AtomicUsize,
    code: ErrorCode,
    asked: Mutex<Vec<String>>,
}

impl Side {
    fn new(name: &'static str, failures: usize, code: ErrorCode) -> Arc<Self> {
        Arc::new(Self { name, failures: AtomicUsize::new(failures), code, asked: Mutex::default() })
    }

    fn steady(name: &'static str) -> Arc<Self> {
        Self::new(name, 0, ErrorCode::Internal)
    }

    fn answer(&self, asked: String) -> Result<PartialAnswer, StatusError> {
        self.asked.lock().push(asked);
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(StatusError::new(self.code, format!("{} cannot", self.name)));
        }
        let found = BTreeSet::from([self.name.to_owned()]);
        Ok(PartialAnswer {
            result: PartialResult::Strings(found),
            stats: QueryStats { profiles: 1, ..QueryStats::default() },
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

#[async_trait]
impl IngesterApi for Side {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let marks = request.watermarks.iter().map(|mark| format!("{}={}", mark.log, mark.through)).collect::<Vec<_>>();
        self.answer(format!("{} v{} {}", request.tenant, request.catalog_version, marks.join(",")))
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl StoreGatewayApi for Side {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        let mode = if request.set_missing_aside { " or aside" } else { "" };
        self.answer(format!("{} {}{mode}", request.tenant, request.blocks.join(",")))
    }
}

fn query(selector: &str, start: i64, end: i64) -> PartialQuery {
    PartialQuery::LabelNames(Selection {
        profile_type: None,
        selector: Selector::parse(selector).unwrap(),
        range: TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap(),
    })
}

fn everything() -> PartialQuery {
    query("{}", 1, 1000)
}

async fn ask(
    tenants: &str,
    ingesters: &Arc<Side>,
    gateways: &Arc<Side>,
    query: &PartialQuery,
) -> Result<Vec<String>, StatusError> {
    ask_on(Versions { given: AtomicUsize::new(0), last: u64::MAX }, tenants, ingesters, gateways, query).await
}

async fn ask_on(
    versions: Versions,
    tenants: &str,
    ingesters: &Arc<Side>,
    gateways: &Arc<Side>,
    query: &PartialQuery,
) -> Result<Vec<String>, StatusError> {
    let fan_out = FanOut {
        catalog: Arc::new(versions),
        ingesters: Arc::new(Alone(Member {
            name: "one".to_owned(),
            api: Arc::clone(ingesters) as Arc<dyn IngesterApi>,
        })),
        gateways: Arc::clone(gateways) as Arc<dyn StoreGatewayApi>,
        partial: false,
        metrics: Metrics::register(&Registry::new()),
    };
    let answer = fan_out.ask(&TenantId::parse_list(tenants).unwrap(), query).await?;
    match answer.result {
        PartialResult::Strings(found) => Ok(found.into_iter().collect()),
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test]
async fn both_sides_are_asked_on_one_version() {
    let (ingesters, gateways) = (Side::steady("head"), Side::steady("block"));
    let found = ask("t", &ingesters, &gateways, &everything()).await.unwrap();
    assert_eq!(found, ["block", "head"]);
    assert_eq!(ingesters.asked(), ["t v1 ingester-0/e=10"]);
    assert_eq!(gateways.asked(), [format!("t {}", ulid(1))]);
}

#[tokio::test]
async fn blocks_that_cannot_match_are_not_asked() {
    for (selector, start, end) in [("{}", 2000, 3000), ("{service_name=\"b\"}", 1, 1000)] {
        let (ingesters, gateways) = (Side::steady("head"), Side::steady("block"));
        let found = ask("t", &ingesters, &gateways, &query(selector, start, end)).await.unwrap();
        assert_eq!(found, ["head"]);
        assert!(gateways.asked().is_empty(), "{selector}");
    }
    let (ingesters, gateways) = (Side::steady("head"), Side::steady("block"));
    let found = ask("t", &ingesters, &gateways, &query("{service_name=~\"a|b\"}", 1, 1)).await.unwrap();
    assert_eq!(found, ["block", "head"]);
}

#[tokio::test]
async fn a_dropped_row_is_asked_for_on_the_next_version() {
    let (ingesters, gateways) = (Side::new("head", 1, ErrorCode::FailedPrecondition), Side::steady("block"));
    let found = ask("t", &ingesters, &gateways, &everything()).await.unwrap();
    assert_eq!(found, ["block", "head"]);
    assert_eq!(ingesters.asked(), ["t v1 ingester-0/e=10", "t v2 ingester-0/e=20"]);
    assert_eq!(gateways.asked().last(), Some(&format!("t {}", ulid(2))));
}

#[tokio::test]
async fn a_missing_block_is_planned_around() {
    let (ingesters, gateways) = (Side::steady("head"), Side::new("block", 3, ErrorCode::NotFound));
    assert_eq!(ask("t", &ingesters, &gateways, &everything()).await.unwrap(), ["block", "head"]);
    assert_eq!(gateways.asked().len(), 4);
}

/// Nothing was moved: the version is the same as before.
#[tokio::test]
async fn a_block_that_stays_missing_is_set_aside() {
    let (ingesters, gateways) = (Side::steady("head"), Side::new("block", 2, ErrorCode::NotFound));
    let versions = Versions { given: AtomicUsize::new(0), last: 2 };
    assert_eq!(ask_on(versions, "t", &ingesters, &gateways, &everything()).await.unwrap(), ["block", "head"]);
    assert_eq!(
        gateways.asked(),
        [format!("t {}", ulid(1)), format!("t {}", ulid(2)), format!("t {} or aside", ulid(2))]
    );
}

#[tokio::test]
async fn after_three_times_more_it_is_unavailable() {
    let (ingesters, gateways) = (Side::steady("head"), Side::new("block", 99, ErrorCode::NotFound));
    let error = ask("t", &ingesters, &gateways, &everything()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("block cannot"), "{}", error.message);
    assert_eq!(gateways.asked().len(), 4);
}

#[tokio::test]
async fn other_errors_are_told_at_once() {
    let (ingesters, gateways) = (Side::new("head", 1, ErrorCode::Internal), Side::steady("block"));
    let error = ask("t", &ingesters, &gateways, &everything()).await.unwrap_err();
    assert_eq!(error, StatusError::internal("head cannot"));
    assert_eq!(ingesters.asked().len(), 1);
}

#[tokio::test]
async fn several_tenants_are_a_union() {
    let (ingesters, gateways) = (Side::steady("head"), Side::steady("block"));
    ask("b|a", &ingesters, &gateways, &everything()).await.unwrap();
    let asked: BTreeSet<String> = ingesters.asked().iter().map(|asked| asked[..1].to_owned()).collect();
    assert_eq!(asked.into_iter().collect::<String>(), "ab");
}

/// A ring whose epoch grows when it is asked to catch up; its only ingester knows `noted`.
struct Growing {
    known: AtomicUsize,
    noted: u64,
    side: Arc<Side>,
}

struct Noting(Arc<Side>, u64);

#[async_trait]
impl IngesterApi for Noting {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let mut answer = IngesterApi::query(&*self.0, request).await?;
        answer.stats.ring_epoch = self.1;
        Ok(answer)
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl Ingesters for Growing {
    fn all(&self) -> IngesterSet {
        let api: Arc<dyn IngesterApi> = Arc::new(Noting(Arc::clone(&self.side), self.noted));
        let members = vec![Member { name: "one".to_owned(), api }];
        IngesterSet { epoch: self.known.load(Ordering::Relaxed) as u64, members }
    }

    fn for_service(&self, _tenant: &TenantId, _service_name: &str, _count: usize) -> Vec<Member<dyn IngesterApi>> {
        Vec::new()
    }

    async fn catch_up(&self, epoch: u64) -> Result<(), StatusError> {
        self.known.store(epoch as usize, Ordering::Relaxed);
        Ok(())
    }
}

async fn ask_ring(known: u64, noted: u64, side: &Arc<Side>) -> Result<usize, StatusError> {
    let ring = Growing { known: AtomicUsize::new(known as usize), noted, side: Arc::clone(side) };
    let fan_out = FanOut {
        catalog: Arc::new(Versions { given: AtomicUsize::new(0), last: u64::MAX }),
        ingesters: Arc::new(ring),
        gateways: Side::steady("block"),
        partial: false,
        metrics: Metrics::register(&Registry::new()),
    };
    fan_out.ask(&TenantId::parse_list("t").unwrap(), &everything()).await?;
    Ok(side.asked().len())
}

/// An ingester has noted a newer ring: somebody may have joined whom nobody asked.
#[tokio::test]
async fn an_answer_from_a_newer_ring_is_asked_for_again() {
    assert_eq!(ask_ring(7, 7, &Side::steady("head")).await.unwrap(), 1);
    assert_eq!(ask_ring(9, 7, &Side::steady("head")).await.unwrap(), 1);
    assert_eq!(ask_ring(7, 9, &Side::steady("head")).await.unwrap(), 2);
}

/// Knows one profile that no block has.
struct Head;

#[async_trait]
impl IngesterApi for Head {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, _request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let at = TimestampNs(2_000_000_000);
        let result = PartialResult::TimeSpan(Some(TimeSpan { min: at, max: at }));
        Ok(PartialAnswer { result, stats: QueryStats::default() })
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[tokio::test]
async fn the_catalog_knows_how_old_blocks_are() {
    let gateways = Side::steady("block");
    let fan_out = FanOut {
        catalog: Arc::new(Versions { given: AtomicUsize::new(0), last: 1 }),
        ingesters: Arc::new(Alone(Member { name: "one".to_owned(), api: Arc::new(Head) as Arc<dyn IngesterApi> })),
        gateways: Arc::clone(&gateways) as Arc<dyn StoreGatewayApi>,
        partial: false,
        metrics: Metrics::register(&Registry::new()),
    };
    for (since, expected) in [(0, 0), (1, 0), (1_001, 2_000_000_000)] {
        let range = TimeRange::since(TimestampMs(since));
        let selection = Selection { profile_type: None, selector: Selector::default(), range };
        let answer =
            fan_out.ask(&TenantId::parse_list("t").unwrap(), &PartialQuery::TimeSpan(selection)).await.unwrap();
        let PartialResult::TimeSpan(Some(span)) = answer.result else { panic!("{answer:?}") };
        assert_eq!((span.min.0, span.max.0), (expected, 2_000_000_000), "{since}");
    }
    assert!(gateways.asked().is_empty(), "no store-gateway is asked");
}
