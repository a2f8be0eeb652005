//! `grpc.health.v1.Health`: `Check` in every protocol of the port, `Watch` over gRPC.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use flamelake_model::{ErrorCode, StatusError};
use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic_health::pb;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpc, HealthServer};

use crate::{Idempotent, RpcRouter};

/// What is ready to serve, by service name; the empty name is the whole process. Clones share their state.
#[derive(Clone, Debug)]
pub struct Health {
    serving: Arc<watch::Sender<BTreeMap<String, bool>>>,
}

impl Health {
    /// A process that is not ready yet.
    pub fn new() -> Self {
        Self { serving: Arc::new(watch::Sender::new(BTreeMap::from([(String::new(), false)]))) }
    }

    /// Says whether a service, or with the empty name the process, is ready.
    pub fn set(&self, service: &str, serving: bool) {
        self.serving.send_modify(|states| {
            states.insert(service.to_owned(), serving);
        });
    }

    fn status(&self, service: &str) -> Option<ServingStatus> {
        self.serving.borrow().get(service).map(|serving| serving_status(*serving))
    }

    fn check_status(&self, service: &str) -> Result<ServingStatus, StatusError> {
        self.status(service)
            .ok_or_else(|| StatusError::new(ErrorCode::NotFound, format!("no health is known of service {service:?}")))
    }

    /// `Check`, for the RPC router.
    pub(crate) fn rpc(&self) -> RpcRouter {
        let health = self.clone();
        RpcRouter::new().unary_without_tenant(CHECK, Idempotent::Yes, move |_, request: CheckRequest| {
            let status = health.check_status(&request.service);
            std::future::ready(status.map(|status| CheckResponse { status: status as i32 }))
        })
    }

    /// All of it as a tonic service: `Watch` on the public port, both methods on a plain gRPC port.
    pub fn grpc_service(&self) -> HealthServer<impl HealthRpc> {
        HealthServer::new(self.clone())
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// Path of `Check`.
pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// Path of `Watch`.
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

#[tonic::async_trait]
impl HealthRpc for Health {
    async fn check(
        &self,
        request: tonic::Request<pb::HealthCheckRequest>,
    ) -> Result<tonic::Response<pb::HealthCheckResponse>, tonic::Status> {
        let status =
            self.check_status(&request.get_ref().service).map_err(|error| crate::code::to_grpc_status(&error))?;
        Ok(tonic::Response::new(pb::HealthCheckResponse { status: status as i32 }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::HealthCheckResponse, tonic::Status>> + Send>>;

    async fn watch(
        &self,
        request: tonic::Request<pb::HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        let service = request.into_inner().service;
        let statuses = futures::stream::unfold((self.serving.subscribe(), None), move |(mut states, last)| {
            let service = service.clone();
            async move {
                let changed = |states: &BTreeMap<String, bool>| Some(watched(states, &service)) != last;
                let status = watched(&*states.wait_for(changed).await.ok()?, &service);
                Some((Ok(pb::HealthCheckResponse { status: status as i32 }), (states, Some(status))))
            }
        });
        Ok(tonic::Response::new(statuses.boxed()))
    }
}

fn watched(states: &BTreeMap<String, bool>, service: &str) -> ServingStatus {
    states.get(service).map_or(ServingStatus::ServiceUnknown, |serving| serving_status(*serving))
}

fn serving_status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// `grpc.health.v1.HealthCheckRequest` once more, because tonic's speaks no JSON.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    #[serde(default)]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    #[serde(serialize_with = "status_name")]
    status: i32,
}

fn status_name<S: serde::Serializer>(status: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let status = ServingStatus::try_from(*status).unwrap_or(ServingStatus::Unknown);
    serializer.serialize_str(status.as_str_name())
}
