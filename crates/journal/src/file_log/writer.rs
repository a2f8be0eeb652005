//! The thread that owns the files of the open epoch: write, sync, rotate, delete.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Shared, folder};
use crate::log::{LogId, PutError};
use crate::{JournalError, Segment};

/// Space is reserved in steps of this size, so that most syncs need not write the file's metadata.
const ALLOCATE_STEP_BYTES: u64 = 8 << 20;
/// The first step.
const ALLOCATE_FIRST_BYTES: u64 = 256 << 10;
/// An open file that is covered whole is left for a new one only above this size: a new file costs two syncs.
const LEAVE_BYTES: u64 = 1 << 20;

/// What the handle asks for.
pub(super) enum Command {
    Put { seq: u64, bytes: Bytes, reply: oneshot::Sender<Result<(), PutError>> },
    Delete { through: u64, reply: oneshot::Sender<Result<(), JournalError>> },
    Cut { reply: oneshot::Sender<Result<(), JournalError>> },
    Close { seq: u64, reply: oneshot::Sender<Result<(), JournalError>> },
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    id: LogId,
    folder: PathBuf,
    file: Option<OpenFile>,
    /// First numbers of all files, ascending; the last one is open.
    firsts: VecDeque<u64>,
    /// Last durable number.
    last: u64,
    /// Why nothing more may be written.
    ended: Option<String>,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    /// Where the next segment goes.
    end: u64,
    /// Reserved up to here.
    allocated: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, id: LogId, folder: PathBuf) -> Self {
        Self { shared, id, folder, file: None, firsts: VecDeque::new(), last: 0, ended: None }
    }

    /// Serves until the handle is gone.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        // A caller that went away needs no answer.
        while let Ok(command) = queue.recv() {
            match command {
                Command::Put { seq, bytes, reply } => drop(reply.send(self.put(seq, &bytes))),
                Command::Delete { through, reply } => drop(reply.send(self.delete_through(through))),
                Command::Cut { reply } => drop(reply.send(self.cut())),
                Command::Close { seq, reply } => drop(reply.send(self.close(seq))),
            }
        }
    }

    fn put(&mut self, seq: u64, bytes: &[u8]) -> Result<(), PutError> {
        if let Some(reason) = &self.ended {
            return Err(PutError::Ended(self.epoch_ended(reason.clone())));
        }
        let size = bytes.len() as u64;
        if self.file.as_ref().is_none_or(|open| open.end > 0 && open.end + size > self.shared.file_bytes) {
            self.rotate(seq)?;
        }
        self.write(bytes)?;
        self.sync(size)?;
        self.last = seq;
        Ok(())
    }

    /// Begins the file whose first segment is `seq`. Nothing is reserved yet: even a full disk has room for an empty file.
    fn rotate(&mut self, seq: u64) -> Result<(), PutError> {
        let path = self.folder.join(folder::file_name(seq));
        let open = || -> io::Result<OpenFile> {
            self.shared.faults.before_write()?;
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.sync_all()?;
            Ok(OpenFile { file, path: path.clone(), end: 0, allocated: 0 })
        };
        let opened = open().map_err(|error| {
            // Nothing of it was acknowledged; a leftover would only be an empty file.
            let _ = fs::remove_file(&path);
            PutError::NotWritten(self.write_failed(&path, error))
        })?;
        folder::sync_folder(&self.folder).map_err(|error| self.end(error.to_string()))?;
        if let Some(full) = self.file.replace(opened) {
            // Gives back what was reserved and not used; readers do not mind if this is lost.
            let _ = full.file.set_len(full.end);
        }
        self.firsts.push_back(seq);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PutError> {
        let faults = self.shared.faults.clone();
        let open = self.file.as_mut().expect("rotated before");
        let needed = open.end + bytes.len() as u64;
        let write = |open: &mut OpenFile| -> io::Result<()> {
            faults.before_write()?;
            if needed > open.allocated {
                // A little at first: most logs of a quiet server stay small.
                let step = needed.clamp(ALLOCATE_FIRST_BYTES, ALLOCATE_STEP_BYTES);
                open.allocated =
                    allocate(&open.file, needed.next_multiple_of(step)).or_else(|_| allocate(&open.file, needed))?;
            }
            open.file.write_all_at(bytes, open.end)
        };
        match write(open) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.take_back(error)),
        }
    }

    /// Cuts off what a failed write may have left, so that its number can be used again.
    fn take_back(&mut self, cause: io::Error) -> PutError {
        let open = self.file.as_mut().expect("written to");
        open.allocated = open.end;
        let path = open.path.clone();
        match open.file.set_len(open.end) {
            Ok(()) => PutError::NotWritten(self.write_failed(&path, cause)),
            Err(error) => self.end(format!("write failed ({cause}), and cutting it off too: {error}")),
        }
    }

    /// Only now the segment counts: `end` moves past it.
    fn sync(&mut self, written: u64) -> Result<(), PutError> {
        let open = self.file.as_mut().expect("written to");
        let clock = &self.shared.clock;
        let started = clock.monotonic();
        let synced = self.shared.faults.before_sync().and_then(|()| open.file.sync_data());
        self.shared.metrics.fsync_seconds.observe(clock.monotonic().saturating_sub(started).as_secs_f64());
        match synced {
            Ok(()) => {
                open.end += written;
                Ok(())
            }
            // Not tried again: the kernel may have dropped the pages and call the next sync a success.
            Err(error) => Err(self.end(format!("sync failed: {error}"))),
        }
    }

    /// The next segment begins a new file.
    fn cut(&mut self) -> Result<(), JournalError> {
        if let Some(reason) = &self.ended {
            return Err(self.epoch_ended(reason.clone()));
        }
        if self.file.as_ref().is_none_or(|open| open.end == 0) {
            return Ok(());
        }
        match self.rotate(self.last + 1) {
            Ok(()) => Ok(()),
            Err(PutError::NotWritten(error) | PutError::Ended(error)) => Err(error),
        }
    }

    fn close(&mut self, seq: u64) -> Result<(), JournalError> {
        let tombstone = Segment::tombstone(&self.id.ingester, self.id.epoch, seq);
        match self.put(seq, &tombstone) {
            Ok(()) => {}
            Err(PutError::NotWritten(error) | PutError::Ended(error)) => return Err(error),
        }
        if let Some(open) = &self.file {
            let cut = open.file.set_len(open.end).and_then(|()| open.file.sync_all());
            cut.map_err(|error| JournalError::io("close", &open.path, error))?;
        }
        Ok(())
    }

    /// A file may go when the next one begins at or below what is covered, plus one. The open one is left for a new one when all of it
    /// is covered: after a flush nothing of the log is left.
    fn delete_through(&mut self, seq: u64) -> Result<(), JournalError> {
        let is_covered = self.ended.is_none() && seq >= self.last;
        if is_covered && self.file.as_ref().is_some_and(|open| open.end > LEAVE_BYTES) {
            match self.rotate(self.last + 1) {
                Ok(()) => {}
                Err(PutError::NotWritten(error) | PutError::Ended(error)) => return Err(error),
            }
        }
        let mut deleted = false;
        while let (Some(first), Some(next)) = (self.firsts.front(), self.firsts.get(1)) {
            if *next > seq.saturating_add(1) {
                break;
            }
            let path = self.folder.join(folder::file_name(*first));
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(JournalError::io("delete", &path, error)),
            }
            self.firsts.pop_front();
            deleted = true;
        }
        if deleted { folder::sync_folder(&self.folder) } else { Ok(()) }
    }

    fn end(&mut self, reason: String) -> PutError {
        let error = self.epoch_ended(reason.clone());
        self.ended = Some(reason);
        PutError::Ended(error)
    }

    fn epoch_ended(&self, reason: String) -> JournalError {
        JournalError::EpochEnded { log: self.id.name(), reason }
    }

    fn write_failed(&self, path: &std::path::Path, error: io::Error) -> JournalError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                JournalError::OutOfSpace { log: self.id.name() }
            }
            _ => JournalError::io("write", path, error),
        }
    }
}

/// Reserves space up to `bytes`; where the file system cannot, nothing is reserved and writes find out themselves.
fn allocate(file: &File, bytes: u64) -> io::Result<u64> {
    match fs4::FileExt::allocate(file, bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Err(error),
        Err(_) => Ok(u64::MAX),
    }
}
