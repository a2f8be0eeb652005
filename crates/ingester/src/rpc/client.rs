//! The calling end.

use async_trait::async_trait;
use flamelake_api::AnswerAssembler;
use flamelake_api::flamelake::ingester::v1;
use flamelake_api::flamelake::ingester::v1::ingester_service_client::IngesterServiceClient;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_rpc::code::from_grpc_number;
use flamelake_rpc::peer::{self, Peers};
use tonic::transport::Channel;

/// An ingester in another process.
#[derive(Clone, Debug)]
pub struct RemoteIngester {
    address: String,
    peers: Peers,
}

impl RemoteIngester {
    /// The ingester at `host:port`. Nothing is sent yet.
    pub fn new(address: &str, peers: Peers) -> Self {
        Self { address: address.to_owned(), peers }
    }

    fn client(&self) -> Result<IngesterServiceClient<Channel>, StatusError> {
        let channel = self.peers.channel(&self.address)?;
        let bytes_max = self.peers.config().message_bytes_max.as_usize();
        Ok(IngesterServiceClient::new(channel).max_decoding_message_size(bytes_max))
    }

    fn error(&self, status: &tonic::Status) -> StatusError {
        peer::call_error(&format!("ingester {}", self.address), status)
    }
}

fn outcome(outcome: v1::Outcome) -> Result<(), StatusError> {
    if outcome.code == 0 {
        return Ok(());
    }
    let code = u8::try_from(outcome.code).ok().and_then(from_grpc_number).unwrap_or(ErrorCode::Unknown);
    Err(StatusError::new(code, outcome.message))
}

#[async_trait]
impl IngesterApi for RemoteIngester {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        let frames = request.frames.len();
        let message = v1::AppendRequest { tenant: request.tenant.to_string(), frames: request.frames };
        let request = peer::request(message, self.peers.config().append_timeout);
        let answer = self.client()?.append(request).await.map_err(|status| {
            let error = self.error(&status);
            // Nothing has left this process: another ingester may take it.
            if peer::is_not_sent(&status) {
                StatusError::new(ErrorCode::FailedPrecondition, error.message)
            } else {
                error
            }
        });
        let answer = answer?.into_inner();
        if answer.outcomes.len() != frames {
            return Err(StatusError::internal(format!(
                "ingester {} told {} outcomes of {frames} frames",
                self.address,
                answer.outcomes.len()
            )));
        }
        Ok(answer.outcomes.into_iter().map(outcome).collect())
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let config = self.peers.config();
        let request = peer::request(v1::QueryRequest::from(&request), config.query_timeout);
        let mut pieces = self.client()?.query(request).await.map_err(|status| self.error(&status))?.into_inner();
        let mut assembler = AnswerAssembler::new(config.message_bytes_max.as_usize());
        while let Some(piece) = pieces.message().await.map_err(|status| self.error(&status))? {
            assembler.push(piece)?;
        }
        assembler.finish()
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        let message = v1::FlushRequest { tenant: tenant.map(|tenant| tenant.to_string()).unwrap_or_default() };
        let request = peer::request(message, self.peers.config().query_timeout);
        self.client()?.flush(request).await.map_err(|status| self.error(&status))?;
        Ok(())
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        let request = peer::request(v1::PurgeLogRequest {}, self.peers.config().query_timeout);
        self.client()?.purge_log(request).await.map_err(|status| self.error(&status))?;
        Ok(())
    }
}
