//! The bucket: where everything durable lies. Backends, retries, metrics, the start-up probe, injected faults, and a conformance suite.
//!
//! Knows nothing of blocks, logs or catalogs: only keys and bytes. Everything above rests on two properties of a store, which
//! [`Bucket::probe_put_if_absent`] checks at start: of several creates of one name exactly one wins, and LIST shows every finished put.

mod bucket;
mod ranges;
mod upload;
mod retry;
mod hedge;
mod local_cache;
mod probe;
mod arbiter;
mod config;
mod open;
mod error;
mod metrics;
pub mod faulty;
#[cfg(any(test, feature = "test-suite"))]
pub mod suite;

pub use arbiter::{Arbiter, ArbiterError};
pub use bucket::{Bucket, BucketDeps, ObjectEntry, PutOutcome};
pub use config::{AzureConfig, FilesystemConfig, GcsConfig, S3Config, StorageConfig, TestingConfig};
pub use error::StorageError;
pub use local_cache::{LocalCache, LocalCacheConfig};
pub use retry::RetryPolicy;
pub use upload::Upload;
