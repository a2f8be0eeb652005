//! The registration of this process: join, stay alive, change state, leave. Rules in `docs/formats/ring.md`.

use std::sync::Arc;
use std::time::Duration;

use flamelake_runtime::clock::SharedClock;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};
use ulid::Ulid;

use crate::error::{RingError, StoreError};
use crate::member::{Alive, FORMAT, Member, MemberId, Role, State};
use crate::shared::{Shared, is_registered};
use crate::store::{Guard, LeaseId, MemberStore, Transaction, Write};
use crate::tokens::choose_tokens;
use crate::view::View;

/// Rounds of a transaction that others keep disturbing.
const ROUNDS_MAX: u32 = 200;
const LONGEST_BACKOFF: Duration = Duration::from_millis(1000);

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Unique in the cluster, the same after a restart.
    pub id: MemberId,
    /// Of this start; the epoch of its log does well.
    pub incarnation: Ulid,
    /// What runs here.
    pub roles: Vec<Role>,
    /// Host and port of the internal gRPC port.
    pub address: String,
    /// Empty = none.
    pub zone: String,
    /// Where the log lies; `None` = there is none.
    pub log_url: Option<String>,
}

/// This process in the ring. Kept alive until [`leave`](Self::leave), [`pause`](Self::pause) or drop (which leaves the lease to end by itself).
#[derive(Debug)]
pub struct Membership {
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Membership {
    /// Registers with `state`; returns once the transaction is through, however long etcd is away.
    pub(crate) async fn join(
        shared: Arc<Shared>,
        store: Arc<dyn MemberStore>,
        instance: Instance,
        state: State,
    ) -> Result<Self, RingError> {
        let own = Own { instance, state, read_only_since_ms: None, tokens: Vec::new(), lease: None };
        let (stop, superseded) = (CancellationToken::new(), CancellationToken::new());
        let keeper = Arc::new(Keeper { shared, store, own: Mutex::new(own), stop, superseded });
        keeper.register_patiently().await?;
        let task = tokio::spawn(Arc::clone(&keeper).run());
        let _stop = keeper.stop.clone().drop_guard();
        Ok(Self { keeper, task, _stop })
    }

    /// Ends when another process has registered under this id: stop writing and exit.
    pub async fn superseded(&self) {
        self.keeper.superseded.cancelled().await;
    }

    /// The same for whoever outlives this value.
    pub fn superseded_token(&self) -> CancellationToken {
        self.keeper.superseded.clone()
    }

    /// Tells everybody where this process is in its life.
    pub async fn set_state(&self, state: State) -> Result<(), RingError> {
        self.keeper.update(|own| own.state = state).await
    }

    /// Takes no writes any more, or takes them again. Unix milliseconds since when; kept if it was so already.
    pub async fn set_read_only(&self, read_only: bool) -> Result<Option<i64>, RingError> {
        let now = self.keeper.now_ms();
        self.keeper
            .update(|own| {
                own.read_only_since_ms = if read_only { own.read_only_since_ms.or(Some(now)) } else { None };
            })
            .await?;
        Ok(self.keeper.own.lock().await.read_only_since_ms)
    }

    /// Removes this process from the ring. On an error it stays a member without liveness.
    pub async fn leave(self) -> Result<(), RingError> {
        self.end(true).await
    }

    /// For a restart: stays a member, and tells at once that it does not live.
    pub async fn pause(self) -> Result<(), RingError> {
        self.end(false).await
    }

    async fn end(self, leave: bool) -> Result<(), RingError> {
        let Self { keeper, task, _stop } = self;
        keeper.stop.cancel();
        if task.await.is_err() {
            error!("the keeper of the ring ended by panic");
        }
        keeper.shared.set_own(None);
        keeper.depart(leave).await
    }
}

#[derive(Debug)]
struct Keeper {
    shared: Arc<Shared>,
    store: Arc<dyn MemberStore>,
    own: Mutex<Own>,
    stop: CancellationToken,
    superseded: CancellationToken,
}

/// What is, or shall be, written about this process.
#[derive(Debug)]
struct Own {
    instance: Instance,
    state: State,
    read_only_since_ms: Option<i64>,
    tokens: Vec<u32>,
    lease: Option<LeaseId>,
}

impl Own {
    fn id(&self) -> &MemberId {
        &self.instance.id
    }

    fn member(&self, registered_at_ms: i64) -> Member {
        let Instance { id, incarnation, roles, address, zone, log_url } = self.instance.clone();
        let tokens = self.tokens.clone();
        let (state, read_only_since_ms) = (self.state, self.read_only_since_ms);
        Member {
            format: FORMAT,
            id,
            incarnation,
            roles,
            address,
            zone,
            state,
            log_url,
            registered_at_ms,
            read_only_since_ms,
            tokens,
        }
    }
}

impl Keeper {
    fn now_ms(&self) -> i64 {
        self.shared.clock.unix_nanos() / 1_000_000
    }

    async fn view(&self) -> Result<View, StoreError> {
        Ok(View::from(self.store.list().await?))
    }

    /// Sleeps between rounds; longer from round to round, and never the same for two members.
    async fn back_off(&self, round: u32) {
        let most = Duration::from_millis(20).saturating_mul(1 << round.min(6)).min(LONGEST_BACKOFF);
        self.shared.clock.sleep(jittered(&self.shared.clock, most)).await;
    }

    async fn register_patiently(&self) -> Result<(), RingError> {
        for round in 0.. {
            let mut own = self.own.lock().await;
            match self.register(&mut own, true).await {
                Err(RingError::Store(error @ StoreError::Unavailable { .. })) => {
                    warn!(%error, "this process cannot register yet; trying again");
                }
                outcome => return outcome,
            }
            drop(own);
            self.back_off(round).await;
        }
        Err(RingError::Contended)
    }

    /// Writes member and liveness. `fresh`: this start was not registered before and takes its id over from whoever has it.
    async fn register(&self, own: &mut Own, fresh: bool) -> Result<(), RingError> {
        for round in 0..ROUNDS_MAX {
            let view = self.view().await?;
            let id = own.id().clone();
            let before = view.members.get(&id).map(|stored| Arc::clone(&stored.value));
            if !fresh && before.as_ref().is_some_and(|member| member.incarnation != own.instance.incarnation) {
                return Err(self.give_up(&id));
            }
            if let (true, Some(before)) = (fresh, &before) {
                own.tokens.clone_from(&before.tokens);
                own.read_only_since_ms = before.read_only_since_ms;
            }
            // Kept only when registered: tokens chosen beside others than there are now would be unfair.
            let tokens = self.tokens(own, &view);
            let lease = self.fresh_lease(own).await?;
            let registered_at_ms = before.map_or_else(|| self.now_ms(), |member| member.registered_at_ms);
            let epoch = view.epoch().max(self.shared.snapshot().epoch()) + 1;
            let mut writes = vec![
                Write::Member(Member { tokens: tokens.clone(), ..own.member(registered_at_ms) }),
                Write::Alive(id.clone(), self.alive(own), lease),
                Write::DropForget(id.clone()),
                Write::Epoch(epoch),
            ];
            if view.origin.is_none() {
                writes.push(Write::Origin(Ulid::from_parts(self.now_ms().unsigned_abs(), self.shared.clock.random())));
            }
            let guards =
                vec![Guard::Epoch(view.epoch_revision()), Guard::Member(id.clone(), view.member_revision(&id))];
            let transaction = Transaction { guards, writes };
            if self.store.commit(transaction).await? {
                own.tokens = tokens;
                self.shared.set_own(Some((id.clone(), own.instance.incarnation)));
                self.shared.metrics.registrations_total.inc();
                info!(member = %id, epoch, tokens = own.tokens.len(), state = own.state.name(), "registered in the ring");
                return Ok(());
            }
            self.back_off(round).await;
        }
        Err(RingError::Contended)
    }

    fn alive(&self, own: &Own) -> Alive {
        let incarnation = own.instance.incarnation;
        Alive { incarnation, started_at_ms: i64::try_from(incarnation.timestamp_ms()).unwrap_or(i64::MAX) }
    }

    /// Tokens beside those of all who share an owning role.
    fn tokens(&self, own: &Own, view: &View) -> Vec<u32> {
        let owning = |role: &&Role| role.owns();
        let roles: Vec<Role> = own.instance.roles.iter().filter(owning).copied().collect();
        if roles.is_empty() {
            return Vec::new();
        }
        let others = view.members.values().map(|stored| stored.value.as_ref());
        let others: Vec<&Member> =
            others.filter(|member| member.id != *own.id() && roles.iter().any(|role| member.has_role(*role))).collect();
        let count = usize::try_from(self.shared.config.tokens).unwrap_or(usize::MAX);
        choose_tokens(own.id().as_str(), &own.tokens, count, &others)
    }

    /// The lease, if it lives; else a new one.
    async fn fresh_lease(&self, own: &mut Own) -> Result<LeaseId, StoreError> {
        if let Some(lease) = own.lease
            && self.store.renew(lease).await?
        {
            return Ok(lease);
        }
        let lease = self.store.grant(self.shared.config.lease_ttl).await?;
        own.lease = Some(lease);
        Ok(lease)
    }

    fn give_up(&self, id: &MemberId) -> RingError {
        if !self.superseded.is_cancelled() {
            error!(member = %id, "another process registered under this id; this one must stop");
        }
        self.superseded.cancel();
        self.shared.set_own(None);
        RingError::Superseded { id: id.clone() }
    }

    async fn run(self: Arc<Self>) {
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.superseded.cancelled() => return,
                () = self.shared.own_is_wrong.notified() => {}
                () = self.shared.clock.sleep(beat_every(&self.shared.clock, self.shared.config.lease_ttl)) => {}
            }
            // A call under way at the stop is waited for: it ends within its timeout.
            match self.beat().await {
                Ok(()) if failing => {
                    info!("liveness is renewed again");
                    failing = false;
                }
                Ok(()) => {
                    self.restore().await;
                    self.sweep().await;
                }
                Err(error) => {
                    if !failing {
                        warn!(%error, "liveness cannot be renewed; trying again");
                    }
                    failing = true;
                }
            }
        }
    }

    /// Renews the lease and puts right what is wrong with the own keys.
    async fn beat(&self) -> Result<(), RingError> {
        let mut own = self.own.lock().await;
        let renewed = match own.lease {
            Some(lease) => {
                let renewed = self.store.renew(lease).await?;
                self.shared.heard();
                renewed
            }
            None => false,
        };
        if !renewed && own.lease.take().is_some() {
            self.shared.metrics.leases_lost_total.inc();
        }
        if renewed && is_registered(&self.shared.view(), own.id(), own.instance.incarnation) {
            return Ok(());
        }
        self.repair(&mut own).await
    }

    async fn repair(&self, own: &mut Own) -> Result<(), RingError> {
        let view = self.view().await?;
        let id = own.id().clone();
        let Some(stored) = view.members.get(&id) else {
            warn!(member = %id, "this process is no longer a member (forgotten, recovered, or the store was wiped); it registers again");
            return self.register(own, false).await;
        };
        if stored.value.incarnation != own.instance.incarnation {
            return Err(self.give_up(&id));
        }
        if view.epoch() < self.shared.snapshot().epoch() {
            warn!(member = %id, "the store of members is older than it was; this process registers again");
            return self.register(own, false).await;
        }
        if own.lease.is_some() && view.is_healthy(&stored.value) {
            return Ok(());
        }
        let lease = self.fresh_lease(own).await?;
        let transaction = Transaction {
            guards: vec![
                Guard::Member(id.clone(), stored.revision),
                Guard::Alive(id.clone(), view.alive_revision(&id)),
            ],
            writes: vec![Write::Alive(id.clone(), self.alive(own), lease)],
        };
        if self.store.commit(transaction).await? {
            info!(member = %id, "liveness is written again");
        }
        // Else somebody was faster: the next round sees who.
        Ok(())
    }

    /// Changes what is known of this process, and tells it.
    async fn update(&self, edit: impl Fn(&mut Own)) -> Result<(), RingError> {
        let mut own = self.own.lock().await;
        edit(&mut own);
        for round in 0..ROUNDS_MAX {
            let view = self.view().await?;
            let id = own.id().clone();
            let Some(stored) = view.members.get(&id) else { return self.register(&mut own, false).await };
            if stored.value.incarnation != own.instance.incarnation {
                return Err(self.give_up(&id));
            }
            let member = own.member(stored.value.registered_at_ms);
            if member == *stored.value {
                return Ok(());
            }
            let guards = vec![Guard::Member(id, stored.revision)];
            if self.store.commit(Transaction { guards, writes: vec![Write::Member(member)] }).await? {
                return Ok(());
            }
            self.back_off(round).await;
        }
        Err(RingError::Contended)
    }

    async fn depart(&self, leave: bool) -> Result<(), RingError> {
        let mut own = self.own.lock().await;
        let id = own.id().clone();
        if let Some(lease) = own.lease.take() {
            self.store.revoke(lease).await?;
        }
        if !leave || self.superseded.is_cancelled() {
            return Ok(());
        }
        for round in 0..ROUNDS_MAX {
            let view = self.view().await?;
            let Some(stored) = view.members.get(&id) else { return Ok(()) };
            if stored.value.incarnation != own.instance.incarnation {
                return Ok(());
            }
            if self.store.commit(removal(&view, &id, self.shared.snapshot().epoch())).await? {
                info!(member = %id, "left the ring");
                return Ok(());
            }
            self.back_off(round).await;
        }
        Err(RingError::Contended)
    }

    /// Writes members that a wiped store has lost and that did not register again, one a beat: so that peers recover their logs, and those who
    /// start now ask for their rows. Whoever comes first does it.
    async fn restore(&self) {
        let Some(member) = self.shared.remembered().into_iter().next() else { return };
        let view = self.shared.view();
        let transaction = Transaction {
            guards: vec![Guard::Epoch(view.epoch_revision()), Guard::Member(member.id.clone(), 0)],
            writes: vec![
                Write::Member(Member::clone(&member)),
                Write::Epoch(view.epoch().max(self.shared.snapshot().epoch()) + 1),
            ],
        };
        match self.store.commit(transaction).await {
            Ok(true) => {
                warn!(member = %member.id, "a member that the store had lost is written again, without liveness")
            }
            // Somebody was faster.
            Ok(false) => {}
            Err(error) => warn!(member = %member.id, %error, "a member that the store has lost cannot be written yet"),
        }
    }

    /// Removes members without a log that are gone for good. Whoever comes first does it; guards keep those that came back.
    async fn sweep(&self) {
        let lost = self.shared.lost();
        let view = self.shared.view();
        let gone = lost.iter().filter(|member| member.log_url.is_none() && view.members.contains_key(&member.id));
        for member in gone {
            match self.store.commit(removal(&view, &member.id, self.shared.snapshot().epoch())).await {
                Ok(true) => info!(member = %member.id, "removed a member that was gone for too long"),
                Ok(false) => {}
                Err(error) => {
                    warn!(member = %member.id, %error, "a member that is gone cannot be removed yet");
                    return;
                }
            }
        }
    }
}

/// Removes a member that is as `view` has it; fails if it registered, or lives, again.
pub(crate) fn removal(view: &View, id: &MemberId, epoch_seen: u64) -> Transaction {
    Transaction {
        guards: vec![
            Guard::Epoch(view.epoch_revision()),
            Guard::Member(id.clone(), view.member_revision(id)),
            Guard::Alive(id.clone(), view.alive_revision(id)),
        ],
        writes: vec![
            Write::DropMember(id.clone()),
            Write::DropAlive(id.clone()),
            Write::DropForget(id.clone()),
            Write::Epoch(view.epoch().max(epoch_seen) + 1),
        ],
    }
}

/// Three times in the life of a lease, with a jitter of a quarter.
fn beat_every(clock: &SharedClock, ttl: Duration) -> Duration {
    let third = ttl / 3;
    third * 3 / 4 + jittered(clock, third / 4)
}

/// From nothing to `most`, drawn anew each time: members that began together must not stay together.
fn jittered(clock: &SharedClock, most: Duration) -> Duration {
    let drawn = (clock.random() & 0xffff) as u32;
    most * drawn / 0xffff
}
