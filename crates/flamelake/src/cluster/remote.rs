//! How this process reaches roles in others: everything of the cluster that leaves the process goes through here. The simulation
//! (`crates/sim`) compiles its neighbours with a network of its own in the place of this file.

use std::sync::Arc;

use flamelake_api::roles::{IngesterApi, StoreGatewayApi};
use flamelake_ingester::RemoteIngester;
use flamelake_model::StatusError;
use flamelake_ring::Member;
use flamelake_rpc::peer::Peers;
use flamelake_store_gateway::RemoteStoreGateway;

use super::members::{KnownIngester, RingView};
use super::note::{noted, view};

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Remote(Peers);

impl Remote {
    pub(crate) fn new(peers: Peers) -> Self {
        Self(peers)
    }

    /// The ingester of this name at this address.
    pub(crate) fn ingester(&self, _: &str, address: &str) -> Arc<dyn IngesterApi> {
        Arc::new(RemoteIngester::new(address, self.0.clone()))
    }

    pub(crate) fn gateway(&self, member: &Member) -> Arc<dyn StoreGatewayApi> {
        Arc::new(RemoteStoreGateway::new(&member.address, self.0.clone()))
    }

    /// The epoch of the ring that a member has noted, `epoch` if it comes to it soon.
    pub(crate) async fn noted(&self, member: &Member, epoch: u64) -> Result<u64, StatusError> {
        noted(&self.0, member, epoch).await
    }

    /// The ingesters that another member knows.
    pub(crate) async fn view(&self, of: &KnownIngester) -> Result<RingView, StatusError> {
        view(&self.0, of).await
    }

    /// Closes the connections to everybody else.
    pub(crate) fn keep_only(&self, is_member: impl Fn(&str) -> bool) {
        self.0.keep_only(is_member);
    }
}
