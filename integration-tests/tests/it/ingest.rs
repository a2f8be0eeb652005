//! `POST /ingest`: every format reaches the same flame graph, and what is wrong is told, counted and not stored.

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame_of, flame_sum};
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns};

const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
const TREE: &[u8] = &[0, 0, 1, 1, b'a', 0, 2, 1, b'b', 1, 0, 1, b'c', 2, 0];
const TRIE: &[u8] = &[0, 0, 1, 2, b'a', b';', 0, 2, 1, b'b', 1, 0, 1, b'c', 2, 0];
const SPEEDSCOPE: &[u8] = br#"{"$schema":"https://www.speedscope.app/file-format-schema.json","shared":{"frames":[{"name":"a"},{"name":"b"},
{"name":"c"}]},"profiles":[{"type":"sampled","name":"p","unit":"milliseconds","startValue":0,"samples":[[0,1],[0,2]],"weights":[10,20]}]}"#;

fn form(file: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b0\r\nContent-Disposition: form-data; name=\"{file}\"; filename=\"f\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n--b0--\r\n"].concat()
}

async fn post(server: &Server, query: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<(u16, String)> {
    let headers = [("content-type", content_type)];
    let headers = if content_type.is_empty() { &headers[..0] } else { &headers[..] };
    let (status, _, answer) = server.client().post(query, headers, body).await?;
    Ok((status, String::from_utf8_lossy(&answer).into_owned()))
}

#[tokio::test]
async fn every_format_is_the_same_flame_graph() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let bodies: [(&str, &str, &str, &[u8]); 6] = [
        ("groups", "", "", b"a;b 1\na;c 2\n"),
        ("lines", "&format=lines", "", b"a;b\na;c\na;c\n"),
        ("tree", "", "binary/octet-stream+tree", TREE),
        ("trie", "&format=trie", "", TRIE),
        ("speed", "&format=speedscope", "application/json", SPEEDSCOPE),
        ("old", "&format=folded", "", b"a;b 1\na;c 2\n"),
    ];
    let seconds = now_ns() / 1_000_000_000;
    for (service, format, content_type, body) in bodies {
        let path = if service == "old" { "/pyroscope/ingest" } else { "/ingest" };
        let query = format!("{path}?name={service}.cpu{{env=x}}&from={seconds}&until={}{format}", seconds + 10);
        let (status, answer) = post(&server, &query, content_type, body.to_vec()).await?;
        ensure!((status, answer.as_str()) == (200, ""), "{service}: {status} {answer}");
        let selector = format!("{{service_name=\"{service}\",env=\"x\"}}");
        let tree = flame_of(&server.client(), CPU, &selector, Range::around_now()).await?;
        ensure!(flame_sum(&tree) == 30_000_000, "{service}: {tree:?}");
    }
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn a_pprof_comes_raw_or_in_a_form() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let pprof = cpu_profile("main;work 7", now_ns());
    let multipart = "multipart/form-data; boundary=b0";
    for (service, format, content_type, body) in
        [("raw", "&format=pprof", "", pprof.clone()), ("form", "", multipart, form("profile", &pprof))]
    {
        let (status, answer) = post(&server, &format!("/ingest?name={service}{format}"), content_type, body).await?;
        ensure!(status == 200, "{service}: {status} {answer}");
        let selector = format!("{{service_name=\"{service}\"}}");
        let tree = flame_of(&server.client(), CPU, &selector, Range::around_now()).await?;
        ensure!(flame_sum(&tree) > 0, "{service}: {tree:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_told_and_counted() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().flag("distributor.ingestion-body-limit-mb=1")).await?;
    let multipart = "multipart/form-data; boundary=b0";
    let parts = b"--b0\r\n\r\n\r\n".repeat(2000);
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("/ingest", "", b"a 1".to_vec(), 400, "invalid_labels"),
        ("/ingest?name=a.service", "", b"a 1".to_vec(), 400, "malformed_profile"),
        ("/ingest?name=a", "", b"a x".to_vec(), 422, "malformed_profile"),
        ("/ingest?name=a&format=tree", "", vec![0xff; 10], 422, "malformed_profile"),
        ("/ingest?name=a&format=pprof", "", b"no pprof".to_vec(), 422, "malformed_profile"),
        ("/ingest?name=a&format=jfr", "", b"no jfr".to_vec(), 422, "malformed_profile"),
        ("/ingest?name=a&format=speedscope", "", b"{}".to_vec(), 422, "malformed_profile"),
        ("/ingest?name=a", "multipart/form-data", form("profile", b"x"), 422, "malformed_profile"),
        ("/ingest?name=a", multipart, form("prev_profile", b"x"), 422, "malformed_profile"),
        ("/ingest?name=a", multipart, parts, 422, "malformed_profile"),
        ("/ingest?name=a&from=1", "", b"a 1".to_vec(), 400, "not_in_ingestion_window"),
        ("/ingest?name=a", "", vec![b'a'; (1 << 20) + 1], 413, "body_size_limit_exceeded"),
    ];
    for (query, content_type, body, expected, reason) in cases {
        let (status, answer) = post(&server, query, content_type, body).await?;
        ensure!(status == expected, "{query}: {status} {answer}");
        let error: serde_json::Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        ensure!(error["code"].is_string() && error["message"].is_string(), "{query}: {answer}");
        let metrics = server.client().get_text("/metrics").await?;
        let counted = metrics.lines().any(|line| {
            line.starts_with("flamelake_discarded_profiles_total{") && line.contains(&format!("reason=\"{reason}\""))
        });
        ensure!(counted, "{query}: no count of {reason}");
    }
    ensure!(server.client().get_status("/ingest?name=a").await? == 405, "GET is refused");
    for (content_type, body) in [("", Vec::new()), (multipart, form("other", b"x"))] {
        let (status, answer) = post(&server, "/ingest?name=a", content_type, body).await?;
        ensure!(status == 200, "nothing to store is no error: {status} {answer}");
    }
    let tree = flame_of(&server.client(), CPU, "{}", Range::around_now()).await?;
    ensure!(tree.is_empty(), "something was stored: {tree:?}");
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

/// Whole requests of the Node SDK, as it sent them.
#[tokio::test]
async fn what_the_node_sdk_sends_is_taken() -> anyhow::Result<()> {
    let Some(shared) = flamelake_testkit::shared_dir("what_the_node_sdk_sends_is_taken") else { return Ok(()) };
    let server = Server::start(ServerOptions::new().golden()).await?;
    for kind in ["wall", "heap"] {
        let file = |end: &str| shared.join(format!("corpus/captures/nodejs-0.6.4-ingest-pprof-{kind}.{end}"));
        let request: serde_json::Value = serde_json::from_slice(&std::fs::read(file("json"))?)?;
        let body = std::fs::read(file("bin"))?;
        let path = request["path"].as_str().context("a capture has a path")?;
        let client = server.tenant(kind);
        let headers = [("content-type", "application/octet-stream")];
        let (status, _, answer) = client.post(path, &headers, body).await?;
        ensure!(status == 200, "{kind}: {status} {}", String::from_utf8_lossy(&answer));
        let range = serde_json::json!({"start": 1_795_350_000_000_i64, "end": 1_795_360_000_000_i64});
        let (_, types) = client.json("querier.v1.QuerierService/ProfileTypes", &range).await?;
        ensure!(types["profileTypes"].as_array().is_some_and(|types| !types.is_empty()), "{kind}: {types}");
    }
    Ok(())
}
