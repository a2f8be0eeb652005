//! Promise P5: no input harms the server; each mistake gets its code, its text and its count, and spoils nothing beside it.

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{RpcError, Server, ServerOptions, cpu_profile, now_ns, push_request};
use flamelake_testkit::ProfileBuilder;
use flamelake_testkit::profile::gzip;

/// What is wrong, more labels, the profile, the reason it is counted under.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, &'a str);

const LABELS: [(&str, &str); 2] = [("__name__", "process_cpu"), ("service_name", "bad")];

async fn refused(server: &Server, labels: &[(&str, &str)], pprof: Vec<u8>) -> anyhow::Result<RpcError> {
    let answer = push(&server.client(), &push_request(labels, vec![(pprof, "the-id")])).await?;
    answer.err().context("the push was taken")
}

#[tokio::test]
async fn bad_profiles_are_the_callers_fault() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let now = now_ns();
    let good = cpu_profile("main 1", now);
    let hour = 3_600_000_000_000;
    let wrong_count = ProfileBuilder::cpu().stack("a", &[1, 2]).time_ns(now).gzip();
    let dash = ProfileBuilder::new(&[("in-use", "count")]).stack("a", &[1]).time_ns(now).gzip();
    let bomb = gzip(&vec![0; 64 << 20], 9);
    let long = "v".repeat(2049);
    let cases: Vec<Case<'_>> = vec![
        ("no protobuf", vec![], b"not a profile at all".to_vec(), "malformed_profile"),
        ("empty", vec![], Vec::new(), "malformed_profile"),
        ("gzip cut short", vec![], good[..good.len() / 2].to_vec(), "malformed_profile"),
        ("gzip of garbage", vec![], gzip(&[0xff; 100], 1), "malformed_profile"),
        ("values without types", vec![], wrong_count, "malformed_profile"),
        ("a dash in a type", vec![], dash, "malformed_profile"),
        ("too old", vec![], cpu_profile("main 1", now - 2 * hour), "not_in_ingestion_window"),
        ("too new", vec![], cpu_profile("main 1", now + hour), "not_in_ingestion_window"),
        ("a gzip bomb", vec![], bomb, "profile_size_limit"),
        ("equal labels", vec![("a", "1"), ("a", "1")], good.clone(), "duplicate_label_names"),
        ("a long value", vec![("a", &long)], good.clone(), "label_value_too_long"),
    ];
    for (what, more, pprof, reason) in cases {
        let labels = [&LABELS[..], &more].concat();
        let error = refused(&server, &labels, pprof).await.with_context(|| what.to_owned())?;
        ensure!(error.code == "invalid_argument", "{what}: {error}");
        let prefix = "push series with index 0 and id the-id failed: ";
        ensure!(error.message.starts_with(prefix), "{what}: {error}");
        let metrics = server.client().get_text("/metrics").await?;
        let counted = metrics.lines().any(|line| {
            line.starts_with("flamelake_discarded_profiles_total{") && line.contains(&format!("reason=\"{reason}\""))
        });
        ensure!(counted, "{what}: no count of {reason}");
    }
    let error = refused(&server, &[("service_name", "s")], good.clone()).await?;
    ensure!(error.code == "invalid_argument", "no __name__: {error}");
    ensure!(flame(&server.client(), "{}", Range::around_now()).await?.is_empty(), "something was stored");
    push(&server.client(), &push_request(&LABELS, vec![(good, "")])).await??;
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn good_profiles_beside_bad_ones_are_stored() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let now = now_ns();
    let good = |folded: &str| (cpu_profile(folded, now), "");
    let request =
        push_request(&LABELS, vec![good("main;a 1"), (b"\xff".to_vec(), "x"), good("main;b 2"), (vec![0xff], "y")]);
    let error = push(&server.client(), &request).await?.err().context("the push was taken")?;
    ensure!(error.code == "invalid_argument" && error.message.starts_with("2 errors: push series with"), "{error}");
    let tree = flame(&server.client(), "{}", Range::around_now()).await?;
    ensure!(tree["main"].0 == 3, "{tree:?}");
    Ok(())
}

#[tokio::test]
async fn the_rate_limit_refuses_and_lets_the_next_pass() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    // More than the burst of 2 MiB, less than the size limit of 4 MiB: never passes.
    let folded: String = (0..2500).map(|i| format!("main;{i:01000} 1\n")).collect();
    let error = refused(&server, &LABELS, cpu_profile(&folded, now_ns())).await?;
    ensure!(error.code == "resource_exhausted", "{error}");
    ensure!(error.message.contains("push rate limit (4.0 MiB) exceeded while adding 2."), "{error}");
    push(&server.client(), &push_request(&LABELS, vec![(cpu_profile("main 1", now_ns()), "")])).await??;
    Ok(())
}

#[tokio::test]
async fn the_door_refuses_what_is_no_call() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let client = server.client();
    let path = "/push.v1.PusherService/Push";
    ensure!(client.get_status(path).await? == 405, "GET");
    ensure!(client.get_status("/no/such/path").await? == 404, "unknown path");
    let post = async |kind: &str, body: &[u8]| client.post(path, &[("content-type", kind)], body.to_vec()).await;
    ensure!(post("text/plain", b"").await?.0 == 415, "unknown content type");
    for body in [&b"{"[..], b"[]", b"", b"{} {}", br#"{"series":[null]}"#] {
        let (status, kind, answer) = post("application/json", body).await?;
        ensure!(status == 400 && kind == "application/json", "{body:?}: {status} {kind}");
        ensure!(String::from_utf8_lossy(&answer).contains("invalid_argument"), "{body:?}");
    }
    ensure!(post("application/proto", &[0xff; 9]).await?.0 == 400, "broken protobuf");
    let headers = [("content-type", "application/proto"), ("content-encoding", "zstd")];
    ensure!(client.post(path, &headers, vec![1]).await?.0 == 501, "zstd");
    let headers = [("content-type", "application/proto"), ("content-encoding", "gzip")];
    ensure!(client.post(path, &headers, vec![1, 2, 3]).await?.0 == 400, "broken gzip");
    ensure!(client.get_status("/ready").await? == 200, "still ready");
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}
