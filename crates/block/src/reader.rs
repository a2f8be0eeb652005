//! Block files to rows.
//!
//! Nothing is read before it is asked for, and every byte is checked against `block.json`. Kept once decoded: footers, series and profiles of a
//! partition, its symbols, and its stacks and values if they are small. A damaged file is an error that names it, never a panic.

mod file;
mod table_reader;
mod symbols;
mod index;
mod samples;
mod rollups;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flamelake_model::{Coded, ErrorCode, Labels, ProfileId, TenantId, TimestampNs};
use flamelake_object_storage::Bucket;
use flamelake_symbols::SymbolSource;
use tokio::sync::OnceCell;

use self::file::BlockFile;
use self::index::{PROFILE_COLUMNS, PartitionIndex, SERIES_COLUMNS};
use self::rollups::{ROLLUP_COLUMNS, Rollup, Rollups};
use self::samples::{Piece, Samples, batches, column_names, multiply_all};
use self::symbols::{BlockSymbols, Places, Trees};
use self::table_reader::TableReader;
use crate::meta::{BlockMeta, FileMeta, META_FILE, PartitionMeta, RowRange, Ulid};
use crate::pause::{SAMPLES_BETWEEN_PAUSES, pause};
use crate::rows::ProfileRow;
use crate::table::{OPTIONAL_TABLES, TABLES, Table};
use crate::writer::block_folder;

/// Decoded samples that one reader keeps, all partitions together; beyond it samples are decoded for each query.
const KEPT_SAMPLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Samples decoded at once when they are not kept.
const BATCH_SAMPLES_MAX: u64 = 1024 * 1024;
/// Columns of `frames`.
const FRAME_COLUMNS: [&str; 11] = [
    "location",
    "function",
    "line",
    "address",
    "is_folded",
    "mapping_start",
    "mapping_limit",
    "mapping_offset",
    "mapping_file",
    "mapping_build_id",
    "mapping_flags",
];

/// One series of a partition of a block.
#[derive(Clone, Debug)]
pub struct SeriesEntry {
    /// Full labels.
    pub labels: Labels,
    /// Earliest profile.
    pub min_time: TimestampNs,
    /// Latest profile.
    pub max_time: TimestampNs,
}

/// How much of the symbols is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SymbolDetail {
    /// The function tree and names: flame graphs.
    Functions,
    /// Locations, functions and mappings too: pprof. On less detail, `location`, `function` and `mapping` of the source panic.
    Locations,
}

/// Optional sample columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleColumns {
    /// Read span ids.
    pub spans: bool,
    /// Read trace ids.
    pub traces: bool,
}

/// Some samples of one series, whole profiles.
#[derive(Clone, Copy, Debug)]
pub struct SampleBatch<'a> {
    /// Index into the partition's series.
    pub series: u32,
    /// The profiles; their sample ranges index the slices below.
    pub profiles: &'a [ProfileRow],
    /// Stack ids.
    pub stacks: &'a [u32],
    /// Values (already multiplied by the series' scale).
    pub values: &'a [i64],
    /// Span ids; empty when not asked for or absent (= none).
    pub spans: &'a [u64],
    /// Trace ids; empty when not asked for or absent (= none).
    pub traces: &'a [[u8; 16]],
}

/// A block that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not give the bytes.
    #[error("read {file} of block {block}")]
    Storage {
        /// Which file.
        file: String,
        /// Which block.
        block: Ulid,
        /// Why.
        #[source]
        source: flamelake_object_storage::StorageError,
    },
    /// The bytes are not what the format says: damage.
    #[error("{file} of block {block} is damaged: {reason}")]
    Damaged {
        /// Which file.
        file: String,
        /// Which block.
        block: Ulid,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Storage { source, .. } => source.code(),
            Self::Damaged { .. } => ErrorCode::DataLoss,
        }
    }
}

/// An open block: its meta and decoded parts that are kept. Shared by queries.
#[derive(Debug)]
pub struct BlockReader {
    meta: BlockMeta,
    /// Those of [`TABLES`], and of [`OPTIONAL_TABLES`] if it has them.
    tables: Vec<(Table, Arc<BlockFile>, OnceCell<TableReader>)>,
    /// In order of `part`.
    partitions: Vec<Kept>,
    /// Memory of all that is kept, and of kept samples alone.
    kept_bytes: AtomicUsize,
    kept_sample_bytes: AtomicUsize,
}

/// Decoded parts of one partition.
#[derive(Debug, Default)]
struct Kept {
    index: OnceCell<PartitionIndex>,
    trees: OnceCell<Arc<Trees>>,
    functions: OnceCell<Arc<BlockSymbols>>,
    locations: OnceCell<Arc<BlockSymbols>>,
    /// Stacks and values.
    samples: OnceCell<Samples>,
    rollups: OnceCell<Rollups>,
}

impl BlockReader {
    /// Reads `block.json` and checks it.
    pub async fn open(bucket: Bucket, tenant: &TenantId, ulid: Ulid) -> Result<Self, ReadError> {
        let folder = block_folder(tenant, ulid);
        let file = || META_FILE.to_owned();
        let bytes = bucket.get(&format!("{folder}{META_FILE}")).await;
        let bytes = bytes.map_err(|source| ReadError::Storage { file: file(), block: ulid, source })?;
        let damaged = |reason: String| ReadError::Damaged { file: file(), block: ulid, reason };
        let meta = BlockMeta::from_json(&bytes).map_err(|error| damaged(error.to_string()))?;
        check_meta(&meta, tenant, ulid).map_err(damaged)?;
        let open = |table: Table, meta: &FileMeta| {
            let file = BlockFile { bucket: bucket.clone(), block: ulid, folder: folder.clone(), meta: meta.clone() };
            (table, Arc::new(file), OnceCell::new())
        };
        let mut tables = Vec::new();
        for table in TABLES {
            let found = meta.file(&table.file_name());
            tables.push(open(table, found.ok_or_else(|| damaged(format!("no file {}", table.file_name())))?));
        }
        let optional = OPTIONAL_TABLES.into_iter().filter_map(|table| Some((table, meta.file(&table.file_name())?)));
        tables.extend(optional.map(|(table, meta)| open(table, meta)));
        let partitions = meta.partitions.iter().map(|_| Kept::default()).collect();
        let kept_bytes = AtomicUsize::new(bytes.len() * 2);
        Ok(Self { meta, tables, partitions, kept_bytes, kept_sample_bytes: AtomicUsize::new(0) })
    }

    /// What `block.json` says.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Series of a partition in order of labels; decoded once and kept.
    pub async fn series(&self, part: u16) -> Result<Arc<[SeriesEntry]>, ReadError> {
        Ok(Arc::clone(&self.index(part).await?.series))
    }

    /// Profiles of some series within `[from, to]` ns: calls `sink(series, rows)` per series; sample ranges are the block's own row
    /// numbers, not meaningful to the caller.
    pub async fn profiles(
        &self,
        part: u16,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn FnMut(u32, &[ProfileRow]) + Send),
    ) -> Result<(), ReadError> {
        let index = self.index(part).await?;
        for series in series {
            let rows = index.profiles(*series, from, to);
            if !rows.is_empty() {
                sink(*series, rows);
            }
        }
        Ok(())
    }

    /// Samples of some series within `[from, to]` ns, in batches. Each batch holds exactly the samples of its profiles.
    pub async fn samples(
        &self,
        part: u16,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        columns: SampleColumns,
        sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) -> Result<(), ReadError> {
        let index = self.index(part).await?;
        let piece = |series: &u32| Piece { series: *series, profiles: index.profiles(*series, from, to) };
        let mut wanted: Vec<Piece<'_>> = series.iter().map(piece).filter(|piece| !piece.profiles.is_empty()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        // Series lie in order of their numbers, so this is also the order of rows.
        wanted.sort_by_key(|piece| piece.series);
        wanted.dedup_by_key(|piece| piece.series);
        if columns == SampleColumns::default()
            && let Some(kept) = self.kept_samples(part, index).await?
        {
            emit_kept(kept, wanted, sink).await;
            return Ok(());
        }
        for batch in batches(wanted, BATCH_SAMPLES_MAX) {
            self.read_batch(part, index, &batch, columns, sink).await?;
        }
        Ok(())
    }

    /// What [`samples`](Self::samples) tells without optional columns, for callers to whom only the sum of each stack counts: rollups are handed
    /// on like one profile at the start of their time, in no particular order with the profiles.
    pub async fn summed(
        &self,
        part: u16,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) -> Result<(), ReadError> {
        if self.rows(part, Table::Rollups)?.is_empty() {
            return self.samples(part, series, from, to, SampleColumns::default(), sink).await;
        }
        let index = self.index(part).await?;
        let rollups = self.kept(part)?.rollups.get_or_try_init(|| self.read_rollups(part)).await?;
        let mut series = series.to_vec();
        series.sort_unstable();
        series.dedup();
        let (mut sums, mut wanted) = (Vec::new(), Vec::new());
        for series in series.iter().copied() {
            let cover = rollups.cover(series, from.0, to.0);
            sums.extend(cover.rollups.into_iter().map(|rollup| (series, rollup)));
            for (from, to) in cover.rest {
                let profiles = index.profiles(series, TimestampNs(from), TimestampNs(to));
                if !profiles.is_empty() {
                    wanted.push(Piece { series, profiles });
                }
            }
        }
        if sums.is_empty() {
            return self.samples(part, &series, from, to, SampleColumns::default(), sink).await;
        }
        sums.sort_by_key(|(_, rollup): &(u32, Rollup)| rollup.samples().start);
        while !sums.is_empty() {
            let mut samples = 0;
            let fitting = sums.iter().take_while(|(_, rollup)| {
                samples += rollup.samples().end - rollup.samples().start;
                samples <= BATCH_SAMPLES_MAX
            });
            // One rollup has at most a row for each stack.
            let fitting = fitting.count().max(1);
            let some: Vec<(u32, Rollup)> = sums.drain(..fitting).collect();
            self.read_sums(part, index, some, sink).await?;
        }
        // All samples are only decoded for those who need most of them.
        if let Some(kept) = self.kept(part)?.samples.get() {
            emit_kept(kept, wanted, sink).await;
            return Ok(());
        }
        for batch in batches(wanted, BATCH_SAMPLES_MAX) {
            self.read_batch(part, index, &batch, SampleColumns::default(), sink).await?;
        }
        Ok(())
    }

    /// Whether samples of a partition may have spans or traces.
    pub async fn has_ids(&self, part: u16) -> Result<bool, ReadError> {
        let rows = self.rows(part, Table::Samples)?;
        if rows.is_empty() {
            return Ok(false);
        }
        let table = self.table(Table::Samples).await?;
        Ok(["span_id", "trace_id"].iter().any(|column| table.has_values(column, std::slice::from_ref(&rows))))
    }

    /// Symbols of a partition; decoded once per detail and kept.
    pub async fn symbols(&self, part: u16, detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, ReadError> {
        let kept = self.kept(part)?;
        if let Some(more) = kept.locations.get() {
            return Ok(Arc::clone(more) as Arc<dyn SymbolSource>);
        }
        let symbols = match detail {
            SymbolDetail::Functions => kept.functions.get_or_try_init(|| self.read_functions(part)).await?,
            SymbolDetail::Locations => kept.locations.get_or_try_init(|| self.read_locations(part)).await?,
        };
        Ok(Arc::clone(symbols) as Arc<dyn SymbolSource>)
    }

    /// Name and source file of each function of a partition, in order of names. Reads two columns of one table, and keeps nothing.
    pub async fn functions(
        &self,
        part: u16,
        sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send),
    ) -> Result<(), ReadError> {
        let rows = [self.rows(part, Table::Functions)?];
        let columns = self.table(Table::Functions).await?.read(&["name", "filename"], &rows).await?;
        symbols::each_function(&columns, sink)
    }

    /// Memory that the kept decoded parts hold, for a cache's weigher. Grows with use.
    pub fn memory_bytes(&self) -> usize {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// Lets go of what is kept of one partition, for a caller that goes through a block once.
    pub fn forget(&mut self, part: u16) {
        let Some(kept) = self.partitions.get_mut(part as usize).map(std::mem::take) else { return };
        let samples = kept.samples.get().map_or(0, Samples::memory_bytes);
        let places = kept.locations.get().and_then(|symbols| symbols.places.as_ref()).map_or(0, Places::memory_bytes);
        let trees = kept.trees.get().map_or(0, |trees| trees.memory_bytes());
        let index = kept.index.get().map_or(0, PartitionIndex::memory_bytes)
            + kept.rollups.get().map_or(0, Rollups::memory_bytes);
        *self.kept_sample_bytes.get_mut() -= samples;
        *self.kept_bytes.get_mut() -= samples + places + trees + index;
    }

    fn keep(&self, bytes: usize) {
        self.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn damaged_meta(&self, reason: String) -> ReadError {
        ReadError::Damaged { file: META_FILE.to_owned(), block: self.meta.ulid, reason }
    }

    fn kept(&self, part: u16) -> Result<&Kept, ReadError> {
        self.partitions.get(part as usize).ok_or_else(|| self.damaged_meta(format!("no partition {part}")))
    }

    fn partition(&self, part: u16) -> Result<&PartitionMeta, ReadError> {
        self.meta.partitions.get(part as usize).ok_or_else(|| self.damaged_meta(format!("no partition {part}")))
    }

    fn rows(&self, part: u16, table: Table) -> Result<Range<u64>, ReadError> {
        let rows = table.rows(&self.partition(part)?.tables);
        Ok(rows.first..rows.first + rows.count)
    }

    async fn table(&self, table: Table) -> Result<&TableReader, ReadError> {
        let found = self.tables.iter().find(|(each, ..)| *each == table);
        let Some((_, file, cell)) = found else {
            return Err(self.damaged_meta(format!("no file {}", table.file_name())));
        };
        let open = || async {
            let reader = TableReader::open(Arc::clone(file)).await?;
            self.keep(reader.memory_bytes());
            Ok(reader)
        };
        cell.get_or_try_init(open).await
    }

    async fn index(&self, part: u16) -> Result<&PartitionIndex, ReadError> {
        self.kept(part)?.index.get_or_try_init(|| self.read_index(part)).await
    }

    async fn read_index(&self, part: u16) -> Result<PartitionIndex, ReadError> {
        let (series, profiles) = tokio::try_join!(self.table(Table::Series), self.table(Table::Profiles))?;
        let (series_rows, profile_rows) = ([self.rows(part, Table::Series)?], [self.rows(part, Table::Profiles)?]);
        let (series, profiles) = tokio::try_join!(
            series.read(&SERIES_COLUMNS, &series_rows),
            profiles.read(&PROFILE_COLUMNS, &profile_rows)
        )?;
        let index = PartitionIndex::decode(&series, &profiles, self.rows(part, Table::Samples)?)?;
        self.keep(index.memory_bytes());
        Ok(index)
    }

    async fn read_rollups(&self, part: u16) -> Result<Rollups, ReadError> {
        let rows = [self.rows(part, Table::Rollups)?];
        let columns = self.table(Table::Rollups).await?.read(&ROLLUP_COLUMNS, &rows).await?;
        let rollups = Rollups::decode(&columns, self.rows(part, Table::RollupSamples)?)?;
        self.keep(rollups.memory_bytes());
        Ok(rollups)
    }

    /// Hands on some rollups, each as a profile; in order of their rows.
    async fn read_sums(
        &self,
        part: u16,
        index: &PartitionIndex,
        some: Vec<(u32, Rollup)>,
        sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) -> Result<(), ReadError> {
        let first = self.rows(part, Table::RollupSamples)?.start;
        let rows: Vec<Range<u64>> =
            some.iter().map(|(_, rollup)| first + rollup.samples().start..first + rollup.samples().end).collect();
        let mut samples = self.read_of(part, Table::RollupSamples, &rows, SampleColumns::default()).await?;
        let mut start = 0_usize;
        for (series, rollup) in some {
            let count = (rollup.samples().end - rollup.samples().start) as usize;
            samples.multiply(start..start + count, index.scales.get(series as usize).copied().unwrap_or(1));
            let row = ProfileRow {
                time_ns: rollup.time_ns,
                id: ProfileId([0; 16]),
                duration_ns: 0,
                period: 0,
                total: 0,
                samples_start: 0,
                samples_end: count as u32,
            };
            samples.emit(series, &[row], start..start + count, sink);
            start += count;
        }
        Ok(())
    }

    async fn trees(&self, part: u16) -> Result<&Arc<Trees>, ReadError> {
        self.kept(part)?.trees.get_or_try_init(|| self.read_trees(part)).await
    }

    async fn read_trees(&self, part: u16) -> Result<Arc<Trees>, ReadError> {
        let tables = tokio::try_join!(
            self.table(Table::Stacks),
            self.table(Table::FunctionStacks),
            self.table(Table::Functions)
        )?;
        let rows = [self.rows(part, Table::Stacks)?];
        let node_rows = [self.rows(part, Table::FunctionStacks)?];
        let function_rows = [self.rows(part, Table::Functions)?];
        let (stacks, nodes, functions) = tokio::try_join!(
            tables.0.read(&["up", "fnstack"], &rows),
            tables.1.read(&["up", "function"], &node_rows),
            tables.2.read(&["name"], &function_rows),
        )?;
        let trees = Trees::decode(&stacks, &nodes, &functions)?;
        self.keep(trees.memory_bytes());
        Ok(Arc::new(trees))
    }

    async fn read_functions(&self, part: u16) -> Result<Arc<BlockSymbols>, ReadError> {
        Ok(Arc::new(BlockSymbols { trees: Arc::clone(self.trees(part).await?), places: None }))
    }

    async fn read_locations(&self, part: u16) -> Result<Arc<BlockSymbols>, ReadError> {
        let trees = Arc::clone(self.trees(part).await?);
        let tables =
            tokio::try_join!(self.table(Table::Stacks), self.table(Table::Frames), self.table(Table::Functions))?;
        let rows = [self.rows(part, Table::Stacks)?];
        let frame_rows = [self.rows(part, Table::Frames)?];
        let function_rows = [self.rows(part, Table::Functions)?];
        let (stacks, frames, functions) = tokio::try_join!(
            tables.0.read(&["location"], &rows),
            tables.1.read(&FRAME_COLUMNS, &frame_rows),
            tables.2.read(&["system_name", "filename", "start_line"], &function_rows),
        )?;
        let places = Places::decode(&stacks, &frames, &functions)?;
        self.keep(places.memory_bytes());
        Ok(Arc::new(BlockSymbols { trees, places: Some(places) }))
    }

    /// All stacks and values of a partition, unless they would be too many to keep.
    async fn kept_samples(&self, part: u16, index: &PartitionIndex) -> Result<Option<&Samples>, ReadError> {
        let cell = &self.kept(part)?.samples;
        if let Some(samples) = cell.get() {
            return Ok(Some(samples));
        }
        let rows = self.rows(part, Table::Samples)?;
        let bytes = usize::try_from(rows.end - rows.start)
            .unwrap_or(usize::MAX)
            .saturating_mul(size_of::<u32>() + size_of::<i64>());
        // Two partitions that begin at once may both pass; then the bound is missed by one of them.
        if self.kept_sample_bytes.load(Ordering::Relaxed).saturating_add(bytes) > KEPT_SAMPLE_BYTES_MAX {
            return Ok(None);
        }
        let read = || async {
            let mut samples = self.read_samples(part, &[rows], SampleColumns::default()).await?;
            multiply_all(&mut samples, index);
            self.keep(samples.memory_bytes());
            self.kept_sample_bytes.fetch_add(samples.memory_bytes(), Ordering::Relaxed);
            Ok(samples)
        };
        cell.get_or_try_init(read).await.map(Some)
    }

    async fn read_samples(&self, part: u16, rows: &[Range<u64>], columns: SampleColumns) -> Result<Samples, ReadError> {
        self.read_of(part, Table::Samples, rows, columns).await
    }

    async fn read_of(
        &self,
        part: u16,
        table: Table,
        rows: &[Range<u64>],
        columns: SampleColumns,
    ) -> Result<Samples, ReadError> {
        let stacks = self.rows(part, Table::Stacks)?;
        let stack_count = u32::try_from(stacks.end - stacks.start).unwrap_or(u32::MAX);
        let table = self.table(table).await?;
        let columns = SampleColumns {
            spans: columns.spans && table.has_values("span_id", rows),
            traces: columns.traces && table.has_values("trace_id", rows),
        };
        let read = table.read(&column_names(columns), rows).await?;
        Samples::decode(&read, columns, stack_count)
    }

    async fn read_batch(
        &self,
        part: u16,
        index: &PartitionIndex,
        batch: &[Piece<'_>],
        columns: SampleColumns,
        sink: &mut (dyn FnMut(SampleBatch<'_>) + Send),
    ) -> Result<(), ReadError> {
        let first = self.rows(part, Table::Samples)?.start;
        let in_file = |piece: &Piece<'_>| first + piece.rows().start..first + piece.rows().end;
        let rows: Vec<Range<u64>> = batch.iter().map(in_file).collect();
        let mut samples = self.read_samples(part, &rows, columns).await?;
        let (mut start, mut since_pause) = (0, 0);
        for (piece, rows) in batch.iter().zip(rows) {
            let end = start + (rows.end - rows.start) as usize;
            samples.multiply(start..end, index.scales[piece.series as usize]);
            samples.emit(piece.series, piece.profiles, start..end, sink);
            since_pause += end - start;
            start = end;
            if since_pause >= SAMPLES_BETWEEN_PAUSES {
                pause().await;
                since_pause = 0;
            }
        }
        Ok(())
    }
}

async fn emit_kept(kept: &Samples, wanted: Vec<Piece<'_>>, sink: &mut (dyn FnMut(SampleBatch<'_>) + Send)) {
    let mut since_pause = 0;
    for piece in wanted {
        let rows = piece.rows();
        let rows = rows.start as usize..rows.end as usize;
        since_pause += rows.len();
        kept.emit(piece.series, piece.profiles, rows, sink);
        if since_pause >= SAMPLES_BETWEEN_PAUSES {
            pause().await;
            since_pause = 0;
        }
    }
}

/// What the rest relies on; the checksum has told that the text is as it was written.
fn check_meta(meta: &BlockMeta, tenant: &TenantId, ulid: Ulid) -> Result<(), String> {
    if meta.ulid != ulid || meta.tenant != tenant.as_str() {
        return Err(format!("it is of block {} of tenant {:?}", meta.ulid, meta.tenant));
    }
    for (at, partition) in meta.partitions.iter().enumerate() {
        if usize::from(partition.part) != at {
            return Err(format!("partition {at} has the number {}", partition.part));
        }
        for table in TABLES.into_iter().chain(OPTIONAL_TABLES) {
            let RowRange { first, count } = table.rows(&partition.tables);
            let rows = meta.file(&table.file_name()).map_or(0, |file| file.rows);
            if first.checked_add(count).is_none_or(|end| end > rows) {
                return Err(format!("partition {at} lies outside of {}", table.file_name()));
            }
        }
    }
    let is_bad = |file: &&FileMeta| file.checksum_chunk_bytes == 0 || file.footer_start > file.bytes;
    meta.files.iter().find(is_bad).map_or(Ok(()), |file| Err(format!("sizes of {} contradict each other", file.name)))
}
