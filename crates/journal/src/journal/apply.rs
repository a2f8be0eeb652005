//! The third stage: in order to the head, then the acknowledgement.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Apply, Waiting};
use crate::JournalError;

/// What the write stage reports, in order.
pub(super) enum Durable {
    Epoch { log: String },
    Segment { log: String, seq: u64, waiting: Vec<Waiting> },
}

pub(super) async fn run(apply: Arc<dyn Apply>, mut durable: mpsc::Receiver<Durable>) {
    while let Some(durable) = durable.recv().await {
        match durable {
            Durable::Epoch { log } => apply.epoch_began(&log),
            Durable::Segment { log, seq, waiting } => apply_segment(&apply, log, seq, waiting).await,
        }
    }
}

async fn apply_segment(apply: &Arc<dyn Apply>, log: String, seq: u64, waiting: Vec<Waiting>) {
    let mut entries = Vec::with_capacity(waiting.len());
    let mut acknowledge = Vec::with_capacity(waiting.len());
    for Waiting { entry, done, room, place } in waiting {
        entries.extend(Some(entry).filter(|entry| !entry.frames.is_empty()));
        acknowledge.push((done, (room, place)));
    }
    let head = Arc::clone(apply);
    let applied = flamelake_runtime::spawn_blocking(move || head.apply(seq, entries)).await;
    let result = match applied {
        Ok(()) => Ok(seq),
        Err(error) => {
            tracing::error!(%log, seq, error = &error as &dyn std::error::Error, "a durable segment could not be applied");
            Err(JournalError::Apply { log, seq })
        }
    };
    for (done, _queued) in acknowledge {
        // Nobody listens if the caller went away; the entry stays.
        let _ = done.send(result.clone());
    }
}
