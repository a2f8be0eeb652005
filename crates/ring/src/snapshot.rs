//! The ring at one moment, as everybody in this process sees it. Immutable; lookups take no lock and do no I/O.

use std::sync::Arc;

use flamelake_model::TenantId;
use ulid::Ulid;

use crate::key::RingKey;
use crate::member::{Member, MemberId, Role, State};
use crate::token_ring::TokenRing;

/// A member and what is known of it beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it registered.
    pub member: Arc<Member>,
    /// It lives.
    pub healthy: bool,
    /// An operator wants it recovered.
    pub forget: bool,
}

impl Seen {
    /// Takes work: at work, and alive.
    pub fn is_usable(&self) -> bool {
        self.healthy && self.member.state == State::Active
    }

    /// Takes new profiles.
    pub fn takes_writes(&self) -> bool {
        self.is_usable() && self.member.read_only_since_ms.is_none()
    }
}

/// The circle of a role; its members are indices into those of the snapshot.
#[derive(Clone, Debug, Default)]
struct RoleRing {
    members: Vec<usize>,
    ring: TokenRing,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    epoch: u64,
    /// Ascending by id.
    members: Vec<Seen>,
    ingesters: RoleRing,
    gateways: RoleRing,
    compactors: RoleRing,
}

impl Snapshot {
    /// Of members in any order; `epoch` counts the changes of membership.
    pub fn new(epoch: u64, mut members: Vec<Seen>) -> Self {
        members.sort_by(|a, b| a.member.id.cmp(&b.member.id));
        let [ingesters, gateways, compactors] =
            [Role::Ingester, Role::StoreGateway, Role::Compactor].map(|role| RoleRing::new(&members, role));
        Self { epoch, members, ingesters, gateways, compactors }
    }

    /// Of the last change of membership or tokens that this reader knows.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All members, by id.
    pub fn members(&self) -> &[Seen] {
        &self.members
    }

    /// One member.
    pub fn get(&self, id: &MemberId) -> Option<&Seen> {
        let at = self.members.binary_search_by(|seen| seen.member.id.cmp(id)).ok()?;
        self.members.get(at)
    }

    /// The members of a role in any state, alive or not: whom a query must ask for rows that no block holds.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Seen> {
        self.members.iter().filter(move |seen| seen.member.has_role(role))
    }

    /// How many of a role are at work: the divisor of what is shared by all.
    pub fn usable(&self, role: Role) -> usize {
        self.with_role(role).filter(|seen| seen.is_usable()).count()
    }

    /// Members that take writes, best first: the owner of the key, then its neighbours. At most `count`.
    pub fn ingesters_for(&self, key: RingKey, count: usize) -> Vec<Arc<Member>> {
        self.ingesters.neighbours(&self.members, key, count, Seen::takes_writes)
    }

    /// The ingester of a service, spread over its first `shards` neighbours by `labels_hash`; more or less than there are is fine.
    pub fn ingester_of_series(&self, service: RingKey, labels_hash: u64, shards: usize) -> Option<Arc<Member>> {
        if shards <= 1 {
            return self.ingesters.first(&self.members, service, Seen::takes_writes);
        }
        let shards = self.ingesters_for(service, shards);
        let at = labels_hash.checked_rem(shards.len() as u64)?;
        shards.into_iter().nth(at as usize)
    }

    /// Who answers for a block, best first: the owner, then who takes over. At most `count`.
    pub fn gateways_for(&self, block: Ulid, count: usize) -> Vec<Arc<Member>> {
        self.gateways.neighbours(&self.members, RingKey::of_block(block), count, Seen::is_usable)
    }

    /// Who compacts for a tenant.
    pub fn compactor_of(&self, tenant: &TenantId) -> Option<Arc<Member>> {
        self.compactors.first(&self.members, RingKey::of_tenant(tenant), Seen::is_usable)
    }

    /// Who evaluates a tenant's recording rules: of the queriers at work, which have no tokens, the one whose hash with the tenant is highest.
    pub fn querier_of(&self, tenant: &TenantId) -> Option<Arc<Member>> {
        let wanted = |seen: &&Seen| {
            let id = &seen.member.id;
            (RingKey::of_tenant_and_member(tenant, id.as_str()), id.clone())
        };
        self.with_role(Role::Querier)
            .filter(|seen| seen.is_usable())
            .max_by_key(wanted)
            .map(|seen| Arc::clone(&seen.member))
    }

    /// The part of the circle of a role that each of its members owns, from 0 to 1, alive or not. Empty for roles that own nothing.
    pub fn shares(&self, role: Role) -> Vec<(&Arc<Member>, f64)> {
        let Some(circle) = self.circle(role) else { return Vec::new() };
        let members = circle.members.iter().map(|at| &self.members[*at].member);
        members.zip(circle.ring.shares()).collect()
    }

    /// Every range of the circle of a role: after which key, up to which, and whose (an index into [`members`](Self::members)).
    pub fn ranges(&self, role: Role) -> Vec<(u32, u32, usize)> {
        let Some(circle) = self.circle(role) else { return Vec::new() };
        circle.ring.ranges().map(|(before, token, member)| (before, token, circle.members[member])).collect()
    }

    fn circle(&self, role: Role) -> Option<&RoleRing> {
        match role {
            Role::Ingester => Some(&self.ingesters),
            Role::StoreGateway => Some(&self.gateways),
            Role::Compactor => Some(&self.compactors),
            Role::Distributor | Role::Querier | Role::Unknown => None,
        }
    }
}

impl RoleRing {
    fn new(all: &[Seen], role: Role) -> Self {
        let members: Vec<usize> = (0..all.len()).filter(|at| all[*at].member.has_role(role)).collect();
        let ring =
            TokenRing::new(members.iter().map(|at| (all[*at].member.tokens.as_slice(), all[*at].member.zone.as_str())));
        Self { members, ring }
    }

    fn first(&self, all: &[Seen], key: RingKey, usable: fn(&Seen) -> bool) -> Option<Arc<Member>> {
        let found = self.ring.first(key, |member| usable(&all[self.members[member]]))?;
        Some(Arc::clone(&all[self.members[found]].member))
    }

    fn neighbours(&self, all: &[Seen], key: RingKey, count: usize, usable: fn(&Seen) -> bool) -> Vec<Arc<Member>> {
        let found = self.ring.neighbours(key, count, |member| usable(&all[self.members[member]]));
        found.into_iter().map(|member| Arc::clone(&all[self.members[member]].member)).collect()
    }
}

/// Over how many neighbours a service is spread: 1, 2, 4, 8 … so that each gets at most `rate_per_shard`. 0 as rate per shard = never spread.
pub fn shards_for_rate(rate: f64, rate_per_shard: f64) -> usize {
    /// More neighbours than this share nothing any more: each would need all symbols of the service.
    const SHARDS_MAX: usize = 1024;
    let wanted = rate / rate_per_shard;
    if !(rate_per_shard > 0.0 && wanted > 1.0) {
        return 1;
    }
    (wanted.ceil().min(SHARDS_MAX as f64) as usize).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::cluster;

    fn seen(members: Vec<Member>) -> Vec<Seen> {
        members.into_iter().map(|member| Seen { member: Arc::new(member), healthy: true, forget: false }).collect()
    }

    fn names(members: &[Arc<Member>]) -> Vec<&str> {
        members.iter().map(|member| member.id.as_str()).collect()
    }

    #[test]
    fn work_goes_to_those_who_take_it() {
        let mut members = seen(cluster(5, &[]));
        let key = RingKey(7);
        let all = Snapshot::new(1, members.clone()).ingesters_for(key, 9);
        assert_eq!(all.len(), 5);
        let at = |id: &MemberId, members: &[Seen]| members.iter().position(|seen| seen.member.id == *id).unwrap();
        let change = |seen: &mut Seen, edit: fn(&mut Member)| edit(Arc::make_mut(&mut seen.member));
        let (dead, reads, leaves) = (at(&all[0].id, &members), at(&all[1].id, &members), at(&all[2].id, &members));
        members[dead].healthy = false;
        change(&mut members[reads], |member| member.read_only_since_ms = Some(1));
        change(&mut members[leaves], |member| member.state = State::Leaving);
        let snapshot = Snapshot::new(2, members);
        assert_eq!(names(&snapshot.ingesters_for(key, 9)), names(&all[3..]));
        assert_eq!((snapshot.usable(Role::Ingester), snapshot.with_role(Role::Ingester).count()), (3, 5));
        assert_eq!(snapshot.ingester_of_series(key, 5, 1).unwrap().id, all[3].id);
        // Read-only concerns profiles alone.
        let gateways = snapshot.gateways_for(Ulid::from_parts(1, 1), 9);
        assert!(gateways.len() == 3 && names(&gateways).contains(&all[1].id.as_str()));
        assert!(!snapshot.get(&all[0].id).unwrap().healthy);
        assert_eq!(snapshot.ingester_of_series(key, u64::MAX, 8).map(|member| all.contains(&member)), Some(true));
        assert_eq!(Snapshot::default().ingester_of_series(key, 1, 4), None);
    }

    #[test]
    fn rules_move_only_from_a_querier_that_is_gone() {
        let mut members = seen(cluster(5, &[]));
        for one in &mut members {
            Arc::make_mut(&mut one.member).roles = vec![Role::Querier];
        }
        let tenants: Vec<TenantId> = (0..100).map(|number| TenantId::parse(&format!("t{number}")).unwrap()).collect();
        let before = Snapshot::new(1, members.clone());
        let gone = before.querier_of(&tenants[0]).unwrap().id.clone();
        members.iter_mut().find(|one| one.member.id == gone).unwrap().healthy = false;
        let after = Snapshot::new(2, members);
        let mut moved = 0;
        for tenant in &tenants {
            let (was, is) = (before.querier_of(tenant).unwrap(), after.querier_of(tenant).unwrap());
            assert!(is.id != gone && (was.id == is.id || was.id == gone));
            moved += usize::from(was.id != is.id);
        }
        assert!((10..35).contains(&moved), "{moved} of 100 were the fifth's");
        assert_eq!(Snapshot::default().querier_of(&tenants[0]), None);
    }

    #[test]
    fn a_service_that_grows_keeps_half_of_its_series_in_place() {
        let snapshot = Snapshot::new(1, seen(cluster(16, &["a", "b"])));
        let at = |labels: u64, shards| snapshot.ingester_of_series(RingKey(99), labels, shards).unwrap().id.clone();
        for shards in [1_usize, 2, 4, 8] {
            let stay = (0..1600).filter(|labels| at(*labels, shards) == at(*labels, shards * 2)).count();
            assert_eq!(stay, 800, "{shards}");
        }
    }

    #[test]
    fn shards_are_powers_of_two() {
        for (rate, shards) in
            [(0.0, 1), (9.9, 1), (10.1, 2), (20.0, 2), (21.0, 4), (79.0, 8), (1e18, 1024), (f64::NAN, 1)]
        {
            assert_eq!(shards_for_rate(rate, 10.0), shards, "{rate}");
        }
        assert_eq!(shards_for_rate(5.0, 0.0), 1);
    }
}
