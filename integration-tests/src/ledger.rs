//! A ledger of what was sent and what was acknowledged: the judge of promises P1 and P2.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinHandle;

use crate::answers::{Range, flame, flame_sum, series_sum};
use crate::pushes::push;
use crate::{Client, Server, Tree, cpu_profile, now_ns, push_request};

/// Clients that push at the same time.
const CLIENTS: usize = 6;
/// How long a question that meets a failing store is asked again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What was sent and what was acknowledged. Every frame has the value 1.
#[derive(Debug)]
pub struct Ledger {
    range: Range,
    sent: Mutex<HashSet<String>>,
    acknowledged: Mutex<HashSet<String>>,
    stop: AtomicBool,
}

/// Clients that push until they are stopped.
#[derive(Debug)]
pub struct Pushers {
    ledger: Arc<Ledger>,
    clients: Vec<JoinHandle<()>>,
}

impl Pushers {
    /// Lets several clients push; the first `retrying` of them send the same bytes until these are acknowledged.
    pub fn start(server: &Server, retrying: usize) -> Self {
        Self::over(&[server.client()], retrying)
    }

    /// The same over several entrances, which take turns.
    pub fn over(entrances: &[Client], retrying: usize) -> Self {
        let ledger = Arc::new(Ledger {
            range: Range::around_now(),
            sent: Mutex::default(),
            acknowledged: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let start_ns = now_ns() - 1_200_000_000_000;
        let client = |n: usize| {
            let entrance = entrances[n % entrances.len()].clone();
            tokio::spawn(Arc::clone(&ledger).push(entrance, n, n < retrying, start_ns))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { ledger, clients }
    }

    /// The ledger, while clients go on.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Stops the clients and hands out the ledger.
    pub async fn stop(self) -> anyhow::Result<Arc<Ledger>> {
        self.ledger.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await?;
        }
        Ok(self.ledger)
    }
}

impl Ledger {
    /// Pushes frames of its own until told to stop.
    async fn push(self: Arc<Self>, client: Client, number: usize, retries: bool, start_ns: i64) {
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
            lock(&self.sent).insert(name.clone());
            loop {
                if matches!(push(&client, &request).await, Ok(Ok(()))) {
                    lock(&self.acknowledged).insert(name);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                if !retries || self.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }

    /// How many frames were acknowledged.
    pub fn acknowledged(&self) -> usize {
        lock(&self.acknowledged).len()
    }

    /// Every acknowledged frame once, nothing twice, nothing that was never sent. Clients may go on meanwhile.
    pub async fn account(&self, client: &Client) -> anyhow::Result<()> {
        let acknowledged = lock(&self.acknowledged).clone();
        let tree = patiently(|| flame(client, "{}", self.range)).await?;
        self.judge(&tree, &acknowledged)
    }

    /// The same, and series tell the same as flame graphs. Clients must have stopped.
    pub async fn account_at_rest(&self, client: &Client) -> anyhow::Result<()> {
        let acknowledged = lock(&self.acknowledged).clone();
        let tree = patiently(|| flame(client, "{}", self.range)).await?;
        self.judge(&tree, &acknowledged)?;
        let series = patiently(|| series_sum(client, "{}", self.range)).await?;
        ensure!(series == flame_sum(&tree) as f64, "series {series}, flame graph {}", flame_sum(&tree));
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "the account is what a reader of the test wants to see")]
    fn judge(&self, tree: &Tree, acknowledged: &HashSet<String>) -> anyhow::Result<()> {
        let sent = lock(&self.sent).clone();
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
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks until an answer comes: the store under the server may be made to fail.
async fn patiently<T, F: Future<Output = anyhow::Result<T>>>(ask: impl Fn() -> F) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < ANSWERED_WITHIN => tokio::time::sleep(Duration::from_millis(100)).await,
            answer => return answer,
        }
    }
}
