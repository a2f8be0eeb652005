//! The second stage: one put in flight, numbers without gaps, a new epoch after one ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flamelake_runtime::clock::SharedClock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::apply::Durable;
use super::collect::Group;
use super::{OpenEpoch, Shared};
use crate::JournalError;
use crate::log::{LogId, LogStore, PutError};
use crate::segment::PackedBody;

/// A new epoch is tried at most this often.
const BEGIN_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn run(
    shared: Arc<Shared>,
    mut groups: mpsc::Receiver<Group>,
    to_apply: mpsc::Sender<Durable>,
    stop: CancellationToken,
) {
    let open = shared.open.lock().clone();
    let mut writer = Writer { shared, to_apply, state: State::Open { open, last: 1 } };
    while let Some(Group { packed, waiting, turn }) = groups.recv().await {
        let written = writer.write(packed).await;
        drop(turn);
        match written {
            Ok(seq) => {
                // The apply stage ends after this one only.
                let _ = writer.to_apply.send(Durable::Segment { log: writer.log_name(), seq, waiting }).await;
            }
            Err(error) => {
                for waiting in waiting {
                    let _ = waiting.done.send(Err(error.clone()));
                }
            }
        }
    }
    if stop.is_cancelled() {
        writer.close().await;
    }
}

struct Writer {
    shared: Arc<Shared>,
    to_apply: mpsc::Sender<Durable>,
    state: State,
}

enum State {
    Open {
        open: OpenEpoch,
        last: u64,
    },
    /// Nothing can be written until a new epoch has begun.
    Ended {
        error: JournalError,
        tried_at: Option<Duration>,
    },
}

impl Writer {
    fn log_name(&self) -> String {
        self.shared.open.lock().id.name()
    }

    /// Writes one segment and tells its number.
    async fn write(&mut self, packed: PackedBody) -> Result<u64, JournalError> {
        if let State::Ended { error, tried_at } = &self.state {
            let (error, tried_at) = (error.clone(), *tried_at);
            self.begin_again(error, tried_at).await?;
        }
        let State::Open { open, last } = &mut self.state else { return Err(JournalError::Closed) };
        let seq = *last + 1;
        let bytes = packed.finish(open.id.epoch, seq);
        let size = bytes.len() as u64;
        match open.log.put(seq, bytes).await {
            Ok(()) => {
                *last = seq;
                self.shared.count_durable(&open.id.name(), seq, size);
                Ok(seq)
            }
            Err(PutError::NotWritten(error)) => Err(error),
            Err(PutError::Ended(error)) => {
                let (id, last) = (open.id.clone(), *last);
                self.end(id, last, &error);
                Err(error)
            }
        }
    }

    fn end(&mut self, id: LogId, last: u64, error: &JournalError) {
        tracing::error!(log = %id.name(), last, error = error as &dyn std::error::Error, "an epoch of the log ended");
        self.shared.ended.lock().push((id, last));
        self.state = State::Ended { error: error.clone(), tried_at: None };
        if !self.shared.store.renews() {
            self.shared.failed.send_replace(Some(error.clone()));
        }
    }

    /// On a disk, a new epoch; elsewhere the owner must register anew first.
    async fn begin_again(&mut self, error: JournalError, tried_at: Option<Duration>) -> Result<(), JournalError> {
        let Shared { store, ingester, .. } = &*self.shared;
        let now = store.clock().monotonic();
        if !store.renews() || tried_at.is_some_and(|tried_at| now < tried_at + BEGIN_PAUSE) {
            return Err(error);
        }
        match begin_epoch(store, ingester).await {
            Ok(open) => {
                tracing::info!(log = %open.id.name(), "a new epoch of the log began");
                *self.shared.open.lock() = open.clone();
                self.shared.durable.store(1, Ordering::Release);
                let _ = self.to_apply.send(Durable::Epoch { log: open.id.name() }).await;
                self.state = State::Open { open, last: 1 };
                Ok(())
            }
            Err(error) => {
                self.state = State::Ended { error: error.clone(), tried_at: Some(now) };
                Err(error)
            }
        }
    }

    async fn close(&mut self) {
        let State::Open { open, last } = &self.state else { return };
        if let Err(error) = open.log.close(last + 1).await {
            // The next start seals it.
            tracing::warn!(log = %open.id.name(), error = &error as &dyn std::error::Error, "the log was not closed cleanly");
        }
    }
}

/// A fresh epoch above all older ones, with its empty segment 1.
pub(super) async fn begin_epoch(store: &Arc<dyn LogStore>, ingester: &str) -> Result<OpenEpoch, JournalError> {
    let newest = store.epochs(ingester).await?.pop();
    let id = LogId { ingester: ingester.to_owned(), epoch: next_epoch(store.clock(), newest) };
    let log = store.create(&id).await?;
    match log.put(1, PackedBody::pack(ingester, &[]).finish(id.epoch, 1)).await {
        Ok(()) => Ok(OpenEpoch { id, log: Arc::from(log) }),
        Err(PutError::NotWritten(error) | PutError::Ended(error)) => {
            drop(log);
            if store.renews() {
                // Leaves no empty folder behind for each attempt; if even this fails, the next start removes it.
                let _ = store.old(&id).await?.delete().await;
            }
            Err(error)
        }
    }
}

/// By the clock, but above `newest` if the clock was set back: epochs are replayed in order.
fn next_epoch(clock: &SharedClock, newest: Option<Ulid>) -> Ulid {
    let now_ms = u64::try_from(clock.unix_nanos() / 1_000_000).unwrap_or(0);
    let ms = newest.map_or(now_ms, |newest| now_ms.max(newest.timestamp_ms() + 1));
    Ulid::from_parts(ms, clock.random())
}
