//! Functions over time: the same from the head, from blocks, and from a cluster whose parts hold pieces.

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::server::binary;
use flamelake_integration_tests::{Client, Server, ServerOptions, now_ns, push_cpu};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;

async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let text = client.get_text(path).await?;
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

/// A minute of some time ago, in seconds.
fn start() -> i64 {
    now_ns() / SECOND / 60 * 60 - 300
}

/// Three minutes of two services.
async fn push_some(client: &Client, start: i64) -> anyhow::Result<()> {
    for (minute, shop, bank) in [
        (0, "main;work;work 5\nmain;idle 2", "main;pay 1"),
        (1, "main;work 6", "main;pay;work 3"),
        (2, "main 1", "pay 8"),
    ] {
        push_cpu(client, "shop", shop, (start + minute * 60) * SECOND).await?;
        push_cpu(client, "bank", bank, (start + minute * 60) * SECOND).await?;
    }
    Ok(())
}

fn series_path(start: i64, more: &str) -> String {
    let until = start + 120;
    format!("/api/v1/functions/series?query={CPU}%7B%7D&from={start}&until={until}&step=1m{more}")
}

async fn expect_series(client: &Client, start: i64) -> anyhow::Result<()> {
    let all = get(client, &series_path(start, "")).await?;
    let timestamps = json!([start * 1000, (start + 60) * 1000, (start + 120) * 1000]);
    ensure!(
        (&all["unit"], &all["step_ms"], &all["found"]) == (&json!("nanoseconds"), &json!(60_000), &json!(4)),
        "{all}"
    );
    ensure!(all["timestamps"] == timestamps && all["totals"] == json!([8, 9, 9]), "{all}");
    let function = |function: &str, own: [i64; 3], total: [i64; 3]| json!({"function": function, "group": {}, "self": own, "total": total});
    let expected = json!([
        function("work", [5, 9, 0], [5, 9, 0]),
        function("pay", [1, 0, 8], [1, 3, 8]),
        function("idle", [2, 0, 0], [2, 0, 0]),
        function("main", [0, 0, 1], [8, 9, 1]),
    ]);
    ensure!(all["functions"] == expected, "{all}");
    let first = get(client, &series_path(start, "&by=total&limit=1")).await?;
    ensure!(first["functions"] == json!([expected[3]]) && first["found"] == 4, "{first}");
    let named = get(client, &series_path(start, "&function=pay&function=nope")).await?;
    ensure!(named["functions"] == json!([expected[1]]) && named["totals"] == json!([8, 9, 9]), "{named}");
    let regex = get(client, &series_path(start, "&regex=.*%28a%7Ci%29.*&groupBy=service_name&limit=2")).await?;
    let groups: Vec<_> = regex["functions"].as_array().into_iter().flatten().map(|one| &one["group"]).collect();
    ensure!(groups == [&json!({"service_name": "bank"}), &json!({"service_name": "shop"})], "{regex}");
    ensure!(regex["groups"][0] == json!({"group": {"service_name": "bank"}, "totals": [1, 3, 8]}), "{regex}");
    let before = get(client, &series_path(1000, "")).await?;
    ensure!(before["functions"] == json!([]) && before["found"] == 0, "{before}");
    Ok(())
}

#[tokio::test]
async fn costliest_functions_over_time_from_head_and_blocks() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let (client, start) = (server.tenant("functions"), start());
    push_some(&client, start).await?;
    expect_series(&client, start).await?;
    server.flush().await?;
    expect_series(&client, start).await?;
    let other = get(&server.tenant("other"), &series_path(start, "")).await?;
    ensure!(other["functions"] == json!([]), "another tenant's functions: {other}");
    for (wrong, message) in [
        ("&limit=0", "limit is a number from 1 to 500"),
        ("&by=cost", "by is self or total"),
        ("&regex=%28", "missing closing )"),
        ("&function=a&regex=b", "not both"),
        ("&step=soon", "is no duration"),
    ] {
        // Of parameters given twice the first counts.
        let path = series_path(start, "").replace("&step=", &format!("{wrong}&step="));
        let answer = get(&client, &path).await?;
        ensure!(answer["code"] == "invalid_argument", "{wrong}: {answer}");
        ensure!(answer["message"].as_str().is_some_and(|text| text.contains(message)), "{wrong}: {answer}");
    }
    let fine = get(&client, &format!("{}&step=0.001", series_path(start, "").replace("&step=1m", ""))).await?;
    ensure!(fine["code"] == "resource_exhausted", "{fine}");
    Ok(())
}

/// Which services run `work`, and their shares.
async fn expect_index(client: &Client, start: i64) -> anyhow::Result<()> {
    let found = get(client, &format!("/api/v1/functions?q=WOR&from={}&until={}", start - 60, start + 180)).await?;
    ensure!(found["functions"].as_array().map(Vec::len) == Some(1) && found["more"] == false, "{found}");
    let services = &found["functions"][0]["services"];
    ensure!(found["functions"][0]["name"] == "work", "{found}");
    ensure!(services[0]["service_name"] == "bank" && services[1]["service_name"] == "shop", "{found}");
    ensure!(services[1]["profile_types"] == json!([CPU]) && services[1]["first_ms"] == start * 1000, "{found}");
    let until = start + 120;
    let path = format!("/api/v1/functions?q=work&shares=1&query={CPU}%7B%7D&from={start}&until={until}&step=60");
    let shares = get(client, &path).await?;
    let services = &shares["functions"][0]["services"];
    ensure!(
        services[0]["self"] == json!([0.0, 1.0, 0.0]) && services[0]["total"] == json!([0.0, 1.0, 0.0]),
        "{shares}"
    );
    ensure!(services[1]["self"][0].as_f64().is_some_and(|share| (share - 5.0 / 7.0).abs() < 1e-9), "{shares}");
    let narrowed =
        get(client, "/api/v1/functions?regex=ma.n%7Cpay&query=%7Bservice_name%3D%22bank%22%7D&limit=1").await?;
    ensure!(narrowed["functions"][0]["name"] == "main" && narrowed["more"] == true, "{narrowed}");
    for wrong in ["", "q=a&regex=b", "q=a&shares=1", "q=a&query=%7B", "regex=%28"] {
        let answer = get(client, &format!("/api/v1/functions?{wrong}")).await?;
        ensure!(answer["code"] == "invalid_argument", "{wrong}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn functions_are_found_in_head_blocks_and_terminal() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let (client, start) = (server.client(), start());
    push_some(&client, start).await?;
    expect_index(&client, start).await?;
    server.flush().await?;
    expect_index(&client, start).await?;
    let command = ["query", "functions", "idl", "--output", "csv", "--url", &server.url()];
    let output = std::process::Command::new(binary()?).args(command).output()?;
    let (rows, errors) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
    ensure!(output.status.success() && rows.starts_with("function,service_name,"), "{rows}{errors}");
    ensure!(rows.contains("\r\nidle,shop,"), "{rows}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_adds_up_the_functions_of_its_parts() -> anyhow::Result<()> {
    let roles = [
        ("ingester-0", "ingester"),
        ("ingester-1", "ingester"),
        ("gateway-0", "store-gateway"),
        ("gateway-1", "store-gateway"),
        ("distributor-0", "distributor"),
        ("querier-0", "querier"),
    ];
    let Some(cluster) = Cluster::start("a_cluster_adds_up", ServerOptions::new(), &roles).await? else { return Ok(()) };
    let (push, query, start) = (cluster.client("distributor-0"), cluster.client("querier-0"), start());
    push_some(&push, start).await?;
    expect_series(&query, start).await?;
    expect_index(&query, start).await?;
    cluster.flush(&["ingester-0", "ingester-1"]).await?;
    expect_series(&query, start).await?;
    expect_index(&query, start).await?;
    cluster.expect_no_trouble()
}
