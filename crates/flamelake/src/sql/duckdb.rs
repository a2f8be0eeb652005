//! DuckDB as it is installed: its shell, or the module of a Python. What is too old for the encodings of our blocks is not taken.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use tempfile::NamedTempFile;

use crate::commands::OutputFormat;

/// Reads integers of BYTE_STREAM_SPLIT, which blocks have.
const MAJOR_VERSION_MIN: u32 = 2;
/// Runs the script and a statement with the module.
const PYTHON: &str = include_str!("duckdb.py");

/// How to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DuckDb {
    /// `duckdb`
    Shell(PathBuf),
    /// `python3` with the module.
    Python(PathBuf),
}

impl DuckDb {
    /// The first one on `PATH` that is new enough; the error says how to get one.
    pub(super) fn find() -> anyhow::Result<Self> {
        let mut old = Vec::new();
        let shell = version(Command::new("duckdb").arg("--version"));
        let python = || version(Command::new("python3").args(["-c", "import duckdb; print(duckdb.__version__)"]));
        for (found, duckdb) in [(shell, Self::Shell("duckdb".into())), (python(), Self::Python("python3".into()))] {
            match found {
                Some(version) if major(&version).is_some_and(|major| major >= MAJOR_VERSION_MIN) => return Ok(duckdb),
                Some(version) => old.push(format!("{} is {version}", duckdb.name())),
                None => {}
            }
        }
        let found = if old.is_empty() { "neither was found".to_owned() } else { old.join(", ") };
        bail!(
            "flamelake sql needs DuckDB {MAJOR_VERSION_MIN}.0 or later, as the program duckdb or as a module of python3 ({found}): \
             pip install 'duckdb>={MAJOR_VERSION_MIN}', or see https://duckdb.org. flamelake sql --print gives the views for another one"
        )
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "duckdb",
            Self::Python(_) => "duckdb of python3",
        }
    }

    /// Prints the answer to a statement.
    pub(super) fn run(&self, script: &str, statement: &str, output: OutputFormat) -> anyhow::Result<()> {
        let file = written(script)?;
        let mut command = match self {
            Self::Shell(program) => {
                let format = match output {
                    OutputFormat::Table => "-box",
                    OutputFormat::Json => "-json",
                    OutputFormat::Csv => "-csv",
                };
                let mut command = Command::new(program);
                command.arg("-init").arg(file.path()).args([format, "-bail", "-c", statement]);
                command
            }
            Self::Python(program) => {
                let format = match output {
                    OutputFormat::Table => "table",
                    OutputFormat::Json => "json",
                    OutputFormat::Csv => "csv",
                };
                let mut command = Command::new(program);
                command.args(["-c", PYTHON]).arg(file.path()).args([format, statement]);
                command
            }
        };
        let ended = command.stdin(Stdio::null()).status().with_context(|| format!("run {}", self.name()))?;
        ensure!(ended.success(), "{} did not run the statement ({ended})", self.name());
        Ok(())
    }

    /// For a person.
    pub(super) fn shell(&self, script: &str) -> anyhow::Result<()> {
        let file = written(script)?;
        let mut command = match self {
            Self::Shell(program) => {
                let mut command = Command::new(program);
                command.arg("-init").arg(file.path());
                command
            }
            Self::Python(program) => {
                let mut command = Command::new(program);
                command.args(["-i", "-c", PYTHON]).arg(file.path());
                command
            }
        };
        // How a person left the shell is no failure.
        command.status().with_context(|| format!("run {}", self.name()))?;
        Ok(())
    }
}

/// In a file that only this user may read: it may hold credentials. Gone with the value.
fn written(script: &str) -> anyhow::Result<NamedTempFile> {
    let mut file =
        tempfile::Builder::new().prefix("flamelake-").suffix(".sql").tempfile().context("a temporary file")?;
    file.write_all(script.as_bytes()).context("write the views")?;
    Ok(file)
}

/// What it says of itself; `None` if it cannot be run.
fn version(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// `2` of `v2.0.1`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_number() {
        assert_eq!((major("v2.0.1"), major("1.5.6"), major("10.0"), major("dev")), (Some(2), Some(1), Some(10), None));
    }

    #[test]
    fn what_cannot_be_run_has_no_version() {
        assert_eq!(version(&mut Command::new("flamelake-no-such-program")), None);
        assert_eq!(version(Command::new("sh").args(["-c", "exit 1"])), None);
        assert_eq!(version(Command::new("sh").args(["-c", "echo v2.0.1 abc"])).as_deref(), Some("v2.0.1"));
    }
}
