//! Rows of one table by row number: which bytes they need, and the columns that come out.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use super::ReadError;
use super::file::{BlockFile, FetchedBytes};

/// A file up to this size is read whole, once, and kept.
const WHOLE_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Rows decoded at once.
const BATCH_ROWS: usize = 64 * 1024;
/// Decoding fewer rows stays on the caller's thread.
const INLINE_ROWS_MAX: u64 = 128 * 1024;

/// A table whose footer has been read.
#[derive(Debug)]
pub(super) struct TableReader {
    file: Arc<BlockFile>,
    metadata: ArrowReaderMetadata,
    /// Row number at which each row group begins, and the end.
    group_starts: Vec<u64>,
    whole: Option<FetchedBytes>,
}

/// Rows of the groups that a read touches.
struct Plan {
    groups: Vec<usize>,
    selection: RowSelection,
    mask: ProjectionMask,
    bytes: Vec<Range<u64>>,
    rows: u64,
}

impl TableReader {
    pub(super) async fn open(file: Arc<BlockFile>) -> Result<Self, ReadError> {
        let is_small = file.meta.bytes <= WHOLE_FILE_BYTES_MAX;
        let start = if is_small { 0 } else { file.meta.footer_start };
        let fetched = file.fetch([start..file.meta.bytes]).await?;
        let metadata = guard(|| parse_footer(&fetched)).map_err(|reason| file.damaged(reason))?;
        let mut group_starts = vec![0_u64];
        for group in metadata.metadata().row_groups() {
            let rows =
                u64::try_from(group.num_rows()).map_err(|_| file.damaged("a row group of negative size".to_owned()))?;
            group_starts.push(group_starts[group_starts.len() - 1].saturating_add(rows));
        }
        if group_starts.last() != Some(&file.meta.rows) {
            return Err(file.damaged(format!(
                "block.json promises {} rows, the footer {:?}",
                file.meta.rows,
                group_starts.last()
            )));
        }
        Ok(Self { file, metadata, group_starts, whole: is_small.then_some(fetched) })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.metadata.metadata().memory_size() + self.whole.as_ref().map_or(0, FetchedBytes::memory_bytes)
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> ReadError {
        self.file.damaged(reason.into())
    }

    /// Some columns of some rows (ascending ranges that do not overlap), in order. There are exactly as many rows as asked for.
    pub(super) async fn read(&self, columns: &[&str], rows: &[Range<u64>]) -> Result<Columns<'_>, ReadError> {
        let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let wanted: u64 = rows.iter().map(|range| range.end - range.start).sum();
        if wanted == 0 {
            return Ok(Columns { reader: self, names, batches: Vec::new() });
        }
        let plan = guard(|| self.plan(columns, rows)).map_err(|reason| self.damaged(reason))?;
        let bytes = match &self.whole {
            Some(whole) => whole.clone(),
            None => self.file.fetch(plan.bytes.iter().cloned()).await?,
        };
        let metadata = self.metadata.clone();
        let batches = if plan.rows <= INLINE_ROWS_MAX {
            guard(|| decode(bytes, metadata, plan))
        } else {
            let decoding = flamelake_runtime::spawn_blocking(move || guard(|| decode(bytes, metadata, plan)));
            decoding.await.map_err(|_| self.damaged("the decoder was stopped"))?
        };
        let batches = batches.map_err(|reason| self.damaged(reason))?;
        let got: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if got != wanted {
            return Err(self.damaged(format!("{got} rows came out of {wanted}")));
        }
        Ok(Columns { reader: self, names, batches })
    }

    /// Whether the footer leaves room for a value of this column in these rows.
    pub(super) fn has_values(&self, column: &str, rows: &[Range<u64>]) -> bool {
        let metadata = self.metadata.metadata();
        let touched = |group: &usize| {
            rows.iter().any(|range| range.start < self.group_starts[group + 1] && self.group_starts[*group] < range.end)
        };
        (0..metadata.num_row_groups()).filter(touched).any(|group| {
            let mut chunks = metadata.row_group(group).columns().iter();
            let chunk = chunks.find(|chunk| chunk.column_path().parts().first().is_some_and(|name| name == column));
            let nulls = chunk.and_then(|chunk| Some((chunk.statistics()?.null_count_opt()?, chunk.num_values())));
            nulls.is_none_or(|(nulls, values)| i64::try_from(nulls) != Ok(values))
        })
    }

    fn plan(&self, columns: &[&str], rows: &[Range<u64>]) -> Result<Plan, ParquetError> {
        let metadata = self.metadata.metadata();
        let schema = self.metadata.parquet_schema();
        let roots = schema.root_schema().get_fields();
        let indexes = columns.iter().map(|name| {
            roots
                .iter()
                .position(|field| field.name() == *name)
                .ok_or_else(|| ParquetError::General(format!("no column {name}")))
        });
        let mask = ProjectionMask::roots(schema, indexes.collect::<Result<Vec<_>, _>>()?);
        let mut plan =
            Plan { groups: Vec::new(), selection: RowSelection::default(), mask, bytes: Vec::new(), rows: 0 };
        let mut selected = Vec::new();
        let mut total = 0_usize;
        for group in 0..metadata.num_row_groups() {
            let (start, end) = (self.group_starts[group], self.group_starts[group + 1]);
            let local: Vec<Range<usize>> = rows
                .iter()
                .map(|range| range.start.max(start)..range.end.min(end))
                .filter(|range| range.start < range.end)
                .map(|range| (range.start - start) as usize..(range.end - start) as usize)
                .collect();
            if local.is_empty() {
                continue;
            }
            let group_rows = (end - start) as usize;
            self.plan_bytes(
                group,
                &RowSelection::from_consecutive_ranges(local.iter().cloned(), group_rows),
                &mut plan,
            );
            plan.groups.push(group);
            plan.rows += local.iter().map(|range| range.len() as u64).sum::<u64>();
            selected.extend(local.into_iter().map(|range| range.start + total..range.end + total));
            total += group_rows;
        }
        plan.selection = RowSelection::from_consecutive_ranges(selected.into_iter(), total);
        Ok(plan)
    }

    /// Pages that hold selected rows, and dictionaries.
    fn plan_bytes(&self, group: usize, selection: &RowSelection, plan: &mut Plan) {
        let metadata = self.metadata.metadata();
        let mask = &plan.mask;
        for (leaf, chunk) in
            metadata.row_group(group).columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf))
        {
            let (start, length) = chunk.byte_range();
            let index = metadata.page_index().and_then(|index| index.offset_index(group, leaf));
            let Some(pages) = index.map(|index| index.page_locations()).filter(|pages| !pages.is_empty()) else {
                plan.bytes.push(start..start.saturating_add(length));
                continue;
            };
            let first = u64::try_from(pages[0].offset).unwrap_or(start);
            plan.bytes.push(start..first.max(start));
            plan.bytes.extend(selection.scan_ranges(pages));
        }
    }
}

fn parse_footer(bytes: &FetchedBytes) -> Result<ArrowReaderMetadata, ParquetError> {
    let reader = ParquetMetaDataReader::new()
        .with_offset_index_policy(PageIndexPolicy::Optional)
        .with_column_index_policy(PageIndexPolicy::Skip);
    let metadata = reader.parse_and_finish(bytes)?;
    ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new().with_skip_arrow_metadata(true))
}

fn decode(bytes: FetchedBytes, metadata: ArrowReaderMetadata, plan: Plan) -> Result<Vec<RecordBatch>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
        .with_row_groups(plan.groups)
        .with_projection(plan.mask)
        .with_row_selection(plan.selection)
        // A mask would decode what it then throws away.
        .with_row_selection_policy(RowSelectionPolicy::Selectors)
        .with_batch_size(BATCH_ROWS.min(plan.rows as usize))
        .build()?;
    reader.map(|batch| batch.map_err(ParquetError::from)).collect()
}

/// The library is not proven against every footer: a panic in it is damage too.
fn guard<T>(act: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the decoder panicked: {}", panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

/// What a read gave.
pub(super) struct Columns<'a> {
    reader: &'a TableReader,
    names: Vec<String>,
    batches: Vec<RecordBatch>,
}

impl Columns<'_> {
    /// Rows in all.
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The parts of one column, which must have the type `A`.
    pub(super) fn parts<A: Array + 'static>(&self, name: &str) -> Result<Vec<&A>, ReadError> {
        debug_assert!(self.names.iter().any(|each| each == name), "{name} was not asked for");
        let part = |batch| -> Option<&A> { RecordBatch::column_by_name(batch, name)?.as_any().downcast_ref() };
        let parts: Option<Vec<&A>> = self.batches.iter().map(part).collect();
        parts.ok_or_else(|| self.reader.damaged(format!("column {name} has another type")))
    }

    /// A column of numbers in one piece; nulls are refused.
    pub(super) fn numbers<P: arrow_array::ArrowPrimitiveType>(&self, name: &str) -> Result<Vec<P::Native>, ReadError> {
        let parts = self.parts::<arrow_array::PrimitiveArray<P>>(name)?;
        let mut out = Vec::with_capacity(self.rows());
        for part in parts {
            if part.null_count() > 0 {
                return Err(self.reader.damaged(format!("column {name} has nulls")));
            }
            out.extend_from_slice(part.values());
        }
        Ok(out)
    }

    /// A column of numbers in one piece with nulls as `none`; empty if all are null.
    pub(super) fn numbers_or<P: arrow_array::ArrowPrimitiveType>(
        &self,
        name: &str,
        none: P::Native,
    ) -> Result<Vec<P::Native>, ReadError> {
        let parts = self.parts::<arrow_array::PrimitiveArray<P>>(name)?;
        if parts.iter().all(|part| part.null_count() == part.len()) {
            return Ok(Vec::new());
        }
        Ok(parts.into_iter().flat_map(|part| part.iter()).map(|value| value.unwrap_or(none)).collect())
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> ReadError {
        self.reader.damaged(reason)
    }
}
