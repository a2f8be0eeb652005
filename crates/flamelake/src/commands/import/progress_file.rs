//! What an import has done, as lines of JSON: the first tells which import it is, each other one that a step was begun or finished.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Unit;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    unit: String,
    /// End of the step, Unix milliseconds.
    at: i64,
    done: bool,
}

/// Of one series and type: the last step that is finished, and the one that is begun. Steps are done in order.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    done: Option<i64>,
    begun: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ProgressFile {
    path: PathBuf,
    state: Mutex<(File, HashMap<String, Progress>)>,
}

impl ProgressFile {
    /// Reads what an earlier run noted. The error says that the file is of another import.
    pub(super) fn open(path: &Path, what: &Value) -> anyhow::Result<Self> {
        let name = path.display();
        let mut progress: HashMap<String, Progress> = HashMap::new();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("--state {name}"))?;
        let mut lines = BufReader::new(&file).lines();
        match lines.next().transpose()? {
            None => {}
            Some(first) => {
                let known: Value =
                    serde_json::from_str(&first).with_context(|| format!("--state {name} is no import"))?;
                if known != *what {
                    bail!("--state {name} is of another import ({known}); name another file");
                }
            }
        }
        for line in lines {
            // The last line may be cut: then its step counts as not noted.
            let Ok(Line { unit, at, done }) = serde_json::from_str(&line?) else { continue };
            let known = progress.entry(unit).or_default();
            *(if done { &mut known.done } else { &mut known.begun }) = Some(at);
        }
        if file.metadata()?.len() == 0 {
            writeln!(file, "{what}")?;
        } else {
            // Ends a line that was cut.
            writeln!(file)?;
        }
        Ok(Self { path: path.to_owned(), state: Mutex::new((file, progress)) })
    }

    pub(super) fn is_done(&self, unit: &Unit, at: i64) -> bool {
        self.state.lock().1.get(&unit.to_string()).is_some_and(|known| known.done >= Some(at))
    }

    pub(super) fn is_begun(&self, unit: &Unit, at: i64) -> bool {
        self.state.lock().1.get(&unit.to_string()).is_some_and(|known| known.begun == Some(at))
    }

    pub(super) fn begin(&self, unit: &Unit, at: i64) -> anyhow::Result<()> {
        self.note(unit, at, false)
    }

    pub(super) fn finish(&self, unit: &Unit, at: i64) -> anyhow::Result<()> {
        self.note(unit, at, true)
    }

    fn note(&self, unit: &Unit, at: i64, done: bool) -> anyhow::Result<()> {
        let line = serde_json::to_string(&Line { unit: unit.to_string(), at, done })? + "\n";
        let mut state = self.state.lock();
        state.0.write_all(line.as_bytes()).with_context(|| format!("write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use flamelake_api::types::v1::{LabelPair, Labels};
    use serde_json::json;

    use super::super::plan::units;
    use super::*;

    #[test]
    fn a_second_run_knows_what_the_first_did() {
        let label = LabelPair { name: "__profile_type__".to_owned(), value: "a:b:c:d:e".to_owned() };
        let unit = units(vec![Labels { labels: vec![label] }]).unwrap().remove(0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = ProgressFile::open(&path, &json!({"source": "x"})).unwrap();
        assert!(!first.is_done(&unit, 10));
        first.begin(&unit, 10).unwrap();
        first.finish(&unit, 10).unwrap();
        first.begin(&unit, 20).unwrap();
        drop(first);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"unit\": \"cut").unwrap();
        for _ in 0..2 {
            let second = ProgressFile::open(&path, &json!({"source": "x"})).unwrap();
            assert!(second.is_done(&unit, 10) && second.is_done(&unit, 5) && !second.is_done(&unit, 20));
            assert!(second.is_begun(&unit, 20) && !second.is_begun(&unit, 30));
        }
        let error = ProgressFile::open(&path, &json!({"source": "y"})).unwrap_err();
        assert!(error.to_string().contains("another import"), "{error}");
    }
}
