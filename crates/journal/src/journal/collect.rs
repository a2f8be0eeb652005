//! The first stage: which pushes share a segment.
//!
//! A group is closed when the write before it is done and `log.flush-interval` has passed since that one began: a lone push goes at
//! once, a crowd shares. With `log.flush-bytes` waiting it is closed and packed while the write before it is still in flight. What does not fit
//! waits for the next one, in lines by tenant.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flamelake_runtime::clock::SharedClock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::{Shared, Waiting};
use crate::JournalEntry;
use crate::segment::PackedBody;

/// Smaller groups are packed on the spot: handing them to another thread would cost more.
const PACK_INLINE_BYTES: usize = 64 << 10;
/// Larger groups would not fit a segment.
const FLUSH_BYTES_MAX: usize = 64 << 20;

/// A closed group on its way to the log.
pub(super) struct Group {
    pub(super) packed: PackedBody,
    pub(super) waiting: Vec<Waiting>,
    /// Given back when the write is done: then the next group may be closed.
    pub(super) turn: OwnedSemaphorePermit,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Waiting>,
    to_write: mpsc::Sender<Group>,
    stop: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(1));
    let clock = Arc::clone(shared.store.clock());
    let interval = match shared.config.flush_interval {
        Duration::ZERO => shared.store.flush_interval(),
        interval => interval,
    };
    let flush_bytes = match shared.config.flush_bytes.as_usize() {
        0 => shared.store.flush_bytes(),
        bytes => bytes.min(FLUSH_BYTES_MAX),
    };
    let (mut lines, mut not_before) = (Lines::new(), Duration::ZERO);
    loop {
        if lines.is_empty() {
            let Some(first) = next(&mut queue, &stop).await else { return };
            enqueue(&mut lines, first);
        } else if stop.is_cancelled() {
            queue.close();
        }
        let ready = turn(&turns, &clock, not_before);
        let mut ready = std::pin::pin!(ready);
        let mut turn = gather(&mut lines, &mut queue, flush_bytes, ready.as_mut()).await;
        let (waiting, packed) = pack(&shared.ingester, lines.take(flush_bytes)).await;
        if turn.is_none() {
            turn = ready.await;
        }
        let Some(turn) = turn else { return };
        not_before = clock.monotonic() + interval;
        if to_write.send(Group { packed, waiting, turn }).await.is_err() {
            return;
        }
    }
}

fn enqueue(lines: &mut Lines<Waiting>, waiting: Waiting) {
    let (tenant, bytes) = (waiting.entry.tenant.clone(), waiting.entry.bytes());
    lines.push(&tenant, bytes, waiting);
}

/// The next push; after a stop, those that were accepted before it.
async fn next(queue: &mut mpsc::Receiver<Waiting>, stop: &CancellationToken) -> Option<Waiting> {
    tokio::select! {
        biased;
        waiting = queue.recv() => return waiting,
        () = stop.cancelled() => queue.close(),
    }
    queue.recv().await
}

async fn turn(turns: &Arc<Semaphore>, clock: &SharedClock, not_before: Duration) -> Option<OwnedSemaphorePermit> {
    let pause = not_before.saturating_sub(clock.monotonic());
    if !pause.is_zero() {
        clock.sleep(pause).await;
    }
    Arc::clone(turns).acquire_owned().await.ok()
}

/// Takes what comes until it is this group's turn, or enough waits.
async fn gather(
    lines: &mut Lines<Waiting>,
    queue: &mut mpsc::Receiver<Waiting>,
    flush_bytes: usize,
    mut ready: std::pin::Pin<&mut impl Future<Output = Option<OwnedSemaphorePermit>>>,
) -> Option<OwnedSemaphorePermit> {
    let mut open = true;
    loop {
        // Also what comes when there is enough: whose turn it is, is not a matter of who came first.
        while let Ok(next) = queue.try_recv() {
            enqueue(lines, next);
        }
        if lines.bytes() >= flush_bytes {
            return None;
        }
        tokio::select! {
            biased;
            next = queue.recv(), if open => match next {
                Some(next) => enqueue(lines, next),
                None => open = false,
            },
            turn = ready.as_mut() => return turn,
        }
    }
}

async fn pack(ingester: &str, waiting: Vec<Waiting>) -> (Vec<Waiting>, PackedBody) {
    let bytes: usize = waiting.iter().map(|waiting| waiting.entry.bytes()).sum();
    // Frames are shared, not copied. An entry without any only asks for a segment.
    let entries = waiting.iter().map(|waiting| waiting.entry.clone());
    let entries: Vec<JournalEntry> = entries.filter(|entry| !entry.frames.is_empty()).collect();
    if bytes <= PACK_INLINE_BYTES {
        let packed = PackedBody::pack(ingester, &entries);
        return (waiting, packed);
    }
    let ingester = ingester.to_owned();
    let packed = flamelake_runtime::spawn_blocking(move || PackedBody::pack(&ingester, &entries)).await;
    (waiting, packed.expect("packing does not panic, and blocking work is not cancelled"))
}
