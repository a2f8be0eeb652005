//! The open epoch: group commit over a log.
//!
//! Three stages, each a task: *collect* closes a group when the write before it is done (or enough bytes wait) and packs it while that
//! write is in flight; *write* keeps one put in flight; *apply* hands durable segments to the head in order, then acknowledges.

mod collect;
mod lines;
mod write;
mod apply;
mod uncovered;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flamelake_model::TenantId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::{Log, LogId, LogStore, is_ingester_name};
use crate::segment::BODY_BYTES_MAX;
use crate::{JournalConfig, JournalEntry, JournalError, OldEpoch};
use uncovered::Uncovered;

/// Unit in which waiting bytes are counted.
const PERMIT_BYTES: usize = 1024;
/// Largest single entry.
const ENTRY_BYTES_MAX: usize = BODY_BYTES_MAX / 2;
/// Segments that wait to be applied.
const APPLY_QUEUE: usize = 4;

/// Who is told what has become durable.
pub trait Apply: Send + Sync + 'static {
    /// An epoch `<ingester>/<epoch>` begins: what is applied from now on belongs to it, and `seq` starts anew. The first call comes
    /// before [`Journal::start`] returns; another one only on a disk, after a failed sync.
    fn epoch_began(&self, _log_name: &str) {}

    /// Called in order of `seq`, once the segment is durable, before anyone is acknowledged. Runs on a blocking thread.
    fn apply(&self, seq: u64, entries: Vec<JournalEntry>);
}

/// A push that waits for its segment.
#[derive(Debug)]
struct Waiting {
    entry: JournalEntry,
    done: oneshot::Sender<Result<u64, JournalError>>,
    /// Bytes of the queue, until it is applied.
    room: OwnedSemaphorePermit,
    /// A place in the queue, until then.
    place: OwnedSemaphorePermit,
}

/// The open log of this process.
pub struct Journal {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    stages: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.log_name())
    }
}

/// What the stages and the handle share.
struct Shared {
    store: Arc<dyn LogStore>,
    ingester: String,
    config: JournalConfig,
    open: Mutex<OpenEpoch>,
    /// Epochs that ended in this process, with their last durable number.
    ended: Mutex<Vec<(LogId, u64)>>,
    durable: AtomicU64,
    uncovered: Mutex<Uncovered>,
    failed: watch::Sender<Option<JournalError>>,
}

#[derive(Clone)]
struct OpenEpoch {
    id: LogId,
    log: Arc<dyn Log>,
}

impl Journal {
    /// Begins a new epoch: puts its empty segment 1, so that it can be listed. Replay [`older_epochs`](crate::older_epochs) before.
    pub async fn start(
        store: Arc<dyn LogStore>,
        ingester: &str,
        config: JournalConfig,
        apply: Arc<dyn Apply>,
    ) -> Result<Self, JournalError> {
        if !is_ingester_name(ingester) {
            let reason = format!("{ingester:?} is no name for an ingester: use letters, digits, '-', '_' and '.'");
            return Err(JournalError::Config { reason });
        }
        let open = write::begin_epoch(&store, ingester).await?;
        apply.epoch_began(&open.id.name());
        store.metrics().uncovered_bytes_max.set(i64::try_from(config.bytes_max.0).unwrap_or(i64::MAX));
        let shared = Arc::new(Shared {
            store,
            ingester: ingester.to_owned(),
            open: Mutex::new(open),
            ended: Mutex::default(),
            durable: AtomicU64::new(1),
            uncovered: Mutex::default(),
            failed: watch::Sender::new(None),
            config,
        });
        Ok(Self::run(shared, apply))
    }

    fn run(shared: Arc<Shared>, apply: Arc<dyn Apply>) -> Self {
        let stop = CancellationToken::new();
        let entries = usize::try_from(shared.config.queue_entries).unwrap_or(usize::MAX).clamp(1, 1 << 20);
        let permits = shared.config.queue_bytes.as_usize() / PERMIT_BYTES;
        let room = Arc::new(Semaphore::new(permits.clamp(1, u32::MAX as usize >> 3)));
        let places = Arc::new(Semaphore::new(entries));
        let (queue, waiting) = mpsc::channel(entries);
        let (to_write, groups) = mpsc::channel(1);
        let (to_apply, durable) = mpsc::channel(APPLY_QUEUE);
        let stages = vec![
            tokio::spawn(collect::run(Arc::clone(&shared), waiting, to_write, stop.clone())),
            tokio::spawn(write::run(Arc::clone(&shared), groups, to_apply, stop.clone())),
            tokio::spawn(apply::run(apply, durable)),
        ];
        Self { shared, queue, room, places, stop, stages: Mutex::new(stages) }
    }

    /// The open epoch, `<ingester>/<epoch>`. After an epoch ended it is the ended one's until the next push begins a new one.
    pub fn log_name(&self) -> String {
        self.shared.open.lock().id.name()
    }

    /// Makes an entry durable and applied; tells its `seq`. An accepted entry is written even if the caller goes away. On an error the
    /// entry is not acknowledged; unless the code is `resource_exhausted` it may come back at a replay all the same.
    pub async fn append(&self, entry: JournalEntry) -> Result<u64, JournalError> {
        let clock = self.shared.store.clock();
        let started = clock.monotonic();
        let done = self.enqueue(entry)?;
        let result = done.await.unwrap_or(Err(JournalError::Closed));
        let taken = clock.monotonic().saturating_sub(started);
        self.shared.store.metrics().append_seconds.observe(taken.as_secs_f64());
        result
    }

    fn enqueue(&self, entry: JournalEntry) -> Result<oneshot::Receiver<Result<u64, JournalError>>, JournalError> {
        let bytes = entry.bytes();
        if bytes > ENTRY_BYTES_MAX {
            return Err(JournalError::TooLarge { bytes, bytes_max: ENTRY_BYTES_MAX });
        }
        let (uncovered, bytes_max) = (self.uncovered_bytes(), self.shared.config.bytes_max.0);
        if uncovered >= bytes_max {
            return Err(JournalError::UncoveredFull { bytes: uncovered, bytes_max });
        }
        let permits = (bytes / PERMIT_BYTES + 1) as u32;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(permits)
            .map_err(|_| JournalError::QueueFull { limit: "log.queue-bytes" })?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| JournalError::QueueFull { limit: "log.queue-entries" })?;
        let (reply, done) = oneshot::channel();
        // Who has a place finds room in the channel.
        self.queue.try_send(Waiting { entry, done: reply, room, place }).map_err(|_| JournalError::Closed)?;
        Ok(done)
    }

    /// Puts a segment without entries that shares no object with those before it, so that all of these can be deleted; tells its log
    /// and its number.
    pub async fn cut(&self) -> Result<(String, u64), JournalError> {
        let open = self.shared.open.lock().clone();
        open.log.cut().await?;
        let blank = JournalEntry { tenant: TenantId::anonymous(), frames: Vec::new() };
        let seq = self.append(blank).await?;
        let now = self.log_name();
        // Meanwhile a new epoch began: the caller looks again.
        if now == open.id.name() { Ok((now, seq)) } else { Err(JournalError::Closed) }
    }

    /// The last durable number of the open epoch.
    pub fn durable_seq(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Bytes of this process's log that [`delete_covered`](Self::delete_covered) has not been told of. A flush is due well before
    /// `log.bytes-max`, where pushes are refused.
    pub fn uncovered_bytes(&self) -> u64 {
        self.shared.uncovered.lock().bytes()
    }

    /// Every tenant of the open epoch is covered up to and including `through`: deletes what may go. Keeps the newest.
    pub async fn delete_covered(&self, through: u64) -> Result<(), JournalError> {
        self.delete_covered_of(&self.log_name(), through).await
    }

    /// The same for any epoch of this process by name, ended ones included.
    pub async fn delete_covered_of(&self, log_name: &str, through: u64) -> Result<(), JournalError> {
        self.shared.uncover(log_name, through);
        let open = self.shared.open.lock().clone();
        if open.id.name() == log_name && !self.is_ended(&open.id) {
            return open.log.delete_through(through).await;
        }
        let ended = self.shared.ended.lock().iter().find(|(id, _)| id.name() == log_name).cloned();
        let Some((id, last)) = ended.filter(|(_, last)| *last <= through) else { return Ok(()) };
        // A writer that slept may still hold a sealed log in a bucket; there the next start cleans up.
        if self.shared.store.renews() {
            OldEpoch::open(&self.shared.store, id.clone()).await?.delete().await?;
            tracing::info!(log = log_name, last, "an ended epoch of the log is covered and deleted");
        }
        self.shared.ended.lock().retain(|(other, _)| *other != id);
        Ok(())
    }

    fn is_ended(&self, id: &LogId) -> bool {
        self.shared.ended.lock().iter().any(|(ended, _)| ended == id)
    }

    /// Ends once nothing can be appended until a new journal is started: the log was sealed by a peer, or the process slept too long.
    /// On a disk this never ends, because a new epoch begins by itself.
    pub async fn failed(&self) -> JournalError {
        let mut failed = self.shared.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(JournalError::Closed),
            Err(_) => JournalError::Closed,
        }
    }

    /// Refuses new entries, writes what waits, ends the epoch with a tombstone. May be repeated.
    pub async fn close(&self) {
        self.stop.cancel();
        let stages = std::mem::take(&mut *self.stages.lock());
        for stage in stages {
            // A stage that was cancelled with the runtime has nothing left to do.
            let _ = stage.await;
        }
    }
}

impl Shared {
    fn uncover(&self, log_name: &str, through: u64) {
        let mut uncovered = self.uncovered.lock();
        uncovered.cover(log_name, through);
        self.store.metrics().uncovered_bytes.set(i64::try_from(uncovered.bytes()).unwrap_or(i64::MAX));
    }

    fn count_durable(&self, log_name: &str, seq: u64, bytes: u64) {
        self.durable.store(seq, Ordering::Release);
        let mut uncovered = self.uncovered.lock();
        uncovered.add(log_name, seq, bytes);
        let metrics = self.store.metrics();
        metrics.segments.inc();
        metrics.bytes.inc_by(bytes);
        metrics.uncovered_bytes.set(i64::try_from(uncovered.bytes()).unwrap_or(i64::MAX));
    }
}
