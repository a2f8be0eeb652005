//! Promise: what is older than the retention is not shown, whatever has become of its files; the rest is.

use std::time::Duration;

use anyhow::ensure;
use flamelake_integration_tests::answers::{Range, flame};
use flamelake_integration_tests::faults::files;
use flamelake_integration_tests::{Server, ServerOptions, now_ns, push_cpu};

const DAY_NS: i64 = 86_400_000_000_000;

#[tokio::test]
async fn old_profiles_are_hidden_and_their_blocks_deleted() -> anyhow::Result<()> {
    let options = ServerOptions::new().flags([
        "retention-period=2d",
        "validation.reject-older-than=0",
        "querier.max-query-lookback=0",
        "querier.max-query-length=0",
        "compactor.cleanup-interval=200ms",
        "catalog.delete-delay=1s",
    ]);
    let server = Server::start(options).await?;
    let now = now_ns();
    push_cpu(&server.client(), "old", "main;old 1", now - 3 * DAY_NS).await?;
    server.flush().await?;
    push_cpu(&server.client(), "new", "main;new 2", now - DAY_NS).await?;
    let range = Range { start_ms: (now - 10 * DAY_NS) / 1_000_000, end_ms: now / 1_000_000 };
    let tree = flame(&server.client(), "{}", range).await?;
    ensure!(tree.keys().eq(["main", "main;new"]), "{tree:?}");
    server.flush().await?;
    let tree = flame(&server.client(), "{}", range).await?;
    ensure!(tree.keys().eq(["main", "main;new"]), "{tree:?}");
    // One block is left when the old one's files are gone.
    let blocks = || -> anyhow::Result<usize> {
        Ok(files(&server.data())?.iter().filter(|path| path.ends_with("samples.parquet")).count())
    };
    for _ in 0..600 {
        if blocks()? <= 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{} blocks are still there", blocks()?)
}
