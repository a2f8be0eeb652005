//! One Parquet file in memory: batches collect into row groups, and each row group gets the coding that suits it.

use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::checksum::{CHUNK_BYTES, chunk_checksums};
use crate::meta::FileMeta;
use crate::table::{Coding, Table};

/// A partition with fewer rows shares its row group with its neighbours, so that footers stay small.
const GROUP_ROWS_MIN: u64 = 64 * 1024;
/// Rows of one row group; also what the writer holds uncompressed.
const GROUP_ROWS_MAX: u64 = 1024 * 1024;
/// Small enough that a series can be read without its neighbours, large enough for good packing.
const PAGE_ROWS_MAX: usize = 8192;
/// Rows on which codings are tried.
const TRIAL_ROWS: usize = 8192;
/// What a measured column can become.
const CANDIDATES: [Option<Encoding>; 4] =
    [Some(Encoding::DELTA_BINARY_PACKED), Some(Encoding::BYTE_STREAM_SPLIT), Some(Encoding::PLAIN), None];

pub(super) struct TableWriter {
    table: Table,
    schema: SchemaRef,
    columns: Vec<(String, Coding)>,
    parquet_schema: TypePtr,
    file: SerializedFileWriter<Vec<u8>>,
    pending: Vec<RecordBatch>,
    pending_rows: u64,
    rows: u64,
}

impl TableWriter {
    pub(super) fn new(table: Table) -> Result<Self> {
        let schema = table.schema();
        let parquet_schema = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let properties = Arc::new(base_properties().build());
        let file = SerializedFileWriter::new(Vec::new(), Arc::clone(&parquet_schema), properties)?;
        let columns = table.columns().into_iter().map(|(field, coding)| (field.name().clone(), coding)).collect();
        Ok(Self { table, schema, columns, parquet_schema, file, pending: Vec::new(), pending_rows: 0, rows: 0 })
    }

    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows appended so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// A partition of this many rows comes next: a big one gets row groups of its own.
    pub(super) fn start_partition(&mut self, rows: u64) -> Result<()> {
        if rows >= GROUP_ROWS_MIN { self.flush() } else { Ok(()) }
    }

    pub(super) fn append(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        self.pending_rows += batch.num_rows() as u64;
        self.pending.push(batch);
        if self.pending_rows >= GROUP_ROWS_MAX { self.flush() } else { Ok(()) }
    }

    pub(super) fn end_partition(&mut self) -> Result<()> {
        if self.pending_rows >= GROUP_ROWS_MIN { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<(FileMeta, Bytes)> {
        self.flush()?;
        let footer_start = self.file.bytes_written() as u64;
        self.file.finish()?;
        let bytes = std::mem::take(self.file.inner_mut());
        let meta = FileMeta {
            name: self.table.file_name(),
            bytes: bytes.len() as u64,
            rows: self.rows,
            footer_start,
            checksum_chunk_bytes: CHUNK_BYTES,
            crc32c: chunk_checksums(&bytes, CHUNK_BYTES),
        };
        Ok((meta, Bytes::from(bytes)))
    }

    fn flush(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.pending);
        self.pending_rows = 0;
        if batches.is_empty() {
            return Ok(());
        }
        let encodings = self.choose(&batches)?;
        let chunks = self.encode(&encodings, &batches)?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// The encoding of each root column; `None` = dictionary.
    fn choose(&self, batches: &[RecordBatch]) -> Result<Vec<Option<Encoding>>> {
        let mut chosen: Vec<_> = self.columns.iter().map(|(_, coding)| fixed_encoding(*coding)).collect();
        if !self.columns.iter().any(|(_, coding)| *coding == Coding::Measured) {
            return Ok(chosen);
        }
        let sample = middle(batches);
        let mut best = vec![usize::MAX; chosen.len()];
        for candidate in CANDIDATES {
            for (at, (name, coding)) in self.columns.iter().enumerate() {
                if *coding != Coding::Measured {
                    continue;
                }
                let size = self.try_one(at, name, candidate, &sample)?;
                if size < best[at] {
                    best[at] = size;
                    chosen[at] = candidate;
                }
            }
        }
        Ok(chosen)
    }

    /// Bytes of one column of a sample.
    fn try_one(&self, at: usize, name: &str, encoding: Option<Encoding>, sample: &RecordBatch) -> Result<usize> {
        let field = Arc::new(self.schema.field(at).clone());
        let schema: SchemaRef = Arc::new(arrow_schema::Schema::new(vec![field]));
        let parquet_schema = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let properties = with_encoding(base_properties(), name, encoding).build();
        let file = SerializedFileWriter::new(io::sink(), parquet_schema, Arc::new(properties))?;
        let mut writers = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema)).create_column_writers(0)?;
        for leaf in compute_leaves(schema.field(0), sample.column(at))? {
            writers[0].write(&leaf)?;
        }
        let chunk = writers.swap_remove(0).close()?;
        Ok(chunk.close().metadata.compressed_size() as usize)
    }

    fn encode(&self, encodings: &[Option<Encoding>], batches: &[RecordBatch]) -> Result<Vec<ArrowColumnChunk>> {
        let mut properties = base_properties();
        for ((name, coding), encoding) in self.columns.iter().zip(encodings) {
            if *coding != Coding::Dictionary {
                properties = with_encoding(properties, name, *encoding);
            }
        }
        // The factory takes its properties from a file; each row group has its own, so this one is never written.
        let file =
            SerializedFileWriter::new(io::sink(), Arc::clone(&self.parquet_schema), Arc::new(properties.build()))?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&self.schema));
        let mut writers = factory.create_column_writers(0)?;
        for batch in batches {
            let mut leaf_at = 0;
            for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, column)? {
                    writers[leaf_at].write(&leaf)?;
                    leaf_at += 1;
                }
            }
        }
        writers.into_iter().map(|writer| writer.close()).collect()
    }
}

fn base_properties() -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_created_by(format!("flamelake block {}", crate::meta::VERSION))
}

fn with_encoding(
    properties: WriterPropertiesBuilder,
    column: &str,
    encoding: Option<Encoding>,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column);
    match encoding {
        Some(encoding) => {
            properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
        }
        None => properties.set_column_dictionary_enabled(path, true),
    }
}

fn fixed_encoding(coding: Coding) -> Option<Encoding> {
    match coding {
        Coding::Dictionary | Coding::Measured => None,
        Coding::Delta => Some(Encoding::DELTA_BINARY_PACKED),
        Coding::DeltaText => Some(Encoding::DELTA_BYTE_ARRAY),
        Coding::Plain => Some(Encoding::PLAIN),
    }
}

/// Rows from the middle of the largest batch: the first ones are the least typical.
fn middle(batches: &[RecordBatch]) -> RecordBatch {
    let largest = batches.iter().max_by_key(|batch| batch.num_rows()).expect("the caller has rows");
    let rows = largest.num_rows().min(TRIAL_ROWS);
    largest.slice((largest.num_rows() - rows) / 2, rows)
}
