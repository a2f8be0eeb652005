//! Tells the program which git revision it is. `FLAMELAKE_REVISION` wins; without it and without git the revision is empty.
//!
//! It stands in this crate, on which nothing depends: after a commit only the program is compiled anew, not the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FLAMELAKE_REVISION");
    println!("cargo::rerun-if-env-changed=FLAMELAKE_BRANCH");
    println!("cargo::rerun-if-changed=build.rs");
    for path in moved_with_head() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let revision = told("FLAMELAKE_REVISION").or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let branch = told("FLAMELAKE_BRANCH").or_else(|| git(&["rev-parse", "--abbrev-ref", "HEAD"]));
    println!("cargo::rustc-env=FLAMELAKE_BUILD_REVISION={}", revision.unwrap_or_default());
    println!("cargo::rustc-env=FLAMELAKE_BUILD_BRANCH={}", branch.unwrap_or_default());
}

/// Files of git that change when HEAD is another commit: HEAD itself, its branch, and the log of both. Git names them relative to the package
/// where it can, as Cargo reads them, so that a target folder may serve several clones. Only those that exist: an absent one would make each
/// build a new one. A branch whose file is absent is packed; the next commit writes it, which its folder shows.
fn moved_with_head() -> Vec<PathBuf> {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
    names
        .filter_map(|name| git(&["rev-parse", "--git-path", &name]))
        .filter_map(|path| nearest(Path::new(&path)))
        .collect()
}

/// The path, or the folder that it would be made in; none for logs, which may be switched off.
fn nearest(path: &Path) -> Option<PathBuf> {
    let is_branch = path.components().any(|part| part.as_os_str() == "heads");
    let found = path.ancestors().find(|path| path.exists()).filter(|found| *found == path || is_branch)?;
    Some(found.to_owned())
}

fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
