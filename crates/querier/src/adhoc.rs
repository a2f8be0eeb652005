//! Files that people upload to look at (`adhocprofiles.v1.AdHocProfileService`; `docs/formats/adhoc.md`).

mod flamebearer;
mod store;
#[cfg(test)]
mod tests;
mod trees;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flamelake_api::adhocprofiles::v1;
use flamelake_config::LimitsSource;
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_rpc::{Idempotent, RpcRouter};
use flamelake_runtime::clock::SharedClock;

use self::store::{Kept, Store};
use self::trees::Typed;
use crate::check::nodes::MaxNodes;
use crate::http::flamebearer::Document;
use crate::limits::QueryLimits;
use crate::render;

/// A file, uncompressed or not.
const FILE_BYTES_MAX: usize = 64 << 20;
/// An upload: base64, JSON and a name.
const MESSAGE_BYTES_MAX: usize = FILE_BYTES_MAX / 3 * 4 + (1 << 20);

/// A profile of a file, with its name (label `__name__`).
#[derive(Clone, Debug)]
pub struct AdHocPprof {
    /// e.g. `process_cpu`.
    pub name: String,
    /// The message, gzip or not.
    pub pprof: Bytes,
}

/// Makes pprof messages of a file of any format; the error is told to the user.
pub type AdHocFormats = dyn Fn(&Bytes) -> Result<Vec<AdHocPprof>, String> + Send + Sync;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct AdHocProfiles {
    store: Store,
    limits: Arc<dyn LimitsSource>,
    formats: Arc<AdHocFormats>,
}

impl fmt::Debug for AdHocProfiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdHocProfiles").field("store", &self.store).finish_non_exhaustive()
    }
}

impl AdHocProfiles {
    /// Files in this bucket.
    pub fn new(bucket: Bucket, clock: SharedClock, limits: Arc<dyn LimitsSource>, formats: Arc<AdHocFormats>) -> Self {
        Self { store: Store::new(bucket, clock), limits, formats }
    }

    /// The methods on the public port.
    pub fn rpc(&self) -> RpcRouter {
        const WHAT: &str = "ad hoc profiles";
        const UPLOAD: &str = "/adhocprofiles.v1.AdHocProfileService/Upload";
        let (upload, get, list, diff) = (self.clone(), self.clone(), self.clone(), self.clone());
        RpcRouter::new()
            .unary(UPLOAD, Idempotent::No, move |context, request| {
                let profiles = upload.clone();
                async move { profiles.upload(context.tenants.exactly_one(WHAT)?, request).await }
            })
            .body_limit(UPLOAD, MESSAGE_BYTES_MAX)
            .unary("/adhocprofiles.v1.AdHocProfileService/Get", Idempotent::Yes, move |context, request| {
                let profiles = get.clone();
                async move { profiles.get(context.tenants.exactly_one(WHAT)?, request).await }
            })
            .unary(
                "/adhocprofiles.v1.AdHocProfileService/List",
                Idempotent::Yes,
                move |context, _: v1::AdHocProfilesListRequest| {
                    let profiles = list.clone();
                    async move { profiles.list(context.tenants.exactly_one(WHAT)?).await }
                },
            )
            .unary("/adhocprofiles.v1.AdHocProfileService/Diff", Idempotent::Yes, move |context, request| {
                let profiles = diff.clone();
                async move { profiles.diff(context.tenants.exactly_one(WHAT)?, request).await }
            })
    }

    async fn upload(
        &self,
        tenant: &TenantId,
        request: v1::AdHocProfilesUploadRequest,
    ) -> Result<v1::AdHocProfilesGetResponse, StatusError> {
        let nodes = self.nodes(tenant, request.max_nodes)?;
        let text = request.profile.trim();
        let file = STANDARD.decode(text).map_err(|error| {
            StatusError::invalid_argument(format!("the profile is not base64 (RFC 4648, padded): {error}"))
        })?;
        if file.len() > FILE_BYTES_MAX {
            let why = format!("the file has {} bytes; {FILE_BYTES_MAX} are allowed", file.len());
            return Err(StatusError::invalid_argument(why));
        }
        let file = Bytes::from(file);
        let types = self.read(file.clone()).await?;
        let kept = self.store.add(tenant, &request.name, file).await?;
        answer(kept, types, None, nodes).await
    }

    async fn get(
        &self,
        tenant: &TenantId,
        request: v1::AdHocProfilesGetRequest,
    ) -> Result<v1::AdHocProfilesGetResponse, StatusError> {
        let nodes = self.nodes(tenant, request.max_nodes)?;
        let (kept, file) = self.store.get(tenant, &request.id).await?;
        let types = self.read(file).await?;
        answer(kept, types, request.profile_type, nodes).await
    }

    async fn list(&self, tenant: &TenantId) -> Result<v1::AdHocProfilesListResponse, StatusError> {
        let profile = |Kept { id, name, uploaded_at_ms }| v1::AdHocProfilesProfileMetadata {
            id,
            name,
            uploaded_at: uploaded_at_ms,
        };
        let profiles = self.store.list(tenant).await?.into_iter().map(profile).collect();
        Ok(v1::AdHocProfilesListResponse { profiles })
    }

    async fn diff(
        &self,
        tenant: &TenantId,
        request: v1::AdHocProfilesDiffRequest,
    ) -> Result<v1::AdHocProfilesDiffResponse, StatusError> {
        let nodes = self.nodes(tenant, request.max_nodes)?;
        let (_, left) = self.store.get(tenant, &request.left_id).await?;
        let (_, right) = self.store.get(tenant, &request.right_id).await?;
        let (left, right) = (self.read(left).await?, self.read(right).await?);
        let work = move || {
            let shared: Vec<String> = left
                .iter()
                .map(|one| one.word.clone())
                .filter(|word| right.iter().any(|two| two.word == *word))
                .collect();
            if shared.is_empty() {
                return Err(StatusError::invalid_argument("the two files have no type of values in common"));
            }
            let wanted = request.profile_type.filter(|word| !word.is_empty());
            let of = |types: &[Typed]| {
                let word = wanted.as_ref().unwrap_or(&shared[0]);
                trees::chosen(types, Some(word)).cloned()
            };
            let (left, right) = (of(&left)?, of(&right)?);
            let graph = render::diff(&left.tree, &right.tree, nodes.0)?;
            let document = json(&Document::double(graph, &left.profile_type))?;
            Ok(v1::AdHocProfilesDiffResponse { profile_types: shared, flamebearer_profile: document })
        };
        off_thread(work).await
    }

    async fn read(&self, file: Bytes) -> Result<Vec<Typed>, StatusError> {
        let formats = Arc::clone(&self.formats);
        off_thread(move || match flamebearer::parse(&file)? {
            Some(typed) => Ok(vec![typed]),
            None => trees::of(formats(&file).map_err(StatusError::invalid_argument)?),
        })
        .await
    }

    fn nodes(&self, tenant: &TenantId, asked: Option<i64>) -> Result<MaxNodes, StatusError> {
        let limits = QueryLimits::of(&self.limits.for_tenant(tenant));
        MaxNodes::check(asked.unwrap_or_default(), &limits)
    }
}

async fn answer(
    kept: Kept,
    types: Vec<Typed>,
    wanted: Option<String>,
    nodes: MaxNodes,
) -> Result<v1::AdHocProfilesGetResponse, StatusError> {
    off_thread(move || {
        let chosen = trees::chosen(&types, wanted.as_deref().filter(|word| !word.is_empty()))?;
        let graph = render::flamegraph(&chosen.tree, nodes.0);
        Ok(v1::AdHocProfilesGetResponse {
            id: kept.id,
            name: kept.name,
            uploaded_at: kept.uploaded_at_ms,
            profile_type: chosen.word.clone(),
            profile_types: types.iter().map(|one| one.word.clone()).collect(),
            flamebearer_profile: json(&Document::still(graph, &chosen.profile_type))?,
        })
    })
    .await
}

fn json(document: &Document) -> Result<String, StatusError> {
    serde_json::to_string(document).map_err(|error| StatusError::internal(error.to_string()))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StatusError> + Send + 'static,
) -> Result<T, StatusError> {
    flamelake_runtime::spawn_blocking(work).await.map_err(|error| StatusError::internal(error.to_string()))?
}
