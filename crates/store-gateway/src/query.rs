//! One question: its blocks side by side, their answers merged as they come.

use std::sync::Arc;

use flamelake_api::roles::StoreGatewayQuery;
use flamelake_block::meta::Ulid;
use flamelake_debuginfo::Symbolised;
use flamelake_model::query::{PartialAnswer, PartialQuery};
use flamelake_model::{StatusError, TenantId};
use flamelake_query_engine::{Merger, SourceError, execute};
use tokio::task::JoinSet;
use tracing::{Instrument as _, warn};

use crate::error::StoreGatewayError;
use crate::service::Shared;

/// What reading one block gave.
enum BlockAnswer {
    Answer(PartialAnswer),
    /// Damaged: its name and what is wrong.
    SetAside(String),
}

pub(crate) async fn query(shared: &Arc<Shared>, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
    let blocks = parse(shared, &request).map_err(|error| StatusError::from_coded(&error))?;
    let query = Arc::new(request.query);
    let set_missing_aside = request.set_missing_aside;
    let mut merger = Merger::new(&query);
    // Dropping the set ends its tasks: a query that is given up reads no further.
    let mut tasks = JoinSet::new();
    let mut waiting = blocks.into_iter();
    loop {
        while tasks.len() < shared.config.blocks_concurrent_max.max(1) {
            let Some(block) = waiting.next() else { break };
            let read = read(Arc::clone(shared), request.tenant.clone(), block, Arc::clone(&query), set_missing_aside);
            tasks.spawn(read.instrument(tracing::trace_span!(target: "flamelake::span", "read block", %block)));
        }
        let Some(done) = tasks.join_next().await else { break };
        let done = done.map_err(|error| StatusError::from_coded(&StoreGatewayError::Worker(error)))?;
        merger = merge(merger, done?).await?;
    }
    let answer = merger.finish()?;
    shared.metrics.samples.inc_by(answer.stats.samples);
    Ok(answer)
}

/// Trees and profiles take milliseconds to merge: not on a thread that serves sockets.
async fn merge(mut merger: Merger, done: BlockAnswer) -> Result<Merger, StatusError> {
    match done {
        BlockAnswer::SetAside(note) => {
            merger.set_aside(note);
            Ok(merger)
        }
        BlockAnswer::Answer(answer) => flamelake_runtime::spawn_blocking(move || merger.add(answer).map(|()| merger))
            .await
            .map_err(|error| StatusError::from_coded(&StoreGatewayError::Worker(error)))?,
    }
}

fn parse(shared: &Shared, request: &StoreGatewayQuery) -> Result<Vec<Ulid>, StoreGatewayError> {
    let (blocks, max) = (request.blocks.len(), shared.config.blocks_per_query_max);
    if blocks > max {
        return Err(StoreGatewayError::TooManyBlocks { blocks, max });
    }
    let parse = |name: &String| Ulid::from_string(name).map_err(|_| StoreGatewayError::BadName { block: name.clone() });
    let mut blocks = request.blocks.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    // A block that is named twice still counts once.
    blocks.sort_unstable();
    blocks.dedup();
    Ok(blocks)
}

async fn read(
    shared: Arc<Shared>,
    tenant: TenantId,
    block: Ulid,
    query: Arc<PartialQuery>,
    set_missing_aside: bool,
) -> Result<BlockAnswer, StatusError> {
    let _turn = shared.turns.acquire(&tenant).await;
    match execute_block(&shared, &tenant, block, &query).await {
        Ok(answer) => {
            shared.metrics.blocks_read.inc();
            Ok(BlockAnswer::Answer(answer))
        }
        Err(SourceError::Status(status)) => Err(status),
        Err(SourceError::Damaged { name, reason, missing: true }) if !set_missing_aside => {
            shared.metrics.blocks_missing.inc();
            shared.cache.forget(&tenant, block).await;
            Err(StatusError::from_coded(&StoreGatewayError::Missing { block: name, reason }))
        }
        Err(SourceError::Damaged { name, reason, missing: _ }) => {
            shared.metrics.blocks_set_aside.inc();
            shared.cache.forget(&tenant, block).await;
            if shared.is_news(&tenant, block) {
                warn!(%tenant, %block, %reason, "block is damaged: queries leave it out");
            }
            Ok(BlockAnswer::SetAside(format!("block {name}: {reason}")))
        }
    }
}

async fn execute_block(
    shared: &Shared,
    tenant: &TenantId,
    block: Ulid,
    query: &PartialQuery,
) -> Result<PartialAnswer, SourceError> {
    let reader = shared.cache.get(tenant, block).await.map_err(|error| SourceError::from(&*error))?;
    let before = reader.memory_bytes();
    let source = Symbolised::new(&*reader, tenant, shared.symboliser.as_ref(), true);
    let answer = shared.cores.share(tenant.clone(), execute(&source, query)).await?;
    if reader.memory_bytes() != before {
        shared.cache.weigh_again(tenant, block, reader).await;
    }
    Ok(answer)
}
