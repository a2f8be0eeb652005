//! What a compactor tells of its work: `flamelake.compactor.v1` for other processes, `GET /compactor/status` for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use flamelake_api::flamelake::compactor::v1;
use flamelake_api::flamelake::compactor::v1::compactor_service_server::{CompactorService, CompactorServiceServer};
use flamelake_catalog::Ulid;
use flamelake_model::TenantId;
use flamelake_rpc::peer;
use parking_lot::Mutex;
use serde::Serialize;
use tonic::{Request, Response, Status};

use crate::{Compactor, Job};

/// A merge under way.
#[derive(Clone, Debug, Serialize)]
pub struct MergeStatus {
    /// Whose blocks.
    pub tenant: String,
    /// Of the result.
    pub level: u32,
    /// What is merged.
    pub blocks: Vec<String>,
    /// Unix milliseconds.
    pub since_ms: i64,
}

/// A block that cannot be merged; the log says why.
#[derive(Clone, Debug, Serialize)]
pub struct SetAside {
    /// Whose block.
    pub tenant: String,
    /// Its id.
    pub block: String,
}

/// What a compactor does.
#[derive(Clone, Debug, Serialize)]
pub struct CompactorStatus {
    /// Of this moment.
    pub merges: Vec<MergeStatus>,
    /// Unix milliseconds, to the second, of the end of the last round over all tenants without a failure; 0 = none so far.
    pub last_merge_round_ms: i64,
    /// The same of retention and sweeping.
    pub last_cleanup_round_ms: i64,
    /// What is left as it is.
    pub set_aside: Vec<SetAside>,
}

/// The merges under way: one a tenant.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<BTreeMap<TenantId, MergeStatus>>);

/// Until it is dropped, a merge is under way.
#[derive(Debug)]
pub(crate) struct Working<'a> {
    of: &'a UnderWay,
    tenant: TenantId,
}

impl UnderWay {
    pub(crate) fn begin(&self, tenant: &TenantId, job: &Job, since_ms: i64) -> Working<'_> {
        let blocks = job.blocks.iter().map(Ulid::to_string).collect();
        let merge = MergeStatus { tenant: tenant.to_string(), level: job.level, blocks, since_ms };
        self.0.lock().insert(tenant.clone(), merge);
        Working { of: self, tenant: tenant.clone() }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.tenant);
    }
}

impl Compactor {
    /// What it does now, and when its rounds last went well.
    pub fn status(&self) -> CompactorStatus {
        let round = |work: &str| self.metrics.last_round.with_label_values(&[work]).get().saturating_mul(1000);
        let aside = self.aside.lock();
        let of_tenant = |(tenant, blocks): (&TenantId, &std::collections::BTreeSet<Ulid>)| {
            let block = |block: &Ulid| SetAside { tenant: tenant.to_string(), block: block.to_string() };
            blocks.iter().map(block).collect::<Vec<_>>()
        };
        CompactorStatus {
            merges: self.under_way.0.lock().values().cloned().collect(),
            last_merge_round_ms: round("merge"),
            last_cleanup_round_ms: round("cleanup"),
            set_aside: aside.iter().flat_map(of_tenant).collect(),
        }
    }
}

/// Answers on the internal port.
#[derive(Debug)]
pub struct CompactorRpc(Arc<Compactor>);

/// The service, for `flamelake_rpc::App::grpc`.
pub fn compactor_service(compactor: Arc<Compactor>) -> CompactorServiceServer<CompactorRpc> {
    CompactorServiceServer::new(CompactorRpc(compactor))
}

#[tonic::async_trait]
impl CompactorService for CompactorRpc {
    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        peer::accept(request)?;
        let CompactorStatus { merges, last_merge_round_ms, last_cleanup_round_ms, set_aside } = self.0.status();
        let merge = |merge: MergeStatus| {
            let MergeStatus { tenant, level, blocks, since_ms } = merge;
            v1::Merge { tenant, level, blocks, since_ms }
        };
        let aside = |SetAside { tenant, block }: SetAside| v1::SetAside { tenant, block };
        Ok(Response::new(v1::StatusResponse {
            merges: merges.into_iter().map(merge).collect(),
            last_merge_round_ms,
            last_cleanup_round_ms,
            set_aside: set_aside.into_iter().map(aside).collect(),
        }))
    }
}

/// For operators: it names tenants.
pub fn status_routes(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/compactor/status", get(async |State(compactor): State<Arc<Compactor>>| Json(compactor.status())))
        .with_state(compactor)
}
