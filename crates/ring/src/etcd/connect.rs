//! How etcd is reached: endpoints, TLS, user.

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use flamelake_config::Secret;

use crate::config::EtcdConfig;
use crate::error::StoreError;

/// etcd cuts connections that ping more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Checked, with the files read.
#[derive(Clone)]
pub(super) struct Settings {
    endpoints: Vec<String>,
    user: Option<(String, Secret)>,
    tls: Option<TlsOptions>,
    timeout: Duration,
}

impl Settings {
    pub(super) fn new(config: &EtcdConfig) -> Result<Self, StoreError> {
        let wrong = |message: &str| Err(StoreError::Config(message.to_owned()));
        if config.endpoints.is_empty() {
            return wrong("ring.etcd.endpoints is empty");
        }
        if config.timeout.is_zero() {
            return wrong("ring.etcd.timeout is 0: nothing could ever be asked");
        }
        if config.tls_cert_path.is_empty() != config.tls_key_path.is_empty() {
            return wrong("ring.etcd.tls-cert-path and ring.etcd.tls-key-path belong together");
        }
        if config.username.is_empty() && !config.password.is_empty() {
            return wrong("ring.etcd.password is given without ring.etcd.username");
        }
        let user = (!config.username.is_empty()).then(|| (config.username.clone(), config.password.clone()));
        let tls = wants_tls(config).then(|| tls(config)).transpose()?;
        if tls.is_some() && config.endpoints.iter().any(|endpoint| endpoint.starts_with("http://")) {
            return wrong("ring.etcd.endpoints has an http:// URL, but ring.etcd.tls-* asks for TLS: use https://");
        }
        Ok(Self { endpoints: config.endpoints.clone(), user, tls, timeout: config.timeout })
    }

    /// How many endpoints there are; at least one.
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// The time for one request, and to connect.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A client of one endpoint. Logs in if there is a user; else nobody is contacted yet.
    pub(super) async fn connect(&self, endpoint: usize) -> Result<Client, Error> {
        let mut options = ConnectOptions::new()
            .with_timeout(self.timeout)
            .with_connect_timeout(self.timeout)
            .with_keep_alive(PING_EVERY, self.timeout)
            .with_keep_alive_while_idle(false)
            // A minority must not answer for the cluster.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password.expose());
        }
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.clone());
        }
        Client::connect([&self.endpoints[endpoint]], Some(options)).await
    }
}

fn wants_tls(config: &EtcdConfig) -> bool {
    let named = [&config.tls_ca_path, &config.tls_cert_path, &config.tls_server_name];
    config.tls_enabled
        || named.iter().any(|text| !text.is_empty())
        || config.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"))
}

fn tls(config: &EtcdConfig) -> Result<TlsOptions, StoreError> {
    let mut tls = TlsOptions::new();
    tls = match config.tls_ca_path.as_str() {
        "" => tls.with_native_roots(),
        path => tls.ca_certificate(Certificate::from_pem(file("ring.etcd.tls-ca-path", path)?)),
    };
    if !config.tls_cert_path.is_empty() {
        let certificate = file("ring.etcd.tls-cert-path", &config.tls_cert_path)?;
        tls = tls.identity(Identity::from_pem(certificate, file("ring.etcd.tls-key-path", &config.tls_key_path)?));
    }
    if !config.tls_server_name.is_empty() {
        tls = tls.domain_name(&config.tls_server_name);
    }
    Ok(tls)
}

fn file(key: &str, path: &str) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|error| StoreError::Config(format!("{key}: read {path}: {error}")))
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("endpoints", &self.endpoints).field("tls", &self.tls.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told_by_its_key() {
        let base = EtcdConfig { endpoints: vec!["a:1".to_owned()], ..EtcdConfig::default() };
        let error = |config: EtcdConfig| Settings::new(&config).unwrap_err().to_string();
        assert!(Settings::new(&base).unwrap().tls.is_none());
        assert_eq!(error(EtcdConfig::default()), "ring.etcd.endpoints is empty");
        assert!(error(EtcdConfig { timeout: Duration::ZERO, ..base.clone() }).contains("ring.etcd.timeout"));
        assert!(error(EtcdConfig { tls_cert_path: "x".to_owned(), ..base.clone() }).contains("tls-key-path"));
        assert!(error(EtcdConfig { password: Secret::new("x"), ..base.clone() }).contains("username"));
        assert!(error(EtcdConfig { tls_ca_path: "no/such".to_owned(), ..base.clone() }).contains("tls-ca-path: read"));
        let mixed = vec!["http://a:1".to_owned(), "https://b:1".to_owned()];
        assert!(error(EtcdConfig { endpoints: mixed, ..base }).contains("use https://"));
    }
}
