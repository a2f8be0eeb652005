//! Asks both sides on one catalog version, and again on a newer one when data moved meanwhile (architecture section 5, reads).

use std::sync::Arc;

use flamelake_api::roles::{IngesterSet, Ingesters, StoreGatewayApi};
use flamelake_catalog::{CatalogState, LogRange};
use flamelake_model::query::{PartialAnswer, PartialQuery};
use flamelake_model::{ErrorCode, StatusError, TenantId};
use futures::future::try_join_all;
use tracing::Instrument as _;

use crate::error::QuerierError;
use crate::members::AllIngesters;
use crate::merge::merge;
use crate::metrics::Metrics;
use crate::plan::{Catalog, Plan};

/// How often a question is asked again on a newer catalog version.
const REPLANS_MAX: usize = 3;
/// Tenants of one request that are asked side by side.
const TENANTS_CONCURRENT_MAX: usize = 8;

/// Whom to ask.
#[derive(Clone)]
pub(crate) struct FanOut {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) ingesters: Arc<dyn Ingesters>,
    pub(crate) gateways: Arc<dyn StoreGatewayApi>,
    /// `querier.partial-results`.
    pub(crate) partial: bool,
    pub(crate) metrics: Metrics,
}

/// A span of own traces (`flamelake_telemetry::SPAN`).
macro_rules! span {
    ($($parts:tt)*) => { tracing::trace_span!(target: "flamelake::span", $($parts)*) };
}

impl FanOut {
    /// The union over tenants, which keep no mark of whose they are.
    pub(crate) async fn ask(&self, tenants: &[TenantId], query: &PartialQuery) -> Result<PartialAnswer, StatusError> {
        let mut parts = Vec::with_capacity(tenants.len());
        for some in tenants.chunks(TENANTS_CONCURRENT_MAX) {
            parts.extend(try_join_all(some.iter().map(|tenant| self.ask_tenant(tenant, query))).await?);
        }
        let answer = merge(query, parts).instrument(span!("merge", tenants = tenants.len())).await?;
        self.metrics.samples.inc_by(answer.stats.samples);
        self.metrics.profiles.inc_by(answer.stats.profiles);
        if !answer.stats.set_aside.is_empty() {
            self.metrics.partial_answers.inc();
        }
        Ok(answer)
    }

    async fn ask_tenant(&self, tenant: &TenantId, query: &PartialQuery) -> Result<PartialAnswer, StatusError> {
        let mut replans = 0;
        let mut missed = None;
        loop {
            // Before the catalog: whoever leaves in between has committed its rows by then, and V shows them.
            let IngesterSet { epoch, members } = self.ingesters.all();
            let ingesters = AllIngesters { members, partial: self.partial };
            let state = self.catalog.load(tenant).instrument(span!("plan", %tenant)).await?;
            // What was missing on this very version, which has been confirmed since, was not moved.
            let set_missing_aside = missed == Some(state.version);
            let plan = Plan::new(tenant, &state, query, set_missing_aside);
            let error = match self.ask_once(&ingesters, plan).await {
                // Somebody has joined whom this process has not heard of, and was not asked.
                Ok(answer) if answer.stats.ring_epoch > epoch => {
                    self.ingesters.catch_up(answer.stats.ring_epoch).await?;
                    StatusError::unavailable(format!("the ring changed from {epoch} to {}", answer.stats.ring_epoch))
                }
                Err(error) if data_moved(&error) => error,
                // Who is gone may have left in order: then it is not to be asked.
                Err(error) if error.code == ErrorCode::Unavailable && self.ingesters.all().epoch > epoch => error,
                answer => return answer.map(|answer| with_lost_rows(answer, &state)),
            };
            if error.code == ErrorCode::NotFound {
                missed = Some(state.version);
            }
            self.metrics.replans.with_label_values(&[error.code.name()]).inc();
            if replans == REPLANS_MAX {
                let moving =
                    QuerierError::Moving { tenant: tenant.to_string(), attempts: replans + 1, last: error.message };
                return Err(StatusError::from_coded(&moving));
            }
            replans += 1;
        }
    }

    /// Both sides at once. The first error ends the other side.
    async fn ask_once(&self, ingesters: &AllIngesters, plan: Plan) -> Result<PartialAnswer, StatusError> {
        let query = plan.ingesters.query.clone();
        let recent = ingesters.query(&plan.ingesters).instrument(span!("ask ingesters"));
        if let Some(known) = plan.known {
            return merge(&query, vec![recent.await?, known]).await;
        }
        let Some(gateways) = plan.gateways else { return recent.await };
        self.metrics.blocks.inc_by(gateways.blocks.len() as u64);
        let span = span!("ask store-gateways", blocks = gateways.blocks.len());
        let (recent, committed) = futures::try_join!(recent, self.gateways.query(gateways).instrument(span))?;
        merge(&query, vec![recent, committed]).await
    }
}

/// Rows that the catalog knows to be lost are named like a damaged block.
fn with_lost_rows(mut answer: PartialAnswer, state: &CatalogState) -> PartialAnswer {
    let note = |LogRange { log, from, to }: &LogRange| format!("segments {} to {to} of log {log}: lost", from + 1);
    answer.stats.set_aside.extend(state.lost.iter().map(note));
    answer
}

/// A row above the watermark was dropped, or a block was removed: a newer version knows where the rows are.
fn data_moved(error: &StatusError) -> bool {
    matches!(error.code, ErrorCode::FailedPrecondition | ErrorCode::NotFound)
}

#[cfg(test)]
mod tests;
