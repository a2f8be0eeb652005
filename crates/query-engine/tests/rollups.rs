//! Functions over time are the same with rollups and without, whatever the step and wherever the grid begins.
#![allow(missing_docs)]

use std::sync::Arc;

use flamelake_block::meta::Ulid;
use flamelake_block::reader::BlockReader;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, BlockWriter, block_folder};
use flamelake_model::function_index::FunctionIndexQuery;
use flamelake_model::function_series::FunctionRegex;
use flamelake_model::query::{
    FunctionMatch, FunctionSeries, FunctionSeriesQuery, PartialQuery, PartialResult, SampleFilter, Selection,
};
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, ProfileId, ProfileType, TenantId, TimeRange, TimestampMs};
use flamelake_object_storage::Bucket;
use flamelake_query_engine::execute;
use flamelake_symbols::SymbolTable;
use flamelake_testkit::{FrameBuilder, seeded_rng};
use rand::Rng;
use rand::rngs::StdRng;

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const MINUTE_MS: i64 = 60_000;
/// A whole number of days after the epoch, so that hours are rollups.
const START_MS: i64 = 1_699_920_000_000;
const SERIES: usize = 3;
/// Of a series, one each 30 seconds: five hours.
const PROFILES: i64 = 600;

fn partition(random: &mut StdRng) -> PartitionRows {
    let mut frame = FrameBuilder::cpu("shop");
    for _ in 0..30 {
        let depth = random.random_range(1..6);
        let stack: Vec<String> = (0..depth).map(|_| format!("f{}", random.random_range(0..6))).collect();
        frame = frame.stack(&stack.join(";"), &[1]);
    }
    let (mut table, mut stacks) = (SymbolTable::new(), Vec::new());
    table.intern(&frame.build(), &mut stacks);
    stacks.sort_unstable();
    stacks.dedup();
    let series = (0..SERIES).map(|pod| series(pod, &stacks, random)).collect();
    PartitionRows { service_name: "shop".to_owned(), symbols: Arc::new(table.snapshot()), series }
}

fn series(pod: usize, stacks: &[u32], random: &mut StdRng) -> SeriesRows {
    let labels = [("service_name", "shop"), ("__profile_type__", CPU), ("pod", &format!("pod-{pod}"))];
    let mut rows = SeriesRows { labels: Labels::from_pairs(labels), ..SeriesRows::default() };
    for profile in 0..PROFILES {
        let start = rows.stacks.len() as u32;
        for &stack in stacks {
            if random.random_bool(0.7) {
                rows.stacks.push(stack);
                rows.values.push(random.random_range(1..100));
            }
        }
        // Some lie on edges of buckets to the nanosecond.
        let jitter = if profile % 10 == 0 { 0 } else { random.random_range(0..1_000_000_000) };
        rows.profiles.push(ProfileRow {
            time_ns: (START_MS + profile * 30_000) * 1_000_000 + jitter,
            id: ProfileId(random.random()),
            duration_ns: 0,
            period: 1,
            total: rows.values[start as usize..].iter().sum(),
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows
}

async fn reader(rows: PartitionRows, with_rollups: bool) -> BlockReader {
    let (tenant, ulid) = (TenantId::anonymous(), Ulid(1));
    let mut writer = BlockWriter::new(ulid).unwrap();
    if with_rollups {
        writer = writer.with_rollups().unwrap();
    }
    writer.write_partition(rows).unwrap();
    let (log_ranges, sources) = (Vec::new(), Vec::new());
    let block = writer.finish(BlockIdentity { ulid, tenant: tenant.clone(), level: 1, log_ranges, sources }).unwrap();
    let bucket = Bucket::in_memory();
    for (name, bytes) in block.files {
        bucket.put(&format!("{}{name}", block_folder(&tenant, ulid)), bytes).await.unwrap();
    }
    BlockReader::open(bucket, &tenant, ulid).await.unwrap()
}

fn question(start_ms: i64, minutes: i64, step_ms: i64, filter: SampleFilter) -> PartialQuery {
    PartialQuery::FunctionSeries(FunctionSeriesQuery {
        selection: Selection {
            profile_type: Some(ProfileType::parse(CPU).unwrap()),
            selector: Selector::all(),
            range: TimeRange::new(TimestampMs(start_ms), TimestampMs(start_ms + minutes * MINUTE_MS)).unwrap(),
        },
        filter,
        functions: FunctionMatch::All,
        group_by: vec!["pod".to_owned()],
        step_ms,
    })
}

async fn ask(reader: &BlockReader, query: &PartialQuery) -> (FunctionSeries, u64) {
    let answer = execute(reader, query).await.unwrap();
    let PartialResult::FunctionSeries(series) = answer.result else { panic!("functions") };
    (series, answer.stats.samples)
}

#[tokio::test]
async fn a_block_lists_its_functions_without_reading_samples() {
    let reader = reader(partition(&mut seeded_rng("a_block_lists_its_functions")), false).await;
    let query = PartialQuery::Functions(FunctionIndexQuery {
        selection: Selection {
            profile_type: None,
            selector: Selector::all(),
            range: TimeRange::new(TimestampMs(START_MS), TimestampMs(START_MS + MINUTE_MS)).unwrap(),
        },
        functions: FunctionRegex::containing("F").unwrap(),
        limit: 4,
    });
    let answer = execute(&reader, &query).await.unwrap();
    let PartialResult::Functions(index) = answer.result else { panic!("functions") };
    assert_eq!(index.functions().keys().collect::<Vec<_>>(), ["f0", "f1", "f2", "f3"]);
    let place = &index.functions()["f0"]["shop"];
    assert_eq!(place.profile_types.iter().collect::<Vec<_>>(), [CPU]);
    assert_eq!(place.first.to_ms().0, START_MS);
    assert!(index.more && answer.stats.samples == 0);
}

#[tokio::test]
async fn rollups_change_no_bucket() {
    let name = "rollups_change_no_bucket";
    let rows = || partition(&mut seeded_rng(name));
    let (with, without) = (reader(rows(), true).await, reader(rows(), false).await);
    let call_site = SampleFilter { call_site: vec!["f1".to_owned()], ..SampleFilter::default() };
    for (shift_ms, minutes, step_minutes) in [
        (0, 300, 60),
        (0, 300, 10),
        (1, 200, 15),
        (7 * MINUTE_MS, 290, 47),
        (0, 400, 400),
        (60_000, 100, 1),
        (0, 290, 5),
    ] {
        for filter in [SampleFilter::default(), call_site.clone()] {
            let query = question(START_MS + shift_ms, minutes, step_minutes * MINUTE_MS, filter);
            let ((with, few), (without, many)) = (ask(&with, &query).await, ask(&without, &query).await);
            assert_eq!(with, without, "step of {step_minutes} minutes");
            assert!(with.count_points() > 0 && few <= many);
            assert!(step_minutes < 60 || few * 3 < many, "{few} of {many} samples at {step_minutes} minutes");
        }
    }
}
