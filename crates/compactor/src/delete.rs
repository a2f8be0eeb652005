//! Deletes by selector: asked for once, durable, done when no stored byte is left (docs/formats/delete.md).
//!
//! Invariant: what a delete has come to is told by the objects in its folder alone. Each step is put-if-absent or a catalog commit, so that any process may
//! take it at any time, twice too.

mod http;
mod objects;
mod fence;
mod rewrite;
mod purge;

use std::collections::BTreeSet;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, Ulid};
use flamelake_catalog::CatalogState;
use flamelake_model::selector::Selector;
use flamelake_model::{
    Coded, ErrorCode, Labels, ProfileType, StatusError, TenantId, TimeRange, TimestampMs, label_name,
};
use flamelake_object_storage::StorageError;
use tracing::{info, warn};

pub use self::http::delete_routes;
pub use self::objects::{DeleteState, DeleteStatus, Receipt};
use self::objects::{Fence, Folder, Request};
use crate::Compactor;
use crate::error::MergeError;

/// Longest selector, in bytes.
const SELECTOR_BYTES_MAX: usize = 16 << 10;

/// Which rows shall go, checked.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    selector: String,
    profile_type: Option<String>,
    doomed: Doomed,
}

/// Tells whether a row goes.
#[derive(Clone, Debug)]
pub(crate) struct Doomed {
    selector: Selector,
    profile_type: Option<String>,
    pub(crate) range: TimeRange,
}

impl DeleteRequest {
    /// `{}` means everything; a range without an end is open there.
    pub fn parse(
        selector: &str,
        profile_type: Option<&str>,
        start: Option<TimestampMs>,
        end: Option<TimestampMs>,
    ) -> Result<Self, StatusError> {
        if selector.len() > SELECTOR_BYTES_MAX {
            return Err(StatusError::invalid_argument(format!("selector has more than {SELECTOR_BYTES_MAX} bytes")));
        }
        if selector.trim().is_empty() {
            return Err(StatusError::invalid_argument("selector is empty: write {} to delete everything"));
        }
        if let Some(profile_type) = profile_type {
            ProfileType::parse(profile_type).map_err(|error| StatusError::invalid_argument(error.to_string()))?;
        }
        let (start, end) = (start.unwrap_or(TimestampMs(i64::MIN)), end.unwrap_or(TimestampMs(i64::MAX)));
        let range = TimeRange::new(start, end)
            .map_err(|_| StatusError::invalid_argument(format!("start {start} lies after end {end}")))?;
        let profile_type = profile_type.map(str::to_owned);
        let doomed = Doomed { selector: Selector::parse(selector)?, profile_type: profile_type.clone(), range };
        Ok(Self { selector: selector.to_owned(), profile_type, doomed })
    }
}

impl Doomed {
    /// Rows of this series go, if they lie in the range.
    pub(crate) fn takes_series(&self, labels: &Labels) -> bool {
        let is_type = |wanted: &str| labels.get(label_name::PROFILE_TYPE) == Some(wanted);
        self.profile_type.as_deref().is_none_or(is_type) && self.selector.matches(labels)
    }
}

/// Why a step was not done; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// An object of a delete cannot be read or written.
    #[error("{key}")]
    Storage {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// An object of a delete is not what was written.
    #[error("{key} is damaged: {reason}")]
    Damaged {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// An ingester could not do its part.
    #[error("ingester {name}: {error}")]
    Ingester {
        /// Its name in the ring.
        name: String,
        /// Why.
        error: StatusError,
    },
    /// A block cannot be rewritten.
    #[error("rewrite")]
    Rewrite(#[from] MergeError),
    /// The catalog cannot be read.
    #[error("catalog")]
    Catalog(#[from] flamelake_catalog::CatalogError),
    /// Too many of this tenant's deletes are not done.
    #[error("{max} deletes of this tenant are not done yet: wait for them, or raise compactor.deletes-pending-max")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// Other commits were always first.
    #[error("blocks were merged or removed under the rewrite too often")]
    Contention,
}

impl Coded for DeleteError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Storage { source, .. } => source.code(),
            Self::Damaged { .. } => ErrorCode::DataLoss,
            Self::Ingester { .. } | Self::Contention => ErrorCode::Unavailable,
            Self::Rewrite(_) => ErrorCode::Internal,
            Self::Catalog(error) => error.code(),
            Self::TooMany { .. } => ErrorCode::ResourceExhausted,
        }
    }
}

impl Compactor {
    /// Accepts a delete: when this returns without an error it is durable and will be done. Its fence is set too, if all ingesters answer.
    pub async fn create_delete(&self, tenant: &TenantId, request: &DeleteRequest) -> Result<DeleteStatus, DeleteError> {
        let max = self.config.deletes_pending_max;
        if self.pending_deletes(tenant).await?.len() >= max {
            return Err(DeleteError::TooMany { max });
        }
        let id = Ulid::from_parts(u64::try_from(self.now_ms()).unwrap_or(0), Ulid::new().random());
        let folder = Folder::new(&self.deps.bucket, tenant, id);
        folder.put_new(&Request::new(id, self.now_ms(), request)).await?;
        self.metrics.deletes_total.with_label_values(&["accepted"]).inc();
        info!(%tenant, delete = %id, selector = request.selector, "delete accepted");
        if let Err(error) = self.fence(tenant, &folder).await {
            warn!(%tenant, delete = %id, error = &error as &dyn std::error::Error, "the delete waits for the ingesters");
        }
        self.wanted_deletes.lock().insert(tenant.clone());
        self.deletes_wanted.notify_one();
        folder.status().await?.ok_or_else(|| folder.damaged("request.json", "it is gone"))
    }

    /// What a delete has come to; `None` if there is none with this id.
    pub async fn show_delete(&self, tenant: &TenantId, id: Ulid) -> Result<Option<DeleteStatus>, DeleteError> {
        Folder::new(&self.deps.bucket, tenant, id).status().await
    }

    /// The newest `count` deletes, newest first.
    pub async fn list_deletes(&self, tenant: &TenantId, count: usize) -> Result<Vec<DeleteStatus>, DeleteError> {
        let mut out = Vec::new();
        for id in Folder::list(&self.deps.bucket, tenant).await?.keys().rev().take(count) {
            out.extend(Folder::new(&self.deps.bucket, tenant, *id).status().await?);
        }
        Ok(out)
    }

    /// Takes every pending delete of a tenant as far as it goes now; tells how many are still pending.
    pub async fn work_on_deletes(&self, tenant: &TenantId) -> Result<usize, DeleteError> {
        let (mut pending, mut failed) = (0, None);
        for id in self.pending_deletes(tenant).await? {
            match self.work_on_delete(tenant, id).await {
                Ok(true) => {}
                Ok(false) => pending += 1,
                Err(error) => {
                    pending += 1;
                    warn!(%tenant, delete = %id, error = &error as &dyn std::error::Error, "a delete could not go on; it is tried again later");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(pending), Err)
    }

    /// True when it is done.
    async fn work_on_delete(&self, tenant: &TenantId, id: Ulid) -> Result<bool, DeleteError> {
        let folder = Folder::new(&self.deps.bucket, tenant, id);
        let Some(request) = folder.request().await? else { return Ok(false) };
        let doomed = request.doomed().map_err(|error| folder.damaged("request.json", &error.message))?;
        let fence = self.fence(tenant, &folder).await?;
        let rewritten = match folder.rewritten().await? {
            Some(rewritten) => rewritten,
            None => self.rewrite_blocks(tenant, &folder, &fence, &doomed).await?,
        };
        self.purge(tenant, &folder, &request, &rewritten).await
    }

    async fn pending_deletes(&self, tenant: &TenantId) -> Result<Vec<Ulid>, DeleteError> {
        let all = Folder::list(&self.deps.bucket, tenant).await?;
        Ok(all.into_iter().filter(|(_, files)| !files.contains("receipt.json")).map(|(id, _)| id).collect())
    }

    /// Blocks that must not be merged because of deletes, asked for after `state` was loaded; `None`: nothing of the tenant may be.
    pub(crate) async fn blocks_kept_apart(
        &self,
        tenant: &TenantId,
        state: &CatalogState,
    ) -> Result<Option<BTreeSet<Ulid>>, DeleteError> {
        let mut apart = BTreeSet::new();
        for (id, files) in Folder::list(&self.deps.bucket, tenant).await? {
            if files.contains("rewritten.json") || files.contains("receipt.json") {
                continue;
            }
            let Some(fence) = Folder::new(&self.deps.bucket, tenant, id).fence().await? else { return Ok(None) };
            apart.extend(below(state, &fence).map(|meta| meta.ulid));
        }
        Ok(Some(apart))
    }

    /// One round over the tenants that were asked for here, and at times over all that this process owns.
    pub(crate) async fn delete_round(&self, all: bool) {
        let mut tenants = std::mem::take(&mut *self.wanted_deletes.lock());
        if all {
            match self.deps.catalog.tenants().await {
                Ok(known) => tenants.extend(known.into_iter().filter(|tenant| self.deps.ownership.owns(tenant))),
                Err(error) => {
                    self.metrics.delete_failures_total.inc();
                    warn!(error = &error as &dyn std::error::Error, "tenants cannot be listed; deletes go on later");
                }
            }
        }
        let mut pending = 0;
        for tenant in &tenants {
            match self.work_on_deletes(tenant).await {
                Ok(left) => pending += left,
                // Each delete that failed is logged.
                Err(_) => {
                    pending += 1;
                    self.metrics.delete_failures_total.inc();
                }
            }
        }
        if all {
            self.metrics.deletes_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.deps.clock.unix_nanos() / 1_000_000
    }
}

/// Live blocks that hold rows from before the fence.
fn below<'a>(state: &'a CatalogState, fence: &'a Fence) -> impl Iterator<Item = &'a Arc<BlockMeta>> {
    state.blocks.values().filter(|meta| fence.holds(&meta.log_ranges))
}

#[cfg(test)]
mod tests;
