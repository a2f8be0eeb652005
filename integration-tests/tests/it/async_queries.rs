//! A query that is answered later says what it would have said now, to its tenant alone, also after a restart.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_api::querier::v1;
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::{Client, Protocol, Server, ServerOptions, now_ns, push_cpu};
use serde_json::{Value, json};

const METHOD: &str = "querier.v1.QuerierService/SelectMergeStacktraces";
const FORMATS: [&str; 5] = [
    "PROFILE_FORMAT_UNSPECIFIED",
    "PROFILE_FORMAT_FLAMEGRAPH",
    "PROFILE_FORMAT_TREE",
    "PROFILE_FORMAT_DOT",
    "PROFILE_FORMAT_PPROF",
];

async fn started(tenants: &[&str]) -> anyhow::Result<Server> {
    let options = ServerOptions::new().multitenant().flag("query-frontend.async-queries-enabled=true");
    let server = Server::start(options).await?;
    for tenant in tenants {
        let folded = format!("main;{tenant} 3\nmain;b;c 4");
        push_cpu(&server.tenant(tenant), "later", &folded, now_ns()).await?;
    }
    Ok(server)
}

fn question(format: &str, range: Range) -> Value {
    json!({"profileTypeID": CPU, "labelSelector": "{}", "start": range.start_ms, "end": range.end_ms, "format": format})
}

fn with_async(mut question: Value, id: &str) -> Value {
    question["async"] = json!({"type": "ASYNC_QUERY_TYPE_FORCE", "requestId": id});
    question
}

async fn submit(client: &Client, question: &Value) -> anyhow::Result<String> {
    let (status, body) = client.json(METHOD, &with_async(question.clone(), "")).await?;
    ensure!(status == 200 && body["async"]["status"] == "ASYNC_QUERY_STATUS_IN_PROGRESS", "{status} {body}");
    ensure!(body.as_object().is_some_and(|fields| fields.len() == 1), "{body}");
    Ok(body["async"]["requestId"].as_str().context("no id")?.to_owned())
}

/// The answer without `async`.
async fn result(client: &Client, id: &str) -> anyhow::Result<Value> {
    for _ in 0..600 {
        let (status, mut body) = client.json(METHOD, &with_async(json!({}), id)).await?;
        ensure!(status == 200 && body["async"]["requestId"] == id, "{status} {body}");
        match body["async"]["status"].as_str() {
            Some("ASYNC_QUERY_STATUS_IN_PROGRESS") => tokio::time::sleep(Duration::from_millis(50)).await,
            Some("ASYNC_QUERY_STATUS_SUCCESS") => {
                body.as_object_mut().context("an object")?.remove("async");
                return Ok(body);
            }
            _ => anyhow::bail!("{body}"),
        }
    }
    anyhow::bail!("{id} does not end")
}

#[tokio::test]
async fn later_is_as_now_in_every_format() -> anyhow::Result<()> {
    let mut server = started(&["a", "b"]).await?;
    let (a, b, range) = (server.tenant("a"), server.tenant("b"), Range::around_now());
    let mut kept = Vec::new();
    for format in FORMATS {
        let question = question(format, range);
        let now = a.json(METHOD, &question).await?.1;
        let id = submit(&a, &question).await?;
        ensure!(result(&a, &id).await? == now, "{format}");
        ensure!(now.as_object().is_some_and(|fields| !fields.is_empty()), "{format}: {now}");
        let (status, body) = b.json(METHOD, &with_async(json!({}), &id)).await?;
        ensure!(status == 404 && body["code"] == "not_found", "{status} {body}");
        kept.push((id, now));
    }
    let of_b = result(&b, &submit(&b, &question(FORMATS[1], range)).await?).await?;
    ensure!(of_b.to_string().contains("\"b\"") && !of_b.to_string().contains("\"a\""), "{of_b}");
    // An id without a type is a question for now.
    let mut now = question(FORMATS[1], range);
    now["async"] = json!({"requestId": kept[0].0});
    ensure!(a.json(METHOD, &now).await?.1 == kept[1].1);

    server.restart().await?;
    for (id, before) in &kept {
        ensure!(result(&server.tenant("a"), id).await? == *before, "after a restart");
    }
    let grpc = server.tenant("a");
    let poll = v1::SelectMergeStacktracesRequest {
        r#async: Some(v1::AsyncQueryRequest { request_id: kept[1].0.clone(), r#type: 1 }),
        ..v1::SelectMergeStacktracesRequest::default()
    };
    let answer: v1::SelectMergeStacktracesResponse = grpc.call(Protocol::Grpc, METHOD, &poll).await??;
    ensure!(
        answer.flamegraph.is_some_and(|graph| graph.total == 7)
            && answer.r#async.is_some_and(|state| state.status == 2)
    );
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_answered_says_so() -> anyhow::Result<()> {
    let mut server = started(&["a"]).await?;
    let (a, range) = (server.tenant("a"), Range::around_now());
    let mut wrong = question(FORMATS[1], range);
    wrong["labelSelector"] = json!("{x=");
    let id = submit(&a, &wrong).await?;
    let error = result(&a, &id).await.unwrap_err().to_string();
    ensure!(error.contains("ASYNC_QUERY_STATUS_FAILURE") && error.contains("invalid_argument"), "{error}");
    for unknown in ["01J00000000000000000000000", "../a", "x"] {
        ensure!(a.json(METHOD, &with_async(json!({}), unknown)).await?.0 == 404);
    }
    let (status, body) = server.tenant("a|b").json(METHOD, &with_async(wrong, "")).await?;
    ensure!(status == 400 && body["code"] == "invalid_argument", "{status} {body}");

    // What a querier leaves behind that was killed a while ago.
    server.kill()?;
    let left = "01KAW0Z3ZSXQ8G7X7G2Z0Q3K4M";
    let folder = server.data().join("async-queries").join("a");
    std::fs::write(folder.join(format!("{left}.run")), r#"{"format":1,"beat_at_ms":1695359600000}"#)?;
    server.launch().await?;
    let error = result(&server.tenant("a"), left).await.unwrap_err().to_string();
    ensure!(error.contains("is gone: ask again"), "{error}");
    Ok(())
}

#[tokio::test]
async fn they_are_off_unless_they_are_on() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let question = question(FORMATS[1], Range::around_now());
    let (status, body) = server.client().json(METHOD, &with_async(question, "")).await?;
    ensure!(status == 501 && body["code"] == "unimplemented", "{status} {body}");
    Ok(())
}
