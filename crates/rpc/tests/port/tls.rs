//! A port with TLS: who gets in, what others are told, and what changes when files change.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flamelake_config::{Section as _, Values};
use flamelake_rpc::Tenancy;
use flamelake_rpc::peer::{PeerConfig, Peers};
use flamelake_rpc::tls::{HttpTlsConfig, ListenFiles, ListenTls, PeerTls, PeerTlsConfig};
use flamelake_testkit::certificates::{Authority, Issued};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::TestServer;

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn listen(own: &Issued, client_ca: Option<&Authority>, client_auth: &str) -> Arc<ListenTls> {
    let config = HttpTlsConfig {
        cert_path: text(&own.certificate),
        key_path: text(&own.key),
        client_ca: client_ca.map(|authority| text(&authority.certificate())).unwrap_or_default(),
        client_auth: client_auth.to_owned(),
    };
    Arc::new(ListenTls::open(ListenFiles::of_http(&config).unwrap().unwrap()).unwrap())
}

async fn connect(
    to: SocketAddr,
    trusted: &Authority,
    own: Option<&Issued>,
    protocol: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted.certificate()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_file(&own.certificate).unwrap();
            builder.with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(&own.key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(to).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// With TLS 1.3 a client learns only by its first read that it is refused.
async fn ask(mut stream: TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn get(to: SocketAddr, trusted: &Authority, own: Option<&Issued>) -> io::Result<String> {
    ask(connect(to, trusted, own, "http/1.1").await?).await
}

#[tokio::test]
async fn https_and_http2_are_offered_and_wrong_authorities_refused() {
    let (Some(authority), Some(other)) = (Authority::new("tls port"), Authority::new("tls port")) else { return };
    let server = TestServer::start_with_tls(Tenancy::Single, listen(&authority.issue("port"), None, "none")).await;
    assert!(get(server.address, &authority, None).await.unwrap().ends_with("fine"));
    let stream = connect(server.address, &authority, None, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(get(server.address, &other, None).await.is_err());
    // The port notices a moment after the client.
    while server.metric("flamelake_tls_handshakes_failed_total") < 1.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_as_configured() {
    let (Some(authority), Some(other)) = (Authority::new("tls port"), Authority::new("tls port")) else { return };
    let (own, good, bad) = (authority.issue("port"), authority.issue("good"), other.issue("bad"));
    for (mode, without) in [("request", true), ("require", false)] {
        let server = TestServer::start_with_tls(Tenancy::Single, listen(&own, Some(&authority), mode)).await;
        let comes_in =
            async |own| get(server.address, &authority, own).await.is_ok_and(|answer| answer.ends_with("fine"));
        assert!(comes_in(Some(&good)).await, "{mode}");
        assert!(!comes_in(Some(&bad)).await, "{mode}");
        assert_eq!(comes_in(None).await, without, "{mode}");
    }
}

#[tokio::test]
async fn plain_text_is_answered_and_noise_closed() {
    let Some(authority) = Authority::new("tls port") else { return };
    let server = TestServer::start_with_tls(Tenancy::Single, listen(&authority.issue("port"), None, "none")).await;
    for (sent, expected) in [
        (&b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400"),
        (b"\0\0\0\0", ""),
        (b"hello", ""),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("closed");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected) && (answer.is_empty() == expected.is_empty()), "{sent:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_never_done_is_cut_off() {
    let Some(authority) = Authority::new("tls port") else { return };
    let server = TestServer::start_with_tls(Tenancy::Single, listen(&authority.issue("port"), None, "none")).await;
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{sent:?}");
    }
}

#[tokio::test]
async fn new_files_count_for_new_connections_and_broken_ones_not_at_all() {
    let (Some(first), Some(second)) = (Authority::new("tls port"), Authority::new("tls port")) else { return };
    let own = first.issue("port");
    let tls = listen(&own, None, "none");
    let server = TestServer::start_with_tls(Tenancy::Single, Arc::clone(&tls)).await;
    let early = connect(server.address, &first, None, "http/1.1").await.unwrap();
    assert!(!tls.reload().unwrap(), "nothing changed");

    std::fs::write(&own.certificate, "no certificate").unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("holds no certificate"));
    let new = second.issue("port");
    std::fs::copy(&new.certificate, &own.certificate).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("are refused"), "the key is still the old one");
    assert!(get(server.address, &first, None).await.is_ok());

    std::fs::copy(&new.key, &own.key).unwrap();
    assert!(tls.reload().unwrap());
    assert!(get(server.address, &second, None).await.unwrap().ends_with("fine"));
    assert!(get(server.address, &first, None).await.is_err());
    assert!(ask(early).await.unwrap().ends_with("fine"), "an open connection lives on");
}

#[tokio::test]
async fn peers_call_over_mutual_tls_and_strangers_are_refused() {
    let (Some(authority), Some(other)) = (Authority::new("tls port"), Authority::new("tls port")) else { return };
    let tls = listen(&authority.issue("port"), Some(&authority), "require");
    let server = TestServer::start_with_tls(Tenancy::Single, tls).await;
    let files = |trusted: &Authority, own: &Issued| PeerTlsConfig {
        ca_path: text(&trusted.certificate()),
        cert_path: text(&own.certificate),
        key_path: text(&own.key),
        ..PeerTlsConfig::default()
    };
    let check = async |config: PeerTlsConfig| {
        let tls = PeerTls::open(&config).unwrap().map(Arc::new);
        let peers = Peers::new(PeerConfig::default()).with_tls(tls);
        let channel = peers.channel(&server.address.to_string()).unwrap();
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(drop)
    };
    let (good, bad) = (authority.issue("good"), other.issue("bad"));
    check(files(&authority, &good)).await.unwrap();
    check(PeerTlsConfig { server_name: "localhost".to_owned(), ..files(&authority, &good) }).await.unwrap();
    // Not trusted there.
    assert!(check(files(&authority, &bad)).await.is_err());
    // Not trusted here, or not the one that was called: surely nothing was sent.
    for config in
        [files(&other, &good), PeerTlsConfig { server_name: "another".to_owned(), ..files(&authority, &good) }]
    {
        assert!(flamelake_rpc::peer::is_not_sent(&check(config).await.unwrap_err()));
    }
    assert!(PeerTls::open(&PeerTlsConfig::load(&mut Values::new(PeerTlsConfig::keys())).unwrap()).unwrap().is_none());
}
