//! Tests about the code itself: which crate may know which, file headers, file names, sizes, and what must not be written down.
//!
//! `cargo test -p flamelake-tidy`. The reference page of the keys is compared by a test of the binary, which alone knows all keys.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The workspace. Asked when a test runs, not when it was compiled: a build folder may serve several checkouts.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from).join("../..")
}

/// Paths of the tracked files, relative to [`root`]. The error says that git is not there, or that this is no checkout.
pub fn tracked_files() -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().context("run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    // A file that is deleted and not yet committed is still tracked.
    Ok(text
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect())
}

/// The tracked Rust files and their texts.
pub fn rust_files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    tracked_files()?
        .into_iter()
        .filter(rust)
        .map(|path| Ok((path.clone(), std::fs::read_to_string(root().join(&path))?)))
        .collect()
}

/// A crate of ours and those it depends on, dev-dependencies left out; names without `flamelake-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// `ingester`.
    pub name: String,
    /// Sorted.
    pub knows: Vec<String>,
}

/// The crates of the workspace as cargo sees them.
pub fn crates() -> anyhow::Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    Ok(metadata.packages.into_iter().map(Package::into_crate).collect())
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(serde::Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

impl Package {
    fn into_crate(self) -> Crate {
        let ours = self
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.path.is_some() && dependency.kind.as_deref() != Some("dev"));
        let mut knows: Vec<String> = ours.map(|dependency| short(&dependency.name)).collect();
        knows.sort();
        knows.dedup();
        Crate { name: short(&self.name), knows }
    }
}

fn short(name: &str) -> String {
    name.strip_prefix("flamelake-").unwrap_or(name).to_owned()
}
