//! A read that takes long is asked for a second time, and the first answer counts: most slow reads of an object store are slow by chance.
//!
//! Bounded twice: at most one more request for a read, and at most one read in twenty, so that a store that is slow for all is not asked twice
//! as much.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flamelake_runtime::clock::SharedClock;
use futures::future::{Either, select};

/// Reads that earn one hedge.
const READS_PER_HEDGE: u32 = 20;
/// Hedges that may be saved up.
const SAVED_MAX: u32 = 10;

/// What may be spent on hedges. Shared by all reads of a bucket.
#[derive(Debug)]
pub(crate) struct HedgeBudget(AtomicU32);

impl Default for HedgeBudget {
    fn default() -> Self {
        Self(AtomicU32::new(SAVED_MAX * READS_PER_HEDGE))
    }
}

impl HedgeBudget {
    fn earn(&self) {
        let earned = |saved: u32| Some((saved + 1).min(SAVED_MAX * READS_PER_HEDGE));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(READS_PER_HEDGE)).is_ok()
    }
}

/// Runs a read, and a second time beside it if it has not answered after `after`. `hedged` is called then.
pub(crate) async fn hedged<T, E, F: Future<Output = Result<T, E>>>(
    clock: &SharedClock,
    after: Duration,
    budget: &HedgeBudget,
    hedged: impl FnOnce(),
    read: impl Fn() -> F,
) -> Result<T, E> {
    budget.earn();
    let first = std::pin::pin!(read());
    let first = match select(first, clock.sleep(after)).await {
        Either::Left((answer, _)) => return answer,
        Either::Right(((), first)) => first,
    };
    if !budget.spend() {
        return first.await;
    }
    hedged();
    let second = std::pin::pin!(read());
    // A failure is not an answer as long as the other one may still come.
    match select(first, second).await {
        Either::Left((Err(_), second)) => second.await,
        Either::Right((Err(_), first)) => first.await,
        Either::Left((answer, _)) | Either::Right((answer, _)) => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use flamelake_runtime::clock::SystemClock;

    use super::*;

    const AFTER: Duration = Duration::from_millis(100);

    /// Reads take these milliseconds and end with this; tells the answer, the milliseconds and the number of reads.
    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused and moves by itself")]
    async fn check(reads: &[(u64, Result<u8, u8>)]) -> (Result<u8, u8>, u128, usize) {
        let (clock, budget, count) = (SystemClock::shared(), HedgeBudget::default(), AtomicUsize::new(0));
        let started = tokio::time::Instant::now();
        let read = || async {
            let (ms, answer) = reads[count.fetch_add(1, Ordering::Relaxed)];
            tokio::time::sleep(Duration::from_millis(ms)).await;
            answer
        };
        let answer = hedged(&clock, AFTER, &budget, || {}, read).await;
        (answer, started.elapsed().as_millis(), count.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_counts() {
        assert_eq!(check(&[(90, Ok(1))]).await, (Ok(1), 90, 1));
        assert_eq!(check(&[(9_000, Ok(1)), (10, Ok(2))]).await, (Ok(2), 110, 2));
        assert_eq!(check(&[(150, Ok(1)), (500, Ok(2))]).await, (Ok(1), 150, 2));
        assert_eq!(check(&[(150, Err(1)), (500, Ok(2))]).await, (Ok(2), 600, 2));
        assert_eq!(check(&[(900, Ok(1)), (10, Err(2))]).await, (Ok(1), 900, 2));
        assert_eq!(check(&[(50, Err(1))]).await, (Err(1), 50, 1), "failures are retried elsewhere");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_slow_for_all_is_not_asked_twice_as_much() {
        let (clock, budget, count) = (SystemClock::shared(), HedgeBudget::default(), AtomicUsize::new(0));
        for _ in 0..400 {
            let read = || async {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(AFTER * 2).await;
                Ok::<_, ()>(())
            };
            hedged(&clock, AFTER, &budget, || {}, read).await.unwrap();
        }
        let hedges = count.load(Ordering::Relaxed) - 400;
        assert!((20..=31).contains(&hedges), "{hedges}");
    }
}
