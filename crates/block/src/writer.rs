//! Rows to block files, one partition at a time.

mod column;
mod exact;
mod numbers;
mod pages;
mod run_pages;
mod spool;
mod preorder;
mod symbols;
mod rows;
mod rollups;
mod table_writer;

use std::collections::BTreeSet;

use bytes::Bytes;
use flamelake_model::{Coded, ErrorCode, TenantId, label_name};

use self::rollups::RollupWriter;
use self::rows::SeriesWriter;
pub use self::spool::PART_BYTES;
use self::symbols::UsedSymbols;
use self::table_writer::TableWriter;
use crate::meta::{BlockMeta, LogRange, META_FILE, PartitionMeta, PartitionTables, RowRange, Ulid, VERSION};
use crate::rows::PartitionRows;
use crate::table::{OPTIONAL_TABLES, TABLES, Table};

/// What a block is besides its rows.
#[derive(Clone, Debug)]
pub struct BlockIdentity {
    /// Its id.
    pub ulid: Ulid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Compaction level.
    pub level: u32,
    /// Log rows covered.
    pub log_ranges: Vec<LogRange>,
    /// Blocks merged.
    pub sources: Vec<Ulid>,
}

/// A finished block: files in memory (`block.json` last) and its meta.
#[derive(Debug)]
pub struct FinishedBlock {
    /// What `block.json` says.
    pub meta: BlockMeta,
    /// (file name, bytes), in upload order; of a file whose parts were [taken](BlockWriter::take_parts) the rest.
    pub files: Vec<(String, Bytes)>,
}

/// A block that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The Parquet library refused.
    #[error("write table {table} of block {block}")]
    Table {
        /// Which table.
        table: &'static str,
        /// Which block.
        block: Ulid,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// More partitions or rows than the format can number: cut the block in two.
    #[error("block {block} is too large: {what}")]
    TooLarge {
        /// Which block.
        block: Ulid,
        /// What is too many.
        what: &'static str,
    },
}

impl Coded for WriteError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Table { .. } => ErrorCode::Internal,
            Self::TooLarge { .. } => ErrorCode::ResourceExhausted,
        }
    }
}

/// Partitions in a block: they are numbered in 16 bits.
pub const PARTITIONS_MAX: usize = 65_535;

/// Encodes a block. CPU-bound: call it off the async threads. Partitions are taken one at a time, so that the caller can build
/// them lazily. At most [`PARTITIONS_MAX`], and 2³² samples in each.
pub fn write_block(
    identity: BlockIdentity,
    partitions: impl Iterator<Item = PartitionRows>,
) -> Result<FinishedBlock, WriteError> {
    let mut writer = BlockWriter::new(identity.ulid)?;
    for partition in partitions {
        writer.write_partition(partition)?;
    }
    writer.finish(identity)
}

/// `tenants/<tenant>/blocks/<ulid>/`: the folder of a block in the bucket.
pub fn block_folder(tenant: &TenantId, ulid: Ulid) -> String {
    format!("tenants/{tenant}/blocks/{ulid}/")
}

/// A block being written, for callers whose partitions come one after the other: [`write_block`] in steps. Holds in memory what is encoded
/// and not taken. After an error it is of no use.
pub struct BlockWriter {
    block: Ulid,
    /// In order of [`TABLES`], then [`OPTIONAL_TABLES`] if there are rollups.
    tables: Vec<TableWriter>,
    with_rollups: bool,
    partitions: Vec<PartitionMeta>,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { block, partitions, .. } = self;
        f.debug_struct("BlockWriter").field("block", block).field("partitions", &partitions.len()).finish()
    }
}

impl BlockWriter {
    /// A block without partitions so far.
    pub fn new(block: Ulid) -> Result<Self, WriteError> {
        let mut writer = Self { block, tables: Vec::new(), with_rollups: false, partitions: Vec::new() };
        writer.open(&TABLES)?;
        Ok(writer)
    }

    /// The same; its series get rollups. Call it before anything is written.
    pub fn with_rollups(mut self) -> Result<Self, WriteError> {
        self.open(&OPTIONAL_TABLES)?;
        self.with_rollups = true;
        Ok(self)
    }

    fn open(&mut self, tables: &[Table]) -> Result<(), WriteError> {
        for table in tables {
            let failed = |source| WriteError::Table { table: table.name(), block: self.block, source };
            self.tables.push(TableWriter::new(*table).map_err(failed)?);
        }
        Ok(())
    }

    fn table(&mut self, table: Table) -> &mut TableWriter {
        self.tables.iter_mut().find(|writer| writer.table() == table).expect("opened by new or with_rollups")
    }

    fn on_table(
        &mut self,
        table: Table,
        act: impl FnOnce(&mut TableWriter) -> parquet::errors::Result<()>,
    ) -> Result<(), WriteError> {
        let block = self.block;
        act(self.table(table)).map_err(|source| WriteError::Table { table: table.name(), block, source })
    }

    /// Adds a partition. CPU-bound: call it off the async threads.
    pub fn write_partition(&mut self, mut partition: PartitionRows) -> Result<(), WriteError> {
        let too_large = |what| WriteError::TooLarge { block: self.block, what };
        if self.partitions.len() >= PARTITIONS_MAX {
            return Err(too_large("more than 65,535 partitions"));
        }
        let part = self.partitions.len() as u16;
        let samples: u64 = partition.series.iter().map(|series| series.stacks.len() as u64).sum();
        u32::try_from(samples).map_err(|_| too_large("more than 2^32 samples in a partition"))?;
        let first: Vec<u64> = self.tables.iter().map(TableWriter::rows).collect();
        partition.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let symbols = std::sync::Arc::clone(&partition.symbols);
        let used = UsedSymbols::new(&*symbols, used_stacks(&partition));
        self.write_symbols(part, &used)?;
        self.on_table(Table::Samples, |table| table.start_partition(samples))?;
        let meta = self.write_rows(part, partition, &used)?;
        for table in self.tables.iter().map(TableWriter::table).collect::<Vec<_>>() {
            self.on_table(table, TableWriter::end_partition)?;
        }
        let mut tables = PartitionTables::default();
        for (writer, first) in self.tables.iter().zip(first) {
            writer.table().set_rows(&mut tables, RowRange { first, count: writer.rows() - first });
        }
        self.partitions.push(PartitionMeta { tables, native_build_ids: used.native_build_ids(), ..meta });
        Ok(())
    }

    fn write_symbols(&mut self, part: u16, used: &UsedSymbols<'_>) -> Result<(), WriteError> {
        let columns = [
            (Table::Functions, used.function_columns(part)),
            (Table::Frames, used.frame_columns(part)),
            (Table::FunctionStacks, used.function_stack_columns(part)),
            (Table::Stacks, used.stack_columns(part)),
        ];
        for (table, columns) in columns {
            self.on_table(table, |writer| {
                writer.start_partition(columns[0].rows() as u64)?;
                writer.append(columns)
            })?;
        }
        Ok(())
    }

    fn write_rows(
        &mut self,
        part: u16,
        partition: PartitionRows,
        used: &UsedSymbols<'_>,
    ) -> Result<PartitionMeta, WriteError> {
        let first_sample = self.table(Table::Samples).rows();
        let rollups = self.with_rollups.then(|| RollupWriter::new(self.table(Table::RollupSamples).rows()));
        let mut rows = SeriesWriter::new(part, partition.service_name, first_sample, rollups);
        let mut types = BTreeSet::new();
        for series in partition.series {
            types.insert(series.labels.value_or_empty(label_name::PROFILE_TYPE).to_owned());
            let mut failed = Ok(());
            rows.write(series, used, &mut |columns| {
                if failed.is_ok() {
                    failed = self.on_table(Table::Samples, |table| table.append(columns));
                }
            });
            failed?;
        }
        if let Some(rollups) = rows.take_rollups() {
            let (rollups, samples) = rollups.finish(part);
            self.on_table(Table::RollupSamples, |table| table.append(samples))?;
            self.on_table(Table::Rollups, |table| table.append(rollups))?;
        }
        let (last_samples, profiles, series) = rows.finish();
        self.on_table(Table::Samples, |table| table.append(last_samples))?;
        self.on_table(Table::Profiles, |table| table.append(profiles.columns))?;
        self.on_table(Table::Series, |table| table.append(series.columns))?;
        Ok(PartitionMeta {
            part,
            service_name: series.service_name,
            profile_types: types.into_iter().filter(|id| !id.is_empty()).collect(),
            min_time_ns: profiles.min_time_ns,
            max_time_ns: profiles.max_time_ns,
            series: series.count,
            profiles: profiles.count,
            samples: profiles.samples,
            native_build_ids: Vec::new(),
            tables: PartitionTables::default(),
        })
    }

    /// What can be stored already: (file name, the next [`PART_BYTES`] of it).
    pub fn take_parts(&mut self) -> Vec<(String, Bytes)> {
        let of_table = |writer: &mut TableWriter| {
            let name = writer.table().file_name();
            writer.take_parts().into_iter().map(move |part| (name.clone(), part))
        };
        self.tables.iter_mut().flat_map(of_table).collect()
    }

    /// The files. `identity` must bear the id that the writer began with.
    pub fn finish(self, identity: BlockIdentity) -> Result<FinishedBlock, WriteError> {
        let block = self.block;
        let mut files = Vec::new();
        let mut metas = Vec::new();
        for writer in self.tables {
            let table = writer.table().name();
            let (meta, bytes) = writer.finish().map_err(|source| WriteError::Table { table, block, source })?;
            files.push((meta.name.clone(), bytes));
            metas.push(meta);
        }
        // A partition without profiles has no time.
        let timed = || self.partitions.iter().filter(|partition| partition.profiles > 0);
        let meta = BlockMeta {
            version: VERSION,
            ulid: identity.ulid,
            tenant: identity.tenant.to_string(),
            min_time_ns: timed().map(|partition| partition.min_time_ns).min().unwrap_or_default(),
            max_time_ns: timed().map(|partition| partition.max_time_ns).max().unwrap_or_default(),
            bytes: metas.iter().map(|file| file.bytes).sum(),
            level: identity.level,
            log_ranges: identity.log_ranges,
            sources: identity.sources,
            partitions: self.partitions,
            files: metas,
        };
        files.push((META_FILE.to_owned(), Bytes::from(meta.to_json())));
        Ok(FinishedBlock { meta, files })
    }
}

fn used_stacks(partition: &PartitionRows) -> Vec<bool> {
    let mut used = vec![false; (partition.symbols.stack_count() as usize).max(1)];
    for stack in partition.series.iter().flat_map(|series| &series.stacks) {
        used[*stack as usize] = true;
    }
    used
}
