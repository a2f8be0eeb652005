//! The recorded answers (`../shared/golden`), asked of a cluster with every role apart and three etcds: the same as of one process.

use flamelake_integration_tests::ServerOptions;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::golden::Golden;

const PROCESSES: [(&str, &str); 11] = [
    ("ingester-0", "ingester"),
    ("ingester-1", "ingester"),
    ("ingester-2", "ingester"),
    ("gateway-0", "store-gateway"),
    ("gateway-1", "store-gateway"),
    ("compactor-0", "compactor"),
    ("compactor-1", "compactor"),
    ("distributor-0", "distributor"),
    ("distributor-1", "distributor"),
    ("querier-0", "querier"),
    ("querier-1", "querier"),
];
const INGESTERS: [&str; 3] = ["ingester-0", "ingester-1", "ingester-2"];

#[tokio::test]
async fn a_cluster_answers_as_recorded() -> anyhow::Result<()> {
    let who = "a_cluster_answers_as_recorded";
    let options = ServerOptions::new().golden().flag("compactor.compaction-interval=300ms");
    let Some(mut cluster) = Cluster::prepare_with(who, options, 3)? else { return Ok(()) };
    for (name, target) in PROCESSES {
        cluster.add(name, target).await?;
    }
    let Some(golden) = Golden::find(who, cluster.server("distributor-0")).await? else { return Ok(()) };
    golden.push(cluster.server("distributor-0"), async |_| Ok(())).await?;
    golden.ask(cluster.server("querier-1")).await?;
    cluster.flush(&INGESTERS).await?;
    golden.ask(cluster.server("querier-0")).await?;
    let names: Vec<String> = cluster.servers().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        cluster.server(&name).restart().await?;
    }
    golden.ask(cluster.server("querier-1")).await?;
    cluster.expect_no_trouble()
}
