//! A delete ends with a receipt, and then no byte of what was deleted is left under the data folder: not in blocks, not in the log.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::faults::files;
use flamelake_integration_tests::{Client, Server, ServerOptions, now_ns, push_cpu};
use serde_json::{Value, json};

const FLAGS: [&str; 3] = ["compactor.cleanup-interval=200ms", "catalog.delete-delay=2s", "catalog.orphan-grace=2s"];

async fn delete(client: &Client, selector: &str) -> anyhow::Result<String> {
    let (status, answer) = client.json("api/v1/delete", &json!({ "selector": selector })).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer["id"].as_str().context("an id")?.to_owned())
}

/// The delete once it is done.
async fn receipt(client: &Client, id: &str) -> anyhow::Result<Value> {
    let mut last = String::new();
    for _ in 0..1200 {
        last = client.get_text(&format!("/api/v1/delete/{id}")).await?;
        let delete: Value = serde_json::from_str(&last)?;
        if delete["state"] == "done" {
            return Ok(delete["receipt"].clone());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("not done: {last}")
}

/// Block files and logs older than `since`, and files that hold `text` as it is.
fn remains(data: &Path, service: &str, text: &str, since: SystemTime) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files(data)? {
        let path = file.display().to_string();
        let bytes = std::fs::read(&file)?;
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        // The request is the evidence, and the catalog's old commits name services.
        let may_name = path.contains("/deletes/") || path.contains("/catalog/");
        let is_old = file.metadata()?.modified()? < since && (path.contains("/blocks/") || path.ends_with(".log"));
        if is_old || (!may_name && (holds(service) || holds(text))) {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn nothing_is_left_of_what_was_deleted() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new().flags(FLAGS)).await?;
    let client = server.client();
    push_cpu(&client, "secret-service", "main;secret_function 1", now_ns()).await?;
    push_cpu(&client, "other", "main;other 2", now_ns()).await?;
    server.flush().await?;
    // One in a block, one in the head and in the log.
    push_cpu(&client, "secret-service", "main;secret_function 4", now_ns()).await?;
    push_cpu(&client, "other", "main;other 8", now_ns()).await?;
    let id = delete(&client, r#"{service_name="secret-service"}"#).await?;
    push_cpu(&client, "secret-service", "main;later 16", now_ns()).await?;
    let receipt = receipt(&client, &id).await?;
    ensure!(receipt["profiles"] == 2 && receipt["samples"] == 2, "{receipt}");
    let tree = flame(&client, "{}", Range::around_now()).await?;
    ensure!(tree.keys().eq(["main", "main;later", "main;other"]), "{tree:?}");
    let requested = u64::try_from(receipt["requested_at_ms"].as_i64().context("a time")?)?;
    let since = SystemTime::UNIX_EPOCH + Duration::from_millis(requested);
    let left = remains(&server.data(), "no-service", "secret_function", since)?;
    ensure!(left.is_empty(), "{left:?}");
    let (status, answer) = client.json("api/v1/delete", &json!({ "selektor": "{}" })).await?;
    ensure!(status == 400, "{status}: {answer}");
    ensure!(client.get_status("/api/v1/delete/01ARZ3NDEKTSV4RRFFQ69G5FAV").await? == 404);
    ensure!(server.troubles().is_empty(), "{:?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn roles_of_a_cluster_delete_everything_of_a_tenant() -> anyhow::Result<()> {
    let roles =
        [("ingester-0", "ingester"), ("ingester-1", "ingester"), ("front-0", "querier,store-gateway,distributor")];
    let options = ServerOptions::new().flags(FLAGS).multitenant();
    let Some(mut cluster) = Cluster::start("roles_delete", options, &roles).await? else { return Ok(()) };
    cluster.add("compactor-0", "compactor").await?;
    let of = |name: &str, tenant: &str| cluster.client(name).with_tenant(tenant);
    for service in 0..8 {
        push_cpu(&of("front-0", "gone"), &format!("s{service}"), "main;a 1", now_ns()).await?;
        push_cpu(&of("front-0", "stays"), &format!("s{service}"), "main;b 1", now_ns()).await?;
    }
    let id = delete(&of("compactor-0", "gone"), "{}").await?;
    let receipt = receipt(&of("compactor-0", "gone"), &id).await?;
    ensure!(receipt["profiles"] == 8, "{receipt}");
    ensure!(flame(&of("front-0", "gone"), "{}", Range::around_now()).await?.is_empty());
    ensure!(flame(&of("front-0", "stays"), "{}", Range::around_now()).await?.contains_key("main;b"));
    cluster.expect_no_trouble()
}
