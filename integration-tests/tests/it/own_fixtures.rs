//! Promise: the trees of contract `query.md` section 6 come out of the public API as they stand there.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};
use serde_json::{Value, json};

const T: &str = "a;b;c 1\na;b 2\na;d 300\ne 4";
const U: &str = "a;b 8\ne;f 16";

async fn server() -> anyhow::Result<Server> {
    let server = Server::start(ServerOptions::new()).await?;
    for (service, folded) in [("T", T), ("U", U), ("L", "a;b 1\na;c 2"), ("R", "a;b 4\na;c 8")] {
        push_cpu(&server.client(), service, folded, now_ns() - 1_000_000_000).await?;
    }
    Ok(server)
}

fn select(service: &str, max_nodes: i64, format: &str) -> Value {
    let range = Range::around_now();
    json!({
        "profileTypeID": CPU, "labelSelector": format!("{{service_name=\"{service}\"}}"),
        "start": range.start_ms, "end": range.end_ms, "maxNodes": max_nodes, "format": format,
    })
}

async fn ask(server: &Server, method: &str, request: &Value) -> anyhow::Result<Value> {
    let (status, answer) = server.client().json(&format!("querier.v1.QuerierService/{method}"), request).await?;
    ensure!(status == 200, "{method}: {status} {answer}");
    Ok(answer)
}

/// `names; level / level; total; max self`, levels as numbers.
fn drawn(graph: &Value) -> anyhow::Result<String> {
    let list = |key: &str| graph.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names: Vec<String> = list("names").iter().map(text).collect();
    let levels: Vec<String> = list("levels")
        .iter()
        .map(|level| {
            let values = level.get("values").and_then(Value::as_array).cloned().unwrap_or_default();
            values.iter().map(text).collect::<Vec<_>>().join(",")
        })
        .collect();
    let number = |key: &str| graph.get(key).map_or_else(|| "0".to_owned(), text);
    Ok(format!("{}; {}; {}; {}", names.join(","), levels.join(" / "), number("total"), number("maxSelf")))
}

async fn flame(server: &Server, service: &str, max_nodes: i64) -> anyhow::Result<String> {
    let answer =
        ask(server, "SelectMergeStacktraces", &select(service, max_nodes, "PROFILE_FORMAT_FLAMEGRAPH")).await?;
    drawn(answer.get("flamegraph").context("a flame graph")?)
}

async fn tree_hex(server: &Server, service: &str, max_nodes: i64) -> anyhow::Result<String> {
    let answer = ask(server, "SelectMergeStacktraces", &select(service, max_nodes, "PROFILE_FORMAT_TREE")).await?;
    let bytes = STANDARD.decode(answer["tree"].as_str().context("tree bytes")?)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

async fn diff(server: &Server, left: &str, right: &str, max_nodes: i64) -> anyhow::Result<String> {
    let request = json!({"left": select(left, max_nodes, "PROFILE_FORMAT_UNSPECIFIED"), "right": select(right, max_nodes, "PROFILE_FORMAT_UNSPECIFIED")});
    let answer = ask(server, "Diff", &request).await?;
    drawn(answer.get("flamegraph").context("a flame graph")?)
}

#[tokio::test]
async fn trees_and_flame_graphs() -> anyhow::Result<()> {
    let server = server().await?;
    let whole = "total,e,a,d,b,c; 0,307,0,0 / 0,303,0,2,0,4,4,1 / 0,3,2,4,0,300,300,3 / 2,1,1,5; 307; 300";
    ensure!(flame(&server, "T", 0).await? == whole, "{}", flame(&server, "T", 0).await?);
    ensure!(tree_hex(&server, "T", 0).await? == "00000201650400016100020164ac02000162020101630100");
    let three = "total,e,a,other,d; 0,307,0,0 / 0,303,0,2,0,4,4,1 / 0,300,300,4,0,3,3,3; 307; 300";
    ensure!(flame(&server, "T", 3).await? == three, "{}", flame(&server, "T", 3).await?);
    ensure!(tree_hex(&server, "T", 3).await? == "0000020165040001610002056f7468657203000164ac0200");
    let two = "total,other,a,d; 0,307,0,0 / 0,303,0,2,0,4,4,1 / 0,300,300,3,0,3,3,1; 307; 300";
    ensure!(flame(&server, "T", 2).await? == two, "{}", flame(&server, "T", 2).await?);
    ensure!(tree_hex(&server, "T", 2).await? == "000002056f74686572040001610002056f7468657203000164ac0200");
    let nothing = "total; 0,0,0,0; 0; 0";
    ensure!(flame(&server, "nobody", 0).await? == nothing, "{}", flame(&server, "nobody", 0).await?);
    Ok(())
}

#[tokio::test]
async fn diffs() -> anyhow::Result<()> {
    let server = server().await?;
    let whole = "total,e,f,a,d,b,c; 0,307,0,0,24,0,0 / 0,303,0,0,8,0,3,0,4,4,0,16,0,1 / \
                 0,3,2,0,8,8,5,0,300,300,0,0,0,4,4,0,0,0,16,16,2 / 2,1,1,8,0,0,6; 331; 300";
    ensure!(diff(&server, "T", "U", 0).await? == whole, "{}", diff(&server, "T", "U", 0).await?);
    let three = "total,other,a,d; 0,307,0,0,24,0,0 / 0,303,0,0,8,0,2,0,4,4,0,16,16,1 / \
                 0,300,300,0,0,0,3,0,3,3,0,8,8,1; 331; 300";
    ensure!(diff(&server, "T", "U", 3).await? == three, "{}", diff(&server, "T", "U", 3).await?);
    let nothing = "total; 0,0,0,0,0,0,0; 0; 0";
    ensure!(diff(&server, "nobody", "no one", 0).await? == nothing, "{}", diff(&server, "nobody", "no one", 0).await?);
    let small = "total,a,c,b; 0,3,0,0,12,0,0 / 0,3,0,0,12,0,1 / 0,1,1,0,4,4,3,0,2,2,0,8,8,2; 15; 8";
    ensure!(diff(&server, "L", "R", 0).await? == small, "{}", diff(&server, "L", "R", 0).await?);
    Ok(())
}
