//! Columns of long runs and of nothing, which the writer encodes itself, as any Parquet reader sees them.

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use flamelake_block::writer::FinishedBlock;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::statistics::Statistics;

use crate::support::{Shape, partition, write};

type Builder = ParquetRecordBatchReaderBuilder<Bytes>;

fn file(block: &FinishedBlock, name: &str) -> Builder {
    let (_, bytes) = block.files.iter().find(|(file, _)| file == name).unwrap();
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    Builder::try_new_with_options(bytes.clone(), options).unwrap()
}

/// All rows of some builder as one batch.
fn rows(builder: Builder) -> RecordBatch {
    let batches: Vec<RecordBatch> = builder.with_batch_size(1 << 22).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1, "row groups and pages do not show");
    batches.into_iter().next().unwrap()
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<u64> {
    let column = batch.column_by_name(column).unwrap();
    match column.data_type() {
        arrow_schema::DataType::UInt16 => {
            column.as_primitive::<UInt16Type>().values().iter().map(|n| u64::from(*n)).collect()
        }
        arrow_schema::DataType::UInt32 => {
            column.as_primitive::<UInt32Type>().values().iter().map(|n| u64::from(*n)).collect()
        }
        _ => column.as_primitive::<UInt64Type>().values().to_vec(),
    }
}

/// `part`, `series` and `profile` of every sample, told from the table of profiles.
fn expected(profiles: &RecordBatch) -> Vec<[u64; 3]> {
    let [part, series, profile, samples] =
        ["part", "series", "profile", "samples"].map(|column| numbers(profiles, column));
    (0..part.len())
        .flat_map(|at| std::iter::repeat_n([part[at], series[at], profile[at]], samples[at] as usize))
        .collect()
}

fn found(samples: &RecordBatch) -> Vec<[u64; 3]> {
    let [part, series, profile] = ["part", "series", "profile"].map(|column| numbers(samples, column));
    (0..part.len()).map(|at| [part[at], series[at], profile[at]]).collect()
}

fn check(shapes: &[Shape]) {
    let partitions = shapes.iter().enumerate().map(|(at, shape)| partition(&format!("s{at}"), at as u64, *shape));
    let block = write(partitions.collect());
    let expected = expected(&rows(file(&block, "profiles.parquet")));
    assert_eq!(found(&rows(file(&block, "samples.parquet"))), expected, "{shapes:?}");
    // Some rows in the middle: the offset index leads to them.
    let (start, end) = (expected.len() / 3, expected.len() / 3 + expected.len() / 2);
    let some = RowSelection::from_consecutive_ranges(std::iter::once(start..end), expected.len());
    assert_eq!(found(&rows(file(&block, "samples.parquet").with_row_selection(some))), expected[start..end]);
}

#[test]
fn runs_long_and_short_come_back() {
    let shape = |samples, spans| Shape { series: 5, profiles: 40, samples, spans };
    check(&[shape(200, false)]);
    check(&[shape(2, false)]);
    check(&[shape(200, true), shape(3, false), shape(700, false), shape(50, false)]);
    // More rows than a page of runs and than a row group.
    check(&[Shape { series: 3, profiles: 500, samples: 1_500, spans: false }]);
}

#[test]
fn footers_tell_the_range_and_that_nothing_is_there() {
    let block = write(vec![partition("a", 1, Shape { series: 3, profiles: 40, samples: 100, spans: false })]);
    let samples = file(&block, "samples.parquet");
    let group = samples.metadata().row_group(0);
    let statistics = |column: &str| {
        group.columns().iter().find(|chunk| chunk.column_path().string() == column).unwrap().statistics().cloned()
    };
    let Some(Statistics::Int32(profile)) = statistics("profile") else { panic!("profiles are numbered in 32 bits") };
    let last = rows(file(&block, "profiles.parquet")).num_rows() as i32 - 1;
    assert_eq!((profile.min_opt(), profile.max_opt()), (Some(&0), Some(&last)));
    for column in ["span_id", "trace_id"] {
        assert_eq!(statistics(column).unwrap().null_count_opt(), u64::try_from(group.num_rows()).ok(), "{column}");
    }
    let batch = rows(samples);
    assert_eq!(batch.column_by_name("trace_id").unwrap().null_count(), batch.num_rows());
}
