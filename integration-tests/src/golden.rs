//! Plays golden rows: pushes them from here, lets `check.py` of the shared folder ask and compare.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Server;

/// Words of queries that are left out of a recording unless `FLAMELAKE_GOLDEN_EXCEPT` says otherwise.
const NOT_BUILT: &str = "";

/// Scenarios whose pushes need `/ingest`.
const INGEST: [&str; 3] = ["ingest-jfr", "ingest-pprof", "ingest-texts"];

/// The golden folder and the scenarios that this server can play.
#[derive(Clone, Debug)]
pub struct Golden {
    folder: PathBuf,
    scenarios: Vec<String>,
}

impl Golden {
    /// `None` with a printed line if the shared folder or Python is absent. `FLAMELAKE_GOLDEN=a,b` picks scenarios.
    pub async fn find(who: &str, server: &Server) -> anyhow::Result<Option<Self>> {
        let Some(shared) = flamelake_testkit::shared_dir(who) else { return Ok(None) };
        if Command::new("python3").arg("--version").output().is_err() {
            crate::skip(who, "no python3");
            return Ok(None);
        }
        let folder = shared.join("golden").canonicalize()?;
        let mut scenarios = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.path().join("pushes.jsonl").is_file() {
                scenarios.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        scenarios.sort();
        if let Ok(picked) = std::env::var("FLAMELAKE_GOLDEN") {
            scenarios.retain(|name| picked.split(',').any(|p| p == name));
        }
        if matches!(server.tenant("probe").post_status("/ingest?name=probe").await?, 404 | 501) {
            crate::skip(who, format!("scenarios {INGEST:?}: this server has no /ingest"));
            scenarios.retain(|name| !INGEST.contains(&name.as_str()));
        }
        Ok(Some(Self { folder, scenarios }))
    }

    /// Pushes all rows; `after_each` runs after each.
    pub async fn push(
        &self,
        server: &Server,
        mut after_each: impl AsyncFnMut(&Server) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for scenario in &self.scenarios {
            let client = server.tenant(scenario);
            let rows = fs::read_to_string(self.folder.join(scenario).join("pushes.jsonl"))?;
            for (at, row) in rows.lines().enumerate() {
                let row: Value = serde_json::from_str(row)?;
                let path = row["path"].as_str().context("a row has a path")?;
                let (body, content_type) = match row.get("request") {
                    Some(request) => (request.to_string().into_bytes(), "application/json"),
                    None => (STANDARD.decode(text(&row, "body"))?, text(&row, "contentType")),
                };
                let headers = [("content-type", content_type)];
                let headers = if content_type.is_empty() { &headers[..0] } else { &headers[..] };
                let (status, _, answer) = client.post(path, headers, body).await?;
                let accepted = row["accept_status"].as_array().cloned().unwrap_or_default();
                let fits = row["status"] == status || accepted.iter().any(|a| *a == status);
                let answer = String::from_utf8_lossy(&answer).into_owned();
                ensure!(fits, "{scenario} push {at}: {status}, recorded {}: {answer}", row["status"]);
                after_each(server).await?;
            }
        }
        Ok(())
    }

    /// `check.py` with the queries alone. `FLAMELAKE_GOLDEN_EXCEPT=word,word` leaves out rows, as its `--except` does.
    pub async fn ask(&self, server: &Server) -> anyhow::Result<()> {
        let bare = tempfile::tempdir()?;
        for scenario in &self.scenarios {
            let folder = bare.path().join(scenario);
            fs::create_dir(&folder)?;
            fs::write(folder.join("pushes.jsonl"), "")?;
            std::os::unix::fs::symlink(self.folder.join(scenario).join("queries.jsonl"), folder.join("queries.jsonl"))?;
        }
        // Rows that push would change what the next ask finds.
        self.check(server, bare.path(), ",PusherService").await
    }

    /// `check.py` as it is: pushes and queries of each scenario in turn.
    pub async fn play(&self, server: &Server) -> anyhow::Result<()> {
        self.check(server, &self.folder, "").await
    }

    async fn check(&self, server: &Server, rows: &Path, more_words: &str) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new("python3");
        command.arg("-B").arg(self.folder.join("check.py"));
        // What is not built yet answers `unimplemented` or 404.
        let words = std::env::var("FLAMELAKE_GOLDEN_EXCEPT").unwrap_or_else(|_| NOT_BUILT.to_owned()) + more_words;
        let words = words.trim_matches(',');
        if !words.is_empty() {
            command.args(["--except", words]);
        }
        let output = command.arg(server.url()).arg(rows).args(&self.scenarios).kill_on_drop(true).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "check.py:\n{text}");
        Ok(())
    }
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}
