//! What is allocated and not freed, as far as jemalloc samples it. It does so only if it was told to when the process began: noting stacks
//! costs memory and time.

use std::ffi::c_void;
use std::sync::Arc;

use flamelake_model::{ErrorCode, StatusError};
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::spawn_blocking;
use jemalloc_pprof::PROF_CTL;

use super::own_symbols::OwnSymbols;
use super::stacks::{Line, Stacks, Taken};

/// What to do for there to be one.
const OFF: &str = "heap profiles are off: start this process with _RJEM_MALLOC_CONF=prof:true,lg_prof_sample:19 in its environment \
    (a sample every 512 KiB)";

/// Was jemalloc told to sample?
pub(super) fn is_on() -> bool {
    PROF_CTL.is_some()
}

/// The heap now: gzipped pprof.
pub(super) async fn profile(clock: &SharedClock) -> Result<Vec<u8>, StatusError> {
    let Some(control) = PROF_CTL.as_ref() else { return Err(StatusError::new(ErrorCode::FailedPrecondition, OFF)) };
    let failed = |error: String| StatusError::internal(format!("write a heap profile of this process: {error}"));
    let mut control = Arc::clone(control).lock_owned().await;
    let time_nanos = clock.unix_nanos();
    let write = move || {
        let period = 1_i64.checked_shl(u32::try_from(control.lg_sample()).unwrap_or(u32::MAX)).unwrap_or(0);
        let dumped = control.dump_profile().map_err(|error| format!("{error:#}"))?;
        drop(control);
        let mut stacks = Stacks::new(&[("inuse_space", "bytes")], ("space", "bytes"));
        // Return addresses: the calls are before them.
        let calls = |stack: &[usize]| stack.iter().rev().map(|address| address.saturating_sub(1)).collect::<Vec<_>>();
        let names = OwnSymbols::default().names(dumped.stacks.iter().flat_map(|(stack, _)| calls(&stack.addrs)));
        for (stack, _) in &dumped.stacks {
            let located = calls(&stack.addrs).into_iter().map(|address| lines(address, names.get(&address)));
            stacks.add(located, vec![stack.weight as i64]);
        }
        stacks.finish(Taken { time_nanos, duration_nanos: 0, period }).map_err(|error| error.to_string())
    };
    spawn_blocking(write).await.map_err(|error| failed(error.to_string()))?.map_err(failed)
}

/// Names for an address, from the innermost inlined function; `function` is what the symbol table says of the outermost.
fn lines(address: usize, function: Option<&Arc<str>>) -> Vec<Line> {
    let mut lines = Vec::new();
    backtrace::resolve(address as *mut c_void, |symbol| {
        let function = symbol.name().map_or_else(|| "unknown".to_owned(), |name| format!("{name:#}"));
        let file = symbol.filename().map(|file| file.display().to_string()).unwrap_or_default();
        lines.push(Line { function, file, line: i64::from(symbol.lineno().unwrap_or(0)) });
    });
    if lines.is_empty() {
        lines.push(Line { function: format!("{address:#x}"), file: String::new(), line: 0 });
    }
    if let (Some(last), Some(function)) = (lines.last_mut(), function) {
        last.function = function.to_string();
    }
    lines
}
