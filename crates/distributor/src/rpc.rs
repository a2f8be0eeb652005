//! `push.v1.PusherService/Push` and the OTLP export: the message becomes a batch, nothing more.

use std::sync::Arc;

use flamelake_api::push::v1::{PushRequest, PushResponse};
use flamelake_model::StatusError;
use flamelake_rpc::{Idempotent, RequestContext, RpcRouter};
use prost::Message as _;

use crate::error::Reason;
use crate::otlp::{self, ExportResponse, PartialSuccess, RawExport};
use crate::refusals::Discarded;
use crate::{Content, Distributor, PushBatch, PushSeries, RawProfile};

const PUSH: &str = "/push.v1.PusherService/Push";
/// OTLP over gRPC, and twice over HTTP: bare, and behind the prefix that some collectors are configured with.
const EXPORTS: [&str; 3] = [
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    "/v1development/profiles",
    "/otlp/v1development/profiles",
];

/// Adds the distributor's methods. Their bodies are bounded by `body_bytes_max`, before and after decompression.
pub fn register(router: RpcRouter, distributor: Arc<Distributor>, body_bytes_max: usize) -> RpcRouter {
    let push = Arc::clone(&distributor);
    let router = router
        .unary(PUSH, Idempotent::No, move |context, request: PushRequest| {
            let distributor = Arc::clone(&push);
            async move {
                let tenant = context.tenants.single()?;
                distributor.push(tenant, PushBatch::from(request)).await?;
                Ok(PushResponse {})
            }
        })
        .body_limit(PUSH, body_bytes_max);
    EXPORTS.into_iter().fold(router, |router, path| {
        let distributor = Arc::clone(&distributor);
        router
            .unary(path, Idempotent::No, move |context, request| export(Arc::clone(&distributor), context, request))
            .body_limit(path, body_bytes_max)
            .otlp(path)
    })
}

/// Converts off the socket threads: a request names its tables from everywhere, so it is done at once.
async fn export(
    distributor: Arc<Distributor>,
    context: RequestContext,
    request: RawExport,
) -> Result<ExportResponse, StatusError> {
    let tenant = context.tenants.single()?;
    let now_ns = distributor.clock.unix_nanos();
    let bytes = request.encoded_len() as u64;
    let batch = tokio::task::spawn_blocking(move || otlp::batch(&request, now_ns)).await;
    let batch = batch.map_err(|_| StatusError::internal("the conversion of OTLP profiles ended early"))?;
    let batch = batch.inspect_err(|error| {
        let (reason, message) = (Reason::MalformedProfile, &error.message[..]);
        distributor.metrics.discarded(tenant, Discarded { reason, profiles: 1, bytes, service: "", message });
    })?;
    if batch.series.is_empty() {
        return Ok(ExportResponse::default());
    }
    let refused = distributor.push_partially(tenant, batch).await?;
    let partial_success = refused.map(|(profiles, error_message)| PartialSuccess {
        rejected_profiles: i64::try_from(profiles).unwrap_or(i64::MAX),
        error_message,
    });
    Ok(ExportResponse { partial_success })
}

/// The profiles of an export, without a server: to measure.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_otlp(body: bytes::Bytes, now_ns: i64) -> Result<Vec<PushSeries>, String> {
    let request = RawExport::decode(body).map_err(|error| error.to_string())?;
    otlp::batch(&request, now_ns).map(|batch| batch.series).map_err(|error| error.message)
}

impl From<PushRequest> for PushBatch {
    /// Annotations are the server's own business: those of a client are dropped (contract `ingest.md` section 1).
    fn from(request: PushRequest) -> Self {
        let series = request.series.into_iter().map(|series| PushSeries {
            labels: series.labels.into_iter().map(|label| (label.name, label.value)).collect(),
            profiles: series
                .samples
                .into_iter()
                .map(|sample| RawProfile { content: Content::Pprof(sample.raw_profile), id: sample.id })
                .collect(),
        });
        Self { series: series.collect() }
    }
}
