//! The life of an upload (`docs/formats/debuginfo.md`).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flamelake_api::debuginfo::v1alpha1 as v1;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use futures::{Stream, StreamExt as _};
use tokio::sync::Semaphore;

use crate::build_id::BuildId;
use crate::config::SymbolizerConfig;
use crate::convert::convert;
use crate::store::{FileMetadata, Listed, PendingUpload, Store, StoredTable};
use crate::symboliser::Symboliser;

/// Bytes of a part of an upload.
const PART_BYTES: usize = 8 << 20;
/// Bytes of a name.
const TEXT_BYTES_MAX: usize = 4096;

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads {
    config: SymbolizerConfig,
    pub(crate) store: Store,
    clock: SharedClock,
    /// Of this process, told of new tables at once; others find them.
    symboliser: Option<Symboliser>,
    /// One binary at a time is in memory.
    conversions: Arc<Semaphore>,
}

impl Uploads {
    /// Uploads to a bucket.
    pub fn new(config: SymbolizerConfig, bucket: Bucket, clock: SharedClock, symboliser: Option<Symboliser>) -> Self {
        let conversions = Arc::new(Semaphore::new(1));
        Self { config, store: Store::new(bucket), clock, symboliser, conversions }
    }

    pub(crate) async fn should_initiate(
        &self,
        tenant: &TenantId,
        request: v1::ShouldInitiateUploadRequest,
    ) -> Result<v1::ShouldInitiateUploadResponse, StatusError> {
        let file = request.file.ok_or_else(|| StatusError::invalid_argument("no file is given"))?;
        let id = parse(&file.gnu_build_id)?;
        let texts = [&file.go_build_id, &file.otel_file_id, &file.name];
        if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            let why = format!("a text of the file's metadata is longer than {TEXT_BYTES_MAX} bytes");
            return Err(StatusError::invalid_argument(why));
        }
        let no = |reason: &str| {
            Ok(v1::ShouldInitiateUploadResponse { should_initiate_upload: false, reason: reason.to_owned() })
        };
        let listed = self.store.listed(tenant, &id).await?;
        if listed.has_table {
            return no("debug information of this build id is there already");
        }
        let now_ms = self.now_ms();
        if let Some(pending) = self.store.upload(tenant, &id).await?
            && now_ms - pending.started_at_ms < self.config.upload_timeout.as_millis() as i64
        {
            return no("somebody uploads it at this moment");
        }
        let files = if listed.has_upload { 0 } else { self.store.list(tenant).await?.len() };
        if files >= self.config.files_max {
            let why = format!(
                "the tenant has debug information of {files} files (symbolizer.max-files-per-tenant): delete some"
            );
            return Err(StatusError::new(ErrorCode::ResourceExhausted, why));
        }
        let v1::FileMetadata { go_build_id, otel_file_id, name, r#type: kind, .. } = file;
        let upload =
            PendingUpload { file: FileMetadata { go_build_id, otel_file_id, name, kind }, started_at_ms: now_ms };
        self.store.begin(tenant, &id, &upload).await?;
        Ok(v1::ShouldInitiateUploadResponse { should_initiate_upload: true, reason: String::new() })
    }

    /// Bytes of an upload that are there. `failed_precondition` if none is under way.
    pub(crate) async fn offset(&self, tenant: &TenantId, id: &str) -> Result<u64, StatusError> {
        Ok(self.pending(tenant, &parse(id)?).await?.bytes())
    }

    /// Stores a body from an offset on (0: anew), part by part as it comes.
    pub(crate) async fn receive<E: std::fmt::Display>(
        &self,
        tenant: &TenantId,
        id: &str,
        offset: u64,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), StatusError> {
        let id = parse(id)?;
        let listed = self.pending(tenant, &id).await?;
        if offset == 0 {
            self.store.drop_parts(tenant, &id, &listed).await?;
        } else if offset != listed.bytes() {
            let why = format!("the upload goes on at {}, not at {offset}: ask with HEAD", listed.bytes());
            return Err(StatusError::new(ErrorCode::OutOfRange, why));
        }
        let (mut at, mut part) = (offset, BytesMut::new());
        let mut body = std::pin::pin!(body);
        while let Some(bytes) = body.next().await {
            let mut bytes = bytes.map_err(|error| StatusError::new(ErrorCode::Canceled, error.to_string()))?;
            let max = self.config.file_bytes_max.0;
            if at + (part.len() + bytes.len()) as u64 > max {
                self.store.drop_parts(tenant, &id, &self.store.listed(tenant, &id).await?).await?;
                let why = format!(
                    "the file is larger than {max} bytes (symbolizer.max-symbol-size-bytes): send the debug file only (objcopy --only-keep-debug)"
                );
                return Err(StatusError::new(ErrorCode::ResourceExhausted, why));
            }
            while !bytes.is_empty() {
                part.extend_from_slice(&bytes.split_to(bytes.len().min(PART_BYTES - part.len())));
                if part.len() == PART_BYTES {
                    self.store.put_part(tenant, &id, at, part.split().freeze()).await?;
                    at += PART_BYTES as u64;
                }
            }
        }
        if !part.is_empty() {
            self.store.put_part(tenant, &id, at, part.freeze()).await?;
        }
        Ok(())
    }

    pub(crate) async fn finished(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<v1::UploadFinishedResponse, StatusError> {
        let id = parse(id)?;
        let listed = self.store.listed(tenant, &id).await?;
        if listed.has_table {
            return Ok(v1::UploadFinishedResponse {});
        }
        let upload = self.store.upload(tenant, &id).await?;
        let upload =
            upload.ok_or_else(|| StatusError::new(ErrorCode::NotFound, format!("no upload of {id} was begun")))?;
        if listed.bytes() == 0 {
            let why = format!("no byte of {id} has come: POST the file first");
            return Err(StatusError::new(ErrorCode::FailedPrecondition, why));
        }
        let (table, bytes) = self.converted(tenant, &id, &listed, upload).await?;
        self.store.finish(tenant, &id, &table, bytes).await?;
        if let Err(error) = self.store.drop_upload(tenant, &id, &listed).await {
            tracing::info!(%tenant, %id, error = &error as &dyn std::error::Error, "the uploaded file stays until it is deleted");
        }
        tracing::info!(%tenant, build_id = %id, name = table.file.name, rows = table.rows, "debug information is there");
        if let Some(symboliser) = &self.symboliser {
            symboliser.look_again(tenant);
        }
        Ok(v1::UploadFinishedResponse {})
    }

    async fn converted(
        &self,
        tenant: &TenantId,
        id: &BuildId,
        listed: &Listed,
        upload: PendingUpload,
    ) -> Result<(StoredTable, Bytes), StatusError> {
        let _turn = self.conversions.acquire().await.map_err(|error| StatusError::internal(error.to_string()))?;
        let file = self.store.file(tenant, id, listed).await?;
        let file_bytes = file.len() as u64;
        let (unpacked_bytes_max, claimed) = (self.config.unpacked_bytes_max(), id.clone());
        let work = move || convert(&file, claimed.as_str(), unpacked_bytes_max);
        let converted = flamelake_runtime::spawn_blocking(work).await;
        let converted = converted.map_err(|error| StatusError::internal(error.to_string()))?;
        let converted = match converted {
            Ok(converted) => converted,
            Err(error) => {
                // Nothing good will come of these bytes: the next upload begins anew.
                self.store.drop_upload(tenant, id, listed).await?;
                return Err(StatusError::from_coded(&error));
            }
        };
        let PendingUpload { file, started_at_ms } = upload;
        Ok(converted.stored(file, file_bytes, (started_at_ms, self.now_ms())))
    }

    pub(crate) async fn listing(&self, tenant: &TenantId) -> Result<v1::ListDebuginfoResponse, StatusError> {
        let mut object = Vec::new();
        for (id, listed) in self.store.list(tenant).await? {
            if listed.has_table
                && let Some(table) = self.store.table(tenant, &id).await?
            {
                object.push(v1::ObjectMetadata {
                    file: Some(metadata(&id, table.file)),
                    state: v1::object_metadata::State::Uploaded.into(),
                    started_at: Some(timestamp(table.started_at_ms)),
                    finished_at: Some(timestamp(table.finished_at_ms)),
                    size_bytes: i64::try_from(table.file_bytes).unwrap_or(i64::MAX),
                });
            } else if let Some(upload) = self.store.upload(tenant, &id).await? {
                object.push(v1::ObjectMetadata {
                    file: Some(metadata(&id, upload.file)),
                    state: v1::object_metadata::State::Uploading.into(),
                    started_at: Some(timestamp(upload.started_at_ms)),
                    finished_at: None,
                    size_bytes: i64::try_from(listed.bytes()).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(v1::ListDebuginfoResponse { object })
    }

    /// What is not there is deleted already.
    pub(crate) async fn delete(&self, tenant: &TenantId, id: &str) -> Result<v1::DeleteDebuginfoResponse, StatusError> {
        self.store.delete(tenant, &parse(id)?).await?;
        if let Some(symboliser) = &self.symboliser {
            symboliser.look_again(tenant);
        }
        Ok(v1::DeleteDebuginfoResponse {})
    }

    async fn pending(&self, tenant: &TenantId, id: &BuildId) -> Result<Listed, StatusError> {
        let listed = self.store.listed(tenant, id).await?;
        if listed.has_upload && !listed.has_table {
            return Ok(listed);
        }
        let why = format!("no upload of {id} is under way: call ShouldInitiateUpload first");
        Err(StatusError::new(ErrorCode::FailedPrecondition, why))
    }

    fn now_ms(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }
}

fn parse(id: &str) -> Result<BuildId, StatusError> {
    let why = || StatusError::invalid_argument(format!("{id:?} is no GNU build id: 2 to 128 hex digits are"));
    BuildId::parse(id).ok_or_else(why)
}

fn metadata(id: &BuildId, file: FileMetadata) -> v1::FileMetadata {
    let FileMetadata { go_build_id, otel_file_id, name, kind } = file;
    v1::FileMetadata { gnu_build_id: id.to_string(), go_build_id, otel_file_id, name, r#type: kind }
}

fn timestamp(ms: i64) -> pbjson_types::Timestamp {
    pbjson_types::Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}
