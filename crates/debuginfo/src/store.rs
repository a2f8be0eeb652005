//! Objects of debug information in the bucket: names and what is in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::{Bucket, StorageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::address::Layout;
use crate::build_id::BuildId;
use crate::error::damaged;

/// Requests in flight for one call.
const REQUESTS_MAX: usize = 8;

/// Metadata as the uploader gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FileMetadata {
    pub(crate) go_build_id: String,
    pub(crate) otel_file_id: String,
    pub(crate) name: String,
    /// Number of `FileMetadata.Type`.
    pub(crate) kind: i32,
}

/// `upload.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingUpload {
    pub(crate) file: FileMetadata,
    pub(crate) started_at_ms: i64,
}

/// `object.json`: the table is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredTable {
    pub(crate) file: FileMetadata,
    pub(crate) started_at_ms: i64,
    pub(crate) finished_at_ms: i64,
    /// Of the binary.
    pub(crate) file_bytes: u64,
    pub(crate) rows: u64,
    /// Of the table, eight hex digits.
    pub(crate) crc32c: String,
    #[serde(flatten)]
    pub(crate) layout: Layout,
}

/// What lies below one build id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) has_table: bool,
    pub(crate) has_upload: bool,
    /// Bytes by offset.
    pub(crate) parts: BTreeMap<u64, u64>,
}

impl Listed {
    /// Bytes from the start without a gap.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().fold(0, |at, (offset, bytes)| if *offset == at { at + bytes } else { at })
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    bucket: Bucket,
}

impl Store {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// All build ids of a tenant.
    pub(crate) async fn list(&self, tenant: &TenantId) -> Result<BTreeMap<BuildId, Listed>, StatusError> {
        self.list_below(&folder(tenant)).await
    }

    /// One build id.
    pub(crate) async fn listed(&self, tenant: &TenantId, id: &BuildId) -> Result<Listed, StatusError> {
        let found = self.list_below(&format!("{}{id}/", folder(tenant))).await?;
        Ok(found.into_values().next().unwrap_or_default())
    }

    async fn list_below(&self, prefix: &str) -> Result<BTreeMap<BuildId, Listed>, StatusError> {
        let mut out: BTreeMap<BuildId, Listed> = BTreeMap::new();
        for entry in self.bucket.list(prefix).await.map_err(status)? {
            let Some((_, rest)) = entry.key.split_once("/debuginfo/") else { continue };
            let Some((id, name)) = rest.split_once('/') else { continue };
            let Some(id) = BuildId::parse(id) else { continue };
            let listed = out.entry(id).or_default();
            match name {
                TABLE => listed.has_table = true,
                UPLOAD => listed.has_upload = true,
                name => {
                    let offset = name.strip_prefix(PARTS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
                    listed.parts.extend(offset.map(|offset| (offset, entry.bytes)));
                }
            }
        }
        Ok(out)
    }

    pub(crate) async fn upload(&self, tenant: &TenantId, id: &BuildId) -> Result<Option<PendingUpload>, StatusError> {
        self.json(&key(tenant, id, UPLOAD)).await
    }

    pub(crate) async fn table(&self, tenant: &TenantId, id: &BuildId) -> Result<Option<StoredTable>, StatusError> {
        self.json(&key(tenant, id, TABLE)).await
    }

    /// The table's bytes, checked. `None`: it was deleted.
    pub(crate) async fn table_bytes(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        crc32c: &str,
    ) -> Result<Option<Bytes>, StatusError> {
        let key = key(tenant, id, SYMBOLS);
        let Some(bytes) = self.get(&key).await? else { return Ok(None) };
        let found = format!("{:08x}", crc32c::crc32c(&bytes));
        if found != crc32c {
            return Err(damaged(&key, format!("its checksum is {found}, not {crc32c}")));
        }
        Ok(Some(bytes))
    }

    pub(crate) async fn begin(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        upload: &PendingUpload,
    ) -> Result<(), StatusError> {
        self.put(&key(tenant, id, UPLOAD), json(upload).into()).await
    }

    pub(crate) async fn put_part(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), StatusError> {
        self.put(&part_key(tenant, id, offset), bytes).await
    }

    /// The uploaded file: parts from the start without a gap.
    pub(crate) async fn file(&self, tenant: &TenantId, id: &BuildId, listed: &Listed) -> Result<Vec<u8>, StatusError> {
        let mut file = Vec::with_capacity(usize::try_from(listed.bytes()).unwrap_or(0));
        let offsets: Vec<u64> = listed.parts.keys().copied().collect();
        for offsets in offsets.chunks(REQUESTS_MAX) {
            let keys: Vec<String> = offsets.iter().map(|offset| part_key(tenant, id, *offset)).collect();
            let read = futures::future::try_join_all(keys.iter().map(|key| self.bucket.get(key)));
            for (offset, bytes) in offsets.iter().zip(read.await.map_err(status)?) {
                if *offset == file.len() as u64 {
                    file.extend_from_slice(&bytes);
                }
            }
        }
        Ok(file)
    }

    /// The table first, then what says that it is there.
    pub(crate) async fn finish(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        table: &StoredTable,
        bytes: Bytes,
    ) -> Result<(), StatusError> {
        self.put(&key(tenant, id, SYMBOLS), bytes).await?;
        self.put(&key(tenant, id, TABLE), json(table).into()).await
    }

    pub(crate) async fn drop_parts(&self, tenant: &TenantId, id: &BuildId, listed: &Listed) -> Result<(), StatusError> {
        let keys: Vec<String> = listed.parts.keys().map(|offset| part_key(tenant, id, *offset)).collect();
        self.bucket.delete_all(&keys).await.map_err(status)?;
        Ok(())
    }

    /// After [`finish`](Self::finish): the binary is not kept.
    pub(crate) async fn drop_upload(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        listed: &Listed,
    ) -> Result<(), StatusError> {
        self.drop_parts(tenant, id, listed).await?;
        self.bucket.delete_all(&[key(tenant, id, UPLOAD)]).await.map_err(status)?;
        Ok(())
    }

    /// What says that the table is there first, then the rest.
    pub(crate) async fn delete(&self, tenant: &TenantId, id: &BuildId) -> Result<(), StatusError> {
        let listed = self.listed(tenant, id).await?;
        self.bucket.delete_all(&[key(tenant, id, TABLE)]).await.map_err(status)?;
        self.bucket.delete_all(&[key(tenant, id, SYMBOLS)]).await.map_err(status)?;
        self.drop_upload(tenant, id, &listed).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StatusError> {
        self.bucket.put(key, bytes).await.map_err(status)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StatusError> {
        match self.bucket.get(key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(status(error)),
        }
    }

    async fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StatusError> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(key, error))
    }
}

const TABLE: &str = "object.json";
const UPLOAD: &str = "upload.json";
const SYMBOLS: &str = "symbols.parquet";
const PARTS: &str = "parts/";

fn folder(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/debuginfo/")
}

fn key(tenant: &TenantId, id: &BuildId, name: &str) -> String {
    format!("{}{id}/{name}", folder(tenant))
}

fn part_key(tenant: &TenantId, id: &BuildId, offset: u64) -> String {
    key(tenant, id, &format!("{PARTS}{offset:016x}"))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and lists always serialise")
}

fn status(error: StorageError) -> StatusError {
    StatusError::from_coded(&error)
}
