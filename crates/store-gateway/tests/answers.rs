//! Named blocks → one answer that says what it left out, or an error; and what happens to blocks that are damaged, gone, too many,
//! somebody else's, or no longer wanted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flamelake_api::roles::{StoreGatewayApi as _, StoreGatewayQuery};
use flamelake_block::meta::Ulid;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, FinishedBlock, block_folder, write_block};
use flamelake_config::ByteSize;
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, SampleFilter, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::{ErrorCode, Labels, ProfileId, ProfileType, StatusError, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{Bucket, BucketDeps, RetryPolicy};
use flamelake_store_gateway::{StoreGateway, StoreGatewayConfig, StoreGatewayDeps};
use flamelake_symbols::SymbolTable;
use flamelake_testkit::{FakeClock, FrameBuilder};
use futures::FutureExt as _;
use object_store::memory::InMemory;
use prometheus::Registry;

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

/// A gateway over a store in memory that fails when told to.
struct World {
    bucket: Bucket,
    faults: Faults,
    registry: Registry,
    gateway: StoreGateway,
}

impl World {
    fn new(config: StoreGatewayConfig) -> Self {
        let (faults, registry) = (Faults::default(), Registry::new());
        let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
        let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
        let clock = FakeClock::at_unix_nanos(0).shared();
        let deps = StoreGatewayDeps { symboliser: None, bucket: bucket.clone(), clock, registry: registry.clone() };
        Self { bucket, faults, registry, gateway: StoreGateway::new(config, deps) }
    }

    /// Writes block number `number` of tenant `a` with one profile.
    async fn block(&self, number: u64, folded: &str) -> FinishedBlock {
        let block = block(&tenant("a"), number, folded);
        self.store(&tenant("a"), &block).await;
        block
    }

    async fn store(&self, owner: &TenantId, block: &FinishedBlock) {
        for (name, bytes) in &block.files {
            self.put(owner, block.meta.ulid, name, bytes.clone()).await;
        }
    }

    async fn put(&self, owner: &TenantId, block: Ulid, name: &str, bytes: Bytes) {
        self.bucket.put(&format!("{}{name}", block_folder(owner, block)), bytes).await.unwrap();
    }

    async fn ask(&self, owner: &str, blocks: &[u64]) -> Result<PartialAnswer, StatusError> {
        self.gateway.query(question(owner, blocks)).await
    }

    /// Folded stacks of tenant `a`'s blocks, and what was left out.
    async fn folded(&self, blocks: &[u64]) -> (String, Vec<String>) {
        let answer = self.ask("a", blocks).await.unwrap();
        let PartialResult::Tree(tree) = answer.result else { panic!("not a tree") };
        let lines: Vec<String> = tree.stacks().into_iter().map(|(stack, value)| format!("{stack} {value}")).collect();
        (lines.join("\n"), answer.stats.set_aside)
    }

    /// The value of a counter or gauge of the gateway.
    fn metric(&self, name: &str) -> f64 {
        let name = format!("flamelake_store_gateway_{name}");
        let family = self.registry.gather().into_iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(number, 1)
}

fn question(owner: &str, blocks: &[u64]) -> StoreGatewayQuery {
    let selection = Selection {
        profile_type: Some(ProfileType::parse(CPU).unwrap()),
        selector: Selector::all(),
        range: TimeRange::new(TimestampMs(0), TimestampMs(1_000)).unwrap(),
    };
    let blocks = blocks.iter().map(|number| ulid(*number).to_string()).collect();
    let query = PartialQuery::Tree { selection, filter: SampleFilter::default() };
    StoreGatewayQuery { tenant: tenant(owner), blocks, query, set_missing_aside: false }
}

fn block(owner: &TenantId, number: u64, folded: &str) -> FinishedBlock {
    let frame = FrameBuilder::cpu("shop").folded(folded).build();
    let (mut table, mut stacks) = (SymbolTable::new(), Vec::new());
    table.intern(&frame, &mut stacks);
    let mut samples: Vec<(u32, i64)> = frame
        .sample_stacks
        .iter()
        .zip(&frame.sample_values)
        .map(|(stack, value)| (stacks[*stack as usize], *value))
        .collect();
    samples.sort_unstable();
    let profile = ProfileRow {
        time_ns: 1_000_000,
        id: ProfileId(u128::from(number).to_be_bytes()),
        duration_ns: 0,
        period: 1,
        total: samples.iter().map(|(_, value)| value).sum(),
        samples_start: 0,
        samples_end: samples.len() as u32,
    };
    let series = SeriesRows {
        labels: Labels::from_pairs([("service_name", "shop"), ("__profile_type__", CPU)]),
        profiles: vec![profile],
        stacks: samples.iter().map(|(stack, _)| *stack).collect(),
        values: samples.iter().map(|(_, value)| *value).collect(),
        ..SeriesRows::default()
    };
    let rows =
        PartitionRows { service_name: "shop".to_owned(), symbols: Arc::new(table.snapshot()), series: vec![series] };
    let (log_ranges, sources) = (Vec::new(), Vec::new());
    let identity = BlockIdentity { ulid: ulid(number), tenant: owner.clone(), level: 0, log_ranges, sources };
    write_block(identity, std::iter::once(rows)).unwrap()
}

fn flipped(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.into()
}

/// Enough turns for everything that can go on to go on.
async fn let_run() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn named_blocks_are_read_once_and_added_up() {
    let world = World::new(StoreGatewayConfig::default());
    for (number, folded) in [(1, "main;a 1\nmain 2"), (2, "main;a 10"), (3, "never 100")] {
        world.block(number, folded).await;
    }
    let expected = ("main 2\nmain;a 11".to_owned(), Vec::new());
    assert_eq!(world.folded(&[1, 2, 1]).await, expected);
    assert_eq!(world.folded(&[2, 1]).await, expected);
    assert_eq!(world.folded(&[]).await, (String::new(), Vec::new()));
    assert_eq!((world.metric("blocks_read_total"), world.metric("blocks_opened_total")), (4.0, 2.0));
}

#[tokio::test]
async fn names_and_their_number_are_checked() {
    let world = World::new(StoreGatewayConfig { blocks_per_query_max: 2, ..StoreGatewayConfig::default() });
    let mut bad = question("a", &[1]);
    bad.blocks.push("../b".to_owned());
    let error = world.gateway.query(bad).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    let error = world.ask("a", &[1, 2, 3]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceExhausted, "{error}");
    assert_eq!(world.metric("blocks_opened_total"), 0.0);
}

#[tokio::test]
async fn a_damaged_block_is_set_aside_and_named_until_it_is_repaired() {
    let files = block(&tenant("a"), 2, "main;b 10").files;
    for (name, bytes) in &files {
        let world = World::new(StoreGatewayConfig::default());
        world.block(1, "main;a 1").await;
        world.block(2, "main;b 10").await;
        world.put(&tenant("a"), ulid(2), name, flipped(bytes)).await;
        // What a flame graph does not need is not read.
        let is_needed = name != "frames.parquet";
        let (folded, set_aside) = world.folded(&[1, 2]).await;
        assert_eq!(folded, if is_needed { "main;a 1" } else { "main;a 1\nmain;b 10" }, "{name}");
        assert_eq!(set_aside.len(), usize::from(is_needed), "{name}: {set_aside:?}");
        let start = format!("block {}: {name}: ", ulid(2));
        assert!(set_aside.iter().all(|note| note.starts_with(&start)), "{set_aside:?}");
        assert_eq!(world.metric("blocks_set_aside_total"), f64::from(is_needed));
        world.put(&tenant("a"), ulid(2), name, bytes.clone()).await;
        let repaired = ("main;a 1\nmain;b 10".to_owned(), Vec::new());
        assert_eq!(world.folded(&[1, 2]).await, repaired, "{name} is whole again");
    }
}

#[tokio::test]
async fn a_missing_block_or_file_fails_the_question_by_name() {
    for name in ["block.json", "samples.parquet", "functions.parquet"] {
        let world = World::new(StoreGatewayConfig::default());
        world.block(1, "main;a 1").await;
        let block = world.block(2, "main;b 10").await;
        world.bucket.delete(&format!("{}{name}", block_folder(&tenant("a"), ulid(2)))).await.unwrap();
        let error = world.ask("a", &[1, 2]).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound, "{name}: {error}");
        assert!(error.message.contains(&ulid(2).to_string()) && error.message.contains(name), "{error}");
        assert_eq!((world.metric("blocks_missing_total"), world.metric("blocks_set_aside_total")), (1.0, 0.0));
        // It was not there yet, say: nothing remembers that.
        world.store(&tenant("a"), &block).await;
        assert_eq!(world.folded(&[2]).await, ("main;b 10".to_owned(), Vec::new()), "{name}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_damage() {
    let world = World::new(StoreGatewayConfig::default());
    world.block(1, "main;a 1").await;
    for file in ["block.json", "series.parquet"] {
        world.faults.plan(Operation::Get, file, 0, 2, Fault::Fail);
        let error = world.ask("a", &[1]).await.unwrap_err();
        assert!(![ErrorCode::NotFound, ErrorCode::DataLoss].contains(&error.code), "{file}: {error:?}");
        assert!(error.message.contains(file), "{error}");
        world.faults.clear();
    }
    assert_eq!((world.metric("blocks_missing_total"), world.metric("blocks_set_aside_total")), (0.0, 0.0));
    assert_eq!(world.folded(&[1]).await, ("main;a 1".to_owned(), Vec::new()));
}

#[tokio::test]
async fn open_blocks_are_kept_and_their_bytes_are_bounded() {
    let numbers: Vec<u64> = (1..=20).collect();
    let folded: String = (0..200).map(|n| format!("main;function_{n};leaf 1\n")).collect();
    let run = async |cache_bytes_max: u64| {
        let cache_bytes_max = ByteSize(cache_bytes_max);
        let world = World::new(StoreGatewayConfig { cache_bytes_max, ..StoreGatewayConfig::default() });
        for number in &numbers {
            world.block(*number, &folded).await;
        }
        for _ in 0..5 {
            let (folded, set_aside) = world.folded(&numbers).await;
            assert!(folded.contains("main;function_7;leaf 20") && set_aside.is_empty());
        }
        (world.metric("blocks_opened_total"), world.metric("cache_bytes"))
    };
    let (opened, held) = run(1 << 30).await;
    assert_eq!(opened, 20.0, "a large cache opens each block once");
    let one = held / 20.0;
    assert!(one > 10_000.0, "{held} bytes for 20 blocks");
    let bound = (one * 6.0) as u64;
    let (opened, held) = run(bound).await;
    assert!(opened >= 60.0, "a small cache opens again: {opened}");
    assert!(held <= bound as f64, "{held} bytes of at most {bound}");
}

#[tokio::test]
async fn tenants_have_their_own_blocks_even_under_one_name() {
    let world = World::new(StoreGatewayConfig::default());
    let of_a = world.block(1, "main;secret 1").await;
    assert_eq!(world.folded(&[1]).await.0, "main;secret 1");
    // Open for its owner, and still not there for the other.
    let error = world.ask("b", &[1]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound, "{error}");
    // Copied into the other's folder it says whose it is.
    world.store(&tenant("b"), &of_a).await;
    let answer = world.ask("b", &[1]).await.unwrap();
    assert!(matches!(&answer.result, PartialResult::Tree(tree) if tree.is_empty()), "{:?}", answer.result);
    assert!(answer.stats.set_aside[0].contains("it is of block"), "{:?}", answer.stats);
    world.store(&tenant("b"), &block(&tenant("b"), 1, "main;own 2")).await;
    let PartialResult::Tree(tree) = world.ask("b", &[1]).await.unwrap().result else { panic!("not a tree") };
    assert_eq!(tree.total(), 2);
    assert_eq!(world.folded(&[1]).await.0, "main;secret 1");
}

#[tokio::test]
async fn a_query_that_is_given_up_reads_no_further_and_frees_its_turns() {
    let config = StoreGatewayConfig { blocks_concurrent_max: 3, ..StoreGatewayConfig::default() };
    let world = World::new(config);
    let numbers: Vec<u64> = (1..=10).collect();
    for number in &numbers {
        world.block(*number, "main 1").await;
    }
    world.faults.plan(Operation::Get, "block.json", 0, 3, Fault::Hang);
    let mut asked = Box::pin(world.ask("a", &numbers));
    assert!((&mut asked).now_or_never().is_none());
    let_run().await;
    assert!((&mut asked).now_or_never().is_none());
    assert_eq!(world.metric("blocks_opened_total"), 3.0, "no more than three at a time");
    drop(asked);
    let_run().await;
    assert_eq!(world.metric("blocks_opened_total"), 3.0, "what waited is not read any more");
    let again = tokio::time::timeout(Duration::from_secs(60), world.folded(&numbers)).await;
    assert_eq!(again.expect("every turn is free again").0, "main 10");
}

#[tokio::test]
async fn a_query_waits_for_the_turns_of_another() {
    let config = StoreGatewayConfig { blocks_concurrent_max: 1, ..StoreGatewayConfig::default() };
    let world = World::new(config);
    world.block(1, "main 1").await;
    world.block(2, "main 2").await;
    world.faults.plan(Operation::Get, &ulid(1).to_string(), 0, 1, Fault::Hang);
    let mut first = Box::pin(world.ask("a", &[1]));
    assert!((&mut first).now_or_never().is_none());
    let_run().await;
    let mut second = Box::pin(world.folded(&[2]));
    assert!((&mut second).now_or_never().is_none());
    let_run().await;
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(world.metric("blocks_opened_total"), 1.0);
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(60), second).await;
    assert_eq!(second.expect("the turn is free again").0, "main 2");
}
