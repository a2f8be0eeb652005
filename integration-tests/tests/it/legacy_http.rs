//! Promise: the routes that older clients know answer what the RPC methods answer, from the head as from blocks.

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_cpu, push_request};
use flamelake_testkit::ProfileBuilder;
use serde_json::{Value, json};

async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let text = client.get_text(path).await?;
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

async fn ask(client: &Client, method: &str, request: &Value) -> anyhow::Result<Value> {
    let (status, answer) = client.json(&format!("querier.v1.QuerierService/{method}"), request).await?;
    ensure!(status == 200, "{method}: {status} {answer}");
    Ok(answer)
}

fn sum(list: &Value) -> u64 {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn flame_graphs_and_labels_by_get() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("legacy");
    let now = now_ns();
    push_cpu(&client, "left", "a;b;c 1\na;b 2\na;d 300\ne 4", now - 90_000_000_000).await?;
    push_cpu(&client, "right", "a;b 8\ne;f 16", now - 90_000_000_000).await?;
    let side = |service: &str| format!("{CPU}%7Bservice_name%3D%22{service}%22%7D");
    for at in ["the head", "blocks"] {
        let query = format!("query={}&from=now-10m&until=now%2B1m", side("left"));
        let single = get(&client, &format!("/pyroscope/render?{query}&groupBy=service_name&max-nodes=3")).await?;
        let bars = &single["flamebearer"];
        ensure!(bars["names"] == json!(["total", "e", "a", "other", "d"]), "{at}: {bars}");
        let levels = json!([[0, 307, 0, 0], [0, 303, 0, 2, 0, 4, 4, 1], [0, 300, 300, 4, 0, 3, 3, 3]]);
        ensure!(bars["levels"] == levels && bars["numTicks"] == 307 && bars["maxSelf"] == 300, "{at}: {bars}");
        ensure!(sum(&single["timeline"]["samples"]) == 307, "{at}: {single}");
        ensure!(sum(&single["groups"]["left"]["samples"]) == 307, "{at}: {single}");
        let dot = client.get_text(&format!("/pyroscope/render?{query}&format=dot")).await?;
        ensure!(dot.starts_with("digraph ") && dot.trim_end().ends_with('}'), "{at}: {dot}");
        let range = |side: &str| format!("{side}From=now-10m&{side}Until=now%2B1m");
        let diff =
            format!("leftQuery={}&{}&rightQuery={}&{}", side("left"), range("left"), side("right"), range("right"));
        let double = get(&client, &format!("/pyroscope/render-diff?{diff}")).await?;
        ensure!((&double["leftTicks"], &double["rightTicks"]) == (&json!(307), &json!(24)), "{at}: {double}");
        ensure!(double["flamebearer"]["levels"][0] == json!([0, 307, 0, 0, 24, 0, 0]), "{at}: {double}");
        let types = get(&client, "/pyroscope/label-values?label=__name__").await?;
        ensure!(types == json!([CPU]), "{at}: {types}");
        let services = get(&client, "/pyroscope/label-values?label=service_name").await?;
        ensure!(services == json!(["left", "right"]), "{at}: {services}");
        let names = get(&client, "/pyroscope/label-names").await?;
        ensure!(names.as_array().is_some_and(|names| names.contains(&json!("service_name"))), "{at}: {names}");
        server.flush().await?;
    }
    ensure!(server.client().get_status("/pyroscope/render").await? == 401, "no tenant");
    ensure!(client.post_status("/pyroscope/render").await? == 405, "only GET");
    ensure!(client.get_status("/pyroscope/render?query=nope").await? == 400, "no type");
    let other = get(&server.tenant("other"), "/pyroscope/label-values?label=service_name").await?;
    ensure!(other == json!([]), "another tenant's data: {other}");
    Ok(())
}

#[tokio::test]
async fn heatmaps_and_stats_over_head_and_blocks() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("dots");
    ensure!(ask(&client, "GetProfileStats", &json!({})).await? == json!({}), "nothing is there yet");
    ensure!(ask(&client, "AnalyzeQuery", &json!({"query": CPU})).await? == json!({}));
    let second = 1_000_000_000;
    let start = now_ns() / second * second - 300 * second;
    let labels = [("__name__", "process_cpu"), ("service_name", "dots"), ("pod", "p")];
    let old = push_request(&labels, vec![(cpu_profile("main 1", start), "")]);
    push(&client, &old).await??;
    server.flush().await?;
    let spans = ProfileBuilder::cpu().time_ns(start + 70 * second).sample("main;a", &[21], |s| {
        s.span(7);
    });
    push(&client, &push_request(&labels, vec![(spans.gzip(), "")])).await??;

    let stats = ask(&client, "GetProfileStats", &json!({})).await?;
    let ms = |at: i64| json!((at / 1_000_000).to_string());
    let expected = json!({
        "dataIngested": true, "oldestProfileTime": ms(start), "newestProfileTime": ms(start + 70 * second),
    });
    ensure!(stats == expected, "{stats}");
    let range = Range::around_now();
    let question = |kind: &str, exemplars: &str| {
        json!({
            "profileTypeID": CPU, "labelSelector": "{service_name=\"dots\",}", "groupBy": ["pod"], "step": 60,
            "start": start / 1_000_000, "end": range.end_ms, "limit": 5,
            "queryType": format!("HEATMAP_QUERY_TYPE_{kind}"), "exemplarType": format!("EXEMPLAR_TYPE_{exemplars}"),
        })
    };
    for at in ["head and block", "blocks"] {
        let map = ask(&client, "SelectHeatmap", &question("INDIVIDUAL", "INDIVIDUAL")).await?;
        let series = &map["series"][0];
        ensure!(series["labels"] == json!([{"name": "pod", "value": "p"}]), "{at}: {map}");
        let (first, last) = (&series["slots"][0], &series["slots"][1]);
        ensure!(first["timestamp"] == ms(start) && last["timestamp"] == ms(start + 120 * second), "{at}: {map}");
        ensure!(first["counts"][0] == 1 && last["counts"][19] == 1, "{at}: {map}");
        ensure!(last["yMin"][0] == 1.0 && last["yMin"][19] == 20.0, "{at}: {map}");
        let exemplar = &last["exemplars"][0];
        ensure!(
            exemplar["profileId"].as_str().is_some_and(|id| id.len() == 36) && exemplar["value"] == "21",
            "{at}: {map}"
        );
        let map = ask(&client, "SelectHeatmap", &question("SPAN", "SPAN")).await?;
        let exemplar = &map["series"][0]["slots"][0]["exemplars"][0];
        ensure!(exemplar["spanId"] == "0700000000000000" && exemplar["value"] == "21", "{at}: {map}");
        server.flush().await?;
    }
    let (status, error) =
        client.json("querier.v1.QuerierService/SelectHeatmap", &question("SPAN", "INDIVIDUAL")).await?;
    ensure!(status == 400 && error["code"] == "invalid_argument", "{status} {error}");
    Ok(())
}
