//! What nobody uploaded is fetched from a debuginfod server, if one is named: a query leaves the wish, a later one has the names.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::{Server, ServerOptions};

use crate::debuginfo::{addresses, build_id, built, profile, push_native, shown};

const WHO: &str = "what_nobody_uploaded_is_fetched";
/// Of 100 ms.
const TRIES: usize = 300;

/// Serves the files of a folder; ended with the test.
struct Files(Child);

impl Drop for Files {
    fn drop(&mut self) {
        // It may have ended; both answers are fine then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A debuginfod server answers `GET /buildid/<id>/debuginfo`: so does one of files. (debuginfod of elfutils listens on every address.)
fn serve(folder: &Path) -> anyhow::Result<(Files, String)> {
    let mut child = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let out = child.stdout.take().context("its output is a pipe")?;
    let files = Files(child);
    let mut told = String::new();
    BufReader::new(out).read_line(&mut told)?;
    let url = told.split(['(', ')']).nth(1).context("no URL")?;
    Ok((files, url.trim_end_matches('/').to_owned()))
}

#[tokio::test]
async fn what_nobody_uploaded_is_fetched() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(file) = built(WHO, folder.path(), "c")? else { return Ok(()) };
    let (id, at) = (build_id(&file)?, addresses(&file, "flame_")?);
    let served = folder.path().join("buildid").join(&id);
    fs::create_dir_all(&served)?;
    fs::copy(&file, served.join("debuginfo"))?;
    let (_files, url) = serve(folder.path())?;
    let flags = [format!("symbolizer.debuginfod-urls={url}"), "symbolizer.refresh-interval=100ms".to_owned()];
    let options = flags.iter().fold(ServerOptions::new(), |options, flag| options.flag(flag));
    let server = Server::start(options).await?;
    push_native(&server, "c", profile("c", &id, &at, (0, 0, 0))).await?;
    push_native(&server, "unknown", profile("unknown", "ab12cd34", &at, (0, 0, 0))).await?;
    let mut named = false;
    for _ in 0..TRIES {
        named = shown(&server, "c").await?.values().all(|frames| !frames.is_empty());
        if named {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(named, "no names came; server: {}", server.log());
    // What no server has stays as it is.
    ensure!(shown(&server, "unknown").await?.values().all(Vec::is_empty));
    Ok(())
}
