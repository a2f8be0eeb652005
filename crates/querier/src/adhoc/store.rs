//! Uploaded files in the bucket, one object each.

use bytes::Bytes;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::{Bucket, StorageError};
use flamelake_runtime::clock::SharedClock;

const NAME_BYTES_MAX: usize = 128;
/// Of one tenant.
const FILES_MAX: usize = 1000;
/// Characters of a ulid.
const ULID_CHARS: usize = 26;

/// A file's place and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) uploaded_at_ms: i64,
}

impl Kept {
    /// `None`: no id of ours.
    fn parse(id: &str) -> Option<Self> {
        let (ulid, name) = id.split_at_checked(ULID_CHARS)?;
        let uploaded_at_ms = i64::try_from(ulid::Ulid::from_string(ulid).ok()?.timestamp_ms()).ok()?;
        let name = String::from_utf8(hex::decode(name.strip_prefix('-')?).ok()?).ok()?;
        Some(Self { id: id.to_owned(), name, uploaded_at_ms })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Store {
    bucket: Bucket,
    clock: SharedClock,
}

impl Store {
    pub(super) fn new(bucket: Bucket, clock: SharedClock) -> Self {
        Self { bucket, clock }
    }

    pub(super) async fn add(&self, tenant: &TenantId, name: &str, file: Bytes) -> Result<Kept, StatusError> {
        let bytes = name.len();
        if bytes == 0 || bytes > NAME_BYTES_MAX {
            let why = format!("the name of the file has {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed");
            return Err(StatusError::invalid_argument(why));
        }
        if self.list(tenant).await?.len() >= FILES_MAX {
            let why = format!("a tenant may have {FILES_MAX} ad hoc profiles; delete objects below {}", folder(tenant));
            return Err(StatusError::new(ErrorCode::ResourceExhausted, why));
        }
        let now_ms = u64::try_from(self.clock.unix_nanos() / 1_000_000).unwrap_or_default();
        let ulid = ulid::Ulid::from_parts(now_ms, self.clock.random());
        let id = format!("{ulid}-{}", hex::encode(name));
        self.bucket.put(&format!("{}{id}", folder(tenant)), file).await.map_err(status)?;
        Kept::parse(&id).ok_or_else(|| StatusError::internal("an id that is none"))
    }

    pub(super) async fn get(&self, tenant: &TenantId, id: &str) -> Result<(Kept, Bytes), StatusError> {
        let missing = || StatusError::new(ErrorCode::NotFound, format!("there is no ad hoc profile {id:?}"));
        let kept = Kept::parse(id).ok_or_else(missing)?;
        match self.bucket.get(&format!("{}{id}", folder(tenant))).await {
            Ok(file) => Ok((kept, file)),
            Err(StorageError::NotFound { .. }) => Err(missing()),
            Err(error) => Err(status(error)),
        }
    }

    /// The newest first.
    pub(super) async fn list(&self, tenant: &TenantId) -> Result<Vec<Kept>, StatusError> {
        let folder = folder(tenant);
        let entries = self.bucket.list(&folder).await.map_err(status)?;
        let mut kept: Vec<Kept> =
            entries.iter().filter_map(|entry| Kept::parse(entry.key.strip_prefix(&folder)?)).collect();
        kept.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(kept)
    }
}

fn folder(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/adhoc/")
}

fn status(error: StorageError) -> StatusError {
    StatusError::from_coded(&error)
}
