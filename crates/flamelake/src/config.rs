//! All sections in one: the only place that knows every key.

use std::time::Duration;

use flamelake_config::ByteSize;
use flamelake_rpc::Tenancy;

flamelake_config::section! {
    /// Server: which roles run here, where they listen, and who is who.
    pub struct ServerSettings {
        /// Roles of this process, with commas: `all`, or `distributor`, `ingester`, `store-gateway`, `querier`, `compactor`, or the groups
        /// `write` (distributor, ingester), `read` (querier), `backend` (store-gateway, compactor). Fewer than all need
        /// `ring.etcd.endpoints`.
        "target" => pub target: String = "all".to_owned(),
        /// Address of the public port: Connect, gRPC, gRPC-Web and HTTP. Empty = all interfaces.
        "server.http-listen-address" => pub http_listen_address: String = String::new(),
        /// The public port.
        "server.http-listen-port" => pub http_listen_port: u16 = 4040,
        /// Address of the internal gRPC port. Empty = all interfaces.
        "server.grpc-listen-address" => pub grpc_listen_address: String = String::new(),
        /// The internal gRPC port, where the members of a cluster call each other. 0 = none (only without `ring.etcd.endpoints`).
        "server.grpc-listen-port" => pub grpc_listen_port: u16 = 9095,
        /// Address of the admin port. Empty = all interfaces.
        "server.admin-listen-address" => pub admin_listen_address: String = String::new(),
        /// The admin port, for what operators do and users must not: `/ring`, `/ingester/…`; also `/metrics`, `/config` and the like. 0 = these
        /// are served on the public port.
        "server.admin-listen-port" => pub admin_listen_port: u16 = 0,
        /// Bytes of request bodies in memory at the same time, for each port; more is refused with `unavailable`. At least the largest
        /// body allowed.
        "server.request-bodies-bytes-max" => pub request_bodies_bytes_max: ByteSize = ByteSize(1 << 30),
        /// How long a connection of any port may take to send the head of its next request, idle time included; then it is closed.
        "server.http-idle-timeout" => pub http_idle_timeout: Duration = Duration::from_secs(120),
        /// How long a request may stall in the middle of its body before it is refused; streams of gRPC may be silent.
        "server.http-body-idle-timeout" => pub http_body_idle_timeout: Duration = Duration::from_secs(30),
        /// On: every request names its tenant in the header X-Scope-OrgID and gets 401 without. Off: everything belongs to `anonymous`.
        "auth.multitenancy-enabled" => pub multitenancy_enabled: bool = false,
        /// File of request tokens, one a line, read again when it changes; then requests to the public and the admin port need one
        /// (`docs/security.md`; `flamelake token` draws them). Empty = everybody may do everything.
        "auth.tokens-file" => pub auth_tokens_file: String = String::new(),
        /// YAML file with `overrides: {tenant: {limit: value}}`, read again when it changes. Empty = none.
        "runtime-config.file" => pub runtime_config_file: String = String::new(),
        nested {
            /// TLS of the public port.
            pub http_tls: flamelake_rpc::tls::HttpTlsConfig,
            /// TLS of the internal port.
            pub grpc_tls: flamelake_rpc::tls::GrpcTlsConfig,
            /// TLS of the admin port.
            pub admin_tls: flamelake_rpc::tls::AdminTlsConfig,
            /// Logs and traces.
            pub telemetry: flamelake_telemetry::TelemetryConfig,
            /// Where everything durable lies.
            pub storage: flamelake_object_storage::StorageConfig,
            /// The write path.
            pub distributor: flamelake_distributor::DistributorConfig,
            /// The head.
            pub ingester: flamelake_ingester::IngesterConfig,
            /// The log.
            pub journal: flamelake_journal::JournalConfig,
            /// Calls between members of the cluster.
            pub peers: flamelake_rpc::peer::PeerConfig,
            /// Who is a member of the cluster.
            pub ring: flamelake_ring::RingConfig,
            /// Lists of blocks.
            pub catalog: flamelake_catalog::CatalogConfig,
            /// Reading of blocks.
            pub store_gateway: flamelake_store_gateway::StoreGatewayConfig,
            /// Names for addresses of native code.
            pub symbolizer: flamelake_debuginfo::SymbolizerConfig,
            /// The query API.
            pub querier: flamelake_querier::QuerierConfig,
            /// Source code beside profiles.
            pub vcs: flamelake_vcs::VcsConfig,
            /// Metrics of profiles.
            pub recording_rules: flamelake_querier::RecordingRulesConfig,
            /// Retention.
            pub compactor: flamelake_compactor::CompactorConfig,
            /// Profiles of the server itself.
            pub self_profiling: crate::self_profiling::SelfProfilingConfig,
            /// Bounds for each tenant.
            pub limits: flamelake_config::Limits,
        }
    }
}

impl ServerSettings {
    /// Whether requests name their tenant.
    pub(crate) fn tenancy(&self) -> Tenancy {
        if self.multitenancy_enabled { Tenancy::Multi } else { Tenancy::Single }
    }
}
