//! The bucket: where everything durable lies. Backends, tenant paths, wrappers for retries and faults, conformance suite.
//!
//! Knows nothing of blocks, logs or catalogs: only keys and bytes. PLACEHOLDER: owned by the durability helper.

mod bucket;
mod error;

pub use bucket::{Bucket, ObjectEntry, PutOutcome};
pub use error::StorageError;
