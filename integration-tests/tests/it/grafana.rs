//! Promise: Grafana's Pyroscope data source and Profiles Drilldown work: their requests, one by one, as contract `grafana.md` has them, and
//! the answers read as they read them. (Neither program can be had here.)

use anyhow::{Context as _, ensure};
use flamelake_api::google::v1 as pprof;
use flamelake_api::querier::v1 as querier;
use flamelake_api::types::v1 as types;
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_request, tree_of};
use flamelake_testkit::ProfileBuilder;
use prost::Message;
use serde_json::{Value, json};

/// What the data source's client sends with every call; the last two only the newest versions.
const DATA_SOURCE: [(&str, &str); 6] = [
    ("content-type", "application/proto"),
    ("accept-encoding", "gzip"),
    ("connect-protocol-version", "1"),
    ("user-agent", "connect-go/1.19.1 (go1.25.0)"),
    ("accept", "*/*; allow-utf8-labelnames=true"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
];
/// What Grafana's proxy sends for the app in the browser.
const DRILLDOWN: [(&str, &str); 4] = [
    ("content-type", "application/json"),
    ("x-grafana-org-id", "1"),
    ("cookie", "grafana_session=abc; theme=dark"),
    ("accept", "application/json; allow-utf8-labelnames=true"),
];
const SPAN: &str = "0700000000000000";

async fn unary<A: Message + Default>(client: &Client, method: &str, request: &impl Message) -> anyhow::Result<A> {
    let path = format!("/querier.v1.QuerierService/{method}");
    let (status, kind, body) = client.post(&path, &DATA_SOURCE, request.encode_to_vec()).await?;
    ensure!((status, kind.as_str()) == (200, "application/proto"), "{method}: {status} {kind} {body:?}");
    Ok(A::decode(body.as_slice())?)
}

async fn browser(client: &Client, path: &str, request: Value) -> anyhow::Result<Value> {
    let (status, kind, body) = client.post(path, &DRILLDOWN, request.to_string().into_bytes()).await?;
    ensure!(status == 200 && kind == "application/json", "{path}: {status} {kind} {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}

/// A service `shop` with two pods, one of them with spans and a label that is no legal name of old.
async fn filled() -> anyhow::Result<Server> {
    let server = Server::start(ServerOptions::new()).await?;
    let of_pod = |pod: &'static str| {
        [("__name__", "process_cpu"), ("service_name", "shop"), ("pod", pod), ("k8s.namespace", "eu")]
    };
    let client = server.client();
    push(&client, &push_request(&of_pod("a"), vec![(cpu_profile("main;work 3\nmain;other 1", now_ns()), "")]))
        .await??;
    let spans = ProfileBuilder::cpu().time_ns(now_ns()).sample("main;work", &[5], |sample| {
        sample.span(7);
    });
    push(&client, &push_request(&of_pod("b"), vec![(spans.gzip(), "")])).await??;
    Ok(server)
}

#[tokio::test]
async fn the_data_source_is_tested_and_finds_labels() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let client = server.client();
    // CheckHealth, of a server that has nothing: a range in 1970, and by old versions none.
    for request in [querier::ProfileTypesRequest { start: 1000, end: 4000 }, querier::ProfileTypesRequest::default()] {
        let answer: querier::ProfileTypesResponse = unary(&client, "ProfileTypes", &request).await?;
        ensure!(answer.profile_types.is_empty(), "{answer:?}");
    }
    let server = filled().await?;
    let client = server.client();
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    for request in [querier::ProfileTypesRequest { start, end }, querier::ProfileTypesRequest::default()] {
        let answer: querier::ProfileTypesResponse = unary(&client, "ProfileTypes", &request).await?;
        let shown: Vec<(String, String, String)> =
            answer.profile_types.into_iter().map(|each| (each.id, each.name, each.sample_type)).collect();
        ensure!(shown == [(CPU.to_owned(), "process_cpu".to_owned(), "cpu".to_owned())], "{shown:?}");
    }
    let matchers = vec![r#"{service_name="shop",}"#.to_owned()];
    let request = types::LabelNamesRequest { matchers: matchers.clone(), start, end };
    let names: types::LabelNamesResponse = unary(&client, "LabelNames", &request).await?;
    let shown: Vec<&String> = names.names.iter().filter(|name| !name.starts_with("__")).collect();
    ensure!(shown == ["k8s.namespace", "pod", "service_name"], "{shown:?}");
    let request = types::LabelValuesRequest { name: "pod".to_owned(), matchers: matchers.clone(), start, end };
    let values: types::LabelValuesResponse = unary(&client, "LabelValues", &request).await?;
    ensure!(values.names == ["a", "b"], "{values:?}");
    // Old callers leave the range out: an answer or a clear refusal, never a failure of the server.
    let request = types::LabelNamesRequest { matchers, start: 0, end: 0 };
    let path = "/querier.v1.QuerierService/LabelNames";
    let (status, ..) = client.post(path, &DATA_SOURCE, request.encode_to_vec()).await?;
    ensure!(status == 200 || status == 400, "{status}");
    Ok(())
}

#[tokio::test]
async fn the_data_source_draws() -> anyhow::Result<()> {
    let server = filled().await?;
    let client = server.client();
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let (profile_type_id, label_selector) =
        (CPU.to_owned(), r#"{service_name="shop", "k8s.namespace"="eu"}"#.to_owned());
    let request = querier::SelectMergeStacktracesRequest {
        profile_type_id: profile_type_id.clone(),
        label_selector: label_selector.clone(),
        start,
        end,
        max_nodes: Some(16384),
        ..Default::default()
    };
    let answer: querier::SelectMergeStacktracesResponse = unary(&client, "SelectMergeStacktraces", &request).await?;
    let graph = answer.flamegraph.context("a flame graph")?;
    // It takes the first number of the first level for the index of the root's name.
    ensure!(graph.levels[0].values[0] == 0 && graph.names[0] == "total", "{graph:?}");
    let tree = tree_of(&graph)?;
    ensure!(tree["main;work"] == (8, 8) && tree["main;other"] == (1, 1), "{tree:?}");
    let request = querier::SelectMergeSpanProfileRequest {
        profile_type_id: profile_type_id.clone(),
        label_selector: label_selector.clone(),
        span_selector: vec![SPAN.to_owned()],
        start,
        end,
        max_nodes: Some(16384),
        ..Default::default()
    };
    let answer: querier::SelectMergeSpanProfileResponse = unary(&client, "SelectMergeSpanProfile", &request).await?;
    ensure!(tree_of(&answer.flamegraph.context("a flame graph")?)?["main;work"] == (5, 5), "the span alone");
    let mut request = querier::SelectSeriesRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        group_by: vec!["pod".to_owned()],
        step: 15.0,
        exemplar_type: types::ExemplarType::Individual as i32,
        ..Default::default()
    };
    let answer: querier::SelectSeriesResponse = unary(&client, "SelectSeries", &request).await?;
    let sums: Vec<(String, f64)> = answer
        .series
        .iter()
        .map(|series| (series.labels[0].value.clone(), series.points.iter().map(|point| point.value).sum()))
        .collect();
    ensure!(sums == [("b".to_owned(), 5.0), ("a".to_owned(), 4.0)], "{sums:?}");
    let exemplar = answer.series.iter().flat_map(|series| &series.points).find_map(|point| point.exemplars.first());
    let id = exemplar.context("an exemplar")?.profile_id.clone();
    // Its link opens the one profile.
    let one = querier::SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start,
        end,
        profile_id_selector: vec![id],
        ..Default::default()
    };
    let answer: querier::SelectMergeStacktracesResponse = unary(&client, "SelectMergeStacktraces", &one).await?;
    ensure!(tree_of(&answer.flamegraph.context("a flame graph")?)?["main"].0 == 5, "the exemplar's profile");
    // A selector that it could not build is refused in words, as Connect has errors.
    request.label_selector = String::new();
    let path = "/querier.v1.QuerierService/SelectSeries";
    let (status, kind, body) = client.post(path, &DATA_SOURCE, request.encode_to_vec()).await?;
    let error: Value = serde_json::from_slice(&body)?;
    ensure!(
        (status, kind.as_str(), &error["code"]) == (400, "application/json", &json!("invalid_argument")),
        "{error}"
    );
    for query_type in [querier::HeatmapQueryType::Individual, querier::HeatmapQueryType::Span] {
        let request = querier::SelectHeatmapRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: r#"{service_name="shop"}"#.to_owned(),
            start,
            end,
            step: 60.0,
            query_type: query_type as i32,
            ..Default::default()
        };
        let answer: querier::SelectHeatmapResponse = unary(&client, "SelectHeatmap", &request).await?;
        let slots: Vec<_> = answer.series.iter().flat_map(|series| &series.slots).collect();
        ensure!(!slots.is_empty(), "{query_type:?}: no dots");
        ensure!(slots.iter().all(|slot| slot.y_min.len() == slot.counts.len()), "{slots:?}");
    }
    Ok(())
}

/// What is thinned out says so: the data source shows it beside the series, from the head and from blocks.
#[tokio::test]
async fn sampled_series_carry_annotations() -> anyhow::Result<()> {
    let options = ServerOptions::new().flags([
        r#"distributor.usage-groups={"thin":"{service_name=\"thin\"}"}"#,
        r#"distributor.sampling={"usage_groups":{"thin":{"probability":0.999999999}}}"#,
    ]);
    let server = Server::start(options).await?;
    let client = server.client();
    for service in ["thin", "whole"] {
        let labels = [("__name__", "process_cpu"), ("service_name", service)];
        push(&client, &push_request(&labels, vec![(cpu_profile("main;work 3", now_ns()), "")])).await??;
    }
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    for place in ["head", "blocks"] {
        let request = querier::SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start,
            end,
            group_by: vec!["service_name".to_owned()],
            step: 15.0,
            exemplar_type: types::ExemplarType::Individual as i32,
            ..Default::default()
        };
        let answer: querier::SelectSeriesResponse = unary(&client, "SelectSeries", &request).await?;
        let mut found = Vec::new();
        for series in &answer.series {
            for point in &series.points {
                let annotations: Vec<_> =
                    point.annotations.iter().map(|each| (&each.key[..], &each.value[..])).collect();
                let labels: Vec<_> = point.exemplars[0].labels.iter().map(|label| &label.name[..]).collect();
                ensure!(!labels.contains(&"__sampled_by__"), "{place}: {labels:?}");
                found.push((&series.labels[0].value[..], annotations));
            }
        }
        found.sort();
        let rule = r#"{"body":{"source":{"probability":0.999999999,"usageGroup":"thin"}}}"#;
        let expected = [("thin", vec![("pyroscope.ingest.sampled", rule)]), ("whole", Vec::new())];
        ensure!(found == expected, "{place}: {found:?}");
        let request = types::LabelNamesRequest { matchers: Vec::new(), start, end };
        let names: types::LabelNamesResponse = unary(&client, "LabelNames", &request).await?;
        ensure!(!names.names.iter().any(|name| name == "__sampled_by__"), "{place}: {names:?}");
        server.flush().await?;
    }
    Ok(())
}

#[tokio::test]
async fn drilldown_asks_in_json() -> anyhow::Result<()> {
    let server = filled().await?;
    let client = server.client();
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let of = |method: &str| format!("/querier.v1.QuerierService/{method}");
    let request =
        json!({"start": start, "end": end, "labelNames": ["service_name", "__profile_type__"], "matchers": []});
    let series = browser(&client, &of("Series"), request).await?;
    let labels = series["labelsSet"][0]["labels"].as_array().context("a set")?;
    let value = |name: &str| labels.iter().find(|label| label["name"] == name).map(|label| label["value"].clone());
    ensure!((value("service_name"), value("__profile_type__")) == (Some(json!("shop")), Some(json!(CPU))), "{series}");
    let matchers = json!([format!(r#"{{__profile_type__="{CPU}", service_name="shop"}}"#)]);
    let names = browser(&client, &of("LabelNames"), json!({"matchers": matchers, "start": start, "end": end})).await?;
    ensure!(names["names"].as_array().is_some_and(|names| names.contains(&json!("k8s.namespace"))), "{names}");
    let request = json!({"matchers": matchers, "name": "pod", "start": start, "end": end});
    ensure!(browser(&client, &of("LabelValues"), request).await?["names"] == json!(["a", "b"]), "values of pod");
    let stats = browser(&client, &of("GetProfileStats"), json!({})).await?;
    ensure!(stats["dataIngested"] == json!(true) && stats["oldestProfileTime"].is_string(), "{stats}");
    let query = format!(r#"{CPU}{{service_name="shop",}}"#);
    browser(&client, &of("AnalyzeQuery"), json!({"start": start, "end": end, "query": query})).await?;
    // The export: protobuf both ways, the profile itself and nothing around it.
    let request = querier::SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: r#"{service_name="shop",}"#.to_owned(),
        start,
        end,
        max_nodes: Some(16384),
        ..Default::default()
    };
    let exported: pprof::Profile = unary(&client, "SelectMergeProfile", &request).await?;
    ensure!(exported.sample.iter().map(|sample| sample.value[0]).sum::<i64>() == 9, "{exported:?}");
    // Details of a function: names in two spellings at once.
    let request = json!({
        "profile_typeID": CPU, "label_selector": r#"{service_name="shop",}"#, "start": start, "end": end,
        "stackTraceSelector": {"call_site": [{"name": "main"}, {"name": "work"}]}, "maxNodes": 500,
        "$typeName": "querier.v1.SelectMergeProfileRequest",
    });
    let details = browser(&client, &of("SelectMergeProfile"), request).await?;
    let values = details["sample"].as_array().context("samples")?.iter().map(|sample| sample["value"][0].clone());
    ensure!(values.collect::<Vec<Value>>() == [json!("8")], "{details}");
    ensure!(details["stringTable"].as_array().is_some_and(|table| table.contains(&json!("work"))), "{details}");
    Ok(())
}

#[tokio::test]
async fn drilldown_keeps_settings_and_files_and_draws_differences() -> anyhow::Result<()> {
    let server = filled().await?;
    let client = server.client();
    let Range { start_ms: start, end_ms: end } = Range::around_now();
    let settings = |method: &str| format!("/settings.v1.SettingsService/{method}");
    ensure!(
        browser(&client, &settings("Get"), json!({})).await?["settings"].as_array().is_none_or(Vec::is_empty),
        "none yet"
    );
    let setting = json!({"setting": {"name": "pluginSettings", "value": r#"{"maxNodes":16384}"#}});
    browser(&client, &settings("Set"), setting).await?;
    let kept = browser(&client, &settings("Get"), json!({})).await?;
    ensure!(kept["settings"][0]["value"] == json!(r#"{"maxNodes":16384}"#), "{kept}");
    let flags = browser(&client, "/capabilities.v1.FeatureFlagsService/GetFeatureFlags", json!({})).await?;
    let names: Vec<&Value> =
        flags["featureFlags"].as_array().context("flags")?.iter().map(|flag| &flag["name"]).collect();
    ensure!(!names.contains(&&json!("functionProjections")), "{flags}");
    // A format of tomorrow is no error.
    let request = json!({
        "profileTypeID": CPU, "labelSelector": "{}", "start": start, "end": end, "format": "PROFILE_FORMAT_FUNCTIONS",
        "formatOptions": {"limit": 3},
    });
    let answer = browser(&client, "/querier.v1.QuerierService/SelectMergeStacktraces", request).await?;
    ensure!(answer["flamegraph"]["total"] == json!("9"), "{answer}");

    let text = async |path: String| client.get_text(&path).await;
    let query: String = url_encoded(&format!(r#"{CPU}{{service_name="shop"}}"#));
    let range = format!("from={start}&until={end}");
    let dot = text(format!("/pyroscope/render?query={query}&{range}&format=dot&max-nodes=100")).await?;
    ensure!(dot.starts_with("digraph") && dot.contains("work"), "{dot}");
    let one: Value =
        serde_json::from_str(&text(format!("/pyroscope/render?query={query}&{range}&format=json")).await?)?;
    ensure!(one["flamebearer"]["numTicks"] == json!(9) && one["metadata"]["format"] == json!("single"), "{one}");
    let side = |side: &str| format!("{side}Query={query}&{side}From={start}&{side}Until={end}");
    let both = text(format!("/pyroscope/render-diff?{}&{}&max-nodes=100", side("left"), side("right"))).await?;
    let both: Value = serde_json::from_str(&both)?;
    ensure!(both["metadata"]["format"] == json!("double") && both["leftTicks"] == both["rightTicks"], "{both}");
    let levels = both["flamebearer"]["levels"].as_array().context("levels")?;
    ensure!(levels.iter().all(|level| level.as_array().is_some_and(|level| level.len() % 7 == 0)), "{both}");

    let adhoc = |method: &str| format!("/adhocprofiles.v1.AdHocProfileService/{method}");
    let upload = json!({"name": "cpu.pb.gz", "profile": base64(&cpu_profile("main;adhoc 2", now_ns()))});
    let uploaded = browser(&client, &adhoc("Upload"), upload).await?;
    let id = uploaded["id"].as_str().context("an id")?;
    let got = browser(&client, &adhoc("Get"), json!({"id": id})).await?;
    let document: Value = serde_json::from_str(got["flamebearerProfile"].as_str().context("a document")?)?;
    ensure!(
        document["flamebearer"]["names"].as_array().is_some_and(|names| names.contains(&json!("adhoc"))),
        "{document}"
    );
    let listed = browser(&client, &adhoc("List"), json!({})).await?;
    ensure!(listed["profiles"][0]["id"] == json!(id), "{listed}");
    Ok(())
}

fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
