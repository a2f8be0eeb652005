//! Promise: the public SDKs of Node, Java and Go, and exporters of OpenTelemetry's own messages in each layout, unmodified, push every type of
//! profile they have, and what arrives has sane totals.
//! (Python and Rust are in `real_clients.rs`.) Each runs a program of `clients/` until its functions are seen, and is skipped with a
//! line where the SDK or its language cannot be had.
#![expect(clippy::disallowed_methods, reason = "it waits for a real process")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{CPU, Range, flame_of};
use flamelake_integration_tests::{Server, ServerOptions, skip};
use serde_json::json;

/// What a sender may take; it is ended as soon as everything has been seen.
const SECONDS_MAX: u64 = 60;
const MS: i64 = 1_000_000;

/// A program that pushes, ended with the test.
struct Sender {
    child: Child,
    begun: Instant,
    folder: tempfile::TempDir,
}

impl Sender {
    /// Runs a command as `COMMAND URL SECONDS`.
    fn start(mut command: Command, server: &Server) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .args([server.url(), SECONDS_MAX.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child, begun: Instant::now(), folder })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Nanoseconds since its start.
    fn age(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Polls until a flame graph of the type has the function: (total below the function, total of the graph).
    async fn sees(&self, server: &Server, service: &str, kind: &str, function: &str) -> anyhow::Result<(i64, i64)> {
        let selector = format!(r#"{{service_name="{service}", region="eu"}}"#);
        while self.begun.elapsed() < Duration::from_secs(SECONDS_MAX) {
            let tree = flame_of(&server.client(), kind, &selector, Range::around_now()).await?;
            let has = |path: &str| path.split(';').any(|frame| frame.contains(function));
            let own: i64 = tree.iter().filter(|(path, _)| has(path)).map(|(_, (_, own))| own).sum();
            if own > 0 {
                return Ok((own, tree.values().map(|(_, own)| own).sum()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{service} sent no {kind} with {function}; it said: {}; server: {}", self.log(), server.log())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended; both answers are fine then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(path: &str) -> PathBuf {
    flamelake_testkit::package_dir().join("clients").join(path)
}

/// Where `scripts/install-tools.sh test` puts what clients need: `<target>/clients`, for a test in `<target>/release/deps`.
fn tools() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(3).context("a test lies in deps/")?.join("clients"))
}

fn runs(program: &str, argument: &str) -> bool {
    let probe = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// Whether a client has what it needs; says so if not.
fn has(who: &str, program: &str, argument: &str, installed: &Path) -> bool {
    let (runs, installed) = (runs(program, argument), installed.exists());
    if !(runs && installed) {
        skip(who, format!("{program} runs: {runs}, its SDK is there: {installed}: run scripts/install-tools.sh test"));
    }
    runs && installed
}

/// Time that one thread spent somewhere: some, and no more than there was.
fn time_of_one_thread(what: &str, nanos: i64, age: i64) -> anyhow::Result<()> {
    ensure!((10 * MS..=age + 100 * MS).contains(&nanos), "{what}: {nanos} ns of {age}");
    Ok(())
}

#[tokio::test]
async fn the_node_sdk_pushes() -> anyhow::Result<()> {
    let modules = tools()?.join("node/node_modules");
    if !has("the_node_sdk_pushes", "node", "--version", &modules.join("@pyroscope/nodejs")) {
        return Ok(());
    }
    let server = Server::start(ServerOptions::new()).await?;
    let mut node = Command::new("node");
    node.arg(client("node/sender.js")).env("NODE_PATH", modules);
    let sender = Sender::start(node, &server)?;
    let sees = |kind, function| sender.sees(&server, "nodebusy", kind, function);

    let (cpu, _) = sees("wall:cpu:nanoseconds:wall:nanoseconds", "nodeSpinHere").await?;
    let (samples, _) = sees("wall:samples:count:wall:nanoseconds", "nodeSpinHere").await?;
    let (wall, all) = sees("wall:wall:nanoseconds:wall:nanoseconds", "nodeSpinHere").await?;
    time_of_one_thread("cpu", cpu, sender.age())?;
    time_of_one_thread("wall", wall, sender.age())?;
    ensure!(wall * 2 > all, "it does little else: {wall} of {all}");
    let each = wall / samples;
    ensure!((MS..=200 * MS).contains(&each), "a sample stands for about 10 ms: {each} ns");

    let (objects, _) = sees("memory:inuse_objects:count:inuse_space:bytes", "nodeAllocatesHere").await?;
    let (bytes, _) = sees("memory:inuse_space:bytes:inuse_space:bytes", "nodeAllocatesHere").await?;
    ensure!((100..=5000).contains(&(bytes / objects)), "arrays of 100 numbers: {bytes} bytes of {objects}");
    Ok(())
}

#[tokio::test]
async fn the_java_agent_pushes() -> anyhow::Result<()> {
    let agent = tools()?.join("java/agent-2.9.2.jar");
    // `javac` because the program is started from its source.
    if !has("the_java_agent_pushes", "javac", "--version", &agent) {
        return Ok(());
    }
    let server = Server::start(ServerOptions::new()).await?;
    let mut java = Command::new("java");
    java.arg("-cp").arg(agent).arg(client("java/Sender.java"));
    let sender = Sender::start(java, &server)?;
    let sees = |kind, function| sender.sees(&server, "javabusy", kind, function);

    let (cpu, all) = sees(CPU, "Sender.javaSpinHere").await?;
    time_of_one_thread("cpu", cpu, sender.age())?;
    ensure!(cpu % (10 * MS) == 0 && all < 16 * sender.age(), "100 samples a second: {cpu} of {all}");

    let (objects, _) = sees("memory:alloc_in_new_tlab_objects:count:space:bytes", "Sender.javaAllocatesHere").await?;
    let (bytes, _) = sees("memory:alloc_in_new_tlab_bytes:bytes:space:bytes", "Sender.javaAllocatesHere").await?;
    ensure!((4096..64 << 20).contains(&(bytes / objects)), "buffers for arrays of 4 KiB: {bytes} of {objects}");

    let (contentions, _) = sees("mutex:contentions:count:mutex:count", "Sender.javaWaitsHere").await?;
    let (delay, _) = sees("mutex:delay:nanoseconds:mutex:count", "Sender.javaWaitsHere").await?;
    ensure!(delay / contentions >= MS, "only waits of 1 ms and more are counted: {delay} ns in {contentions}");
    ensure!(delay <= 3 * sender.age(), "three threads wait: {delay} ns");
    Ok(())
}

/// Builds the program of `clients/go`; `None` with a line if its modules cannot be had.
fn go_client() -> anyhow::Result<Option<PathBuf>> {
    let binary = tools()?.join("goclient");
    let built = Command::new("go").args(["build", "-o"]).arg(&binary).arg(".").current_dir(client("go")).output();
    match built {
        Ok(output) if output.status.success() => return Ok(Some(binary)),
        Ok(output) => skip("the_go_sdk_pushes", format!("not built: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => skip("the_go_sdk_pushes", format!("no go: {error}")),
    }
    Ok(None)
}

#[tokio::test]
async fn the_go_sdk_pushes() -> anyhow::Result<()> {
    let Some(binary) = tokio::task::spawn_blocking(go_client).await?? else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let sender = Sender::start(Command::new(binary), &server)?;
    let (sender, server) = (&sender, &server);
    let sees = |kind: String, function| async move { sender.sees(server, "gobusy", &kind, function).await };

    let (samples, _) = sees("process_cpu:samples:count:cpu:nanoseconds".to_owned(), "main.goSpinHere").await?;
    let (cpu, _) = sees(CPU.to_owned(), "main.goSpinHere").await?;
    time_of_one_thread("cpu", cpu, sender.age())?;
    ensure!(cpu >= samples * 10 * MS && cpu % (10 * MS) == 0, "100 samples a second: {cpu} ns of {samples}");

    for name in ["alloc", "inuse"] {
        let kind = |value: &str| format!("memory:{name}_{value}:space:bytes");
        let (objects, _) = sees(kind("objects:count"), "main.goAllocatesHere").await?;
        let (bytes, _) = sees(kind("space:bytes"), "main.goAllocatesHere").await?;
        // Growing the slice is an object too; more may have come between the two questions.
        ensure!((512 << 10..8 << 20).contains(&(bytes / objects)), "{name}: {bytes} bytes of {objects} megabytes");
    }

    let (goroutines, _) = sees("goroutines:goroutine:count:goroutine:count".to_owned(), "main.goContendsHere").await?;
    ensure!((goroutines - 6) * 1000 * MS <= 3 * sender.age(), "three run it, asked once a second: {goroutines}");
    for name in ["mutex", "block"] {
        let kind = |value: &str| format!("{name}:{value}:contentions:count");
        let (contentions, _) = sees(kind("contentions:count"), "main.goContendsHere").await?;
        let (delay, _) = sees(kind("delay:nanoseconds"), "main.goContendsHere").await?;
        ensure!(contentions > 0 && delay <= 4 * sender.age(), "{name}: {delay} ns in {contentions}");
    }
    Ok(())
}

/// By the messages that OpenTelemetry publishes for Python: 1.38 has those of opentelemetry-proto 1.7, 1.40 of 1.9, 1.45 of 1.10.
#[tokio::test]
async fn opentelemetry_exports_in_every_layout() -> anyhow::Result<()> {
    let who = "opentelemetry_exports_in_every_layout";
    let installed = tools()?.join("otlp");
    if !has(who, "python3", "--version", &installed.join("common/grpc")) {
        return Ok(());
    }
    let server = Server::start(ServerOptions::new()).await?;
    for layout in ["1.7", "1.9", "1.10"] {
        let path = std::env::join_paths([installed.join(layout), installed.join("common")])?;
        let mut python = Command::new("python3");
        python.arg(client("otlp/exporter.py")).arg(layout).env("PYTHONPATH", path);
        let sender = Sender::start(python, &server)?;
        for way in ["grpc", "http", "json", "base64"] {
            let service = format!("otlp-{layout}-{way}");
            let (own, all) = sender.sees(&server, &service, CPU, "otlp_spin_here").await?;
            time_of_one_thread(&service, own, sender.age())?;
            ensure!(own * 2 > all, "{service} does little else: {own} of {all}");
            // Every sample is linked to one span.
            let selector = format!(r#"{{service_name="{service}"}}"#);
            let of_span = total_of_span(&server, &selector, "0102030405060708").await?;
            ensure!(of_span >= own, "{service}: {of_span} of {own} in its span");
        }
    }
    Ok(())
}

/// Total of the samples that a span has.
async fn total_of_span(server: &Server, selector: &str, span: &str) -> anyhow::Result<i64> {
    let Range { start_ms, end_ms } = Range::around_now();
    let request = json!({
        "profileTypeID": CPU, "labelSelector": selector, "spanSelector": [span], "start": start_ms, "end": end_ms,
    });
    let (status, answer) = server.client().json("querier.v1.QuerierService/SelectMergeSpanProfile", &request).await?;
    ensure!(status == 200, "SelectMergeSpanProfile: {status} {answer}");
    let total = answer["flamegraph"]["total"].as_str().context("a total")?;
    Ok(total.parse()?)
}
