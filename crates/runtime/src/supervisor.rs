//! The order of a process's life: parts start one after the other, and stop in the reverse order, each within its time.
//!
//! A part is either a task that runs until it is told to stop, or something started already that has a stop to be awaited. A task
//! that ends by itself, fails or panics ends the process: a server that limps on with a part missing is worse than a restart.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::with_causes;

/// Why a process ended though nobody asked it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// A task returned an error.
    #[error("{part} failed: {message}")]
    Failed {
        /// The task.
        part: &'static str,
        /// Its error with all causes.
        message: String,
    },
    /// A task panicked.
    #[error("{part} panicked: {message}")]
    Panicked {
        /// The task.
        part: &'static str,
        /// What the panic said.
        message: String,
    },
    /// A task returned, but it was not told to.
    #[error("{part} ended by itself")]
    Ended {
        /// The task.
        part: &'static str,
    },
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Work {
    Task { stop: CancellationToken, done: CancellationToken, abort: AbortHandle },
    Hook(Stop),
}

struct Part {
    name: &'static str,
    within: Duration,
    work: Work,
}

/// All parts of a process in the order they were started.
pub struct Supervisor {
    parts: Vec<Part>,
    ended: mpsc::Receiver<SupervisorError>,
    report: mpsc::Sender<SupervisorError>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// Nothing runs yet.
    pub fn new() -> Self {
        // Only the first report counts: whoever finds the place taken has nothing to add.
        let (report, ended) = mpsc::channel(1);
        Self { parts: Vec::new(), ended, report }
    }

    /// Starts a task that runs until its token is cancelled; `within` is the time it has to end after that.
    pub fn task<F, E>(&mut self, name: &'static str, within: Duration, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(run(stop.clone()));
        let abort = task.abort_handle();
        let watcher = Watcher { part: name, stop: stop.clone(), done: done.clone(), report: self.report.clone() };
        tokio::spawn(
            async move { watcher.ended(task.await.map(|result| result.map_err(|error| with_causes(&error)))) },
        );
        self.parts.push(Part { name, within, work: Work::Task { stop, done, abort } });
    }

    /// Notes how something that runs already is stopped, and the time that may take.
    pub fn on_stop(&mut self, name: &'static str, within: Duration, stop: impl Future<Output = ()> + Send + 'static) {
        self.parts.push(Part { name, within, work: Work::Hook(Box::pin(stop)) });
    }

    /// Waits until `stop` is done or a task ends, then stops all parts, the last started first.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), SupervisorError> {
        let outcome = tokio::select! {
            () = stop => Ok(()),
            Some(error) = self.ended.recv() => Err(error),
        };
        if let Err(error) = &outcome {
            error!(%error, "a part of the process is gone, stopping the rest");
        }
        for part in self.parts.into_iter().rev() {
            part.stop().await;
        }
        // A task may have failed while it was stopping.
        outcome.and_then(|()| self.ended.try_recv().map_or(Ok(()), Err))
    }
}

impl Part {
    async fn stop(self) {
        debug!(part = self.name, "stopping");
        let late = match self.work {
            Work::Task { stop, done, abort } => {
                stop.cancel();
                let late = tokio::time::timeout(self.within, done.cancelled()).await.is_err();
                if late {
                    abort.abort();
                }
                late
            }
            Work::Hook(stop) => tokio::time::timeout(self.within, stop).await.is_err(),
        };
        if late {
            warn!(part = self.name, within = ?self.within, "did not stop in time and was cut off");
        }
    }
}

struct Watcher {
    part: &'static str,
    stop: CancellationToken,
    done: CancellationToken,
    report: mpsc::Sender<SupervisorError>,
}

impl Watcher {
    fn ended(self, outcome: Result<Result<(), String>, JoinError>) {
        let part = self.part;
        let error = match outcome {
            Ok(Ok(())) if self.stop.is_cancelled() => None,
            Ok(Ok(())) => Some(SupervisorError::Ended { part }),
            Ok(Err(message)) => Some(SupervisorError::Failed { part, message }),
            Err(error) if error.is_panic() => {
                Some(SupervisorError::Panicked { part, message: panic_text(&*error.into_panic()) })
            }
            // Aborted by us: it was late.
            Err(_) => None,
        };
        if let Some(error) = error {
            let _ = self.report.try_send(error);
        }
        self.done.cancel();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| part.name)).finish()
    }
}

#[cfg(test)]
mod tests;
