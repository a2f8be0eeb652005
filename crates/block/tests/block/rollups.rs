//! With and without rollups every sum is the same, whatever the range.

use std::collections::BTreeMap;

use flamelake_block::reader::{BlockReader, SampleBatch, SampleColumns};
use flamelake_block::rows::PartitionRows;
use flamelake_block::writer::{BlockIdentity, BlockWriter, FinishedBlock};
use flamelake_model::TimestampNs;
use proptest::prelude::*;

use crate::support::{Shape, ULID, open, partition, store, tenant, write};

const MINUTE: i64 = 60_000_000_000;

fn with_rollups(rows: Vec<PartitionRows>) -> FinishedBlock {
    let mut writer = BlockWriter::new(ULID).unwrap().with_rollups().unwrap();
    rows.into_iter().for_each(|rows| writer.write_partition(rows).unwrap());
    let (log_ranges, sources) = (Vec::new(), Vec::new());
    writer.finish(BlockIdentity { ulid: ULID, tenant: tenant(), level: 1, log_ranges, sources }).unwrap()
}

/// Sums by series and stack, and how many rows they were made of.
async fn sums(reader: &BlockReader, from: i64, to: i64, rolled: bool) -> (BTreeMap<(u32, u32), i64>, usize) {
    let series: Vec<u32> = (0..reader.series(0).await.unwrap().len() as u32).collect();
    let (mut sums, mut rows): (BTreeMap<(u32, u32), i64>, usize) = Default::default();
    let mut sink = |batch: SampleBatch<'_>| {
        rows += batch.stacks.len();
        for (stack, value) in batch.stacks.iter().zip(batch.values) {
            // As trees do it.
            if *value > 0 {
                let sum = sums.entry((batch.series, *stack)).or_default();
                *sum = sum.wrapping_add(*value);
            }
        }
    };
    let (from, to) = (TimestampNs(from), TimestampNs(to));
    if rolled {
        reader.summed(0, &series, from, to, &mut sink).await.unwrap();
    } else {
        reader.samples(0, &series, from, to, SampleColumns::default(), &mut sink).await.unwrap();
    }
    (sums, rows)
}

/// Profiles over about five hours.
fn rows(seed: u64, shape: Shape, odd: bool) -> PartitionRows {
    rows_times(seed, shape, odd, 1)
}

/// The same with all values so many times larger.
fn rows_times(seed: u64, shape: Shape, odd: bool, factor: i64) -> PartitionRows {
    let mut rows = partition("a", seed, shape);
    for series in &mut rows.series {
        let count = series.profiles.len() as i64;
        for (at, profile) in (0..).zip(&mut series.profiles) {
            profile.time_ns += at * 300 * MINUTE / count.max(1);
        }
        if !odd {
            series.values.iter_mut().for_each(|value| *value = value.unsigned_abs().clamp(1, 1 << 40) as i64);
            if factor > 1 {
                series.values.iter_mut().for_each(|value| *value = (*value % 2 + 1) * factor);
            }
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn sums_are_exact(
        seed in any::<u64>(), series in 1..4_usize, profiles in 0..120_usize, samples in 0..20_usize, odd in any::<bool>(),
        bits in 0..63_u32,
        ranges in proptest::collection::vec((0..320_i64, 0..320_i64, 0..3_i64), 1..8),
    ) {
        let block = with_rollups(vec![rows_times(seed, Shape { series, profiles, samples, spans: odd }, odd, 1 << bits)]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bucket = store(&block.files).await;
            for (from, length, shift) in ranges {
                // A fresh reader has decoded nothing; the one that is asked twice has.
                let (rolled, single) = (open(&bucket).await.unwrap(), open(&bucket).await.unwrap());
                let (from, to) = (from * MINUTE - shift, (from + length) * MINUTE + shift - 1);
                assert_eq!(sums(&rolled, from, to, true).await.0, sums(&single, from, to, false).await.0);
                assert_eq!(sums(&single, from, to, true).await.0, sums(&single, from, to, false).await.0);
            }
            let reader = open(&bucket).await.unwrap();
            let all = sums(&reader, i64::MIN, i64::MAX, true).await.0;
            assert_eq!(all, sums(&reader, i64::MIN, i64::MAX, false).await.0);
        });
    }
}

#[tokio::test]
async fn whole_hours_are_read_from_fewer_rows_and_blocks_without_rollups_as_before() {
    let shape = Shape { series: 2, profiles: 600, samples: 20, spans: false };
    let (with, without) = (with_rollups(vec![rows(7, shape, false)]), write(vec![rows(7, shape, false)]));
    assert_eq!((with.files.len(), without.files.len()), (10, 8));
    let (with, without) = (store(&with.files).await, store(&without.files).await);
    let (with, without) = (open(&with).await.unwrap(), open(&without).await.unwrap());
    let (from, to) = (60 * MINUTE, 240 * MINUTE - 1);
    let ((one, few), (other, many)) = (sums(&with, from, to, true).await, sums(&without, from, to, true).await);
    assert_eq!(one, other);
    assert!(few * 5 < many, "{few} of {many} rows");
}
