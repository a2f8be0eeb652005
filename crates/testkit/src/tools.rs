//! Programs that some tests need: those that `scripts/install-tools.sh test` installs, else the machine's own. Where one cannot be
//! had, a line says who skips.

use std::path::PathBuf;
use std::process::Command;

/// A Python that can import the module: `FLAMELAKE_PYTHON`, that of the tools' environment (`FLAMELAKE_VENV`), or `python3`.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn python_with(who: &str, module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("FLAMELAKE_PYTHON").map(PathBuf::from);
    let venv = cache("FLAMELAKE_VENV", "venv").map(|venv| venv.join("bin/python"));
    let import = format!("import {module}");
    let found =
        [named, venv, Some("python3".into())].into_iter().flatten().find(|python| answers(python, &["-c", &import]));
    if found.is_none() {
        eprintln!("SKIPPED {who}: no Python with the module {module}: run scripts/install-tools.sh test");
    }
    found
}

/// A program that answers to these arguments: from the tools' folder (`FLAMELAKE_TOOLS`) or from `PATH`.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn program(who: &str, name: &str, probe: &[&str]) -> Option<PathBuf> {
    let tool = cache("FLAMELAKE_TOOLS", "bin").map(|bin| bin.join(name));
    let found = [tool, Some(name.into())].into_iter().flatten().find(|program| answers(program, probe));
    if found.is_none() {
        eprintln!("SKIPPED {who}: no {name}");
    }
    found
}

/// A library that moves the clock of a process that preloads it (libfaketime).
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn faketime(who: &str) -> Option<String> {
    const NAME: &str = "libfaketimeMT.so.1";
    let tool = cache("FLAMELAKE_TOOLS", "bin").map(|bin| bin.join(NAME));
    let system = PathBuf::from("/usr/lib/x86_64-linux-gnu/faketime").join(NAME);
    let found = [tool, Some(system)].into_iter().flatten().find(|library| library.is_file());
    if found.is_none() {
        eprintln!("SKIPPED {who}: no {NAME}: run scripts/install-tools.sh test");
    }
    found?.to_str().map(str::to_owned)
}

fn answers(program: &PathBuf, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Where `scripts/install-tools.sh` puts things.
fn cache(variable: &str, folder: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/flamelake").join(folder)))
}
