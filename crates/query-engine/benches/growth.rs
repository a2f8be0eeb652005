//! Does a question about twice the profiles take twice the time? Each kernel at n and 2n; `make bench` prints the ratio.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamelake_block::meta::Ulid;
use flamelake_block::reader::BlockReader;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, block_folder, write_block};
use flamelake_model::query::{
    ExemplarKind, FunctionMatch, FunctionSeriesQuery, PartialQuery, SampleFilter, Selection, TimeSeriesQuery,
};
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, ProfileId, ProfileType, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_query_engine::{Merger, execute};
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const SERIES: usize = 50;
/// Profiles of a series at n.
const PROFILES: usize = 100;
const SAMPLES: usize = 40;

/// `factor` times the profiles of n, in as many series, over as many stacks.
fn reader(runtime: &tokio::runtime::Runtime, factor: usize) -> BlockReader {
    let mut random = StdRng::seed_from_u64(1);
    let mut frame = FrameBuilder::cpu("bench");
    for number in 0..2_000 {
        let stack: Vec<String> =
            (0..20).map(|level| format!("F{}", level * 9 + random.random_range(0..4_u32))).collect();
        frame = frame.stack(&format!("{};leaf{number}", stack.join(";")), &[1]);
    }
    let (mut table, mut stacks) = (SymbolTable::new(), Vec::new());
    table.intern(&frame.build(), &mut stacks);
    let series = (0..SERIES).map(|pod| series(pod, PROFILES * factor, &stacks, &mut random)).collect();
    let rows = PartitionRows { service_name: "bench".to_owned(), symbols: Arc::new(table.snapshot()), series };
    let (tenant, ulid) = (TenantId::anonymous(), Ulid(1));
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

fn series(pod: usize, profiles: usize, stacks: &[u32], random: &mut StdRng) -> SeriesRows {
    let labels = [("service_name", "bench"), ("__profile_type__", CPU), ("pod", &format!("pod-{pod}"))];
    let mut rows = SeriesRows { labels: Labels::from_pairs(labels), ..SeriesRows::default() };
    for profile in 0..profiles {
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

fn selection() -> Selection {
    Selection {
        profile_type: Some(ProfileType::parse(CPU).expect("a literal")),
        selector: Selector::all(),
        range: TimeRange::new(TimestampMs(0), TimestampMs(15_000 * 2 * PROFILES as i64)).expect("a literal"),
    }
}

fn time_series(call_site: &[&str]) -> PartialQuery {
    let call_site = call_site.iter().map(|name| (*name).to_owned()).collect();
    PartialQuery::TimeSeries(TimeSeriesQuery {
        selection: selection(),
        filter: SampleFilter { call_site, ..SampleFilter::default() },
        group_by: vec!["pod".to_owned()],
        step_ms: 15_000,
        exemplars: ExemplarKind::Individual,
    })
}

/// Sixty points of all functions.
fn function_series() -> PartialQuery {
    PartialQuery::FunctionSeries(FunctionSeriesQuery {
        selection: selection(),
        filter: SampleFilter::default(),
        functions: FunctionMatch::All,
        group_by: Vec::new(),
        step_ms: 15_000 * 2 * PROFILES as i64 / 60,
    })
}

fn growth(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let readers = [("n", 1), ("2n", 2)].map(|(name, factor)| (name, factor, reader(&runtime, factor)));
    let (selection, filter) = (selection(), SampleFilter::default());
    let questions = [
        ("series", time_series(&[])),
        ("series-call-site", time_series(&["F0"])),
        ("function-series", function_series()),
        ("tree", PartialQuery::Tree { selection: selection.clone(), filter: filter.clone() }),
        ("pprof", PartialQuery::Pprof { selection, filter, go_pgo: None }),
    ];
    for (kernel, query) in questions {
        let mut group = criterion.benchmark_group(format!("growth-query-{kernel}"));
        for (size, factor, reader) in &readers {
            group.throughput(Throughput::Elements((SERIES * PROFILES * factor) as u64));
            group.bench_function(*size, |bencher| {
                bencher.iter(|| runtime.block_on(execute(reader, black_box(&query))).expect("an answer"));
            });
        }
        group.finish();
    }
    merge(criterion, &runtime, &readers[0].2);
}

/// At the root: n and 2n answers to one question.
fn merge(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime, reader: &BlockReader) {
    let query = time_series(&[]);
    let answer = runtime.block_on(execute(reader, &query)).expect("an answer");
    let mut group = criterion.benchmark_group("growth-merge-series");
    for (size, parts) in [("n", 16), ("2n", 32)] {
        group.throughput(Throughput::Elements(parts));
        group.bench_function(size, |bencher| {
            bencher.iter(|| {
                let mut merger = Merger::new(&query);
                (0..parts).for_each(|_| merger.add(answer.clone()).expect("within bounds"));
                merger.finish().expect("an answer")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = growth
}
criterion_main!(benches);
