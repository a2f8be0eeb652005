//! The one view of stored profiles that the engine has. Implemented here for blocks and in `ingester` for the head.

use std::sync::Arc;

use async_trait::async_trait;
use flamelake_block::pause::{SAMPLES_BETWEEN_PAUSES, pause};
use flamelake_block::reader::{SampleBatch, SampleColumns, SeriesEntry, SymbolDetail};
use flamelake_block::rows::ProfileRow;
use flamelake_model::{StatusError, TimestampNs};
use flamelake_symbols::SymbolSource;

/// One partition of a source.
#[derive(Clone, Debug)]
pub struct PartitionInfo {
    /// How the source's methods name it.
    pub part: u32,
    /// Label `service_name`.
    pub service_name: Arc<str>,
    /// Distinct profile type ids, sorted; lets a planner skip the partition.
    pub profile_types: Vec<Arc<str>>,
    /// Build ids, as mappings have them, of binaries with locations that have no lines.
    pub native_build_ids: Vec<Arc<str>>,
    /// Earliest profile.
    pub min_time: TimestampNs,
    /// Latest profile.
    pub max_time: TimestampNs,
}

/// Why a source could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// This block is damaged or gone; the rest can still answer. `name` says which.
    #[error("{name} is set aside: {reason}")]
    Damaged {
        /// The block.
        name: String,
        /// What is wrong.
        reason: String,
        /// True when the object was missing (a compaction may have removed it: plan again).
        missing: bool,
    },
    /// Any other failure.
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// Rows of one tenant: an immutable snapshot of a head, or one block. All methods take `part` from [`ProfileSource::partitions`].
/// The methods mirror [`flamelake_block::reader::BlockReader`]; see there for shapes.
#[async_trait]
pub trait ProfileSource: Send + Sync {
    /// Name for logs and for `set_aside` (a ULID, or `head`).
    fn name(&self) -> String;
    /// Its partitions.
    fn partitions(&self) -> Vec<PartitionInfo>;
    /// Series of a partition.
    async fn series(&self, part: u32) -> Result<Arc<[SeriesEntry]>, SourceError>;
    /// Profiles of some series in `[from, to]`.
    async fn profiles(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(u32, &'r [ProfileRow]) + Send),
    ) -> Result<(), SourceError>;
    /// Samples of some series in `[from, to]`.
    async fn samples(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        columns: SampleColumns,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError>;
    /// Samples without optional columns for who adds them up by stack: several profiles of a series may come as one, without their ids.
    async fn summed(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        self.samples(part, series, from, to, SampleColumns::default(), sink).await
    }
    /// Symbols of a partition.
    async fn symbols(&self, part: u32, detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, SourceError>;
    /// Name and source file of each function of a partition, some of them maybe more than once, in no particular order.
    async fn functions(
        &self,
        part: u32,
        sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send),
    ) -> Result<(), SourceError> {
        let symbols = self.symbols(part, SymbolDetail::Locations).await?;
        each_function(&*symbols, sink).await;
        Ok(())
    }
}

/// Calls `sink(name, file)` once for each function that some location has. The symbols have all detail.
pub async fn each_function(symbols: &dyn SymbolSource, sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send)) {
    let (mut locations, mut functions) = (Seen::default(), Seen::default());
    for stack in 1..symbols.stack_count() {
        if (stack as usize).is_multiple_of(SAMPLES_BETWEEN_PAUSES) {
            pause().await;
        }
        let location = symbols.stack_location(stack);
        if !locations.is_new(location) {
            continue;
        }
        for line in symbols.location(location).lines.iter().filter(|line| functions.is_new(line.function)) {
            let view = symbols.function(line.function);
            sink(view.name, view.filename);
        }
    }
}

/// Ids that were met.
#[derive(Default)]
struct Seen(Vec<bool>);

impl Seen {
    fn is_new(&mut self, id: u32) -> bool {
        let id = id as usize;
        if self.0.len() <= id {
            self.0.resize(id + 1, false);
        }
        !std::mem::replace(&mut self.0[id], true)
    }
}
