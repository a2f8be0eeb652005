//! The recorded answers (`../shared/golden`), asked of a cluster: the same as of one process.

use flamelake_integration_tests::ServerOptions;
use flamelake_integration_tests::cluster::Cluster;
use flamelake_integration_tests::golden::Golden;

const PROCESSES: [(&str, &str); 9] = [
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
const INGESTERS: [&str; 3] = ["ingester-0", "ingester-1", "ingester-2"];

#[tokio::test]
async fn a_cluster_answers_as_recorded() -> anyhow::Result<()> {
    let who = "a_cluster_answers_as_recorded";
    let options = ServerOptions::new().golden().flag("compactor.compaction-interval=300ms");
    let Some(mut cluster) = Cluster::start(who, options, &PROCESSES).await? else { return Ok(()) };
    let Some(golden) = Golden::find(who, cluster.server("front-0")).await? else { return Ok(()) };
    golden.push(cluster.server("front-0"), async |_| Ok(())).await?;
    golden.ask(cluster.server("front-1")).await?;
    cluster.flush(&INGESTERS).await?;
    golden.ask(cluster.server("front-0")).await?;
    let names: Vec<String> = cluster.servers().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        cluster.server(&name).restart().await?;
    }
    golden.ask(cluster.server("front-1")).await?;
    cluster.expect_no_trouble()
}
