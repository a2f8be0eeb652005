//! Names bound in etcd, for whoever must agree on one: bound once, told to everybody, freed only by who knows the holder. Knows nothing of
//! what the names are of. Keys and values stand in `docs/formats/ring.md`.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use flamelake_runtime::clock::SharedClock;

use super::{ANSWER_BYTES_MAX, EtcdStore};
use crate::config::RingConfig;
use crate::error::StoreError;

/// More are not asked for at once; only crashes leave any.
const LISTED_MAX: i64 = 10_000;

/// See the module. Connects at the first call.
#[derive(Debug)]
pub struct EtcdNames {
    store: EtcdStore,
    root: String,
}

impl EtcdNames {
    /// Beside the ring in the same etcd; contacts nobody yet. The error names the key that is wrong.
    pub fn new(config: &RingConfig, clock: SharedClock) -> Result<Self, StoreError> {
        let prefix = &config.etcd.prefix;
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Ok(Self { store: EtcdStore::new(config, clock)?, root: format!("{prefix}{slash}names/v1/") })
    }

    /// Binds the name unless it is bound, and tells the holder. An error leaves open whether it was bound.
    pub async fn bind(&self, name: &str, holder: &str) -> Result<String, StoreError> {
        let key = format!("{}{name}", self.root);
        let transaction = Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.clone(), holder, None)])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.store.call("bind a name", |mut client| {
            let transaction = transaction.clone();
            async move { client.txn(transaction).await }
        });
        let answer = answer.await?;
        if answer.succeeded() {
            return Ok(holder.to_owned());
        }
        let broken = || StoreError::Unavailable { action: "bind a name", message: "etcd told no holder".to_owned() };
        let responses = answer.op_responses();
        let Some(TxnOpResponse::Get(found)) = responses.first() else { return Err(broken()) };
        let found = found.kvs().first().ok_or_else(broken)?;
        found.value_str().map(str::to_owned).map_err(|_| broken())
    }

    /// Frees the name if it is bound to `holder`.
    pub async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let key = format!("{}{name}", self.root);
        let transaction = Txn::new()
            .when([Compare::value(key.clone(), CompareOp::Equal, holder)])
            .and_then([TxnOp::delete(key, None)]);
        let release = |mut client: etcd_client::Client| {
            let transaction = transaction.clone();
            async move { client.txn(transaction).await }
        };
        self.store.call("free a name", release).await.map(drop)
    }

    /// Names and holders, the first ten thousand.
    pub async fn list(&self) -> Result<Vec<(String, String)>, StoreError> {
        let answer = self.store.call("list names", |client| {
            let root = self.root.clone();
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
                kv.get(root, Some(GetOptions::new().with_prefix().with_limit(LISTED_MAX))).await
            }
        });
        let answer = answer.await?;
        let text = |kv: &etcd_client::KeyValue| {
            let name = kv.key_str().ok()?.strip_prefix(&self.root)?.to_owned();
            Some((name, kv.value_str().ok()?.to_owned()))
        };
        Ok(answer.kvs().iter().filter_map(text).collect())
    }
}
