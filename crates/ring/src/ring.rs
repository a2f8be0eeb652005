//! The ring of this process: opened once, handed around as a [`RingHandle`].

use std::sync::Arc;

use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::RingConfig;
use crate::error::RingError;
use crate::etcd::open_member_store;
use crate::member::{Member, MemberId, State, TOKENS_MAX};
use crate::membership::{Instance, Membership, removal};
use crate::metrics::Metrics;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::store::{MemberStore, Transaction, Write};
use crate::view::View;

/// What a ring works with.
#[derive(Clone, Debug)]
pub struct RingDeps {
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// See the module. Stops reading when dropped.
#[derive(Debug)]
pub struct Ring {
    handle: RingHandle,
    stop: CancellationToken,
    reader: Option<JoinHandle<()>>,
}

impl Ring {
    /// Opens the store that the configuration names and returns when the members are known. Waits for etcd as long as it takes.
    ///
    /// # Errors
    /// A key that cannot be, or a user that etcd refuses.
    pub async fn open(config: RingConfig, deps: RingDeps) -> Result<Self, RingError> {
        let store = open_member_store(&config, &deps.clock)?;
        Self::over(store, config, deps).await
    }

    /// The same over a store of the caller's.
    pub async fn over(store: Arc<dyn MemberStore>, config: RingConfig, deps: RingDeps) -> Result<Self, RingError> {
        check(&config)?;
        let metrics = Metrics::new(&deps.registry)?;
        let shared = Arc::new(Shared::new(config, deps.clock, metrics));
        let stop = CancellationToken::new();
        let reader = Reader { shared: Arc::clone(&shared), store: Arc::clone(&store), stop: stop.clone() };
        let begun = reader.begin_patiently().await?;
        let reader = Some(tokio::spawn(reader.run(begun)));
        Ok(Self { handle: RingHandle { shared, store }, stop, reader })
    }

    /// For whoever looks things up.
    pub fn handle(&self) -> RingHandle {
        self.handle.clone()
    }

    /// Registers this process. An older registration of the same id is taken over with its tokens.
    pub async fn join(&self, instance: Instance, state: State) -> Result<Membership, RingError> {
        let (shared, store) = (Arc::clone(&self.handle.shared), Arc::clone(&self.handle.store));
        Membership::join(shared, store, instance, state).await
    }

    /// Stops reading; the last snapshot stays.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(reader) = self.reader.take()
            && reader.await.is_err()
        {
            error!("the reader of the ring ended by panic");
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn check(config: &RingConfig) -> Result<(), RingError> {
    let wrong = |message: String| Err(RingError::Config(message));
    if config.tokens == 0 || config.tokens > TOKENS_MAX as u64 {
        return wrong(format!("ring.tokens is {}: use 1 to {TOKENS_MAX}", config.tokens));
    }
    if config.lease_ttl < std::time::Duration::from_secs(2) {
        return wrong(format!("ring.lease-ttl is {:?}: etcd keeps no lease below 2s", config.lease_ttl));
    }
    Ok(())
}

/// The ring for readers; cheap to clone.
#[derive(Clone, Debug)]
pub struct RingHandle {
    pub(crate) shared: Arc<Shared>,
    store: Arc<dyn MemberStore>,
}

impl RingHandle {
    /// What is known now. One load; take it once for each request.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// Ticks after every new snapshot. The number means nothing.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed()
    }

    /// Of the newest snapshot.
    pub fn epoch(&self) -> u64 {
        self.snapshot().epoch()
    }

    /// Waits until a snapshot is so, and returns it. Bound the wait outside.
    pub async fn until(&self, is_so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut changed = self.changed();
        loop {
            let snapshot = self.snapshot();
            if is_so(&snapshot) {
                return snapshot;
            }
            // The sender lives in `self`.
            if changed.changed().await.is_err() {
                return snapshot;
            }
        }
    }

    /// Members whose log a peer may recover now: without liveness for `ring.forget-after`, or marked by an operator. With and without log.
    pub fn lost(&self) -> Vec<Arc<Member>> {
        self.shared.lost()
    }

    /// An operator wants a dead member gone: without a log it is removed, with one it is marked, to be recovered by a peer at once. One whose
    /// log lies on its own disk is removed only with `accept_loss`: what it acknowledged and no block holds goes with it.
    ///
    /// # Errors
    /// Nobody has that id, it lives, its log lies on its own disk and nobody accepted the loss, or the store does not answer.
    pub async fn forget(&self, id: &MemberId, accept_loss: bool) -> Result<Forgotten, RingError> {
        let view = View::from(self.store.list().await?);
        let member = view.members.get(id).ok_or_else(|| RingError::NotFound(format!("nobody is called {id}")))?;
        let member = Arc::clone(&member.value);
        if view.is_healthy(&member) {
            return Err(RingError::Refused(format!("{id} lives: stop it, or wait until its lease has ended")));
        }
        if let Some(log_url) = member.log_url.as_deref().filter(|_| !member.log_is_shared()) {
            return if accept_loss {
                self.give_up_log(&view, id, log_url).await
            } else {
                Err(only_itself(id, log_url))
            };
        }
        if member.log_url.is_some() {
            let guards = vec![crate::store::Guard::Member(id.clone(), view.member_revision(id))];
            let marked = self.store.commit(Transaction { guards, writes: vec![Write::Forget(id.clone())] }).await?;
            return done(marked, id, Forgotten::Marked);
        }
        let removed = self.store.commit(removal(&view, id, self.epoch())).await?;
        done(removed, id, Forgotten::Removed)
    }

    /// Removes a member that alone could bring its log back. The line is the record of who accepted what.
    async fn give_up_log(&self, view: &View, id: &MemberId, log_url: &str) -> Result<Forgotten, RingError> {
        if !self.store.commit(removal(view, id, self.epoch())).await? {
            return Err(RingError::Contended);
        }
        self.shared.metrics.logs_given_up_total.inc();
        warn!(
            audit = "forget",
            member = %id,
            log_url,
            "an operator gave up a log on a lost disk: what its ingester had acknowledged and no block holds is lost"
        );
        Ok(Forgotten::RemovedWithItsLog)
    }

    /// Removes a member whose log has been recovered; `false` = it has registered or lives again, or the ring changed: look again.
    pub async fn remove_recovered(&self, member: &Member) -> Result<bool, RingError> {
        let view = View::from(self.store.list().await?);
        let same = view.members.get(&member.id).is_some_and(|stored| stored.value.incarnation == member.incarnation);
        if !same || view.is_healthy(member) {
            return Ok(false);
        }
        Ok(self.store.commit(removal(&view, &member.id, self.epoch())).await?)
    }
}

/// The line is the record of what an operator did.
fn done(is_done: bool, member: &MemberId, what: Forgotten) -> Result<Forgotten, RingError> {
    if !is_done {
        return Err(RingError::Contended);
    }
    info!(audit = "forget", %member, ?what, "an operator forgot a member");
    Ok(what)
}

fn only_itself(id: &MemberId, log_url: &str) -> RingError {
    RingError::Refused(format!(
        "the log of {id} lies on its own disk ({log_url}): only itself can bring it back, so start it again. If that disk is lost for good, \
         `flamelake ring --forget {id} --accept-loss` removes it; what it had acknowledged and no block holds is lost then \
         (docs/operations/runbooks/lost-volume.md)"
    ))
}

/// What became of a member that was to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It is no member any more.
    Removed,
    /// A peer will recover its log and then remove it.
    Marked,
    /// It is no member any more, and what lay only in its log is lost.
    RemovedWithItsLog,
}

#[cfg(test)]
pub(crate) mod tests;
