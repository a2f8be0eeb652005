//! `flamelake admin`: what operators look at, and a lost catalog rebuilt from the blocks.

use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_integration_tests::answers::{Range, flame, flame_sum};
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu, server};

fn admin(server: &Server, words: &str) -> anyhow::Result<(bool, String)> {
    let output = Command::new(server::binary()?)
        .arg("admin")
        .args(words.split(' '))
        .arg(format!("--storage.filesystem.dir={}", server.data().display()))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), text))
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt_and_damage_is_found() -> anyhow::Result<()> {
    let mut server = Server::start(ServerOptions::new()).await?;
    for number in 0..3 {
        push_cpu(&server.client(), "svc", &format!("main;f{number} 1"), now_ns()).await?;
        server.flush().await?;
    }
    let (ok, listed) = admin(&server, "blocks list anonymous")?;
    ensure!(ok && listed.contains("3 live blocks"), "{listed}");
    let (ok, text) = admin(&server, "blocks verify anonymous")?;
    ensure!(ok && text.contains("3 blocks read, 0 with faults"), "{text}");
    let (ok, text) = admin(&server, "catalog verify anonymous")?;
    ensure!(ok && text.contains("3 live blocks, 0 missing, 0 without a commit"), "{text}");
    let (ok, text) = admin(&server, "catalog show anonymous")?;
    ensure!(ok && text.contains("covered  all/"), "{text}");
    let (ok, text) = admin(&server, "catalog show ..")?;
    ensure!(!ok && text.contains("tenant"), "{text}");

    push_cpu(&server.client(), "a", "main 1", now_ns()).await?;
    server.stop().await?;
    let (ok, text) = admin(&server, "log list")?;
    ensure!(ok && text.contains("all "), "{text}");
    let (ok, text) = admin(&server, "log inspect all")?;
    let of_log: Vec<&str> = text.lines().filter(|line| line.ends_with("in this log only")).collect();
    ensure!(ok && of_log.len() == 1 && of_log[0].contains(" anonymous "), "{text}");
    let (ok, text) = admin(&server, "log inspect nobody")?;
    ensure!(!ok && text.contains("has no log"), "{text}");
    std::fs::remove_dir_all(server.data().join("tenants/anonymous/catalog"))?;
    let (ok, text) = admin(&server, "catalog rebuild anonymous")?;
    ensure!(ok && text.contains("3 blocks made live"), "{text}");
    let (ok, text) = admin(&server, "catalog rebuild anonymous")?;
    ensure!(ok && text.contains("0 blocks made live"), "{text}");
    server.launch().await?;
    ensure!(flame_sum(&flame(&server.client(), "{}", Range::around_now()).await?) == 4);

    let block = listed.lines().nth(1).and_then(|line| line.split(' ').next()).context("a block")?.to_owned();
    let (ok, text) = admin(&server, &format!("blocks inspect anonymous {block}"))?;
    ensure!(ok && text.contains("\"log_ranges\""), "{text}");
    let file = server.data().join(format!("tenants/anonymous/blocks/{block}/samples.parquet"));
    let mut bytes = std::fs::read(&file)?;
    bytes[5] ^= 1;
    std::fs::write(&file, bytes)?;
    let (ok, text) = admin(&server, "blocks verify anonymous")?;
    ensure!(!ok && text.contains(&format!("{block}: samples.parquet: checksum differs")), "{text}");
    Ok(())
}
