//! What is written is read: by rows, by names, by time, by series.

use flamelake_block::reader::{SampleBatch, SampleColumns, SymbolDetail};
use flamelake_model::TimestampNs;
use proptest::prelude::*;

use crate::support::{Shape, open, partition, rows_read, rows_written, store, write};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn check(seed: u64, shape: Shape, partitions: usize, window: (i64, i64)) {
    let make =
        || (0..partitions).map(|at| partition(&format!("service-{at}"), seed ^ at as u64, shape)).collect::<Vec<_>>();
    let block = write(make());
    runtime().block_on(async {
        let bucket = store(&block.files).await;
        let reader = open(&bucket).await.unwrap();
        assert_eq!(reader.meta(), &block.meta);
        for (part, written) in make().iter().enumerate() {
            for (from, to) in [(i64::MIN, i64::MAX), window] {
                let read = rows_read(&reader, part as u16, from, to).await.unwrap();
                assert_eq!(read, rows_written(written, from, to), "partition {part}, {from} to {to}");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn rows_come_back(
        seed in any::<u64>(), series in 1..6_usize, profiles in 0..5_usize, samples in 0..30_usize, spans in any::<bool>(),
        partitions in 0..4_usize, from in 0..600_000_i64,
    ) {
        check(seed, Shape { series, profiles, samples, spans }, partitions, (from, from + 300_000));
    }
}

#[test]
fn large_partitions_span_pages_and_row_groups() {
    check(5, Shape { series: 9, profiles: 60, samples: 800, spans: true }, 2, (400_000, 500_000));
}

#[test]
fn one_series_is_read_without_the_others() {
    let shape = Shape { series: 8, profiles: 20, samples: 700, spans: true };
    let block = write(vec![partition("a", 3, shape)]);
    runtime().block_on(async {
        let bucket = store(&block.files).await;
        let whole = open(&bucket).await.unwrap();
        let part = open(&bucket).await.unwrap();
        let all: Vec<u32> = (0..8).collect();
        let times = (TimestampNs(0), TimestampNs(i64::MAX));
        let mut by_series = vec![(Vec::new(), Vec::new()); 8];
        let mut sink = |batch: SampleBatch<'_>| {
            by_series[batch.series as usize].0.extend_from_slice(batch.stacks);
            by_series[batch.series as usize].1.extend_from_slice(batch.values);
        };
        whole.samples(0, &all, times.0, times.1, SampleColumns::default(), &mut sink).await.unwrap();
        for series in [5, 2, 7] {
            let mut got = (Vec::new(), Vec::new());
            let mut sink = |batch: SampleBatch<'_>| {
                assert_eq!(batch.series, series);
                got.0.extend_from_slice(batch.stacks);
                got.1.extend_from_slice(batch.values);
            };
            part.samples(
                0,
                &[series, series],
                times.0,
                times.1,
                SampleColumns { spans: true, traces: false },
                &mut sink,
            )
            .await
            .unwrap();
            assert_eq!(got, by_series[series as usize]);
        }
        // Unknown series have no rows, an unknown partition is an error.
        let mut nothing = |_: SampleBatch<'_>| panic!("no such series");
        part.samples(0, &[99], times.0, times.1, SampleColumns::default(), &mut nothing).await.unwrap();
        assert!(part.series(1).await.is_err());
        assert!(whole.memory_bytes() > part.memory_bytes());
    });
}

#[test]
fn names_are_distinct_and_only_used_symbols_are_kept() {
    let mut rows = partition("a", 11, Shape { series: 1, profiles: 1, samples: 0, spans: false });
    let leaf = rows.symbols.stack_count() - 1;
    let series = &mut rows.series[0];
    series.stacks = vec![leaf];
    series.values = vec![1];
    series.profiles = vec![flamelake_block::rows::ProfileRow {
        time_ns: 1,
        id: flamelake_model::ProfileId([1; 16]),
        duration_ns: 0,
        period: 0,
        total: 1,
        samples_start: 0,
        samples_end: 1,
    }];
    let mut depth = 1;
    let mut stack = leaf;
    while stack != 0 {
        (stack, depth) = (rows.symbols.stack_parent(stack), depth + 1);
    }
    let block = write(vec![rows]);
    runtime().block_on(async {
        let reader = open(&store(&block.files).await).await.unwrap();
        let symbols = reader.symbols(0, SymbolDetail::Functions).await.unwrap();
        assert_eq!(symbols.stack_count(), depth);
        let names: std::collections::BTreeSet<&str> =
            (0..symbols.name_count()).map(|name| symbols.name(name)).collect();
        assert_eq!(names.len(), symbols.name_count() as usize);
    });
}
