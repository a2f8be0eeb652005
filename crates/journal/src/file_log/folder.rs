//! Folders and file names of the log on a disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::JournalError;
use crate::log::LogId;

/// Where damaged files are kept.
pub(super) const DAMAGED: &str = "damaged";

/// Makes a folder and its parents, and syncs each new one's parent.
pub(super) fn create_durable(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    create_durable(parent)?;
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(JournalError::io("make the folder", path, error)),
    }
    sync_folder(parent)
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), JournalError> {
    let sync = || File::open(path)?.sync_all();
    sync().map_err(|error| JournalError::io("sync the folder", path, error))
}

/// Names of the folders in a folder, sorted; none if it is absent.
pub(super) fn folders(path: &Path) -> Result<Vec<String>, JournalError> {
    entries(path, |entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Files of an epoch with their first numbers, ascending; none if it is absent.
pub(super) fn files(path: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let names = entries(path, |_| true)?;
    let first = |name: &String| name.strip_suffix(".log").filter(|stem| stem.len() == 20)?.parse().ok();
    Ok(names.iter().filter_map(|name| first(name).map(|first| (first, path.join(name)))).collect())
}

pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

fn entries(path: &Path, keep: impl Fn(&fs::DirEntry) -> bool) -> Result<Vec<String>, JournalError> {
    let failed = |error| JournalError::io("list", path, error);
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(failed)?;
        if keep(&entry)
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Keeps a damaged file under another name, so that deleting the epoch does not take it along.
pub(super) fn set_aside(root: &Path, log: &LogId, file: &Path) -> Result<PathBuf, JournalError> {
    let folder = root.join(DAMAGED);
    create_durable(&folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let kept = folder.join(format!("{}-{}-{name}", log.ingester, log.epoch));
    match fs::hard_link(file, &kept) {
        Ok(()) => sync_folder(&folder)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(JournalError::io("set aside", file, error)),
    }
    Ok(kept)
}
