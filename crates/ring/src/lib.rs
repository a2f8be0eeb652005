//! Who is a member of the cluster, who lives, and who owns what.
//!
//! Promises: a reader's view is always one that was true at some moment, changes never come out of order, and an absent etcd changes nothing but
//! that nobody can join or leave (architecture P6). Safety of data never rests on the ring: it decides who *tries*, put-if-absent decides who wins.
//!
//! Knows no role's work, no log and no catalog. The model ([`Snapshot`], [`TokenRing`], [`choose_tokens`]) does no I/O.

mod member;
mod key;
mod tokens;
mod token_ring;
mod snapshot;
mod config;
mod ring;
mod membership;
mod reader;
mod view;
mod shared;
mod store;
mod memory;
mod etcd;
mod page;
mod metrics;
mod error;
#[cfg(test)]
mod fixtures;

pub use config::{EtcdConfig, RingConfig};
pub use error::{RingError, StoreError};
pub use etcd::{EtcdNames, EtcdStore, open_member_store};
pub use key::RingKey;
pub use member::{Alive, FORMAT, Member, MemberId, Role, State, TOKENS_MAX};
pub use membership::{Instance, Membership};
pub use memory::MemoryStore;
pub use page::routes;
pub use ring::{Forgotten, Ring, RingDeps, RingHandle};
pub use snapshot::{Seen, Snapshot, shards_for_rate};
pub use store::{Batch, Change, Changes, Guard, LeaseId, Listing, MemberStore, Revision, Stored, Transaction, Write};
pub use token_ring::TokenRing;
pub use tokens::choose_tokens;
