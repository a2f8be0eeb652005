//! `flamelake-sim`: plays stories on all cores and prints what failed, or one story with its trace.
//!
//! | variable | |
//! |---|---|
//! | `SEED` | play this one and print its trace |
//! | `SEEDS` | how many to play otherwise, 10000 if it is not set |
//! | `FIRST` | the first one, 1 if it is not set |
//! | `PLANT` | a bug to plant: `AcknowledgeBeforeDurable`, `CommitWithoutCovered` or `IgnoreWatermarks` |

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flamelake_runtime::clock::SystemClock;
use flamelake_sim::{Plant, Report, run, run_traced};

/// Failing seeds that are shown in full; more are only named.
const SHOWN_MAX: usize = 10;

fn number(name: &str, default: u64) -> Result<u64, String> {
    match std::env::var(name) {
        Ok(text) => text.trim().parse().map_err(|_| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}

fn plant() -> Result<Plant, String> {
    let Ok(name) = std::env::var("PLANT") else { return Ok(Plant::Nothing) };
    let found = Plant::ALL.into_iter().find(|plant| format!("{plant:?}") == name);
    found.ok_or_else(|| format!("PLANT={name} is none of {:?}", Plant::ALL))
}

fn start() -> Result<bool, String> {
    let plant = plant()?;
    match std::env::var_os("SEED") {
        Some(_) => Ok(replay(number("SEED", 0)?, plant)),
        None => Ok(play_all(number("FIRST", 1)?, number("SEEDS", 10_000)?, plant)),
    }
}

fn main() -> ExitCode {
    let outcome = start();
    let mut err = std::io::stderr().lock();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(err, "{error}");
            ExitCode::FAILURE
        }
    }
}

/// True if all promises were kept.
fn replay(seed: u64, plant: Plant) -> bool {
    let report = run_traced(seed, plant);
    let mut out = std::io::stdout().lock();
    for line in &report.trace {
        // Nobody may be reading on.
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    let _ = writeln!(out, "{}", summary(&report));
    for failure in &report.failures {
        let _ = writeln!(out, "  {failure}");
    }
    report.failures.is_empty()
}

fn summary(report: &Report) -> String {
    format!(
        "seed {}: {} events in {:.1} s of its time, {} frames acknowledged, {} not, {} queries answered, {} not, trace {:016x}: {}",
        report.seed,
        report.events,
        report.took.as_secs_f64(),
        report.acknowledged,
        report.refused,
        report.answered,
        report.unanswered,
        report.hash,
        if report.failures.is_empty() { "all promises kept" } else { "FAILED" }
    )
}

#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    answered: AtomicU64,
    unanswered: AtomicU64,
    done: AtomicU64,
}

/// True if all promises were kept in all of them.
fn play_all(first: u64, count: u64, plant: Plant) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, totals, failed) = (AtomicU64::new(first), Totals::default(), Mutex::new(Vec::<Report>::new()));
    let finished = AtomicBool::new(false);
    let clock = SystemClock::shared();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&next, first + count, plant, &totals, &failed))).collect();
        scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(2));
                show(&totals, count, failed.lock().map_or(0, |failed| failed.len()), clock.monotonic());
            }
        });
        for worker in workers {
            let _ = worker.join();
        }
        finished.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    for report in failed.iter().take(SHOWN_MAX) {
        let _ = writeln!(out, "{}", summary(report));
        report.failures.iter().for_each(|failure| drop(writeln!(out, "  {failure}")));
        let _ = writeln!(out, "  replay: SEED={} make sim", report.seed);
    }
    for report in failed.iter().skip(SHOWN_MAX) {
        let _ = writeln!(out, "seed {} FAILED: {}", report.seed, report.failures.first().map_or("", String::as_str));
    }
    let seconds = clock.monotonic().as_secs_f64();
    let played = totals.done.load(Ordering::Relaxed);
    let _ = writeln!(
        out,
        "seeds {first} to {}: {} of {played} failed; {} frames acknowledged, {} queries answered, {} not; {seconds:.0} s, {:.0} seeds a minute",
        first + count - 1,
        failed.len(),
        totals.acknowledged.load(Ordering::Relaxed),
        totals.answered.load(Ordering::Relaxed),
        totals.unanswered.load(Ordering::Relaxed),
        played as f64 / seconds * 60.0
    );
    failed.is_empty() && played == count
}

fn work(next: &AtomicU64, end: u64, plant: Plant, totals: &Totals, failed: &Mutex<Vec<Report>>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let report = run(seed, plant);
        totals.acknowledged.fetch_add(report.acknowledged, Ordering::Relaxed);
        totals.answered.fetch_add(report.answered, Ordering::Relaxed);
        totals.unanswered.fetch_add(report.unanswered, Ordering::Relaxed);
        totals.done.fetch_add(1, Ordering::Relaxed);
        if let Some(first) = report.failures.first() {
            // At once: whoever waits for ten thousand need not.
            let _ = writeln!(std::io::stderr().lock(), "seed {seed} FAILED: {first}");
        }
        if !report.failures.is_empty()
            && let Ok(mut failed) = failed.lock()
        {
            failed.push(report);
        }
    }
}

fn show(totals: &Totals, count: u64, failed: usize, elapsed: Duration) {
    let done = totals.done.load(Ordering::Relaxed);
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001) * 60.0;
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{done} of {count} seeds, {failed} failed, {rate:.0} a minute");
}
