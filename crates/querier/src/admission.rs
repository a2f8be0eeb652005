//! At most so many queries run, at most so many wait; the rest is told to come back (promise P5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flamelake_model::StatusError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QuerierError;

/// The line in front of the querier.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// One that waits; leaving the line by any way counts.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        let running = Arc::new(Semaphore::new(running_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { running, waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, StatusError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            let error = QuerierError::TooManyQueries { waiting_max: self.waiting_max };
            return Err(StatusError::from_coded(&error));
        }
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_| StatusError::unavailable("the querier is stopping"))
    }
}

#[cfg(test)]
mod tests {
    use flamelake_model::ErrorCode;
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_the_third_is_refused() {
        let line = Admission::new(1, 1);
        let running = line.enter().await.unwrap();
        let mut waiting = Box::pin(line.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(line.enter().await.unwrap_err().code, ErrorCode::ResourceExhausted);
        drop(running);
        let _second = waiting.await.unwrap();
        assert_eq!(line.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_leaves_the_line_makes_room() {
        let line = Admission::new(1, 1);
        let _running = line.enter().await.unwrap();
        drop(Box::pin(line.enter()).as_mut().now_or_never());
        assert!(Box::pin(line.enter()).as_mut().now_or_never().is_none(), "waits, is not refused");
    }
}
