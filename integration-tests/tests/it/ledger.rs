//! Promise P1 and P2: what was acknowledged is there exactly once, whatever the moment of a SIGKILL.
#![expect(clippy::print_stdout, reason = "the account is what a reader of the test wants to see")]

use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::faults::around;
use flamelake_integration_tests::ledger::Pushers;
use flamelake_integration_tests::{Server, ServerOptions};
use flamelake_testkit::seeded_rng;

async fn run(who: &str, kills: usize, mean: Duration, retrying_clients: usize, flags: &[&str]) -> anyhow::Result<()> {
    let mut rng = seeded_rng(who);
    let mut server = Server::start(ServerOptions::new().fast_pushes().flags(flags.iter().copied())).await?;
    let pushers = Pushers::start(&server, retrying_clients);
    let mut ready = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(around(&mut rng, mean)).await;
        ready.push(server.crash().await?);
    }
    tokio::time::sleep(mean).await;
    let ledger = pushers.stop().await?;
    println!("slowest start {:?}", ready.iter().max());
    ledger.account_at_rest(&server.client()).await?;
    server.flush().await?;
    ledger.account_at_rest(&server.client()).await?;
    server.restart().await?;
    ledger.account_at_rest(&server.client()).await?;
    let troubles = server.troubles();
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}

/// `FLAMELAKE_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("FLAMELAKE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn survives_twenty_kills() -> anyhow::Result<()> {
    run("survives_twenty_kills", kills(), Duration::from_millis(700), 0, &[]).await
}

#[tokio::test]
async fn survives_kills_while_it_cuts_blocks_and_clients_retry() -> anyhow::Result<()> {
    let flags = ["ingester.flush-interval=300ms", "ingester.retain-after-commit=1s"];
    run("survives_kills_while_it_cuts_blocks", kills(), Duration::from_millis(700), 3, &flags).await
}
