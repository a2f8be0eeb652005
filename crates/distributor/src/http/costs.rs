//! `GET /api/v1/costs`: what each service of the tenant cost this process since it started.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use flamelake_rpc::{HttpError, Tenancy};
use http::HeaderMap;
use serde::Serialize;

use crate::Distributor;
use crate::costs::Cost;

#[derive(Serialize)]
struct Listed {
    services: Vec<Cost>,
}

pub(super) fn route(distributor: Arc<Distributor>, tenancy: Tenancy) -> Router {
    Router::new().route("/api/v1/costs", get(list)).with_state((distributor, tenancy))
}

async fn list(
    State((distributor, tenancy)): State<(Arc<Distributor>, Tenancy)>,
    headers: HeaderMap,
) -> Result<Json<Listed>, HttpError> {
    let tenants = tenancy.tenants(&headers)?;
    Ok(Json(Listed { services: distributor.metrics.costs.of(tenants.single()?) }))
}
