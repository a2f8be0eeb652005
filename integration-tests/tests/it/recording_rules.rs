//! Recording rules into a real Prometheus: the values are those of `SelectSeries`, each window has one, whatever is killed between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::CPU;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::prometheus::{Prometheus, Samples};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_request};
use serde_json::{Value, json};

const UPSERT: &str = "settings.v1.RecordingRulesService/UpsertRecordingRule";
/// Windows of this length, so that a test sees many.
const STEP: i64 = 2;

fn options(prometheus: &Prometheus) -> ServerOptions {
    let url = format!("recording-rules.remote-write-url={}", prometheus.write_url());
    ServerOptions::new().multitenant().fast_pushes().flag(&url).flags([
        "tenant-settings.recording-rules.enabled=true",
        "recording-rules.interval=2s",
        "recording-rules.delay=2s",
        "recording-rules.tenant-label=tenant",
    ])
}

fn rule(metric: &str, matchers: &[&str], group_by: &[&str]) -> Value {
    let mut all = vec![format!("{{ __profile_type__=\"{CPU}\" }}")];
    all.extend(matchers.iter().map(|text| (*text).to_owned()));
    json!({"$typeName": "settings.v1.UpsertRecordingRuleRequest", "metricName": metric, "matchers": all, "groupBy": group_by})
}

async fn create(client: &Client, rule: &Value) -> anyhow::Result<Value> {
    let (status, body) = client.json(UPSERT, rule).await?;
    ensure!(status == 200, "{status} {body}");
    Ok(body["rule"].clone())
}

/// A profile of each pod, with a time of now.
async fn push_pods(client: &Client, number: i64) -> anyhow::Result<()> {
    for (pod, count) in [("p1", 3 + number), ("p2", 50 * number)] {
        let labels = [("__name__", "process_cpu"), ("service_name", "ruled"), ("k8s.pod", pod)];
        let folded = format!("main;work {count}\nmain;idle 1");
        push(client, &push_request(&labels, vec![(cpu_profile(&folded, now_ns()), "")])).await??;
    }
    Ok(())
}

/// Pushes twice a window for so long.
async fn push_for(client: &Client, windows: i64, number: &mut i64) -> anyhow::Result<()> {
    for _ in 0..windows * 2 {
        *number += 1;
        push_pods(client, *number).await?;
        tokio::time::sleep(Duration::from_millis(STEP as u64 * 500)).await;
    }
    Ok(())
}

/// What `SelectSeries` says of windows that end after `from_ms` and up to `until_ms`, as Prometheus would name it.
async fn expected(
    client: &Client,
    tenant: &str,
    from_ms: i64,
    until_ms: i64,
    group_by: Option<&str>,
    call_site: &[&str],
) -> anyhow::Result<Samples> {
    let question = json!({
        "profileTypeID": CPU, "labelSelector": "{service_name=\"ruled\"}", "start": from_ms, "end": until_ms, "step": STEP as f64,
        "groupBy": group_by.into_iter().collect::<Vec<_>>(),
        "stackTraceSelector": {"callSite": call_site.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()},
    });
    let (status, body) = client.json("querier.v1.QuerierService/SelectSeries", &question).await?;
    ensure!(status == 200, "{status} {body}");
    let mut samples = Samples::new();
    for series in body["series"].as_array().context("series")? {
        let mut labels = vec![format!("tenant={tenant}")];
        for label in series["labels"].as_array().into_iter().flatten() {
            let name = label["name"].as_str().context("a name")?.replace('.', "_");
            labels.push(format!("{name}={}", label["value"].as_str().context("a value")?));
        }
        labels.sort();
        let points = series["points"].as_array().context("points")?.iter().map(|point| {
            let at = point["timestamp"].as_str().context("a time")?.parse::<i64>()?;
            Ok((at, point["value"].as_f64().unwrap_or_default()))
        });
        let points = points.filter(|point| point.as_ref().is_ok_and(|(at, _)| *at > from_ms));
        samples.insert(labels.join(","), points.collect::<anyhow::Result<_>>()?);
    }
    Ok(samples)
}

fn window_ends(from_ms: i64, samples: &Samples) -> anyhow::Result<Vec<i64>> {
    let mut ends: BTreeMap<i64, usize> = BTreeMap::new();
    for (at, _) in samples.values().flatten() {
        ensure!(at % (STEP * 1000) == 0, "{at} is no end of a window");
        *ends.entry(*at).or_default() += 1;
    }
    Ok(ends.into_keys().filter(|at| *at > from_ms).collect())
}

/// Until Prometheus has a sample at `at_ms` or later.
async fn arrived(prometheus: &Prometheus, metric: &str, at_ms: i64) -> anyhow::Result<Samples> {
    for _ in 0..600 {
        let samples = prometheus.samples(metric).await?;
        if samples.values().flatten().any(|(at, _)| *at >= at_ms) {
            return Ok(samples);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("no sample of {metric} at {at_ms}: {:?}", prometheus.samples(metric).await?)
}

#[tokio::test]
async fn each_window_has_the_value_of_select_series_whatever_is_killed() -> anyhow::Result<()> {
    let Some(mut prometheus) = Prometheus::start("each_window_has_the_value_of_select_series").await? else {
        return Ok(());
    };
    let mut server = Server::start(options(&prometheus)).await?;
    let (a, b) = (server.tenant("a"), server.tenant("b"));
    create(&a, &rule("ruled_pods", &["{service_name=\"ruled\",}"], &["k8s.pod"])).await?;
    create(&a, &rule("ruled_all", &["{service_name=\"ruled\"}"], &[])).await?;
    let mut of_function = rule("ruled_work", &["{service_name=\"ruled\"}"], &["k8s.pod"]);
    of_function["stacktraceFilter"] = json!({"functionName": {"functionName": "work", "metricType": 0}});
    create(&a, &of_function).await?;
    create(&b, &rule("ruled_all", &["{service_name=\"ruled\"}"], &[])).await?;
    let from_ms = (now_ns() / 1_000_000 / (STEP * 1000) + 1) * STEP * 1000;
    let mut number = 0;
    push_for(&a, 2, &mut number).await?;
    push_pods(&b, 1000).await?;
    // Killed again and again, the receiver too; pushes go on between.
    for round in 0..4 {
        server.kill()?;
        if round == 1 {
            prometheus.kill();
        }
        tokio::time::sleep(Duration::from_millis(700 + 400 * round)).await;
        server.launch().await?;
        push_for(&server.tenant("a"), 2, &mut number).await?;
        if round == 2 {
            prometheus.launch().await?;
        }
    }
    push_for(&server.tenant("a"), 2, &mut number).await?;
    let until_ms = now_ns() / 1_000_000 / (STEP * 1000) * STEP * 1000;
    for (metric, group_by, call_site) in [
        ("ruled_pods", Some("k8s.pod"), &[][..]),
        ("ruled_all", None, &[]),
        // Nothing else has the function.
        ("ruled_work", Some("k8s.pod"), &["main", "work"]),
    ] {
        let mut got = arrived(&prometheus, metric, until_ms).await?;
        let of_b = got.remove("tenant=b");
        for samples in got.values_mut() {
            samples.retain(|(at, _)| *at > from_ms && *at <= until_ms);
        }
        let want = expected(&server.tenant("a"), "a", from_ms, until_ms, group_by, call_site).await?;
        ensure!(got == want, "{metric}: got {got:#?}, want {want:#?}, server: {}", server.log());
        ensure!(window_ends(from_ms, &got)?.len() >= 10, "{got:#?}");
        ensure!(of_b.is_some() == group_by.is_none(), "{of_b:?}");
        if let Some(of_b) = of_b {
            ensure!(of_b.iter().map(|(_, value)| value).sum::<f64>() == 1003.0 + 50_000.0 + 2.0, "{of_b:?}");
        }
    }
    ensure!(server.metric("flamelake_rules_samples_total").await? > 0.0);
    Ok(())
}

/// So many that each of two queriers owns some.
const TENANTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Kills the queriers in turn, the first one twice. Before, both had a share of the tenants.
async fn kill_queriers_in_turn(cluster: &mut Cluster) -> anyhow::Result<()> {
    // Windows until the other has noticed, and has made up for what was missed.
    let while_dead = Duration::from_secs(4 * STEP as u64);
    tokio::time::sleep(while_dead).await;
    for name in ["querier-0", "querier-1"] {
        let sent = cluster.server(name).metric("flamelake_rules_samples_total").await?;
        ensure!(sent > 0.0, "{name} owns no tenant: take others");
    }
    for name in ["querier-0", "querier-1", "querier-0"] {
        cluster.server(name).kill()?;
        tokio::time::sleep(while_dead).await;
        cluster.server(name).launch().await?;
        // Owned by this one again, which knows nothing of what it did before.
        tokio::time::sleep(while_dead / 2).await;
    }
    cluster.server("querier-1").kill()?;
    tokio::time::sleep(while_dead).await;
    Ok(())
}

#[tokio::test]
async fn each_window_has_one_value_whichever_querier_is_killed() -> anyhow::Result<()> {
    const WHO: &str = "each_window_has_one_value_whichever_querier_is_killed";
    let Some(prometheus) = Prometheus::start(WHO).await? else { return Ok(()) };
    let processes = [
        ("ingester-0", "ingester"),
        ("gateway-0", "store-gateway"),
        ("distributor-0", "distributor"),
        ("querier-0", "querier"),
        ("querier-1", "querier"),
    ];
    let options = options(&prometheus).flag("recording-rules.delay=4s");
    let Some(mut cluster) = Cluster::start(WHO, options, &processes).await? else { return Ok(()) };
    for tenant in TENANTS {
        let client = cluster.server("querier-0").tenant(tenant);
        create(&client, &rule("ruled_pods", &["{service_name=\"ruled\"}"], &["k8s.pod"])).await?;
    }
    let from_ms = (now_ns() / 1_000_000 / (STEP * 1000) + 1) * STEP * 1000;
    let senders = TENANTS.map(|tenant| cluster.server("distributor-0").tenant(tenant));
    let is_over = AtomicBool::new(false);
    let push_on = async {
        let mut number = 0;
        while !is_over.load(Ordering::Relaxed) {
            number += 1;
            futures::future::try_join_all(senders.iter().map(|sender| push_pods(sender, number))).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        anyhow::Ok(())
    };
    let kill = async {
        let outcome = kill_queriers_in_turn(&mut cluster).await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    tokio::try_join!(push_on, kill)?;
    let until_ms = now_ns() / 1_000_000 / (STEP * 1000) * STEP * 1000;
    let mut want = Samples::new();
    for tenant in TENANTS {
        let client = cluster.server("querier-0").tenant(tenant);
        want.extend(expected(&client, tenant, from_ms, until_ms, Some("k8s.pod"), &[]).await?);
    }
    ensure!(want.len() == 2 * TENANTS.len(), "two pods a tenant: {want:#?}");
    let mut got = Samples::new();
    for _ in 0..600 {
        got = prometheus.samples("ruled_pods").await?;
        got.values_mut().for_each(|samples| samples.retain(|(at, _)| *at > from_ms && *at <= until_ms));
        if got == want {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(got == want, "got {got:#?}, want {want:#?}, server: {}", cluster.server("querier-0").log());
    let windows = window_ends(from_ms, &got)?;
    let all: Vec<i64> = (from_ms + STEP * 1000..=until_ms).step_by(STEP as usize * 1000).collect();
    ensure!(windows == all, "pushes went on all the time, so no window is empty: {windows:?} of {all:?}");
    // A second value for a window would be refused.
    let metrics = cluster.client("querier-0").get_text("/metrics").await?;
    let refused = |line: &&str| line.starts_with("flamelake_rules_samples_total{outcome=\"refused\"}");
    ensure!(metrics.lines().find(refused).is_none_or(|line| line.ends_with(" 0")), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn rules_are_kept_changed_and_deleted() -> anyhow::Result<()> {
    let options = ServerOptions::new().multitenant().flags([
        "tenant-settings.recording-rules.enabled=true",
        "recording-rules.remote-write-url=http://127.0.0.1:9/api/v1/write",
    ]);
    let mut server = Server::start(options).await?;
    let a = server.tenant("a");
    let created = create(&a, &rule("m", &["{service_name=\"x\"}"], &["pod"])).await?;
    ensure!(created["generation"] == "1" && created["profileType"] == CPU, "{created}");
    let id = created["id"].as_str().context("no id")?;
    let mut change = rule("n", &[], &[]);
    change["id"] = json!(id);
    let (status, body) = a.json(UPSERT, &change).await?;
    ensure!(status == 409 && body["code"] == "already_exists", "{status} {body}");
    change["generation"] = json!("1");
    change["stacktraceFilter"] = json!({"functionName": {"functionName": "main", "metricType": 0}});
    ensure!(create(&a, &change).await?["generation"] == "2");
    server.restart().await?;
    let a = server.tenant("a");
    let (_, listed) = a.json("settings.v1.RecordingRulesService/ListRecordingRules", &json!({})).await?;
    ensure!(listed["rules"][0]["metricName"] == "n", "{listed}");
    ensure!(listed["rules"][0]["stacktraceFilter"]["functionName"]["functionName"] == "main", "{listed}");
    let (status, _) =
        server.tenant("b").json("settings.v1.RecordingRulesService/GetRecordingRule", &json!({"id": id})).await?;
    ensure!(status == 404);
    let (status, body) = a.json(UPSERT, &rule("1", &[], &[])).await?;
    ensure!(status == 400 && body["code"] == "invalid_argument", "{status} {body}");
    for expected in [200, 404] {
        let (status, _) = a.json("settings.v1.RecordingRulesService/DeleteRecordingRule", &json!({"id": id})).await?;
        ensure!(status == expected);
    }
    let flags = a.json("capabilities.v1.FeatureFlagsService/GetFeatureFlags", &json!({})).await?.1;
    ensure!(
        flags["featureFlags"][0]
            == json!({"name": "pyroscopeRuler", "enabled": true, "description": "Recording rules are kept and evaluated"}),
        "{flags}"
    );
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn without_them_there_is_no_path() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let path = "/settings.v1.RecordingRulesService/ListRecordingRules";
    let (status, _, _) = server.client().post(path, &[("content-type", "application/json")], b"{}".to_vec()).await?;
    ensure!(status == 404, "{status}");
    Ok(())
}
