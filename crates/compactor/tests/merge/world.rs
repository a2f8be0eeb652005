//! Blocks of random rows in a bucket that can fail, their catalog, a compactor, and all kinds of questions.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use flamelake_api::roles::{Alone, AppendRequest, IngesterApi, IngesterQuery, Member};
use flamelake_block::meta::LogRange;
use flamelake_block::reader::BlockReader;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, block_folder, write_block};
use flamelake_catalog::{CatalogConfig, CatalogState, CatalogStore, Commit, CommitOutcome};
use flamelake_compactor::{Compactor, CompactorConfig, CompactorDeps, Job, OwnsAll};
use flamelake_config::{ByteSize, Limits};
use flamelake_model::query::{
    ExemplarKind, FunctionMatch, FunctionSeriesQuery, GoPgo, PartialAnswer, PartialQuery, PartialResult, SampleFilter,
    Selection, TimeSeriesQuery,
};
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, ProfileType, StatusError, TenantId, TimeRange, TimestampMs, TimestampNs};
use flamelake_object_storage::faulty::{Faults, FaultyStore};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_query_engine::{Merger, execute};
use flamelake_runtime::clock::{Clock, SharedClock, SystemClock};
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use object_store::memory::InMemory;
use prometheus::Registry;
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) const TYPES: [&str; 2] =
    ["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:inuse_space:bytes:space:bytes"];
pub(crate) const START_MS: i64 = 1_700_000_000_000;
const SPAN: u64 = 1;

pub(crate) struct World {
    pub(crate) tenant: TenantId,
    pub(crate) bucket: Bucket,
    pub(crate) faults: Faults,
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) ingester: Arc<FakeIngester>,
    clock: Shifted,
    logged: AtomicU64,
}

/// The time of the system, and so many nanoseconds more.
#[derive(Clone, Debug)]
struct Shifted {
    by: Arc<AtomicI64>,
    system: SharedClock,
}

impl Shifted {
    fn by(&self) -> i64 {
        self.by.load(Ordering::Relaxed)
    }
}

impl Clock for Shifted {
    fn unix_nanos(&self) -> i64 {
        self.system.unix_nanos() + self.by()
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_nanos(self.by() as u64)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.system.sleep(duration)
    }
}

/// Has nothing to flush and no log; or does not answer.
#[derive(Debug, Default)]
pub(crate) struct FakeIngester {
    pub(crate) is_dead: AtomicBool,
}

impl FakeIngester {
    fn answer(&self) -> Result<(), StatusError> {
        if self.is_dead.load(Ordering::Relaxed) { Err(StatusError::unavailable("dead")) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl IngesterApi for FakeIngester {
    async fn append(&self, _: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("no pushes here"))
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("no queries here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        self.answer()
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        self.answer()
    }
}

/// Rows of one partition as a test makes them: everything by content.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    service: &'static str,
    /// (stack, value, span) of each profile.
    profiles: Vec<Profile>,
}

#[derive(Clone, Debug)]
struct Profile {
    labels: Labels,
    time_ns: i64,
    id: [u8; 16],
    samples: Vec<(String, i64, u64)>,
}

/// The rows that stay when those of a type, a pod and a range go; and how many profiles and samples go.
pub(crate) fn without(block: &[Rows], kind: &str, pod: &str, range: &TimeRange) -> (Vec<Rows>, u64, u64) {
    let (mut rest, mut profiles, mut samples) = (Vec::new(), 0, 0);
    for rows in block {
        let goes = |profile: &Profile| {
            profile.labels.get("pod") == Some(pod)
                && profile.labels.get("__profile_type__") == Some(kind)
                && range.contains(TimestampNs(profile.time_ns))
        };
        let gone = rows.profiles.iter().filter(|profile| goes(profile));
        let gone: Vec<u64> = gone.map(|profile| profile.samples.len() as u64).collect();
        (profiles, samples) = (profiles + gone.len() as u64, samples + gone.iter().sum::<u64>());
        let stays: Vec<Profile> = rows.profiles.iter().filter(|profile| !goes(profile)).cloned().collect();
        if !stays.is_empty() {
            rest.push(Rows { service: rows.service, profiles: stays });
        }
    }
    (rest, profiles, samples)
}

impl World {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        let (faults, clock, ingester): (_, _, Arc<FakeIngester>) =
            (Faults::default(), Shifted { by: Arc::default(), system: SystemClock::shared() }, Arc::default());
        let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
        let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
        let config = CompactorConfig { memory_bytes_max: ByteSize(memory_bytes_max), ..CompactorConfig::default() };
        let deps = CompactorDeps {
            bucket: bucket.clone(),
            catalog: Arc::new(catalog(&bucket, &clock)),
            ownership: Arc::new(OwnsAll),
            ingesters: Arc::new(Alone(Member { name: "one".to_owned(), api: Arc::clone(&ingester) as _ })),
            limits: Arc::new(Arc::new(Limits::default())),
            clock: Arc::new(clock.clone()),
            registry: Registry::new(),
        };
        let compactor = Arc::new(Compactor::new(config, deps).unwrap());
        Self {
            tenant: TenantId::parse("t").unwrap(),
            bucket,
            faults,
            compactor,
            ingester,
            clock,
            logged: AtomicU64::new(0),
        }
    }

    /// Time passes, and files that nothing needs are deleted.
    pub(crate) async fn sweep_after(&self, time: Duration) {
        self.clock.by.fetch_add(time.as_nanos() as i64, Ordering::Relaxed);
        catalog(&self.bucket, &self.clock).sweep(&self.tenant).await.unwrap();
    }

    /// Another tenant of the same bucket and compactor.
    pub(crate) fn of_tenant(&self, tenant: &str) -> Self {
        Self {
            tenant: TenantId::parse(tenant).unwrap(),
            bucket: self.bucket.clone(),
            faults: self.faults.clone(),
            compactor: Arc::clone(&self.compactor),
            ingester: Arc::clone(&self.ingester),
            clock: self.clock.clone(),
            logged: AtomicU64::new(0),
        }
    }

    /// The newest state, as a process that starts now reads it.
    pub(crate) async fn state(&self) -> Arc<CatalogState> {
        catalog(&self.bucket, &self.clock).load(&self.tenant).await.unwrap()
    }

    /// Commits a block of these rows, with the next ten rows of a log.
    pub(crate) async fn add(&self, rows: Vec<Rows>, level: u32) {
        let catalog = catalog(&self.bucket, &self.clock);
        let state = catalog.load(&self.tenant).await.unwrap();
        let from = self.logged.fetch_add(10, Ordering::Relaxed);
        let range = LogRange { log: "one/01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), from, to: from + 10 };
        let identity = BlockIdentity {
            ulid: catalog.next_block_id(&state),
            tenant: self.tenant.clone(),
            level,
            log_ranges: vec![range.clone()],
            sources: Vec::new(),
        };
        let block = write_block(identity, rows.iter().map(partition)).unwrap();
        for (file, bytes) in block.files {
            let key = format!("{}{file}", block_folder(&self.tenant, block.meta.ulid));
            self.bucket.put(&key, bytes).await.unwrap();
        }
        let covered = BTreeMap::from([(range.log, (range.from, range.to))]);
        let commit = Commit { add: vec![Arc::new(block.meta)], covered, ..Commit::default() };
        let outcome = catalog.commit(&self.tenant, commit).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }

    /// Merges all blocks into one, however large they are.
    pub(crate) async fn merge_all(&self) {
        let state = self.state().await;
        let level = state.blocks.values().map(|block| block.level).max().unwrap() + 1;
        let job = Job { level, blocks: state.blocks.keys().copied().collect() };
        assert!(self.compactor.run_job(&self.tenant, &state, &job).await.unwrap());
        assert_eq!(self.state().await.blocks.len(), 1);
    }

    /// Answers to all questions, as lines of text.
    pub(crate) async fn answers(&self) -> Vec<String> {
        let state = self.state().await;
        let mut readers = Vec::new();
        for block in state.blocks.keys() {
            readers.push(BlockReader::open(self.bucket.clone(), &self.tenant, *block).await.unwrap());
        }
        let mut lines = Vec::new();
        for (number, query) in questions().into_iter().enumerate() {
            let mut merger = Merger::new(&query);
            for reader in &readers {
                merger.add(execute(reader, &query).await.unwrap()).unwrap();
            }
            lines.extend(text(merger.finish().unwrap().result).into_iter().map(|line| format!("{number}: {line}")));
        }
        lines
    }
}

fn catalog(bucket: &Bucket, clock: &Shifted) -> CatalogStore {
    CatalogStore::new(bucket.clone(), Arc::new(clock.clone()), CatalogConfig::default(), &Registry::new())
}

/// One block: some services, each once.
pub(crate) fn random_block(rng: &mut StdRng) -> Vec<Rows> {
    let services: Vec<&str> = ["api", "db", "web"].into_iter().filter(|_| rng.random_range(0..3) > 0).collect();
    let services = if services.is_empty() { vec!["api"] } else { services };
    services.into_iter().map(|service| Rows { service, profiles: random_profiles(service, rng) }).collect()
}

fn random_profiles(service: &str, rng: &mut StdRng) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for _ in 0..rng.random_range(1..20) {
        let (pod, kind) = (format!("p{}", rng.random_range(0..4)), TYPES[rng.random_range(0..2)]);
        let labels = Labels::from_pairs([("service_name", service), ("pod", pod.as_str()), ("__profile_type__", kind)]);
        let scale = [1, 10_000_000][rng.random_range(0..2)];
        let samples = (0..rng.random_range(0..8)).map(|_| {
            let depth = rng.random_range(1..6);
            let stack: Vec<String> = (0..depth).map(|_| format!("f{}", rng.random_range(0..5))).collect();
            (stack.join(";"), rng.random_range(0..9) * scale, rng.random_range(0..4))
        });
        let samples = samples.collect();
        let time_ns = (START_MS + rng.random_range(0..60_000)) * 1_000_000;
        profiles.push(Profile { labels, time_ns, id: rng.random(), samples });
    }
    profiles
}

fn partition(rows: &Rows) -> PartitionRows {
    let stacks = rows.profiles.iter().flat_map(|profile| &profile.samples).map(|(stack, _, _)| stack.as_str());
    let distinct: std::collections::BTreeSet<&str> = stacks.collect();
    let mut frame = FrameBuilder::cpu(rows.service).group(&[]);
    for stack in &distinct {
        frame = frame.stack(stack, &[1]);
    }
    let frame = frame.build();
    let (mut table, mut ids) = (SymbolTable::new(), Vec::new());
    table.intern(&frame, &mut ids);
    let stack_names = |stack: u32| {
        let locations = frame.stack(stack).iter().rev();
        let lines = locations.flat_map(|at| frame.location_lines(&frame.locations[*at as usize]).iter().rev());
        lines.map(|line| frame.strings.get(frame.functions[line.function as usize].name)).collect::<Vec<_>>().join(";")
    };
    let by_name: BTreeMap<String, u32> = (0..).zip(&ids).map(|(stack, id)| (stack_names(stack), *id)).collect();
    let mut series: BTreeMap<&Labels, SeriesRows> = BTreeMap::new();
    for profile in &rows.profiles {
        let to = series.entry(&profile.labels).or_default();
        to.labels = profile.labels.clone();
        let samples_start = to.stacks.len() as u32;
        for (stack, value, span) in &profile.samples {
            to.stacks.push(by_name[stack]);
            to.values.push(*value);
            to.spans.push(*span);
            to.traces.push([*span as u8; 16]);
        }
        to.profiles.push(ProfileRow {
            time_ns: profile.time_ns,
            id: flamelake_model::ProfileId(profile.id),
            duration_ns: 7,
            period: 100,
            total: profile.samples.iter().map(|(_, value, _)| value).sum(),
            samples_start,
            samples_end: to.stacks.len() as u32,
        });
    }
    PartitionRows {
        service_name: rows.service.to_owned(),
        symbols: Arc::new(table.snapshot()),
        series: series.into_values().collect(),
    }
}

fn questions() -> Vec<PartialQuery> {
    // Which series lie in a range is told by their first and last profile, so that labels are asked for all the time there is.
    let everything = || Selection {
        profile_type: None,
        selector: Selector::parse("{}").unwrap(),
        range: TimeRange::new(TimestampMs(START_MS), TimestampMs(START_MS + 60_000)).unwrap(),
    };
    let selection = |kind: Option<&str>, selector: &str| Selection {
        profile_type: kind.map(|kind| ProfileType::parse(kind).unwrap()),
        selector: Selector::parse(selector).unwrap(),
        range: TimeRange::new(TimestampMs(START_MS + 5_000), TimestampMs(START_MS + 55_000)).unwrap(),
    };
    let mut all = vec![
        PartialQuery::LabelNames(everything()),
        PartialQuery::LabelValues { selection: everything(), name: "pod".to_owned() },
        PartialQuery::Series { selection: everything(), label_names: Vec::new() },
    ];
    let filters = [
        SampleFilter::default(),
        SampleFilter { span_ids: vec![SPAN], ..SampleFilter::default() },
        SampleFilter { trace_ids: vec![[2; 16]], ..SampleFilter::default() },
        SampleFilter { call_site: vec!["f1".to_owned()], ..SampleFilter::default() },
    ];
    for (kind, selector) in TYPES.into_iter().flat_map(|kind| [(kind, "{}"), (kind, r#"{pod="p1"}"#)]) {
        let selection = || selection(Some(kind), selector);
        for filter in &filters {
            all.push(PartialQuery::Tree { selection: selection(), filter: filter.clone() });
            all.push(PartialQuery::Pprof { selection: selection(), filter: filter.clone(), go_pgo: None });
            all.push(PartialQuery::TimeSeries(TimeSeriesQuery {
                selection: selection(),
                filter: filter.clone(),
                group_by: vec!["pod".to_owned()],
                step_ms: 10_000,
                exemplars: ExemplarKind::Individual,
            }));
            // A minute and more: so few buckets that rollups may answer.
            for (step_ms, functions) in [(10_000, FunctionMatch::All), (600_000, named(&["f1", "f2"]))] {
                all.push(PartialQuery::FunctionSeries(FunctionSeriesQuery {
                    selection: selection(),
                    filter: filter.clone(),
                    functions,
                    group_by: vec!["pod".to_owned()],
                    step_ms,
                }));
            }
        }
        let go_pgo = Some(GoPgo { keep_locations: 2, aggregate_callees: true });
        all.push(PartialQuery::Pprof { selection: selection(), filter: SampleFilter::default(), go_pgo });
    }
    all
}

fn named(names: &[&str]) -> FunctionMatch {
    FunctionMatch::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

fn text(result: PartialResult) -> Vec<String> {
    match result {
        PartialResult::Tree(tree) => tree.stacks().into_iter().map(|stack| format!("{stack:?}")).collect(),
        PartialResult::Pprof(bytes) => pprof_text(&bytes),
        PartialResult::Strings(all) => all.into_iter().collect(),
        PartialResult::LabelSets(all) => all.into_iter().map(|labels| format!("{labels:?}")).collect(),
        PartialResult::TimeSeries(all) => all.into_iter().map(|series| format!("{series:?}")).collect(),
        PartialResult::FunctionSeries(all) => vec![format!("{all:?}")],
        PartialResult::Functions(index) => vec![format!("{:?}", index.functions())],
        PartialResult::Heatmap(all) => all.into_iter().map(|dots| format!("{dots:?}")).collect(),
        PartialResult::TimeSpan(span) => vec![format!("{span:?}")],
    }
}

/// What of a pprof tells its samples.
#[derive(Clone, PartialEq, prost::Message)]
struct Pprof {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

fn pprof_text(bytes: &[u8]) -> Vec<String> {
    let profile = <Pprof as prost::Message>::decode(bytes).unwrap();
    let names: BTreeMap<u64, &str> = profile
        .function
        .iter()
        .map(|function| (function.id, profile.strings[function.name as usize].as_str()))
        .collect();
    let locations: BTreeMap<u64, String> = profile
        .location
        .iter()
        .map(|location| {
            let lines = location.line.iter().map(|line| format!("{}:{}", names[&line.function], line.line));
            (location.id, lines.collect::<Vec<_>>().join(","))
        })
        .collect();
    let stack = |sample: &Sample| sample.location.iter().map(|at| locations[at].as_str()).collect::<Vec<_>>().join(";");
    let mut lines: Vec<String> =
        profile.sample.iter().map(|sample| format!("{} {:?}", stack(sample), sample.value)).collect();
    lines.sort();
    lines
}
