//! The traits through which roles call each other: in memory in `--target=all`, over gRPC in a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_model::query::{PartialAnswer, PartialQuery};
use flamelake_model::{StatusError, TenantId};

/// Frames of one tenant to make durable.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Encoded frames (`flamelake_pprof::frame::Frame::encode`).
    pub frames: Vec<Bytes>,
    /// A number a frame by which those of one service are spread, where one ingester is too few; empty = they stay together. It is for
    /// the sender alone and does not travel.
    pub spread: Vec<u64>,
}

/// How far a tenant's committed blocks cover one log: rows with `seq <= through` lie in blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watermark {
    /// `<ingester>/<epoch>`.
    pub log: String,
    /// Last covered segment.
    pub through: u64,
}

/// A question to an ingester: answered from exactly the rows above the watermarks.
#[derive(Clone, Debug)]
pub struct IngesterQuery {
    /// Whose data.
    pub tenant: TenantId,
    /// The catalog version V that the watermarks are from.
    pub catalog_version: u64,
    /// V's watermarks; logs that V does not name are uncovered.
    pub watermarks: Vec<Watermark>,
    /// The question.
    pub query: PartialQuery,
}

/// The write and recent-read side.
#[async_trait]
pub trait IngesterApi: Send + Sync {
    /// Answers once every frame is durable and visible to queries. One outcome a frame, in order: frames succeed or fail one by one.
    /// After `resource_exhausted` and `failed_precondition` the frame is surely not stored, and another ingester may take it; after
    /// any other error it may be.
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError>;
    /// `failed_precondition` when a row above the watermarks was dropped already or V is too old: refresh V and ask again.
    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError>;
    /// Cuts and commits the heads of one tenant, or of all.
    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError>;
    /// Commits all heads and deletes the log that they cover. Fails unless nothing is left in this ingester's logs of what was
    /// acknowledged before the call.
    async fn purge_log(&self) -> Result<(), StatusError> {
        Err(StatusError::unimplemented("this ingester has no log of its own"))
    }
}

/// A question to a store-gateway: answered from exactly these blocks, or failed.
#[derive(Clone, Debug)]
pub struct StoreGatewayQuery {
    /// Whose data.
    pub tenant: TenantId,
    /// ULIDs of live blocks, as text.
    pub blocks: Vec<String>,
    /// A missing file is damage: its block is set aside. Else the question is refused, because the file may have been moved.
    pub set_missing_aside: bool,
    /// The question.
    pub query: PartialQuery,
}

/// The committed-read side.
#[async_trait]
pub trait StoreGatewayApi: Send + Sync {
    /// `not_found` naming the block when a file is missing (plan again), unless it is to be set aside; damaged blocks are set aside in
    /// the stats.
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError>;
}

/// One process of a role, under the name it has in the ring.
pub struct Member<T: ?Sized> {
    /// Its instance id.
    pub name: String,
    /// How to call it.
    pub api: Arc<T>,
}

impl<T: ?Sized> Clone for Member<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), api: Arc::clone(&self.api) }
    }
}

impl<T: ?Sized> std::fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({})", self.name)
    }
}

/// Everyone who may hold rows that no block holds, alive or not, at one epoch of the ring.
#[derive(Clone, Debug)]
pub struct IngesterSet {
    /// Counts the changes of membership; 0 without a ring.
    pub epoch: u64,
    /// A query must hear from all of them.
    pub members: Vec<Member<dyn IngesterApi>>,
}

/// The ingesters of a cluster, as the ring has them at this moment.
#[async_trait]
pub trait Ingesters: Send + Sync {
    /// Whom a query asks.
    fn all(&self) -> IngesterSet;
    /// Who takes frames of a service, the owner first, then its neighbours; at most `count`. Empty if nobody does.
    fn for_service(&self, tenant: &TenantId, service_name: &str, count: usize) -> Vec<Member<dyn IngesterApi>>;
    /// Returns once the ring of this process is as new as `epoch`, which somebody else has noted; `unavailable` if it does not come.
    async fn catch_up(&self, epoch: u64) -> Result<(), StatusError>;
}

/// A process without a ring: its own role is the only one.
#[derive(Clone, Debug)]
pub struct Alone(pub Member<dyn IngesterApi>);

#[async_trait]
impl Ingesters for Alone {
    fn all(&self) -> IngesterSet {
        IngesterSet { epoch: 0, members: vec![self.0.clone()] }
    }

    fn for_service(&self, _tenant: &TenantId, _service_name: &str, _count: usize) -> Vec<Member<dyn IngesterApi>> {
        vec![self.0.clone()]
    }

    async fn catch_up(&self, _epoch: u64) -> Result<(), StatusError> {
        Ok(())
    }
}

/// The store-gateways of a cluster, as the ring has them at this moment.
pub trait StoreGateways: Send + Sync {
    /// Who answers for a block, the owner first. Empty if there is none.
    fn for_block(&self, block: &str) -> Vec<Member<dyn StoreGatewayApi>>;
}
