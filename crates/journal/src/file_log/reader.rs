//! Epochs whose owner is gone: cut the torn tail, seal, read, delete.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use ulid::Ulid;

use super::{Shared, blocking, folder};
use crate::log::{LogId, OldLog, SegmentStream};
use crate::segment::{self, MAGIC};
use crate::{JournalError, Segment, SegmentError};

/// What stands in a file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// A whole segment.
    Record { offset: usize, bytes: usize, seq: u64 },
    /// Bytes that are none, with a whole one behind them in the same file.
    Broken { offset: usize },
}

/// A file taken apart.
#[derive(Debug, Default)]
struct Scan {
    items: Vec<Item>,
    /// End of the last whole segment. What follows is reserved space, a torn record, or damage if a later file has whole ones.
    end: usize,
}

impl Scan {
    fn of(bytes: &[u8], epoch: Ulid) -> Self {
        let mut scan = Self::default();
        let mut last_seq = 0;
        while scan.end < bytes.len() {
            let Some((offset, size, seq)) = next_record(bytes, scan.end, epoch, last_seq) else { break };
            if offset != scan.end {
                scan.items.push(Item::Broken { offset: scan.end });
            }
            scan.items.push(Item::Record { offset, bytes: size, seq });
            scan.end = offset + size;
            last_seq = seq;
        }
        scan
    }

    fn last_record(&self) -> Option<(usize, u64)> {
        self.items.iter().rev().find_map(|item| match item {
            Item::Record { offset, seq, .. } => Some((*offset, *seq)),
            Item::Broken { .. } => None,
        })
    }
}

/// The first whole segment of this epoch at or after `from`, with a higher number: offset, size, number.
fn next_record(bytes: &[u8], from: usize, epoch: Ulid, last_seq: u64) -> Option<(usize, usize, u64)> {
    let mut at = from;
    loop {
        at += bytes[at..].windows(MAGIC.len()).position(|window| window == MAGIC)?;
        if let Ok(header) = segment::check(&bytes[at..])
            && header.epoch == epoch
            && header.seq > last_seq
        {
            return Some((at, header.total_bytes(), header.seq));
        }
        at += 1;
    }
}

/// See the module.
pub(super) struct OldFileLog {
    shared: Arc<Shared>,
    id: LogId,
}

impl OldFileLog {
    pub(super) fn new(shared: Arc<Shared>, id: LogId) -> Self {
        Self { shared, id }
    }
}

#[async_trait]
impl OldLog for OldFileLog {
    async fn seal(&self) -> Result<u64, JournalError> {
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        blocking(move || seal(&shared, &id)).await
    }

    async fn segments(&self, after: u64) -> Result<SegmentStream, JournalError> {
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        let folder = shared.epoch_folder(&id);
        let mut files = VecDeque::from(blocking(move || folder::files(&folder)).await?);
        while files.get(1).is_some_and(|(first, _)| *first <= after.saturating_add(1)) {
            files.pop_front();
        }
        let reader = Reader { shared, id, after, files, open: None, previous: None };
        Ok(stream::unfold(reader, |mut reader| async move { reader.next().await.map(|found| (found, reader)) }).boxed())
    }

    async fn bytes(&self) -> Result<u64, JournalError> {
        let folder = self.shared.epoch_folder(&self.id);
        blocking(move || {
            let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
            Ok(folder::files(&folder)?.iter().map(|(_, path)| size(path)).sum())
        })
        .await
    }

    async fn delete(&self) -> Result<bool, JournalError> {
        let folder = self.shared.epoch_folder(&self.id);
        blocking(move || {
            for (_, path) in folder::files(&folder)? {
                fs::remove_file(&path).map_err(|error| JournalError::io("delete", &path, error))?;
            }
            match fs::remove_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(JournalError::io("delete", &folder, error)),
            }
            folder::sync_folder(folder.parent().unwrap_or(&folder))?;
            Ok(true)
        })
        .await
    }
}

/// Cuts the torn tail, then ends the log with a tombstone; in this order, so that the tail never has a whole record behind it.
fn seal(shared: &Shared, id: &LogId) -> Result<u64, JournalError> {
    let folder = shared.epoch_folder(id);
    let mut files = folder::files(&folder)?;
    let mut newest = true;
    while let Some((_, path)) = files.pop() {
        let bytes = read(&path)?;
        let scan = Scan::of(&bytes, id.epoch);
        let Some((offset, seq)) = scan.last_record() else {
            if !files.is_empty() && is_torn(&bytes) {
                tracing::info!(log = %id.name(), file = %path.display(), "a torn file of the log is cut off");
            }
            fs::remove_file(&path).map_err(|error| JournalError::io("delete", &path, error))?;
            folder::sync_folder(&folder)?;
            newest = false;
            continue;
        };
        if Segment::is_tombstone(&bytes[offset..]) {
            return Ok(seq - 1);
        }
        let sealed = end_log(shared, id, &path, &bytes, scan.end, seq, newest);
        return match sealed {
            Ok(()) => Ok(seq),
            // Nobody else writes here: the end mark can wait for the next start, and what is there can be read.
            Err(error @ JournalError::OutOfSpace { .. }) => {
                tracing::warn!(log = %id.name(), error = &error as &dyn std::error::Error, "the log is left without its end mark");
                Ok(seq)
            }
            Err(error) => Err(error),
        };
    }
    Ok(0)
}

/// Cuts a file behind its last whole record and puts the tombstone there.
fn end_log(
    shared: &Shared,
    id: &LogId,
    path: &Path,
    bytes: &[u8],
    end: usize,
    seq: u64,
    newest: bool,
) -> Result<(), JournalError> {
    if is_torn(&bytes[end..]) {
        cut_off(shared, id, path, end, newest)?;
    }
    end_file(path, end as u64, &Segment::tombstone(&id.ingester, id.epoch, seq + 1))
}

/// Says what is cut. Behind a file that was rotated only acknowledged records stand, so a broken end of one is damage.
fn cut_off(shared: &Shared, id: &LogId, path: &Path, offset: usize, newest: bool) -> Result<(), JournalError> {
    if newest {
        tracing::info!(log = %id.name(), file = %path.display(), offset, "the torn end of the log is cut off");
        return Ok(());
    }
    shared.metrics.damaged_records.inc();
    // A copy, not a link: this file is about to be cut.
    let kept = path.with_extension("damaged");
    fs::copy(path, &kept).map_err(|error| JournalError::io("set aside", path, error))?;
    let kept_as = folder::set_aside(&shared.root, id, &kept)?;
    fs::remove_file(&kept).map_err(|error| JournalError::io("set aside", path, error))?;
    tracing::error!(log = %id.name(), file = %path.display(), offset, kept = %kept_as.display(), "the end of a full file of the log is damaged");
    Ok(())
}

fn is_torn(tail: &[u8]) -> bool {
    tail.iter().any(|byte| *byte != 0)
}

fn end_file(path: &Path, end: u64, tombstone: &[u8]) -> Result<(), JournalError> {
    let write = || -> std::io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.set_len(end)?;
        file.sync_all()?;
        // Half an end mark would look like a torn record.
        file.write_all_at(tombstone, end).inspect_err(|_| drop(file.set_len(end)))?;
        file.sync_all()
    };
    write().map_err(|error| JournalError::io("seal", path, error))
}

fn read(path: &Path) -> Result<Bytes, JournalError> {
    fs::read(path).map(Bytes::from).map_err(|error| JournalError::io("read", path, error))
}

/// One file in memory at a time.
struct Reader {
    shared: Arc<Shared>,
    id: LogId,
    after: u64,
    files: VecDeque<(u64, PathBuf)>,
    open: Option<OpenFile>,
    /// Number of the last whole segment; none at the start and right behind named damage.
    previous: Option<u64>,
}

struct OpenFile {
    path: PathBuf,
    bytes: Bytes,
    items: VecDeque<Item>,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Segment, JournalError>> {
        loop {
            let Some(open) = &mut self.open else {
                let (_, path) = self.files.pop_front()?;
                if let Err(error) = self.open(path).await {
                    return Some(Err(error));
                }
                continue;
            };
            let Some(item) = open.items.front().copied() else {
                self.open = None;
                continue;
            };
            if let Some(found) = self.visit(item) {
                return Some(found);
            }
        }
    }

    async fn open(&mut self, path: PathBuf) -> Result<(), JournalError> {
        let (epoch, last) = (self.id.epoch, self.files.is_empty());
        let opened = blocking(move || {
            let bytes = read(&path)?;
            let scan = Scan::of(&bytes, epoch);
            let mut items = VecDeque::from(scan.items);
            if !last && is_torn(&bytes[scan.end..]) {
                items.push_back(Item::Broken { offset: scan.end });
            }
            Ok(OpenFile { path, bytes, items })
        });
        self.open = Some(opened.await?);
        Ok(())
    }

    /// Consumes the item, unless damage stands before it.
    fn visit(&mut self, item: Item) -> Option<Result<Segment, JournalError>> {
        let open = self.open.as_mut()?;
        match item {
            Item::Broken { offset } => {
                open.items.pop_front();
                self.previous = None;
                let error = segment::check(&open.bytes[offset..])
                    .err()
                    .unwrap_or(SegmentError::Malformed { what: "not of this epoch, or out of order" });
                Some(Err(self.damage(offset, error.to_string())))
            }
            Item::Record { offset, seq, .. } if self.previous.is_some_and(|previous| previous + 1 != seq) => {
                let previous = self.previous.take().unwrap_or_default();
                Some(Err(self.damage(offset, format!("segment {seq} follows segment {previous}"))))
            }
            Item::Record { offset, bytes, seq } => {
                open.items.pop_front();
                self.previous = Some(seq);
                if seq <= self.after {
                    return None;
                }
                match Segment::decode(&open.bytes[offset..offset + bytes]) {
                    Ok(segment) if segment.tombstone => None,
                    Ok(segment) => Some(Ok(segment)),
                    Err(error) => Some(Err(self.damage(offset, error.to_string()))),
                }
            }
        }
    }

    fn damage(&self, offset: usize, reason: String) -> JournalError {
        self.shared.metrics.damaged_records.inc();
        let path = self.open.as_ref().map(|open| open.path.clone()).unwrap_or_default();
        let place = match folder::set_aside(&self.shared.root, &self.id, &path) {
            Ok(kept) => format!("{} (kept as {})", path.display(), kept.display()),
            Err(error) => format!("{} (not set aside: {error})", path.display()),
        };
        JournalError::Damaged { place, offset: offset as u64, reason }
    }
}
