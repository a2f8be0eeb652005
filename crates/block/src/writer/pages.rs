//! Pages that we encode ourselves, one after the other, and what the footer is to say of them.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// An encoded column chunk.
pub(super) struct PageChunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Collects the pages of one column chunk, which are not compressed, as there is nothing to find: the dictionary if there is one, then for each page its values for the index and its body.
pub(super) struct ChunkWriter {
    sink: TrackedWrite<Vec<u8>>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    /// Of the page before the data pages.
    dictionary_bytes: Option<u64>,
    rows: u64,
    bytes: u64,
}

impl ChunkWriter {
    pub(super) fn new(kind: Type) -> Self {
        Self {
            sink: TrackedWrite::new(Vec::new()),
            column_index: ColumnIndexBuilder::new(kind),
            offset_index: OffsetIndexBuilder::new(),
            dictionary_bytes: None,
            rows: 0,
            bytes: 0,
        }
    }

    /// The first page: distinct values as they are.
    pub(super) fn write_dictionary(&mut self, values: Vec<u8>, count: u32) -> Result<()> {
        let page = |buf| Page::DictionaryPage { buf, num_values: count, encoding: Encoding::PLAIN, is_sorted: false };
        self.write(values, page)?;
        self.dictionary_bytes = Some(self.bytes);
        Ok(())
    }

    /// Least and greatest value of the next page.
    pub(super) fn index_values<const N: usize>(&mut self, low: [u8; N], high: [u8; N]) {
        self.column_index.append(false, low.to_vec(), high.to_vec(), 0, None);
    }

    /// The next page has no value.
    pub(super) fn index_nulls(&mut self, rows: u32) {
        self.column_index.append(true, Vec::new(), Vec::new(), i64::from(rows), None);
    }

    pub(super) fn set_boundary_order(&mut self, order: BoundaryOrder) {
        self.column_index.set_boundary_order(order);
    }

    /// A page of values.
    pub(super) fn write_data(&mut self, body: Vec<u8>, rows: u32, encoding: Encoding) -> Result<()> {
        let start = self.bytes;
        let page = |buf| Page::DataPage {
            buf,
            num_values: rows,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.write(body, page)?;
        self.offset_index.append_offset_and_size(start as i64, (self.bytes - start) as i32);
        self.offset_index.append_row_count(i64::from(rows));
        self.rows += u64::from(rows);
        Ok(())
    }

    fn write(&mut self, body: Vec<u8>, page: impl FnOnce(Bytes) -> Page) -> Result<()> {
        let bytes = body.len();
        let page = CompressedPage::new(page(body.into()), bytes);
        self.bytes += SerializedPageWriter::new(&mut self.sink).write_page(page)?.bytes_written;
        Ok(())
    }

    pub(super) fn close(self, column: &ColumnDescPtr, statistics: Statistics) -> Result<PageChunk> {
        let mut encodings = vec![Encoding::PLAIN, Encoding::RLE];
        encodings.extend(self.dictionary_bytes.map(|_| Encoding::RLE_DICTIONARY));
        let metadata = ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(encodings)
            .set_total_compressed_size(self.bytes as i64)
            .set_total_uncompressed_size(self.bytes as i64)
            .set_num_values(self.rows as i64)
            .set_dictionary_page_offset(self.dictionary_bytes.map(|_| 0))
            .set_data_page_offset(self.dictionary_bytes.unwrap_or_default() as i64)
            .set_statistics(statistics)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: self.bytes,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: Some(self.column_index.build()?),
            offset_index: Some(self.offset_index.build()),
        };
        Ok(PageChunk { bytes: Bytes::from(self.sink.into_inner()?), close })
    }
}

/// Bits that number so many entries of a dictionary.
pub(super) fn width_of(entries: usize) -> u32 {
    usize::BITS - entries.saturating_sub(1).leading_zeros()
}

/// One run of the hybrid: its length and a zero bit as a varint, then the value in as many whole bytes as its width needs.
pub(super) fn put_run(out: &mut Vec<u8>, rows: u32, value: u32, width: u32) {
    put_varint(out, u64::from(rows) << 1);
    out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_its_length_and_its_value() {
        let bytes = |rows, value, width| {
            let mut out = Vec::new();
            put_run(&mut out, rows, value, width);
            out
        };
        assert_eq!(bytes(1, 0, 0), [2], "of one value nothing needs to be said");
        assert_eq!(bytes(64, 5, 3), [0x80, 1, 5]);
        assert_eq!(bytes(3, 0x1_2345, 17), [6, 0x45, 0x23, 0x01]);
    }
}
