//! Promise P1: a stop, a crash or a torn log loses nothing that was acknowledged; two servers never share a folder.

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::faults::{newest_log, tear_tail};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};

async fn with_data() -> anyhow::Result<Server> {
    let server = Server::start(ServerOptions::new()).await?;
    for (at, folded) in ["main;a 1\nmain;b 2", "main;a 10", "main;c;d 7"].into_iter().enumerate() {
        push_cpu(&server.client(), "restart", folded, now_ns() - 60_000_000_000 + at as i64).await?;
    }
    Ok(server)
}

async fn unchanged(server: &Server) -> anyhow::Result<()> {
    let tree = flame(&server.client(), r#"{service_name="restart"}"#, Range::around_now()).await?;
    let got: Vec<String> = tree.iter().map(|(path, (total, own))| format!("{path} {total} {own}")).collect();
    let want = ["main 20 0", "main;a 11 11", "main;b 2 2", "main;c 7 0", "main;c;d 7 7"];
    ensure!(got == want, "{got:#?}");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_well_and_loses_nothing() -> anyhow::Result<()> {
    let mut server = with_data().await?;
    unchanged(&server).await?;
    for _ in 0..3 {
        server.restart().await?;
        unchanged(&server).await?;
    }
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn a_crash_loses_nothing_before_and_after_a_flush() -> anyhow::Result<()> {
    let mut server = with_data().await?;
    server.crash().await?;
    unchanged(&server).await?;
    server.flush().await?;
    unchanged(&server).await?;
    server.crash().await?;
    unchanged(&server).await
}

#[tokio::test]
async fn a_torn_last_record_is_cut_off() -> anyhow::Result<()> {
    let mut server = with_data().await?;
    server.kill()?;
    tear_tail(&newest_log(&server.data())?, &[0x5a; 37])?;
    server.launch().await?;
    unchanged(&server).await?;
    push_cpu(&server.client(), "after", "main 1", now_ns()).await?;
    server.crash().await?;
    unchanged(&server).await
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_refuses_to_start() -> anyhow::Result<()> {
    let mut server = with_data().await?;
    let mut rival = server.spawn_rival()?;
    let status = tokio::task::spawn_blocking(move || rival.wait()).await??;
    ensure!(!status.success(), "the second server ended with {status}");
    unchanged(&server).await
}
