//! At most so many queries run, at most so many wait; the rest is told to come back (promise P5). Tenants take turns, and one alone can
//! fill no more than half of the line.

use std::collections::HashMap;

use flamelake_model::{StatusError, TenantId};
use flamelake_runtime::fair::{FairTurns, Turn};
use parking_lot::Mutex;

use crate::error::QuerierError;

/// Whose query it is.
type Key = Vec<TenantId>;

/// The line in front of the querier.
#[derive(Debug)]
pub(crate) struct Admission {
    running: FairTurns<Key>,
    waiting: Mutex<Waiting>,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    of: HashMap<Key, usize>,
}

/// One that waits; leaving the line by any way counts.
struct Waits<'a>(&'a Admission, &'a Key);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.all -= 1;
        if let Some(own) = waiting.of.get_mut(self.1) {
            *own -= 1;
            if *own == 0 {
                waiting.of.remove(self.1);
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running: FairTurns::new(running_max), waiting: Mutex::default(), waiting_max }
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(crate) async fn enter(&self, tenants: &Key) -> Result<Turn<Key>, StatusError> {
        if let Some(turn) = self.running.try_acquire() {
            return Ok(turn);
        }
        let _waits = self.wait(tenants)?;
        Ok(self.running.acquire(tenants).await)
    }

    fn wait<'a>(&'a self, tenants: &'a Key) -> Result<Waits<'a>, StatusError> {
        let mut waiting = self.waiting.lock();
        let own = waiting.of.get(tenants).copied().unwrap_or_default();
        if waiting.all >= self.waiting_max || own >= self.waiting_max.div_ceil(2) {
            let error = QuerierError::TooManyQueries { waiting: own, waiting_max: self.waiting_max };
            return Err(StatusError::from_coded(&error));
        }
        waiting.all += 1;
        *waiting.of.entry(tenants.clone()).or_default() += 1;
        Ok(Waits(self, tenants))
    }
}

#[cfg(test)]
mod tests {
    use flamelake_model::ErrorCode;
    use futures::FutureExt as _;

    use super::*;

    fn tenant(name: &str) -> Key {
        vec![TenantId::parse(name).unwrap()]
    }

    #[tokio::test]
    async fn one_runs_one_waits_the_third_is_refused() {
        let line = Admission::new(1, 1);
        let a = tenant("a");
        let running = line.enter(&a).await.unwrap();
        let mut waiting = Box::pin(line.enter(&a));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(line.enter(&a).await.unwrap_err().code, ErrorCode::ResourceExhausted);
        drop(running);
        let _second = waiting.await.unwrap();
        assert_eq!(line.waiting.lock().all, 0);
    }

    #[tokio::test]
    async fn who_leaves_the_line_makes_room() {
        let line = Admission::new(1, 1);
        let a = tenant("a");
        let _running = line.enter(&a).await.unwrap();
        drop(Box::pin(line.enter(&a)).as_mut().now_or_never());
        assert!(Box::pin(line.enter(&a)).as_mut().now_or_never().is_none(), "waits, is not refused");
    }

    #[tokio::test]
    async fn a_flood_leaves_room_in_the_line_and_every_other_turn() {
        let line = Admission::new(1, 10);
        let (flood, other) = (tenant("flood"), tenant("other"));
        let running = line.enter(&flood).await.unwrap();
        let mut of_flood: Vec<_> = (0..5).map(|_| Box::pin(line.enter(&flood))).collect();
        for waiting in &mut of_flood {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert_eq!(line.enter(&flood).await.unwrap_err().code, ErrorCode::ResourceExhausted);
        let mut of_other = Box::pin(line.enter(&other));
        assert!(of_other.as_mut().now_or_never().is_none());
        drop(running);
        let first = of_flood[0].as_mut().now_or_never().expect("the flood came first").unwrap();
        drop(first);
        assert!(of_other.as_mut().now_or_never().is_some(), "then it is the other's turn");
    }
}
