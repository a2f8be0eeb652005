//! The write path: dedup, reserve, log, apply, acknowledge.

use std::sync::Arc;

use bytes::Bytes;
use flamelake_api::roles::AppendRequest;
use flamelake_journal::{Apply, JournalEntry};
use flamelake_model::{StatusError, TenantId};
use flamelake_pprof::frame::Frame;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use tracing::field::Empty;
use tracing::{Instrument as _, error};

use crate::dedup::{Begin, DedupKey, Ticket, outcome_of};
use crate::error::IngesterError;
use crate::head::Head;
use crate::head::generation::Scratch;
use crate::head::memory::Reservation;
use crate::metrics::Metrics;
use crate::service::Shared;

/// Rows take up to this many times the bytes of their encoded frame: varints become fixed columns, and new symbols are indexed.
const HEAD_BYTES_PER_FRAME_BYTE: u64 = 6;

type Outcome = Result<(), StatusError>;

/// What is to be written of a request: the frames that are first of their id.
struct Batch {
    tenant: TenantId,
    frames: Vec<Bytes>,
    tickets: Vec<Ticket>,
    _room: Reservation,
}

/// Makes the frames durable and visible; one outcome a frame.
pub(crate) async fn append(shared: &Arc<Shared>, request: AppendRequest) -> Result<Vec<Outcome>, StatusError> {
    let to_status = |error: IngesterError| StatusError::from_coded(&error);
    if shared.stopping.is_cancelled() {
        return Err(to_status(IngesterError::ShuttingDown));
    }
    shared.open_tenant(&request.tenant).await.map_err(to_status)?;
    let bytes: u64 = request.frames.iter().map(|frame| frame.len() as u64).sum();
    let room = shared.head.memory.reserve(bytes * HEAD_BYTES_PER_FRAME_BYTE).map_err(|error| {
        shared.metrics.head_full_total.inc();
        shared.flush_wanted.notify_one();
        to_status(error)
    })?;
    let mut batch = Batch { tenant: request.tenant.clone(), frames: Vec::new(), tickets: Vec::new(), _room: room };
    let mut outcomes = Vec::with_capacity(request.frames.len());
    for frame in request.frames {
        outcomes.push(begin(shared, &mut batch, frame));
    }
    let span = tracing::trace_span!(target: "flamelake::span", "append", frames = batch.frames.len(), bytes);
    let (tenant, written) = (batch.tenant.clone(), write(shared, batch).instrument(span).await);
    if written.is_ok() {
        note_in_head(shared, &tenant);
    }
    let mut settled = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        settled.push(match outcome {
            Started::First => written.clone(),
            Started::Settled(outcome) => outcome,
            Started::Retry(waiting) => outcome_of(waiting).await,
        });
    }
    Ok(settled)
}

/// A traced push has a span for as long as its rows are in no block: the flush that makes them one ends it.
fn note_in_head(shared: &Shared, tenant: &TenantId) {
    if let Some(head) = shared.head.tenant(tenant) {
        head.traces.note(|| tracing::trace_span!(target: "flamelake::span", "in head", flamelake.block = Empty));
    }
}

enum Started {
    First,
    Settled(Outcome),
    Retry(tokio::sync::watch::Receiver<Option<Outcome>>),
}

fn begin(shared: &Shared, batch: &mut Batch, frame: Bytes) -> Started {
    let header = match Frame::peek_header(&frame) {
        Ok(header) => header,
        Err(source) => {
            let error = IngesterError::Frame { tenant: batch.tenant.clone(), source };
            return Started::Settled(Err(StatusError::from_coded(&error)));
        }
    };
    match shared.dedup.begin(DedupKey::new(&batch.tenant, header.service_name, header.id)) {
        Begin::First(ticket) => {
            batch.frames.push(frame);
            batch.tickets.push(ticket);
            Started::First
        }
        Begin::Stored => {
            shared.metrics.duplicates_total.inc();
            Started::Settled(Ok(()))
        }
        Begin::Wait(outcome) => {
            shared.metrics.duplicates_total.inc();
            Started::Retry(outcome)
        }
    }
}

/// Logs the batch. It goes on in a task of its own: a caller that goes away must not leave an unsettled id behind.
async fn write(shared: &Arc<Shared>, batch: Batch) -> Outcome {
    if batch.frames.is_empty() {
        return Ok(());
    }
    let shared = Arc::clone(shared);
    let work = async move {
        let entry = JournalEntry { tenant: batch.tenant, frames: batch.frames };
        let result = match shared.journal() {
            Ok(journal) => journal.append(entry).await.map(drop).map_err(IngesterError::from),
            Err(error) => Err(error),
        };
        let outcome = result.map_err(|error| StatusError::from_coded(&error));
        let now = shared.clock.monotonic();
        for ticket in batch.tickets {
            match &outcome {
                Ok(()) => ticket.stored(now),
                Err(error) => ticket.failed(error.clone()),
            }
        }
        outcome
    };
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|_| Err(StatusError::from_coded(&IngesterError::TaskFailed { what: "the log writer" })))
}

/// Puts durable segments into the head; the journal calls it in order of `seq`.
#[derive(Debug)]
pub(crate) struct ApplyToHead {
    head: Arc<Head>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    scratch: Mutex<Scratch>,
    epochs: Mutex<Vec<AppliedEpoch>>,
}

/// How far a log that this process opened has been applied.
#[derive(Clone, Debug)]
pub(crate) struct AppliedEpoch {
    pub(crate) log: String,
    /// Every segment up to it is in the head.
    pub(crate) seq: u64,
}

impl Apply for ApplyToHead {
    fn epoch_began(&self, log_name: &str) {
        self.epochs.lock().push(AppliedEpoch { log: log_name.to_owned(), seq: 0 });
    }

    fn apply(&self, seq: u64, entries: Vec<JournalEntry>) {
        let Some(log) = self.epochs.lock().last().map(|epoch| epoch.log.clone()) else {
            error!(seq, "a segment came before its epoch");
            return;
        };
        let mut by_tenant: Vec<(TenantId, Vec<Frame>)> = Vec::new();
        for entry in entries {
            let frames = entry.frames.iter().filter_map(|bytes| self.decode(&entry.tenant, bytes));
            match by_tenant.iter_mut().find(|(tenant, _)| *tenant == entry.tenant) {
                Some((_, known)) => known.extend(frames),
                None => by_tenant.push((entry.tenant.clone(), frames.collect())),
            }
        }
        for (tenant, frames) in by_tenant {
            self.apply_tenant(&tenant, &log, seq, &frames);
        }
        if let Some(epoch) = self.epochs.lock().last_mut() {
            epoch.seq = seq;
        }
    }
}

impl ApplyToHead {
    pub(crate) fn new(head: Arc<Head>, clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        Self { head, clock, metrics, scratch: Mutex::default(), epochs: Mutex::default() }
    }

    /// The logs that this process opened and has not forgotten, oldest first; the last one is open.
    pub(crate) fn epochs(&self) -> Vec<AppliedEpoch> {
        self.epochs.lock().clone()
    }

    /// An ended log is covered and deleted.
    pub(crate) fn forget_epoch(&self, log: &str) {
        self.epochs.lock().retain(|epoch| epoch.log != log);
    }

    pub(crate) fn apply_tenant(&self, tenant: &TenantId, log: &str, seq: u64, frames: &[Frame]) {
        let Some(head) = self.head.tenant(tenant) else {
            error!(%tenant, log, seq, "a segment holds rows of a tenant that was never opened");
            return;
        };
        if !frames.is_empty() {
            head.apply(&self.head, log, seq, frames, self.clock.monotonic(), &mut self.scratch.lock());
            self.metrics.profiles_total.inc_by(frames.len() as u64);
        }
    }

    /// A frame that passed `append` and does not decode is a bug or damage: it is named and left out, the rest goes on.
    pub(crate) fn decode(&self, tenant: &TenantId, bytes: &Bytes) -> Option<Frame> {
        Frame::decode(bytes)
            .inspect_err(|error| {
                self.metrics.damaged_frames_total.inc();
                error!(%tenant, error = error as &dyn std::error::Error, "a logged frame does not decode; left out");
            })
            .ok()
    }
}
