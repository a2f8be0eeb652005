//! Promise: the recorded questions get the recorded answers, wherever the data lie.

use flamelake_integration_tests::golden::Golden;
use flamelake_integration_tests::{Server, ServerOptions};

async fn server() -> anyhow::Result<Server> {
    Server::start(ServerOptions::new().golden()).await
}

#[tokio::test]
async fn as_the_checker_plays_it() -> anyhow::Result<()> {
    let server = server().await?;
    match Golden::find("as_the_checker_plays_it", &server).await? {
        Some(golden) => golden.play(&server).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn from_blocks_cut_after_every_push_and_after_restarts() -> anyhow::Result<()> {
    let mut server = server().await?;
    let Some(golden) = Golden::find("from_blocks_cut_after_every_push", &server).await? else { return Ok(()) };
    golden.push(&server, Server::flush).await?;
    golden.ask(&server).await?;
    server.restart().await?;
    golden.ask(&server).await?;
    server.crash().await?;
    golden.ask(&server).await
}

#[tokio::test]
async fn from_the_log_after_a_kill() -> anyhow::Result<()> {
    let mut server = server().await?;
    let Some(golden) = Golden::find("from_the_log_after_a_kill", &server).await? else { return Ok(()) };
    golden.push(&server, async |_| Ok(())).await?;
    server.crash().await?;
    golden.ask(&server).await?;
    server.restart().await?;
    golden.ask(&server).await
}
