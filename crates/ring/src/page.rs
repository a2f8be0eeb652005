//! `GET /ring` for people (HTML) and programs (JSON), and `POST /ring/forget`.

mod circle;
mod html;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flamelake_model::Coded as _;
use flamelake_model::ErrorCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::error::RingError;
use crate::member::{MemberId, Role};
use crate::ring::{Forgotten, RingHandle};

/// What an operator accepted.
const LOST: &str = "what it had acknowledged, lay only in its log and was in no block is lost";

/// The routes. `POST /ring/forget` changes the cluster: serve them only where operators are.
pub fn routes(ring: RingHandle) -> Router {
    Router::new().route("/ring", get(show)).route("/ring/forget", post(forget)).with_state(ring)
}

/// The ring as JSON; `flamelake ring` reads it too.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RingReport {
    epoch: u64,
    /// Unix milliseconds of this answer.
    now_ms: i64,
    members: Vec<MemberReport>,
}

#[derive(Clone, Debug, Serialize)]
struct MemberReport {
    id: String,
    roles: Vec<&'static str>,
    address: String,
    zone: String,
    state: &'static str,
    healthy: bool,
    /// An operator wants it recovered.
    forget: bool,
    read_only_since_ms: Option<i64>,
    log_url: Option<String>,
    incarnation: String,
    /// Unix milliseconds of its first registration.
    registered_at_ms: i64,
    /// Unix milliseconds of its last start.
    started_at_ms: u64,
    /// For how long it has had no liveness, as far as the process that answers knows.
    unhealthy_seconds: Option<u64>,
    /// How many.
    tokens: usize,
    /// Part of the circle of each role that it owns, from 0 to 1.
    shares: BTreeMap<&'static str, f64>,
}

fn report(ring: &RingHandle) -> RingReport {
    let snapshot = ring.snapshot();
    let mut shares: BTreeMap<&MemberId, BTreeMap<&'static str, f64>> = BTreeMap::new();
    let owned = Role::ALL.map(|role| (role, snapshot.shares(role)));
    for (role, members) in &owned {
        for (member, share) in members {
            shares.entry(&member.id).or_default().insert(role.name(), *share);
        }
    }
    let members = snapshot.members().iter().map(|seen| {
        let member = &seen.member;
        MemberReport {
            id: member.id.to_string(),
            roles: member.roles.iter().map(|role| role.name()).collect(),
            address: member.address.clone(),
            zone: member.zone.clone(),
            state: member.state.name(),
            healthy: seen.healthy,
            forget: seen.forget,
            read_only_since_ms: member.read_only_since_ms,
            log_url: member.log_url.clone(),
            incarnation: member.incarnation.to_string(),
            registered_at_ms: member.registered_at_ms,
            started_at_ms: member.incarnation.timestamp_ms(),
            unhealthy_seconds: ring.shared.unhealthy_for(&member.id).map(|time| time.as_secs()),
            tokens: member.tokens.len(),
            shares: shares.remove(&member.id).unwrap_or_default(),
        }
    });
    let now_ms = ring.shared.clock.unix_nanos() / 1_000_000;
    RingReport { epoch: snapshot.epoch(), now_ms, members: members.collect() }
}

#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: String,
}

async fn show(State(ring): State<RingHandle>, Query(format): Query<Format>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let json = format.format == "json" || (format.format.is_empty() && accept.starts_with("application/json"));
    if json {
        Json(report(&ring)).into_response()
    } else {
        Html(html::page(&report(&ring), &ring.snapshot())).into_response()
    }
}

#[derive(Deserialize)]
struct ForgetForm {
    id: String,
    /// For a member whose log only itself could bring back.
    #[serde(default)]
    accept_loss: bool,
}

async fn forget(State(ring): State<RingHandle>, headers: HeaderMap, Form(form): Form<ForgetForm>) -> Response {
    let outcome = match MemberId::parse(&form.id) {
        Ok(id) => ring.forget(&id, form.accept_loss).await,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    let from_page = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    match outcome {
        Ok(_) if from_page => Redirect::to("../ring").into_response(),
        Ok(Forgotten::Removed) => (StatusCode::OK, "removed\n").into_response(),
        Ok(Forgotten::Marked) => {
            (StatusCode::ACCEPTED, "marked: a peer recovers its log and removes it\n").into_response()
        }
        Ok(Forgotten::RemovedWithItsLog) => (StatusCode::OK, format!("removed {}: {LOST}\n", form.id)).into_response(),
        Err(error) => (status(&error), format!("{error}\n")).into_response(),
    }
}

fn status(error: &RingError) -> StatusCode {
    match error.code() {
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::FailedPrecondition | ErrorCode::Aborted => StatusCode::CONFLICT,
        ErrorCode::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests;
