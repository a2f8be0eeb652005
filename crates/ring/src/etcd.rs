//! Members in etcd, by `etcd-client`. Keys and values stand in `docs/formats/ring.md`.

mod connect;
mod endpoints;
mod keys;
mod names;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, Error, EventType, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};
use flamelake_runtime::clock::SharedClock;
use futures::StreamExt as _;

use crate::config::RingConfig;
use crate::error::StoreError;
use crate::store::{Batch, Changes, Guard, LeaseId, Listing, MemberStore, Revision, Transaction, Write};
use endpoints::Endpoints;
use keys::Keys;
pub use names::EtcdNames;

/// A list of all members may be so large; thousands of members with a thousand tokens are.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// See the module. Connects at the first call, and anew when it is refused.
pub struct EtcdStore {
    endpoints: Endpoints,
    keys: Keys,
}

impl EtcdStore {
    /// Reads the files of TLS; contacts nobody yet. The error names the key that is wrong.
    pub fn new(config: &RingConfig, clock: SharedClock) -> Result<Self, StoreError> {
        let endpoints = Endpoints::new(connect::Settings::new(&config.etcd)?, clock);
        Ok(Self { endpoints, keys: Keys::new(&config.etcd.prefix) })
    }

    /// One request, at whichever endpoint answers it.
    async fn call<T, Answer: Future<Output = Result<T, Error>>>(
        &self,
        action: &'static str,
        call: impl Fn(Client) -> Answer,
    ) -> Result<T, StoreError> {
        self.endpoints.call(action, call).await
    }
}

fn store_error(action: &'static str, error: &Error) -> StoreError {
    let message = error.to_string();
    match error {
        // InvalidArgument (wrong password), PermissionDenied, FailedPrecondition (no users there), Unauthenticated.
        Error::GRpcStatus(status) if matches!(i32::from(status.code()), 3 | 7 | 9 | 16) => {
            StoreError::Denied { action, message: status.message().to_owned() }
        }
        Error::GRpcStatus(status) => StoreError::Unavailable { action, message: status.message().to_owned() },
        _ => StoreError::Unavailable { action, message },
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if i32::from(status.code()) == 5)
}

#[async_trait]
impl MemberStore for EtcdStore {
    async fn list(&self) -> Result<Listing, StoreError> {
        let answer = self.call("list members", |client| {
            let root = self.keys.root();
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
                kv.get(root, Some(GetOptions::new().with_prefix())).await
            }
        });
        let answer = answer.await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let keys = answer.kvs().iter().filter_map(|kv| self.keys.read(kv.key(), Some((kv.value(), kv.mod_revision()))));
        Ok(Listing { revision, keys: keys.collect() })
    }

    async fn watch(&self, after: Revision) -> Result<Changes, StoreError> {
        let stream = self.call("watch members", |client| {
            let root = self.keys.root();
            async move {
                let mut watches = client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
                let options = WatchOptions::new().with_prefix().with_start_revision(after + 1).with_progress_notify();
                watches.watch(root, Some(options)).await
            }
        });
        let state = Some((stream.await?, self.keys.clone()));
        let changes = futures::stream::unfold(state, move |state| async move {
            let (mut stream, keys) = state?;
            match next_batch(&mut stream, &keys, after).await {
                Ok(batch) => Some((Ok(batch), Some((stream, keys)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(changes.boxed())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let grant = |mut client: Client| async move { client.lease_grant(seconds, None).await };
        Ok(self.call("grant a lease", grant).await?.id())
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool, StoreError> {
        let renew = |mut client: Client| async move {
            match client.lease_keep_alive(lease).await {
                // The first answer is read before it returns.
                Ok(_) => Ok(true),
                Err(Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) if is_not_found(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.call("renew the lease", renew).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        let revoke = |mut client: Client| async move {
            match client.lease_revoke(lease).await {
                Err(error) if !is_not_found(&error) => Err(error),
                _ => Ok(()),
            }
        };
        self.call("revoke the lease", revoke).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<bool, StoreError> {
        let guards: Vec<Compare> = transaction.guards.iter().map(|guard| self.guard(guard)).collect();
        let writes: Vec<TxnOp> = transaction.writes.into_iter().map(|write| self.write(write)).collect();
        let transaction = Txn::new().when(guards).and_then(writes);
        let commit = |mut client: Client| {
            let transaction = transaction.clone();
            async move {
                match client.txn(transaction).await {
                    Ok(answer) => Ok(answer.succeeded()),
                    // The lease that was named has ended.
                    Err(error) if is_not_found(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        };
        self.call("commit", commit).await
    }
}

impl EtcdStore {
    fn guard(&self, guard: &Guard) -> Compare {
        let (key, revision) = match guard {
            Guard::Member(id, revision) => (self.keys.member(id), revision),
            Guard::Alive(id, revision) => (self.keys.alive(id), revision),
            Guard::Epoch(revision) => (self.keys.epoch(), revision),
        };
        Compare::mod_revision(key, CompareOp::Equal, *revision)
    }

    fn write(&self, write: Write) -> TxnOp {
        match write {
            Write::Member(member) => TxnOp::put(self.keys.member(&member.id), member.to_json(), None),
            Write::DropMember(id) => TxnOp::delete(self.keys.member(&id), None),
            Write::Alive(id, alive, lease) => {
                TxnOp::put(self.keys.alive(&id), keys::json(&alive), Some(PutOptions::new().with_lease(lease)))
            }
            Write::DropAlive(id) => TxnOp::delete(self.keys.alive(&id), None),
            Write::Forget(id) => TxnOp::put(self.keys.forget(&id), "{}", None),
            Write::DropForget(id) => TxnOp::delete(self.keys.forget(&id), None),
            Write::Epoch(epoch) => TxnOp::put(self.keys.epoch(), epoch.to_string(), None),
            Write::Origin(origin) => TxnOp::put(self.keys.origin(), origin.to_string(), None),
        }
    }
}

async fn next_batch(stream: &mut WatchStream, keys: &Keys, after: Revision) -> Result<Batch, StoreError> {
    let cut = |message: &str| StoreError::Unavailable { action: "watch members", message: message.to_owned() };
    let answer = loop {
        let answer = stream.message().await.map_err(|error| store_error("watch members", &error))?;
        let answer = answer.ok_or_else(|| cut("the stream ended"))?;
        if !answer.created() || answer.canceled() {
            break answer;
        }
    };
    if answer.compact_revision() > 0 {
        return Err(StoreError::Compacted { after });
    }
    if answer.canceled() {
        let message = answer.cancel_reason().to_owned();
        return Err(StoreError::Denied { action: "watch members", message });
    }
    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
    let change = |event: &etcd_client::Event| {
        let kv = event.kv()?;
        let value = (event.event_type() == EventType::Put).then(|| (kv.value(), kv.mod_revision()));
        keys.read(kv.key(), value)
    };
    Ok(Batch { revision, changes: answer.events().iter().filter_map(change).collect() })
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore").field("endpoints", &self.endpoints).field("keys", &self.keys).finish()
    }
}

/// The store that the configuration names: etcd, or else the memory of this process.
///
/// # Errors
/// Keys of TLS that cannot be.
pub fn open_member_store(config: &RingConfig, clock: &SharedClock) -> Result<Arc<dyn MemberStore>, StoreError> {
    if config.etcd.endpoints.is_empty() {
        return Ok(Arc::new(crate::memory::MemoryStore::new()));
    }
    Ok(Arc::new(EtcdStore::new(config, Arc::clone(clock))?))
}
