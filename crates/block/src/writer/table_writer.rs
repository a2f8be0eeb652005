//! One Parquet file in memory: batches collect into row groups, and each row group gets the coding that suits it.

use std::io;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::column::{Column, Run};
use super::numbers::{encode_numbers, is_plain_number};
use super::pages::PageChunk;
use super::run_pages::{encode_nulls, encode_runs};
use super::spool::Spool;
use crate::checksum::CHUNK_BYTES;
use crate::meta::FileMeta;
use crate::table::{Coding, Table};

/// A partition with fewer rows shares its row group with its neighbours, so that footers stay small.
const GROUP_ROWS_MIN: u64 = 64 * 1024;
/// Rows of one row group; also what the writer holds uncompressed.
const GROUP_ROWS_MAX: u64 = 1024 * 1024;
/// Small enough that a series can be read without its neighbours, large enough for good packing.
const PAGE_ROWS_MAX: usize = 8192;
/// Shorter runs, on the average, are packed like other numbers.
const RUN_ROWS_MIN: usize = 16;
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
    file: SerializedFileWriter<Spool>,
    /// Batches of columns.
    pending: Vec<Vec<Column>>,
    pending_rows: u64,
    rows: u64,
}

impl TableWriter {
    pub(super) fn new(table: Table) -> Result<Self> {
        let schema = table.schema();
        let parquet_schema = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let properties = Arc::new(base_properties().build());
        let file = SerializedFileWriter::new(Spool::default(), Arc::clone(&parquet_schema), properties)?;
        let columns = table.columns().into_iter().map(|(field, coding)| (field.name().clone(), coding)).collect();
        Ok(Self { table, schema, columns, parquet_schema, file, pending: Vec::new(), pending_rows: 0, rows: 0 })
    }

    pub(super) fn table(&self) -> Table {
        self.table
    }

    /// Rows appended so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// A partition of this many rows comes next: a big one gets row groups of its own.
    pub(super) fn start_partition(&mut self, rows: u64) -> Result<()> {
        if rows >= GROUP_ROWS_MIN { self.flush() } else { Ok(()) }
    }

    /// Adds rows: the columns of the schema, all equally long.
    pub(super) fn append(&mut self, columns: Vec<Column>) -> Result<()> {
        let rows = columns.first().map_or(0, Column::rows);
        let fields = self.schema.fields();
        let fit = |(column, field): (&Column, &Arc<Field>)| column.rows() == rows && column.is_of(field);
        if columns.len() != fields.len() || !columns.iter().zip(fields).all(fit) {
            return Err(ParquetError::General("columns that the table has not".to_owned()));
        }
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows as u64;
        self.pending_rows += rows as u64;
        self.pending.push(columns);
        if self.pending_rows >= GROUP_ROWS_MAX { self.flush() } else { Ok(()) }
    }

    pub(super) fn end_partition(&mut self) -> Result<()> {
        if self.pending_rows >= GROUP_ROWS_MIN { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<(FileMeta, Bytes)> {
        self.flush()?;
        let footer_start = self.file.bytes_written() as u64;
        self.file.finish()?;
        let (bytes, crc32c, rest) = std::mem::take(self.file.inner_mut()).finish();
        let (name, rows) = (self.table.file_name(), self.rows);
        let meta = FileMeta { name, bytes, rows, footer_start, checksum_chunk_bytes: CHUNK_BYTES, crc32c };
        Ok((meta, rest))
    }

    /// Parts of the file that are full, in order; see [`Spool`].
    pub(super) fn take_parts(&mut self) -> Vec<Bytes> {
        self.file.inner_mut().take_full()
    }

    fn flush(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.pending);
        let rows = std::mem::take(&mut self.pending_rows);
        if batches.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<Vec<Column>> = self.columns.iter().map(|_| Vec::with_capacity(batches.len())).collect();
        for batch in batches {
            columns.iter_mut().zip(batch).for_each(|(column, piece)| column.push(piece));
        }
        let chunks = self.encode(columns, rows)?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            match chunk {
                Chunk::Arrow(chunk) => chunk.append_to_row_group(&mut group)?,
                Chunk::Pages(PageChunk { bytes, close }) => group.append_column(&bytes, close)?,
            }
        }
        group.close()?;
        Ok(())
    }

    /// The encoding of a column; `None` = dictionary.
    fn choose(&self, at: usize, pieces: &[ArrayRef]) -> Result<Option<Encoding>> {
        let (name, coding) = &self.columns[at];
        if *coding != Coding::Measured {
            return Ok(fixed_encoding(*coding));
        }
        let sample = middle(pieces);
        let (mut chosen, mut best) = (None, usize::MAX);
        for candidate in CANDIDATES {
            let size = self.try_one(at, name, candidate, &sample)?;
            if size < best {
                (chosen, best) = (candidate, size);
            }
        }
        Ok(chosen)
    }

    /// Bytes of one column of a sample.
    fn try_one(&self, at: usize, name: &str, encoding: Option<Encoding>, sample: &ArrayRef) -> Result<usize> {
        let field = Arc::new(self.schema.field(at).clone());
        let schema: SchemaRef = Arc::new(arrow_schema::Schema::new(vec![field]));
        let parquet_schema = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let properties = with_encoding(base_properties(), name, encoding).build();
        let file = SerializedFileWriter::new(io::sink(), parquet_schema, Arc::new(properties))?;
        let mut writers = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema)).create_column_writers(0)?;
        for leaf in compute_leaves(schema.field(0), sample)? {
            writers[0].write(&leaf)?;
        }
        let chunk = writers.swap_remove(0).close()?;
        Ok(chunk.close().metadata.compressed_size() as usize)
    }

    fn encode(&self, columns: Vec<Vec<Column>>, rows: u64) -> Result<Vec<Chunk>> {
        let mut properties = base_properties();
        for (_, column) in WITHOUT_STATISTICS.iter().filter(|(table, _)| *table == self.table) {
            properties = properties.set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::None);
        }
        let mut prepared = Vec::with_capacity(columns.len());
        for (at, pieces) in columns.into_iter().enumerate() {
            let field = self.schema.field(at);
            let pieces = Pieces::new(pieces, field.data_type());
            if let Pieces::Arrays(arrays) = &pieces {
                let (name, coding) = &self.columns[at];
                let encoding = self.choose(at, arrays)?;
                if *coding != Coding::Dictionary {
                    properties = with_encoding(properties, name, encoding);
                }
            }
            prepared.push(pieces);
        }
        // The factory takes its properties from a file; each row group has its own, so this one is never written.
        let properties = Arc::new(properties.build());
        let file = SerializedFileWriter::new(io::sink(), Arc::clone(&self.parquet_schema), Arc::clone(&properties))?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&self.schema));
        let mut writers = factory.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::with_capacity(prepared.len());
        for (pieces, field) in prepared.into_iter().zip(self.schema.fields()) {
            let column = || Arc::clone(&self.file.schema_descr().columns()[chunks.len()]);
            match pieces {
                Pieces::Runs(runs) => {
                    chunks.push(Chunk::Pages(encode_runs(&column(), runs.iter().copied())?));
                    writers.next();
                }
                Pieces::Nulls => {
                    chunks.push(Chunk::Pages(encode_nulls(&column(), rows)?));
                    writers.next();
                }
                Pieces::Arrays(arrays) if is_plain_number(field) => {
                    chunks.push(Chunk::Pages(encode_numbers(&column(), &properties, &arrays)?));
                    writers.next();
                }
                Pieces::Arrays(arrays) => {
                    let mut leaves: Vec<ArrowColumnWriter> = Vec::new();
                    for array in arrays {
                        for (leaf, data) in compute_leaves(field, &array)?.into_iter().enumerate() {
                            if leaf == leaves.len() {
                                leaves.extend(writers.next());
                            }
                            leaves[leaf].write(&data)?;
                        }
                    }
                    for leaf in leaves {
                        chunks.push(Chunk::Arrow(leaf.close()?));
                    }
                }
            }
        }
        Ok(chunks)
    }
}

/// An encoded column.
enum Chunk {
    Arrow(ArrowColumnChunk),
    Pages(PageChunk),
}

/// A column of a row group.
enum Pieces {
    Arrays(Vec<ArrayRef>),
    Runs(Vec<Run>),
    Nulls,
}

impl Pieces {
    fn new(pieces: Vec<Column>, kind: &DataType) -> Self {
        if pieces.iter().all(|piece| matches!(piece, Column::Nulls(_))) {
            return Self::Nulls;
        }
        let rows: usize = pieces.iter().map(Column::rows).sum();
        let runs = |piece: &Column| if let Column::Runs(runs) = piece { Some(runs.len()) } else { None };
        match pieces.iter().map(runs).sum::<Option<usize>>() {
            Some(count) if count.saturating_mul(RUN_ROWS_MIN) <= rows.max(RUN_ROWS_MIN) => {
                let runs = |piece| if let Column::Runs(runs) = piece { runs } else { Vec::new() };
                Self::Runs(pieces.into_iter().flat_map(runs).collect())
            }
            _ => Self::Arrays(pieces.iter().map(|piece| piece.to_array(kind)).collect()),
        }
    }
}

/// Columns of which nobody asks where large or small values lie; the numbers cost as much as packing them.
const WITHOUT_STATISTICS: [(Table, &str); 4] = [
    (Table::Samples, "stack"),
    (Table::Samples, "value"),
    (Table::RollupSamples, "stack"),
    (Table::RollupSamples, "value"),
];

fn base_properties() -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_write_batch_size(PAGE_ROWS_MAX)
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

/// Rows from the middle of the largest piece: the first ones are the least typical.
fn middle(pieces: &[ArrayRef]) -> ArrayRef {
    let largest = pieces.iter().max_by_key(|piece| piece.len()).expect("the caller has rows");
    let rows = largest.len().min(TRIAL_ROWS);
    largest.slice((largest.len() - rows) / 2, rows)
}
