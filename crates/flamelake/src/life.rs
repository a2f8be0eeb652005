//! Routes that lead an ingester through its life (contract `operations.md` section 1.5): before a scale-down, before its disk goes.
//! Only POST and DELETE change anything, so that no browser does it by following a link.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flamelake_ingester::Ingester;
use flamelake_model::StatusError;
use flamelake_rpc::HttpError;
use flamelake_runtime::Readiness;
use serde_json::json;
use tracing::info;

use crate::cluster::Cluster;

/// The ingester of this process and its place in the ring.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) ingester: Option<Arc<Ingester>>,
    pub(crate) readiness: Arc<Readiness>,
}

impl Life {
    fn ingester(&self) -> Result<&Arc<Ingester>, HttpError> {
        let none =
            || StatusError::unimplemented("no ingester runs in this process: ask one that --target names").into();
        self.ingester.as_ref().ok_or_else(none)
    }
}

/// The routes.
pub(crate) fn routes(life: Life) -> Router {
    Router::new()
        .route("/ingester/shutdown", post(shutdown))
        .route("/ingester/prepare-shutdown", get(prepared).post(prepare).delete(do_not_prepare))
        .route(
            "/ingester/prepare-instance-ring-downscale",
            get(read_only_since).post(read_only).delete(take_writes_again),
        )
        .with_state(life)
}

/// Refuses pushes, commits everything and leaves the ring; then the process answers queries until SIGTERM and is not ready.
async fn shutdown(State(life): State<Life>) -> Result<Response, HttpError> {
    let ingester = life.ingester()?;
    info!("shutdown of the ingester was asked for");
    life.readiness.set("ingester", false);
    life.cluster.retire().await;
    let finished = life.cluster.leave(Some(ingester), Duration::ZERO).await;
    if !finished {
        let message =
            "not everything could be committed: the log has it still; see the log of this process, and try again";
        return Err(StatusError::unavailable(message).into());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn prepared(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    Ok(Json(json!({ "prepared": life.cluster.leaves_at_stop() })).into_response())
}

/// At the next SIGTERM everything is committed, whatever `ring.unregister-on-shutdown` says and wherever the log lies.
async fn prepare(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    life.cluster.prepare_to_leave(true);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn do_not_prepare(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    life.cluster.prepare_to_leave(false);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn read_only_since(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    Ok(since(life.cluster.read_only_since_ms()))
}

/// No new pushes; it is asked still. `timestamp`: Unix seconds since when, 0 = it takes pushes.
async fn read_only(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    Ok(since(life.cluster.set_read_only(true).await.map_err(|error| StatusError::from_coded(&error))?))
}

async fn take_writes_again(State(life): State<Life>) -> Result<Response, HttpError> {
    life.ingester()?;
    Ok(since(life.cluster.set_read_only(false).await.map_err(|error| StatusError::from_coded(&error))?))
}

fn since(ms: Option<i64>) -> Response {
    Json(json!({ "timestamp": ms.map_or(0, |ms| ms / 1000) })).into_response()
}
