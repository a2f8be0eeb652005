//! The certificates of this process: of its ports, and as a client of other processes.

use std::sync::Arc;

use flamelake_rpc::tls::{ListenFiles, ListenTls, PeerTls, TlsError};

use crate::config::ServerSettings;

/// `None` = plain text.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) http: Option<Arc<ListenTls>>,
    pub(crate) grpc: Option<Arc<ListenTls>>,
    pub(crate) admin: Option<Arc<ListenTls>>,
    pub(crate) peers: Option<Arc<PeerTls>>,
}

impl Tls {
    /// Reads all files that are named; a bad one is an error.
    pub(crate) fn open(settings: &ServerSettings) -> Result<Self, TlsError> {
        let port = |files: Option<ListenFiles>| files.map(ListenTls::open).transpose().map(|tls| tls.map(Arc::new));
        Ok(Self {
            http: port(ListenFiles::of_http(&settings.http_tls)?)?,
            grpc: port(ListenFiles::of_grpc(&settings.grpc_tls)?)?,
            admin: port(ListenFiles::of_admin(&settings.admin_tls)?)?,
            peers: PeerTls::open(&settings.peers.tls)?.map(Arc::new),
        })
    }
}
