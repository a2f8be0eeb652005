//! `GET /api/v1/discarded`: why profiles of the tenant were refused by this process.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use flamelake_rpc::{HttpError, Tenancy};
use http::HeaderMap;
use serde::Serialize;

use crate::Distributor;
use crate::refusals::Refusal;

#[derive(Serialize)]
struct Listed {
    discarded: Vec<Refusal>,
}

pub(super) fn route(distributor: Arc<Distributor>, tenancy: Tenancy) -> Router {
    Router::new().route("/api/v1/discarded", get(list)).with_state((distributor, tenancy))
}

async fn list(
    State((distributor, tenancy)): State<(Arc<Distributor>, Tenancy)>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let tenants = tenancy.tenants(&headers)?;
    let discarded = distributor.metrics.refusals.of(tenants.single()?);
    Ok(Json(Listed { discarded }).into_response())
}
