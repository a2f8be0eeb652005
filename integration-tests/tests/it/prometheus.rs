//! Promise: what profiles cost can be asked for in PromQL, by Grafana's data source, by Prometheus' own tools, and by alert rules that fire.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_request};
use flamelake_testkit::tools;
use serde_json::{Value, json};

const SECOND_NS: i64 = 1_000_000_000;
/// Of 100 ms.
const TRIES: usize = 600;

fn form(pairs: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://form", pairs).expect("pairs can be encoded");
    url.query().unwrap_or_default().to_owned()
}

async fn get(client: &Client, path: &str, pairs: &[(&str, &str)]) -> anyhow::Result<Value> {
    let path = format!("/prometheus/api/v1/{path}?{}", form(pairs));
    let text = client.get_text(&path).await?;
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

async fn post(client: &Client, path: &str, pairs: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (status, _, body) =
        client.post(&format!("/prometheus/api/v1/{path}"), &headers, form(pairs).into_bytes()).await?;
    Ok((status, serde_json::from_slice(&body)?))
}

/// What a good answer holds.
fn data(answer: &Value) -> anyhow::Result<&Value> {
    ensure!(answer["status"] == "success", "{answer}");
    Ok(&answer["data"])
}

/// Pushes a profile of ten milliseconds of CPU in `main.work` and thirty in `main.rest` at each of these moments.
async fn push_at(client: &Client, service: &str, pod: &str, times_ns: &[i64]) -> anyhow::Result<()> {
    push_on(client, service, pod, "k8s.node", times_ns).await
}

/// The same with another name for the label of the node.
async fn push_on(client: &Client, service: &str, pod: &str, node: &str, times_ns: &[i64]) -> anyhow::Result<()> {
    for time_ns in times_ns {
        let labels = [("__name__", "process_cpu"), ("service_name", service), ("pod", pod), (node, "n1")];
        let profile = cpu_profile("main;main.work 10000000\nmain;main.rest 30000000", *time_ns);
        push(client, &push_request(&labels, vec![(profile, "")])).await??;
    }
    Ok(())
}

/// Whole seconds, some minutes ago.
fn base_s() -> i64 {
    now_ns() / SECOND_NS / 60 * 60 - 600
}

#[tokio::test]
async fn grafanas_data_source_gets_what_it_asks_for() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("promql");
    let base = base_s();
    let at = |seconds: i64| (base + seconds) * SECOND_NS;
    push_at(&client, "shop", "a", &[at(5), at(15), at(25), at(65)]).await?;
    push_at(&client, "shop", "b", &[at(10)]).await?;
    push_at(&client, "cart", "a", &[at(10), at(70)]).await?;
    let (start, end) = (base.to_string(), (base + 120).to_string());
    let range = [("start", start.as_str()), ("end", end.as_str())];
    let ask = |query: &str, step: &str| {
        let pairs = [[("query", query), ("step", step)], range].concat();
        let pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let client = client.clone();
        async move {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let (status, answer) = post(&client, "query_range", &pairs).await?;
            ensure!(status == 200, "{answer}");
            Ok(data(&answer)?.clone())
        }
    };
    for place in ["the head", "blocks"] {
        let one = ask(
            r#"sum by (service_name) (increase(flamelake_profile_value{profile_type=~"process_cpu:.+"}[1m]))"#,
            "60",
        )
        .await?;
        let row = |service: &str, values: &[(i64, &str)]| {
            let values: Vec<Value> = values.iter().map(|(at, value)| json!([base + at, value])).collect();
            json!({"metric": {"service_name": service}, "values": values})
        };
        let expected =
            [row("cart", &[(60, "40000000"), (120, "40000000")]), row("shop", &[(60, "160000000"), (120, "40000000")])];
        ensure!(one == json!({"resultType": "matrix", "result": expected}), "{place}: {one}");

        let all = ask(&format!(r#"flamelake_profile_value{{profile_type="{CPU}",service_name="shop",pod="a"}}"#), "15")
            .await?;
        let metric = json!({
            "__name__": "flamelake_profile_value", "profile_type": CPU, "service_name": "shop", "pod": "a", "k8s.node": "n1",
        });
        ensure!(all["result"][0]["metric"] == metric, "{place}: {all}");
        ensure!(all["result"][0]["values"].as_array().is_some_and(|values| values.len() == 8), "{place}: {all}");
        let quoted =
            ask(r#"sum by ("k8s.node") (rate({"flamelake_profile_value", "k8s.node"="n1"}[2m]))"#, "120").await?;
        ensure!(quoted["result"][0]["metric"] == json!({"k8s.node": "n1"}), "{place}: {quoted}");
        // 280 ms in 120 s.
        let last = quoted["result"][0]["values"][0][1].as_str().context("a value")?.parse::<f64>()?;
        ensure!((last - 280e6 / 120.0).abs() < 1e-6, "{place}: {quoted}");

        let labels = get(&client, "labels", &range).await?;
        ensure!(
            *data(&labels)? == json!(["__name__", "k8s.node", "pod", "profile_type", "service_name"]),
            "{place}: {labels}"
        );
        let matching = [[("match[]", r#"flamelake_profile_value{service_name="cart"}"#)].as_slice(), &range].concat();
        let pods = get(&client, "label/pod/values", &matching).await?;
        ensure!(*data(&pods)? == json!(["a"]), "{place}: {pods}");
        for name in ["k8s.node", "U__k8s_2e_node"] {
            let nodes = get(&client, &format!("label/{name}/values"), &range).await?;
            ensure!(*data(&nodes)? == json!(["n1"]), "{place}: {name} {nodes}");
        }
        let names = get(&client, "label/__name__/values", &range).await?;
        let metrics = json!(["flamelake_function_self_value", "flamelake_function_value", "flamelake_profile_value"]);
        ensure!(*data(&names)? == metrics, "{place}: {names}");
        let (_, series) = post(&client, "series", &matching).await?;
        ensure!(
            data(&series)?[0]["pod"] == "a" && data(&series)?.as_array().map(Vec::len) == Some(1),
            "{place}: {series}"
        );
        let work = r#"service_name="shop",function="main.work""#;
        let share = format!(
            "sum(rate(flamelake_function_value{{{work}}}[2m])) / sum(rate(flamelake_profile_value{{service_name=\"shop\"}}[2m]))"
        );
        let share = ask(&share, "120").await?;
        ensure!(share["result"][0]["values"][0] == json!([base + 120, "0.25"]), "{place}: {share}");
        let top = r#"topk(1, sum by (function) (increase(flamelake_function_self_value{function=~"main.*"}[2m])))"#;
        let top = ask(top, "120").await?;
        ensure!(top["result"][0]["metric"] == json!({"function": "main.rest"}), "{place}: {top}");
        ensure!(top["result"][0]["values"][0] == json!([base + 120, "210000000"]), "{place}: {top}");
        let newest = ask(r#"flamelake_function_self_value{function="main",pod="b"}"#, "120").await?;
        ensure!(newest["result"][0]["values"] == json!([[base + 120, "0"]]), "{place}: {newest}");
        let of_work =
            [[("match[]", r#"flamelake_function_value{function=~"main\\..+",pod="b"}"#)].as_slice(), &range].concat();
        let functions = get(&client, "label/function/values", &of_work).await?;
        ensure!(*data(&functions)? == json!(["main.rest", "main.work"]), "{place}: {functions}");
        let (_, series) = post(&client, "series", &of_work).await?;
        ensure!(
            data(&series)?[1]["function"] == "main.work" && data(&series)?[1]["k8s.node"] == "n1",
            "{place}: {series}"
        );
        let limited = get(&client, "labels", &[range.as_slice(), &[("limit", "1")]].concat()).await?;
        ensure!(limited["warnings"] == json!(["results truncated due to limit"]), "{place}: {limited}");
        server.flush().await?;
    }
    let help = get(&client, "metadata", &[]).await?;
    ensure!(data(&help)?["flamelake_profile_value"][0]["type"] == "gauge", "{help}");
    let build = get(&client, "status/buildinfo", &[]).await?;
    ensure!(data(&build)?["version"] == "3.0.0", "{build}");
    let (_, formatted) = post(&client, "format_query", &[("query", "sum(x)by(a)")]).await?;
    ensure!(*data(&formatted)? == json!("sum by (a) (x)"), "{formatted}");
    for (path, pairs) in
        [("query_exemplars", [("query", "x")]), ("rules", [("type", "alert")]), ("query", [("query", "1 + 1")])]
    {
        data(&get(&client, path, &pairs).await?)?;
    }
    let scalar = get(&client, "query", &[("query", "1 / 0"), ("time", "12.5")]).await?;
    ensure!(*data(&scalar)? == json!({"resultType": "scalar", "result": [12.5, "+Inf"]}), "{scalar}");
    Ok(())
}

#[tokio::test]
async fn refusals_and_borders_are_those_of_prometheus() -> anyhow::Result<()> {
    let options =
        ServerOptions::new().multitenant().flags(["querier.promql-samples-max=50", "querier.max-query-length=1h"]);
    let server = Server::start(options).await?;
    let client = server.tenant("border");
    let base = base_s();
    let times: Vec<i64> = (0..60).map(|at| (base + at) * SECOND_NS).collect();
    push_at(&client, "shop", "a", &times).await?;
    let time = (base + 120).to_string();
    let refused = |query: &str| {
        let (client, query, time) = (client.clone(), query.to_owned(), time.clone());
        async move { post(&client, "query", &[("query", &query), ("time", &time)]).await }
    };
    for (query, status, kind, part) in [
        ("sum(", 400, "bad_data", "invalid parameter \"query\": 1:5: parse error"),
        ("irate(x[5m])", 400, "bad_data", "irate() is not supported"),
        ("flamelake_function_value", 422, "execution", "says which functions"),
        ("count_over_time(flamelake_profile_value[5m])", 422, "execution", "querier.promql-samples-max"),
        ("rate(flamelake_profile_value[2h])", 400, "bad_data", "max_query_length"),
    ] {
        let (found, answer) = refused(query).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        ensure!(found == status && answer["errorType"] == kind && error.contains(part), "{query}: {found} {answer}");
    }
    // Read in buckets, the same profiles are few.
    let (status, answer) = refused("sum(increase(flamelake_profile_value[5m]))").await?;
    ensure!(status == 200 && data(&answer)?["result"][0]["value"][1] == "2400000000", "{answer}");
    let ends = [("query", "x"), ("start", "10"), ("end", "5"), ("step", "1")];
    let (status, answer) = post(&client, "query_range", &ends).await?;
    ensure!(status == 400 && answer["error"].as_str().is_some_and(|error| error.contains("before start")), "{answer}");
    let (status, answer) = post(&client, "series", &[]).await?;
    ensure!(status == 400 && answer["error"] == "no match[] parameter provided", "{answer}");
    let (status, answer) = post(&server.client(), "query", &[("query", "1")]).await?;
    ensure!(status == 401 && answer["status"] == "error", "no tenant: {status} {answer}");
    let other = get(&server.tenant("other"), "query", &[("query", "flamelake_profile_value"), ("time", &time)]).await?;
    ensure!(data(&other)?["result"] == json!([]), "another tenant's data: {other}");
    Ok(())
}

#[tokio::test]
async fn promtool_asks_as_it_asks_prometheus() -> anyhow::Result<()> {
    let Some(promtool) = tools::program("promtool_asks", "promtool", &["--version"]) else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let base = base_s();
    // This promtool is of Prometheus 2: it refuses names that are quoted in Prometheus 3.
    push_on(&server.client(), "shop", "a", "node", &[(base + 5) * SECOND_NS, (base + 15) * SECOND_NS]).await?;
    let url = format!("{}/prometheus", server.url());
    let run = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(&promtool).arg("query").args(arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    };
    let (start, end) = (base.to_string(), (base + 60).to_string());
    let sums = "sum by (service_name) (sum_over_time(flamelake_profile_value[1m]))";
    let instant = run(&["instant", "--time", &end, &url, sums])?;
    ensure!(instant.contains(&format!("{{service_name=\"shop\"}} => 80000000 @[{end}]")), "{instant}");
    let range = run(&["range", "--start", &start, "--end", &end, "--step", "30s", &url, sums])?;
    ensure!(range.contains(&format!("80000000 @[{}]", base + 30)), "{range}");
    let series = run(&["series", "--match", "flamelake_profile_value", "--start", &start, "--end", &end, &url])?;
    ensure!(series.contains(r#"pod="a""#) && series.contains(CPU), "{series}");
    let labels = run(&["labels", "--start", &start, "--end", &end, &url, "service_name"])?;
    ensure!(labels.trim() == "shop", "{labels}");
    let wrong = Command::new(&promtool).args(["query", "instant", &url, "irate(x[5m])"]).output()?;
    let said = String::from_utf8_lossy(&wrong.stderr) + String::from_utf8_lossy(&wrong.stdout);
    ensure!(!wrong.status.success() && said.contains("irate() is not supported"), "{said}");
    Ok(())
}

/// A Prometheus on loopback; ended with the test.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended; both answers are fine then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, folder: &Path, config: &str, rules: &str) -> anyhow::Result<Self> {
        fs::write(folder.join("prometheus.yml"), config)?;
        fs::write(folder.join("rules.yml"), rules)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("prometheus.log"))?)
            .spawn()?;
        Ok(Self { child, url: format!("http://{address}") })
    }

    /// Waits for a firing alert.
    async fn firing(&self, folder: &Path) -> anyhow::Result<Value> {
        let (client, mut last) = (Client::new(&self.url), String::new());
        for _ in 0..TRIES {
            // It may not listen yet.
            last = client.get_text("/api/v1/alerts").await.unwrap_or_else(|error| error.to_string());
            let alerts: Value = serde_json::from_str(&last).unwrap_or_default();
            let all = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
            if let Some(alert) = all.into_iter().find(|alert| alert["state"] == "firing") {
                return Ok(alert);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let targets = client.get_text("/api/v1/targets").await.unwrap_or_default();
        bail!("no alert fires: {last}\n{targets}\n{}", fs::read_to_string(folder.join("prometheus.log"))?)
    }
}

/// A share of the total as a metric: what `match[]` of a scrape asks for.
fn share(part: &str, whole: &str, name: &str) -> String {
    format!(
        r#"label_replace(sum by (service_name) (rate({part}[10m])) / sum by (service_name) (rate({whole}[10m])), "__name__", "{name}", "", "")"#
    )
}

#[tokio::test]
async fn an_alert_over_the_share_of_a_function_fires() -> anyhow::Result<()> {
    let Some(program) = tools::program("an_alert_over_the_share", "prometheus", &["--version"]) else {
        return Ok(());
    };
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let client = server.tenant("alerts");
    let recent = [now_ns() - 60 * SECOND_NS, now_ns() - 30 * SECOND_NS];
    push_at(&client, "shop", "a", &recent).await?;
    push_at(&client, "shop", "b", &recent[1..]).await?;
    push_at(&client, "cart", "b", &recent).await?;
    let query = share(r#"flamelake_function_value{function="main.rest"}"#, "flamelake_profile_value", "rest_share");
    let text = client.get_text(&format!("/prometheus/federate?{}", form(&[("match[]", &query)]))).await?;
    ensure!(
        text == "# TYPE rest_share untyped\nrest_share{service_name=\"cart\"} 0.75\nrest_share{service_name=\"shop\"} 0.75\n",
        "{text}"
    );
    let plain =
        client.get_text(&format!("/prometheus/federate?{}", form(&[("match[]", "flamelake_profile_value")]))).await?;
    let line = plain.lines().find(|line| line.contains("cart")).context("a sample of the cart")?;
    let time_ms = (recent[1] + 999_999) / 1_000_000;
    ensure!(line.contains("k8s_node=\"n1\"") && line.ends_with(&format!(" 40000000 {time_ms}")), "{line}");
    let nameless = client
        .get_text(&format!("/prometheus/federate?{}", form(&[("match[]", "sum(flamelake_profile_value)")])))
        .await?;
    ensure!(nameless.contains("has no name"), "{nameless}");

    // A scrape of its own header: this Prometheus has no http_headers yet, so the tenant goes through a server for one tenant.
    let single = Server::start(ServerOptions::new()).await?;
    push_at(&single.client(), "shop", "a", &recent).await?;
    push_at(&single.client(), "shop", "b", &recent[1..]).await?;
    let folder = tempfile::tempdir()?;
    let target = single.url().trim_start_matches("http://").to_owned();
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{
            "job_name": "flamelake", "metrics_path": "/prometheus/federate", "honor_labels": true,
            "params": {"match[]": [query]}, "static_configs": [{"targets": [target]}],
        }],
    });
    let rules = json!({"groups": [{"name": "functions", "rules": [
        {"alert": "RestTakesTooMuch", "expr": "rest_share > 0.5", "labels": {"severity": "page"}},
        {"alert": "Never", "expr": "rest_share > 0.99"},
    ]}]});
    // YAML holds JSON.
    let prometheus = Prometheus::start(&program, folder.path(), &config.to_string(), &rules.to_string())?;
    let alert = prometheus.firing(folder.path()).await?;
    ensure!(alert["labels"]["alertname"] == "RestTakesTooMuch", "{alert}");
    ensure!(alert["labels"]["service_name"] == "shop" && alert["labels"]["job"] == "flamelake", "{alert}");
    let value = alert["value"].as_str().context("a value")?.parse::<f64>()?;
    ensure!((value - 0.75).abs() < 1e-9, "{alert}");
    let troubles = single.troubles();
    ensure!(troubles.is_empty(), "{troubles:#?}");
    Ok(())
}
