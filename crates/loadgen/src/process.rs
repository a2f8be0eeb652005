//! What the server costs, read from the outside: /proc and the size of a folder.

use std::path::Path;

use anyhow::Context as _;

/// Ticks a second of `/proc/<pid>/stat`: `USER_HZ`, 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes of the server: several make up one.
#[derive(Clone, Debug)]
pub(crate) struct ServerProcess {
    pids: Vec<u32>,
}

impl ServerProcess {
    /// `None` of none.
    pub(crate) fn new(pids: Vec<u32>) -> Option<Self> {
        (!pids.is_empty()).then_some(Self { pids })
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    /// Resident memory now.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.pids.iter().map(|pid| resident_bytes(*pid)).sum()
    }
}

fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read(pid, "stat")?;
    // The name in parentheses may hold blanks: fields are counted behind it; utime is field 14, stime 15.
    let (_, fields) = stat.rsplit_once(')').context("stat has a name in parentheses")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("VmRSS has a value")?.parse()?;
    Ok(kib * 1024)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// Bytes that all files of a folder take on disk: a preallocated log does not count for what it does not hold.
pub(crate) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            // Files may go while we look.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len().min(metadata.blocks() * 512);
            }
        }
    }
    Ok(bytes)
}
