//! The keys of TLS: `server.{http,grpc,admin}-tls-*` for ports, `rpc.tls-*` for calls to other processes.

use std::path::PathBuf;

use super::files::TlsError;

flamelake_config::section! {
    /// TLS of the public port. Files are looked at every 10 s; a broken one leaves the last good one in force.
    pub struct HttpTlsConfig {
        /// PEM file of the certificate and those that lead to its authority. Empty = plain text.
        "server.http-tls-cert-path" => pub cert_path: String = String::new(),
        /// PEM file of its key.
        "server.http-tls-key-path" => pub key_path: String = String::new(),
        /// PEM file of the authorities that sign certificates of clients.
        "server.http-tls-client-ca" | "server.http-tls-ca-path" => pub client_ca: String = String::new(),
        /// Certificates of clients: `none` = not asked for, `request` = checked if there is one, `require` = refused without.
        "server.http-tls-client-auth" => pub client_auth: String = "none".to_owned(),
    }
}

flamelake_config::section! {
    /// TLS of the internal gRPC port; `require` lets only processes in whose `rpc.tls-cert-path` these authorities signed.
    pub struct GrpcTlsConfig {
        /// PEM file of the certificate and those that lead to its authority. Empty = plain text.
        "server.grpc-tls-cert-path" => pub cert_path: String = String::new(),
        /// PEM file of its key.
        "server.grpc-tls-key-path" => pub key_path: String = String::new(),
        /// PEM file of the authorities that sign certificates of clients.
        "server.grpc-tls-client-ca" | "server.grpc-tls-ca-path" => pub client_ca: String = String::new(),
        /// Certificates of clients: `none` = not asked for, `request` = checked if there is one, `require` = refused without.
        "server.grpc-tls-client-auth" => pub client_auth: String = "none".to_owned(),
    }
}

flamelake_config::section! {
    /// TLS of the admin port.
    pub struct AdminTlsConfig {
        /// PEM file of the certificate and those that lead to its authority. Empty = plain text.
        "server.admin-tls-cert-path" => pub cert_path: String = String::new(),
        /// PEM file of its key.
        "server.admin-tls-key-path" => pub key_path: String = String::new(),
        /// PEM file of the authorities that sign certificates of clients.
        "server.admin-tls-client-ca" | "server.admin-tls-ca-path" => pub client_ca: String = String::new(),
        /// Certificates of clients: `none` = not asked for, `request` = checked if there is one, `require` = refused without.
        "server.admin-tls-client-auth" => pub client_auth: String = "none".to_owned(),
    }
}

flamelake_config::section! {
    /// TLS of calls to other processes of the cluster.
    pub struct PeerTlsConfig {
        /// TLS; also on if a file is named below.
        "rpc.tls-enabled" => pub enabled: bool = false,
        /// PEM file of the authorities that signed the certificates of the internal ports. Empty = those of the machine.
        "rpc.tls-ca-path" => pub ca_path: String = String::new(),
        /// PEM file of this process's certificate as a client. Empty = none.
        "rpc.tls-cert-path" => pub cert_path: String = String::new(),
        /// PEM file of its key.
        "rpc.tls-key-path" => pub key_path: String = String::new(),
        /// Name that the certificates of all others bear. Empty = the host under which each is called.
        "rpc.tls-server-name" => pub server_name: String = String::new(),
    }
}

/// Certificates of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Checked if there is one.
    Request,
    /// Refused without.
    Require,
}

/// What a port with TLS needs; both files and, for mutual TLS, an authority.
#[derive(Clone, Debug)]
pub struct ListenFiles {
    pub(super) prefix: &'static str,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_auth: ClientAuth,
}

impl ListenFiles {
    /// Of the public port.
    pub fn of_http(config: &HttpTlsConfig) -> Result<Option<Self>, TlsError> {
        let HttpTlsConfig { cert_path, key_path, client_ca, client_auth } = config;
        Self::of("server.http-tls", [cert_path, key_path, client_ca, client_auth])
    }

    /// Of the internal port.
    pub fn of_grpc(config: &GrpcTlsConfig) -> Result<Option<Self>, TlsError> {
        let GrpcTlsConfig { cert_path, key_path, client_ca, client_auth } = config;
        Self::of("server.grpc-tls", [cert_path, key_path, client_ca, client_auth])
    }

    /// Of the admin port.
    pub fn of_admin(config: &AdminTlsConfig) -> Result<Option<Self>, TlsError> {
        let AdminTlsConfig { cert_path, key_path, client_ca, client_auth } = config;
        Self::of("server.admin-tls", [cert_path, key_path, client_ca, client_auth])
    }

    /// `None` = plain text. The error names the key that is wrong.
    fn of(prefix: &'static str, [cert, key, client_ca, client_auth]: [&String; 4]) -> Result<Option<Self>, TlsError> {
        let wrong = |problem: &str| Err(TlsError::Config { problem: format!("{prefix}-{problem}") });
        let client_auth = match client_auth.as_str() {
            "none" | "" => ClientAuth::None,
            "request" => ClientAuth::Request,
            "require" => ClientAuth::Require,
            other => return wrong(&format!("client-auth is {other:?}: use none, request or require")),
        };
        if cert.is_empty() != key.is_empty() {
            return wrong(&format!("cert-path and {prefix}-key-path belong together"));
        }
        if (client_auth == ClientAuth::None) != client_ca.is_empty() {
            return wrong(&format!("client-auth (request or require) and {prefix}-client-ca belong together"));
        }
        if cert.is_empty() {
            // Never plain text where somebody asked for certificates.
            return if client_ca.is_empty() { Ok(None) } else { wrong("client-ca wants a cert-path too") };
        }
        let client_ca = (!client_ca.is_empty()).then(|| client_ca.into());
        Ok(Some(Self { prefix, cert: cert.into(), key: key.into(), client_ca, client_auth }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_configuration_is_refused_by_its_keys() {
        let of = |texts: [&str; 4]| {
            let texts = texts.map(str::to_owned);
            let found = ListenFiles::of("server.http-tls", [&texts[0], &texts[1], &texts[2], &texts[3]]);
            found.map(|files| files.map(|files| files.client_auth)).map_err(|error| error.to_string())
        };
        assert_eq!(of(["", "", "", "none"]), Ok(None));
        assert_eq!(of(["c", "k", "", "none"]), Ok(Some(ClientAuth::None)));
        assert_eq!(of(["c", "k", "ca", "require"]), Ok(Some(ClientAuth::Require)));
        for (texts, told) in [
            (["c", "", "", "none"], "server.http-tls-key-path belong together"),
            (["", "k", "", "none"], "server.http-tls-cert-path and"),
            (["c", "k", "", "require"], "server.http-tls-client-ca belong together"),
            (["c", "k", "ca", "none"], "server.http-tls-client-auth (request or require)"),
            (["", "", "ca", "require"], "server.http-tls-client-ca wants a cert-path"),
            (["c", "k", "ca", "always"], "use none, request or require"),
        ] {
            assert!(of(texts).unwrap_err().contains(told), "{texts:?}: {:?}", of(texts));
        }
    }
}
