//! Every window yields one value, whatever dies, sleeps or runs twice.

mod chaos;
mod kept;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_api::flamelake::prometheus::v1::WriteRequest;
use flamelake_api::roles::{
    Alone, AppendRequest, IngesterApi, IngesterQuery, Member, StoreGatewayApi, StoreGatewayQuery,
};
use flamelake_api::types::v1::LabelPair;
use flamelake_catalog::CatalogState;
use flamelake_config::Limits;
use flamelake_model::function_series::{
    FunctionMatch, FunctionPoint, FunctionSeries, FunctionSeriesQuery, PartialFunctionSeries,
};
use flamelake_model::query::{PartialAnswer, PartialPoint, PartialQuery, PartialResult, PartialTimeSeries, QueryStats};
use flamelake_model::recording_rule::{RuleSpec, StaticRules};
use flamelake_object_storage::faulty::{Faults, FaultyStore};
use flamelake_object_storage::{BucketDeps, RetryPolicy};
use flamelake_runtime::clock::Clock as _;
use flamelake_testkit::FakeClock;
use object_store::memory::InMemory;
use parking_lot::Mutex;
use prost::Message as _;

use super::remote_write::Refusal;
use super::*;
use crate::QuerierConfig;
use crate::plan::Catalog;

const CPU: &str = r#"{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}"#;
const MINUTE: Duration = Duration::from_secs(60);

struct Empty;

#[async_trait]
impl Catalog for Empty {
    async fn load(&self, _tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError> {
        Ok(Arc::default())
    }
}

/// Never says the same twice, so that a window that is evaluated twice is seen.
#[derive(Debug, Default)]
struct Profiles {
    asked: AtomicI64,
}

impl Profiles {
    fn function(&self, query: &FunctionSeriesQuery) -> PartialAnswer {
        let FunctionMatch::Names(names) = &query.functions else { panic!("one function") };
        let range = query.selection.range;
        let functions = names.iter().map(|name| PartialFunctionSeries {
            group: query.group_by.iter().map(|_| Some(name.clone())).collect(),
            function: name.clone(),
            points: [(range.start(), 1), (range.end(), 42)]
                .map(|(timestamp, total)| FunctionPoint { timestamp, self_value: 7, total })
                .to_vec(),
        });
        let series = FunctionSeries { functions: functions.collect(), totals: Vec::new() };
        PartialAnswer { result: PartialResult::FunctionSeries(series), stats: QueryStats::default() }
    }
}

#[async_trait]
impl IngesterApi for Profiles {
    async fn append(&self, _request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let query = match &request.query {
            PartialQuery::TimeSeries(query) => query,
            PartialQuery::FunctionSeries(query) => return Ok(self.function(query)),
            other => panic!("unexpected {other:?}"),
        };
        let selector = query.selection.selector.to_string();
        let has = |word: &str| selector.contains(&format!("\"{word}\""));
        if has("broken") {
            return Err(StatusError::unavailable("no"));
        }
        let groups = if has("many") { 5 } else { usize::from(!has("nothing")) };
        let range = query.selection.range;
        let group = |number: usize| PartialTimeSeries {
            group: query.group_by.iter().map(|_| Some(format!("g{number}"))).collect(),
            // Of the window before, and of this one.
            points: [range.start(), range.end()]
                .map(|timestamp| PartialPoint {
                    timestamp,
                    sum: self.asked.fetch_add(1, Ordering::Relaxed),
                    profiles: 1,
                    exemplars: Vec::new(),
                    annotations: Vec::new(),
                })
                .to_vec(),
        };
        let set_aside = if has("gaps") { vec!["ingester x: away".to_owned()] } else { Vec::new() };
        let stats = QueryStats { set_aside, ..QueryStats::default() };
        Ok(PartialAnswer { result: PartialResult::TimeSeries((0..groups).map(group).collect()), stats })
    }

    async fn flush(&self, _tenant: Option<TenantId>) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("only reads"))
    }
}

#[async_trait]
impl StoreGatewayApi for Profiles {
    async fn query(&self, _request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("there are no blocks"))
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
enum Answer {
    Take,
    /// Takes it, and says that it did not.
    TakeAndFail,
    Fail,
    Refuse,
}

/// Remembers all that it took: tenant and series, time in milliseconds, value.
#[derive(Debug, Default)]
struct Taken {
    samples: Mutex<Vec<(String, i64, f64)>>,
    /// The next answers; then everything is taken.
    answers: Mutex<VecDeque<Answer>>,
}

impl Taken {
    fn of(&self, metric: &str) -> Vec<(i64, f64)> {
        let named = format!("__name__={metric}");
        let all = self.samples.lock();
        all.iter().filter(|(series, _, _)| series.contains(&named)).map(|(_, at, value)| (*at, *value)).collect()
    }
}

#[async_trait]
impl Receiver for Taken {
    async fn write(&self, tenant: &TenantId, body: Bytes) -> Result<(), Refusal> {
        let answer = self.answers.lock().pop_front().unwrap_or(Answer::Take);
        let later = Refusal::Later { why: "503".to_owned(), after: None };
        match answer {
            Answer::Fail => return Err(later),
            Answer::Refuse => return Err(Refusal::Never { why: "400".to_owned() }),
            Answer::Take | Answer::TakeAndFail => {}
        }
        let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        for series in WriteRequest::decode(plain.as_slice()).unwrap().timeseries {
            assert!(series.labels.is_sorted_by_key(|label| label.name.clone()));
            let labels: Vec<String> =
                series.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
            let [sample] = series.samples[..] else { panic!("one sample a series") };
            self.samples.lock().push((format!("{tenant} {}", labels.join(" ")), sample.timestamp, sample.value));
        }
        if matches!(answer, Answer::TakeAndFail) { Err(later) } else { Ok(()) }
    }
}

struct World {
    bucket: Bucket,
    faults: Faults,
    clock: FakeClock,
    profiles: Arc<Profiles>,
    taken: Arc<Taken>,
    config: RecordingRulesConfig,
    limits: Limits,
}

impl World {
    /// Its clock stands at the begin of a minute.
    fn new(config: RecordingRulesConfig) -> Self {
        let faults = Faults::default();
        let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
        let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
        // The store's clock is the machine's.
        let now = flamelake_runtime::clock::SystemClock::shared().unix_nanos();
        let clock = FakeClock::at_unix_nanos(now - now % 60_000_000_000 + 60_000_000_000);
        Self {
            bucket,
            faults,
            clock,
            profiles: Arc::default(),
            taken: Arc::default(),
            config,
            limits: Limits { max_recording_rules: 3, ..Limits::default() },
        }
    }

    fn rules(&self) -> RecordingRules {
        let member = Member { name: "one".to_owned(), api: Arc::clone(&self.profiles) as Arc<dyn IngesterApi> };
        let limits: Arc<dyn LimitsSource> = Arc::new(Arc::new(self.limits.clone()));
        let registry = Registry::new();
        let querier = Querier::with_catalog(
            QuerierConfig { timeout: Duration::ZERO, ..QuerierConfig::default() },
            Arc::new(Alone(member)),
            Arc::clone(&self.profiles) as Arc<dyn StoreGatewayApi>,
            Arc::new(Empty),
            Arc::clone(&limits),
            self.clock.shared(),
            &registry,
        );
        let deps = RecordingRulesDeps {
            querier,
            bucket: self.bucket.clone(),
            limits,
            ownership: Arc::new(OwnsAllRules),
            clock: self.clock.shared(),
            registry,
        };
        let taken = Arc::clone(&self.taken) as Arc<dyn Receiver>;
        RecordingRules::with_receiver(self.config.clone(), deps, taken).unwrap()
    }

    fn now_ms(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }

    /// Time passes second by second, and everybody does what is due.
    async fn pass(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.clock.advance(Duration::from_secs(1));
            settle().await;
        }
    }
}

/// Nobody has anything to do any more.
async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn rule(metric: &str, word: &str) -> v1::UpsertRecordingRuleRequest {
    v1::UpsertRecordingRuleRequest {
        metric_name: metric.to_owned(),
        matchers: vec![CPU.to_owned(), format!("{{word=\"{word}\"}}")],
        group_by: vec!["pod".to_owned()],
        ..v1::UpsertRecordingRuleRequest::default()
    }
}

fn run(rules: &RecordingRules) -> (tokio::task::JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(rules.clone().run(stop.clone())), stop)
}

/// Ends of so many windows, the first a minute after `start_ms`.
fn ends(start_ms: i64, count: i64) -> Vec<i64> {
    (1..=count).map(|number| start_ms + number * 60_000).collect()
}

fn times(samples: &[(i64, f64)]) -> Vec<i64> {
    samples.iter().map(|(at, _)| *at).collect()
}

#[tokio::test]
async fn each_window_is_sent_once_after_its_delay() {
    let world =
        World::new(RecordingRulesConfig { tenant_label: "tenant".to_owned(), ..RecordingRulesConfig::default() });
    let (rules, start) = (world.rules(), world.now_ms());
    let request = v1::UpsertRecordingRuleRequest {
        external_labels: vec![LabelPair { name: "team".to_owned(), value: "x".to_owned() }],
        ..rule("m", "some")
    };
    rules.upsert(&tenant("a"), request).await.unwrap();
    rules.upsert(&tenant("b"), rule("n", "many")).await.unwrap();
    rules.upsert(&tenant("b"), rule("o", "nothing")).await.unwrap();
    let (task, stop) = run(&rules);
    world.pass(MINUTE * 2 - Duration::from_secs(1)).await;
    assert!(world.taken.samples.lock().is_empty());
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 1));
    world.pass(MINUTE * 4).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 5));
    assert_eq!(world.taken.of("n").len(), 5 * 5);
    assert_eq!(world.taken.of("o"), []);
    let series: std::collections::BTreeSet<String> =
        world.taken.samples.lock().iter().map(|(series, _, _)| series.clone()).collect();
    assert_eq!(series.len(), 6);
    assert!(series.contains("a __name__=m pod=g0 team=x tenant=a") && series.contains("b __name__=n pod=g4 tenant=b"));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_every_window_and_one_that_refuses_the_next() {
    let world = World::new(RecordingRulesConfig::default());
    let (rules, start) = (world.rules(), world.now_ms());
    rules.upsert(&tenant("a"), rule("m", "some")).await.unwrap();
    let _task = run(&rules);
    world.taken.answers.lock().extend(vec![Answer::Fail; 12]);
    world.pass(MINUTE * 4).await;
    assert!(world.taken.of("m").is_empty());
    assert!(rules.ruler.lag_seconds() >= 60.0, "{}", rules.ruler.lag_seconds());
    world.taken.answers.lock().clear();
    world.pass(MINUTE * 2).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 5));
    assert!(rules.ruler.lag_seconds() < 60.0);
    world.taken.answers.lock().push_back(Answer::Refuse);
    world.pass(MINUTE * 2).await;
    assert_eq!(times(&world.taken.of("m")), [ends(start, 5), vec![start + 7 * 60_000]].concat());
}

#[tokio::test]
async fn a_stored_window_is_sent_as_it_is_by_whoever_comes_next() {
    let world = World::new(RecordingRulesConfig::default());
    let start = world.now_ms();
    let first = world.rules();
    first.upsert(&tenant("a"), rule("m", "some")).await.unwrap();
    let (task, stop) = run(&first);
    // It is taken, but the process does not hear so, and dies.
    world.taken.answers.lock().push_back(Answer::TakeAndFail);
    world.pass(MINUTE * 2).await;
    stop.cancel();
    task.await.unwrap();
    let before = world.taken.of("m");
    assert_eq!(times(&before), ends(start, 1));
    let _task = run(&world.rules());
    world.pass(MINUTE).await;
    let after = world.taken.of("m");
    assert_eq!(after[1], before[0], "the same sample once more");
    assert_eq!(times(&after[1..]), ends(start, 2));
}

#[tokio::test]
async fn a_downtime_is_made_up_for_within_bounds() {
    let world = World::new(RecordingRulesConfig { catch_up: MINUTE * 10, ..RecordingRulesConfig::default() });
    let (rules, start) = (world.rules(), world.now_ms());
    rules.upsert(&tenant("a"), rule("m", "some")).await.unwrap();
    let (task, stop) = run(&rules);
    world.pass(MINUTE * 2).await;
    stop.cancel();
    task.await.unwrap();
    world.clock.advance(MINUTE * 5);
    let (task, stop) = run(&rules);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(times(&world.taken.of("m"))[1..], ends(start, 6), "the last once more, then what was missed");
    stop.cancel();
    task.await.unwrap();
    world.clock.advance(MINUTE * 100);
    world.taken.samples.lock().clear();
    let _task = run(&rules);
    world.pass(Duration::from_secs(1)).await;
    let now = world.now_ms();
    let sent = times(&world.taken.of("m"));
    assert_eq!(sent.len(), 10, "{sent:?}");
    assert_eq!(sent[9], now - now % 60_000 - 60_000);
    assert_eq!(rules.ruler.skipped_windows(), 90);
}

#[tokio::test]
async fn a_rule_that_does_not_work_holds_up_no_other() {
    let world = World::new(RecordingRulesConfig { series_max: 4, ..RecordingRulesConfig::default() });
    let (rules, start) = (world.rules(), world.now_ms());
    for (metric, word) in [("m", "some"), ("n", "broken"), ("o", "many")] {
        rules.upsert(&tenant("a"), rule(metric, word)).await.unwrap();
    }
    let _task = run(&rules);
    world.pass(MINUTE * 6).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 5));
    assert!(world.taken.of("n").is_empty() && world.taken.of("o").is_empty());
    let window = rules.store.windows.newest(&tenant("a")).await.unwrap().unwrap().1;
    let failed: Vec<&str> = window.rules.iter().filter_map(|outcome| outcome.failed.as_deref()).collect();
    let says = |word: &str| failed.iter().any(|why| why.contains(word));
    assert!(failed.len() == 2 && says("ingester one") && says("max-series-per-rule"), "{failed:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_whole_is_tried_again_for_a_while() {
    let world = World::new(RecordingRulesConfig::default());
    let (rules, start) = (world.rules(), world.now_ms());
    rules.upsert(&tenant("a"), rule("m", "gaps")).await.unwrap();
    let _task = run(&rules);
    world.pass(MINUTE * 2 + Duration::from_secs(13)).await;
    assert!(world.taken.of("m").is_empty());
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 1));
}

#[tokio::test]
async fn a_function_has_its_total() {
    let world = World::new(RecordingRulesConfig::default());
    let (rules, start) = (world.rules(), world.now_ms());
    let filter = v1::StacktraceFilter {
        function_name: Some(v1::StacktraceFilterFunctionName { function_name: "work".to_owned(), metric_type: 0 }),
    };
    let request = v1::UpsertRecordingRuleRequest { stacktrace_filter: Some(filter), ..rule("m", "some") };
    rules.upsert(&tenant("a"), request).await.unwrap();
    let _task = run(&rules);
    world.pass(MINUTE * 2).await;
    assert_eq!(world.taken.of("m"), [(start + 60_000, 42.0)]);
}

#[tokio::test]
async fn two_rules_do_not_write_one_series() {
    let world = World::new(RecordingRulesConfig::default());
    let rules = world.rules();
    rules.upsert(&tenant("a"), rule("m", "some")).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    rules.upsert(&tenant("a"), rule("m", "many")).await.unwrap();
    let _task = run(&rules);
    world.pass(MINUTE * 3).await;
    assert_eq!(world.taken.of("m").len(), 2, "only those of the first");
}

#[tokio::test]
async fn without_rules_nothing_is_sent_and_new_ones_begin_where_they_are() {
    let world = World::new(RecordingRulesConfig::default());
    let rules = world.rules();
    let a = tenant("a");
    let id = rules.upsert(&a, rule("m", "some")).await.unwrap().rule.unwrap().id;
    let _task = run(&rules);
    world.pass(MINUTE * 3).await;
    assert_eq!(world.taken.of("m").len(), 2);
    rules.delete(&a, &id).await.unwrap();
    world.pass(MINUTE * 5).await;
    assert_eq!(world.taken.of("m").len(), 2);
    let now = world.now_ms();
    rules.upsert(&a, rule("n", "some")).await.unwrap();
    world.pass(MINUTE * 3).await;
    assert_eq!(times(&world.taken.of("n")), ends(now, 2));
}

/// Those of the configuration count from when they are first seen, over a restart and a downtime, and are not changed by requests.
#[tokio::test]
async fn rules_of_the_configuration_are_rules_too() {
    let mut world = World::new(RecordingRulesConfig::default());
    let a = tenant("a");
    let spec = |metric: &str| RuleSpec {
        metric_name: metric.to_owned(),
        matchers: rule(metric, "some").matchers,
        group_by: vec!["pod".to_owned()],
        ..RuleSpec::default()
    };
    world.limits.recording_rules = StaticRules::new([spec("m")]).unwrap();
    // Whoever has data has them.
    world.bucket.put("tenants/a/catalog/x", Bytes::new()).await.unwrap();
    let (rules, start) = (world.rules(), world.now_ms());
    let (task, stop) = run(&rules);
    world.pass(MINUTE * 3).await;
    assert_eq!(times(&world.taken.of("m")), ends(start, 2));
    stop.cancel();
    task.await.unwrap();
    // With a second one after a downtime: the first is made up for, the second begins.
    world.clock.advance(MINUTE * 5);
    world.limits.recording_rules = StaticRules::new([spec("m"), spec("n")]).unwrap();
    let (rules, again) = (world.rules(), world.now_ms());
    let _task = run(&rules);
    world.taken.samples.lock().clear();
    world.pass(MINUTE * 3).await;
    assert_eq!(times(&world.taken.of("m"))[1..], ends(start, 10)[2..], "the last once more, then what was missed");
    assert_eq!(times(&world.taken.of("n")), ends(again, 2));
    assert_eq!(rules.ruler.skipped_windows(), 0);

    let listed = rules.list(&a).await.unwrap().rules;
    assert!(listed.len() == 2 && listed.iter().all(|rule| rule.provisioned), "{listed:?}");
    let id = listed[0].id.clone();
    assert_eq!(rules.get(&a, &id).await.unwrap().rule.unwrap(), listed[0]);
    let change = v1::UpsertRecordingRuleRequest { id: id.clone(), generation: 1, ..rule("o", "some") };
    for error in [rules.upsert(&a, change).await.unwrap_err(), rules.delete(&a, &id).await.unwrap_err()] {
        assert!(
            error.code == ErrorCode::FailedPrecondition && error.message.contains("recording-rules.static"),
            "{error}"
        );
    }
    let own = rules.upsert(&a, rule("p", "some")).await.unwrap().rule.unwrap();
    assert!(!own.provisioned && rules.list(&a).await.unwrap().rules.len() == 3);
}
