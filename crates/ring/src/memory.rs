//! Members in the memory of this process: the fixed ring of one, and the store that tests and simulations break at will.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use ulid::Ulid;

use crate::error::StoreError;
use crate::member::{Alive, Member, MemberId};
use crate::store::{
    Batch, Change, Changes, Guard, LeaseId, Listing, MemberStore, Revision, Stored, Transaction, Write,
};

/// Older changes are thrown away, as etcd compacts.
const HISTORY_MAX: usize = 1024;

/// Leases never end by time here: this process *is* the store. Clones share the keys.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    keys: Arc<Mutex<Keys>>,
    /// Sent to at every change; the number means nothing.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Keys {
    revision: Revision,
    members: BTreeMap<MemberId, Stored<Arc<Member>>>,
    alive: BTreeMap<MemberId, (Stored<Alive>, LeaseId)>,
    forget: BTreeSet<MemberId>,
    epoch: Option<Stored<u64>>,
    origin: Option<Stored<Ulid>>,
    leases: BTreeSet<LeaseId>,
    leases_granted: LeaseId,
    history: VecDeque<Batch>,
    compacted: Revision,
    down: bool,
    /// Watches of another life have ended.
    life: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { keys: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl MemoryStore {
    /// Without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fault: refuses everything and cuts all watches, until told otherwise.
    pub fn set_down(&self, down: bool) {
        self.edit(|keys| {
            keys.down = down;
            keys.life += 1;
        });
    }

    /// Fault: cuts all watches.
    pub fn cut_watches(&self) {
        self.edit(|keys| keys.life += 1);
    }

    /// Fault: every lease ends.
    pub fn expire_leases(&self) {
        self.edit(|keys| {
            let leases = std::mem::take(&mut keys.leases);
            leases.into_iter().for_each(|lease| keys.drop_lease(lease));
        });
    }

    /// Fault: all keys and the revision are gone, as after the loss of a disk.
    pub fn wipe(&self) {
        self.edit(|keys| *keys = Keys { life: keys.life + 1, leases_granted: keys.leases_granted, ..Keys::default() });
    }

    /// Fault: what came before now can no longer be watched.
    pub fn compact(&self) {
        self.edit(|keys| {
            keys.history.clear();
            keys.compacted = keys.revision;
        });
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Keys) -> T) -> T {
        let outcome = edit(&mut self.keys.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        outcome
    }

    fn up<T>(&self, action: &'static str, edit: impl FnOnce(&mut Keys) -> T) -> Result<T, StoreError> {
        if self.keys.lock().down {
            return Err(StoreError::Unavailable { action, message: "switched off".to_owned() });
        }
        Ok(self.edit(edit))
    }
}

impl Keys {
    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Member(id, revision) => self.members.get(id).map_or(0, |stored| stored.revision) == *revision,
            Guard::Alive(id, revision) => self.alive.get(id).map_or(0, |(stored, _)| stored.revision) == *revision,
            Guard::Epoch(revision) => self.epoch.as_ref().map_or(0, |stored| stored.revision) == *revision,
        }
    }

    fn commit(&mut self, transaction: Transaction) -> bool {
        let alive_under_no_lease =
            |write: &Write| matches!(write, Write::Alive(_, _, lease) if !self.leases.contains(lease));
        if !transaction.guards.iter().all(|guard| self.holds(guard))
            || transaction.writes.iter().any(alive_under_no_lease)
        {
            return false;
        }
        self.revision += 1;
        let changes = transaction.writes.into_iter().map(|write| self.write(write)).collect();
        self.remember(changes);
        true
    }

    fn remember(&mut self, changes: Vec<Change>) {
        self.history.push_back(Batch { revision: self.revision, changes });
        if self.history.len() > HISTORY_MAX {
            self.compacted = self.history.pop_front().map_or(self.compacted, |batch| batch.revision);
        }
    }

    fn write(&mut self, write: Write) -> Change {
        let revision = self.revision;
        match write {
            Write::Member(member) => {
                let (id, stored) = (member.id.clone(), Stored { value: Arc::new(member), revision });
                self.members.insert(id.clone(), stored.clone());
                Change::Member(id, Some(stored))
            }
            Write::DropMember(id) => {
                self.members.remove(&id);
                Change::Member(id, None)
            }
            Write::Alive(id, alive, lease) => {
                let stored = Stored { value: alive, revision };
                self.alive.insert(id.clone(), (stored.clone(), lease));
                Change::Alive(id, Some(stored))
            }
            Write::DropAlive(id) => {
                self.alive.remove(&id);
                Change::Alive(id, None)
            }
            Write::Forget(id) => {
                self.forget.insert(id.clone());
                Change::Forget(id, true)
            }
            Write::DropForget(id) => {
                self.forget.remove(&id);
                Change::Forget(id, false)
            }
            Write::Epoch(epoch) => {
                let stored = Stored { value: epoch, revision };
                self.epoch = Some(stored.clone());
                Change::Epoch(Some(stored))
            }
            Write::Origin(origin) => {
                let stored = Stored { value: origin, revision };
                self.origin = Some(stored.clone());
                Change::Origin(Some(stored))
            }
        }
    }

    fn drop_lease(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        let gone: Vec<MemberId> =
            self.alive.iter().filter(|(_, (_, of))| *of == lease).map(|(id, _)| id.clone()).collect();
        if gone.is_empty() {
            return;
        }
        self.revision += 1;
        let changes = gone.into_iter().map(|id| self.write(Write::DropAlive(id))).collect();
        self.remember(changes);
    }

    fn listing(&self) -> Listing {
        let members = self.members.iter().map(|(id, stored)| Change::Member(id.clone(), Some(stored.clone())));
        let alive = self.alive.iter().map(|(id, (stored, _))| Change::Alive(id.clone(), Some(stored.clone())));
        let forget = self.forget.iter().map(|id| Change::Forget(id.clone(), true));
        let epoch = self.epoch.clone().map(|stored| Change::Epoch(Some(stored)));
        let origin = self.origin.clone().map(|stored| Change::Origin(Some(stored)));
        let keys = members.chain(alive).chain(forget).chain(epoch).chain(origin).collect();
        Listing { revision: self.revision, keys }
    }

    /// The first change after `after`, if there is one.
    fn next(&self, after: Revision, life: u64) -> Result<Option<Batch>, StoreError> {
        if self.down || self.life != life {
            return Err(StoreError::Unavailable { action: "watch", message: "the watch was cut".to_owned() });
        }
        if after < self.compacted {
            return Err(StoreError::Compacted { after });
        }
        Ok(self.history.iter().find(|batch| batch.revision > after).cloned())
    }
}

#[async_trait]
impl MemberStore for MemoryStore {
    async fn list(&self) -> Result<Listing, StoreError> {
        self.up("list members", |keys| keys.listing())
    }

    async fn watch(&self, after: Revision) -> Result<Changes, StoreError> {
        let life = self.up("watch", |keys| keys.life)?;
        let (keys, changed) = (Arc::clone(&self.keys), self.changed.subscribe());
        let stream = futures::stream::unfold(Some((keys, changed, after)), move |state| async move {
            let (keys, mut changed, after) = state?;
            loop {
                let next = keys.lock().next(after, life);
                match next {
                    Ok(Some(batch)) => {
                        let after = batch.revision;
                        return Some((Ok(batch), Some((keys, changed, after))));
                    }
                    Ok(None) => changed.changed().await.ok()?,
                    Err(error) => return Some((Err(error), None)),
                }
            }
        });
        Ok(stream.boxed())
    }

    async fn grant(&self, _ttl: Duration) -> Result<LeaseId, StoreError> {
        self.up("grant a lease", |keys| {
            keys.leases_granted += 1;
            keys.leases.insert(keys.leases_granted);
            keys.leases_granted
        })
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool, StoreError> {
        self.up("renew the lease", |keys| keys.leases.contains(&lease))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.up("revoke the lease", |keys| keys.drop_lease(lease))
    }

    async fn commit(&self, transaction: Transaction) -> Result<bool, StoreError> {
        // Others may come first, as over a network.
        tokio::task::yield_now().await;
        self.up("commit", |keys| keys.commit(transaction))
    }
}
