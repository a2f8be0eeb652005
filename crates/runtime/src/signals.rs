//! When the operator asks the process to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at the first SIGTERM or SIGINT, with its name.
///
/// # Errors
/// When the process may not listen for signals.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
