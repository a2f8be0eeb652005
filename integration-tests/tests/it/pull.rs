//! Promise: who pulls needs no agent: `curl …/debug/pprof/profile | flamelake push -` stores what any Go service serves.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{CPU, Range, flame_of};
use flamelake_integration_tests::server::binary;
use flamelake_integration_tests::{Server, ServerOptions, skip};

/// It is ended with the test, long before.
const SECONDS_MAX: &str = "60";
const SECOND_NS: i64 = 1_000_000_000;

/// Ended with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended; both answers are fine then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Go service and its URL; `None` with a line if there is no Go.
fn service() -> anyhow::Result<Option<(Service, String)>> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("gopull");
    let sources = flamelake_testkit::package_dir().join("clients/go-pull");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(sources).output();
    match built {
        Ok(output) if output.status.success() => {}
        Ok(output) => anyhow::bail!("not built: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            skip("what_curl_pulls_is_pushed", format!("no go: {error}"));
            return Ok(None);
        }
    }
    let mut child = Command::new(&program).arg(SECONDS_MAX).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("its output is a pipe")?;
    let service = Service(child);
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url)?;
    Ok(Some((service, url.trim().to_owned())))
}

#[tokio::test]
async fn what_curl_pulls_is_pushed() -> anyhow::Result<()> {
    let Some((_service, url)) = tokio::task::spawn_blocking(service).await?? else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let pipe = r#"set -o pipefail; curl -sSf "$0/debug/pprof/profile?seconds=1" | "$1" push - --url "$2" -l service_name=pulled"#;
    let mut command = Command::new("bash");
    command.args(["-c", pipe, &url]).arg(binary()?).arg(server.url());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("pprof"), "{said}");

    let tree = flame_of(&server.client(), CPU, r#"{service_name="pulled"}"#, Range::around_now()).await?;
    let has = |path: &str| path.split(';').any(|frame| frame == "main.goPulledSpinHere");
    let spun: i64 = tree.iter().filter(|(path, _)| has(path)).map(|(_, (_, own))| own).sum();
    ensure!((SECOND_NS / 100..2 * SECOND_NS).contains(&spun), "one thread spins for the second: {spun} ns; {tree:?}");
    Ok(())
}
