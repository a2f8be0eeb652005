//! A block is a source as it is: names and errors are translated, nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use flamelake_block::meta::PartitionMeta;
use flamelake_block::reader::{BlockReader, ReadError, SampleBatch, SampleColumns, SeriesEntry, SymbolDetail};
use flamelake_block::rows::ProfileRow;
use flamelake_model::{Coded, ErrorCode, StatusError, TimestampNs};
use flamelake_symbols::SymbolSource;

use crate::{PartitionInfo, ProfileSource, SourceError};

#[async_trait]
impl ProfileSource for BlockReader {
    fn name(&self) -> String {
        self.meta().ulid.to_string()
    }

    fn partitions(&self) -> Vec<PartitionInfo> {
        self.meta().partitions.iter().map(partition_info).collect()
    }

    async fn series(&self, part: u32) -> Result<Arc<[SeriesEntry]>, SourceError> {
        Ok(Self::series(self, in_block(part)?).await?)
    }

    async fn profiles(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(u32, &'r [ProfileRow]) + Send),
    ) -> Result<(), SourceError> {
        Ok(Self::profiles(self, in_block(part)?, series, from, to, sink).await?)
    }

    async fn samples(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        columns: SampleColumns,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        Ok(Self::samples(self, in_block(part)?, series, from, to, columns, sink).await?)
    }

    async fn summed(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        Ok(Self::summed(self, in_block(part)?, series, from, to, sink).await?)
    }

    async fn symbols(&self, part: u32, detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, SourceError> {
        Ok(Self::symbols(self, in_block(part)?, detail).await?)
    }

    async fn functions(
        &self,
        part: u32,
        sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send),
    ) -> Result<(), SourceError> {
        Ok(Self::functions(self, in_block(part)?, sink).await?)
    }
}

/// Blocks number their partitions in 16 bits (docs/formats/block.md); a head has no such bound.
fn in_block(part: u32) -> Result<u16, SourceError> {
    u16::try_from(part).map_err(|_| StatusError::internal(format!("no partition {part} in a block")).into())
}

fn partition_info(partition: &PartitionMeta) -> PartitionInfo {
    PartitionInfo {
        part: partition.part.into(),
        service_name: partition.service_name.as_str().into(),
        profile_types: partition.profile_types.iter().map(|id| id.as_str().into()).collect(),
        native_build_ids: partition.native_build_ids.iter().map(|id| id.as_str().into()).collect(),
        min_time: TimestampNs(partition.min_time_ns),
        max_time: TimestampNs(partition.max_time_ns),
    }
}

impl From<ReadError> for SourceError {
    fn from(error: ReadError) -> Self {
        Self::from(&error)
    }
}

impl From<&ReadError> for SourceError {
    /// A missing file may be the work of a compaction: plan again. A damaged one sets its block aside. A store that does not answer
    /// is neither: the caller tries again.
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Damaged { file, block, reason } => {
                Self::Damaged { name: block.to_string(), reason: format!("{file}: {reason}"), missing: false }
            }
            ReadError::Storage { file, block, source } if source.code() == ErrorCode::NotFound => {
                Self::Damaged { name: block.to_string(), reason: format!("{file} does not exist"), missing: true }
            }
            ReadError::Storage { source, .. } => {
                let mut status = StatusError::from_coded(source);
                status.message = format!("{error}: {}", status.message);
                Self::Status(status)
            }
        }
    }
}
