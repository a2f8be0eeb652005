//! Promise P2: a client's retry counts once; two profiles that are no retries count twice.

use anyhow::ensure;
use flamelake_api::push::v1::PushRequest;
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::{Server, ServerOptions, cpu_profile, now_ns, push_request};

const LABELS: [(&str, &str); 2] = [("__name__", "process_cpu"), ("service_name", "dedup")];
const UUID: &str = "6a1c0c0e-52a4-4a53-a8f0-8d3e0a6c0b51";

fn request(profiles: &[(&str, i64, &str)]) -> PushRequest {
    push_request(&LABELS, profiles.iter().map(|(folded, time_ns, id)| (cpu_profile(folded, *time_ns), *id)).collect())
}

async fn pushed(server: &Server, requests: &[&PushRequest]) -> anyhow::Result<()> {
    for request in requests {
        push(&server.client(), request).await??;
    }
    Ok(())
}

async fn total(server: &Server) -> anyhow::Result<i64> {
    let tree = flame(&server.client(), r#"{service_name="dedup"}"#, Range::around_now()).await?;
    Ok(tree.get("main").map_or(0, |(total, _)| *total))
}

#[tokio::test]
async fn a_retry_counts_once_also_after_a_flush_a_crash_and_a_restart() -> anyhow::Result<()> {
    let mut server = Server::start(ServerOptions::new()).await?;
    let once = request(&[("main 1", now_ns(), "")]);
    pushed(&server, &[&once, &once]).await?;
    ensure!(total(&server).await? == 1, "in the head");
    server.crash().await?;
    pushed(&server, &[&once]).await?;
    ensure!(total(&server).await? == 1, "after a crash");
    server.flush().await?;
    pushed(&server, &[&once]).await?;
    ensure!(total(&server).await? == 1, "after a flush");
    server.restart().await?;
    pushed(&server, &[&once]).await?;
    ensure!(total(&server).await? == 1, "after a restart");
    Ok(())
}

#[tokio::test]
async fn simultaneous_retries_count_once() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let once = request(&[("main 1", now_ns(), "")]);
    let client = server.client();
    let answers = futures::future::join_all((0..16).map(|_| push(&client, &once))).await;
    for answer in answers {
        answer??;
    }
    ensure!(total(&server).await? == 1, "{}", total(&server).await?);
    Ok(())
}

#[tokio::test]
async fn equal_profiles_of_one_request_both_count_and_their_retry_does_not() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let now = now_ns();
    let twice = request(&[("main 1", now, ""), ("main 1", now, "")]);
    pushed(&server, &[&twice, &twice]).await?;
    ensure!(total(&server).await? == 2, "{}", total(&server).await?);
    Ok(())
}

#[tokio::test]
async fn profiles_without_time_and_id_are_never_retries() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let timeless = request(&[("main 1", 0, "")]);
    pushed(&server, &[&timeless, &timeless]).await?;
    ensure!(total(&server).await? == 2, "{}", total(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_constant_client_id_loses_nothing() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    let [first, second] = [request(&[("main 1", 0, UUID)]), request(&[("main 2", 0, UUID)])];
    pushed(&server, &[&first, &second, &first]).await?;
    ensure!(total(&server).await? == 3, "{}", total(&server).await?);
    Ok(())
}
