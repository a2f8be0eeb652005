//! TLS of a port: from an accepted connection to an encrypted one, within a time and among a bounded number that are not done.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::config::{ClientAuth, ListenFiles};
use super::files::{Pem, TlsError, Watched, provider};
use super::validity::{CertificateUse, Validity};

/// From the first byte to the last, waiting for others included.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Handshakes under way at once; each costs a signature and some ten kilobytes. Others wait for one to end.
const HANDSHAKES_MAX: usize = 256;
/// What a client that does not speak TLS is told, as it can read it.
const PLAIN_TEXT_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 41\r\n\r\nThis port speaks TLS only: use https://.\n";
/// Of what such a client sent, so much is read so that it sees the answer.
const PLAIN_TEXT_BYTES_MAX: usize = 64 << 10;
const PLAIN_TEXT_WITHIN: Duration = Duration::from_secs(1);
/// First byte of every TLS connection: a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

/// The certificate of a port, and whom it lets in.
pub struct ListenTls {
    files: ListenFiles,
    current: Watched<ServerConfig>,
    handshakes: Semaphore,
}

impl ListenTls {
    /// Reads the files; a bad one is an error here, at start.
    pub fn open(files: ListenFiles) -> Result<Self, TlsError> {
        let read = read(&files)?;
        let config = config(&files, &read)?;
        Ok(Self { current: Watched::new(read, config), files, handshakes: Semaphore::new(HANDSHAKES_MAX) })
    }

    /// Reads the files again: `true` = new connections get something else from now on. On an error the last good ones stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.current.renew(read(&self.files)?, |read| config(&self.files, read))
    }

    /// How long the certificates in force hold.
    pub fn validity(&self) -> Vec<(CertificateUse, Validity)> {
        let files = self.current.files();
        let [certificate, _key, authorities @ ..] = &files[..] else { return Vec::new() };
        let used = std::iter::once((CertificateUse::Own, certificate));
        let used = used.chain(authorities.iter().map(|file| (CertificateUse::Authorities, file)));
        used.filter_map(|(used_as, file)| Some((used_as, Validity::of(file, used_as).ok()??))).collect()
    }

    /// The encrypted connection; the error tells why there is none.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = async {
            // Who says nothing keeps nobody else from a handshake.
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
                return Err(refuse_plain_text(stream, first[0]).await);
            }
            let _permit = self.handshakes.acquire().await.map_err(io::Error::other)?;
            TlsAcceptor::from(self.current.get()).accept(stream).await
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake was not done in time");
        tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(late)?
    }
}

impl fmt::Debug for ListenTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// HTTP gets an answer, anything else is closed.
async fn refuse_plain_text(mut stream: TcpStream, first: u8) -> io::Error {
    let answer = async {
        if first.is_ascii_uppercase() {
            stream.write_all(PLAIN_TEXT_ANSWER).await?;
            stream.shutdown().await?;
            // Closing with bytes unread would reset the connection, and the answer with it.
            let mut rest = stream.take(PLAIN_TEXT_BYTES_MAX as u64);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PLAIN_TEXT_WITHIN, answer).await;
    io::Error::new(io::ErrorKind::InvalidData, "plain text on a port with TLS")
}

/// Certificate, key and, if clients are asked for theirs, authorities.
fn read(files: &ListenFiles) -> Result<Vec<Pem>, TlsError> {
    [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| Pem::read(path))
        .collect()
}

fn config(files: &ListenFiles, read: &[Pem]) -> Result<ServerConfig, TlsError> {
    let [certificate, key, authorities @ ..] = read else {
        return Err(TlsError::Config { problem: format!("{}-cert-path and its key are not given", files.prefix) });
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| certificate.refused(source))?;
    let builder = match authorities.first() {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = Arc::new(authorities.roots()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier =
                if files.client_auth == ClientAuth::Require { verifier } else { verifier.allow_unauthenticated() };
            let refused = |error: rustls::server::VerifierBuilderError| {
                authorities.refused(rustls::Error::General(error.to_string()))
            };
            builder.with_client_cert_verifier(verifier.build().map_err(refused)?)
        }
    };
    let config = builder.with_single_cert(certificate.certificates()?, key.key()?);
    let mut config = config.map_err(|source| certificate.refused(source))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_text_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN_TEXT_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{} bytes", body.len());
    }
}
