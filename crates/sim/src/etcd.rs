//! etcd: the crate's own store in memory behind a network, with leases that end by the true time.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use flamelake_ring::{Batch, Changes, LeaseId, Listing, MemberStore, MemoryStore, Revision, StoreError, Transaction};
use flamelake_runtime::clock::SharedClock;
use futures::StreamExt;
use rand::Rng;

use crate::world::{ETCD, Event, ProcessId, World};

/// A call that is not answered ends after this.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A watch that hears nothing from etcd ends after so many looks.
const SILENT_LOOKS: u32 = 6;

/// The true state.
#[derive(Default)]
pub(crate) struct Etcd {
    keys: MemoryStore,
    /// When each lease ends, and for how long it is renewed.
    leases: BTreeMap<LeaseId, (Duration, Duration)>,
}

/// What can happen to all of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtcdFault {
    Down,
    Up,
    Wipe,
    ExpireLeases,
    Compact,
    CutWatches,
}

impl World {
    pub(crate) fn break_etcd(&self, fault: EtcdFault) {
        let keys = self.etcd.lock().keys.clone();
        match fault {
            EtcdFault::Down => keys.set_down(true),
            EtcdFault::Up => keys.set_down(false),
            EtcdFault::Wipe => keys.wipe(),
            EtcdFault::ExpireLeases => keys.expire_leases(),
            EtcdFault::Compact => keys.compact(),
            EtcdFault::CutWatches => keys.cut_watches(),
        }
        self.wake_all();
    }

    fn grant(self: &Arc<Self>, ttl: Duration) -> Result<LeaseId, StoreError> {
        let keys = self.etcd.lock().keys.clone();
        let lease = at_once(keys.grant(ttl))?;
        let ends = self.now() + ttl;
        self.etcd.lock().leases.insert(lease, (ends, ttl));
        self.schedule(ttl, Event::Do(Box::new(move |world| world.end_lease(lease))));
        Ok(lease)
    }

    /// Ends a lease that was not renewed; else looks again when it would end.
    fn end_lease(self: &Arc<Self>, lease: LeaseId) {
        let now = self.now();
        let (keys, ends) = {
            let etcd = self.etcd.lock();
            let Some((ends, _)) = etcd.leases.get(&lease) else { return };
            (etcd.keys.clone(), *ends)
        };
        if ends > now {
            self.schedule(ends - now, Event::Do(Box::new(move |world| world.end_lease(lease))));
            return;
        }
        // Down, it keeps the lease: leases live on with etcd's own time, which begins anew when it is back.
        if at_once(keys.revoke(lease)).is_err() {
            self.schedule(Duration::from_secs(1), Event::Do(Box::new(move |world| world.end_lease(lease))));
            return;
        }
        self.etcd.lock().leases.remove(&lease);
        self.trace(ETCD, || format!("lease {lease} ends"));
        self.wake_all();
    }

    fn renew(&self, lease: LeaseId) -> Result<bool, StoreError> {
        let now = self.now();
        let mut etcd = self.etcd.lock();
        let renewed = at_once(etcd.keys.clone().renew(lease))?;
        if let Some((ends, ttl)) = etcd.leases.get_mut(&lease).filter(|_| renewed) {
            *ends = now + *ttl;
        }
        Ok(renewed)
    }
}

/// The memory never makes anybody wait for others.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            return outcome;
        }
    }
}

/// etcd as one process reaches it.
pub(crate) struct SimEtcd {
    pub(crate) world: Arc<World>,
    pub(crate) process: ProcessId,
    pub(crate) name: String,
    pub(crate) clock: SharedClock,
}

impl fmt::Debug for SimEtcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimEtcd({})", self.name)
    }
}

fn unavailable(action: &'static str, message: &str) -> StoreError {
    StoreError::Unavailable { action, message: message.to_owned() }
}

impl SimEtcd {
    async fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Arc<World>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let world = &self.world;
        let (there, back) = (world.latency(1, 20), world.latency(1, 20));
        let (name, lost) = (self.name.clone(), world.draw(|rng| rng.random_range(0..1000) < 3));
        let asked = world.ask(self.process, there, Some(back), move |world| {
            if !world.reaches(&name, ETCD) {
                return None;
            }
            let outcome = work(world);
            // An answer can be lost on its way back.
            (!lost && world.reaches(&name, ETCD)).then_some(outcome)
        });
        let answered = async {
            match asked.await {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = answered => outcome,
            () = self.clock.sleep(TIMEOUT) => Err(unavailable(action, "no answer")),
        }
    }
}

#[async_trait]
impl MemberStore for SimEtcd {
    async fn list(&self) -> Result<Listing, StoreError> {
        self.call("list members", |world| at_once(world.etcd.lock().keys.clone().list())).await
    }

    async fn watch(&self, after: Revision) -> Result<Changes, StoreError> {
        let changes = self.call("watch", move |world| at_once(world.etcd.lock().keys.clone().watch(after))).await?;
        let link = Link { world: Arc::clone(&self.world), name: self.name.clone(), clock: Arc::clone(&self.clock) };
        let stream = futures::stream::unfold(Some((link, changes)), |state| async move {
            let (link, mut changes) = state?;
            let batch: Result<Batch, StoreError> = changes.next().await?;
            link.clock.sleep(link.world.latency(1, 30)).await;
            if !link.is_heard().await {
                return Some((Err(unavailable("watch", "the stream was reset")), None));
            }
            let rest = batch.is_ok().then_some((link, changes));
            Some((batch, rest))
        });
        Ok(stream.boxed())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.call("grant a lease", move |world| world.grant(ttl)).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.call("renew the lease", move |world| world.renew(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.call("revoke the lease", move |world| {
            world.wake_all();
            let keys = world.etcd.lock().keys.clone();
            at_once(keys.revoke(lease))
        })
        .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<bool, StoreError> {
        let name = self.name.clone();
        self.call("commit", move |world| {
            let what = format!("{:?}", transaction.writes);
            let keys = world.etcd.lock().keys.clone();
            let outcome = at_once(keys.commit(transaction));
            world.trace(&name, || format!("etcd commit {}: {outcome:?}", brief(&what)));
            world.wake_all();
            outcome
        })
        .await
    }
}

/// The way from etcd to a process.
struct Link {
    world: Arc<World>,
    name: String,
    clock: SharedClock,
}

impl Link {
    /// News wait while the link is cut; after a while the watch is given up.
    async fn is_heard(&self) -> bool {
        for _ in 0..SILENT_LOOKS {
            if self.world.reaches(&self.name, ETCD) {
                return true;
            }
            self.clock.sleep(Duration::from_millis(500)).await;
        }
        false
    }
}

/// Tokens would drown the rest.
fn brief(writes: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    let mut rest = writes;
    while let Some(at) = rest.find("tokens: [") {
        text.push_str(&rest[..at]);
        rest = rest[at..].split_once(']').map_or("", |(_, rest)| rest);
        text.push_str("tokens");
        depth += 1;
        if depth > 8 {
            break;
        }
    }
    text.push_str(rest);
    text
}
