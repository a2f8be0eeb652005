//! Follows the store: list at a revision, watch from the next, and after whatever error list again. The last good snapshot stays until then.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::StoreError;
use crate::shared::Shared;
use crate::store::{Batch, Changes, MemberStore};
use crate::view::View;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Arc<dyn MemberStore>,
    pub(crate) stop: CancellationToken,
}

impl Reader {
    /// Lists and begins to watch. The view is published before it returns.
    pub(crate) async fn begin(&self) -> Result<(View, Changes), StoreError> {
        let listing = self.store.list().await?;
        let revision = listing.revision;
        let view = View::from(listing);
        let changes = self.store.watch(revision).await?;
        self.shared.publish(view.clone());
        self.shared.metrics.connected.set(1);
        Ok((view, changes))
    }

    /// The first list, however long it takes; an error only if waiting cannot help.
    pub(crate) async fn begin_patiently(&self) -> Result<(View, Changes), StoreError> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.begin().await {
                Err(error @ StoreError::Unavailable { .. }) => {
                    warn!(%error, "the members of the cluster cannot be read yet; trying again");
                }
                Ok(begun) => return Ok(begun),
                Err(error) => return Err(error),
            }
            self.shared.clock.sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Until stopped.
    pub(crate) async fn run(self, begun: (View, Changes)) {
        let (mut view, mut changes) = begun;
        loop {
            let error = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                error = self.follow(&mut view, &mut changes) => error,
            };
            self.shared.metrics.connected.set(0);
            // Compaction is everyday business.
            match &error {
                StoreError::Compacted { .. } => info!(%error, "the watch of the ring starts anew"),
                _ => warn!(%error, "the watch of the ring ended; the last list of members holds until it is back"),
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                begun = self.again() => (view, changes) = begun,
            }
        }
    }

    /// Applies what comes, until the watch ends.
    async fn follow(&self, view: &mut View, changes: &mut Changes) -> StoreError {
        let mut held = self.shared.reconsider();
        loop {
            let next = async {
                match held {
                    Some(wait) => self.shared.clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                batch = changes.next() => match batch {
                    Some(Ok(batch)) => held = self.apply(view, batch),
                    Some(Err(error)) => return error,
                    None => {
                        let message = "the stream ended".to_owned();
                        return StoreError::Unavailable { action: "watch members", message };
                    }
                },
                () = next => held = self.shared.reconsider(),
            }
        }
    }

    fn apply(&self, view: &mut View, batch: Batch) -> Option<Duration> {
        batch.changes.into_iter().for_each(|change| view.apply(change));
        self.shared.publish(view.clone())
    }

    async fn again(&self) -> (View, Changes) {
        let mut wait = FIRST_WAIT;
        let mut failures = 0_u32;
        loop {
            self.shared.metrics.relists_total.inc();
            match self.begin().await {
                Ok(begun) => {
                    info!(failures, "the ring is being watched again");
                    return begun;
                }
                Err(error) => {
                    failures += 1;
                    // One line an outage and then one every few minutes: an hour of silence is no news.
                    if failures.is_power_of_two() {
                        warn!(%error, failures, "the members of the cluster cannot be read; the last list holds");
                    }
                }
            }
            self.shared.clock.sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}
