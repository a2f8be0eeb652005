//! Promise: what an older version has written is read, its blocks, its log, its catalog and its settings, and goes on being read when this version
//! has written to it (`integration-tests/testdata/stores`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::{Server, ServerOptions, server};
use serde::Deserialize;
use serde_json::json;

/// What the version that wrote the store answered.
#[derive(Debug, Deserialize)]
struct Store {
    written_by: String,
    /// Of the first tenant.
    settings: BTreeMap<String, String>,
    range_ms: [i64; 2],
    answers: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    tenant: String,
    service: String,
    /// Stack to its own value.
    own: BTreeMap<String, i64>,
}

fn stores() -> anyhow::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/stores");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    found.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    found.sort();
    ensure!(!found.is_empty(), "no store is there");
    Ok(found)
}

async fn answers_as_before(server: &Server, store: &Store) -> anyhow::Result<()> {
    for answer in &store.answers {
        let [start_ms, end_ms] = store.range_ms;
        let selector = format!("{{service_name={:?}}}", answer.service);
        let tree = flame(&server.tenant(&answer.tenant), &selector, Range { start_ms, end_ms }).await?;
        let own: BTreeMap<String, i64> =
            tree.into_iter().filter(|(_, (_, own))| *own != 0).map(|(path, (_, own))| (path, own)).collect();
        ensure!(own == answer.own, "{}, {}: {own:?}, not {:?}", answer.tenant, answer.service, answer.own);
    }
    let tenant = &store.answers.first().context("an answer")?.tenant;
    let (_, settings) = server.tenant(tenant).json("settings.v1.SettingsService/Get", &json!({})).await?;
    for (name, value) in &store.settings {
        let is_it =
            |setting: &serde_json::Value| setting["name"] == name.as_str() && setting["value"] == value.as_str();
        ensure!(settings["settings"].as_array().is_some_and(|all| all.iter().any(is_it)), "{name}: {settings}");
    }
    Ok(())
}

/// `flamelake admin` finds no fault in the blocks and the catalog.
fn verified(data: &Path, tenant: &str) -> anyhow::Result<()> {
    for what in ["catalog", "blocks"] {
        let output = Command::new(server::binary()?)
            .args(["admin", what, "verify", tenant])
            .arg(format!("--storage.filesystem.dir={}", data.display()))
            .output()?;
        ensure!(output.status.success(), "{what} of {tenant}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[tokio::test]
async fn stores_of_older_versions_are_read_and_written_on() -> anyhow::Result<()> {
    for path in stores()? {
        let store: Store = serde_json::from_slice(&std::fs::read(&path)?)?;
        let mut server = Server::prepare(ServerOptions::new().golden().flag("ingester.flush-interval=24h"))?;
        let folder = server.data().parent().context("data lie in a folder")?.to_owned();
        let unpacked =
            Command::new("tar").arg("-xzf").arg(path.with_extension("tar.gz")).arg("-C").arg(&folder).status()?;
        ensure!(unpacked.success(), "unpack {}", path.display());
        server.launch().await.with_context(|| format!("on a store of {}", store.written_by))?;
        answers_as_before(&server, &store).await.with_context(|| store.written_by.clone())?;
        // What lay in the old log becomes a block of this version, beside the old ones, in the same catalog.
        server.flush().await?;
        answers_as_before(&server, &store).await.context("after a flush")?;
        server.crash().await?;
        answers_as_before(&server, &store).await.context("after a crash")?;
        server.stop().await?;
        for tenant in store.answers.iter().map(|answer| &answer.tenant) {
            verified(&server.data(), tenant)?;
        }
        ensure!(server.troubles().is_empty(), "{}: {:#?}", store.written_by, server.troubles());
    }
    Ok(())
}
