//! Promise P4: no answer to a tenant holds a byte of another's, whatever is asked.

use anyhow::ensure;
use flamelake_api::METHODS;
use flamelake_integration_tests::answers::{CPU, Range, flame, flame_sum};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Client, Server, ServerOptions, cpu_profile, now_ns, push_request};
use serde_json::json;

/// In every text that the other tenant pushes.
const SECRET: &str = "bravo";
/// Plain routes that answer tenants.
const ROUTES: [&str; 15] = [
    "/",
    "/ready",
    "/healthz",
    "/metrics",
    "/config",
    "/ring",
    "/api/v1/status/config",
    "/api/v1/status/buildinfo",
    "/api/v1/discarded",
    "/pyroscope/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds{}&from=now-1h&until=now",
    "/pyroscope/render-diff?leftQuery=process_cpu:cpu:nanoseconds:cpu:nanoseconds{}&leftFrom=now-1h&rightQuery=process_cpu:cpu:nanoseconds:cpu:nanoseconds{}",
    "/pyroscope/label-names",
    "/pyroscope/label-values?label=service_name",
    "/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds{}",
    "/querier.v1.QuerierService/ProfileTypes?message=%7B%7D&encoding=json",
];

async fn push_word(client: &Client, word: &str, number: usize) -> anyhow::Result<()> {
    let (service, pod) = (format!("{word}-service"), format!("{word}-pod"));
    let labels = [("__name__", "process_cpu"), ("service_name", service.as_str()), ("pod", pod.as_str())];
    let folded = format!("{word}_main;{word}_work{number} 7");
    push(client, &push_request(&labels, vec![(cpu_profile(&folded, now_ns()), "")])).await??;
    Ok(())
}

#[tokio::test]
async fn no_method_and_no_route_tells_of_another_tenant() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let (a, b) = (server.tenant("team-a"), server.tenant("team-b"));
    // One half in blocks, one in heads.
    for number in 0..2 {
        push_word(&a, "alpha", number).await?;
        push_word(&b, SECRET, number).await?;
        if number == 0 {
            server.flush().await?;
        }
    }
    // Each has a refused profile, too.
    for (client, word) in [(&a, "alpha"), (&b, SECRET)] {
        let service = format!("{word}-refused");
        let labels = [("__name__", "process_cpu"), ("service_name", service.as_str()), ("b\u{7f}ad", word)];
        ensure!(push(client, &push_request(&labels, vec![(cpu_profile("main 1", 1), "")])).await?.is_err());
        let told = client.get_text("/api/v1/discarded").await?;
        ensure!(told.contains(&service) && told.matches("reason").count() == 1, "{told}");
    }
    let range = Range::around_now();
    let (mut answered, mut own) = (0, 0);
    for method in METHODS {
        // All fields that some method wants; others ignore or refuse them.
        let all = json!({
            "profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms, "maxNodes": 1000,
            "groupBy": ["service_name", "pod"], "step": 15, "name": "service_name", "matchers": ["{}"], "labelNames": ["pod"],
            "spanSelector": ["0000000000000000"], "query": format!("{CPU}{{}}"),
            "left": {"profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms},
            "right": {"profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms},
        });
        let bare = json!({});
        let times = json!({"start": range.start_ms, "end": range.end_ms});
        let select = json!({
            "profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms,
        });
        for request in [all, bare, times, select] {
            let headers = [("content-type", "application/json")];
            let (status, _, body) = a.post(method.path, &headers, request.to_string().into_bytes()).await?;
            let body = String::from_utf8_lossy(&body);
            ensure!(!body.contains(SECRET), "{}: {status} {body}", method.path);
            answered += usize::from(status == 200);
            own += usize::from(body.contains("alpha"));
        }
    }
    ensure!(answered >= 9 && own >= 5, "{answered} answered, {own} with the tenant's own data: the test asks nothing");
    for route in ROUTES {
        let body = a.get_text(route).await?;
        ensure!(!body.contains(SECRET), "{route}: {body}");
    }
    // The other way round it is there.
    let settings = |client: Client| async move { client.json("settings.v1.SettingsService/Get", &json!({})).await };
    let set = json!({"setting": {"name": "pluginSettings", "value": SECRET}});
    ensure!(b.json("settings.v1.SettingsService/Set", &set).await?.0 == 200);
    ensure!(!settings(a.clone()).await?.1.to_string().contains(SECRET));
    ensure!(settings(b.clone()).await?.1["settings"][0]["value"] == SECRET);
    ensure!(flame_sum(&flame(&b, "{}", range).await?) == 14);
    Ok(())
}

#[tokio::test]
async fn hostile_tenant_names_are_refused() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().multitenant()).await?;
    let long = "x".repeat(151);
    for name in ["", ".", "..", "a/b", "../../etc", "a\\b", "a%2fb", "a b", "a\"b", "a\tb", long.as_str()] {
        let client = server.tenant(name);
        let request = push_request(
            &[("__name__", "process_cpu"), ("service_name", "s")],
            vec![(cpu_profile("main 1", now_ns()), "")],
        );
        let refused = push(&client, &request).await;
        ensure!(!matches!(refused, Ok(Ok(()))), "tenant {name:?} may push");
        let (status, _) = client.json("querier.v1.QuerierService/ProfileTypes", &json!({})).await.unwrap_or_default();
        ensure!(status != 200, "tenant {name:?} may ask");
    }
    // `a|b` reads both, and writes to none.
    let request = push_request(
        &[("__name__", "process_cpu"), ("service_name", "s")],
        vec![(cpu_profile("main 1", now_ns()), "")],
    );
    ensure!(push(&server.tenant("a|b"), &request).await?.is_err());
    for tenant in ["a", "b"] {
        push(&server.tenant(tenant), &request).await??;
    }
    server.flush().await?;
    let mut folders: Vec<_> = std::fs::read_dir(server.data().join("tenants"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    folders.sort();
    ensure!(folders == ["a", "b"], "{folders:?}");
    ensure!(flame_sum(&flame(&server.tenant("a|b"), "{}", Range::around_now()).await?) == 2);
    Ok(())
}
