//! Promise P1 and P2 at the worst moments: the process dies right before or right after a chosen write of a flush, of a catalog commit, of a
//! log, or of a start.
#![expect(clippy::print_stdout, reason = "which points were met is what a reader of the test wants to see")]

use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::ledger::Pushers;
use flamelake_integration_tests::{Server, ServerOptions};
use flamelake_testkit::seeded_rng;
use rand::Rng;
use rand::seq::SliceRandom;

/// Long enough for several flushes, each of which passes every point.
const DEAD_WITHIN: Duration = Duration::from_secs(40);

const FLUSH: [&str; 10] = [
    "put /series.parquet",
    "put /profiles.parquet",
    "put /samples.parquet",
    "put /stacks.parquet",
    "put /fnstacks.parquet",
    "put /frames.parquet",
    "put /functions.parquet",
    "put /block.json",
    "create /catalog/0",
    "create /catalog/checkpoints/",
];

/// Dies once before and once after each write, in random order, at its first to `nth_max`-th turn of a life.
async fn run(who: &str, writes: &[&str], nth_max: u32, flags: &[&str]) -> anyhow::Result<()> {
    let mut rng = seeded_rng(who);
    let quick = ["ingester.flush-interval=200ms", "ingester.retain-after-commit=1s", "catalog.checkpoint-every=2"];
    let options = ServerOptions::new().fast_pushes().flags(quick).flags(flags.iter().copied());
    let mut server = Server::start(options).await?;
    let pushers = Pushers::start(&server, 3);
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.kill()?;
    let mut points: Vec<(&str, &str)> =
        writes.iter().flat_map(|write| [(*write, "abort-before"), (*write, "abort-after")]).collect();
    points.shuffle(&mut rng);
    for (write, fault) in points {
        let point = format!("{write} {fault} nth:{}", rng.random_range(1..=nth_max));
        println!("{point}");
        server.set_flags(&[format!("testing.storage-faults={point}")]);
        let status = server.launch_until_death(DEAD_WITHIN).await?;
        ensure!(status.code().is_none(), "{point}: ended with {status}");
        if rng.random_range(0..4) == 0 {
            server.set_flags(&[]);
            server.launch().await?;
            pushers.ledger().account(&server.client()).await?;
            server.kill()?;
        }
    }
    server.set_flags(&[]);
    server.launch().await?;
    let ledger = pushers.stop().await?;
    ledger.account_at_rest(&server.client()).await?;
    server.flush().await?;
    ledger.account_at_rest(&server.client()).await?;
    server.restart().await?;
    ledger.account_at_rest(&server.client()).await?;
    let troubles = server.troubles();
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}

#[tokio::test]
async fn survives_death_at_every_write_of_a_flush() -> anyhow::Result<()> {
    run("survives_death_at_every_write_of_a_flush", &FLUSH, 2, &[]).await
}

/// The log lies in the bucket too: its segments, its end marks, its deletions.
#[tokio::test]
async fn survives_death_at_writes_of_a_log_in_a_bucket() -> anyhow::Result<()> {
    let writes = ["create log/", "delete log/", "create /catalog/0", "put /samples.parquet"];
    let flags = ["log.url=bucket", "log.flush-interval=20ms", "log.tombstone-keep=1h"];
    run("survives_death_at_writes_of_a_log_in_a_bucket", &writes, 3, &flags).await
}
