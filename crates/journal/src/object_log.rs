//! The log in a bucket: one object a segment, put-if-absent, no gaps, tombstones (architecture section 4).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_object_storage::{Bucket, ObjectEntry, PutOutcome, StorageError};
use flamelake_runtime::clock::SharedClock;
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use ulid::Ulid;

use crate::log::{Log, LogId, LogStore, OldLog, PutError, SegmentStream};
use crate::{JournalError, JournalMetrics, Segment};

/// Longest pause between attempts of an unclear put.
const PUT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Segments fetched ahead while replaying.
const FETCH_AHEAD: usize = 4;

/// All logs of a bucket, below `log/`.
#[derive(Clone, Debug)]
pub struct ObjectLogStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    clock: SharedClock,
    metrics: JournalMetrics,
    tombstone_keep: Duration,
}

impl ObjectLogStore {
    /// Logs in this bucket, which must have passed the probe.
    pub fn new(bucket: Bucket, tombstone_keep: Duration, clock: SharedClock, metrics: JournalMetrics) -> Self {
        Self { shared: Arc::new(Shared { bucket, clock, metrics, tombstone_keep }) }
    }
}

#[async_trait]
impl LogStore for ObjectLogStore {
    fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    fn metrics(&self) -> &JournalMetrics {
        &self.shared.metrics
    }

    fn flush_interval(&self) -> Duration {
        Duration::from_millis(250)
    }

    fn flush_bytes(&self) -> usize {
        8 << 20
    }

    fn renews(&self) -> bool {
        false
    }

    async fn ingesters(&self) -> Result<Vec<String>, JournalError> {
        Ok(self.shared.bucket.list_folders("log/").await?)
    }

    async fn epochs(&self, ingester: &str) -> Result<Vec<Ulid>, JournalError> {
        let folders = self.shared.bucket.list_folders(&format!("log/{ingester}/")).await?;
        let mut epochs: Vec<Ulid> = folders.iter().filter_map(|name| Ulid::from_string(name).ok()).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    async fn create(&self, log: &LogId) -> Result<Box<dyn Log>, JournalError> {
        let known = Knowledge { last: 0, at: Moment::now(&self.shared.clock), first: 1 };
        Ok(Box::new(ObjectLog { shared: Arc::clone(&self.shared), id: log.clone(), known: Mutex::new(known) }))
    }

    async fn old(&self, log: &LogId) -> Result<Box<dyn OldLog>, JournalError> {
        Ok(Box::new(OldObjectLog { shared: Arc::clone(&self.shared), id: log.clone() }))
    }
}

/// A moment by both clocks: the monotonic one may stand still while a machine sleeps, the other may jump.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Duration,
    unix_ns: i64,
}

impl Moment {
    fn now(clock: &SharedClock) -> Self {
        Self { monotonic: clock.monotonic(), unix_ns: clock.unix_nanos() }
    }

    /// The longer of the two times since then.
    fn elapsed(self, clock: &SharedClock) -> Duration {
        let by_unix = clock.unix_nanos().saturating_sub(self.unix_ns);
        let by_unix = Duration::from_nanos(u64::try_from(by_unix).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(by_unix)
    }
}

/// What the owner knows of its chain, and since when.
#[derive(Clone, Copy, Debug)]
struct Knowledge {
    /// The last number known durable.
    last: u64,
    at: Moment,
    /// The lowest number not yet deleted.
    first: u64,
}

fn folder_of(log: &LogId) -> String {
    format!("log/{}/{}/", log.ingester, log.epoch)
}

fn key_of(log: &LogId, seq: u64) -> String {
    format!("log/{}/{}/{seq:020}", log.ingester, log.epoch)
}

fn seq_of(entry: &ObjectEntry) -> Option<u64> {
    entry.key.rsplit('/').next().filter(|name| name.len() == 20).and_then(|name| name.parse().ok())
}

impl Shared {
    /// Numbers in the log, ascending, with their objects.
    async fn list(&self, log: &LogId) -> Result<Vec<(u64, ObjectEntry)>, JournalError> {
        let entries = self.bucket.list(&folder_of(log)).await?;
        Ok(entries.into_iter().filter_map(|entry| seq_of(&entry).map(|seq| (seq, entry))).collect())
    }

    /// The object, `None` if it is absent.
    async fn read(&self, log: &LogId, seq: u64) -> Result<Option<Bytes>, JournalError> {
        match self.bucket.get(&key_of(log, seq)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

struct ObjectLog {
    shared: Arc<Shared>,
    id: LogId,
    known: Mutex<Knowledge>,
}

/// What one attempt of a put told.
enum Attempt {
    Durable,
    Sealed,
    Again,
    NotWritten(JournalError),
}

impl ObjectLog {
    fn sealed(&self) -> JournalError {
        JournalError::Sealed { log: self.id.name() }
    }

    /// After a long idle time, looks where the chain ends; a quarter of the keeping time leaves a quarter for the put.
    async fn refresh_knowledge(&self, seq: u64) -> Result<(), PutError> {
        let Shared { clock, tombstone_keep, .. } = &*self.shared;
        let stale = self.known.lock().at.elapsed(clock) >= *tombstone_keep / 4;
        if seq == 1 || !stale {
            return Ok(());
        }
        let at = Moment::now(clock);
        let listed = self.shared.list(&self.id).await.map_err(PutError::NotWritten)?;
        if listed.last().map(|(last, _)| *last) != Some(seq - 1) {
            return Err(PutError::Ended(self.sealed()));
        }
        self.known.lock().at = at;
        Ok(())
    }

    async fn attempt(&self, seq: u64, bytes: &Bytes, first: bool) -> Result<Attempt, JournalError> {
        let key = key_of(&self.id, seq);
        match self.shared.bucket.put_if_absent(&key, bytes.clone()).await {
            Ok(PutOutcome::Created) => Ok(Attempt::Durable),
            Ok(PutOutcome::AlreadyExists) => match self.shared.read(&self.id, seq).await? {
                Some(found) if found == *bytes => Ok(Attempt::Durable),
                // A tombstone, or an earlier group of ours whose failure was not one: both end the epoch.
                Some(_) => Ok(Attempt::Sealed),
                None => Ok(Attempt::Again),
            },
            Err(StorageError::OutOfSpace { .. }) if first => {
                Ok(Attempt::NotWritten(JournalError::OutOfSpace { log: self.id.name() }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Attempts until it is clear what became of the segment: a number is never skipped.
    async fn put_until_clear(&self, seq: u64, bytes: &Bytes) -> Result<(), PutError> {
        let mut pause = Duration::from_millis(50);
        let mut first = true;
        loop {
            match self.attempt(seq, bytes, first).await {
                Ok(Attempt::Durable) => return Ok(()),
                Ok(Attempt::Sealed) => return Err(PutError::Ended(self.sealed())),
                Ok(Attempt::NotWritten(error)) => return Err(PutError::NotWritten(error)),
                Ok(Attempt::Again) if pause < PUT_PAUSE_MAX => {}
                Ok(Attempt::Again) => {
                    let error = JournalError::Contradiction { key: key_of(&self.id, seq) };
                    tracing::warn!(error = &error as &dyn std::error::Error, "pushes wait for the store");
                }
                Err(error) => {
                    tracing::warn!(log = %self.id.name(), seq, error = &error as &dyn std::error::Error, "put of a segment is unclear");
                }
            }
            first = false;
            self.shared.clock.sleep(pause).await;
            pause = (pause * 2).min(PUT_PAUSE_MAX);
        }
    }
}

#[async_trait]
impl Log for ObjectLog {
    async fn put(&self, seq: u64, bytes: Bytes) -> Result<(), PutError> {
        self.refresh_knowledge(seq).await?;
        let Shared { clock, tombstone_keep, .. } = &*self.shared;
        let known_at = self.known.lock().at;
        let put_at = Moment::now(clock);
        self.put_until_clear(seq, &bytes).await?;
        // Who slept too long may have written into a deleted name: such a put does not count (sleepers, architecture section 4).
        if known_at.elapsed(clock) >= *tombstone_keep / 2 {
            return Err(PutError::Ended(self.sealed()));
        }
        let mut known = self.known.lock();
        known.last = seq;
        known.at = put_at;
        Ok(())
    }

    async fn delete_through(&self, seq: u64) -> Result<(), JournalError> {
        let Knowledge { last, first, .. } = *self.known.lock();
        // One by one: what is missing in the middle would look like damage.
        for at in first..=seq.min(last.saturating_sub(1)) {
            self.shared.bucket.delete(&key_of(&self.id, at)).await?;
            self.known.lock().first = at + 1;
        }
        Ok(())
    }

    /// Each segment is an object.
    async fn cut(&self) -> Result<(), JournalError> {
        Ok(())
    }

    async fn close(&self, seq: u64) -> Result<(), JournalError> {
        let tombstone = Segment::tombstone(&self.id.ingester, self.id.epoch, seq);
        match self.put(seq, tombstone).await {
            Ok(()) => Ok(()),
            // Sealed by somebody else is as good.
            Err(PutError::Ended(JournalError::Sealed { .. })) => Ok(()),
            Err(PutError::Ended(error) | PutError::NotWritten(error)) => Err(error),
        }
    }
}

/// Between two looks at a name that can be neither created nor read, and how many there are: half a minute.
const ABSENT_PAUSE: Duration = Duration::from_millis(50);
const ABSENT_MAX: u32 = 600;

struct OldObjectLog {
    shared: Arc<Shared>,
    id: LogId,
}

impl OldObjectLog {
    /// Puts a tombstone above `highest`, moving up while segments hold the name; tells where one stands.
    async fn put_tombstone(&self, highest: u64) -> Result<u64, JournalError> {
        let mut at = highest + 1;
        let mut absent = 0;
        while absent < ABSENT_MAX {
            let tombstone = Segment::tombstone(&self.id.ingester, self.id.epoch, at);
            let put = self.shared.bucket.put_if_absent(&key_of(&self.id, at), tombstone).await?;
            if put == PutOutcome::Created {
                return Ok(at);
            }
            match self.shared.read(&self.id, at).await? {
                Some(found) if Segment::is_tombstone(&found) => return Ok(at),
                Some(_) => (at, absent) = (at + 1, 0),
                // S3 may answer a race so, for a moment.
                None => {
                    absent += 1;
                    self.shared.clock.sleep(ABSENT_PAUSE).await;
                }
            }
        }
        // No other name would do: the owner, should it live, may yet create this one.
        Err(JournalError::Contradiction { key: key_of(&self.id, at) })
    }

    /// The highest number and whether a tombstone stands there.
    async fn end(&self) -> Result<(u64, bool), JournalError> {
        let Some((highest, _)) = self.shared.list(&self.id).await?.pop() else { return Ok((0, false)) };
        let sealed = self.shared.read(&self.id, highest).await?.is_some_and(|bytes| Segment::is_tombstone(&bytes));
        Ok((highest, sealed))
    }

    fn damage(&self, seq: u64, reason: impl Into<String>) -> JournalError {
        self.shared.metrics.damaged_records.inc();
        JournalError::Damaged { place: key_of(&self.id, seq), offset: 0, reason: reason.into() }
    }

    /// A tombstone below the highest object lies in names that were deleted: what is missing behind it was covered.
    async fn is_void_tombstone(&self, seq: u64) -> bool {
        matches!(self.shared.read(&self.id, seq).await, Ok(Some(bytes)) if Segment::is_tombstone(&bytes))
    }

    async fn read_segment(&self, seq: u64, previous: Option<u64>) -> Vec<Result<Segment, JournalError>> {
        let mut found = Vec::new();
        if let Some(previous) = previous.filter(|previous| previous + 1 < seq)
            && !self.is_void_tombstone(previous).await
        {
            found.push(Err(JournalError::Missing { log: self.id.name(), from: previous + 1, to: seq - 1 }));
        }
        let segment = match self.shared.read(&self.id, seq).await {
            Ok(Some(bytes)) => match Segment::decode(&bytes) {
                Ok(segment) if segment.tombstone => return found,
                Ok(segment) if (segment.seq, segment.epoch) != (seq, self.id.epoch) => {
                    Err(self.damage(seq, format!("holds segment {} of epoch {}", segment.seq, segment.epoch)))
                }
                Ok(segment) => Ok(segment),
                Err(error) => Err(self.damage(seq, error.to_string())),
            },
            Ok(None) => Err(JournalError::Vanished { log: self.id.name(), seq }),
            Err(error) => Err(error),
        };
        found.push(segment);
        found
    }
}

#[async_trait]
impl OldLog for OldObjectLog {
    async fn seal(&self) -> Result<u64, JournalError> {
        loop {
            let (highest, sealed) = self.end().await?;
            if highest == 0 {
                // An epoch without segment 1 was never registered; nothing can be lost, and nothing must be made.
                return Ok(0);
            }
            if sealed {
                return Ok(highest - 1);
            }
            self.put_tombstone(highest).await?;
        }
    }

    async fn segments(&self, after: u64) -> Result<SegmentStream, JournalError> {
        let listed: Vec<u64> = self.shared.list(&self.id).await?.into_iter().map(|(seq, _)| seq).collect();
        let mut previous = None;
        let wanted: Vec<(u64, Option<u64>)> =
            listed.into_iter().map(|seq| (seq, previous.replace(seq))).filter(|(seq, _)| *seq > after).collect();
        let reader = Arc::new(Self { shared: Arc::clone(&self.shared), id: self.id.clone() });
        let segments = stream::iter(wanted)
            .map(move |(seq, previous)| {
                let reader = Arc::clone(&reader);
                async move { reader.read_segment(seq, previous).await }
            })
            .buffered(FETCH_AHEAD)
            .flat_map(stream::iter);
        Ok(segments.boxed())
    }

    async fn bytes(&self) -> Result<u64, JournalError> {
        Ok(self.shared.list(&self.id).await?.iter().map(|(_, entry)| entry.bytes).sum())
    }

    async fn delete(&self) -> Result<bool, JournalError> {
        let mut listed = self.shared.list(&self.id).await?;
        let Some((highest, tombstone)) = listed.pop() else { return Ok(true) };
        for (seq, _) in listed {
            self.shared.bucket.delete(&key_of(&self.id, seq)).await?;
        }
        let age_ms = self.shared.clock.unix_nanos() / 1_000_000 - tombstone.last_modified_ms;
        let keep_ms = i64::try_from(self.shared.tombstone_keep.as_millis()).unwrap_or(i64::MAX);
        if age_ms < keep_ms {
            return Ok(false);
        }
        self.shared.bucket.delete(&key_of(&self.id, highest)).await?;
        Ok(true)
    }
}
