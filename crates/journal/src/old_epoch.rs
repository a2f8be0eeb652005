//! Replay: epochs whose owner is gone, oldest first.

use std::sync::Arc;

use futures::{StreamExt, stream};

pub use crate::log::SegmentStream;
use crate::log::{LogId, LogStore, OldLog};
use crate::{JournalError, JournalMetrics};
use flamelake_runtime::clock::SharedClock;

/// An epoch that nobody writes any more, once it is sealed.
pub struct OldEpoch {
    id: LogId,
    log: Box<dyn OldLog>,
    clock: SharedClock,
    metrics: JournalMetrics,
}

impl std::fmt::Debug for OldEpoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OldEpoch({})", self.id.name())
    }
}

/// All epochs of an ingester, oldest first, but for the one named `except` (`<ingester>/<epoch>`): the open one.
pub async fn older_epochs(
    store: &Arc<dyn LogStore>,
    ingester: &str,
    except: Option<&str>,
) -> Result<Vec<OldEpoch>, JournalError> {
    let mut found = Vec::new();
    for epoch in store.epochs(ingester).await? {
        let id = LogId { ingester: ingester.to_owned(), epoch };
        if except != Some(id.name().as_str()) {
            found.push(OldEpoch::open(store, id).await?);
        }
    }
    Ok(found)
}

impl OldEpoch {
    /// One epoch by its id.
    pub async fn open(store: &Arc<dyn LogStore>, id: LogId) -> Result<Self, JournalError> {
        let log = store.old(&id).await?;
        Ok(Self { id, log, clock: Arc::clone(store.clock()), metrics: store.metrics().clone() })
    }

    /// `<ingester>/<epoch>`, as catalogs and blocks write it.
    pub fn log_name(&self) -> String {
        self.id.name()
    }

    /// Its id.
    pub fn id(&self) -> &LogId {
        &self.id
    }

    /// Makes sure that nothing is ever added; tells the number of the last segment, 0 if there is none. May be repeated.
    pub async fn seal(&self) -> Result<u64, JournalError> {
        self.log.seal().await
    }

    /// The segments with a number above `after`, in order. Damage comes as [`JournalError::Damaged`] in its place, and a gap
    /// as [`JournalError::Missing`], which is damage unless blocks cover it; the stream goes on behind both.
    /// [`JournalError::Vanished`] says that a peer has covered the segment meanwhile. Call [`seal`](Self::seal) before.
    pub async fn segments(&self, after: u64) -> Result<SegmentStream, JournalError> {
        let segments = self.log.segments(after).await?;
        let (clock, metrics, started) = (Arc::clone(&self.clock), self.metrics.clone(), self.clock.monotonic());
        let measured = stream::once(async move {
            metrics.replay_seconds.observe(clock.monotonic().saturating_sub(started).as_secs_f64());
        });
        Ok(segments.chain(measured.filter_map(|()| async { None })).boxed())
    }

    /// Bytes it takes.
    pub async fn bytes(&self) -> Result<u64, JournalError> {
        self.log.bytes().await
    }

    /// Deletes the segments, all of which must be covered. True if nothing of the epoch is left: then its watermarks may go. In a
    /// bucket the tombstone stays for `log.tombstone-keep`, so call this again now and then.
    pub async fn delete(&self) -> Result<bool, JournalError> {
        self.log.delete().await
    }
}
