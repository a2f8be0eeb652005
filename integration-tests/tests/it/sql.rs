//! Promise P7 for people: `flamelake sql` answers what a server answers, and counts no block twice when it was merged.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request, server};
use flamelake_testkit::tools;
use serde_json::Value;

const MINUTE_NS: i64 = 60_000_000_000;
/// Of 100 ms.
const TRIES: usize = 300;

/// `flamelake` with a `PATH` that begins with the folder of this Python.
fn flamelake(python: &Path, arguments: &[&str]) -> anyhow::Result<(bool, String, String)> {
    let bin = python.parent().unwrap_or(Path::new("")).display();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(server::binary()?).args(arguments).env("PATH", &path).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

fn rows(python: &Path, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let (ok, text, said) = flamelake(python, arguments)?;
    ensure!(ok, "{arguments:?}: {said}{text}");
    serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
}

/// Numbers by function.
fn by_function(rows: &[Value], columns: &[&str]) -> anyhow::Result<BTreeMap<String, Vec<f64>>> {
    let mut all = BTreeMap::new();
    for row in rows {
        let function = row["function"].as_str().with_context(|| row.to_string())?.to_owned();
        let number = |column: &&str| row[*column].as_f64().with_context(|| format!("{column} of {row}"));
        all.insert(function, columns.iter().map(number).collect::<anyhow::Result<_>>()?);
    }
    Ok(all)
}

fn close(one: &BTreeMap<String, Vec<f64>>, other: &BTreeMap<String, Vec<f64>>) -> bool {
    let near = |(one, other): (&Vec<f64>, &Vec<f64>)| {
        one.iter().zip(other).all(|(one, other)| (one - other).abs() <= 1e-9 * one.abs().max(1.0))
    };
    one.keys().eq(other.keys()) && one.values().zip(other.values()).all(near)
}

/// A flush makes it a block: two versions of a service, with recursion, and another service.
async fn push_round(server: &Server, round: i64) -> anyhow::Result<()> {
    for (service, version, folded) in [
        ("shop", "1", "main;serve;work 300\nmain;serve;work;help;work 50\nmain;gc 30\nmain 7"),
        ("shop", "2", "main;serve;work 100\nmain;serve;cache 60\nmain;gc 90"),
        ("cart", "1", "main;serve 11\nmain;gc 5"),
    ] {
        let labels = [("__name__", "process_cpu"), ("service_name", service), ("version", version)];
        let folded: Vec<String> = folded
            .lines()
            .map(|line| {
                let (stack, value) = line.rsplit_once(' ').unwrap_or((line, "0"));
                format!("{stack};f{round} {}", value.parse::<i64>().unwrap_or(0) * (round + 1) * 10_000_000)
            })
            .collect();
        let profile = cpu_profile(&folded.join("\n"), now_ns() - (10 + round) * MINUTE_NS);
        push(&server.client(), &push_request(&labels, vec![(profile, "")])).await??;
    }
    server.flush().await
}

fn compare(server: &Server, python: &Path) -> anyhow::Result<()> {
    let dir = format!("--storage.filesystem.dir={}", server.data().display());
    let (url, sql) = (server.url(), |statement: &str| rows(python, &["sql", statement, "--output", "json", &dir]));
    let top = |selector: &str| {
        let all =
            ["query", "top", "-n", "10000", "--output", "json", "--type", CPU, "--url", &url, "--query", selector];
        rows(python, &all)
    };
    for (selector, arguments) in [
        ("{}", String::new()),
        (r#"{service_name="shop"}"#, ", 'shop'".to_owned()),
        (r#"{service_name="shop",version="2"}"#, ", 'shop', 'version', '2'".to_owned()),
    ] {
        let api = by_function(&top(selector)?, &["self", "total"])?;
        let own = sql(&format!("SELECT function, self, total FROM top_functions('{CPU}'{arguments})"))?;
        let own = by_function(&own, &["self", "total"])?;
        ensure!(!api.is_empty() && own == api, "{selector}: the API {api:?}, SQL {own:?}");
    }
    let columns =
        ["self_percent_before", "self_percent_after", "self_change", "total_percent_before", "total_percent_after"];
    let diff = rows(
        python,
        &[
            "query",
            "diff",
            "-n",
            "10000",
            "--output",
            "json",
            "--type",
            CPU,
            "--url",
            &url,
            "--query",
            r#"{service_name="shop",version="2"}"#,
            "--base-query",
            r#"{service_name="shop",version="1"}"#,
        ],
    )?;
    let api = by_function(&diff, &columns)?;
    let own =
        by_function(&sql(&format!("SELECT * FROM diff_functions('{CPU}', 'version', '1', '2', 'shop')"))?, &columns)?;
    ensure!(!api.is_empty() && close(&own, &api), "diff: the API {api:?}, SQL {own:?}");

    let totals = sql(
        "SELECT service_name AS function, sum(total)::BIGINT AS total, count(*) AS profiles FROM profiles GROUP BY ALL",
    )?;
    let ends =
        sql("SELECT service_name AS function, sum(value)::BIGINT AS total FROM samples_by_function GROUP BY ALL")?;
    let (totals, ends) = (by_function(&totals, &["total", "profiles"])?, by_function(&ends, &["total"])?);
    ensure!(totals["shop"][1] == 6.0 && totals["cart"][1] == 3.0, "{totals:?}");
    ensure!(totals["shop"][0] == ends["shop"][0] && totals["cart"][0] == ends["cart"][0], "{totals:?} {ends:?}");
    Ok(())
}

fn live_blocks(server: &Server, python: &Path) -> anyhow::Result<String> {
    let dir = format!("--storage.filesystem.dir={}", server.data().display());
    Ok(flamelake(python, &["admin", "blocks", "list", "anonymous", &dir])?.1)
}

#[tokio::test]
async fn sql_answers_what_the_api_answers() -> anyhow::Result<()> {
    let who = "sql_answers_what_the_api_answers";
    let Some(python) = tools::python_with(who, "duckdb") else { return Ok(()) };
    let options = ServerOptions::new().flags(["compactor.blocks-per-merge-max=3", "catalog.delete-delay=1h"]);
    let mut server = Server::prepare(options)?;
    server.set_flags(&["compactor.compaction-interval=1h".to_owned()]);
    server.launch().await?;
    let dir = format!("--storage.filesystem.dir={}", server.data().display());
    let (ok, _, said) = flamelake(&python, &["sql", "SELECT 1", &dir])?;
    ensure!(!ok && said.contains("has no live block"), "{said}");
    for round in 0..3 {
        push_round(&server, round).await?;
    }
    ensure!(live_blocks(&server, &python)?.contains("3 live blocks"));
    compare(&server, &python)?;

    let (ok, csv, said) = flamelake(&python, &["sql", "--output=csv", &dir, "SELECT 1 AS a, 'x,y' AS b"])?;
    ensure!(ok && csv == "a,b\r\n1,\"x,y\"\r\n", "{csv} {said}");
    let (ok, table, said) = flamelake(&python, &["sql", "SELECT count(*) AS profiles FROM profiles", &dir])?;
    ensure!(ok && table.contains("profiles") && table.contains('9'), "{table} {said}");
    let (ok, _, said) = flamelake(&python, &["sql", "SELECT nope", &dir])?;
    ensure!(!ok && said.contains("nope"), "{said}");
    let (ok, script, _) = flamelake(&python, &["sql", "--print", &dir])?;
    ensure!(
        ok && script.matches("/tenants/anonymous/blocks/").count() == 3 + 1
            && script.contains("CREATE OR REPLACE VIEW series"),
        "{script}"
    );
    let (ok, _, said) = flamelake(&python, &["sql", "SELECT 1", "--until", "now-1d", &dir])?;
    ensure!(!ok && said.contains("no live block in this range"), "{said}");
    let (ok, _, said) = flamelake(&python, &["sql", "SELECT 1", "--tenant", "nobody", &dir])?;
    ensure!(!ok && said.contains("tenant nobody"), "{said}");

    server.set_flags(&["compactor.compaction-interval=100ms".to_owned()]);
    server.restart().await?;
    for _ in 0..TRIES {
        if live_blocks(&server, &python)?.contains("1 live blocks") {
            let folders = std::fs::read_dir(server.data().join("tenants/anonymous/blocks"))?.count();
            ensure!(folders == 4, "the replaced blocks are to lie there still: {folders}");
            return compare(&server, &python);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the blocks were not merged: {}", live_blocks(&server, &python)?)
}

#[tokio::test]
async fn who_has_no_duckdb_is_told_where_to_get_one() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    push_round(&server, 0).await?;
    let dir = format!("--storage.filesystem.dir={}", server.data().display());
    let output = Command::new(server::binary()?).args(["sql", "SELECT 1", &dir]).env("PATH", "").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("pip install 'duckdb>=2'"), "{said}");
    Ok(())
}
