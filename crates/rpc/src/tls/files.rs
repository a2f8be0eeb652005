//! PEM files: read within bounds, and compared with what was read before.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flamelake_model::{Coded, ErrorCode};
use parking_lot::{Mutex, RwLock};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Larger files are refused: a bundle of all public authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why TLS cannot be had as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Keys that do not fit together.
    #[error("{problem}")]
    Config {
        /// Which and why.
        problem: String,
    },
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {problem}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The files are readable and do not fit: e.g. a key of another certificate.
    #[error("{path}: certificate, key or authorities are refused")]
    Refused {
        /// The certificate, or else the authorities.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Coded for TlsError {
    fn code(&self) -> ErrorCode {
        ErrorCode::FailedPrecondition
    }
}

/// The one provider of cryptography; named, so that no default of the process decides.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A file as it was read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let read = |source| TlsError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
        let pem = Self { path: path.to_owned(), bytes };
        if pem.bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(pem.wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(pem)
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(&self.bytes).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| self.wrong(format!("no PEM file of certificates: {error}")))?;
        if found.is_empty() {
            return Err(self.wrong("holds no certificate in PEM".to_owned()));
        }
        Ok(found)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        // The cause may quote the file: it is not told.
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| self.wrong("holds no private key in PEM".to_owned()))
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|source| self.refused(source))?;
        }
        Ok(roots)
    }

    pub(super) fn refused(&self, source: rustls::Error) -> TlsError {
        TlsError::Refused { path: self.path.clone(), source }
    }

    fn wrong(&self, problem: String) -> TlsError {
        TlsError::Pem { path: self.path.clone(), problem }
    }
}

/// It may hold a private key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pem").field(&self.path).finish()
    }
}

/// What was made of some files, and the files.
#[derive(Debug)]
pub(super) struct Watched<T> {
    seen: Mutex<Vec<Pem>>,
    made: RwLock<Arc<T>>,
}

impl<T> Watched<T> {
    pub(super) fn new(files: Vec<Pem>, made: T) -> Self {
        Self { seen: Mutex::new(files), made: RwLock::new(Arc::new(made)) }
    }

    /// The files that hold.
    pub(super) fn files(&self) -> Vec<Pem> {
        self.seen.lock().clone()
    }

    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&self.made.read())
    }

    /// `true` = made anew. On an error everything stays as it was.
    pub(super) fn renew(
        &self,
        files: Vec<Pem>,
        make: impl FnOnce(&[Pem]) -> Result<T, TlsError>,
    ) -> Result<bool, TlsError> {
        let mut seen = self.seen.lock();
        if *seen == files {
            return Ok(false);
        }
        let made = make(&files)?;
        *self.made.write() = Arc::new(made);
        *seen = files;
        Ok(true)
    }
}
