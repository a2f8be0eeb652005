//! The clock of a process: the world's time with an error of its own. Randomness comes from the seed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flamelake_runtime::clock::Clock;
use parking_lot::Mutex;
use rand::Rng;
use tokio::sync::oneshot;

use crate::world::{EPOCH_NS, Event, ProcessId, World};

/// See the module. Clones share the error.
#[derive(Clone)]
pub(crate) struct ProcessClock {
    world: Arc<World>,
    process: ProcessId,
    error: Arc<Mutex<ClockError>>,
}

#[derive(Debug, Default)]
struct ClockError {
    unix_ns: i64,
    /// Time that the monotonic clock stood still: a machine that was suspended.
    suspended: Duration,
}

impl ProcessClock {
    pub(crate) fn new(world: &Arc<World>, process: ProcessId, error_ns: i64) -> Self {
        let error = ClockError { unix_ns: error_ns, ..ClockError::default() };
        Self { world: Arc::clone(world), process, error: Arc::new(Mutex::new(error)) }
    }

    /// The Unix time is set.
    pub(crate) fn set_error(&self, error_ns: i64) {
        self.error.lock().unix_ns = error_ns;
    }

    /// The machine was suspended for so long.
    pub(crate) fn suspend(&self, time: Duration) {
        self.error.lock().suspended += time;
    }
}

impl fmt::Debug for ProcessClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock of process {}", self.process)
    }
}

impl Clock for ProcessClock {
    fn unix_nanos(&self) -> i64 {
        let true_ns = EPOCH_NS + i64::try_from(self.world.now().as_nanos()).unwrap_or(i64::MAX / 2);
        true_ns + self.error.lock().unix_ns
    }

    fn monotonic(&self) -> Duration {
        self.world.now().saturating_sub(self.error.lock().suspended)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        if duration.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        self.world.schedule(duration, Event::Wake(self.process, wake));
        Box::pin(async move {
            // An error means that the world has ended.
            if woken.await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn random(&self) -> u128 {
        self.world.draw(|rng| rng.random())
    }
}
