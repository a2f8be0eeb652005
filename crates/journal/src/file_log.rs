//! The log on a disk: append-only files of segments, one fdatasync each (architecture section 4; docs/formats/journal.md).
//!
//! The folder is held by a lock, so there is one writer and no race: an epoch that is not open in this process has no owner.

mod folder;
mod writer;
mod reader;
mod faults;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_runtime::clock::SharedClock;
use tokio::sync::oneshot;
use ulid::Ulid;

use crate::log::{Log, LogId, LogStore, OldLog, PutError, is_ingester_name};
use crate::{JournalError, JournalMetrics};

pub use faults::FileFaults;
use reader::OldFileLog;
use writer::{Command, Writer};

/// All logs below a folder of this machine.
#[derive(Clone, Debug)]
pub struct FileLogStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Held until the last log of the store is gone.
    _lock: File,
    file_bytes: u64,
    clock: SharedClock,
    metrics: JournalMetrics,
    faults: FileFaults,
}

impl FileLogStore {
    /// Takes the folder, made if it is absent. Fails with [`JournalError::Locked`] while another process has it.
    pub fn open(
        root: &Path,
        file_bytes: u64,
        clock: SharedClock,
        metrics: JournalMetrics,
    ) -> Result<Self, JournalError> {
        Self::open_with_faults(root, file_bytes, clock, metrics, FileFaults::default())
    }

    /// The same, with a disk that fails when told.
    pub fn open_with_faults(
        root: &Path,
        file_bytes: u64,
        clock: SharedClock,
        metrics: JournalMetrics,
        faults: FileFaults,
    ) -> Result<Self, JournalError> {
        folder::create_durable(root)?;
        let path = root.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| JournalError::io("open", &path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path }),
            Err(TryLockError::Error(error)) => return Err(JournalError::io("lock", &path, error)),
        }
        let shared = Shared { root: root.to_owned(), _lock: lock, file_bytes, clock, metrics, faults };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn epoch_folder(&self, log: &LogId) -> PathBuf {
        self.root.join(&log.ingester).join(log.epoch.to_string())
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(JournalError::Closed))
}

#[async_trait]
impl LogStore for FileLogStore {
    fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    fn metrics(&self) -> &JournalMetrics {
        &self.shared.metrics
    }

    fn flush_interval(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn flush_bytes(&self) -> usize {
        1 << 20
    }

    fn renews(&self) -> bool {
        true
    }

    async fn ingesters(&self) -> Result<Vec<String>, JournalError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut names = folder::folders(&shared.root)?;
            names.retain(|name| name != folder::DAMAGED && is_ingester_name(name));
            Ok(names)
        })
        .await
    }

    async fn epochs(&self, ingester: &str) -> Result<Vec<Ulid>, JournalError> {
        let path = self.shared.root.join(ingester);
        let names = blocking(move || folder::folders(&path)).await?;
        let mut epochs: Vec<Ulid> = names.iter().filter_map(|name| Ulid::from_string(name).ok()).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    async fn create(&self, log: &LogId) -> Result<Box<dyn Log>, JournalError> {
        let (shared, id) = (Arc::clone(&self.shared), log.clone());
        let log = blocking(move || FileLog::create(shared, id)).await?;
        Ok(Box::new(log))
    }

    async fn old(&self, log: &LogId) -> Result<Box<dyn OldLog>, JournalError> {
        Ok(Box::new(OldFileLog::new(Arc::clone(&self.shared), log.clone())))
    }
}

/// Commands that wait for the thread.
const COMMANDS_MAX: usize = 64;

/// The owner's handle; the files belong to a thread of their own, which ends with the handle.
struct FileLog {
    name: String,
    commands: SyncSender<Command>,
}

impl FileLog {
    fn create(shared: Arc<Shared>, id: LogId) -> Result<Self, JournalError> {
        let (name, folder) = (id.name(), shared.epoch_folder(&id));
        folder::create_durable(&folder)?;
        let (commands, queue) = sync_channel(COMMANDS_MAX);
        let writer = Writer::new(shared, id, folder.clone());
        std::thread::Builder::new()
            .name("flamelake-log".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|error| JournalError::io("start the writer of", &folder, error))?;
        Ok(Self { name, commands })
    }

    /// Hands a command to the thread and waits; `None` if the thread is gone.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        // One put, one close, one purge, and deletions one by one: there is always room.
        self.commands.try_send(command(reply)).ok()?;
        answer.await.ok()
    }

    fn gone(&self) -> JournalError {
        JournalError::EpochEnded { log: self.name.clone(), reason: "its writer stopped".to_owned() }
    }
}

#[async_trait]
impl Log for FileLog {
    async fn put(&self, seq: u64, bytes: Bytes) -> Result<(), PutError> {
        match self.ask(|reply| Command::Put { seq, bytes, reply }).await {
            Some(result) => result,
            None => Err(PutError::Ended(self.gone())),
        }
    }

    async fn delete_through(&self, seq: u64) -> Result<(), JournalError> {
        self.ask(|reply| Command::Delete { through: seq, reply }).await.unwrap_or_else(|| Err(self.gone()))
    }

    async fn cut(&self) -> Result<(), JournalError> {
        self.ask(|reply| Command::Cut { reply }).await.unwrap_or_else(|| Err(self.gone()))
    }

    async fn close(&self, seq: u64) -> Result<(), JournalError> {
        self.ask(|reply| Command::Close { seq, reply }).await.unwrap_or_else(|| Err(self.gone()))
    }
}
