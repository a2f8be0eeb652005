//! A full disk: pushes are refused with a word about what to do, questions are answered, nothing acknowledged is lost, and once there is
//! room everything goes on by itself.
#![expect(clippy::disallowed_methods, reason = "it waits for a real process")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use flamelake_integration_tests::faults::files;
use flamelake_integration_tests::ledger::Pushers;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request, skip};

const WITHIN: Duration = Duration::from_secs(30);
/// More than the zeros that a record can end in.
const RECORD_END_BYTES: u64 = 16;

/// Takes all room that is left.
fn fill(server: &Server, name: &str) -> anyhow::Result<PathBuf> {
    let path = server.data().join(name);
    let mut file = File::create(&path)?;
    for size in [1 << 20, 4096, 1] {
        let piece = vec![1_u8; size];
        while file.write_all(&piece).is_ok() {}
    }
    Ok(path)
}

/// Pushes until one is refused; the refusal says why and what to do.
async fn refused(server: &Server) -> anyhow::Result<()> {
    let begun = Instant::now();
    let labels = [("__name__", "process_cpu"), ("service_name", "filler")];
    let mut last = String::new();
    while begun.elapsed() < WITHIN {
        // Outside of what the ledger asks for.
        let request = push_request(&labels, vec![(cpu_profile("filler 1", now_ns() - 3_000_000_000_000), "")]);
        if let Err(error) = push(&server.client(), &request).await? {
            if error.code == "resource_exhausted" && error.message.contains("free some space") {
                return Ok(());
            }
            last = error.to_string();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("no push was refused for want of space: {last:?}")
}

async fn goes_on(pushers: &Pushers) -> anyhow::Result<()> {
    let (before, begun) = (pushers.ledger().acknowledged(), Instant::now());
    while pushers.ledger().acknowledged() < before + 20 {
        ensure!(begun.elapsed() < WITHIN, "pushes do not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn run(server: Option<Server>, who: &str) -> anyhow::Result<()> {
    let Some(mut server) = server else {
        skip(who, "a file system of its own cannot be mounted");
        return Ok(());
    };
    let pushers = Pushers::start(&server, 3);
    goes_on(&pushers).await?;
    server.flush().await?;

    let ballast = fill(&server, "ballast")?;
    refused(&server).await?;
    pushers.ledger().account(&server.client()).await?;
    let status = server.client().post_status("/ingester/flush").await?;
    ensure!(status >= 400, "a flush to a full disk answers {status}");
    ensure!(server.metric("flamelake_ingester_flush_failures_total").await? > 0.0, "not counted");
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(server.client().get_status("/ready").await? == 200, "not ready");
    pushers.ledger().account(&server.client()).await?;
    fs::remove_file(&ballast)?;
    goes_on(&pushers).await?;
    server.flush().await?;
    pushers.ledger().account(&server.client()).await?;

    let ballast = fill(&server, "ballast")?;
    refused(&server).await?;
    server.kill()?;
    // What the log had reserved goes too: there is no room even for an end mark. A record may end in zeros of its own.
    for log in files(&server.data())?.iter().filter(|path| path.extension().is_some_and(|e| e == "log")) {
        let used = fs::read(log)?.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let kept = fs::metadata(log)?.len().min(used as u64 + RECORD_END_BYTES);
        File::options().write(true).open(log)?.set_len(kept)?;
    }
    let more = fill(&server, "more")?;
    server.launch().await?;
    ensure!(server.log().contains("no log can be opened"), "there was room for a log");
    pushers.ledger().account(&server.client()).await?;
    refused(&server).await?;
    fs::remove_file(&ballast)?;
    fs::remove_file(&more)?;
    goes_on(&pushers).await?;
    server.flush().await?;
    let ledger = pushers.stop().await?;
    ledger.account_at_rest(&server.client()).await?;
    server.restart().await?;
    ledger.account_at_rest(&server.client()).await?;
    let left: Vec<PathBuf> =
        files(&server.data())?.into_iter().filter(|path| path.to_string_lossy().contains('#')).collect();
    ensure!(left.is_empty(), "unfinished files are left: {left:?}");
    let mut troubles = server.troubles();
    troubles.retain(|line| !line.contains("no log can be opened"));
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}

fn options() -> ServerOptions {
    ServerOptions::new().fast_pushes().flags(["ingester.flush-interval=2s", "ingester.retain-after-commit=1s"])
}

#[tokio::test]
async fn a_full_tmpfs() -> anyhow::Result<()> {
    run(Server::start_on_tmpfs(options(), "32m").await?, "a_full_tmpfs").await
}

/// Where folders take room too.
#[tokio::test]
async fn a_full_ext4() -> anyhow::Result<()> {
    run(Server::start_on_ext4(options(), "48M").await?, "a_full_ext4").await
}
