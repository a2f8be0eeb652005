//! The store-gateway over gRPC: both ends of `flamelake.storegateway.v1`.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::flamelake::query::v1::AnswerChunk;
use flamelake_api::flamelake::storegateway::v1;
use flamelake_api::flamelake::storegateway::v1::store_gateway_service_client::StoreGatewayServiceClient;
use flamelake_api::flamelake::storegateway::v1::store_gateway_service_server::{
    StoreGatewayService, StoreGatewayServiceServer,
};
use flamelake_api::roles::{StoreGatewayApi, StoreGatewayQuery};
use flamelake_api::{AnswerAssembler, answer_chunks};
use flamelake_model::StatusError;
use flamelake_model::query::PartialAnswer;
use flamelake_rpc::code::to_grpc_status;
use flamelake_rpc::peer::{self, Peers};
use futures::{Stream, stream};
use tonic::{Request, Response, Status};

/// Answers for a store-gateway of this process.
pub struct StoreGatewayRpc {
    gateway: Arc<dyn StoreGatewayApi>,
}

impl std::fmt::Debug for StoreGatewayRpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreGatewayRpc")
    }
}

/// The service, for `flamelake_rpc::App::grpc`. Messages of more than `bytes_max` are refused.
pub fn store_gateway_service(
    gateway: Arc<dyn StoreGatewayApi>,
    bytes_max: usize,
) -> StoreGatewayServiceServer<StoreGatewayRpc> {
    StoreGatewayServiceServer::new(StoreGatewayRpc { gateway }).max_decoding_message_size(bytes_max)
}

#[tonic::async_trait]
impl StoreGatewayService for StoreGatewayRpc {
    type QueryStream = Pin<Box<dyn Stream<Item = Result<AnswerChunk, Status>> + Send>>;

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let (request, timeout) = peer::accept(request)?;
        let request = StoreGatewayQuery::try_from(request).map_err(|error| to_grpc_status(&error))?;
        let answer = peer::within(timeout, self.gateway.query(request)).await?;
        Ok(Response::new(Box::pin(stream::iter(answer_chunks(answer).map(Ok)))))
    }
}

/// A store-gateway in another process.
#[derive(Clone, Debug)]
pub struct RemoteStoreGateway {
    address: String,
    peers: Peers,
}

impl RemoteStoreGateway {
    /// The store-gateway at `host:port`. Nothing is sent yet.
    pub fn new(address: &str, peers: Peers) -> Self {
        Self { address: address.to_owned(), peers }
    }

    fn error(&self, status: &Status) -> StatusError {
        peer::call_error(&format!("store-gateway {}", self.address), status)
    }
}

#[async_trait]
impl StoreGatewayApi for RemoteStoreGateway {
    async fn query(&self, request: StoreGatewayQuery) -> Result<PartialAnswer, StatusError> {
        let config = self.peers.config();
        let bytes_max = config.message_bytes_max.as_usize();
        let mut client =
            StoreGatewayServiceClient::new(self.peers.channel(&self.address)?).max_decoding_message_size(bytes_max);
        let request = peer::request(v1::QueryRequest::from(&request), config.query_timeout);
        let mut pieces = client.query(request).await.map_err(|status| self.error(&status))?.into_inner();
        let mut assembler = AnswerAssembler::new(bytes_max);
        while let Some(piece) = pieces.message().await.map_err(|status| self.error(&status))? {
            assembler.push(piece)?;
        }
        assembler.finish()
    }
}
