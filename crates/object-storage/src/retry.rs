//! Bounded retries with jitter, and a timeout for every attempt.

use std::time::Duration;

use flamelake_runtime::clock::SharedClock;
use futures::future::{Either, select};

use crate::StorageError;

/// How often and how long an operation is tried.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all; at least one is made.
    pub attempts_max: u32,
    /// The first pause; doubles each time, and is cut to a random part of itself.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Time for one attempt on a small object; big ones get a second more for each MiB.
    pub attempt_timeout: Duration,
    /// A read that has not answered after so long is asked for once more. Zero = never.
    pub hedge_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(30),
            hedge_after: Duration::ZERO,
        }
    }
}

impl RetryPolicy {
    /// A single attempt: for a local disk, where the same error comes at once again.
    pub fn once() -> Self {
        Self { attempts_max: 1, ..Self::default() }
    }

    /// The pause after attempt number `attempt` (1, 2 …).
    pub(crate) fn pause(&self, attempt: u32, clock: &SharedClock) -> Duration {
        let full = self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.backoff_max);
        let drawn = (clock.random() & 0xffff) as f64 / f64::from(0xffff);
        full.mul_f64(0.5 + drawn / 2.0)
    }

    /// Time for an attempt that moves so many bytes.
    pub(crate) fn timeout_for(&self, bytes: u64) -> Duration {
        self.attempt_timeout + Duration::from_secs(bytes >> 20)
    }
}

/// Runs one attempt against the clock.
pub(crate) async fn with_timeout<T>(
    clock: &SharedClock,
    timeout: Duration,
    operation: &'static str,
    key: &str,
    attempt: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, StorageError> {
    let attempt = std::pin::pin!(attempt);
    match select(attempt, clock.sleep(timeout)).await {
        Either::Left((result, _)) => result.map_err(|source| StorageError::from_store(operation, key, source)),
        Either::Right(_) => Err(StorageError::TimedOut {
            operation,
            key: key.to_owned(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        }),
    }
}

/// Can the same request succeed a moment later?
pub(crate) fn is_transient(error: &StorageError) -> bool {
    match error {
        StorageError::TimedOut { .. } => true,
        StorageError::Other { source, .. } => match source.downcast_ref::<object_store::Error>() {
            Some(cause) => matches!(cause, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. }),
            None => false,
        },
        StorageError::NotFound { .. }
        | StorageError::OutOfSpace { .. }
        | StorageError::Undecided { .. }
        | StorageError::Unusable { .. } => false,
    }
}
