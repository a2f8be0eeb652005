//! The CPU profiler: a timer of the kernel interrupts whoever runs, and the stack is noted.
//!
//! A process has one such timer, so profiles are taken in turn: who profiles all the time gives way to a person, and of persons one profiles
//! and one waits.

use std::sync::Arc;
use std::time::Duration;

use flamelake_model::StatusError;
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::spawn_blocking;
use tokio::sync::{Mutex, Notify, Semaphore};

use super::own_symbols::OwnSymbols;
use super::stacks::{Line, Stacks, Taken};

/// Not 100, so that it does not keep step with what happens every hundredth of a second.
const SAMPLES_A_SECOND: i32 = 99;
const PERIOD_NANOS: i64 = 1_000_000_000 / SAMPLES_A_SECOND as i64;
/// Persons at once: one profiles, one waits for it.
const PERSONS_MAX: usize = 2;
/// Code in these libraries may hold what unwinding needs: who is interrupted there is left out.
const NOT_UNWOUND: [&str; 4] = ["libc.so", "libgcc", "pthread", "vdso"];

/// See the module.
#[derive(Debug)]
pub(crate) struct CpuProfiler {
    clock: SharedClock,
    turn: Mutex<()>,
    persons: Semaphore,
    /// A person waits.
    asked: Notify,
    symbols: Arc<OwnSymbols>,
}

impl CpuProfiler {
    pub(crate) fn new(clock: SharedClock) -> Self {
        let (turn, persons, asked) = (Mutex::new(()), Semaphore::new(PERSONS_MAX), Notify::new());
        Self { clock, turn, persons, asked, symbols: Arc::default() }
    }

    /// A profile for a person: gzipped pprof, at once.
    pub(crate) async fn profile(&self, time: Duration) -> Result<Vec<u8>, StatusError> {
        let Ok(_person) = self.persons.try_acquire() else {
            let message = "others take CPU profiles of this process already: ask again when they are done";
            return Err(StatusError::resource_exhausted(message));
        };
        self.asked.notify_one();
        let _turn = self.turn.lock().await;
        Ok(self.sample(self.clock.sleep(time)).await?.bytes)
    }

    /// A profile of this time, or of less if a person wants one; `None` if the process did nothing.
    pub(super) async fn slice(&self, time: Duration) -> Result<Option<Vec<u8>>, StatusError> {
        let _turn = self.turn.lock().await;
        let until = async {
            tokio::select! {
                () = self.clock.sleep(time) => {}
                () = self.asked.notified() => {}
            }
        };
        let taken = self.sample(until).await?;
        Ok((!taken.is_empty).then_some(taken.bytes))
    }

    /// Dropped before its end it stops the timer.
    async fn sample(&self, until: impl Future<Output = ()>) -> Result<CpuProfile, StatusError> {
        let failed =
            |what: &str, error: String| StatusError::internal(format!("{what} a CPU profile of this process: {error}"));
        let (time_nanos, began) = (self.clock.unix_nanos(), self.clock.monotonic());
        let start =
            || pprof::ProfilerGuardBuilder::default().frequency(SAMPLES_A_SECOND).blocklist(&NOT_UNWOUND).build();
        let guard = spawn_blocking(start).await.map_err(|error| failed("begin", error.to_string()))?;
        let guard = guard.map_err(|error| failed("begin", error.to_string()))?;
        until.await;
        let duration_nanos = self.clock.monotonic().saturating_sub(began).as_nanos() as i64;
        let taken = Taken { time_nanos, duration_nanos, period: PERIOD_NANOS };
        let symbols = Arc::clone(&self.symbols);
        let finish = move || {
            let report = guard.report().build().map_err(|error| error.to_string())?;
            drop(guard);
            written(&report, &symbols, taken).map_err(|error| error.to_string())
        };
        let finished = spawn_blocking(finish).await.map_err(|error| failed("write", error.to_string()))?;
        finished.map_err(|error| failed("write", error))
    }
}

/// Gzipped pprof, whole also if there is no sample in it.
struct CpuProfile {
    bytes: Vec<u8>,
    is_empty: bool,
}

fn written(report: &pprof::Report, symbols: &OwnSymbols, taken: Taken) -> std::io::Result<CpuProfile> {
    let locations = || report.data.keys().flat_map(|frames| &frames.frames);
    let names = symbols.names(locations().filter_map(|location| address(location)));
    let mut stacks = Stacks::new(&[("samples", "count"), ("cpu", "nanoseconds")], ("cpu", "nanoseconds"));
    for (frames, count) in &report.data {
        let stack = frames.frames.iter().map(|location| {
            let mut lines: Vec<Line> = location.iter().map(line).collect();
            // What the others were inlined into is the function that the symbol table names.
            if let (Some(last), Some(name)) = (lines.last_mut(), address(location).and_then(|at| names.get(&at))) {
                last.function = name.to_string();
            }
            lines
        });
        let count = *count as i64;
        stacks.add(stack, vec![count, count.saturating_mul(PERIOD_NANOS)]);
    }
    let is_empty = stacks.is_empty();
    Ok(CpuProfile { bytes: stacks.finish(taken)?, is_empty })
}

/// Where the code of a location stands; all of its symbols say the same.
fn address(location: &[pprof::Symbol]) -> Option<usize> {
    location.last()?.addr.map(|address| address as usize)
}

fn line(symbol: &pprof::Symbol) -> Line {
    let file = symbol.filename.as_ref().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    Line { function: symbol.name(), file, line: i64::from(symbol.lineno.unwrap_or(0)) }
}
