//! The keys `ring.*`.

use std::time::Duration;

use flamelake_config::Secret;

flamelake_config::section! {
    /// The ring: who is a member of the cluster. Without etcd this process is the only member.
    pub struct RingConfig {
        /// Name of this process, unique in the cluster and the same after a restart; letters, digits, `-`, `_`, `.`. Empty = the host name, or
        /// `all` without etcd.
        "ring.instance-id" => pub instance_id: String = String::new(),
        /// Host under which others reach this process; a stable name. Empty = the host name.
        "ring.instance-addr" => pub instance_addr: String = String::new(),
        /// Port of gRPC under which others reach this process. 0 = `server.grpc-listen-port`.
        "ring.instance-port" => pub instance_port: u16 = 0,
        /// Zone of this process: members of one zone fail together. Empty = none.
        "ring.instance-zone" => pub instance_zone: String = String::new(),
        /// Tokens that a new member chooses; more make shares finer. From 1 to 4096.
        "ring.tokens" => pub tokens: u64 = 128,
        /// A member that etcd has not heard of for so long is no longer sent anything. At least 2s; renewed three times in it.
        "ring.lease-ttl" => pub lease_ttl: Duration = Duration::from_secs(5),
        /// A member without liveness for so long is recovered by a peer if its log lies in the bucket, or removed if it has no log. Too
        /// short costs a little work, never data; queries fail until a dead ingester is back or recovered.
        "ring.forget-after" => pub forget_after: Duration = Duration::from_secs(5),
        /// A list of members from which most are gone at once is not believed for so long.
        "ring.drop-grace" => pub drop_grace: Duration = Duration::from_secs(120),
        /// At SIGTERM an ingester whose log lies in the bucket commits everything and leaves the ring, so that queries go on without it.
        /// Off: it stays a member, and queries wait until it is back or recovered.
        "ring.unregister-on-shutdown" => pub unregister_on_shutdown: bool = true,
        nested {
            /// Where the members are kept.
            pub etcd: EtcdConfig,
        }
    }
}

flamelake_config::section! {
    /// Where the members of the cluster are kept: etcd 3.4 or newer.
    pub struct EtcdConfig {
        /// `host:port` or URLs, with commas. Empty = no etcd, no cluster.
        "ring.etcd.endpoints" => pub endpoints: Vec<String> = Vec::new(),
        /// All keys start with it; two clusters in one etcd need two.
        "ring.etcd.prefix" => pub prefix: String = "flamelake/ring/".to_owned(),
        /// User. Empty = none.
        "ring.etcd.username" => pub username: String = String::new(),
        /// Password of the user.
        "ring.etcd.password" => pub password: Secret = Secret::default(),
        /// Time for one request, and to connect.
        "ring.etcd.timeout" => pub timeout: Duration = Duration::from_secs(5),
        /// TLS; also on if an endpoint starts with `https://` or a file is named below.
        "ring.etcd.tls-enabled" => pub tls_enabled: bool = false,
        /// PEM file of the authority that signed etcd's certificate. Empty = those of the machine.
        "ring.etcd.tls-ca-path" => pub tls_ca_path: String = String::new(),
        /// PEM file of this client's certificate. Empty = none.
        "ring.etcd.tls-cert-path" => pub tls_cert_path: String = String::new(),
        /// PEM file of its key.
        "ring.etcd.tls-key-path" => pub tls_key_path: String = String::new(),
        /// Name that etcd's certificate must bear. Empty = the host of the endpoint.
        "ring.etcd.tls-server-name" => pub tls_server_name: String = String::new(),
    }
}
