//! Promise P6: over a store that is slow, fails and loses answers, nothing is lost or doubled, and flushes come through in the end.
#![expect(clippy::disallowed_methods, reason = "a test outside of the server takes real time")]
#![expect(clippy::print_stdout, reason = "the account is what a reader of the test wants to see")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use flamelake_integration_tests::faults::around;
use flamelake_integration_tests::ledger::Pushers;
use flamelake_integration_tests::{Server, ServerOptions};
use flamelake_testkit::seeded_rng;
use rand::Rng;
use rand::rngs::StdRng;

/// How long it runs before each of the kills, and after the last one.
const LIFE: Duration = Duration::from_secs(5);
const FLUSHED_WITHIN: Duration = Duration::from_secs(120);

/// A start that meets a fault may give up; a supervisor would try again.
async fn launch(server: &mut Server, faults: &str, rng: &mut StdRng) -> anyhow::Result<()> {
    for _ in 0..50 {
        let seed = rng.random_range(0..1_000_000);
        server.set_flags(&[format!("testing.storage-faults={faults}"), format!("testing.storage-faults-seed={seed}")]);
        if server.launch().await.is_ok() {
            return Ok(());
        }
    }
    bail!("50 starts failed")
}

async fn run(who: &str, faults: &str, flags: &[&str]) -> anyhow::Result<()> {
    let mut rng = seeded_rng(who);
    let quick = ["ingester.flush-interval=300ms", "ingester.retain-after-commit=1s", "storage.attempts-max=2"];
    let options = ServerOptions::new().fast_pushes().flags(quick).flags(flags.iter().copied());
    let mut server = Server::start(options).await?;
    let pushers = Pushers::start(&server, 3);
    let (mut flushes, mut failures) = (0.0, 0.0);
    for _ in 0..3 {
        server.kill()?;
        launch(&mut server, faults, &mut rng).await?;
        let until = Instant::now() + around(&mut rng, LIFE);
        while Instant::now() < until {
            tokio::time::sleep(around(&mut rng, Duration::from_millis(200))).await;
            // Forced, whatever comes of it.
            server.client().post_status("/ingester/flush").await?;
        }
        flushes += server.metric("flamelake_ingester_flushes_total").await?;
        failures += server.metric("flamelake_ingester_flush_failures_total").await?;
        pushers.ledger().account(&server.client()).await?;
    }
    println!("flushes {flushes}, failed {failures}");
    ensure!(flushes > 0.0, "no flush came through");
    ensure!(failures > 0.0, "no flush failed: the faults were too kind");
    let ledger = pushers.stop().await?;
    let begun = Instant::now();
    while server.client().post_status("/ingester/flush").await? >= 300 {
        ensure!(begun.elapsed() < FLUSHED_WITHIN, "no flush came through at the end");
    }
    ledger.account_at_rest(&server.client()).await?;
    server.kill()?;
    server.set_flags(&[]);
    server.launch().await.context("with a good store again")?;
    ledger.account_at_rest(&server.client()).await?;
    server.flush().await?;
    ledger.account_at_rest(&server.client()).await?;
    let troubles = server.troubles();
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}

#[tokio::test]
async fn blocks_and_catalogs_on_a_bad_store() -> anyhow::Result<()> {
    let faults = "any tenants/ fail chance:15; write tenants/ lose-answer chance:10; any * delay:50ms";
    run("blocks_and_catalogs_on_a_bad_store", faults, &[]).await
}

#[tokio::test]
async fn the_log_too_on_a_bad_store() -> anyhow::Result<()> {
    let faults = "any tenants/ fail chance:15; any log/ fail chance:5; write * lose-answer chance:10; any * delay:20ms";
    run("the_log_too_on_a_bad_store", faults, &["log.url=bucket", "log.flush-interval=20ms"]).await
}
