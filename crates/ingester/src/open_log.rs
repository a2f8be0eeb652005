//! The log that pushes go to, kept open: begun anew when it was sealed, and once there is room again after a start on a full disk
//! (architecture section 4).
//!
//! A sealed log's rows stay in the head, under its own name, until a block covers them. Nothing is written to the new log before the
//! head holds all that the sealed one does.

use std::sync::Arc;
use std::time::Duration;

use flamelake_journal::{Journal, JournalConfig, JournalError, LogId, LogStore, OldEpoch};
use flamelake_model::{Coded, ErrorCode};
use parking_lot::RwLock;
use tracing::{error, info, warn};

use crate::error::IngesterError;
use crate::recovery::replay;
use crate::service::{Registrar, Shared};

/// First pause after a log could not be opened; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What pushes find.
#[derive(Debug, Default)]
pub(crate) struct OpenLog {
    slot: RwLock<Slot>,
}

#[derive(Debug, Default)]
enum Slot {
    /// Before `start` is done and after `stop`.
    #[default]
    Closed,
    /// A new one is being opened; until then pushes get this.
    Opening(JournalError),
    Open(Arc<Journal>),
}

impl OpenLog {
    pub(crate) fn journal(&self) -> Result<Arc<Journal>, IngesterError> {
        match &*self.slot.read() {
            Slot::Closed => Err(IngesterError::ShuttingDown),
            Slot::Opening(error) => Err(error.clone().into()),
            Slot::Open(journal) => Ok(Arc::clone(journal)),
        }
    }

    /// Takes it away for good.
    pub(crate) fn take(&self) -> Option<Arc<Journal>> {
        match std::mem::take(&mut *self.slot.write()) {
            Slot::Open(journal) => Some(journal),
            Slot::Closed | Slot::Opening(_) => None,
        }
    }

    fn set(&self, slot: Slot) {
        *self.slot.write() = slot;
    }
}

/// Opens the log, or goes without for now if the disk is full; then hands out the work of keeping it open.
pub(crate) async fn keep_open(
    shared: &Arc<Shared>,
    logs: Arc<dyn LogStore>,
    ingester: &str,
    config: JournalConfig,
    registrar: Arc<dyn Registrar>,
) -> Result<impl Future<Output = ()> + use<>, IngesterError> {
    let keeper = Keeper { shared: Arc::clone(shared), logs, ingester: ingester.to_owned(), config, registrar };
    match keeper.open().await {
        Ok(journal) => shared.log.set(Slot::Open(journal)),
        Err(error) if error.code() == ErrorCode::ResourceExhausted => {
            error!(
                error = &error as &dyn std::error::Error,
                "no log can be opened: pushes are refused until there is room"
            );
            shared.log.set(Slot::Opening(error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(keeper.run())
}

struct Keeper {
    shared: Arc<Shared>,
    logs: Arc<dyn LogStore>,
    ingester: String,
    config: JournalConfig,
    registrar: Arc<dyn Registrar>,
}

impl Keeper {
    async fn open(&self) -> Result<Arc<Journal>, JournalError> {
        let apply = Arc::clone(&self.shared.apply);
        let journal = Journal::start(Arc::clone(&self.logs), &self.ingester, self.config.clone(), apply).await?;
        info!(log = %journal.log_name(), "log opened");
        Ok(Arc::new(journal))
    }

    /// Opens a log in the place of an ended one.
    async fn reopen(&self) -> Result<(), IngesterError> {
        let journal = self.open().await?;
        self.registrar.register_anew().await;
        self.shared.log.set(Slot::Open(journal));
        Ok(())
    }

    async fn run(self) {
        let stopping = self.shared.stopping.clone();
        stopping.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        loop {
            if let Ok(journal) = self.shared.journal() {
                let error = journal.failed().await;
                error!(log = %journal.log_name(), error = &error as &dyn std::error::Error, "the log ended: a new one is begun");
                self.shared.log.set(Slot::Opening(error));
                // Whatever is durable is in the head when this returns.
                journal.close().await;
                let log = journal.log_name();
                self.until_done("the end of a sealed log is not read yet", || self.take_up(&log)).await;
                self.shared.metrics.logs_reopened_total.inc();
            }
            self.until_done("no log can be opened yet", || self.reopen()).await;
        }
    }

    /// Takes what the sealed log holds beyond what was applied: a segment whose put was unclear when the log was sealed.
    async fn take_up(&self, log: &str) -> Result<(), IngesterError> {
        let Some(id) = LogId::parse(log) else { return Ok(()) };
        let applied = self.shared.apply.epochs().iter().find(|epoch| epoch.log == log).map_or(0, |epoch| epoch.seq);
        let epoch = OldEpoch::open(&self.logs, id).await?;
        let rows = replay(&self.shared, &epoch, applied).await?;
        info!(log, applied, profiles = rows, "the sealed log is taken up");
        self.shared.add_old_log(epoch).await;
        Ok(())
    }

    async fn until_done<F: Future<Output = Result<(), IngesterError>>>(&self, what: &str, work: impl Fn() -> F) {
        let mut pause = PAUSE;
        while let Err(error) = work().await {
            if pause == PAUSE {
                warn!(error = &error as &dyn std::error::Error, "{what}");
            }
            if let IngesterError::Journal(error) = error {
                self.shared.log.set(Slot::Opening(error));
            }
            self.shared.clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
