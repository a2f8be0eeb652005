//! Whom a question reaches when members fail.

use std::collections::BTreeSet;

use flamelake_api::roles::AppendRequest;
use flamelake_model::query::{PartialQuery, PartialResult, QueryStats, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::{TenantId, TimeRange, TimestampMs};
use parking_lot::Mutex;

use super::*;

/// Answers with its name, or with its name and the blocks asked for, after some failures.
struct Fake {
    name: &'static str,
    failures: Mutex<Vec<ErrorCode>>,
}

impl Fake {
    fn answer(&self, found: impl Iterator<Item = String>) -> Result<PartialAnswer, StatusError> {
        match self.failures.lock().pop() {
            Some(code) => Err(StatusError::new(code, "down")),
            None => Ok(PartialAnswer {
                result: PartialResult::Strings(found.collect()),
                stats: QueryStats { profiles: 1, ..QueryStats::default() },
            }),
        }
    }
}

#[async_trait]
impl IngesterApi for Fake {
    async fn append(&self, _: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.answer(std::iter::once(self.name.to_owned()))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl StoreGatewayApi for Fake {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        self.answer(request.blocks.iter().map(|block| format!("{}:{block}", self.name)))
    }
}

struct Members(Vec<Arc<Fake>>);

impl Members {
    fn ingesters(&self) -> Vec<Member<dyn IngesterApi>> {
        let member =
            |fake: &Arc<Fake>| Member { name: fake.name.to_owned(), api: Arc::clone(fake) as Arc<dyn IngesterApi> };
        self.0.iter().map(member).collect()
    }
}

/// Block `n` belongs to gateway `n`, then to the next ones.
impl StoreGateways for Members {
    fn for_block(&self, block: &str) -> Vec<Member<dyn StoreGatewayApi>> {
        let member =
            |fake: &Arc<Fake>| Member { name: fake.name.to_owned(), api: Arc::clone(fake) as Arc<dyn StoreGatewayApi> };
        let mut all: Vec<_> = self.0.iter().map(member).collect();
        let owner = block.parse::<usize>().unwrap() % all.len().max(1);
        all.rotate_left(owner);
        all
    }
}

fn members<const N: usize>(members: [(&'static str, &[ErrorCode]); N]) -> Arc<Members> {
    let fake = |(name, failures): (&'static str, &[ErrorCode])| {
        Arc::new(Fake { name, failures: Mutex::new(failures.to_vec()) })
    };
    Arc::new(Members(members.into_iter().map(fake).collect()))
}

fn query() -> PartialQuery {
    PartialQuery::LabelNames(Selection {
        profile_type: None,
        selector: Selector::all(),
        range: TimeRange::new(TimestampMs(0), TimestampMs(1)).unwrap(),
    })
}

fn found(answer: PartialAnswer) -> (String, u64) {
    let PartialResult::Strings(found) = answer.result else { panic!("strings were asked for") };
    (BTreeSet::into_iter(found).collect::<Vec<_>>().join(" "), answer.stats.profiles)
}

async fn ask_ingesters(members: Arc<Members>) -> Result<(String, u64), StatusError> {
    let tenant = TenantId::parse("t").unwrap();
    let request = IngesterQuery { tenant, catalog_version: 1, watermarks: Vec::new(), query: query() };
    AllIngesters { members: members.ingesters(), partial: false }.query(&request).await.map(found)
}

async fn ask_gateways(members: Arc<Members>, blocks: &[&str]) -> Result<(String, u64), StatusError> {
    let blocks = blocks.iter().map(|block| (*block).to_owned()).collect();
    let request =
        StoreGatewayQuery { tenant: TenantId::parse("t").unwrap(), blocks, query: query(), set_missing_aside: false };
    ShardedGateways::new(members, false).query(request).await.map(found)
}

const DOWN: ErrorCode = ErrorCode::Unavailable;

#[tokio::test]
async fn every_ingester_is_heard_or_the_question_fails() {
    assert_eq!(ask_ingesters(members([("a", &[]), ("b", &[DOWN])])).await.unwrap(), ("a b".to_owned(), 2));
    let error = ask_ingesters(members([("a", &[]), ("b", &[DOWN, DOWN])])).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (DOWN, "ingester b: down"));
    // The querier plans again; nobody is asked twice for that.
    let error = ask_ingesters(members([("a", &[ErrorCode::FailedPrecondition])])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert_eq!(ask_ingesters(members([])).await.unwrap_err().code, DOWN);
}

#[tokio::test]
async fn blocks_go_to_their_owners_and_on_to_the_next() {
    let ask = |failures: [&'static [ErrorCode]; 3]| async move {
        ask_gateways(members([("a", failures[0]), ("b", failures[1]), ("c", failures[2])]), &["0", "1", "3"]).await
    };
    assert_eq!(ask([&[], &[], &[]]).await.unwrap(), ("a:0 a:3 b:1".to_owned(), 2));
    assert_eq!(ask([&[DOWN], &[], &[]]).await.unwrap(), ("b:0 b:1 b:3".to_owned(), 2));
    assert_eq!(ask([&[DOWN; 3], &[DOWN; 3], &[]]).await.unwrap(), ("c:0 c:1 c:3".to_owned(), 2));
    assert_eq!(ask([&[DOWN; 3], &[DOWN; 3], &[DOWN; 3]]).await.unwrap_err().code, DOWN);
    // A block that is gone is no matter of the gateway: the querier plans again.
    assert_eq!(ask([&[ErrorCode::NotFound], &[], &[]]).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(ask_gateways(members([]), &[]).await.unwrap().1, 0);
}

#[tokio::test]
async fn partial_results_name_who_was_not_reached() {
    let request = IngesterQuery {
        tenant: TenantId::parse("t").unwrap(),
        catalog_version: 1,
        watermarks: Vec::new(),
        query: query(),
    };
    let reached = members([("a", &[]), ("b", &[DOWN, DOWN])]);
    let asked = AllIngesters { members: reached.ingesters(), partial: true }.query(&request).await.unwrap();
    assert_eq!(asked.stats.set_aside, ["ingester b: down"]);
    assert_eq!(found(asked).0, "a");
    // Damage and mistakes are no matter of reach.
    let damaged = members([("a", &[ErrorCode::Internal])]);
    let asked = AllIngesters { members: damaged.ingesters(), partial: true }.query(&request).await;
    assert_eq!(asked.unwrap_err().code, ErrorCode::Internal);

    let request = StoreGatewayQuery {
        tenant: TenantId::parse("t").unwrap(),
        blocks: vec!["0".to_owned(), "1".to_owned()],
        query: query(),
        set_missing_aside: false,
    };
    let asked = ShardedGateways::new(members([("a", &[DOWN; 3])]), true).query(request).await.unwrap();
    assert_eq!(asked.stats.set_aside, ["no store-gateway answers for block 0, 1: down"]);
}
