//! What the root's merge costs beside the reading, over 1, 4 and 16 store-gateways with a block of a million samples each.
//!
//! CPU time of one thread that does everything in turn: reading each block, writing and reading the partial tree as it travels, merging.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use flamelake_block::meta::Ulid;
use flamelake_block::reader::BlockReader;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, block_folder, write_block};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, SampleFilter, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::tree::Tree;
use flamelake_model::{Labels, ProfileId, ProfileType, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_query_engine::{Merger, execute};
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const SERIES: usize = 50;
const PROFILES: usize = 200;
/// Of a profile: a million in a block.
const SAMPLES: usize = 100;
const STACKS: usize = 10_000;
const RUNS: usize = 5;

/// A block of one service, whose stacks are mostly those of the other blocks.
fn block(runtime: &tokio::runtime::Runtime, number: u64) -> BlockReader {
    let mut random = StdRng::seed_from_u64(number);
    let mut frame = FrameBuilder::cpu("bench");
    let mut names = StdRng::seed_from_u64(0);
    for stack in 0..STACKS {
        let own = if stack % 20 == 0 { number } else { 0 };
        let frames: Vec<String> =
            (0..20).map(|level| format!("F{}", level * 9 + names.random_range(0..4_u32))).collect();
        frame = frame.stack(&format!("{};leaf{own}_{stack}", frames.join(";")), &[1]);
    }
    let (mut table, mut stacks) = (SymbolTable::new(), Vec::new());
    table.intern(&frame.build(), &mut stacks);
    let series = (0..SERIES).map(|pod| series(pod, &stacks, &mut random)).collect();
    let rows = PartitionRows { service_name: "bench".to_owned(), symbols: Arc::new(table.snapshot()), series };
    let (tenant, ulid) = (TenantId::anonymous(), Ulid(u128::from(number)));
    let (log_ranges, sources) = (Vec::new(), Vec::new());
    let identity = BlockIdentity { ulid, tenant: tenant.clone(), level: 0, log_ranges, sources };
    let block = write_block(identity, std::iter::once(rows)).expect("rows are valid");
    let bucket = Bucket::in_memory();
    for (name, bytes) in block.files {
        let key = format!("{}{name}", block_folder(&tenant, ulid));
        runtime.block_on(bucket.put(&key, bytes)).expect("memory does not fail");
    }
    runtime.block_on(BlockReader::open(bucket, &tenant, ulid)).expect("the block is whole")
}

fn series(pod: usize, stacks: &[u32], random: &mut StdRng) -> SeriesRows {
    let labels = [("service_name", "bench"), ("__profile_type__", CPU), ("pod", &format!("pod-{pod}"))];
    let mut rows = SeriesRows { labels: Labels::from_pairs(labels), ..SeriesRows::default() };
    for profile in 0..PROFILES {
        let start = rows.stacks.len() as u32;
        let mut used: Vec<u32> = (0..SAMPLES).map(|_| stacks[random.random_range(0..stacks.len())]).collect();
        used.sort_unstable();
        rows.values.extend(used.iter().map(|_| i64::from(random.random_range(1..9_u8))));
        rows.stacks.extend(used);
        rows.profiles.push(ProfileRow {
            time_ns: profile as i64 * 15_000_000_000,
            id: ProfileId(random.random()),
            duration_ns: 15_000_000_000,
            period: 1,
            total: rows.values[start as usize..].iter().sum(),
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let query = PartialQuery::Tree {
        selection: Selection {
            profile_type: Some(ProfileType::parse(CPU).expect("a literal")),
            selector: Selector::all(),
            range: TimeRange::new(TimestampMs(0), TimestampMs(15_000 * PROFILES as i64)).expect("a literal"),
        },
        filter: SampleFilter::default(),
    };
    println!("| store-gateways | samples | reading | travel | merging | merging, of all |\n|---|---|---|---|---|---|");
    for gateways in [1, 4, 16] {
        let blocks: Vec<BlockReader> = (0..gateways).map(|number| block(&runtime, number + 1)).collect();
        let mut best = [Duration::MAX; 3];
        for _ in 0..RUNS {
            let times = once(&runtime, &query, &blocks);
            for (best, time) in best.iter_mut().zip(times) {
                *best = (*best).min(time);
            }
        }
        let [reading, travel, merging] = best.map(|time| time.as_secs_f64() * 1e3);
        println!(
            "| {gateways} | {} M | {reading:.1} ms | {travel:.1} ms | {merging:.1} ms | {:.0} % |",
            gateways as usize * SERIES * PROFILES * SAMPLES / 1_000_000,
            merging / (reading + travel + merging) * 100.0
        );
    }
}

/// Reading, travelling, merging.
fn once(runtime: &tokio::runtime::Runtime, query: &PartialQuery, blocks: &[BlockReader]) -> [Duration; 3] {
    let started = Instant::now();
    let answers: Vec<PartialAnswer> =
        blocks.iter().map(|block| runtime.block_on(execute(block, query)).expect("an answer")).collect();
    let read = Instant::now();
    let travelled: Vec<PartialAnswer> = answers.into_iter().map(travel).collect();
    let arrived = Instant::now();
    let mut merger = Merger::new(query);
    travelled.into_iter().for_each(|answer| merger.add(answer).expect("within bounds"));
    merger.finish().expect("an answer");
    [read - started, arrived - read, arrived.elapsed()]
}

fn travel(answer: PartialAnswer) -> PartialAnswer {
    let PartialResult::Tree(tree) = answer.result else { return answer };
    let tree = Tree::decode(&tree.encode()).expect("written by us");
    PartialAnswer { result: PartialResult::Tree(tree), ..answer }
}
