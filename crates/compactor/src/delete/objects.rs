//! The objects of a delete, as stored and as told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flamelake_block::meta::{LogRange, Ulid, check_checksum, with_checksum};
use flamelake_model::{StatusError, TenantId, TimestampMs};
use flamelake_object_storage::{Bucket, StorageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{DeleteError, DeleteRequest, Doomed};

/// The format that this code writes and reads.
const FORMAT: u32 = 1;
/// Names of files that tell what a rewrite left out.
const REMOVED: &str = "removed-";

/// An object with a fixed name.
pub(super) trait Stored: Serialize + DeserializeOwned {
    const NAME: &'static str;
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    format: u32,
    pub(super) id: Ulid,
    pub(super) at_ms: i64,
    selector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile_type: Option<String>,
    start_ms: i64,
    end_ms: i64,
}

/// Rows at or below it were there when the delete began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    pub(super) format: u32,
    pub(super) at_ms: i64,
    pub(super) version: u64,
    pub(super) logs: BTreeMap<String, u64>,
}

/// No live block holds a match any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rewritten {
    pub(super) format: u32,
    pub(super) at_ms: i64,
    pub(super) version: u64,
    pub(super) waiting: BTreeSet<Ulid>,
}

/// What the rewrite of one block left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Removed {
    pub(super) format: u32,
    pub(super) block: Ulid,
    pub(super) profiles: u64,
    pub(super) samples: u64,
    pub(super) bytes: u64,
}

/// The evidence that it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    #[serde(default)]
    pub(super) format: u32,
    /// Of which delete.
    pub id: Ulid,
    /// When it was accepted, Unix milliseconds.
    pub requested_at_ms: i64,
    /// From when on no query showed a match.
    pub rewritten_at_ms: i64,
    /// When no stored byte was left.
    pub done_at_ms: i64,
    /// Blocks that held a match.
    pub blocks: u64,
    /// Profiles removed.
    pub profiles: u64,
    /// Samples removed.
    pub samples: u64,
    /// Bytes that these blocks shrank by.
    pub bytes: u64,
}

/// How far a delete has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteState {
    /// Waits for the ingesters.
    Accepted,
    /// Blocks are rewritten.
    Rewriting,
    /// No query shows a match; files and logs from before are not all gone.
    Purging,
    /// No stored byte is left.
    Done,
}

/// What is told of a delete.
#[derive(Clone, Debug, Serialize)]
pub struct DeleteStatus {
    /// Its name.
    pub id: Ulid,
    /// How far it has come.
    pub state: DeleteState,
    /// As asked for.
    pub selector: String,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_type: Option<String>,
    /// First millisecond, if the range has a beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// Last millisecond, if the range has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// When it was accepted, Unix milliseconds.
    pub requested_at_ms: i64,
    /// Rows pushed from then on are not touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fenced_at_ms: Option<i64>,
    /// No query has shown a match since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten_at_ms: Option<i64>,
    /// Once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

impl Stored for Request {
    const NAME: &'static str = "request.json";
}

impl Stored for Fence {
    const NAME: &'static str = "fence.json";
}

impl Stored for Rewritten {
    const NAME: &'static str = "rewritten.json";
}

impl Stored for Receipt {
    const NAME: &'static str = "receipt.json";
}

impl Request {
    pub(super) fn new(id: Ulid, at_ms: i64, request: &DeleteRequest) -> Self {
        let range = request.doomed.range;
        let (selector, profile_type) = (request.selector.clone(), request.profile_type.clone());
        Self { format: FORMAT, id, at_ms, selector, profile_type, start_ms: range.start().0, end_ms: range.end().0 }
    }

    /// Which rows.
    pub(super) fn doomed(&self) -> Result<Doomed, StatusError> {
        let (start, end) = (Some(TimestampMs(self.start_ms)), Some(TimestampMs(self.end_ms)));
        Ok(DeleteRequest::parse(&self.selector, self.profile_type.as_deref(), start, end)?.doomed)
    }
}

impl Fence {
    pub(super) fn new(at_ms: i64, version: u64, logs: BTreeMap<String, u64>) -> Self {
        Self { format: FORMAT, at_ms, version, logs }
    }

    /// Does a block of these ranges hold rows from before? One that names no log may.
    pub(super) fn holds(&self, ranges: &[LogRange]) -> bool {
        // An old program may have merged across the fence: then all of it counts as before, because everything from before must go.
        let starts_before = |range: &LogRange| self.logs.get(&range.log).is_some_and(|through| range.from < *through);
        ranges.is_empty() || ranges.iter().any(starts_before)
    }
}

impl Rewritten {
    pub(super) fn new(at_ms: i64, version: u64, waiting: BTreeSet<Ulid>) -> Self {
        Self { format: FORMAT, at_ms, version, waiting }
    }
}

impl Removed {
    pub(super) fn new(block: Ulid, profiles: u64, samples: u64, bytes: u64) -> Self {
        Self { format: FORMAT, block, profiles, samples, bytes }
    }
}

impl Receipt {
    pub(super) fn new(request: &Request, rewritten: &Rewritten, done_at_ms: i64, removed: &[Removed]) -> Self {
        let sum = |of: fn(&Removed) -> u64| removed.iter().map(of).fold(0, u64::saturating_add);
        Self {
            format: FORMAT,
            id: request.id,
            requested_at_ms: request.at_ms,
            rewritten_at_ms: rewritten.at_ms,
            done_at_ms,
            blocks: removed.len() as u64,
            profiles: sum(|removed| removed.profiles),
            samples: sum(|removed| removed.samples),
            bytes: sum(|removed| removed.bytes),
        }
    }
}

/// Where one delete's objects lie.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    bucket: Bucket,
    prefix: String,
    pub(super) id: Ulid,
}

fn all(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/deletes/")
}

impl Folder {
    pub(super) fn new(bucket: &Bucket, tenant: &TenantId, id: Ulid) -> Self {
        Self { bucket: bucket.clone(), prefix: format!("{}{id}/", all(tenant)), id }
    }

    /// All deletes of a tenant that have a request, with the names of their objects.
    pub(super) async fn list(
        bucket: &Bucket,
        tenant: &TenantId,
    ) -> Result<BTreeMap<Ulid, BTreeSet<String>>, DeleteError> {
        let prefix = all(tenant);
        let entries = bucket.list(&prefix).await;
        let entries = entries.map_err(|source| DeleteError::Storage { key: prefix.clone(), source })?;
        let mut found: BTreeMap<Ulid, BTreeSet<String>> = BTreeMap::new();
        for entry in entries {
            let rest = entry.key.strip_prefix(&prefix).unwrap_or_default();
            if let Some((id, name)) = rest.split_once('/')
                && let Ok(id) = Ulid::from_string(id)
            {
                found.entry(id).or_default().insert(name.to_owned());
            }
        }
        found.retain(|_, files| files.contains(Request::NAME));
        Ok(found)
    }

    pub(super) async fn request(&self) -> Result<Option<Request>, DeleteError> {
        self.get().await
    }

    pub(super) async fn fence(&self) -> Result<Option<Fence>, DeleteError> {
        self.get().await
    }

    pub(super) async fn rewritten(&self) -> Result<Option<Rewritten>, DeleteError> {
        self.get().await
    }

    /// Puts an object unless it is there; what counts is what [`Self::get`] finds then.
    pub(super) async fn put_new<T: Stored>(&self, object: &T) -> Result<(), DeleteError> {
        let key = format!("{}{}", self.prefix, T::NAME);
        let put = self.bucket.put_if_absent(&key, encode(object)).await;
        put.map_err(|source| DeleteError::Storage { key, source })?;
        Ok(())
    }

    /// Puts an object, and reads the one that was first.
    pub(super) async fn put_first<T: Stored>(&self, object: &T) -> Result<T, DeleteError> {
        self.put_new(object).await?;
        self.get().await?.ok_or_else(|| self.damaged(T::NAME, "it is gone"))
    }

    async fn get<T: Stored>(&self) -> Result<Option<T>, DeleteError> {
        self.read(T::NAME).await
    }

    async fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DeleteError> {
        let key = format!("{}{name}", self.prefix);
        match self.bucket.get(&key).await {
            Ok(bytes) => decode(&bytes).map(Some).map_err(|reason| DeleteError::Damaged { key, reason }),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(source) => Err(DeleteError::Storage { key, source }),
        }
    }

    pub(super) async fn put_removed(&self, removed: &Removed) -> Result<(), DeleteError> {
        let key = format!("{}{REMOVED}{}.json", self.prefix, removed.block);
        let put = self.bucket.put(&key, encode(removed)).await;
        put.map_err(|source| DeleteError::Storage { key, source })
    }

    /// The rewrite was not committed.
    pub(super) async fn take_back(&self, block: Ulid) -> Result<(), DeleteError> {
        let key = format!("{}{REMOVED}{block}.json", self.prefix);
        self.bucket.delete(&key).await.map_err(|source| DeleteError::Storage { key, source })
    }

    pub(super) async fn removed(&self) -> Result<Vec<Removed>, DeleteError> {
        let prefix = format!("{}{REMOVED}", self.prefix);
        // By folder: a store may list by whole path segments only.
        let entries = self.bucket.list(&self.prefix).await;
        let entries = entries.map_err(|source| DeleteError::Storage { key: prefix.clone(), source })?;
        let mut all = Vec::new();
        for entry in entries.iter().filter(|entry| entry.key.starts_with(&prefix)) {
            all.extend(self.read::<Removed>(&entry.key[self.prefix.len()..]).await?);
        }
        Ok(all)
    }

    pub(super) async fn status(&self) -> Result<Option<DeleteStatus>, DeleteError> {
        let Some(request) = self.request().await? else { return Ok(None) };
        let (fence, rewritten) = (self.fence().await?, self.rewritten().await?);
        let receipt = self.get::<Receipt>().await?;
        let state = match (&receipt, &rewritten, &fence) {
            (Some(_), _, _) => DeleteState::Done,
            (None, Some(_), _) => DeleteState::Purging,
            (None, None, Some(_)) => DeleteState::Rewriting,
            (None, None, None) => DeleteState::Accepted,
        };
        Ok(Some(DeleteStatus {
            id: request.id,
            state,
            selector: request.selector,
            profile_type: request.profile_type,
            start: Some(request.start_ms).filter(|start| *start != i64::MIN),
            end: Some(request.end_ms).filter(|end| *end != i64::MAX),
            requested_at_ms: request.at_ms,
            fenced_at_ms: fence.map(|fence| fence.at_ms),
            rewritten_at_ms: rewritten.map(|rewritten| rewritten.at_ms),
            receipt,
        }))
    }

    pub(super) fn damaged(&self, name: &str, reason: &str) -> DeleteError {
        DeleteError::Damaged { key: format!("{}{name}", self.prefix), reason: reason.to_owned() }
    }
}

fn encode(object: &impl Serialize) -> Bytes {
    with_checksum(&serde_json::to_vec(object).expect("strings and numbers only")).into()
}

/// For any bytes, an error at worst.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    if check_checksum(bytes) != Some(true) {
        return Err("its checksum differs".to_owned());
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!("format is {format}, this binary reads {FORMAT}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
