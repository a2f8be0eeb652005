//! The entry of this process in the ring, from JOINING to gone.

use std::time::Duration;

use async_trait::async_trait;
use flamelake_ingester::Registrar;
use flamelake_ring::{Member, MemberId, Membership, RingError, RingHandle, Role, State};
use flamelake_runtime::clock::SharedClock;
use futures::future::join_all;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use ulid::Ulid;

use super::gate::Gate;
use super::remote::Remote;

/// Between two tries to reach etcd or a member.
const PAUSE: Duration = Duration::from_millis(200);
/// Members that do not answer are waited for no longer than so many lives of a lease: by then they are dead for everybody, or an ingester
/// tells them of this one (`IngesterSet::epoch`).
const LEASES: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct Registration {
    ring: RingHandle,
    id: MemberId,
    incarnation: Ulid,
    gate: Gate,
    remote: Remote,
    clock: SharedClock,
    lease_ttl: Duration,
    /// None before it joins and after it has left.
    membership: Mutex<Option<Membership>>,
    superseded: OnceCell<CancellationToken>,
}

impl Registration {
    pub(crate) fn new(
        ring: RingHandle,
        id: MemberId,
        incarnation: Ulid,
        gate: Gate,
        remote: Remote,
        clock: SharedClock,
        lease_ttl: Duration,
    ) -> Self {
        let (membership, superseded) = (Mutex::default(), OnceCell::new());
        Self { ring, id, incarnation, gate, remote, clock, lease_ttl, membership, superseded }
    }

    /// Takes the fresh registration over and leads it to ACTIVE.
    pub(crate) async fn begin(&self, membership: Membership) {
        let token = membership.superseded_token();
        let _ = self.superseded.set(token);
        let mut slot = self.membership.lock().await;
        let membership = slot.insert(membership);
        self.tell_everybody().await;
        self.activate(membership).await;
    }

    /// Ends when another process has taken this one's id; never before it has joined.
    pub(crate) async fn superseded(&self) {
        match self.superseded.get() {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) async fn set_state(&self, state: State) -> Result<(), RingError> {
        match self.membership.lock().await.as_ref() {
            Some(membership) => membership.set_state(state).await,
            None => Ok(()),
        }
    }

    /// Unix milliseconds since when it takes no pushes; `None` = it takes them.
    pub(crate) async fn set_read_only(&self, read_only: bool) -> Result<Option<i64>, RingError> {
        let slot = self.membership.lock().await;
        let Some(membership) = slot.as_ref() else { return Ok(None) };
        let since = membership.set_read_only(read_only).await?;
        self.gate.set_read_only(since);
        Ok(since)
    }

    /// No member any more.
    pub(crate) async fn leave(&self) -> Result<(), RingError> {
        match self.membership.lock().await.take() {
            Some(membership) => membership.leave().await,
            None => Ok(()),
        }
    }

    /// A member without liveness, if it is one still.
    pub(crate) async fn pause(&self) -> Result<(), RingError> {
        match self.membership.lock().await.take() {
            Some(membership) => membership.pause().await,
            None => Ok(()),
        }
    }

    async fn activate(&self, membership: &Membership) {
        self.patiently(|| membership.set_state(State::Active)).await;
        if !membership.superseded_token().is_cancelled() {
            self.gate.open();
        }
    }

    /// Until it is done, or this process has lost its id and ends anyway.
    async fn patiently<F: Future<Output = Result<(), RingError>>>(&self, work: impl Fn() -> F) {
        loop {
            match work().await {
                Ok(()) | Err(RingError::Superseded { .. }) => return,
                Err(error) => warn!(%error, "the ring does not take this process's state yet"),
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    /// Ends once every member that lives has noted the ring with this process in it.
    async fn tell_everybody(&self) {
        let is_in = |snapshot: &flamelake_ring::Snapshot| {
            snapshot.get(&self.id).is_some_and(|seen| seen.member.incarnation == self.incarnation)
        };
        let snapshot = self.ring.until(is_in).await;
        // Kept from the registration before.
        self.gate.set_read_only(snapshot.get(&self.id).and_then(|seen| seen.member.read_only_since_ms));
        let others = snapshot.members().iter().filter(|seen| seen.member.id != self.id && seen.healthy);
        let tell = join_all(others.map(|seen| self.tell(&seen.member, snapshot.epoch())));
        tokio::select! {
            biased;
            _ = tell => info!(epoch = snapshot.epoch(), "all members know this process"),
            () = self.clock.sleep(self.lease_ttl * LEASES) => {
                warn!(epoch = snapshot.epoch(), "some members did not answer; they learn of this process from the ingesters");
            }
        }
    }

    async fn tell(&self, member: &Member, epoch: u64) {
        // Who asks no ingester and answers for none need not know.
        if !member.has_role(Role::Querier) && !member.has_role(Role::Ingester) {
            return;
        }
        loop {
            if self.remote.noted(member, epoch).await.is_ok_and(|noted| noted >= epoch) {
                return;
            }
            if !self.ring.snapshot().get(&member.id).is_some_and(|seen| seen.healthy) {
                return;
            }
            self.clock.sleep(PAUSE).await;
        }
    }
}

#[async_trait]
impl Registrar for Registration {
    async fn register_anew(&self) {
        self.gate.shut();
        let slot = self.membership.lock().await;
        let Some(membership) = slot.as_ref() else { return };
        self.patiently(|| membership.set_state(State::Joining)).await;
        self.tell_everybody().await;
        self.activate(membership).await;
    }
}
