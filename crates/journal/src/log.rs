//! What a log does, wherever it lies: one owner appends to an open epoch; anybody who may take it over seals and reads an old one.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_runtime::clock::SharedClock;
use futures::stream::BoxStream;
use ulid::Ulid;

use crate::{JournalError, JournalMetrics, Segment};

/// One epoch of one ingester.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId {
    /// Name of the ingester: letters, digits, `-`, `_`, `.`.
    pub ingester: String,
    /// The epoch.
    pub epoch: Ulid,
}

impl LogId {
    /// `<ingester>/<epoch>`, as catalogs and blocks write it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.ingester, self.epoch)
    }

    /// Reads [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Self> {
        let (ingester, epoch) = name.split_once('/')?;
        let epoch = Ulid::from_string(epoch).ok()?;
        is_ingester_name(ingester).then(|| Self { ingester: ingester.to_owned(), epoch })
    }
}

/// May an ingester bear this name? It becomes a folder.
pub(crate) fn is_ingester_name(name: &str) -> bool {
    let fits = (1..=200).contains(&name.len()) && !name.starts_with('.');
    fits && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The place where logs lie.
#[async_trait]
pub trait LogStore: Send + Sync + fmt::Debug + 'static {
    /// Time and pauses.
    fn clock(&self) -> &SharedClock;

    /// Where measurements go.
    fn metrics(&self) -> &JournalMetrics;

    /// Least time between the starts of two writes, if the configuration does not say.
    fn flush_interval(&self) -> Duration;

    /// Bytes of a group that is closed early, if the configuration does not say.
    fn flush_bytes(&self) -> usize;

    /// May the owner begin a new epoch by itself after one ended? Not where others watch the log: there it must register anew.
    fn renews(&self) -> bool;

    /// Names of all ingesters with something in their log.
    async fn ingesters(&self) -> Result<Vec<String>, JournalError>;

    /// Epochs of an ingester, oldest first.
    async fn epochs(&self, ingester: &str) -> Result<Vec<Ulid>, JournalError>;

    /// A new epoch, for its owner.
    async fn create(&self, log: &LogId) -> Result<Box<dyn Log>, JournalError>;

    /// An epoch whose owner is gone.
    async fn old(&self, log: &LogId) -> Result<Box<dyn OldLog>, JournalError>;
}

/// Why a segment was not made durable.
#[derive(Debug)]
pub enum PutError {
    /// It surely was not, and the number is free: another segment may take it.
    NotWritten(JournalError),
    /// Nothing can be written to this epoch any more; whether this segment was is open.
    Ended(JournalError),
}

/// An open epoch, in the hands of its owner. One call at a time.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Makes segment `seq` (the last one's plus one) durable. Does not return while that is unclear, and must not be dropped before
    /// it returns unless the epoch is given up.
    async fn put(&self, seq: u64, bytes: Bytes) -> Result<(), PutError>;

    /// Deletes segments up to and including `seq`, in ascending order, as far as the layout allows; never the newest.
    async fn delete_through(&self, seq: u64) -> Result<(), JournalError>;

    /// What is written from now on shares no object with what was written before, so that all of that can be deleted.
    async fn cut(&self) -> Result<(), JournalError>;

    /// Ends the epoch cleanly with a tombstone at `seq`.
    async fn close(&self, seq: u64) -> Result<(), JournalError>;
}

/// Segments in ascending order. Damage comes as an error in its place, and the stream goes on behind it.
pub type SegmentStream = BoxStream<'static, Result<Segment, JournalError>>;

/// An epoch whose owner is gone.
#[async_trait]
pub trait OldLog: Send + Sync + 'static {
    /// Makes sure that nothing is ever added; tells the number of the last segment, 0 if there is none left. May be repeated.
    async fn seal(&self) -> Result<u64, JournalError>;

    /// The segments with a number above `after`, without tombstones. Call [`seal`](Self::seal) before.
    async fn segments(&self, after: u64) -> Result<SegmentStream, JournalError>;

    /// Bytes it takes.
    async fn bytes(&self) -> Result<u64, JournalError>;

    /// Deletes the segments, all of which are covered. True if nothing of the epoch is left (the tombstone stays for its time).
    async fn delete(&self) -> Result<bool, JournalError>;
}
