//! Pushes all requests over many connections and measures what the server spends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::fleet::Requests;
use crate::process::ServerProcess;
use crate::report::Report;

const PUSH: &str = "/push.v1.PusherService/Push";
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Outcome {
    profiles: usize,
    elapsed: Duration,
    cpu_seconds: Option<f64>,
    resident_peak: Option<u64>,
    latencies: Vec<Duration>,
    refused: Vec<String>,
}

impl Outcome {
    /// Adds its figures.
    pub(crate) fn report(mut self, report: &mut Report) {
        self.latencies.sort_unstable();
        if let Some(cpu) = self.cpu_seconds.filter(|cpu| *cpu > 0.0) {
            report.figure("profiles per CPU second", self.latencies.len() as f64 / cpu, "1/s");
        }
        report.figure("profiles per second", self.latencies.len() as f64 / self.elapsed.as_secs_f64(), "1/s");
        report.figure("acknowledgement p50", millis(percentile(&self.latencies, 0.50)), "ms");
        report.figure("acknowledgement p99", millis(percentile(&self.latencies, 0.99)), "ms");
        if let Some(peak) = self.resident_peak {
            report.figure("resident memory: peak while pushing", peak as f64 / 1e6, "MB");
        }
        report.figure("pushes refused", self.refused.len() as f64, "");
        if let Some(first) = self.refused.first() {
            eprintln!("{} of {} pushes were refused, the first with {first}", self.refused.len(), self.profiles);
        }
    }
}

/// In milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of sorted values; zero of none.
pub(crate) fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Every request once; refused ones are counted, not repeated.
pub(crate) async fn push_all(
    url: &str,
    tenant: &str,
    connections: usize,
    requests: Requests,
    server: Option<&ServerProcess>,
) -> anyhow::Result<Outcome> {
    let profiles = requests.len();
    let queue = Arc::new(Mutex::new(VecDeque::from(requests.into_vec())));
    let done = Arc::new(AtomicBool::new(false));
    let watch = server.map(|server| tokio::spawn(peak(server.clone(), Arc::clone(&done))));
    let cpu_before = server.map(ServerProcess::cpu_seconds).transpose()?;
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections.max(1))
        .map(|_| tokio::spawn(worker(format!("{url}{PUSH}"), tenant.to_owned(), Arc::clone(&queue))))
        .collect();
    let (mut latencies, mut refused) = (Vec::new(), Vec::new());
    for worker in workers {
        let (took, failed) = worker.await.context("a connection's task")??;
        latencies.extend(took);
        refused.extend(failed);
    }
    let elapsed = begun.elapsed();
    let cpu_seconds = match (server, cpu_before) {
        (Some(server), Some(before)) => Some(server.cpu_seconds()? - before),
        _ => None,
    };
    done.store(true, Ordering::Relaxed);
    let resident_peak = match watch {
        Some(watch) => Some(watch.await?),
        None => None,
    };
    ensure!(!latencies.is_empty(), "no push was taken: {:?}", refused.first());
    Ok(Outcome { profiles, elapsed, cpu_seconds, resident_peak, latencies, refused })
}

/// One connection: takes the next request until none is left.
async fn worker(
    url: String,
    tenant: String,
    queue: Arc<Mutex<VecDeque<Vec<u8>>>>,
) -> anyhow::Result<(Vec<Duration>, Vec<String>)> {
    let client = client()?;
    let (mut latencies, mut refused) = (Vec::new(), Vec::new());
    loop {
        let Some(body) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) else {
            return Ok((latencies, refused));
        };
        let begun = Instant::now();
        let request = client.post(&url).header("content-type", "application/proto").header("x-scope-orgid", &tenant);
        match request.body(body).send().await {
            Ok(response) if response.status().is_success() => latencies.push(begun.elapsed()),
            Ok(response) => {
                refused.push(format!("{}: {}", response.status(), response.text().await.unwrap_or_default()))
            }
            Err(error) => refused.push(format!("{error:?}")),
        }
    }
}

async fn peak(server: ServerProcess, done: Arc<AtomicBool>) -> u64 {
    let mut peak = 0;
    while !done.load(Ordering::Relaxed) {
        peak = peak.max(server.resident_bytes().unwrap_or(0));
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
    peak
}

/// A client with one connection of its own.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().pool_max_idle_per_host(1).timeout(Duration::from_secs(120)).no_proxy().build()?)
}

/// An empty POST that must succeed.
pub(crate) async fn post(url: &str, path: &str) -> anyhow::Result<()> {
    client()?.post(format!("{url}{path}")).send().await?.error_for_status()?;
    Ok(())
}
