//! Members tell each other which epoch of the ring they have noted, and whom they know (`flamelake.member.v1`): nobody takes pushes before the others
//! know it, and who does not hear from etcd hears from the ingesters.

use std::time::Duration;

use flamelake_api::flamelake::member::v1;
use flamelake_api::flamelake::member::v1::member_service_client::MemberServiceClient;
use flamelake_api::flamelake::member::v1::member_service_server::{MemberService, MemberServiceServer};
use flamelake_model::StatusError;
use flamelake_ring::{Member, RingHandle};
use flamelake_rpc::peer::{self, Peers};
use flamelake_runtime::clock::SharedClock;
use tonic::{Request, Response, Status};

use super::members::{KnownIngester, RingView};

/// How long a member waits for the caller's epoch before it says what it has.
const NOTE_WITHIN: Duration = Duration::from_secs(1);
const CALL_WITHIN: Duration = Duration::from_secs(2);

/// The answering end.
#[derive(Debug)]
pub(crate) struct NoteRpc {
    ring: RingHandle,
    clock: SharedClock,
}

/// The service, for the internal port.
pub(crate) fn member_service(ring: RingHandle, clock: SharedClock) -> MemberServiceServer<NoteRpc> {
    MemberServiceServer::new(NoteRpc { ring, clock })
}

#[tonic::async_trait]
impl MemberService for NoteRpc {
    async fn note(&self, request: Request<v1::NoteRequest>) -> Result<Response<v1::NoteResponse>, Status> {
        let (request, _) = peer::accept(request)?;
        tokio::select! {
            biased;
            _ = self.ring.until(|snapshot| snapshot.epoch() >= request.epoch) => {}
            () = self.clock.sleep(NOTE_WITHIN) => {}
        }
        Ok(Response::new(v1::NoteResponse { epoch: self.ring.epoch() }))
    }

    async fn view(&self, request: Request<v1::ViewRequest>) -> Result<Response<v1::ViewResponse>, Status> {
        peer::accept(request)?;
        let RingView { epoch, ingesters } = RingView::of(&self.ring.snapshot());
        let ingester = |KnownIngester { name, address }| v1::Ingester { id: name, address };
        Ok(Response::new(v1::ViewResponse { epoch, ingesters: ingesters.into_iter().map(ingester).collect() }))
    }
}

/// The epoch that a member has noted, `epoch` if it comes to it soon.
pub(crate) async fn noted(peers: &Peers, member: &Member, epoch: u64) -> Result<u64, StatusError> {
    let mut client = MemberServiceClient::new(peers.channel(&member.address)?);
    let request = peer::request(v1::NoteRequest { epoch }, CALL_WITHIN);
    let answer = client.note(request).await.map_err(|status| peer::call_error(member.id.as_str(), &status))?;
    Ok(answer.into_inner().epoch)
}

/// The ingesters that another one knows.
pub(crate) async fn view(peers: &Peers, of: &KnownIngester) -> Result<RingView, StatusError> {
    let mut client = MemberServiceClient::new(peers.channel(&of.address)?);
    let request = peer::request(v1::ViewRequest {}, CALL_WITHIN);
    let answer = client.view(request).await.map_err(|status| peer::call_error(&of.name, &status))?.into_inner();
    let ingester = |v1::Ingester { id, address }| KnownIngester { name: id, address };
    Ok(RingView { epoch: answer.epoch, ingesters: answer.ingesters.into_iter().map(ingester).collect() })
}
