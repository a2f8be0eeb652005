//! Promise P1 and P2: what was acknowledged is there exactly once, whatever the moment of a SIGKILL.
#![expect(clippy::print_stdout, reason = "the account is what a reader of the test wants to see")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame, flame_sum, series_sum};
use flamelake_integration_tests::faults::around;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_request};
use flamelake_testkit::seeded_rng;

const CLIENTS: usize = 6;

/// What was sent and what was acknowledged. Every frame has the value 1.
#[derive(Debug, Default)]
struct Ledger {
    sent: Mutex<HashSet<String>>,
    acknowledged: Mutex<HashSet<String>>,
    stop: AtomicBool,
}

impl Ledger {
    /// Pushes frames of its own until told to stop. Those that retry send the same bytes until they are acknowledged.
    async fn client(self: Arc<Self>, client: Client, number: usize, retries: bool, start_ns: i64) {
        for k in 0_i64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("c{number}_{k:06}");
            let time_ns = start_ns + (k % 500) * 1_000_000_000 + number as i64 * 1_000_000 + k;
            let service = format!("svc{}", number % 3);
            let pod = format!("p{number}");
            let labels = [("__name__", "process_cpu"), ("pod", pod.as_str()), ("service_name", service.as_str())];
            let request = push_request(&labels, vec![(cpu_profile(&format!("main;{name} 1"), time_ns), "")]);
            self.sent.lock().unwrap().insert(name.clone());
            loop {
                if matches!(push(&client, &request).await, Ok(Ok(()))) {
                    self.acknowledged.lock().unwrap().insert(name);
                    break;
                }
                if !retries || self.stop.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Every acknowledged frame once, nothing twice, nothing that was never sent, series = flame graph.
    async fn account(&self, client: &Client, range: Range) -> anyhow::Result<()> {
        let tree = flame(client, "{}", range).await?;
        let (sent, acknowledged) = (self.sent.lock().unwrap().clone(), self.acknowledged.lock().unwrap().clone());
        let seen: Vec<(&str, i64)> =
            tree.iter().filter_map(|(path, sums)| Some((path.strip_prefix("main;")?, sums.1))).collect();
        let names: HashSet<&str> = seen.iter().map(|(name, _)| *name).collect();
        let lost: Vec<_> = acknowledged.iter().filter(|name| !names.contains(name.as_str())).collect();
        let doubled: Vec<_> = seen.iter().filter(|(_, count)| *count != 1).collect();
        let ghosts: Vec<_> = names.iter().filter(|name| !sent.contains(**name)).collect();
        println!(
            "sent {}, acknowledged {}, present {}, lost {}, doubled {}, ghosts {}",
            sent.len(),
            acknowledged.len(),
            seen.len(),
            lost.len(),
            doubled.len(),
            ghosts.len()
        );
        ensure!(!acknowledged.is_empty(), "nothing was acknowledged");
        ensure!(lost.is_empty(), "lost: {lost:?}");
        ensure!(doubled.is_empty(), "counted more than once: {doubled:?}");
        ensure!(ghosts.is_empty(), "never sent: {ghosts:?}");
        let series = series_sum(client, "{}", range).await?;
        ensure!(series == flame_sum(&tree) as f64, "series {series}, flame graph {}", flame_sum(&tree));
        Ok(())
    }
}

async fn run(who: &str, kills: usize, mean: Duration, retrying_clients: usize, flags: &[&str]) -> anyhow::Result<()> {
    let mut rng = seeded_rng(who);
    let limits = ["distributor.ingestion-rate-limit-mb=1000", "distributor.ingestion-burst-size-mb=2000"];
    let options = ServerOptions::new().flags(limits).flags(flags.iter().copied());
    let mut server = Server::start(options).await?;
    let range = Range::around_now();
    let ledger = Arc::new(Ledger::default());
    let start_ns = now_ns() - 1_200_000_000_000;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(Arc::clone(&ledger).client(server.client(), n, n < retrying_clients, start_ns)))
        .collect();
    let mut ready = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(around(&mut rng, mean)).await;
        ready.push(server.crash().await?);
    }
    tokio::time::sleep(mean).await;
    ledger.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await?;
    }
    println!("slowest start {:?}", ready.iter().max());
    ledger.account(&server.client(), range).await?;
    server.flush().await?;
    ledger.account(&server.client(), range).await?;
    server.restart().await?;
    ledger.account(&server.client(), range).await?;
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
