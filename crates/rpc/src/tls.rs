//! TLS of ports and of calls between processes: certificates from PEM files, read again when these change (`docs/security.md`).
//!
//! Connections live on with what they were opened with; new ones take the newest files that were good. TLS 1.2 and 1.3, by rustls with the
//! one provider of cryptography that the program has anyway.

mod config;
mod files;
mod validity;
mod listen;
mod peer;

pub use config::{AdminTlsConfig, ClientAuth, GrpcTlsConfig, HttpTlsConfig, ListenFiles, PeerTlsConfig};
pub use files::TlsError;
pub use listen::ListenTls;
pub use peer::PeerTls;
pub use validity::{CertificateUse, Validity};
