//! Ways to break things.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng;
use rand::rngs::StdRng;

/// A random wait around `mean`: from a third of it to five thirds.
pub fn around(rng: &mut StdRng, mean: Duration) -> Duration {
    mean.mul_f64(rng.random_range(0.3..1.7))
}

/// All files under a folder, sorted by path.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    for file in files(from)? {
        let copy = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().context("a file lies in a folder")?)?;
        fs::copy(&file, &copy)?;
    }
    Ok(())
}

/// The newest log file of a server: the last in name order under `log/`.
pub fn newest_log(data: &Path) -> anyhow::Result<PathBuf> {
    let mut logs = files(data)?.into_iter().filter(|p| p.components().any(|c| c.as_os_str() == "log"));
    logs.rfind(|p| p.extension().is_some_and(|e| e == "log")).context("no log file")
}

/// Writes garbage behind the last bytes that are not zero, as a torn write would.
pub fn tear_tail(file: &Path, garbage: &[u8]) -> anyhow::Result<()> {
    let bytes = fs::read(file)?;
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let mut file = OpenOptions::new().write(true).open(file)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(end as u64))?;
    file.write_all(garbage)?;
    Ok(file.sync_all()?)
}
