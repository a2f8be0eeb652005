//! Reads every byte of a block and compares it with what `block.json` says: for operators, never on the way of a query.

use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;

use crate::checksum;
use crate::meta::{BlockMeta, FileMeta};
use crate::reader::{BlockReader, ReadError};
use crate::writer::block_folder;

/// Faults of a block, each in words; none = it is whole.
///
/// # Errors
/// The block is not there, its `block.json` cannot be read, or the store does not answer.
pub async fn verify_block(
    bucket: &Bucket,
    tenant: &TenantId,
    ulid: crate::meta::Ulid,
) -> Result<Vec<String>, ReadError> {
    // Opening checks `block.json` and the footers.
    let reader = BlockReader::open(bucket.clone(), tenant, ulid).await?;
    let mut faults = Vec::new();
    for file in &reader.meta().files {
        faults.extend(verify_file(bucket, tenant, reader.meta(), file).await);
    }
    Ok(faults)
}

async fn verify_file(bucket: &Bucket, tenant: &TenantId, meta: &BlockMeta, file: &FileMeta) -> Option<String> {
    let name = &file.name;
    let bytes = match bucket.get(&format!("{}{name}", block_folder(tenant, meta.ulid))).await {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    if bytes.len() as u64 != file.bytes {
        return Some(format!("{name}: {} bytes instead of {}", bytes.len(), file.bytes));
    }
    let chunk = file.checksum_chunk_bytes;
    match checksum::verify(&bytes, 0, chunk, &file.crc32c) {
        Ok(()) => None,
        Err(at) => Some(format!("{name}: checksum differs in bytes {} to {}", at * chunk, (at + 1) * chunk)),
    }
}
