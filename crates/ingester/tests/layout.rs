//! Promise P2 and P8: the same profiles, cut into head and blocks in random ways, over flushes, restarts and retries, give the same
//! answers as a plain sum over what was pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery, Watermark};
use flamelake_block::reader::BlockReader;
use flamelake_catalog::{CatalogConfig, CatalogStore};
use flamelake_ingester::{Ingester, IngesterConfig, IngesterDeps, NoRing};
use flamelake_journal::{JournalConfig, JournalError, LogStore, open_log_store};
use flamelake_model::query::{
    ExemplarKind, FunctionMatch, FunctionPoint, FunctionSeries, FunctionSeriesQuery, PartialQuery, PartialResult,
    SampleFilter, Selection, TimeSeriesQuery,
};
use flamelake_model::selector::Selector;
use flamelake_model::tree::Tree;
use flamelake_model::{ProfileType, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_pprof::frame::Frame;
use flamelake_query_engine::execute;
use flamelake_runtime::clock::{SharedClock, SystemClock};
use flamelake_testkit::{FrameBuilder, seeded_rng};
use prometheus::Registry;
use rand::Rng;
use rand::rngs::StdRng;

const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const START_MS: i64 = 1_700_000_000_000;

/// An ingester on a folder of its own, with what a restart needs.
struct World {
    folder: tempfile::TempDir,
    bucket: Bucket,
    clock: SharedClock,
    ingester: Option<Ingester>,
    catalog: Arc<CatalogStore>,
}

impl World {
    async fn new() -> Self {
        let clock = SystemClock::shared();
        let bucket = Bucket::in_memory();
        let catalog = catalog(&bucket, &clock);
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { folder, bucket, clock, ingester: None, catalog };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        self.catalog = catalog(&self.bucket, &self.clock);
        let url = format!("file://{}", self.folder.path().join("log").display());
        let journal = JournalConfig { url, ..JournalConfig::default() };
        let deps = IngesterDeps {
            symboliser: None,
            bucket: self.bucket.clone(),
            logs: self.logs(&journal).await,
            catalog: Arc::clone(&self.catalog),
            registrar: Arc::new(NoRing),
            clock: Arc::clone(&self.clock),
            registry: Registry::new(),
        };
        let ingester = Ingester::start("one", IngesterConfig::default(), journal, deps).await.unwrap();
        self.ingester = Some(ingester);
    }

    /// The folder is locked until the last thread of the stopped log has let go of it.
    async fn logs(&self, journal: &JournalConfig) -> Arc<dyn LogStore> {
        for _ in 0..1000 {
            match open_log_store(journal, &self.bucket, Arc::clone(&self.clock), &Registry::new()) {
                Ok(logs) => return logs,
                Err(JournalError::Locked { .. }) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the stopped ingester never let go of its log");
    }

    async fn restart(&mut self) {
        self.ingester.take().unwrap().stop().await;
        self.start().await;
    }

    fn ingester(&self) -> &Ingester {
        self.ingester.as_ref().unwrap()
    }

    async fn push(&self, frames: &[Frame]) {
        let frames = frames.iter().map(encode).collect();
        let outcomes =
            self.ingester().append(AppendRequest { tenant: tenant(), frames, spread: Vec::new() }).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    /// Asks the head and all blocks, as a querier would.
    async fn ask(&self, query: &PartialQuery) -> Vec<PartialResult> {
        let state = self.catalog.load(&tenant()).await.unwrap();
        let watermarks =
            state.covered.iter().map(|(log, through)| Watermark { log: log.clone(), through: *through }).collect();
        let request =
            IngesterQuery { tenant: tenant(), catalog_version: state.version, watermarks, query: query.clone() };
        let mut parts = vec![self.ingester().query(request).await.unwrap().result];
        for ulid in state.blocks.keys() {
            let reader = BlockReader::open(self.bucket.clone(), &tenant(), *ulid).await.unwrap();
            parts.push(execute(&reader, query).await.unwrap().result);
        }
        parts
    }
}

fn catalog(bucket: &Bucket, clock: &SharedClock) -> Arc<CatalogStore> {
    Arc::new(CatalogStore::new(bucket.clone(), Arc::clone(clock), CatalogConfig::default(), &Registry::new()))
}

fn tenant() -> TenantId {
    TenantId::parse("t").unwrap()
}

fn encode(frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes.into()
}

fn random_frame(rng: &mut StdRng, number: u128) -> Frame {
    let mut builder = FrameBuilder::cpu(["api", "web"][rng.random_range(0..2)])
        .id_from(number + 1)
        .time_ns((START_MS + rng.random_range(0..60_000)) * 1_000_000)
        .types(&[("samples", "count"), ("cpu", "nanoseconds")]);
    for pod in 0..rng.random_range(1..3) {
        builder = builder.group(&[("pod", &format!("p{pod}"))]);
        for _ in 0..rng.random_range(1..6) {
            let depth = rng.random_range(1..5);
            let stack: Vec<String> = (0..depth).map(|_| format!("f{}", rng.random_range(0..4))).collect();
            let count = rng.random_range(0..5);
            builder = builder.stack(&stack.join(";"), &[count, count * 10_000_000 + 1]);
        }
    }
    builder.build()
}

/// What the pushed frames add up to: stack text to value of the second column.
fn expected(frames: &[Frame]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for frame in frames {
        for (sample, stack) in frame.sample_stacks.iter().enumerate() {
            let names: Vec<&str> = frame
                .stack(*stack)
                .iter()
                .rev()
                .flat_map(|location| frame.location_lines(&frame.locations[*location as usize]).iter().rev())
                .map(|line| frame.strings.get(frame.functions[line.function as usize].name))
                .collect();
            *sums.entry(names.join(";")).or_insert(0) += frame.sample_values[sample * 2 + 1];
        }
    }
    sums
}

fn selection() -> Selection {
    Selection {
        profile_type: Some(ProfileType::parse(TYPE).unwrap()),
        selector: Selector::parse("{}").unwrap(),
        range: TimeRange::new(TimestampMs(START_MS), TimestampMs(START_MS + 60_000)).unwrap(),
    }
}

async fn check(world: &World, pushed: &[Frame]) {
    let mut tree = Tree::default();
    for part in world.ask(&PartialQuery::Tree { selection: selection(), filter: SampleFilter::default() }).await {
        let PartialResult::Tree(part) = part else { panic!("a tree") };
        tree.merge(&part);
    }
    let mut want = Tree::default();
    for (stack, value) in expected(pushed) {
        want.add(stack.split(';'), value);
    }
    assert_eq!(
        flamelake_model::flamegraph::FlameGraph::new(&tree.view(None)),
        flamelake_model::flamegraph::FlameGraph::new(&want.view(None))
    );
    let query = PartialQuery::TimeSeries(TimeSeriesQuery {
        selection: selection(),
        filter: SampleFilter::default(),
        group_by: Vec::new(),
        step_ms: 60_000,
        exemplars: ExemplarKind::None,
    });
    let mut sum = 0;
    for part in world.ask(&query).await {
        let PartialResult::TimeSeries(series) = part else { panic!("a time series") };
        sum += series.iter().flat_map(|series| &series.points).map(|point| point.sum).sum::<i64>();
    }
    assert_eq!(sum, want.total());
    check_functions(world, &want).await;
}

/// Each part lists its functions; all parts together sum them as the tree does.
async fn check_functions(world: &World, want: &Tree) {
    let query = PartialQuery::FunctionSeries(FunctionSeriesQuery {
        selection: selection(),
        filter: SampleFilter::default(),
        functions: FunctionMatch::All,
        group_by: Vec::new(),
        step_ms: 60_000,
    });
    let mut all = FunctionSeries::default();
    for part in world.ask(&query).await {
        let PartialResult::FunctionSeries(part) = part else { panic!("functions") };
        all.merge(part);
    }
    let mut functions: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (stack, value) in want.stacks() {
        let names: Vec<&str> = stack.split(';').collect();
        for name in names.iter().collect::<BTreeSet<_>>() {
            functions.entry((*name).to_owned()).or_default().1 += value;
        }
        functions.entry(names[names.len() - 1].to_owned()).or_default().0 += value;
    }
    let sums = all.functions.iter().map(|series| {
        let sum = |of: fn(&FunctionPoint) -> i64| series.points.iter().map(of).sum::<i64>();
        (series.function.clone(), (sum(|point| point.self_value), sum(|point| point.total)))
    });
    assert_eq!(sums.collect::<BTreeMap<_, _>>(), functions);
    let total: i64 = all.totals.iter().flat_map(|totals| &totals.points).map(|point| point.value).sum();
    assert_eq!(total, want.total());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_layout_gives_the_same_answers() {
    let mut rng = seeded_rng("any_layout_gives_the_same_answers");
    for _ in 0..6 {
        let mut world = World::new().await;
        let mut pushed: Vec<Frame> = Vec::new();
        for number in 0..30 {
            match rng.random_range(0..10) {
                0 | 1 => world.ingester().flush(None).await.unwrap(),
                2 => world.restart().await,
                // A retry: stored once.
                3 if !pushed.is_empty() => world.push(&[pushed[rng.random_range(0..pushed.len())].clone()]).await,
                _ => {
                    let frames = vec![random_frame(&mut rng, number * 2), random_frame(&mut rng, number * 2 + 1)];
                    world.push(&frames).await;
                    pushed.extend(frames);
                }
            }
            if rng.random_range(0..4) == 0 {
                check(&world, &pushed).await;
            }
        }
        check(&world, &pushed).await;
    }
}
