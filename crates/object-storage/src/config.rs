//! The keys `storage.*`.

use std::time::Duration;

use flamelake_config::Secret;

flamelake_config::section! {
    /// Where objects are kept: blocks, catalogs and, in a cluster, logs.
    pub struct StorageConfig {
        /// `filesystem`, `s3`, `gcs`, `azure` or `in-memory` (lost at exit).
        "storage.backend" => pub backend: String = "filesystem".to_owned(),
        /// Keys start below this folder of the bucket; letters, digits, `-`, `_`, `.` and `/`. Empty = at its root.
        "storage.prefix" => pub prefix: String = String::new(),
        /// Time for one request on a small object; large ones get a second more for each MiB.
        "storage.request-timeout" => pub request_timeout: Duration = Duration::from_secs(30),
        /// Attempts of one request, the first included.
        "storage.attempts-max" => pub attempts_max: u64 = 4,
        /// A read that has not answered after this is asked for a second time, and the first answer counts: one read in twenty at most. Never on
        /// a folder of this machine. 0 = never.
        "storage.hedge-after" => pub hedge_after: Duration = Duration::from_millis(500),
        nested {
            /// A folder of this machine.
            pub filesystem: FilesystemConfig,
            /// AWS S3 and what speaks its protocol.
            pub s3: S3Config,
            /// Google Cloud Storage.
            pub gcs: GcsConfig,
            /// Azure Blob Storage.
            pub azure: AzureConfig,
            /// Faults on purpose.
            pub testing: TestingConfig,
        }
    }
}

flamelake_config::section! {
    /// A folder of this machine, for `storage.backend=filesystem`.
    pub struct FilesystemConfig {
        /// The folder; made if it is absent.
        "storage.filesystem.dir" => pub dir: String = "./data".to_owned(),
    }
}

flamelake_config::section! {
    /// AWS S3 and what speaks its protocol, for `storage.backend=s3`.
    pub struct S3Config {
        /// Host, or URL with scheme. Empty = AWS.
        "storage.s3.endpoint" => pub endpoint: String = String::new(),
        /// The bucket.
        "storage.s3.bucket-name" => pub bucket_name: String = String::new(),
        /// Region. Empty = `us-east-1`.
        "storage.s3.region" => pub region: String = String::new(),
        /// Access key. Empty = from the environment or the machine's role.
        "storage.s3.access-key-id" => pub access_key_id: String = String::new(),
        /// Secret of the access key.
        "storage.s3.secret-access-key" => pub secret_access_key: Secret = Secret::default(),
        /// Plain HTTP.
        "storage.s3.insecure" => pub insecure: bool = false,
        /// PEM file of the authorities that signed the certificate of the endpoint, besides those of the machine. Read at start.
        "storage.s3.tls-ca-path" => pub tls_ca_path: String = String::new(),
        /// Bucket in the path instead of the host name.
        "storage.s3.force-path-style" => pub force_path_style: bool = false,
        /// Encryption at rest that is asked of the server: `SSE-S3`, `SSE-KMS`, or empty = what the bucket does by itself.
        "storage.s3.sse.type" => pub sse_type: String = String::new(),
        /// Id of the key for `SSE-KMS`. Empty = the default key.
        "storage.s3.sse.kms-key-id" => pub sse_kms_key_id: String = String::new(),
    }
}

flamelake_config::section! {
    /// Google Cloud Storage, for `storage.backend=gcs`.
    pub struct GcsConfig {
        /// The bucket.
        "storage.gcs.bucket-name" => pub bucket_name: String = String::new(),
        /// JSON of a service account. Empty = application default credentials.
        "storage.gcs.service-account" => pub service_account: Secret = Secret::default(),
    }
}

flamelake_config::section! {
    /// Azure Blob Storage, for `storage.backend=azure`.
    pub struct AzureConfig {
        /// The account.
        "storage.azure.account-name" => pub account_name: String = String::new(),
        /// Its key. Empty = from the environment or the managed identity.
        "storage.azure.account-key" => pub account_key: Secret = Secret::default(),
        /// The container.
        "storage.azure.container-name" => pub container_name: String = String::new(),
        /// URL of the service if it is not the public one.
        "storage.azure.endpoint" => pub endpoint: String = String::new(),
    }
}

flamelake_config::section! {
    /// Testing: breaks things on purpose, for the tests of Flamelake itself. Never for data that anybody needs.
    pub struct TestingConfig {
        /// Rules `<operation> <key> <fault> [<when>]` separated by `;`, e.g. `put block.json abort-after nth:3; any tenants/ fail chance:10;
        /// any * delay:50ms` (all words: `crates/object-storage/src/faulty/schedule.rs`). Empty = the store as it is.
        "testing.storage-faults" => pub storage_faults: String = String::new(),
        /// Seed of what happens by chance.
        "testing.storage-faults-seed" => pub storage_faults_seed: u64 = 0,
    }
}
