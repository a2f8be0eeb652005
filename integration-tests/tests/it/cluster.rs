//! Several processes, one etcd, one bucket: the same answers as of one process, whoever comes and goes.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "how long it took is worth a line")]

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame, flame_sum, series_sum};
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::server::binary;
use flamelake_integration_tests::{Client, ServerOptions, now_ns, push_cpu};

const ROLES: [(&str, &str); 7] = [
    ("ingester-0", "ingester"),
    ("ingester-1", "ingester"),
    ("ingester-2", "ingester"),
    ("gateway-0", "store-gateway"),
    ("gateway-1", "store-gateway"),
    ("distributor-0", "distributor"),
    ("querier-0", "querier"),
];

async fn expect_sum(client: &Client, pushed: i64) -> anyhow::Result<()> {
    let range = Range::around_now();
    let tree = flame(client, "{}", range).await?;
    let series = series_sum(client, "{}", range).await?;
    ensure!(flame_sum(&tree) == pushed && series == pushed as f64, "{pushed} pushed, series {series}: {tree:#?}");
    Ok(())
}

/// Services that fall to different ingesters; each of value 1.
async fn push_some(client: &Client, round: usize) -> anyhow::Result<i64> {
    for service in 0..12 {
        push_cpu(client, &format!("svc{service}"), &format!("main;f{round} 1"), now_ns()).await?;
    }
    Ok(12)
}

#[tokio::test]
async fn roles_in_processes_of_their_own_answer_as_one() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::start("roles_in_processes", ServerOptions::new(), &ROLES).await? else {
        return Ok(());
    };
    let (push, query) = (cluster.client("distributor-0"), cluster.client("querier-0"));
    let mut pushed = push_some(&push, 0).await?;
    expect_sum(&query, pushed).await?;
    cluster.flush(&["ingester-0", "ingester-1", "ingester-2"]).await?;
    expect_sum(&query, pushed).await?;
    pushed += push_some(&push, 1).await?;
    expect_sum(&query, pushed).await?;
    // Every role once in order and once by SIGKILL.
    let names: Vec<String> = cluster.servers().map(|(name, _)| name.to_owned()).collect();
    for (round, name) in names.iter().enumerate() {
        cluster.server(name).restart().await?;
        expect_sum(&query, pushed).await?;
        cluster.server(name).crash().await?;
        pushed += push_some(&push, round + 2).await?;
        expect_sum(&query, pushed).await?;
    }
    cluster.expect_no_trouble()
}

#[tokio::test]
async fn a_start_without_etcd_says_what_it_waits_for() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::prepare("a_start_without_etcd", ServerOptions::new())? else { return Ok(()) };
    cluster.etcd().kill();
    cluster.begin("all-0", "all")?;
    let client = cluster.client("all-0");
    let begun = std::time::Instant::now();
    while !client.get_status("/healthz").await.is_ok_and(|status| status == 200) {
        ensure!(begun.elapsed().as_secs() < 30, "it does not tell that it lives");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let body = client.get_text("/ready").await?;
    ensure!(body.starts_with("not ready: ") && body.contains("ring (etcd)"), "{body}");
    cluster.etcd().launch();
    cluster.server("all-0").until_ready().await?;
    push_cpu(&client, "a", "main 1", now_ns()).await?;
    expect_sum(&client, 1).await
}

#[tokio::test]
async fn a_lost_ingester_is_recovered_by_another() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::start("a_lost_ingester", ServerOptions::new(), &ROLES).await? else {
        return Ok(());
    };
    let (push, query) = (cluster.client("distributor-0"), cluster.client("querier-0"));
    let pushed = push_some(&push, 0).await?;
    cluster.server("ingester-1").kill()?;
    // Answers come again once it is no member any more.
    let begun = std::time::Instant::now();
    while let Err(error) = expect_sum(&query, pushed).await {
        ensure!(begun.elapsed().as_secs() < 60, "no answer without the lost ingester: {error:#}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    println!("answers came again after {:?}", begun.elapsed());
    let pushed = pushed + push_some(&push, 1).await?;
    expect_sum(&query, pushed).await?;
    cluster.server("ingester-1").launch().await?;
    expect_sum(&query, pushed).await?;
    cluster.expect_no_trouble()
}

/// (did it work, what it said) of `flamelake ring --forget` and more.
fn forget(url: &str, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = Command::new(binary()?).args(["ring", "--url", url, "--forget"]).args(arguments).output()?;
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.success(), told))
}

/// A disk is gone with the log on it: the operator is told what that costs, and only with his word does the cluster go on without its ingester.
#[tokio::test]
async fn an_ingester_on_a_lost_disk_is_forgotten_by_who_accepts_the_loss() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::prepare("an_ingester_on_a_lost_disk", ServerOptions::new())? else {
        return Ok(());
    };
    let disk = tempfile::Builder::new().prefix("flamelake-disk-").tempdir()?;
    let log_on_disk = format!("log.url=file://{}/log", disk.path().display());
    for (name, target) in ROLES {
        let flags = if name == "ingester-1" { vec![log_on_disk.as_str()] } else { Vec::new() };
        cluster.add_with(name, target, &flags).await?;
    }
    let (push, query) = (cluster.client("distributor-0"), cluster.client("querier-0"));
    let url = cluster.server("querier-0").url();
    let mut pushed = push_some(&push, 0).await?;
    cluster.flush(&["ingester-1"]).await?;
    let in_blocks = cluster.server("ingester-1").metric("flamelake_ingester_profiles_total").await?;
    pushed += push_some(&push, 1).await?;
    let on_disk_only = cluster.server("ingester-1").metric("flamelake_ingester_profiles_total").await? - in_blocks;
    ensure!(in_blocks > 0.0 && on_disk_only > 0.0, "ingester-1 got nothing: {in_blocks} and {on_disk_only}");
    expect_sum(&query, pushed).await?;

    cluster.server("ingester-1").kill()?;
    std::fs::remove_dir_all(disk.path())?;
    let begun = Instant::now();
    let refused = loop {
        let (done, told) = forget(&url, &["ingester-1"])?;
        ensure!(!done && begun.elapsed().as_secs() < 30, "without a word: {told}");
        if !told.contains("lives") {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for part in ["`flamelake ring --forget ingester-1 --accept-loss`", "no block holds is lost", "lost-volume.md"] {
        ensure!(refused.contains(part), "{refused}");
    }
    ensure!(expect_sum(&query, pushed).await.is_err(), "its rows are not missed");
    let (done, told) = forget(&url, &["ingester-1", "--accept-loss"])?;
    ensure!(done && told.contains("is lost"), "{told}");
    // What lay on the disk alone is gone, what was in blocks is not.
    pushed -= on_disk_only as i64;
    while let Err(error) = expect_sum(&query, pushed).await {
        ensure!(begun.elapsed().as_secs() < 60, "no answer without the forgotten ingester: {error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(cluster.server("querier-0").metric("flamelake_ring_logs_given_up_total").await? == 1.0);
    let noted = |line: &str| line.contains("gave up a log") && line.contains("ingester-1") && line.contains("audit");
    ensure!(cluster.server("querier-0").log().lines().any(noted), "no record of it");
    pushed += push_some(&push, 2).await?;
    expect_sum(&query, pushed).await?;

    // One that it can still come back to, with an empty disk.
    std::fs::create_dir_all(disk.path())?;
    cluster.server("ingester-1").launch().await?;
    pushed += push_some(&push, 3).await?;
    expect_sum(&query, pushed).await?;
    cluster.expect_no_trouble()
}

/// `log.url` from the bucket to a disk and back: what was left in the bucket is neither missed nor counted again.
#[tokio::test]
async fn a_log_that_moves_to_a_disk_and_back_is_read_once() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::start("a_log_that_moves", ServerOptions::new(), &ROLES).await? else {
        return Ok(());
    };
    let (push, query) = (cluster.client("distributor-0"), cluster.client("querier-0"));
    let disk = tempfile::Builder::new().prefix("flamelake-disk-").tempdir()?;
    let on_disk = format!("log.url=file://{}/log", disk.path().display());
    let mut pushed = 0;
    for (round, flags) in [vec![], vec![on_disk], vec![]].iter().enumerate() {
        // A plain stop leaves in a log on a disk what is in no block yet.
        ensure!(cluster.client("ingester-1").post_status("/ingester/shutdown").await? == 204);
        cluster.server("ingester-1").set_flags(flags);
        cluster.server("ingester-1").restart().await?;
        // Two segments of the log at least, the first of which goes after a flush.
        for part in 0..3 {
            pushed += push_some(&push, round * 3 + part).await?;
            if part == 0 {
                cluster.flush(&["ingester-1"]).await?;
            }
        }
        expect_sum(&query, pushed).await?;
        ensure!(
            cluster.server("ingester-1").metric("flamelake_ingester_log_damage_total").await? == 0.0,
            "round {round}"
        );
    }
    cluster.server("ingester-1").restart().await?;
    expect_sum(&query, pushed).await?;
    cluster.expect_no_trouble()
}

/// What operators do before a scale-down (contract `operations.md` section 1.5), on the admin port.
#[tokio::test]
async fn an_ingester_is_led_out_by_its_admin_port() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::prepare("an_ingester_is_led_out", ServerOptions::new())? else { return Ok(()) };
    cluster.add("all-0", "all").await?;
    let port = free_port()?;
    cluster.add_with("ingester-1", "ingester", &[&format!("server.admin-listen-port={port}")]).await?;
    let (front, admin) = (cluster.client("all-0"), Client::new(&format!("http://127.0.0.1:{port}")));
    ensure!(cluster.client("ingester-1").get_status("/ring").await? == 404, "the admin port is split off");
    ensure!(admin.get_status("/ring").await? == 200);
    let mut pushed = push_some(&front, 0).await?;

    ensure!(admin.get_text("/ingester/prepare-instance-ring-downscale").await? == r#"{"timestamp":0}"#);
    ensure!(admin.post_status("/ingester/prepare-instance-ring-downscale").await? == 200);
    ensure!(admin.get_text("/ingester/prepare-instance-ring-downscale").await? != r#"{"timestamp":0}"#);
    let before = cluster.server("ingester-1").metric("flamelake_ingester_profiles_total").await?;
    pushed += push_some(&front, 1).await?;
    expect_sum(&front, pushed).await?;
    let after = cluster.server("ingester-1").metric("flamelake_ingester_profiles_total").await?;
    ensure!(before > 0.0 && after == before, "took {before}, then {after}");

    ensure!(admin.post_status("/ingester/shutdown").await? == 204);
    ensure!(cluster.client("ingester-1").get_status("/ready").await? == 503);
    expect_sum(&front, pushed).await?;
    let status = cluster.server("ingester-1").stop().await?;
    ensure!(status.success(), "{status}");
    expect_sum(&front, pushed).await?;
    pushed += push_some(&front, 2).await?;
    expect_sum(&front, pushed).await?;
    cluster.expect_no_trouble()
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
