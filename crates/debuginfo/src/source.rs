//! A source whose symbols have names for addresses, where the tenant has uploaded them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use flamelake_block::reader::{SampleBatch, SampleColumns, SeriesEntry, SymbolDetail};
use flamelake_block::rows::ProfileRow;
use flamelake_model::{TenantId, TimestampNs};
use flamelake_query_engine::{PartitionInfo, ProfileSource, SourceError, each_function};
use flamelake_symbols::SymbolSource;
use hashbrown::HashMap;

use crate::build_id::BuildId;
use crate::overlay::{Overlay, OverlayBuilder, Unnamed};
use crate::symboliser::Symboliser;
use crate::table::FrameView;

/// See the module.
pub struct Symbolised<'a> {
    source: &'a dyn ProfileSource,
    tenant: &'a TenantId,
    /// `None`: symbols stay as they are.
    symboliser: Option<&'a Symboliser>,
    /// Whether a partition of this name is always the same.
    is_immutable: bool,
    native: OnceLock<HashMap<u32, Vec<BuildId>>>,
}

impl std::fmt::Debug for Symbolised<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbolised").field("source", &self.source.name()).finish_non_exhaustive()
    }
}

impl<'a> Symbolised<'a> {
    /// `is_immutable`: the source's name stands for the same rows for ever (a block), so that its symbols may be kept.
    pub fn new(
        source: &'a dyn ProfileSource,
        tenant: &'a TenantId,
        symboliser: Option<&'a Symboliser>,
        is_immutable: bool,
    ) -> Self {
        Self { source, tenant, symboliser, is_immutable, native: OnceLock::new() }
    }

    /// Build ids of a partition's locations without lines.
    fn native(&self, part: u32) -> &[BuildId] {
        let ids = |info: PartitionInfo| {
            let ids: Vec<BuildId> = info.native_build_ids.iter().filter_map(|id| BuildId::of_mapping(id)).collect();
            (!ids.is_empty()).then_some((info.part, ids))
        };
        let native = self.native.get_or_init(|| self.source.partitions().into_iter().filter_map(ids).collect());
        native.get(&part).map_or(&[], Vec::as_slice)
    }

    async fn overlay(
        &self,
        symboliser: &Symboliser,
        part: u32,
        mut ids: Vec<BuildId>,
    ) -> Result<Arc<dyn SymbolSource>, SourceError> {
        ids.sort_unstable();
        ids.dedup();
        let key = (self.tenant.clone(), self.source.name(), part, ids);
        if self.is_immutable
            && let Some(overlay) = symboliser.overlay(&key)
        {
            return Ok(overlay);
        }
        let base = self.source.symbols(part, SymbolDetail::Locations).await?;
        let overlay = Arc::new(name_all(symboliser, self.tenant, base, &key.3).await?);
        if self.is_immutable {
            symboliser.keep_overlay(key, Arc::clone(&overlay));
        }
        Ok(overlay)
    }
}

async fn name_all(
    symboliser: &Symboliser,
    tenant: &TenantId,
    base: Arc<dyn SymbolSource>,
    ids: &[BuildId],
) -> Result<Overlay, SourceError> {
    let (mut builder, unnamed) = OverlayBuilder::new(base);
    let mut by_id: BTreeMap<BuildId, Vec<Unnamed>> = BTreeMap::new();
    for at in unnamed {
        let id = BuildId::of_mapping(builder.base().mapping(at.mapping).build_id);
        if let Some(id) = id.filter(|id| ids.contains(id)) {
            by_id.entry(id).or_default().push(at);
        }
    }
    for (id, locations) in by_id {
        let Some(opened) = symboliser.table(tenant, &id).await? else { continue };
        let address = |at: &Unnamed| {
            let in_file = opened.layout.address_in_file(at.address, &builder.base().mapping(at.mapping));
            // What lies outside of the file is in no interval.
            in_file.unwrap_or(u64::MAX)
        };
        let addresses: Vec<u64> = locations.iter().map(address).collect();
        let mut each = |at: usize, frame: FrameView<'_>| builder.frame(locations[at], frame);
        symboliser.frames(tenant, &id, &opened, &addresses, &mut each).await?;
        for (at, in_file) in locations.iter().zip(addresses) {
            if !builder.has(*at) {
                let address = if in_file == u64::MAX { at.address } else { in_file };
                let file = builder.base().mapping(at.mapping).filename;
                let name = format!("{}!0x{address:x}", file.rsplit('/').next().unwrap_or(file));
                builder.frame(*at, FrameView { function: &name, system_name: &name, filename: "", line: 0 });
            }
        }
    }
    Ok(builder.build().await)
}

#[async_trait]
impl ProfileSource for Symbolised<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn partitions(&self) -> Vec<PartitionInfo> {
        self.source.partitions()
    }

    async fn series(&self, part: u32) -> Result<Arc<[SeriesEntry]>, SourceError> {
        self.source.series(part).await
    }

    async fn profiles(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(u32, &'r [ProfileRow]) + Send),
    ) -> Result<(), SourceError> {
        self.source.profiles(part, series, from, to, sink).await
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
        self.source.samples(part, series, from, to, columns, sink).await
    }

    async fn summed(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        self.source.summed(part, series, from, to, sink).await
    }

    async fn symbols(&self, part: u32, detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, SourceError> {
        if let Some(symboliser) = self.symboliser
            && !self.native(part).is_empty()
        {
            let known = symboliser.known(self.tenant).await?;
            let (ids, missing): (Vec<&BuildId>, Vec<&BuildId>) =
                self.native(part).iter().partition(|id| known.contains(*id));
            missing.into_iter().for_each(|id| symboliser.wish(self.tenant, id));
            if !ids.is_empty() {
                return self.overlay(symboliser, part, ids.into_iter().cloned().collect()).await;
            }
        }
        self.source.symbols(part, detail).await
    }

    async fn functions(
        &self,
        part: u32,
        sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send),
    ) -> Result<(), SourceError> {
        if self.symboliser.is_none() || self.native(part).is_empty() {
            return self.source.functions(part, sink).await;
        }
        let symbols = self.symbols(part, SymbolDetail::Locations).await?;
        each_function(&*symbols, sink).await;
        Ok(())
    }
}
