//! What do a sample's encode and decode cost, cold and warm?

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamelake_block::meta::Ulid;
use flamelake_block::reader::{BlockReader, SampleBatch, SampleColumns, SymbolDetail};
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, block_folder, write_block};
use flamelake_model::{Labels, ProfileId, TenantId, TimestampNs};
use flamelake_object_storage::Bucket;
use flamelake_symbols::{SymbolSource, SymbolTable};
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SERIES: usize = 20;
/// Profiles of a series at n.
const PROFILES: usize = 20;
const SAMPLES: usize = 500;

fn identity() -> BlockIdentity {
    BlockIdentity {
        ulid: Ulid(1),
        tenant: TenantId::anonymous(),
        level: 0,
        log_ranges: Vec::new(),
        sources: Vec::new(),
    }
}

/// `factor` times 200,000 samples on 5,000 stacks: values in steps of the period, stacks by a power law, as CPU profiles have them.
fn partition(factor: usize) -> PartitionRows {
    let mut random = StdRng::seed_from_u64(1);
    let mut frame = FrameBuilder::cpu("bench").group(&[]);
    for number in 0..5_000 {
        let depth = random.random_range(5..25);
        let stack: Vec<String> =
            (0..depth).map(|level| format!("package.F{}", level * 9 + random.random_range(0..4_u32))).collect();
        frame = frame.stack(&format!("{};leaf{number}", stack.join(";")), &[1]);
    }
    let mut table = SymbolTable::new();
    let mut stacks = Vec::new();
    table.intern(&frame.build(), &mut stacks);
    let series = (0..SERIES).map(|number| series(number, PROFILES * factor, &stacks, &mut random)).collect();
    PartitionRows { service_name: "bench".to_owned(), symbols: Arc::new(table.snapshot()), series }
}

fn series(number: usize, profiles: usize, stacks: &[u32], random: &mut StdRng) -> SeriesRows {
    let mut rows = SeriesRows { labels: Labels::from_pairs([("pod", format!("{number}"))]), ..SeriesRows::default() };
    for profile in 0..profiles {
        let start = rows.stacks.len() as u32;
        let pick = |random: &mut StdRng| stacks[(random.random::<f64>().powi(3) * stacks.len() as f64) as usize];
        let mut used: Vec<u32> = (0..SAMPLES).map(|_| pick(random)).collect();
        used.sort_unstable();
        rows.values.extend(used.iter().map(|_| 10_000_000 * i64::from(random.random_range(1..9_u8))));
        rows.stacks.extend(used);
        rows.profiles.push(ProfileRow {
            time_ns: profile as i64,
            id: ProfileId(random.random()),
            duration_ns: 15_000_000_000,
            period: 10_000_000,
            total: 0,
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows
}

async fn sum(reader: &BlockReader) -> i64 {
    let symbols = reader.symbols(0, SymbolDetail::Functions).await.expect("the block is whole");
    let mut sums = vec![0_i64; symbols.function_node_count() as usize];
    let all: Vec<u32> = (0..SERIES as u32).collect();
    let mut sink = |batch: SampleBatch<'_>| {
        for (stack, value) in batch.stacks.iter().zip(batch.values) {
            sums[*stack as usize % symbols.function_node_count() as usize] += value;
        }
    };
    let (from, to) = (TimestampNs(0), TimestampNs(i64::MAX));
    reader.samples(0, &all, from, to, SampleColumns::default(), &mut sink).await.expect("the block is whole");
    sums.iter().sum()
}

fn again(rows: &PartitionRows) -> PartitionRows {
    PartitionRows {
        service_name: rows.service_name.clone(),
        symbols: Arc::clone(&rows.symbols) as Arc<dyn SymbolSource>,
        series: rows.series.clone(),
    }
}

/// Writing n and 2n profiles of as many series.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth-block-write");
    group.sample_size(10);
    for (size, factor) in [("n", 1), ("2n", 2)] {
        let rows = partition(factor);
        group.bench_function(size, |bencher| bencher.iter(|| write_block(identity(), std::iter::once(again(&rows)))));
    }
    group.finish();
}

fn block(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("block");
    group.throughput(Throughput::Elements((SERIES * PROFILES * SAMPLES) as u64)).sample_size(10);
    let rows = partition(1);
    group.bench_function("write", |bencher| bencher.iter(|| write_block(identity(), std::iter::once(again(&rows)))));
    let finished = write_block(identity(), std::iter::once(again(&rows))).expect("rows are valid");
    let bucket = Bucket::in_memory();
    for (name, bytes) in &finished.files {
        let key = format!("{}{name}", block_folder(&TenantId::anonymous(), Ulid(1)));
        runtime.block_on(bucket.put(&key, bytes.clone())).expect("memory does not fail");
    }
    let tenant = TenantId::anonymous();
    let open = || BlockReader::open(bucket.clone(), &tenant, Ulid(1));
    group.bench_function("read-cold", |bencher| {
        bencher.iter(|| runtime.block_on(async { black_box(sum(&open().await.expect("the block is whole")).await) }));
    });
    let reader = runtime.block_on(open()).expect("the block is whole");
    group.bench_function("read-warm", |bencher| bencher.iter(|| black_box(runtime.block_on(sum(&reader)))));
    group.finish();
}

criterion_group!(benches, block, growth);
criterion_main!(benches);
