//! The traits through which roles call each other: in memory in `--target=all`, over gRPC in a cluster.

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
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError>;
    /// `failed_precondition` when a row above the watermarks was dropped already or V is too old: refresh V and ask again.
    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError>;
    /// Cuts and commits the heads of one tenant, or of all.
    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError>;
}

/// A question to a store-gateway: answered from exactly these blocks, or failed.
#[derive(Clone, Debug)]
pub struct StoreGatewayQuery {
    /// Whose data.
    pub tenant: TenantId,
    /// ULIDs of live blocks, as text.
    pub blocks: Vec<String>,
    /// The question.
    pub query: PartialQuery,
}

/// The committed-read side.
#[async_trait]
pub trait StoreGatewayApi: Send + Sync {
    /// `not_found` naming the block when a file is missing (plan again); damaged blocks are set aside in the stats.
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError>;
}
