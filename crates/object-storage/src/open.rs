//! From the configuration to a bucket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flamelake_runtime::with_causes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::faulty::{Faults, FaultyStore};
use crate::{
    AzureConfig, Bucket, BucketDeps, GcsConfig, RetryPolicy, S3Config, StorageConfig, StorageError, TestingConfig,
};

/// The client's name of the header that asks for encryption.
const SERVER_SIDE_ENCRYPTION: &str = "aws_server_side_encryption";

impl Bucket {
    /// The bucket that the configuration names. No request is made: call [`probe_put_if_absent`](Self::probe_put_if_absent) next.
    pub fn open(config: &StorageConfig, deps: BucketDeps) -> Result<Self, StorageError> {
        let retry = RetryPolicy {
            attempts_max: u32::try_from(config.attempts_max).unwrap_or(u32::MAX).max(1),
            attempt_timeout: config.request_timeout,
            hedge_after: config.hedge_after,
            ..RetryPolicy::default()
        };
        let timeout = config.request_timeout;
        let local = config.backend == "filesystem";
        let store: Arc<dyn ObjectStore> = match config.backend.as_str() {
            "filesystem" => folder(config.filesystem.dir.as_ref())?,
            "in-memory" => Arc::new(InMemory::new()),
            "s3" => Arc::new(s3(&config.s3, timeout)?),
            "gcs" => Arc::new(gcs(&config.gcs, timeout)?),
            "azure" => Arc::new(azure(&config.azure, timeout)?),
            other => {
                return Err(unusable(format!(
                    "storage.backend is {other:?}; use filesystem, s3, gcs, azure or in-memory"
                )));
            }
        };
        let (store, retry) = match faulty(&store, &config.testing)? {
            // Tried again like a store that is far away.
            Some(faulty) => (faulty, retry),
            None if local => (store, local_retry()),
            None => (store, retry),
        };
        Ok(Self::from_store(store, retry, deps).with_layout(&config.prefix, local))
    }

    /// A folder of this machine, made if it is absent. Objects are written under a temporary name, synced, and linked to the final one.
    pub fn filesystem(dir: &Path, prefix: &str, deps: BucketDeps) -> Result<Self, StorageError> {
        Ok(Self::from_store(folder(dir)?, local_retry(), deps).with_layout(prefix, true))
    }
}

fn folder(dir: &Path) -> Result<Arc<dyn ObjectStore>, StorageError> {
    std::fs::create_dir_all(dir).map_err(|error| {
        unusable(format!("the folder storage.filesystem.dir={} cannot be made: {error}", dir.display()))
    })?;
    let store = LocalFileSystem::new_with_prefix(dir).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

/// A failed sync must not be taken for done by trying again.
fn local_retry() -> RetryPolicy {
    RetryPolicy { attempt_timeout: Duration::from_secs(300), ..RetryPolicy::once() }
}

/// The store behind the faults that a test asks for; `None` in every other server.
fn faulty(store: &Arc<dyn ObjectStore>, config: &TestingConfig) -> Result<Option<Arc<dyn ObjectStore>>, StorageError> {
    if config.storage_faults.is_empty() {
        return Ok(None);
    }
    let faults = Faults::parse(&config.storage_faults, config.storage_faults_seed)
        .map_err(|reason| unusable(format!("testing.storage-faults: {reason}")))?;
    tracing::warn!(faults = config.storage_faults, "testing.storage-faults is set: this store fails on purpose");
    Ok(Some(Arc::new(FaultyStore::new(Arc::clone(store), faults))))
}

fn s3(config: &S3Config, timeout: Duration) -> Result<impl ObjectStore + use<>, StorageError> {
    require("storage.s3.bucket-name", &config.bucket_name)?;
    // Nothing but the store is asked then, and a machine need not know any authority.
    let is_plain = s3_endpoint(config).starts_with("http://") && !config.access_key_id.is_empty();
    let options = trusting(client_options(timeout), &config.tls_ca_path)?.with_no_system_certificates(is_plain);
    let region = if config.region.is_empty() { "us-east-1" } else { config.region.as_str() };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket_name)
        .with_region(region)
        .with_allow_http(config.insecure)
        .with_virtual_hosted_style_request(!config.force_path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(options.with_allow_http(config.insecure))
        .with_retry(client_retry());
    if !config.endpoint.is_empty() {
        builder = builder.with_endpoint(s3_endpoint(config));
    }
    if !config.access_key_id.is_empty() {
        builder =
            builder.with_access_key_id(&config.access_key_id).with_secret_access_key(config.secret_access_key.expose());
    }
    with_encryption(builder, config)?.build().map_err(|error| unusable(with_causes(&error)))
}

/// The headers that ask for encryption go with every put.
fn with_encryption(builder: AmazonS3Builder, config: &S3Config) -> Result<AmazonS3Builder, StorageError> {
    let S3Config { sse_type, sse_kms_key_id: key, .. } = config;
    let algorithm = match (sse_type.as_str(), key.as_str()) {
        ("", "") => return Ok(builder),
        ("SSE-S3", "") => "AES256",
        ("SSE-KMS", "") => "aws:kms",
        ("SSE-KMS", key) => return Ok(builder.with_sse_kms_encryption(key)),
        ("" | "SSE-S3", _) => {
            let text = "storage.s3.sse.kms-key-id is set: storage.s3.sse.type must be SSE-KMS then";
            return Err(unusable(text.to_owned()));
        }
        (other, _) => {
            return Err(unusable(format!("storage.s3.sse.type is {other:?}; use SSE-S3, SSE-KMS or nothing")));
        }
    };
    let key: AmazonS3ConfigKey = SERVER_SIDE_ENCRYPTION.parse().map_err(|_| unusable("no such key".to_owned()))?;
    Ok(builder.with_config(key, algorithm))
}

/// The endpoint as a URL; with virtual-hosted style the client wants the bucket in its host.
fn s3_endpoint(config: &S3Config) -> String {
    let scheme = if config.insecure { "http" } else { "https" };
    let (scheme, host) = match config.endpoint.split_once("://") {
        Some((given, host)) => (given, host),
        None => (scheme, config.endpoint.as_str()),
    };
    let host = host.trim_end_matches('/');
    if config.force_path_style || host.starts_with(&format!("{}.", config.bucket_name)) {
        return format!("{scheme}://{host}");
    }
    format!("{scheme}://{}.{host}", config.bucket_name)
}

fn gcs(config: &GcsConfig, timeout: Duration) -> Result<impl ObjectStore + use<>, StorageError> {
    require("storage.gcs.bucket-name", &config.bucket_name)?;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&config.bucket_name)
        .with_client_options(client_options(timeout))
        .with_retry(client_retry());
    if !config.service_account.is_empty() {
        builder = builder.with_service_account_key(config.service_account.expose());
    }
    builder.build().map_err(|error| unusable(with_causes(&error)))
}

fn azure(config: &AzureConfig, timeout: Duration) -> Result<impl ObjectStore + use<>, StorageError> {
    require("storage.azure.container-name", &config.container_name)?;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&config.container_name)
        .with_client_options(client_options(timeout))
        .with_retry(client_retry());
    if !config.account_name.is_empty() {
        builder = builder.with_account(&config.account_name);
    }
    if !config.account_key.is_empty() {
        builder = builder.with_access_key(config.account_key.expose());
    }
    if !config.endpoint.is_empty() {
        let plain = config.endpoint.starts_with("http://");
        builder = builder.with_endpoint(config.endpoint.clone()).with_allow_http(plain);
    }
    builder.build().map_err(|error| unusable(with_causes(&error)))
}

/// The authorities of a file besides those of the machine.
fn trusting(options: ClientOptions, file: &str) -> Result<ClientOptions, StorageError> {
    if file.is_empty() {
        return Ok(options);
    }
    let wrong = |error: String| unusable(format!("storage.s3.tls-ca-path={file}: {error}"));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if authorities.is_empty() {
        return Err(wrong("holds no certificate in PEM".to_owned()));
    }
    Ok(authorities.into_iter().fold(options, ClientOptions::with_root_certificate))
}

fn client_options(timeout: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(timeout.saturating_mul(4))
        .with_connect_timeout(Duration::from_secs(5).min(timeout))
}

/// A little patience inside the client (a race answered with 409 above all); the rest is this crate's.
fn client_retry() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

fn require(key: &str, value: &str) -> Result<(), StorageError> {
    if value.is_empty() { Err(unusable(format!("{key} is not set"))) } else { Ok(()) }
}

fn unusable(reason: String) -> StorageError {
    StorageError::Unusable { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_get_a_scheme_and_a_bucket() {
        let config = |endpoint: &str, force_path_style, insecure| S3Config {
            endpoint: endpoint.to_owned(),
            bucket_name: "b".to_owned(),
            force_path_style,
            insecure,
            ..S3Config::default()
        };
        assert_eq!(s3_endpoint(&config("minio:9000", true, true)), "http://minio:9000");
        assert_eq!(s3_endpoint(&config("https://s3.x.org/", false, false)), "https://b.s3.x.org");
        assert_eq!(s3_endpoint(&config("b.s3.x.org", false, false)), "https://b.s3.x.org");
    }

    #[test]
    fn encryption_is_asked_for_by_name() {
        let check = |sse_type: &str, key: &str| {
            let config = S3Config {
                bucket_name: "b".to_owned(),
                sse_type: sse_type.to_owned(),
                sse_kms_key_id: key.to_owned(),
                ..S3Config::default()
            };
            s3(&config, Duration::from_secs(1)).map(drop).map_err(|error| error.to_string())
        };
        for (sse_type, key) in [("", ""), ("SSE-S3", ""), ("SSE-KMS", ""), ("SSE-KMS", "key")] {
            assert_eq!(check(sse_type, key), Ok(()), "{sse_type} {key}");
        }
        assert!(check("AES256", "").unwrap_err().contains("use SSE-S3, SSE-KMS or nothing"));
        assert!(check("SSE-S3", "key").unwrap_err().contains("must be SSE-KMS"));
    }

    #[test]
    fn a_wrong_backend_is_named() {
        let config = StorageConfig { backend: "floppy".to_owned(), ..StorageConfig::default() };
        let error = Bucket::open(&config, BucketDeps::default()).unwrap_err();
        assert!(error.to_string().contains("floppy"), "{error}");
    }

    #[tokio::test]
    async fn a_store_fails_only_where_a_test_asks_for_it() {
        let mut config = StorageConfig { backend: "in-memory".to_owned(), ..StorageConfig::default() };
        config.testing.storage_faults = "put b fail".to_owned();
        config.attempts_max = 1;
        let bucket = Bucket::open(&config, BucketDeps::default()).unwrap();
        bucket.put("a", "1".into()).await.unwrap();
        bucket.put("b", "1".into()).await.unwrap_err();
        config.testing.storage_faults = "put b".to_owned();
        let error = Bucket::open(&config, BucketDeps::default()).unwrap_err();
        assert!(error.to_string().contains("testing.storage-faults"), "{error}");
    }
}
