//! The fence: up to where in each log a delete reaches.

use std::collections::BTreeMap;

use flamelake_catalog::CatalogState;
use flamelake_model::TenantId;
use futures::future::join_all;

use super::DeleteError;
use super::objects::{Fence, Folder};
use crate::Compactor;

impl Compactor {
    /// The fence of a delete; sets it if there is none, which needs all ingesters.
    pub(super) async fn fence(&self, tenant: &TenantId, folder: &Folder) -> Result<Fence, DeleteError> {
        if let Some(fence) = folder.fence().await? {
            return Ok(fence);
        }
        let members = self.deps.ingesters.all().members;
        let flushed = join_all(members.iter().map(|member| member.api.flush(Some(tenant.clone())))).await;
        for (member, flushed) in members.iter().zip(flushed) {
            flushed.map_err(|error| DeleteError::Ingester { name: member.name.clone(), error })?;
        }
        let state = self.deps.catalog.load(tenant).await?;
        folder.put_first(&Fence::new(self.now_ms(), state.version, logs(&state))).await
    }
}

/// Watermarks, and logs that only blocks remember.
fn logs(state: &CatalogState) -> BTreeMap<String, u64> {
    let mut logs = state.covered.clone();
    for range in state.blocks.values().flat_map(|meta| &meta.log_ranges) {
        let through = logs.entry(range.log.clone()).or_default();
        *through = range.to.max(*through);
    }
    logs
}
