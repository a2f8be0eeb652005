//! What an attacker and a careless operator try (`docs/security.md`): secrets come out nowhere, requests that two parsers could read in two
//! ways are never read in the dangerous one, slow clients are cut off, and TLS is what it should be.
#![expect(clippy::disallowed_methods, reason = "it waits for a real process")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::{Client, Protocol, Server, ServerOptions, now_ns, push_cpu, push_request, server};
use flamelake_testkit::certificates::Authority;
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server};
use flamelake_testkit::tools;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// In every secret of these tests.
const CANARY: &str = "kanarienvogel";

/// The keys of type secret, as the program itself lists them: a new one is covered at once.
fn secret_keys() -> anyhow::Result<Vec<String>> {
    let output = Command::new(server::binary()?).arg("--config.docs").output()?;
    let page = String::from_utf8(output.stdout)?;
    let rows = page.lines().filter(|line| line.contains("| secret |"));
    let keys: Vec<String> = rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect();
    ensure!(keys.len() >= 5, "{keys:?}");
    Ok(keys)
}

fn canary(what: &str) -> String {
    format!("{CANARY}-{what}-{:x}", now_ns())
}

/// Fails with the first place where a canary stands.
fn no_canary(texts: &[(&str, String)]) -> anyhow::Result<()> {
    for (where_, text) in texts {
        let found = text.lines().find(|line| line.contains(CANARY));
        ensure!(found.is_none(), "{where_}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn secrets_stand_in_no_log_page_metric_or_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut yaml = String::new();
    for (n, key) in secret_keys()?.iter().enumerate() {
        // In turn written out, from a variable, and from a file.
        match n % 3 {
            0 => yaml += &format!("{key}: {}\n", canary("literal")),
            1 => yaml += &format!("{key}: ${{CANARY_VARIABLE}}\n"),
            _ => {
                let file = folder.path().join(format!("secret-{n}"));
                std::fs::write(&file, canary("file"))?;
                yaml += &format!("{key}-file: {}\n", file.display());
            }
        }
    }
    // Some secrets belong to names that are none.
    yaml += "vcs.github.client-id: someone\n";
    // No secrets by their type, but people write passwords into URLs, and variables into anything.
    yaml += &format!("symbolizer.debuginfod-urls: ['http://ann:{}@127.0.0.1:9']\n", canary("url"));
    yaml += "storage.s3.access-key-id: ${CANARY_VARIABLE}\n";
    let config = folder.path().join("flamelake.yaml");
    std::fs::write(&config, yaml)?;
    let (variable, token) = (canary("variable"), canary("token"));
    let options = ServerOptions::new()
        .flag(&format!("config.file={}", config.display()))
        .flag("storage.backend=filesystem")
        .flag("log.level=trace")
        .flag("storage.filesystem.dir=data")
        .env("CANARY_VARIABLE", &variable);
    let server = Server::start(options).await?;
    // Credentials of requests are secrets too.
    let client = server.client().with_authorization(&format!("Bearer {token}"));
    for protocol in Protocol::ALL {
        let request = push_request(&[("service_name", "s")], vec![(b"no profile".to_vec(), "")]);
        let pushed: flamelake_integration_tests::client::Answer<flamelake_api::push::v1::PushResponse> =
            client.call(protocol, "push.v1.PusherService/Push", &request).await;
        let refused = pushed?.err().context("nonsense was taken")?;
        no_canary(&[("an error of a push", refused.to_string())])?;
    }
    push_cpu(&client, "s", "main;a 1", now_ns()).await?;
    flame(&client, "{}", Range::around_now()).await?;
    let mut told = vec![("the log", server.log())];
    for path in [
        "/config",
        "/config?mode=diff",
        "/config?mode=defaults",
        "/config?mode=wrong",
        "/api/v1/status/config",
        "/api/v1/status/config/diff",
        "/api/v1/status/config/default",
        "/api/v1/status/buildinfo",
        "/metrics",
        "/ready",
        "/ring",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/no/such/page",
    ] {
        told.push((path, client.get_text(path).await?));
    }
    for method in ["GetConfig", "GetDiffConfig", "GetDefaultConfig"] {
        let (_, answer) = client.json(&format!("status.v1.StatusService/{method}"), &json!({})).await?;
        told.push((method, answer.to_string()));
    }
    let config = &told[1].1;
    ensure!(
        config.contains("${CANARY_VARIABLE}") && config.contains("********"),
        "it shows where they stand: {config}"
    );
    ensure!(config.contains("http://********@127.0.0.1:9"), "{config}");
    no_canary(&told)
}

#[tokio::test]
async fn a_start_that_fails_tells_no_secret() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[String]| -> anyhow::Result<String> {
        // One that starts against what is expected is ended by the signal that `timeout` sends, and tells so.
        let mut command = Command::new("timeout");
        command.arg("60").arg(server::binary()?).arg("--server.http-listen-address=127.0.0.1").args(arguments);
        let output = command.env("CANARY_VARIABLE", canary("variable")).current_dir(folder.path()).output()?;
        ensure!(output.status.code().is_some_and(|code| code != 0 && code != 124), "{arguments:?} starts");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
    };
    let mut told = Vec::new();
    // Mistyped keys, and values that are none.
    told.push(run(&[format!("--storage.s3.secret-acces-key={}", canary("typo"))])?);
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(&wrong, "server.http-listen-port: ${CANARY_VARIABLE}\n")?;
    told.push(run(&[format!("--config.file={}", wrong.display())])?);
    std::fs::write(&wrong, format!("storage: {{s3: {{secret_access_key: {{a: {}}}}}}}\n", canary("map")))?;
    told.push(run(&[format!("--config.file={}", wrong.display())])?);
    // A key of the wrong certificate: the file is named and not quoted.
    let key = folder.path().join("key.pem");
    std::fs::write(&key, format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", canary("key")))?;
    told.push(run(&[
        format!("--server.http-tls-cert-path={}", key.display()),
        format!("--server.http-tls-key-path={}", key.display()),
    ])?);
    let url = format!("--self-profiling.push-url=http://ann:{}@127.0.0.1:9", canary("url"));
    told.push(run(&[
        url,
        "--server.http-listen-port=0".to_owned(),
        "--server.grpc-listen-port=0".to_owned(),
        data(&folder),
    ])?);
    // A real store that refuses the key.
    if let Some(s3) = S3Server::start("a_start_that_fails_tells_no_secret", folder.path())? {
        told.push(run(&[
            "--storage.backend=s3".to_owned(),
            format!("--storage.s3.endpoint={}", s3.endpoint()),
            format!("--storage.s3.bucket-name={BUCKET}"),
            format!("--storage.s3.access-key-id={ACCESS_KEY}"),
            format!("--storage.s3.secret-access-key={}", canary("s3")),
            "--storage.s3.insecure=true".to_owned(),
            "--storage.s3.force-path-style=true".to_owned(),
            "--server.http-listen-port=0".to_owned(),
            "--server.grpc-listen-port=0".to_owned(),
            "--log.level=trace".to_owned(),
        ])?);
    }
    ensure!(told.iter().all(|text| !text.is_empty()), "each says why: {told:?}");
    no_canary(&told.into_iter().map(|text| ("an error at start", text)).collect::<Vec<_>>())
}

fn data(folder: &tempfile::TempDir) -> String {
    format!("--storage.filesystem.dir={}", folder.path().join("data").display())
}

/// Sends bytes as they are and reads until the server closes, or says nothing more for two seconds.
async fn raw(server: &Server, request: &str) -> anyhow::Result<(String, bool)> {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await?;
    stream.write_all(request.as_bytes()).await?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut piece)).await {
            Err(_) => return Ok((String::from_utf8_lossy(&answer).into_owned(), false)),
            Ok(Ok(0) | Err(_)) => return Ok((String::from_utf8_lossy(&answer).into_owned(), true)),
            Ok(Ok(read)) => answer.extend_from_slice(&piece[..read]),
        }
    }
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.split(' ').next()).collect()
}

#[tokio::test]
async fn no_request_hides_in_the_body_of_another() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    // What must never be done because of any of these: it would make a block of what lies in the head.
    push_cpu(&server.client(), "s", "main;a 1", now_ns()).await?;
    let smuggled = "POST /ingester/flush HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let head = "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let length = smuggled.len();
    // A proxy that believed the length would have passed the second request as the body of the first.
    let both = format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", length + 5);
    let (answer, closed) = raw(&server, &both).await?;
    ensure!(statuses(&answer).len() == 1 && closed, "length and chunks: closed after the first: {answer}");
    // Everything else is refused before anything is read of a body.
    for (what, headers) in [
        ("two lengths", format!("Content-Length: 2\r\nContent-Length: {length}\r\n\r\n")),
        ("a list of lengths", format!("Content-Length: 2, {length}\r\n\r\n")),
        ("a signed length", "Content-Length: +2\r\n\r\n".to_owned()),
        ("a length in hexadecimal", "Content-Length: 0x2\r\n\r\n".to_owned()),
        ("chunks that are not last", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned()),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("a folded header", "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("a bare CR", "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("a zero byte", "X-A: b\0c\r\n\r\n".to_owned()),
        ("a header without a name", ": chunked\r\n\r\n".to_owned()),
    ] {
        let (answer, closed) = raw(&server, &format!("{head}{headers}{{}}{smuggled}")).await?;
        ensure!(statuses(&answer) == ["400"] && closed, "{what}: {answer:?}, closed: {closed}");
    }
    for (what, request) in [
        (
            "chunks in HTTP/1.0",
            format!("POST /ready HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("a chunk of a wrong size", format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{smuggled}")),
        ("a chunk with a sign", format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{smuggled}")),
        ("a line feed in the path", format!("GET /ready\nX: y HTTP/1.1\r\nHost: x\r\n\r\n{smuggled}")),
        ("a space in the path", format!("GET /re ady HTTP/1.1\r\nHost: x\r\n\r\n{smuggled}")),
        ("no version", format!("GET /ready\r\n\r\n{smuggled}")),
    ] {
        let (answer, closed) = raw(&server, &request).await?;
        ensure!(statuses(&answer).iter().all(|status| status.starts_with('4')) && closed, "{what}: {answer:?}");
    }
    ensure!(server.metric("flamelake_ingester_flushes_total").await? == 0.0, "a hidden request was obeyed");
    // Two honest requests on one connection are two.
    let ready = "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n";
    let (answer, _) = raw(&server, &format!("{ready}{ready}")).await?;
    ensure!(statuses(&answer) == ["200", "200"], "{answer}");
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn no_text_of_a_request_becomes_a_header_of_its_answer() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let evil = "a%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0a<b>";
    let now = now_ns() / 1_000_000_000;
    for request in [
        format!("GET /{evil} HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\n\r\n"),
        format!("GET /config?mode={evil} HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\n\r\n"),
        format!("GET /pyroscope/render?query={evil}&from=now-1h HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\n\r\n"),
        format!(
            "POST /ingest?name={evil}&from={now}&until={now} HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nContent-Length: 5\r\n\r\na;b 1"
        ),
        format!("GET /pyroscope/label-names HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: {evil}\r\n\r\n"),
        "GET /pyroscope/label-names HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nX-Scope-OrgID: b\r\n\r\n".to_owned(),
        format!("GET /pyroscope/label-names HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nAccept: {evil}\r\n\r\n"),
        format!("GET /ready HTTP/1.1\r\nHost: {evil}\r\n\r\n"),
    ] {
        let (answer, _) = raw(&server, &request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await?;
        let (head, _) = answer.split_once("\r\n\r\n").with_context(|| format!("{request:?}: {answer:?}"))?;
        ensure!(statuses(&answer).len() == 1, "{request:?}: {answer:?}");
        ensure!(!head.to_ascii_lowercase().contains("set-cookie"), "{request:?}: {head}");
    }
    // Names that would split the label or the tenant are refused, whatever they come in.
    for tenant in ["a\tb", "a b", "a/b", "..", "a\u{7f}"] {
        let (answer, _) = raw(
            &server,
            &format!(
                "GET /pyroscope/label-names HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: {tenant}\r\nConnection: close\r\n\r\n"
            ),
        )
        .await?;
        ensure!(statuses(&answer).iter().all(|status| status.starts_with('4')), "{tenant:?}: {answer}");
    }
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() -> anyhow::Result<()> {
    let options = ServerOptions::new().flags(["server.http-idle-timeout=2s", "server.http-body-idle-timeout=2s"]);
    let server = Server::start(options).await?;
    let post = "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: x\r\n";
    for (what, begin) in [
        ("nothing", String::new()),
        ("what may become a preface of HTTP/2", "PRI * HT".to_owned()),
        ("a head that goes on and on", format!("{post}X-A: ")),
        ("a body that stands still", format!("{post}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{")),
        (
            "a body that calls itself gRPC",
            format!("{post}Content-Type: application/grpc\r\nContent-Length: 100\r\n\r\n1"),
        ),
    ] {
        let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await?;
        stream.write_all(begin.as_bytes()).await?;
        let dribbles = what.starts_with("a head");
        let (begun, mut answer) = (Instant::now(), [0; 1024]);
        let closed = async {
            loop {
                tokio::select! {
                    read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
                    () = tokio::time::sleep(Duration::from_millis(200)), if dribbles => {}
                }
                if dribbles && stream.write_all(b"a").await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), closed).await.with_context(|| format!("{what} is borne"))?;
        ensure!(begun.elapsed() >= Duration::from_millis(1500), "{what} was cut off at once");
    }
    let text = server.client().get_text("/metrics").await?;
    let ours =
        |line: &str| line.starts_with("flamelake_request_duration_seconds_count") && line.contains(r#"status_code="5"#);
    ensure!(!text.lines().any(ours), "a slow client counts as our failure");
    push_cpu(&server.client(), "s", "main;a 1", now_ns()).await?;
    Ok(())
}

/// A server whose public port speaks TLS by a certificate of this authority.
async fn tls_server(folder: &Path, authority: &Authority) -> anyhow::Result<Server> {
    let own = authority.issue("own");
    let flags = [
        format!("server.http-tls-cert-path={}", own.certificate.display()),
        format!("server.http-tls-key-path={}", own.key.display()),
        format!("storage.filesystem.dir={}", folder.join("data").display()),
    ];
    Server::start(ServerOptions::new().flags(flags.iter().map(String::as_str)).https(&authority.certificate())).await
}

/// What `openssl s_client` with these arguments comes to: the protocol and the cipher, `None` = no connection.
fn handshake(openssl: &Path, server: &Server, arguments: &[&str]) -> anyhow::Result<Option<(String, String)>> {
    let address = server.url().trim_start_matches("https://").to_owned();
    let mut child = Command::new(openssl)
        .args(["s_client", "-connect", &address, "-servername", "localhost"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // The handshake is done when it asks for more; the end of its input ends it.
    child.stdin.take().context("a pipe")?.write_all(b"")?;
    let text = String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("New, ") && !line.contains("(NONE)"));
    Ok(line.and_then(|line| {
        let (protocol, cipher) = line.strip_prefix("New, ")?.split_once(", Cipher is ")?;
        Some((protocol.to_owned(), cipher.to_owned()))
    }))
}

/// A ClientHello of an old version with suites that it had: openssl builds refuse to send one themselves.
fn old_hello(minor: u8) -> Vec<u8> {
    let suites: [u16; 6] = [0x002f, 0x0035, 0x000a, 0x0005, 0xc013, 0xc014];
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.extend([0, 0, suites.len() as u8 * 2]);
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 3, minor.min(1), 0, message.len() as u8];
    record.extend(message);
    record
}

#[tokio::test]
async fn only_tls_1_2_and_1_3_with_forward_secrecy_and_authenticated_ciphers() -> anyhow::Result<()> {
    let who = "only_tls_1_2_and_1_3";
    let (Some(authority), Some(openssl)) = (Authority::new(who), tools::program(who, "openssl", &["version"])) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let server = tls_server(folder.path(), &authority).await?;
    ensure!(server.client().get_status("/ready").await? == 200);

    let found = |arguments: &[&str]| handshake(&openssl, &server, arguments);
    let (protocol, _) = found(&["-tls1_3"])?.context("no TLS 1.3")?;
    ensure!(protocol == "TLSv1.3", "{protocol}");
    let listed =
        Command::new(&openssl).args(["ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let ciphers: Vec<&str> = listed.trim().split(':').collect();
    ensure!(ciphers.len() > 30, "openssl knows weak ones to try: {ciphers:?}");
    let mut taken = BTreeSet::new();
    for cipher in ciphers {
        if let Some((_, cipher)) = found(&["-tls1_2", "-cipher", &format!("{cipher}:@SECLEVEL=0")])? {
            taken.insert(cipher);
        }
    }
    ensure!(!taken.is_empty(), "TLS 1.2 with a good cipher is spoken");
    let good = |cipher: &String| {
        cipher.starts_with("ECDHE-") && (cipher.contains("-GCM-") || cipher.contains("CHACHA20-POLY1305"))
    };
    ensure!(taken.iter().all(good), "{taken:?}");
    for suite in ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"] {
        ensure!(found(&["-tls1_3", "-ciphersuites", suite])?.is_none(), "{suite}");
    }

    // SSL 3, TLS 1.0 and 1.1: an alert and the end.
    for minor in 0..3 {
        let mut stream = TcpStream::connect(server.url().trim_start_matches("https://")).await?;
        stream.write_all(&old_hello(minor)).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.context("left open")??;
        ensure!(answer.first().is_none_or(|kind| *kind == 21), "3.{minor}: {answer:?}");
    }
    ensure!(Client::new(&server.url().replace("https", "http")).get_status("/ready").await? == 400);
    ensure!(server.metric("flamelake_tls_handshakes_failed_total").await? > 3.0);
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn a_certificate_tells_when_it_ends_and_a_new_one_at_once() -> anyhow::Result<()> {
    let Some(authority) = Authority::new("a_certificate_tells_when_it_ends") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let server = tls_server(folder.path(), &authority).await?;
    let expiry = async || {
        let text = server.client().get_text("/metrics").await?;
        let name = r#"flamelake_certificate_expiry_timestamp_seconds{file="tls-http",use="certificate"} "#;
        let value = text.lines().find_map(|line| line.strip_prefix(name)).context("no such metric")?;
        anyhow::Ok(value.parse::<f64>()?)
    };
    let two_days = 2.0 * 86_400.0;
    let now = || now_ns() as f64 / 1e9;
    let first = expiry().await?;
    ensure!((first - now() - two_days).abs() < 600.0, "{first}");
    // Times are whole seconds: a second later its end differs.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    authority.issue("own");
    while expiry().await? == first {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(expiry().await? > first);
    Ok(())
}
