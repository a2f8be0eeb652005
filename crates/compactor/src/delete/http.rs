//! `/api/v1/delete`: plain JSON in and out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use flamelake_block::meta::Ulid;
use flamelake_model::{StatusError, TenantId, TimestampMs};
use flamelake_rpc::{HttpError, Tenancy};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{DeleteError, DeleteRequest, DeleteState, DeleteStatus};
use crate::Compactor;

/// Largest request.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Deletes in a list at most.
const LISTED_MAX: usize = 1000;

#[derive(Clone)]
struct Deletes {
    compactor: Arc<Compactor>,
    tenancy: Tenancy,
}

/// What a client asks for. A misspelt field must not widen a delete.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    selector: String,
    #[serde(default)]
    profile_type: Option<String>,
    #[serde(default)]
    start: Option<i64>,
    #[serde(default)]
    end: Option<i64>,
}

#[derive(Serialize)]
struct Listed {
    deletes: Vec<DeleteStatus>,
}

/// The routes, for the public port of a process with a compactor.
pub fn delete_routes(compactor: Arc<Compactor>, tenancy: Tenancy) -> Router {
    Router::new()
        .route("/api/v1/delete", post(create).get(list))
        .route("/api/v1/delete/{id}", get(show))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Deletes { compactor, tenancy })
}

impl Deletes {
    fn tenant(&self, headers: &HeaderMap) -> Result<TenantId, StatusError> {
        Ok(self.tenancy.tenants(headers)?.single()?.clone())
    }
}

async fn create(State(deletes): State<Deletes>, headers: HeaderMap, body: Body) -> Result<Response, HttpError> {
    let tenant = deletes.tenant(&headers)?;
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| {
        StatusError::invalid_argument(format!("the body cannot be read or has more than {BODY_BYTES_MAX} bytes"))
    })?;
    let request = parse(&body)?;
    // Goes on even if the client does not wait.
    let work = async move { deletes.compactor.create_delete(&tenant, &request).await };
    let status = tokio::spawn(work).await.map_err(|_| StatusError::internal("the delete was stopped"))?;
    let status = status.map_err(told)?;
    let code = if status.state == DeleteState::Accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((code, Json(status)).into_response())
}

async fn list(State(deletes): State<Deletes>, headers: HeaderMap) -> Result<Response, HttpError> {
    let tenant = deletes.tenant(&headers)?;
    let all = deletes.compactor.list_deletes(&tenant, LISTED_MAX).await.map_err(told)?;
    Ok(Json(Listed { deletes: all }).into_response())
}

async fn show(
    State(deletes): State<Deletes>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let tenant = deletes.tenant(&headers)?;
    let id = Ulid::from_string(&id)
        .map_err(|_| StatusError::invalid_argument("this is no id of a delete: GET /api/v1/delete lists them"))?;
    match deletes.compactor.show_delete(&tenant, id).await.map_err(told)? {
        Some(status) => Ok(Json(status).into_response()),
        None => Err(HttpError::new(StatusCode::NOT_FOUND, format!("no delete {id}"))),
    }
}

/// For any bytes, an error at worst.
pub(super) fn parse(body: &Bytes) -> Result<DeleteRequest, StatusError> {
    let Wanted { selector, profile_type, start, end } = serde_json::from_slice(body).map_err(|error| {
        StatusError::invalid_argument(format!(
            "{error}: send {{\"selector\": \"{{service_name=\\\"a\\\"}}\", \"profile_type\": …, \"start\": Unix ms, \"end\": Unix ms}}"
        ))
    })?;
    DeleteRequest::parse(&selector, profile_type.as_deref(), start.map(TimestampMs), end.map(TimestampMs))
}

fn told(error: DeleteError) -> StatusError {
    StatusError::from_coded(&error)
}
