//! What to ask whom, from one version of a tenant's catalog: the blocks that may hold matching rows, and the watermarks that divide
//! rows in blocks from rows in heads.

use std::sync::Arc;

use async_trait::async_trait;
use flamelake_api::roles::{IngesterQuery, StoreGatewayQuery, Watermark};
use flamelake_catalog::{CatalogState, CatalogStore};
use flamelake_model::query::{PartialAnswer, PartialQuery, PartialResult, QueryStats, Selection, TimeSpan};
use flamelake_model::{StatusError, TenantId, TimestampNs, label_name};

/// Where the querier learns which blocks are live. A trait, so that tests hold the versions in their hands.
#[async_trait]
pub(crate) trait Catalog: Send + Sync {
    /// A tenant's newest state, confirmed after this call began; of one that was never written, the empty state.
    async fn load(&self, tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError>;
}

#[async_trait]
impl Catalog for CatalogStore {
    async fn load(&self, tenant: &TenantId) -> Result<Arc<CatalogState>, StatusError> {
        Self::load(self, tenant).await.map_err(|error| StatusError::from_coded(&error))
    }
}

/// Both halves of a question.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) ingesters: IngesterQuery,
    /// `None` when no block can hold a matching row.
    pub(crate) gateways: Option<StoreGatewayQuery>,
    /// What the catalog itself knows of the blocks; then no store-gateway is asked.
    pub(crate) known: Option<PartialAnswer>,
}

impl Plan {
    /// `set_missing_aside`: blocks that are live in this state and have lost a file are damaged, not moved.
    pub(crate) fn new(tenant: &TenantId, state: &CatalogState, query: &PartialQuery, set_missing_aside: bool) -> Self {
        let wanted = Wanted::new(query);
        let may_match = state.blocks.iter().filter(|(_, block)| {
            wanted.overlaps(block.min_time_ns, block.max_time_ns)
                && block.partitions.iter().any(|partition| {
                    wanted.overlaps(partition.min_time_ns, partition.max_time_ns)
                        && wanted.has_type(&partition.profile_types)
                        && wanted.selection.selector.admits(label_name::SERVICE_NAME, &partition.service_name)
                })
        });
        let (mut blocks, mut known) = (Vec::new(), None);
        if matches!(query, PartialQuery::TimeSpan(_)) {
            let spans = may_match.map(|(_, block)| {
                Some(TimeSpan { min: TimestampNs(block.min_time_ns), max: TimestampNs(block.max_time_ns) })
            });
            let result = PartialResult::TimeSpan(spans.fold(None, TimeSpan::join));
            known = Some(PartialAnswer { result, stats: QueryStats::default() });
        } else {
            blocks = may_match.map(|(ulid, _)| ulid.to_string()).collect();
        }
        let watermarks = state.covered.iter().map(|(log, through)| Watermark { log: log.clone(), through: *through });
        let ingesters = IngesterQuery {
            tenant: tenant.clone(),
            catalog_version: state.version,
            watermarks: watermarks.collect(),
            query: query.clone(),
        };
        let gateways = (!blocks.is_empty()).then(|| StoreGatewayQuery {
            tenant: tenant.clone(),
            blocks,
            query: query.clone(),
            set_missing_aside,
        });
        Self { ingesters, gateways, known }
    }
}

/// What a block must have to be worth a question.
struct Wanted<'a> {
    from: TimestampNs,
    to: TimestampNs,
    type_id: Option<String>,
    selection: &'a Selection,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a PartialQuery) -> Self {
        let ((from, to), selection) = (query.rows(), query.selection());
        Self { from, to, type_id: selection.profile_type.as_ref().map(ToString::to_string), selection }
    }

    fn overlaps(&self, min_ns: i64, max_ns: i64) -> bool {
        self.from.0 <= max_ns && min_ns <= self.to.0
    }

    fn has_type(&self, sorted_ids: &[String]) -> bool {
        self.type_id.as_ref().is_none_or(|id| sorted_ids.binary_search(id).is_ok())
    }
}
