//! Whom a question goes to in a cluster: all ingesters, and the store-gateways that own the blocks at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::roles::{IngesterApi, IngesterQuery, Member, StoreGatewayApi, StoreGatewayQuery, StoreGateways};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats};
use flamelake_model::{ErrorCode, StatusError};
use futures::future::{join_all, try_join_all};

use crate::merge::merge;

/// Store-gateways that are asked for a block before the question fails.
const GATEWAYS_MAX: usize = 3;

/// The ingesters of a moment. Any of them may hold rows of any series, so a question must hear from all.
#[derive(Debug)]
pub(crate) struct AllIngesters {
    pub(crate) members: Vec<Member<dyn IngesterApi>>,
    /// Who cannot be reached is named in the answer instead of failing it.
    pub(crate) partial: bool,
}

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
        if self.members.is_empty() {
            return Err(StatusError::unavailable("no ingester is known: the answer would be incomplete"));
        }
        let parts = try_join_all(self.members.iter().map(|member| async move {
            match ask_ingester(member, request).await {
                Err(error) if self.partial && error.code == ErrorCode::Unavailable => {
                    Ok(left_out(&request.query, error.message))
                }
                answer => answer,
            }
        }))
        .await?;
        merge(&request.query, parts).await
    }
}

/// An empty part that says what is missing.
fn left_out(query: &PartialQuery, note: String) -> PartialAnswer {
    let stats = QueryStats { set_aside: vec![note], ..QueryStats::default() };
    PartialAnswer { result: PartialResult::empty(query), stats }
}

/// Asks each block's owner; the next one if that cannot be reached.
pub struct ShardedGateways {
    members: Arc<dyn StoreGateways>,
    partial: bool,
}

impl ShardedGateways {
    /// Over the members of a ring. `partial`: blocks that nobody answers for are named in the answer instead of failing it.
    pub fn new(members: Arc<dyn StoreGateways>, partial: bool) -> Self {
        Self { members, partial }
    }

    /// Who is asked next for which blocks, and the blocks that are left without anybody.
    fn groups(&self, blocks: Vec<String>, tried: usize) -> (Vec<Group>, Vec<String>) {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let mut left = Vec::new();
        for block in blocks {
            let Some(member) = self.members.for_block(&block).into_iter().take(GATEWAYS_MAX).nth(tried) else {
                left.push(block);
                continue;
            };
            let group = groups.entry(member.name.clone());
            group.or_insert_with(|| Group { member, blocks: Vec::new() }).blocks.push(block);
        }
        (groups.into_values().collect(), left)
    }

    /// What becomes of blocks that nobody answers for.
    fn unanswered(&self, query: &PartialQuery, blocks: &[String], why: &str) -> Result<PartialAnswer, StatusError> {
        let note = format!("no store-gateway answers for block {}: {why}", blocks.join(", "));
        if self.partial { Ok(left_out(query, note)) } else { Err(StatusError::unavailable(note)) }
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
        let mut why = "none is a member".to_owned();
        while !blocks.is_empty() {
            let (groups, left) = self.groups(std::mem::take(&mut blocks), tried);
            if !left.is_empty() {
                parts.push(self.unanswered(&query, &left, &why)?);
            }
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
                    Err(error) if error.code == ErrorCode::Unavailable => {
                        tracing::warn!(gateway = group.member.name, %error, "a store-gateway is passed over");
                        why = error.message;
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
