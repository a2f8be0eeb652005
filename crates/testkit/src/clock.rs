//! A clock that stands still until a test moves it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flamelake_runtime::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// See the module. Clones share their time.
#[derive(Clone, Debug)]
pub struct FakeClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    slept: Notify,
}

#[derive(Debug)]
struct State {
    /// Unix time minus monotonic time.
    unix_base_ns: i64,
    monotonic: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl FakeClock {
    /// A clock that shows this Unix time; its monotonic time starts at zero.
    pub fn at_unix_nanos(unix_ns: i64) -> Self {
        let state = State { unix_base_ns: unix_ns, monotonic: Duration::ZERO, sleepers: Vec::new() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), slept: Notify::new() }) }
    }

    /// As a handle of the trait.
    pub fn shared(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    /// Moves both times forward and wakes who has slept enough.
    pub fn advance(&self, by: Duration) {
        let due: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.monotonic += by;
            let now = state.monotonic;
            let (due, rest) = state.sleepers.drain(..).partition(|(until, _)| *until <= now);
            state.sleepers = rest;
            due
        };
        for (_, wake) in due {
            // Nobody listens if the sleeper was dropped.
            let _ = wake.send(());
        }
    }

    /// Sets the Unix time alone, forward or back, as an administrator or NTP would.
    pub fn jump_to_unix_nanos(&self, unix_ns: i64) {
        let mut state = self.shared.state.lock();
        state.unix_base_ns = unix_ns - nanos(state.monotonic);
    }

    /// How many sleep now. Sleepers that were dropped count until their time.
    pub fn sleepers(&self) -> usize {
        self.shared.state.lock().sleepers.iter().filter(|(_, wake)| !wake.is_closed()).count()
    }

    /// Waits until at least so many sleep: then an [`advance`](Self::advance) cannot come too early.
    pub async fn until_sleepers(&self, count: usize) {
        loop {
            let changed = self.shared.slept.notified();
            if self.sleepers() >= count {
                return;
            }
            changed.await;
        }
    }
}

impl Default for FakeClock {
    /// 2026-11-22T15:00:00Z, where the golden data lie.
    fn default() -> Self {
        Self::at_unix_nanos(1_795_359_600_000_000_000)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Clock for FakeClock {
    fn unix_nanos(&self) -> i64 {
        let state = self.shared.state.lock();
        state.unix_base_ns + nanos(state.monotonic)
    }

    fn monotonic(&self) -> Duration {
        self.shared.state.lock().monotonic
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let (wake, woken) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            if duration.is_zero() {
                return Box::pin(std::future::ready(()));
            }
            let until = state.monotonic + duration;
            state.sleepers.push((until, wake));
        }
        self.shared.slept.notify_waiters();
        Box::pin(async move {
            // An error means that the clock is gone; then time has ended.
            let _ = woken.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_in_their_time() {
        let clock = FakeClock::at_unix_nanos(7);
        let short = tokio::spawn(clock.sleep(Duration::from_secs(1)));
        let long = clock.sleep(Duration::from_secs(5));
        clock.until_sleepers(2).await;
        clock.advance(Duration::from_secs(1));
        short.await.unwrap();
        assert_eq!(clock.sleepers(), 1);
        assert_eq!(clock.unix_nanos(), 1_000_000_007);
        clock.advance(Duration::from_secs(4));
        long.await;
    }

    #[test]
    fn the_unix_time_may_jump_alone() {
        let clock = FakeClock::default();
        clock.advance(Duration::from_secs(3));
        clock.jump_to_unix_nanos(5);
        assert_eq!((clock.unix_nanos(), clock.monotonic()), (5, Duration::from_secs(3)));
    }
}
