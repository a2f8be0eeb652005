//! The keys as a reader knows them, and whether to believe a new state of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ulid::Ulid;

use crate::member::{Alive, Member, MemberId};
use crate::snapshot::{Seen, Snapshot};
use crate::store::{Change, Listing, Revision, Stored};

/// Keys by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) members: BTreeMap<MemberId, Stored<Arc<Member>>>,
    pub(crate) alive: BTreeMap<MemberId, Stored<Alive>>,
    pub(crate) forget: BTreeSet<MemberId>,
    pub(crate) epoch: Option<Stored<u64>>,
    pub(crate) origin: Option<Stored<Ulid>>,
}

impl From<Listing> for View {
    fn from(listing: Listing) -> Self {
        let mut view = Self::default();
        listing.keys.into_iter().for_each(|change| view.apply(change));
        view
    }
}

impl View {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Member(id, Some(stored)) => drop(self.members.insert(id, stored)),
            Change::Member(id, None) => drop(self.members.remove(&id)),
            Change::Alive(id, Some(stored)) => drop(self.alive.insert(id, stored)),
            Change::Alive(id, None) => drop(self.alive.remove(&id)),
            Change::Forget(id, true) => drop(self.forget.insert(id)),
            Change::Forget(id, false) => drop(self.forget.remove(&id)),
            Change::Epoch(stored) => self.epoch = stored,
            Change::Origin(stored) => self.origin = stored,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.as_ref().map_or(0, |stored| stored.value)
    }

    pub(crate) fn epoch_revision(&self) -> Revision {
        self.epoch.as_ref().map_or(0, |stored| stored.revision)
    }

    pub(crate) fn member_revision(&self, id: &MemberId) -> Revision {
        self.members.get(id).map_or(0, |stored| stored.revision)
    }

    pub(crate) fn alive_revision(&self, id: &MemberId) -> Revision {
        self.alive.get(id).map_or(0, |stored| stored.revision)
    }

    /// Liveness and registration name the same start.
    pub(crate) fn is_healthy(&self, member: &Member) -> bool {
        self.alive.get(&member.id).is_some_and(|stored| stored.value.incarnation == member.incarnation)
    }

    /// `epoch_floor`: the epoch never sinks for those who look at snapshots. `remembered`: members of whom the store knows nothing any more.
    pub(crate) fn snapshot<'a>(&self, epoch_floor: u64, remembered: impl Iterator<Item = &'a Arc<Member>>) -> Snapshot {
        let seen = |stored: &Stored<Arc<Member>>| Seen {
            healthy: self.is_healthy(&stored.value),
            forget: self.forget.contains(&stored.value.id),
            member: Arc::clone(&stored.value),
        };
        let unknown = remembered.filter(|member| !self.members.contains_key(&member.id));
        let unknown = unknown.map(|member| Seen { member: Arc::clone(member), healthy: false, forget: false });
        Snapshot::new(self.epoch().max(epoch_floor), self.members.values().map(seen).chain(unknown).collect())
    }
}

/// Why `next` is hard to believe after `before`: most were gone at once, or the epoch sank. A store that was wiped or restored looks so.
pub(crate) fn doubt(before: &Snapshot, view: &View) -> Option<String> {
    let members = before.members();
    let there = members.iter().filter(|seen| view.members.contains_key(&seen.member.id)).count();
    if there * 2 < members.len() {
        return Some(format!("{} of {} members are gone at once", members.len() - there, members.len()));
    }
    let healthy = members.iter().filter(|seen| seen.healthy).count();
    let still =
        |seen: &&Seen| seen.healthy && view.members.get(&seen.member.id).is_some_and(|m| view.is_healthy(&m.value));
    let still = members.iter().filter(still).count();
    // One process that stops is no doubt, be it the only one.
    if still * 2 < healthy && healthy - still > 1 {
        return Some(format!("{} of {healthy} living members are dead at once", healthy - still));
    }
    (view.epoch() < before.epoch()).then(|| format!("the epoch fell from {} to {}", before.epoch(), view.epoch()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::cluster;

    fn view(members: &[Member], dead: usize, epoch: u64) -> View {
        let mut view = View { epoch: Some(Stored { value: epoch, revision: 1 }), ..View::default() };
        for (index, member) in members.iter().enumerate() {
            let alive = Alive { incarnation: member.incarnation, started_at_ms: 0 };
            view.apply(Change::Member(
                member.id.clone(),
                Some(Stored { value: Arc::new(member.clone()), revision: 2 }),
            ));
            if index >= dead {
                view.apply(Change::Alive(member.id.clone(), Some(Stored { value: alive, revision: 3 })));
            }
        }
        view
    }

    #[test]
    fn a_state_that_drops_most_is_doubted() {
        let members = cluster(5, &[]);
        let before = view(&members, 0, 7).snapshot(0, [].iter());
        let doubt = |size: usize, dead: usize, epoch: u64| doubt(&before, &view(&members[..size], dead, epoch));
        assert_eq!(doubt(5, 0, 7), None);
        assert_eq!(doubt(3, 0, 9), None);
        assert_eq!(doubt(5, 2, 7), None);
        assert_eq!(doubt(2, 0, 9).unwrap(), "3 of 5 members are gone at once");
        assert_eq!(doubt(5, 3, 7).unwrap(), "3 of 5 living members are dead at once");
        assert_eq!(doubt(5, 0, 6).unwrap(), "the epoch fell from 7 to 6");
        assert_eq!(super::doubt(&Snapshot::default(), &View::default()), None);
    }

    #[test]
    fn liveness_of_another_start_is_none() {
        let members = cluster(1, &[]);
        let mut view = view(&members, 0, 1);
        assert!(view.snapshot(0, [].iter()).members()[0].healthy);
        let other = Alive { incarnation: ulid::Ulid::from_parts(9, 9), started_at_ms: 0 };
        view.apply(Change::Alive(members[0].id.clone(), Some(Stored { value: other, revision: 4 })));
        assert!(!view.snapshot(0, [].iter()).members()[0].healthy);
        assert_eq!(view.snapshot(12, [].iter()).epoch(), 12);
    }
}
