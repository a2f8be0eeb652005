//! The keys `storage.*`.

use std::time::Duration;

/// Where objects are kept.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// `filesystem`, `s3`, `gcs`, `azure` or `in-memory` (lost at exit).
    pub backend: String,
    /// Keys start below this folder of the bucket; letters, digits, `-`, `_`, `.` and `/`. Empty = at its root.
    pub prefix: String,
    /// Time for one request on a small object; large ones get a second more for each MiB.
    pub request_timeout: Duration,
    /// Attempts of one request, the first included.
    pub attempts_max: u64,
    /// `storage.filesystem.*`.
    pub filesystem: FilesystemConfig,
    /// `storage.s3.*`.
    pub s3: S3Config,
    /// `storage.gcs.*`.
    pub gcs: GcsConfig,
    /// `storage.azure.*`.
    pub azure: AzureConfig,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            backend: "filesystem".to_owned(),
            prefix: String::new(),
            request_timeout: Duration::from_secs(30),
            attempts_max: 4,
            filesystem: FilesystemConfig::default(),
            s3: S3Config::default(),
            gcs: GcsConfig::default(),
            azure: AzureConfig::default(),
        }
    }
}

/// A folder of this machine.
#[derive(Clone, Debug)]
pub struct FilesystemConfig {
    /// The folder; made if it is absent.
    pub dir: String,
}

impl Default for FilesystemConfig {
    fn default() -> Self {
        Self { dir: "./data/bucket".to_owned() }
    }
}

/// AWS S3 and what speaks its protocol.
#[derive(Clone, Default)]
pub struct S3Config {
    /// Host, or URL with scheme; empty = AWS.
    pub endpoint: String,
    /// The bucket.
    pub bucket_name: String,
    /// Region; empty = `us-east-1`.
    pub region: String,
    /// Access key; empty = from the environment or the machine's role.
    pub access_key_id: String,
    /// Secret of the access key.
    pub secret_access_key: String,
    /// Plain HTTP.
    pub insecure: bool,
    /// Bucket in the path instead of the host name.
    pub force_path_style: bool,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, bucket_name, region, .. } = self;
        f.debug_struct("S3Config")
            .field("endpoint", endpoint)
            .field("bucket_name", bucket_name)
            .field("region", region)
            .finish_non_exhaustive()
    }
}

/// Google Cloud Storage.
#[derive(Clone, Default)]
pub struct GcsConfig {
    /// The bucket.
    pub bucket_name: String,
    /// JSON of a service account; empty = application default credentials.
    pub service_account: String,
}

impl std::fmt::Debug for GcsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GcsConfig").field("bucket_name", &self.bucket_name).finish_non_exhaustive()
    }
}

/// Azure Blob Storage.
#[derive(Clone, Default)]
pub struct AzureConfig {
    /// The account.
    pub account_name: String,
    /// Its key; empty = from the environment or the managed identity.
    pub account_key: String,
    /// The container.
    pub container_name: String,
    /// URL of the service if it is not the public one.
    pub endpoint: String,
}

impl std::fmt::Debug for AzureConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { account_name, container_name, endpoint, .. } = self;
        f.debug_struct("AzureConfig")
            .field("account_name", account_name)
            .field("container_name", container_name)
            .field("endpoint", endpoint)
            .finish_non_exhaustive()
    }
}
