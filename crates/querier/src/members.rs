//! Whom a question goes to in a cluster: all ingesters, and the store-gateways that own the blocks at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::roles::{IngesterApi, IngesterQuery, Member, StoreGatewayApi, StoreGatewayQuery, StoreGateways};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{ErrorCode, StatusError};
use futures::future::{join_all, try_join_all};

use crate::merge::merge;

/// Store-gateways that are asked for a block before the question fails.
const GATEWAYS_MAX: usize = 3;

/// The ingesters of a moment. Any of them may hold rows of any series, so a question must hear from all.
#[derive(Debug)]
pub(crate) struct AllIngesters(pub(crate) Vec<Member<dyn IngesterApi>>);

/// Once more if the member could not be reached; then the question fails, naming it: nobody else has its rows.
async fn ask_ingester(member: &Member<dyn IngesterApi>, request: &IngesterQuery) -> Result<PartialAnswer, StatusError> {
    match member.api.query(request.clone()).await {
        Err(error) if error.code == ErrorCode::Unavailable => member
            .api
            .query(request.clone())
            .await
            .map_err(|error| StatusError { message: format!("ingester {}: {}", member.name, error.message), ..error }),
        answer => answer,
    }
}

impl AllIngesters {
    pub(crate) async fn query(&self, request: &IngesterQuery) -> Result<PartialAnswer, StatusError> {
        if self.0.is_empty() {
            return Err(StatusError::unavailable("no ingester is known: the answer would be incomplete"));
        }
        let parts = try_join_all(self.0.iter().map(|member| ask_ingester(member, request))).await?;
        merge(&request.query, parts).await
    }
}

/// Asks each block's owner; the next one if that cannot be reached.
pub struct ShardedGateways {
    members: Arc<dyn StoreGateways>,
}

impl ShardedGateways {
    /// Over the members of a ring.
    pub fn new(members: Arc<dyn StoreGateways>) -> Self {
        Self { members }
    }

    fn groups(&self, blocks: Vec<String>, tried: usize) -> Result<Vec<Group>, StatusError> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for block in blocks {
            let Some(member) = self.members.for_block(&block).into_iter().take(GATEWAYS_MAX).nth(tried) else {
                return Err(StatusError::unavailable(format!("no store-gateway answers for block {block}")));
            };
            let group = groups.entry(member.name.clone());
            group.or_insert_with(|| Group { member, blocks: Vec::new() }).blocks.push(block);
        }
        Ok(groups.into_values().collect())
    }
}

impl std::fmt::Debug for ShardedGateways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardedGateways")
    }
}

/// Blocks that one gateway is asked for.
struct Group {
    member: Member<dyn StoreGatewayApi>,
    blocks: Vec<String>,
}

#[async_trait]
impl StoreGatewayApi for ShardedGateways {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        let StoreGatewayQuery { tenant, mut blocks, query, set_missing_aside } = request;
        let mut parts = Vec::new();
        let mut tried = 0;
        while !blocks.is_empty() {
            let groups = self.groups(std::mem::take(&mut blocks), tried)?;
            let (tenant, query) = (&tenant, &query);
            let calls = groups.iter().map(|Group { member, blocks }| {
                let (tenant, query, blocks) = (tenant.clone(), query.clone(), blocks.clone());
                member.api.query(StoreGatewayQuery { tenant, blocks, query, set_missing_aside })
            });
            let answers = join_all(calls).await;
            for (group, answer) in groups.into_iter().zip(answers) {
                match answer {
                    Ok(part) => parts.push(part),
                    // A part counts only whole, so nothing of this one is in the sum.
                    Err(error) if error.code == ErrorCode::Unavailable && tried + 1 < GATEWAYS_MAX => {
                        tracing::warn!(gateway = group.member.name, %error, "a store-gateway is passed over");
                        blocks.extend(group.blocks);
                    }
                    Err(error) => return Err(error),
                }
            }
            tried += 1;
        }
        merge(&query, parts).await
    }
}

#[cfg(test)]
mod tests;
