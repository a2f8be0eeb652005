//! Where members are kept: a small trait over revisions, leases and transactions, as etcd has them.
//!
//! [`EtcdStore`](crate::EtcdStore) is the real one; [`MemoryStore`](crate::MemoryStore) is the ring of one process, and what tests and
//! simulations break at will. What the keys mean is decided above, by the reader and the keeper.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use ulid::Ulid;

use crate::error::StoreError;
use crate::member::{Alive, Member, MemberId};

/// Of the store or of a key in it; 0 = the key is absent.
pub type Revision = i64;

/// Names a lease.
pub type LeaseId = i64;

/// A value and the revision of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// When it was written.
    pub revision: Revision,
}

/// A change of one key; `None` = deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a member.
    Member(MemberId, Option<Stored<Arc<Member>>>),
    /// Of a sign of life.
    Alive(MemberId, Option<Stored<Alive>>),
    /// Of a mark that a member shall be recovered.
    Forget(MemberId, bool),
    /// Of the epoch.
    Epoch(Option<Stored<u64>>),
    /// Of the name that the first registration gave to this life of the store: another one after all keys were lost.
    Origin(Option<Stored<Ulid>>),
}

/// Everything at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of the store.
    pub revision: Revision,
    /// Every key that exists, as a change from nothing.
    pub keys: Vec<Change>,
}

/// What one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Of the store after it.
    pub revision: Revision,
    /// In order.
    pub changes: Vec<Change>,
}

/// What must still be so; 0 = the key must be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Revision of a member's key.
    Member(MemberId, Revision),
    /// Revision of a sign of life.
    Alive(MemberId, Revision),
    /// Revision of the epoch.
    Epoch(Revision),
}

/// What is written then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A member's key.
    Member(Member),
    /// Away with it.
    DropMember(MemberId),
    /// A sign of life that vanishes with the lease.
    Alive(MemberId, Alive, LeaseId),
    /// Away with it.
    DropAlive(MemberId),
    /// The mark that a member shall be recovered.
    Forget(MemberId),
    /// Away with it.
    DropForget(MemberId),
    /// The epoch.
    Epoch(u64),
    /// The name of this life of the store.
    Origin(Ulid),
}

/// All or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// No key twice.
    pub writes: Vec<Write>,
}

/// Changes from a revision on. After an error it is over: list again.
pub type Changes = BoxStream<'static, Result<Batch, StoreError>>;

/// See the module. Calls end by themselves within seconds, with an error if need be; all may be cancelled.
#[async_trait]
pub trait MemberStore: Send + Sync + fmt::Debug {
    /// All keys at the newest revision.
    async fn list(&self) -> Result<Listing, StoreError>;
    /// What comes after a revision.
    async fn watch(&self, after: Revision) -> Result<Changes, StoreError>;
    /// A lease that ends when it is not renewed for so long (rounded up to seconds).
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError>;
    /// Renews a lease; `false` = it has ended.
    async fn renew(&self, lease: LeaseId) -> Result<bool, StoreError>;
    /// Ends a lease and with it all signs of life under it.
    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError>;
    /// Writes if all guards hold; `false` = one does not. After an error it may or may not have been done.
    async fn commit(&self, transaction: Transaction) -> Result<bool, StoreError>;
}
