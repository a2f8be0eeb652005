//! Promise: existing clients work unchanged. Each is skipped with a line where it cannot be had.
//!
//! The SDKs of Node, Java and Go are in `live_senders.rs`, gRPC clients in `grpc_clients.rs`, DuckDB is in `duckdb.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_api::google::v1::Profile;
use flamelake_api::querier::v1::SelectMergeProfileRequest;
use flamelake_integration_tests::answers::{CPU, Range, flame};
use flamelake_integration_tests::client::{Answer, gzip};
use flamelake_integration_tests::{Protocol, Server, ServerOptions, now_ns, push_cpu, skip};
use flamelake_testkit::tools;
use prost::Message as _;

fn run(program: &str, args: &[&str]) -> anyhow::Result<Output> {
    Command::new(program).args(args).output().with_context(|| program.to_owned())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const BUSY: &str = r#"
import sys, time, pyroscope
pyroscope.configure(application_name="pybusy", server_address=sys.argv[1], sample_rate=100, tags={"region": "eu"})
def spin_here(until):
    n = 0
    while time.time() < until: n += 1
    return n
with pyroscope.tag_wrapper({"endpoint": "spin"}):
    spin_here(time.time() + float(sys.argv[2]))
pyroscope.shutdown()
time.sleep(1)
"#;

#[tokio::test]
async fn the_python_sdk_pushes() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let Some(python) = tools::python_with("the_python_sdk_pushes", "pyroscope") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("busy.py");
    fs::write(&script, BUSY)?;
    let url = server.url();
    let output =
        tokio::task::spawn_blocking(move || run(&python.to_string_lossy(), &[&script.to_string_lossy(), &url, "12"]))
            .await??;
    ensure!(output.status.success(), "{}", text(&output));
    arrives(&server, r#"{service_name="pybusy", region="eu"}"#, "spin_here", &text(&output)).await
}

/// Waits until a flame graph of the selector has a function.
async fn arrives(server: &Server, selector: &str, function: &str, client_said: &str) -> anyhow::Result<()> {
    for _ in 0..100 {
        let tree = flame(&server.client(), selector, Range::around_now()).await?;
        if tree.keys().any(|path| path.contains(function)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("no profile with {function} arrived; the client said: {client_said}; server: {}", server.log())
}

/// Builds the program of `clients/rust` beside the server's target folder; `None` with a line if its crates cannot be had.
fn rust_client() -> anyhow::Result<Option<PathBuf>> {
    let manifest = flamelake_testkit::package_dir().join("clients/rust/Cargo.toml");
    // <target>/release/deps/<this test>.
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("a test lies in deps/")?.join("clients");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let (manifest, folder) = (manifest.to_string_lossy(), target.to_string_lossy());
    let built = run(&cargo, &["build", "--quiet", "--locked", "--manifest-path", &manifest, "--target-dir", &folder])?;
    if !built.status.success() {
        skip("the_rust_sdk_pushes", format!("its client cannot be built: {}", text(&built)));
        return Ok(None);
    }
    Ok(Some(target.join("debug/flamelake-rust-client")))
}

#[tokio::test]
async fn the_rust_sdk_pushes() -> anyhow::Result<()> {
    let Some(client) = tokio::task::spawn_blocking(rust_client).await?? else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let url = server.url();
    let output = tokio::task::spawn_blocking(move || run(&client.to_string_lossy(), &[&url, "12"])).await??;
    ensure!(output.status.success(), "{}", text(&output));
    arrives(&server, r#"{service_name="rustbusy", region="eu"}"#, "rust_spin_here", &text(&output)).await
}

#[tokio::test]
async fn go_tool_pprof_reads_what_is_merged() -> anyhow::Result<()> {
    if !run("go", &["version"]).is_ok_and(|output| output.status.success()) {
        skip("go_tool_pprof_reads_what_is_merged", "no go");
        return Ok(());
    }
    let server = Server::start(ServerOptions::new()).await?;
    push_cpu(&server.client(), "pprof", "main;hot_loop 70000000\nmain;cold 30000000", now_ns()).await?;
    let range = Range::around_now();
    let request = SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: range.start_ms,
        end: range.end_ms,
        ..Default::default()
    };
    let method = "querier.v1.QuerierService/SelectMergeProfile";
    let answer: Answer<Profile> = server.client().call(Protocol::ConnectProto, method, &request).await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cpu.pb.gz");
    fs::write(&file, gzip(&answer??.encode_to_vec()))?;
    let output = run("go", &["tool", "pprof", "-top", &file.to_string_lossy()])?;
    let top = text(&output);
    ensure!(output.status.success(), "{top}");
    let line = top.lines().find(|line| line.ends_with("hot_loop")).with_context(|| top.clone())?;
    ensure!(line.trim_start().starts_with("70ms 70.00%"), "{top}");
    Ok(())
}

#[tokio::test]
async fn curl_asks() -> anyhow::Result<()> {
    if run("curl", &["--version"]).is_err() {
        skip("curl_asks", "no curl");
        return Ok(());
    }
    let server = Server::start(ServerOptions::new()).await?;
    push_cpu(&server.client(), "curled", "main 1", now_ns()).await?;
    let range = Range::around_now();
    let body = format!(r#"{{"name":"service_name","start":{},"end":"{}"}}"#, range.start_ms, range.end_ms);
    let url = format!("{}/querier.v1.QuerierService/LabelValues", server.url());
    let args = ["-sS", "--noproxy", "*", "-H", "Content-Type: application/json", "-d", &body, &url];
    let output = run("curl", &args)?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("curled"), "{}", text(&output));
    let url = format!("{}/ready", server.url());
    let output = run("curl", &["-sS", "--noproxy", "*", "-i", &url])?;
    ensure!(text(&output).starts_with("HTTP/1.1 200"), "{}", text(&output));
    Ok(())
}
