//! Promises P1, P2 and P6 for a cluster: what was acknowledged is there exactly once, whoever dies, hangs, comes or goes.
#![expect(clippy::print_stdout, reason = "the account is what a reader of the test wants to see")]
#![expect(clippy::disallowed_methods, reason = "it measures real processes")]

use std::time::{Duration, Instant};

use anyhow::ensure;
use flamelake_integration_tests::ServerOptions;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::faults::around;
use flamelake_integration_tests::ledger::Pushers;
use flamelake_testkit::seeded_rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

const INGESTERS: [&str; 3] = ["ingester-0", "ingester-1", "ingester-2"];
pub(crate) const PROCESSES: [(&str, &str); 9] = [
    ("ingester-0", "ingester"),
    ("ingester-1", "ingester"),
    ("ingester-2", "ingester"),
    ("gateway-0", "store-gateway"),
    ("gateway-1", "store-gateway"),
    ("compactor-0", "compactor"),
    ("compactor-1", "compactor"),
    ("front-0", "distributor,querier"),
    ("front-1", "distributor,querier"),
];
/// Longer than a lease and the time to be forgotten.
pub(crate) const GONE: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(500);

/// Blocks are cut and merged all the time.
pub(crate) fn options() -> ServerOptions {
    ServerOptions::new().fast_pushes().flags([
        "ingester.flush-interval=1s",
        "ingester.retain-after-commit=2s",
        "compactor.compaction-interval=500ms",
    ])
}

/// A cluster under load, and the account of it.
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    pushers: Pushers,
    rng: StdRng,
}

impl Run {
    async fn start(who: &str) -> anyhow::Result<Option<Self>> {
        let Some(cluster) = Cluster::start(who, options(), &PROCESSES).await? else { return Ok(None) };
        Ok(Some(Self::over(who, cluster)))
    }

    /// Pushes begin. The cluster has `front-0` and `front-1`.
    pub(crate) fn over(who: &str, cluster: Cluster) -> Self {
        let pushers = Pushers::over(&[cluster.client("front-0"), cluster.client("front-1")], 0);
        Self { cluster, pushers, rng: seeded_rng(who) }
    }

    pub(crate) async fn breathe(&mut self) {
        tokio::time::sleep(around(&mut self.rng, BETWEEN)).await;
    }

    fn any(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.rng).expect("a list with members")
    }

    /// Acknowledged profiles must be there while clients go on; tells how long nothing could be asked or pushed.
    pub(crate) async fn expect_service(&self, what: &str) -> anyhow::Result<()> {
        self.expect_service_at("front-0", what).await
    }

    /// The same with questions to a process by its name.
    pub(crate) async fn expect_service_at(&self, front: &str, what: &str) -> anyhow::Result<()> {
        let (begun, before) = (Instant::now(), self.pushers.ledger().acknowledged());
        self.pushers.ledger().account(&self.cluster.client(front)).await?;
        let asked = begun.elapsed();
        while self.pushers.ledger().acknowledged() == before {
            ensure!(begun.elapsed() < Duration::from_secs(60), "{what}: pushes are refused for a minute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{what}: answers after {asked:?}, pushes after {:?}", begun.elapsed());
        Ok(())
    }

    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        let Self { cluster, pushers, .. } = self;
        let ledger = pushers.stop().await?;
        for front in ["front-0", "front-1"] {
            ledger.account_at_rest(&cluster.client(front)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn survives_the_death_of_everybody() -> anyhow::Result<()> {
    let Some(mut run) = Run::start("survives_the_death_of_everybody").await? else { return Ok(()) };
    for (name, _) in PROCESSES {
        run.breathe().await;
        run.cluster.server(name).kill()?;
        run.breathe().await;
        run.cluster.server(name).launch().await?;
        run.expect_service(name).await?;
    }
    // Two ingesters at once, for long enough to be recovered by the third.
    let (a, b) = (INGESTERS[0], INGESTERS[1]);
    run.cluster.server(a).kill()?;
    run.cluster.server(b).kill()?;
    run.expect_service("two ingesters lost").await?;
    run.cluster.server(a).launch().await?;
    run.cluster.server(b).launch().await?;
    run.expect_service("two ingesters back").await?;
    run.finish().await
}

#[tokio::test]
async fn survives_sleepers() -> anyhow::Result<()> {
    let Some(mut run) = Run::start("survives_sleepers").await? else { return Ok(()) };
    for name in ["ingester-0", "gateway-0", "compactor-0", "front-1", "ingester-1"] {
        run.breathe().await;
        run.cluster.server(name).pause()?;
        tokio::time::sleep(GONE).await;
        run.cluster.server(name).resume()?;
        run.expect_service(&format!("{name} woke up")).await?;
    }
    run.finish().await
}

#[tokio::test]
async fn survives_the_loss_of_etcd_and_of_the_bucket() -> anyhow::Result<()> {
    let Some(mut run) = Run::start("survives_the_loss_of_etcd").await? else { return Ok(()) };
    run.breathe().await;
    run.cluster.etcd().kill();
    tokio::time::sleep(GONE).await;
    run.expect_service("no etcd").await?;
    run.cluster.etcd().launch();
    run.expect_service("etcd back").await?;
    run.cluster.etcd().wipe();
    run.breathe().await;
    run.cluster.etcd().launch();
    run.expect_service("etcd wiped").await?;
    run.breathe().await;
    run.cluster.s3.kill();
    tokio::time::sleep(GONE).await;
    ensure!(run.cluster.s3.launch()?, "the S3 server does not come back");
    run.expect_service("bucket back").await?;
    let victim = run.any(&INGESTERS);
    run.cluster.server(victim).crash().await?;
    run.expect_service(victim).await?;
    run.finish().await
}

#[tokio::test]
async fn survives_rolling_restarts_and_scaling() -> anyhow::Result<()> {
    let Some(mut run) = Run::start("survives_rolling_restarts").await? else { return Ok(()) };
    for (name, _) in PROCESSES {
        run.cluster.server(name).restart().await?;
        run.expect_service(name).await?;
    }
    run.cluster.add("ingester-3", "ingester").await?;
    run.cluster.add("ingester-4", "ingester").await?;
    run.expect_service("five ingesters").await?;
    for name in ["ingester-4", "ingester-0", "ingester-2"] {
        run.breathe().await;
        let mut server = run.cluster.take(name).expect("it runs");
        let status = server.stop().await?;
        ensure!(status.success(), "{name} ended with {status}");
        run.expect_service(&format!("without {name}")).await?;
    }
    run.finish().await
}
