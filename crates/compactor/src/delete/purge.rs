//! After the rewrite: waits until files and logs that held what was deleted are gone, then writes the receipt.

use flamelake_model::TenantId;
use futures::future::join_all;
use tracing::info;

use super::DeleteError;
use super::objects::{Folder, Receipt, Request, Rewritten};
use crate::Compactor;

impl Compactor {
    /// True once the receipt is there; `false` while files wait for their time to be deleted.
    pub(super) async fn purge(
        &self,
        tenant: &TenantId,
        folder: &Folder,
        request: &Request,
        rewritten: &Rewritten,
    ) -> Result<bool, DeleteError> {
        let state = self.deps.catalog.load(tenant).await?;
        let rewritten_ms = u64::try_from(rewritten.at_ms).unwrap_or(0);
        let not_live = self.not_live(tenant, &state).await?;
        // Blocks removed since held no match; uploads that came to nothing may hold one, if they began before.
        let is_in_the_way = |block: &_| {
            let block: &flamelake_block::meta::Ulid = block;
            rewritten.waiting.contains(block)
                || (!state.removed.contains_key(block) && block.timestamp_ms() <= rewritten_ms)
        };
        if not_live.iter().any(is_in_the_way) {
            return Ok(false);
        }
        let members = self.deps.ingesters.all().members;
        let purged = join_all(members.iter().map(|member| member.api.purge_log())).await;
        for (member, purged) in members.iter().zip(purged) {
            purged.map_err(|error| DeleteError::Ingester { name: member.name.clone(), error })?;
        }
        let removed = folder.removed().await?;
        let receipt = folder.put_first(&Receipt::new(request, rewritten, self.now_ms(), &removed)).await?;
        self.metrics.deletes_total.with_label_values(&["done"]).inc();
        info!(%tenant, delete = %folder.id, profiles = receipt.profiles, samples = receipt.samples, bytes = receipt.bytes, "delete done");
        Ok(true)
    }
}
