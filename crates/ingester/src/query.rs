//! Answers from exactly the rows above the caller's watermarks (architecture section 5, reads).

use flamelake_api::roles::IngesterQuery;
use flamelake_debuginfo::Symbolised;
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_query_engine::{SourceError, execute};

use crate::error::IngesterError;
use crate::head::Head;
use crate::head::snapshot::{HeadSnapshot, watermark_lookup};
use crate::service::Shared;

pub(crate) async fn query(shared: &Shared, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
    let source = snapshot(&shared.head, &request).map_err(|error| StatusError::from_coded(&error))?;
    let source = Symbolised::new(&source, &request.tenant, shared.symboliser.as_ref(), false);
    let answer = shared.cores.share(request.tenant.clone(), execute(&source, &request.query)).await;
    let mut answer = answer.map_err(|error| match error {
        SourceError::Status(status) => status,
        damaged @ SourceError::Damaged { .. } => StatusError::internal(damaged.to_string()),
    })?;
    answer.stats.set_aside.extend(shared.damaged_logs());
    Ok(answer)
}

fn snapshot(head: &Head, request: &IngesterQuery) -> Result<HeadSnapshot, IngesterError> {
    let Some(tenant) = head.tenant(&request.tenant) else { return Ok(HeadSnapshot::empty()) };
    let stale =
        |tenant: &TenantId| IngesterError::StaleCatalog { tenant: tenant.clone(), version: request.catalog_version };
    if request.catalog_version < tenant.first_version {
        return Err(stale(&request.tenant));
    }
    let through = watermark_lookup(request.watermarks.iter().map(|mark| (mark.log.as_str(), mark.through)));
    tenant.snapshot(request.query.rows(), through).ok_or_else(|| stale(&request.tenant))
}
