//! Whom the roles of this process call, as the ring has it: roles that run here in memory, the others over gRPC.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::roles::{IngesterApi, IngesterSet, Ingesters, Member, StoreGatewayApi, StoreGateways};
use flamelake_compactor::Ownership;
use flamelake_model::{StatusError, TenantId};
use flamelake_ring::{self as ring, MemberId, RingHandle, RingKey, Role};
use flamelake_runtime::clock::SharedClock;
use ulid::Ulid;

use super::remote::Remote;

/// Store-gateways that are named for one block, best first.
const CANDIDATES: usize = 3;
/// How long a query waits for news of the ring that somebody else has heard already.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

/// See the module. The roles of this process are told once they are built.
pub(crate) struct RingMembers {
    ring: RingHandle,
    own: MemberId,
    remote: Remote,
    clock: SharedClock,
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
        Self { ring, own, remote, clock, ingester: OnceLock::new(), gateway: OnceLock::new() }
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
        let snapshot = self.ring.snapshot();
        self.remote.keep_only(|address| snapshot.members().iter().any(|seen| seen.member.address == address));
    }

    fn ingester(&self, member: &ring::Member) -> Member<dyn IngesterApi> {
        let api = match self.ingester.get() {
            Some(own) if member.id == self.own => Arc::clone(own),
            _ => self.remote.ingester(member),
        };
        Member { name: member.id.to_string(), api }
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
        let snapshot = self.ring.snapshot();
        let members = snapshot.with_role(Role::Ingester).map(|seen| self.ingester(&seen.member)).collect();
        IngesterSet { epoch: snapshot.epoch(), members }
    }

    fn for_service(&self, tenant: &TenantId, service_name: &str, count: usize) -> Vec<Member<dyn IngesterApi>> {
        let members = self.ring.snapshot().ingesters_for(RingKey::of_service(tenant, service_name), count);
        members.iter().map(|member| self.ingester(member)).collect()
    }

    async fn catch_up(&self, epoch: u64) -> Result<(), StatusError> {
        tokio::select! {
            biased;
            _ = self.ring.until(|snapshot| snapshot.epoch() >= epoch) => Ok(()),
            () = self.clock.sleep(CATCH_UP_WITHIN) => Err(StatusError::unavailable(format!(
                "an ingester knows epoch {epoch} of the ring, this process only {}: it does not hear from etcd",
                self.ring.epoch()
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

impl Ownership for RingMembers {
    fn owns(&self, tenant: &TenantId) -> bool {
        self.ring.snapshot().compactor_of(tenant).is_some_and(|member| member.id == self.own)
    }
}
