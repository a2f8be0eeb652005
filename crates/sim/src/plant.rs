//! Bugs on purpose, to see that the simulation finds them: wrappers of the traits between parts, never code of the server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_catalog::StoredCommit;
use flamelake_journal::log::{Log, OldLog, PutError};
use flamelake_journal::{JournalError, JournalMetrics, LogId, LogStore};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_runtime::clock::SharedClock;
use ulid::Ulid;

/// What is wrong with the system on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    /// Nothing.
    #[default]
    Nothing,
    /// The log says that a segment is durable before it is.
    AcknowledgeBeforeDurable,
    /// Commits of flushes do not say which log they cover.
    CommitWithoutCovered,
    /// A reader asks ingesters for all rows, whatever lies in blocks.
    IgnoreWatermarks,
}

impl Plant {
    /// All that are wrong.
    pub const ALL: [Self; 3] = [Self::AcknowledgeBeforeDurable, Self::CommitWithoutCovered, Self::IgnoreWatermarks];

    pub(crate) fn logs(self, logs: Arc<dyn LogStore>) -> Arc<dyn LogStore> {
        if self == Self::AcknowledgeBeforeDurable { Arc::new(EagerLogs(logs)) } else { logs }
    }

    /// What is written under a name.
    pub(crate) fn written(self, key: &str, bytes: Bytes) -> Bytes {
        if self != Self::CommitWithoutCovered || !key.contains("/catalog/") || key.contains("/checkpoints/") {
            return bytes;
        }
        let Ok(mut stored) = StoredCommit::parse(&bytes) else { return bytes };
        stored.commit.covered.clear();
        stored.to_bytes().into()
    }

    pub(crate) fn asked(self, ingester: Arc<dyn IngesterApi>) -> Arc<dyn IngesterApi> {
        if self == Self::IgnoreWatermarks { Arc::new(AskedForAll(ingester)) } else { ingester }
    }
}

/// As a disk that keeps writes in its own memory for a while.
const WRITTEN_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct EagerLogs(Arc<dyn LogStore>);

#[async_trait]
impl LogStore for EagerLogs {
    fn clock(&self) -> &SharedClock {
        self.0.clock()
    }

    fn metrics(&self) -> &JournalMetrics {
        self.0.metrics()
    }

    fn flush_interval(&self) -> Duration {
        self.0.flush_interval()
    }

    fn flush_bytes(&self) -> usize {
        self.0.flush_bytes()
    }

    fn renews(&self) -> bool {
        self.0.renews()
    }

    async fn ingesters(&self) -> Result<Vec<String>, JournalError> {
        self.0.ingesters().await
    }

    async fn epochs(&self, ingester: &str) -> Result<Vec<Ulid>, JournalError> {
        self.0.epochs(ingester).await
    }

    async fn create(&self, log: &LogId) -> Result<Box<dyn Log>, JournalError> {
        let log: Arc<dyn Log> = Arc::from(self.0.create(log).await?);
        Ok(Box::new(EagerLog { log, clock: Arc::clone(self.clock()), last: Arc::default() }))
    }

    async fn old(&self, log: &LogId) -> Result<Box<dyn OldLog>, JournalError> {
        self.0.old(log).await
    }
}

struct EagerLog {
    log: Arc<dyn Log>,
    clock: SharedClock,
    /// Puts stay in order.
    last: Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl Log for EagerLog {
    async fn put(&self, seq: u64, bytes: Bytes) -> Result<(), PutError> {
        if seq == 1 {
            return self.log.put(seq, bytes).await;
        }
        let (log, turn) = (Arc::clone(&self.log), Arc::clone(&self.last).lock_owned().await);
        let pause = self.clock.sleep(WRITTEN_AFTER);
        tokio::spawn(async move {
            let _turn = turn;
            pause.await;
            let _ = log.put(seq, bytes).await;
        });
        Ok(())
    }

    async fn delete_through(&self, seq: u64) -> Result<(), JournalError> {
        self.log.delete_through(seq).await
    }

    async fn cut(&self) -> Result<(), JournalError> {
        let _turn = self.last.lock().await;
        self.log.cut().await
    }

    async fn close(&self, seq: u64) -> Result<(), JournalError> {
        let _turn = self.last.lock().await;
        self.log.close(seq).await
    }
}

struct AskedForAll(Arc<dyn IngesterApi>);

#[async_trait]
impl IngesterApi for AskedForAll {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        self.0.append(request).await
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.0.query(IngesterQuery { watermarks: Vec::new(), ..request }).await
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        self.0.flush(tenant).await
    }
}
