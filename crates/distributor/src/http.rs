//! `POST /ingest` (contract `ingest.md` section 4): the body becomes a batch, as the message of `Push` does; the same path takes it on.

mod costs;
mod discarded;
pub(crate) mod multipart;
pub(crate) mod query;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::any;
use bytes::Bytes;
use flamelake_config::Limits;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_pprof::inflate::Inflater;
use flamelake_rpc::{HttpError, Tenancy};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::decode::{
    DecodeLimits, Refused, Source, folded, jfr, pprof, speedscope, stacks::Stacks, text_type::TextType, tree,
};
use crate::error::Reason;
use crate::http::query::Format;
use crate::refusals::Discarded;
use crate::{Distributor, PushBatch, PushSeries};

/// The routes of `/ingest`, `/api/v1/discarded` and `/api/v1/costs` for the public port.
pub fn routes(distributor: Arc<Distributor>, tenancy: Tenancy) -> Router {
    let told =
        discarded::route(Arc::clone(&distributor), tenancy).merge(costs::route(Arc::clone(&distributor), tenancy));
    let handler = any(move |request: Request| {
        let distributor = Arc::clone(&distributor);
        async move {
            match distributor.ingest(tenancy, request).await {
                Ok(()) => StatusCode::OK.into_response(),
                Err(error) => error.into_response(),
            }
        }
    });
    Router::new().route("/ingest", handler.clone()).route("/pyroscope/ingest", handler).merge(told)
}

/// Of a body that is too large, read only to be able to answer.
const DISCARDED_BYTES_MAX: usize = 16 << 20;

/// A refusal, how it is answered and under what it is counted.
struct Denied {
    status: StatusCode,
    reason: Reason,
    message: String,
    bytes: u64,
    /// The application's name, once it is known.
    service: String,
}

impl Distributor {
    async fn ingest(&self, tenancy: Tenancy, request: Request) -> Result<(), HttpError> {
        let (parts, body) = request.into_parts();
        let tenants = tenancy.tenants(&parts.headers)?;
        let tenant = tenants.single()?;
        if parts.method != Method::POST {
            return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "send profiles with POST"));
        }
        let limits = self.limits.for_tenant(tenant);
        let body = self.body(tenant, body, &parts.headers, &limits).await?;
        let content_type = text(&parts.headers);
        let now_ns = self.clock.unix_nanos();
        let (source, format) =
            query::parse(parts.uri.query().unwrap_or_default(), content_type, now_ns).map_err(|message| {
                let bytes = body.len() as u64;
                self.denied(
                    tenant,
                    Denied {
                        status: StatusCode::BAD_REQUEST,
                        reason: Reason::InvalidLabels,
                        message,
                        bytes,
                        service: String::new(),
                    },
                )
            })?;
        let batch = self.decoded(tenant, source, format, content_type, body, &limits).await?;
        if batch.series.is_empty() {
            return Ok(());
        }
        self.push(tenant, batch).await.map_err(|error| match error.code {
            ErrorCode::InvalidArgument if !format.is_text() => {
                HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, error.message)
            }
            _ => HttpError::from(error),
        })
    }

    async fn decoded(
        &self,
        tenant: &TenantId,
        source: Source,
        format: Format,
        content_type: &str,
        body: Bytes,
        limits: &Limits,
    ) -> Result<PushBatch, HttpError> {
        let bytes = body.len() as u64;
        let _inflight = self.inflight.reserve(tenant, bytes).map_err(|_| {
            let text = "too many bytes of profiles are in work (distributor.inflight-bytes-max); try again";
            let (reason, service) = (Reason::InflightBytes, &source.app.app[..]);
            self.metrics.discarded(tenant, Discarded { reason, profiles: 1, bytes, service, message: text });
            HttpError::from(StatusError::new(ErrorCode::ResourceExhausted, text))
        })?;
        let service = source.app.app.clone();
        let (content_type, limits) = (content_type.to_owned(), DecodeLimits::from(limits));
        let work = move || decode(&body, &content_type, format, &source, limits);
        self.workers.decode(tenant, bytes, work).await?.map(|series| PushBatch { series }).map_err(|refused| {
            let status = match &refused {
                Refused::UnknownType(_) | Refused::Limit { .. } if format.is_text() => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let (reason, message) = (refused.reason(), refused.to_string());
            self.denied(tenant, Denied { status, reason, message, bytes, service })
        })
    }

    /// The whole body, within the tenant's bound.
    async fn body(
        &self,
        tenant: &TenantId,
        mut body: Body,
        headers: &HeaderMap,
        limits: &Limits,
    ) -> Result<Bytes, HttpError> {
        let max = crate::limits::PushLimits::from(limits).body_bytes_max;
        let max = if max == 0 { u64::MAX } else { max };
        let too_large = |bytes: u64| {
            let message = format!("the request body is larger than {max} bytes (ingestion_body_limit_mb)");
            let (status, reason) = (StatusCode::PAYLOAD_TOO_LARGE, Reason::BodySizeLimitExceeded);
            self.denied(tenant, Denied { status, reason, message, bytes, service: String::new() })
        };
        let said = headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
        if let Some(said) = said.filter(|said| *said > max) {
            discard(&mut body).await;
            return Err(too_large(said));
        }
        let mut whole = bytes::BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                HttpError::new(StatusCode::REQUEST_TIMEOUT, format!("the request body could not be read: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if (whole.len() + data.len()) as u64 > max {
                let bytes = (whole.len() + data.len()) as u64;
                drop((whole, data));
                discard(&mut body).await;
                return Err(too_large(bytes));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    fn denied(&self, tenant: &TenantId, denied: Denied) -> HttpError {
        let Denied { status, reason, message, bytes, service } = denied;
        self.metrics.discarded(tenant, Discarded { reason, profiles: 1, bytes, service: &service, message: &message });
        HttpError::new(status, message)
    }
}

/// A client that is still sending may not look at the answer: takes what is left, within reason.
async fn discard(body: &mut Body) {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(after) = left.checked_sub(bytes) else { return };
        left = after;
    }
}

fn text(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The profiles of a body as `/ingest` reads them, without a server: to measure.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_body(
    query: &str,
    content_type: &str,
    body: &Bytes,
    limits: &Limits,
    now_ns: i64,
) -> Result<Vec<PushSeries>, String> {
    let (source, format) = query::parse(query, content_type, now_ns)?;
    decode(body, content_type, format, &source, DecodeLimits::from(limits)).map_err(|refused| refused.to_string())
}

/// The body as series of profiles.
fn decode(
    body: &Bytes,
    content_type: &str,
    format: Format,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Vec<PushSeries>, Refused> {
    let of_text = |decode: fn(&[u8], DecodeLimits) -> Result<Stacks, Refused>| of_stacks(decode(body, limits)?, source);
    match format {
        Format::Groups => of_text(folded::groups),
        Format::Lines => of_text(folded::each_line),
        Format::Tree => of_text(tree::tree),
        Format::Trie => of_text(tree::trie),
        Format::Speedscope => speedscope::series(body, source, limits),
        Format::Pprof => Ok(pprof::series(body, None, source, limits)?.into_iter().collect()),
        Format::PprofForm => of_form(body, content_type, source, limits),
        Format::Jfr if content_type.contains("multipart/form-data") => of_jfr_form(body, content_type, source, limits),
        Format::Jfr => of_jfr(body, None, source, limits),
    }
}

fn of_stacks(stacks: Stacks, source: &Source) -> Result<Vec<PushSeries>, Refused> {
    let (service, kind) = TextType::of(&source.app.app)?;
    // A profile of one span belongs to an older protocol; nothing asks for it.
    if source.app.labels.get("profile_id").is_some_and(|id| !id.is_empty()) {
        return Ok(Vec::new());
    }
    let (head, factor) = kind.head(source, source.period_ns());
    let tables = stacks.into_tables(&head, factor)?;
    Ok(tables.map(|tables| source.series_of_app(service, kind.name, &[], tables)).into_iter().collect())
}

fn of_form(
    body: &Bytes,
    content_type: &str,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Vec<PushSeries>, Refused> {
    let files = multipart::files(content_type, body).map_err(Refused::Malformed)?;
    if files.get("prev_profile").is_some_and(|previous| !previous.is_empty()) {
        let text =
            "unsupported client version: prev_profile is not taken any more; update the SDK, or send deltas only";
        return Err(Refused::malformed(text));
    }
    let types = files.get("sample_type_config").map(|json| pprof::sample_types(json)).transpose()?;
    let Some(profile) = files.get("profile") else { return Ok(Vec::new()) };
    Ok(pprof::series(profile, types.as_ref(), source, limits)?.into_iter().collect())
}

fn of_jfr_form(
    body: &Bytes,
    content_type: &str,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Vec<PushSeries>, Refused> {
    let files = multipart::files(content_type, body).map_err(Refused::Malformed)?;
    let Some(recording) = files.get("jfr") else { return Err(Refused::malformed("the form has no file named jfr")) };
    let labels = files.get("labels").filter(|labels| !labels.is_empty());
    let mut inflater = Inflater::default();
    let labels = labels.map(|labels| inflater.run(labels, limits.bytes_max)).transpose()?;
    of_jfr(recording, labels, source, limits)
}

/// A packed recording is bounded by what a profile may hold; what comes as it is, by the body.
fn of_jfr(
    body: &[u8],
    labels: Option<&[u8]>,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Vec<PushSeries>, Refused> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    if !body.starts_with(GZIP) {
        return jfr::series(body, labels, source, limits);
    }
    jfr::series(Inflater::default().run(body, limits.bytes_max)?, labels, source, limits)
}
