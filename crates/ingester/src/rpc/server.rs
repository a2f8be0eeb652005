//! The serving end.

use std::pin::Pin;
use std::sync::Arc;

use flamelake_api::flamelake::ingester::v1;
use flamelake_api::flamelake::ingester::v1::ingester_service_server::{IngesterService, IngesterServiceServer};
use flamelake_api::flamelake::query::v1::AnswerChunk;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_api::{answer_chunks, tenant};
use flamelake_model::{StatusError, TenantId};
use flamelake_rpc::code::to_grpc_status;
use flamelake_rpc::peer;
use futures::{Stream, stream};
use tonic::{Request, Response, Status};

/// Answers for an ingester of this process.
pub struct IngesterRpc {
    ingester: Arc<dyn IngesterApi>,
}

impl std::fmt::Debug for IngesterRpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IngesterRpc")
    }
}

/// The service, for `flamelake_rpc::App::grpc`. Messages of more than `bytes_max` are refused.
pub fn ingester_service(ingester: Arc<dyn IngesterApi>, bytes_max: usize) -> IngesterServiceServer<IngesterRpc> {
    IngesterServiceServer::new(IngesterRpc { ingester }).max_decoding_message_size(bytes_max)
}

fn outcome(outcome: Result<(), StatusError>) -> v1::Outcome {
    match outcome {
        Ok(()) => v1::Outcome::default(),
        Err(error) => v1::Outcome { code: error.code as u32, message: error.message },
    }
}

fn parse_tenant(text: &str) -> Result<TenantId, Status> {
    tenant(text).map_err(|error| to_grpc_status(&error))
}

#[tonic::async_trait]
impl IngesterService for IngesterRpc {
    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendResponse>, Status> {
        let (request, timeout) = peer::accept(request)?;
        let request =
            AppendRequest { tenant: parse_tenant(&request.tenant)?, frames: request.frames, spread: Vec::new() };
        let outcomes = peer::within(timeout, self.ingester.append(request)).await?;
        Ok(Response::new(v1::AppendResponse { outcomes: outcomes.into_iter().map(outcome).collect() }))
    }

    type QueryStream = Pin<Box<dyn Stream<Item = Result<AnswerChunk, Status>> + Send>>;

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let (request, timeout) = peer::accept(request)?;
        let request = IngesterQuery::try_from(request).map_err(|error| to_grpc_status(&error))?;
        let answer = peer::within(timeout, self.ingester.query(request)).await?;
        Ok(Response::new(Box::pin(stream::iter(answer_chunks(answer).map(Ok)))))
    }

    async fn flush(&self, request: Request<v1::FlushRequest>) -> Result<Response<v1::FlushResponse>, Status> {
        let (request, timeout) = peer::accept(request)?;
        let tenant = if request.tenant.is_empty() { None } else { Some(parse_tenant(&request.tenant)?) };
        peer::within(timeout, self.ingester.flush(tenant)).await?;
        Ok(Response::new(v1::FlushResponse {}))
    }

    async fn purge_log(&self, request: Request<v1::PurgeLogRequest>) -> Result<Response<v1::PurgeLogResponse>, Status> {
        let (_, timeout) = peer::accept(request)?;
        peer::within(timeout, self.ingester.purge_log()).await?;
        Ok(Response::new(v1::PurgeLogResponse {}))
    }
}
