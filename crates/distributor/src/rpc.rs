//! `push.v1.PusherService/Push`: the message becomes a batch, nothing more.

use std::sync::Arc;

use flamelake_api::push::v1::{PushRequest, PushResponse};
use flamelake_rpc::{Idempotent, RpcRouter};

use crate::{Distributor, PushBatch, PushSeries, RawProfile};

const PUSH: &str = "/push.v1.PusherService/Push";

/// Adds the distributor's methods. Bodies of Push are bounded by `body_bytes_max`, before and after decompression.
pub fn register(router: RpcRouter, distributor: Arc<Distributor>, body_bytes_max: usize) -> RpcRouter {
    router
        .unary(PUSH, Idempotent::No, move |context, request: PushRequest| {
            let distributor = Arc::clone(&distributor);
            async move {
                let tenant = context.tenants.single()?;
                distributor.push(tenant, PushBatch::from(request)).await?;
                Ok(PushResponse {})
            }
        })
        .body_limit(PUSH, body_bytes_max)
}

impl From<PushRequest> for PushBatch {
    /// Annotations are the server's own business: those of a client are dropped (contract `ingest.md` section 1).
    fn from(request: PushRequest) -> Self {
        let series = request.series.into_iter().map(|series| PushSeries {
            labels: series.labels.into_iter().map(|label| (label.name, label.value)).collect(),
            profiles: series
                .samples
                .into_iter()
                .map(|sample| RawProfile { pprof: sample.raw_profile, id: sample.id })
                .collect(),
        });
        Self { series: series.collect() }
    }
}
