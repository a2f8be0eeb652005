//! Promise P5 at the socket: clients that stall, break off, send too much or only sit there hold up nobody else, and leave nothing behind.
#![expect(clippy::disallowed_methods, reason = "it waits for a real process")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PUSH: &str = "POST /push.v1.PusherService/Push HTTP/1.1\r\nhost: x\r\ncontent-type: application/proto\r\n";
const MIB: u64 = 1 << 20;
/// How far memory may grow under any of this.
const GROWTH_BYTES_MAX: u64 = 192 * MIB;
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

async fn connect(server: &Server) -> anyhow::Result<TcpStream> {
    Ok(TcpStream::connect(server.url().trim_start_matches("http://")).await?)
}

/// Pushes and asks on connections of its own, each within a few seconds.
async fn serves(server: &Server) -> anyhow::Result<()> {
    let asked = async {
        push_cpu(&server.client(), "calm", "main 1", now_ns()).await?;
        flame(&server.client(), r#"{service_name="calm"}"#, Range::around_now()).await
    };
    let tree = tokio::time::timeout(Duration::from_secs(5), asked).await.context("no answer within 5 s")??;
    ensure!(tree["main"].0 > 0, "{tree:?}");
    Ok(())
}

/// Waits until open files are as few as before.
async fn settles(server: &Server, files_before: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    // A few of the test's own connections may be kept alive.
    while server.open_files()? > files_before + 16 {
        ensure!(begun.elapsed() < SETTLED_WITHIN, "{} open files, {files_before} before", server.open_files()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Runs something and checks that nothing of it stays.
async fn bears(server: &Server, harm: impl AsyncFnOnce(&Server) -> anyhow::Result<()>) -> anyhow::Result<()> {
    serves(server).await?;
    let (files, memory) = (server.open_files()?, server.memory_bytes()?);
    harm(server).await?;
    settles(server, files).await?;
    let grown = server.memory_bytes()?.saturating_sub(memory);
    ensure!(grown < GROWTH_BYTES_MAX, "memory grew by {} MiB", grown / MIB);
    serves(server).await?;
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn a_thousand_idle_connections() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    bears(&server, async |server| {
        let mut idle = Vec::new();
        for _ in 0..1000 {
            idle.push(connect(server).await?);
        }
        serves(server).await?;
        ensure!(server.open_files()? > 1000, "they are open");
        Ok(())
    })
    .await
}

/// The bound of open files is lower than the number of connections: files can still be opened, and whoever is connected is served.
#[tokio::test]
async fn more_connections_than_open_files() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().open_files_max(128)).await?;
    let client = server.client();
    push_cpu(&client, "calm", "main 1", now_ns()).await?;
    let mut idle = Vec::new();
    // More would not fit the listen queue of a common kernel.
    for _ in 0..140 {
        idle.push(connect(&server).await?);
    }
    // On its kept connection; a flush opens many files.
    for n in 0..20 {
        push_cpu(&client, "calm", "main 1", now_ns() + n).await?;
        ensure!(client.post_status("/ingester/flush").await? < 300, "a flush");
        flame(&client, r#"{service_name="calm"}"#, Range::around_now()).await?;
    }
    drop(idle);
    serves(&server).await?;
    ensure!(!server.log().contains("Too many open files"), "{}", server.log());
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn heads_and_bodies_that_never_end() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    bears(&server, async |server| {
        let mut slow = Vec::new();
        for n in 0..400 {
            let mut stream = connect(server).await?;
            let begin = match n % 4 {
                0 => "POST /push.v1.Pus".to_owned(),
                1 => PUSH.to_owned(),
                2 => format!("{PUSH}content-length: 1000000\r\n\r\n1234"),
                _ => format!("{PUSH}transfer-encoding: chunked\r\n\r\n4\r\n12"),
            };
            stream.write_all(begin.as_bytes()).await?;
            slow.push(stream);
        }
        // Byte by byte, as slowly as it takes to stay connected.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for stream in &mut slow {
                let _ = stream.write_all(b"1").await;
            }
            serves(server).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn half_closed_and_reset_in_the_middle() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    bears(&server, async |server| {
        for n in 0..300 {
            let mut stream = connect(server).await?;
            stream.write_all(format!("{PUSH}content-length: 100000\r\n\r\n").as_bytes()).await?;
            stream.write_all(&vec![1; 5_000]).await?;
            match n % 3 {
                // Nothing more will come, but an answer is awaited.
                0 => {
                    stream.shutdown().await?;
                    let mut answer = Vec::new();
                    let read = stream.read_to_end(&mut answer);
                    let _ = tokio::time::timeout(Duration::from_secs(5), read).await.context("left hanging")?;
                }
                // A reset.
                1 => stream.set_zero_linger()?,
                _ => {}
            }
        }
        Ok(())
    })
    .await
}

/// 64 bodies of a gigabyte each at the same time, in chunks, so that no length warns of them.
#[tokio::test]
async fn bodies_beyond_the_limit_in_chunks() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().flag("server.request-bodies-bytes-max=64MiB")).await?;
    bears(&server, async |server| {
        let chunk = [format!("{:x}\r\n", MIB).into_bytes(), vec![7; MIB as usize], b"\r\n".to_vec()].concat();
        let send = async |server: &Server| -> anyhow::Result<u64> {
            let mut stream = connect(server).await?;
            stream.write_all(format!("{PUSH}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            for sent in 0..1024_u64 {
                let written = tokio::time::timeout(Duration::from_secs(20), stream.write_all(&chunk)).await;
                // Cut off, or no longer read: both end it.
                if !matches!(written, Ok(Ok(()))) {
                    return Ok(sent);
                }
            }
            Ok(1024)
        };
        let sent = futures::future::join_all((0..64).map(|_| send(server))).await;
        for sent in sent {
            let sent = sent?;
            ensure!(sent < 1024, "a gigabyte was read to its end");
        }
        serves(server).await
    })
    .await
}
