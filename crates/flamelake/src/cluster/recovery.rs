//! Lost ingesters: one of the others turns what lies in their logs into blocks and removes them from the ring (architecture section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flamelake_ingester::Ingester;
use flamelake_ring::{Member, MemberId, RingHandle, RingKey};
use flamelake_runtime::clock::SharedClock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::members::RingMembers;

/// How often it is looked who is lost.
const TICK: Duration = Duration::from_millis(500);
/// How often the logs are listed for those of nobody.
const LIST_EVERY: Duration = Duration::from_secs(60);

/// See the module. Whose turn it is, the ring says; two at once cost work, never data.
pub(crate) struct Recoverer {
    pub(crate) ring: RingHandle,
    pub(crate) own: MemberId,
    pub(crate) ingester: Arc<Ingester>,
    pub(crate) members: Arc<RingMembers>,
    pub(crate) clock: SharedClock,
}

impl Recoverer {
    /// Works until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&self) {
        let mut orphans = Orphans::default();
        let mut listed = self.clock.monotonic();
        loop {
            self.clock.sleep(TICK).await;
            self.members.close_old_connections();
            for member in self.ring.lost() {
                if member.log_is_shared() && self.is_ours(member.id.as_str()) {
                    self.recover(&member).await;
                }
            }
            if self.clock.monotonic().saturating_sub(listed) >= LIST_EVERY {
                listed = self.clock.monotonic();
                self.look_for_orphans(&mut orphans).await;
            }
        }
    }

    /// The next ingester on the ring does it.
    fn is_ours(&self, lost: &str) -> bool {
        let next = self.ring.snapshot().ingesters_for(RingKey::of_member(lost), 1);
        next.first().is_some_and(|member| member.id == self.own)
    }

    async fn recover(&self, member: &Member) {
        warn!(member = %member.id, "an ingester is lost: its log is recovered");
        if let Err(error) = self.ingester.recover_peer(member.id.as_str()).await {
            warn!(member = %member.id, error = &error as &dyn std::error::Error, "a lost log cannot be recovered yet");
            return;
        }
        match self.ring.remove_recovered(member).await {
            Ok(true) => info!(member = %member.id, "a lost ingester is recovered and no member any more"),
            Ok(false) => info!(member = %member.id, "a lost ingester is back"),
            Err(error) => warn!(member = %member.id, %error, "a recovered ingester cannot be removed yet"),
        }
    }

    /// Logs of those who are no members, for instance because etcd was wiped while they were down.
    async fn look_for_orphans(&self, orphans: &mut Orphans) {
        let found = match self.ingester.logged_ingesters().await {
            Ok(found) => found,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "logs cannot be listed; they are looked at again later"
                );
                return;
            }
        };
        let snapshot = self.ring.snapshot();
        let is_member =
            |name: &str| MemberId::parse(name).is_ok_and(|id| id == self.own || snapshot.get(&id).is_some());
        for name in orphans.due(found.into_iter().filter(|name| !is_member(name)).collect()) {
            if !self.is_ours(&name) {
                continue;
            }
            match self.ingester.recover_peer(&name).await {
                Ok(()) => info!(ingester = name, "the logs of somebody who is no member are recovered"),
                Err(error) => {
                    orphans.again(&name);
                    warn!(
                        ingester = name,
                        error = &error as &dyn std::error::Error,
                        "logs of nobody cannot be recovered yet"
                    );
                }
            }
        }
    }
}

/// Whose logs were seen without a member: a process that just starts must not be disturbed, and nobody is looked at twice.
#[derive(Debug, Default)]
struct Orphans(BTreeMap<String, bool>);

impl Orphans {
    /// Those that were seen in the round before already and are not done.
    fn due(&mut self, now: BTreeSet<String>) -> Vec<String> {
        self.0.retain(|name, _| now.contains(name));
        let mut due = Vec::new();
        for name in now {
            match self.0.get_mut(&name) {
                Some(done) => {
                    if !std::mem::replace(done, true) {
                        due.push(name);
                    }
                }
                None => drop(self.0.insert(name, false)),
            }
        }
        due
    }

    /// Not done after all.
    fn again(&mut self, name: &str) {
        self.0.insert(name.to_owned(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_due_at_their_second_sight_and_once() {
        let seen = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut orphans = Orphans::default();
        assert!(orphans.due(seen(&["a"])).is_empty());
        assert_eq!(orphans.due(seen(&["a", "b"])), ["a"]);
        assert_eq!(orphans.due(seen(&["a", "b"])), ["b"]);
        orphans.again("a");
        assert_eq!(orphans.due(seen(&["a", "b"])), ["a"]);
        // Was a member in between.
        assert!(orphans.due(seen(&["b"])).is_empty());
        assert!(orphans.due(seen(&["a", "b"])).is_empty());
    }
}
