//! The way to data that tests read in place and never copy: golden rows and real profiles.

use std::path::PathBuf;

/// The folder `../shared` beside the workspace, or `FLAMELAKE_SHARED`. `None` if it is absent; then a line says that `who` skips.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn shared_dir(who: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("FLAMELAKE_SHARED").map_or_else(beside_the_workspace, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("SKIPPED {who}: no shared data at {} (FLAMELAKE_SHARED names another place)", dir.display());
    None
}

/// The bytes of a file in the shared folder, e.g. `corpus/pprof/go-cpu-small.pb.gz`; `None` with a printed line if it is absent.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn shared_file(who: &str, path: &str) -> Option<Vec<u8>> {
    let path = shared_dir(who)?.join(path);
    std::fs::read(&path).inspect_err(|error| eprintln!("SKIPPED {who}: read {}: {error}", path.display())).ok()
}

fn beside_the_workspace() -> PathBuf {
    // Every package lies one or two folders below the root of the workspace.
    let package = package_dir();
    let root = package.ancestors().find(|dir| dir.join("Cargo.lock").is_file()).unwrap_or(&package);
    root.join("../shared")
}

/// The folder of the package whose test runs. Asked when it runs, not when it was compiled: a build folder may serve several checkouts.
pub fn package_dir() -> PathBuf {
    let here = || std::env::current_dir().unwrap_or_else(|_| ".".into());
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(here, PathBuf::from)
}
