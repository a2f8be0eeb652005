//! Whom the roles of this process call, as the ring has it: roles that run here in memory, the others over gRPC.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::roles::{IngesterApi, IngesterSet, Ingesters, Member, StoreGatewayApi, StoreGateways};
use flamelake_compactor::Ownership;
use flamelake_model::{StatusError, TenantId};
use flamelake_querier::RuleOwnership;
use flamelake_ring::{self as ring, MemberId, RingHandle, RingKey, Role};
use flamelake_runtime::clock::SharedClock;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tracing::info;
use ulid::Ulid;

use super::remote::Remote;

/// Store-gateways that are named for one block, best first.
const CANDIDATES: usize = 3;
/// How long a query waits for news of the ring that somebody else has heard already.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);
/// Etcd mostly tells in a moment; then the ingesters are asked.
const ETCD_TELLS_WITHIN: Duration = Duration::from_millis(300);

/// An ingester, and where it is called.
#[derive(Clone, Debug)]
pub(crate) struct KnownIngester {
    pub(crate) name: String,
    /// `host:port`.
    pub(crate) address: String,
}

/// The ingesters of the ring at one epoch.
#[derive(Clone, Debug)]
pub(crate) struct RingView {
    pub(crate) epoch: u64,
    pub(crate) ingesters: Vec<KnownIngester>,
}

impl RingView {
    pub(crate) fn of(snapshot: &ring::Snapshot) -> Self {
        let ingester = |seen: &ring::Seen| KnownIngester {
            name: seen.member.id.to_string(),
            address: seen.member.address.clone(),
        };
        Self { epoch: snapshot.epoch(), ingesters: snapshot.with_role(Role::Ingester).map(ingester).collect() }
    }
}

/// See the module. The roles of this process are told once they are built.
pub(crate) struct RingMembers {
    ring: RingHandle,
    own: MemberId,
    remote: Remote,
    clock: SharedClock,
    /// What an ingester told while etcd did not; of use while it is newer than the ring.
    heard: Mutex<Option<RingView>>,
    ingester: OnceLock<Arc<dyn IngesterApi>>,
    gateway: OnceLock<Arc<dyn StoreGatewayApi>>,
}

impl fmt::Debug for RingMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingMembers of {}", self.own)
    }
}

impl RingMembers {
    pub(crate) fn new(ring: RingHandle, own: MemberId, remote: Remote, clock: SharedClock) -> Self {
        Self { ring, own, remote, clock, heard: Mutex::new(None), ingester: OnceLock::new(), gateway: OnceLock::new() }
    }

    /// The ingester of this process.
    pub(crate) fn set_ingester(&self, ingester: Arc<dyn IngesterApi>) {
        // Set once: `wiring` is the only caller.
        let _ = self.ingester.set(ingester);
    }

    /// The store-gateway of this process.
    pub(crate) fn set_gateway(&self, gateway: Arc<dyn StoreGatewayApi>) {
        let _ = self.gateway.set(gateway);
    }

    /// Forgets connections to those who are no members any more.
    pub(crate) fn close_old_connections(&self) {
        let (snapshot, view) = (self.ring.snapshot(), self.view());
        self.remote.keep_only(|address| {
            snapshot.members().iter().any(|seen| seen.member.address == address)
                || view.ingesters.iter().any(|known| known.address == address)
        });
    }

    /// The newest that is known of the ingesters.
    fn view(&self) -> RingView {
        let snapshot = self.ring.snapshot();
        let heard = self.heard.lock().clone().filter(|heard| heard.epoch > snapshot.epoch());
        heard.unwrap_or_else(|| RingView::of(&snapshot))
    }

    /// Asks the ingesters for a ring that is as new as this; true if one has it.
    async fn hear(&self, epoch: u64) -> bool {
        let known = self.view().ingesters;
        let mut asked: FuturesUnordered<_> = known.iter().map(|ingester| self.remote.view(ingester)).collect();
        while let Some(answer) = asked.next().await {
            if let Ok(view) = answer
                && view.epoch >= epoch
            {
                info!(epoch = view.epoch, "the ring is taken from an ingester: etcd does not tell");
                *self.heard.lock() = Some(view);
                return true;
            }
        }
        false
    }

    fn ingester(&self, name: &str, address: &str) -> Member<dyn IngesterApi> {
        let api = match self.ingester.get() {
            Some(own) if name == self.own.as_str() => Arc::clone(own),
            _ => self.remote.ingester(name, address),
        };
        Member { name: name.to_owned(), api }
    }

    fn gateway(&self, member: &ring::Member) -> Member<dyn StoreGatewayApi> {
        let api: Arc<dyn StoreGatewayApi> = match self.gateway.get() {
            Some(own) if member.id == self.own => Arc::clone(own),
            _ => self.remote.gateway(member),
        };
        Member { name: member.id.to_string(), api }
    }
}

#[async_trait]
impl Ingesters for RingMembers {
    fn all(&self) -> IngesterSet {
        let RingView { epoch, ingesters } = self.view();
        let members = ingesters.iter().map(|known| self.ingester(&known.name, &known.address)).collect();
        IngesterSet { epoch, members }
    }

    fn for_service(&self, tenant: &TenantId, service_name: &str, count: usize) -> Vec<Member<dyn IngesterApi>> {
        let members = self.ring.snapshot().ingesters_for(RingKey::of_service(tenant, service_name), count);
        members.iter().map(|member| self.ingester(member.id.as_str(), &member.address)).collect()
    }

    async fn catch_up(&self, epoch: u64) -> Result<(), StatusError> {
        let from_ingesters = async {
            self.clock.sleep(ETCD_TELLS_WITHIN).await;
            if !self.hear(epoch).await {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            _ = self.ring.until(|snapshot| snapshot.epoch() >= epoch) => Ok(()),
            () = from_ingesters => Ok(()),
            () = self.clock.sleep(CATCH_UP_WITHIN) => Err(StatusError::unavailable(format!(
                "an ingester knows epoch {epoch} of the ring, this process only {}: neither etcd nor an ingester tells it more",
                self.view().epoch
            ))),
        }
    }
}

impl StoreGateways for RingMembers {
    fn for_block(&self, block: &str) -> Vec<Member<dyn StoreGatewayApi>> {
        let Ok(block) = Ulid::from_string(block) else { return Vec::new() };
        let members = self.ring.snapshot().gateways_for(block, CANDIDATES);
        members.iter().map(|member| self.gateway(member)).collect()
    }
}

impl RuleOwnership for RingMembers {
    fn owns(&self, tenant: &TenantId) -> bool {
        self.ring.snapshot().querier_of(tenant).is_some_and(|member| member.id == self.own)
    }
}

impl Ownership for RingMembers {
    fn owns(&self, tenant: &TenantId) -> bool {
        self.ring.snapshot().compactor_of(tenant).is_some_and(|member| member.id == self.own)
    }
}
