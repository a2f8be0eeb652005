//! Promises P1, P2 and P6 for a cluster whose network, bucket, etcd members, disk and clocks misbehave.
#![expect(clippy::print_stdout, reason = "what was broken is worth a line")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::bad_s3::{BadS3, Faults};
use flamelake_integration_tests::cluster::{Cluster, Wires};
use flamelake_integration_tests::wire::Link;
use flamelake_testkit::tools;

use crate::cluster_ledger::{GONE, PROCESSES, Run, options};

/// How long the bucket misbehaves.
const MISERY: Duration = Duration::from_secs(6);

async fn wired(cluster: &mut Cluster) -> anyhow::Result<BTreeMap<&'static str, Wires>> {
    let mut wires = BTreeMap::new();
    for (name, target) in PROCESSES {
        wires.insert(name, cluster.add_wired(name, target).await?);
    }
    Ok(wires)
}

#[tokio::test]
async fn survives_cut_wires() -> anyhow::Result<()> {
    let who = "survives_cut_wires";
    let Some(mut cluster) = Cluster::prepare(who, options())? else { return Ok(()) };
    let wires = wired(&mut cluster).await?;
    let mut run = Run::over(who, cluster);
    let etcd = |name: &str, link| wires[name].etcd.iter().for_each(|wire| wire.set(link));
    for (name, link) in [("ingester-0", Link::Silent), ("ingester-1", Link::Cut), ("front-0", Link::Silent)] {
        run.breathe().await;
        etcd(name, link);
        tokio::time::sleep(GONE).await;
        // A querier that does not hear of a new member from etcd hears of it from the ingesters.
        run.expect_service_at("front-0", &format!("{name} without etcd, {link:?}")).await?;
        etcd(name, Link::Up);
        run.expect_service(&format!("{name} with etcd again")).await?;
    }
    for (name, link) in [("ingester-2", Link::Silent), ("ingester-0", Link::Cut), ("compactor-0", Link::Silent)] {
        run.breathe().await;
        wires[name].bucket.set(link);
        tokio::time::sleep(GONE).await;
        wires[name].bucket.set(Link::Up);
        run.expect_service(&format!("{name} with the bucket again, {link:?}")).await?;
    }
    for (name, link) in [("ingester-1", Link::Silent), ("gateway-0", Link::Cut), ("ingester-2", Link::Cut)] {
        run.breathe().await;
        wires[name].incoming.set(link);
        tokio::time::sleep(GONE).await;
        wires[name].incoming.set(Link::Up);
        run.expect_service(&format!("{name} reached again, {link:?}")).await?;
    }
    run.finish().await
}

/// Who cannot reach whom, while both are members and everybody else reaches them; and who answers meanwhile.
#[tokio::test]
async fn survives_cuts_between_pairs() -> anyhow::Result<()> {
    let who = "survives_cuts_between_pairs";
    let Some(mut cluster) = Cluster::prepare(who, options())? else { return Ok(()) };
    let wires = wired(&mut cluster).await?;
    let mut run = Run::over(who, cluster);
    let pairs = [
        // Its pushes go to other ingesters; it cannot know what this one has, and says so.
        ("front-0", "ingester-1", Link::Silent, "front-1"),
        ("front-1", "ingester-2", Link::Cut, "front-0"),
        // The other store-gateway answers for this one.
        ("front-0", "gateway-0", Link::Cut, "front-0"),
        ("front-1", "gateway-1", Link::Silent, "front-1"),
        ("compactor-0", "ingester-0", Link::Silent, "front-0"),
    ];
    for (from, to, link, asked) in pairs {
        run.breathe().await;
        let client = run.cluster.server(from).pid()?;
        wires[to].incoming.set_for(client, link);
        tokio::time::sleep(GONE).await;
        run.expect_service_at(asked, &format!("{from} without {to}, {link:?}, {asked} asked")).await?;
        wires[to].incoming.set_for(client, Link::Up);
        run.expect_service_at(from_front(from), &format!("{from} with {to} again")).await?;
    }
    run.finish().await
}

/// Whom to ask when this process is well again.
fn from_front(name: &'static str) -> &'static str {
    if name.starts_with("front") { name } else { "front-0" }
}

#[tokio::test]
async fn survives_a_bucket_that_fails_lies_and_is_slow() -> anyhow::Result<()> {
    let who = "survives_a_bucket_that_fails";
    let Some(mut cluster) = Cluster::prepare(who, options())? else { return Ok(()) };
    let bad = BadS3::before(&cluster.s3.endpoint(), 7).await?;
    cluster.bucket_at(&bad.endpoint());
    for (name, target) in PROCESSES {
        cluster.add(name, target).await?;
    }
    let run = Run::over(who, cluster);
    let miseries = [
        ("refuses", Faults { refused: 0.2, ..Faults::default() }),
        ("loses answers", Faults { answer_lost: 0.2, ..Faults::default() }),
        ("lies", Faults { answer_wrong: 0.2, ..Faults::default() }),
        ("is slow", Faults { delay_max: Duration::from_millis(800), ..Faults::default() }),
        (
            "does everything",
            Faults { refused: 0.1, answer_lost: 0.1, answer_wrong: 0.1, delay_max: Duration::from_millis(300) },
        ),
    ];
    for (what, faults) in miseries {
        bad.set(faults);
        tokio::time::sleep(MISERY).await;
        run.expect_service(&format!("the bucket {what}")).await?;
        bad.set(Faults::default());
        run.expect_service("the bucket is well").await?;
    }
    println!("{} requests met a fault", bad.broken());
    ensure!(bad.broken() > 0, "nothing was broken");
    run.finish().await
}

#[tokio::test]
async fn survives_the_loss_of_members_of_etcd() -> anyhow::Result<()> {
    let who = "survives_the_loss_of_members_of_etcd";
    let Some(mut cluster) = Cluster::prepare_with(who, options(), 3)? else { return Ok(()) };
    for (name, target) in PROCESSES {
        cluster.add(name, target).await?;
    }
    let mut run = Run::over(who, cluster);
    let leader = |run: &Run| run.cluster.etcds.iter().position(flamelake_testkit::Etcd::leads).unwrap_or(0);
    run.breathe().await;
    let at = leader(&run);
    run.cluster.etcds[at].kill();
    run.expect_service("the leader of etcd is dead").await?;
    run.cluster.add("ingester-3", "ingester").await?;
    run.expect_service("an ingester joined by two of three etcds").await?;
    let mut server = run.cluster.take("ingester-3").expect("it runs");
    ensure!(server.stop().await?.success(), "it leaves");
    run.cluster.etcds[at].launch();
    let at = leader(&run);
    run.cluster.etcds[at].pause();
    tokio::time::sleep(GONE).await;
    run.expect_service("the leader of etcd sleeps").await?;
    run.cluster.server("ingester-0").crash().await?;
    run.cluster.etcds[at].resume();
    run.expect_service("it woke up, an ingester began anew").await?;
    run.cluster.etcds[0].kill();
    run.cluster.etcds[1].kill();
    tokio::time::sleep(GONE).await;
    run.expect_service("etcd without a majority").await?;
    run.cluster.etcds[0].launch_without_waiting();
    run.cluster.etcds[1].launch();
    run.expect_service("etcd is whole again").await?;
    run.finish().await
}

#[tokio::test]
async fn survives_clocks_that_are_off_by_minutes() -> anyhow::Result<()> {
    let who = "survives_clocks_that_are_off";
    let Some(library) = tools::faketime(who) else { return Ok(()) };
    let Some(mut cluster) = Cluster::prepare(who, options())? else { return Ok(()) };
    let offsets = ["+240s", "-240s", "+0s", "+120s", "-90s", "+300s", "-300s", "+60s", "-60s"];
    for ((name, target), offset) in PROCESSES.into_iter().zip(offsets) {
        let env = [("LD_PRELOAD", library.as_str()), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        cluster.add_with_env(name, target, &env).await?;
    }
    let mut run = Run::over(who, cluster);
    for name in ["ingester-0", "compactor-0", "front-1", "ingester-1"] {
        run.breathe().await;
        run.cluster.server(name).kill()?;
        run.breathe().await;
        run.cluster.server(name).launch().await?;
        run.expect_service(name).await?;
    }
    let victim = "ingester-1";
    run.cluster.server(victim).kill()?;
    run.expect_service("an ingester with a late clock was recovered by one with an early clock").await?;
    run.cluster.server(victim).launch().await?;
    run.finish().await
}

#[tokio::test]
async fn survives_a_full_disk_under_the_bucket() -> anyhow::Result<()> {
    let who = "survives_a_full_disk_under_the_bucket";
    let Some(mut cluster) = Cluster::prepare_on_disk(who, options(), "64m")? else { return Ok(()) };
    for (name, target) in PROCESSES {
        cluster.add(name, target).await?;
    }
    let mut run = Run::over(who, cluster);
    for _ in 0..2 {
        run.breathe().await;
        run.cluster.fill_disk()?;
        tokio::time::sleep(GONE).await;
        run.cluster.free_disk()?;
        run.expect_service("room again").await?;
    }
    run.finish().await
}
