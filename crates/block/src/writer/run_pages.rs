//! A column chunk of long runs, or of nothing, as Parquet pages, without touching each row: a dictionary and runs of its entries by the
//! hybrid of run lengths and bit packing that the format calls RLE (Parquet format, *Encodings*). The library's own writer would hash or
//! pack every row.

use std::collections::HashMap;

use parquet::basic::{BoundaryOrder, Encoding, Type};
use parquet::errors::Result;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::column::Run;
use super::pages::{ChunkWriter, PageChunk, put_run, width_of};

/// Rows of a page: skipping within it costs nothing.
const PAGE_ROWS_MAX: u32 = 128 * 1024;

/// A chunk of 32-bit (or narrower) unsigned integers, none of them missing.
pub(super) fn encode_runs(column: &ColumnDescPtr, runs: impl Iterator<Item = Run> + Clone) -> Result<PageChunk> {
    let mut entries: HashMap<u32, u32> = HashMap::new();
    let mut dictionary = Vec::new();
    let mut is_sorted = true;
    let mut previous = 0;
    for run in runs.clone() {
        is_sorted &= previous <= run.value;
        previous = run.value;
        entries.entry(run.value).or_insert_with(|| {
            dictionary.extend_from_slice(&run.value.to_le_bytes());
            dictionary.len() as u32 / 4 - 1
        });
    }
    let mut chunk = ChunkWriter::new(Type::INT32);
    chunk.write_dictionary(dictionary, entries.len() as u32)?;
    let width = width_of(entries.len());
    let (mut least, mut greatest) = (u32::MAX, 0);
    for page in pages(runs) {
        let mut body = vec![width as u8];
        for run in &page {
            put_run(&mut body, run.rows, entries[&run.value], width);
        }
        let (low, high) = (page.iter().map(|run| run.value).min(), page.iter().map(|run| run.value).max());
        let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
        (least, greatest) = (least.min(low), greatest.max(high));
        chunk.index_values(low.to_le_bytes(), high.to_le_bytes());
        chunk.write_data(body, rows_of(&page), Encoding::RLE_DICTIONARY)?;
    }
    if is_sorted {
        chunk.set_boundary_order(BoundaryOrder::ASCENDING);
    }
    let statistics = Statistics::int32(Some(least as i32), Some(greatest as i32), None, Some(0), false);
    chunk.close(column, statistics)
}

/// A chunk of an optional column in which every row is null.
pub(super) fn encode_nulls(column: &ColumnDescPtr, rows: u64) -> Result<PageChunk> {
    let mut chunk = ChunkWriter::new(column.physical_type());
    let mut left = rows;
    while left > 0 {
        let now = left.min(u64::from(PAGE_ROWS_MAX)) as u32;
        left -= u64::from(now);
        // Definition levels alone: one run of zeros, one bit wide, behind its length.
        let mut levels = Vec::new();
        put_run(&mut levels, now, 0, 1);
        let mut body = (levels.len() as u32).to_le_bytes().to_vec();
        body.append(&mut levels);
        chunk.index_nulls(now);
        chunk.write_data(body, now, Encoding::PLAIN)?;
    }
    let statistics = match column.physical_type() {
        Type::INT32 => Statistics::int32(None, None, None, Some(rows), false),
        Type::INT64 => Statistics::int64(None, None, None, Some(rows), false),
        Type::FIXED_LEN_BYTE_ARRAY => Statistics::fixed_len_byte_array(None, None, None, Some(rows), false),
        _ => Statistics::byte_array(None, None, None, Some(rows), false),
    };
    chunk.close(column, statistics)
}

fn rows_of(page: &[Run]) -> u32 {
    page.iter().map(|run| run.rows).sum()
}

/// The same runs, cut where a page ends.
fn pages(runs: impl Iterator<Item = Run>) -> impl Iterator<Item = Vec<Run>> {
    let mut runs = runs.filter(|run| run.rows > 0);
    let mut rest: Option<Run> = None;
    std::iter::from_fn(move || {
        let (mut page, mut room) = (Vec::new(), PAGE_ROWS_MAX);
        while room > 0 {
            let Some(run) = rest.take().or_else(|| runs.next()) else { break };
            let taken = run.rows.min(room);
            page.push(Run { rows: taken, ..run });
            room -= taken;
            rest = (taken < run.rows).then_some(Run { rows: run.rows - taken, ..run });
        }
        (!page.is_empty()).then_some(page)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_where_pages_end() {
        let run = |value, rows| Run { value, rows };
        let page = PAGE_ROWS_MAX;
        assert_eq!(pages([].into_iter()).count(), 0);
        let cut: Vec<Vec<Run>> =
            pages([run(7, page - 1), run(8, 0), run(9, 2 * page), run(1, 3)].into_iter()).collect();
        assert_eq!(
            cut,
            [vec![run(7, page - 1), run(9, 1)], vec![run(9, page)], vec![run(9, page - 1), run(1, 1)], vec![run(1, 2)]]
        );
    }
}
