//! TLS of calls to other processes: one connector for all channels, so that each new connection takes the newest files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::PeerTlsConfig;
use super::files::{Pem, TlsError, Watched, provider};
use super::validity::{CertificateUse, Validity};

/// Whom this process trusts, and as whom it calls.
pub struct PeerTls {
    files: Files,
    current: Watched<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

#[derive(Debug)]
struct Files {
    authorities: Option<PathBuf>,
    /// Certificate and key.
    own: Option<[PathBuf; 2]>,
}

impl PeerTls {
    /// Reads the files; `None` = plain text. A bad file is an error here, at start.
    pub fn open(config: &PeerTlsConfig) -> Result<Option<Self>, TlsError> {
        let PeerTlsConfig { enabled, ca_path, cert_path, key_path, server_name } = config;
        let wrong = |problem: &str| TlsError::Config { problem: problem.to_owned() };
        if cert_path.is_empty() != key_path.is_empty() {
            return Err(wrong("rpc.tls-cert-path and rpc.tls-key-path belong together"));
        }
        if !enabled && [ca_path, cert_path, server_name].into_iter().all(String::is_empty) {
            return Ok(None);
        }
        let name = (!server_name.is_empty()).then(|| ServerName::try_from(server_name.clone())).transpose();
        let server_name = name.map_err(|_| wrong("rpc.tls-server-name is no host name"))?;
        let files = Files {
            authorities: (!ca_path.is_empty()).then(|| ca_path.into()),
            own: (!cert_path.is_empty()).then(|| [cert_path.into(), key_path.into()]),
        };
        let read = files.read()?;
        let config = files.config(&read)?;
        Ok(Some(Self { current: Watched::new(read, config), files, server_name }))
    }

    /// Reads the files again: `true` = new connections are made with something else from now on. On an error the last good ones stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.current.renew(self.files.read()?, |read| self.files.config(read))
    }

    /// How long the certificates in force hold; those of the machine's authorities are not told.
    pub fn validity(&self) -> Vec<(CertificateUse, Validity)> {
        let files = self.current.files();
        let (authorities, own) = files.split_at(usize::from(self.files.authorities.is_some()));
        let used = authorities.iter().map(|file| (CertificateUse::Authorities, file));
        // The second file is the key.
        let used = used.chain(own.first().map(|file| (CertificateUse::Own, file)));
        used.filter_map(|(used_as, file)| Some((used_as, Validity::of(file, used_as).ok()??))).collect()
    }

    /// What went wrong before the handshake was done is `ConnectionRefused`: no request has left then.
    pub(crate) async fn connect(&self, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.clone()).map_err(io::Error::other)?,
        };
        let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let connected = TlsConnector::from(self.current.get()).connect(name, stream).await;
        connected.map(TokioIo::new).map_err(|error| io::Error::new(io::ErrorKind::ConnectionRefused, error))
    }
}

impl Files {
    fn read(&self) -> Result<Vec<Pem>, TlsError> {
        self.authorities.iter().chain(self.own.iter().flatten()).map(|path| Pem::read(path)).collect()
    }

    fn config(&self, read: &[Pem]) -> Result<ClientConfig, TlsError> {
        let (authorities, own) = read.split_at(usize::from(self.authorities.is_some()));
        let roots = match authorities.first() {
            Some(authorities) => authorities.roots()?,
            None => machine_roots(),
        };
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError::Config { problem: error.to_string() })?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            [certificate, key] => builder
                .with_client_auth_cert(certificate.certificates()?, key.key()?)
                .map_err(|source| certificate.refused(source))?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Those that cannot be read are passed over, as other programs do.
fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("files", &self.files).finish_non_exhaustive()
    }
}
