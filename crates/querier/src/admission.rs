//! At most so many queries run, at most so many wait; the rest is told to come back (promise P5). Tenants take turns, and one alone can
//! fill no more than half of the line.

use std::collections::HashMap;
use std::sync::Arc;

use flamelake_model::{StatusError, TenantId};
use flamelake_runtime::fair::{FairTurns, Turn};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QuerierError;

/// Whose query it is.
type Key = Vec<TenantId>;

/// The line in front of the querier.
#[derive(Debug)]
pub(crate) struct Admission {
    running: FairTurns<Key>,
    waiting: Mutex<Waiting>,
    waiting_max: usize,
    /// Of tenants with a limit of their own who have queries now: what is left of it.
    own: Mutex<HashMap<Key, OwnTurns>>,
}

#[derive(Debug)]
struct OwnTurns {
    max: usize,
    free: Arc<Semaphore>,
}

/// A query's place among those that run.
#[derive(Debug)]
pub(crate) struct Place {
    _turn: Turn<Key>,
    _own: Option<OwnedSemaphorePermit>,
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
        Self { running: FairTurns::new(running_max), waiting: Mutex::default(), waiting_max, own: Mutex::default() }
    }

    /// Waits for a place, which lasts until it is dropped. `own_max`: these tenants' queries that may run at a time, 0 = any number.
    pub(crate) async fn enter(&self, tenants: &Key, own_max: usize) -> Result<Place, StatusError> {
        let own = self.own_turns(tenants, own_max);
        let mut waits = None;
        let own = match own {
            None => None,
            Some(own) => match Arc::clone(&own).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    waits = Some(self.wait(tenants)?);
                    // It is never closed.
                    own.acquire_owned().await.ok()
                }
            },
        };
        if let Some(turn) = self.running.try_acquire() {
            return Ok(Place { _turn: turn, _own: own });
        }
        if waits.is_none() {
            waits = Some(self.wait(tenants)?);
        }
        let place = Place { _turn: self.running.acquire(tenants).await, _own: own };
        drop(waits);
        Ok(place)
    }

    /// A changed limit holds for queries that come after it.
    fn own_turns(&self, tenants: &Key, max: usize) -> Option<Arc<Semaphore>> {
        if max == 0 {
            return None;
        }
        let mut own = self.own.lock();
        if own.len() > self.waiting_max && !own.contains_key(tenants) {
            own.retain(|_, turns| turns.free.available_permits() < turns.max);
        }
        let fresh = || OwnTurns { max, free: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))) };
        let turns = own.entry(tenants.clone()).or_insert_with(fresh);
        if turns.max != max {
            *turns = fresh();
        }
        Some(Arc::clone(&turns.free))
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
        let running = line.enter(&a, 0).await.unwrap();
        let mut waiting = Box::pin(line.enter(&a, 0));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(line.enter(&a, 0).await.unwrap_err().code, ErrorCode::ResourceExhausted);
        drop(running);
        let _second = waiting.await.unwrap();
        assert_eq!(line.waiting.lock().all, 0);
    }

    #[tokio::test]
    async fn who_leaves_the_line_makes_room() {
        let line = Admission::new(1, 1);
        let a = tenant("a");
        let _running = line.enter(&a, 0).await.unwrap();
        drop(Box::pin(line.enter(&a, 0)).as_mut().now_or_never());
        assert!(Box::pin(line.enter(&a, 0)).as_mut().now_or_never().is_none(), "waits, is not refused");
    }

    #[tokio::test]
    async fn a_tenant_runs_no_more_than_his_own_limit() {
        let line = Admission::new(10, 10);
        let (a, b) = (tenant("a"), tenant("b"));
        let running = line.enter(&a, 1).await.unwrap();
        let mut second = Box::pin(line.enter(&a, 1));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(Box::pin(line.enter(&b, 1)).as_mut().now_or_never().is_some());
        drop(running);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_flood_leaves_room_in_the_line_and_every_other_turn() {
        let line = Admission::new(1, 10);
        let (flood, other) = (tenant("flood"), tenant("other"));
        let running = line.enter(&flood, 0).await.unwrap();
        let mut of_flood: Vec<_> = (0..5).map(|_| Box::pin(line.enter(&flood, 0))).collect();
        for waiting in &mut of_flood {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert_eq!(line.enter(&flood, 0).await.unwrap_err().code, ErrorCode::ResourceExhausted);
        let mut of_other = Box::pin(line.enter(&other, 0));
        assert!(of_other.as_mut().now_or_never().is_none());
        drop(running);
        let first = of_flood[0].as_mut().now_or_never().expect("the flood came first").unwrap();
        drop(first);
        assert!(of_other.as_mut().now_or_never().is_some(), "then it is the other's turn");
    }
}
