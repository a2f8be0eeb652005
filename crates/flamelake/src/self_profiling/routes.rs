//! `/debug/pprof/`: what `go tool pprof` and agents that scrape ask for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flamelake_model::StatusError;
use flamelake_rpc::HttpError;
use flamelake_runtime::clock::SharedClock;
use serde::Deserialize;

use super::cpu::CpuProfiler;
use super::heap;

const SECONDS_DEFAULT: u64 = 30;
const SECONDS_MAX: u64 = 300;
const INDEX: &str = "profiles of this process, as gzipped pprof:\n  /debug/pprof/profile?seconds=30   CPU, of the next seconds (1 to 300)\n  \
    /debug/pprof/heap                 what is allocated, where the process was started with _RJEM_MALLOC_CONF=prof:true\n";

/// The routes; they are an operator's.
pub(crate) fn routes(cpu: Arc<CpuProfiler>, clock: SharedClock) -> Router {
    Router::new()
        .route("/debug/pprof/", get(async || INDEX))
        .route("/debug/pprof/profile", get(profile))
        .with_state(cpu)
        .route("/debug/pprof/heap", get(allocated).with_state(clock))
}

#[derive(Deserialize)]
struct Seconds {
    seconds: Option<u64>,
}

async fn profile(State(cpu): State<Arc<CpuProfiler>>, Query(asked): Query<Seconds>) -> Result<Response, HttpError> {
    let seconds = asked.seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(StatusError::invalid_argument(format!("seconds is {seconds}: use 1 to {SECONDS_MAX}")).into());
    }
    Ok(file("profile.pb.gz", cpu.profile(Duration::from_secs(seconds)).await?))
}

async fn allocated(State(clock): State<SharedClock>) -> Result<Response, HttpError> {
    Ok(file("heap.pb.gz", heap::profile(&clock).await?))
}

fn file(name: &str, body: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, body).into_response()
}
