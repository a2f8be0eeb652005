//! What one port serves: RPC methods, plain HTTP routes, health and reflection, under the layers that all of them share.

use std::any::Any;
use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use flamelake_model::StatusError;
use http::{StatusCode, header};
use tonic::server::NamedService;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::accept::Capabilities;
use crate::auth::{self, Guard};
use crate::connect::{self, Engine};
use crate::content_type::{ContentType, Protocol};
use crate::health::WATCH;
use crate::metrics::{ServerMetrics, measure};
use crate::service::serve;
use crate::{Health, HttpError, RpcRouter, ServerConfig, Tenancy, reflection};

/// Collects what a port serves.
#[derive(Debug, Default)]
pub struct App {
    rpc: RpcRouter,
    plain: Router,
    descriptor_sets: Vec<&'static [u8]>,
    guard: Option<Guard>,
}

impl App {
    /// Serves nothing but 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds RPC methods.
    pub fn rpc(mut self, router: RpcRouter) -> Self {
        self.rpc = self.rpc.merge(router);
        self
    }

    /// Adds plain HTTP routes or tonic services (`Router::route_service`). Overlapping routes panic.
    pub fn plain(mut self, routes: Router) -> Self {
        self.plain = self.plain.merge(routes);
        self
    }

    /// Adds a tonic service: gRPC only, for ports that Flamelake's own processes speak to.
    pub fn grpc<S>(self, service: S) -> Self
    where
        S: tower::Service<Request, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let path = format!("/{}/{{*method}}", S::NAME);
        self.plain(Router::new().route_service(&path, service))
    }

    /// Adds `grpc.health.v1`.
    pub fn health(self, health: &Health) -> Self {
        let watch = Router::new().route_service(WATCH, health.grpc_service());
        self.rpc(health.rpc()).plain(watch)
    }

    /// Adds gRPC reflection over an encoded file descriptor set; may be called for several.
    pub fn reflection(mut self, descriptor_set: &'static [u8]) -> Self {
        self.descriptor_sets.push(descriptor_set);
        self
    }

    /// Lets in only those whom the guard knows, whatever the route; without one everybody comes in.
    pub fn guard(mut self, guard: Option<Guard>) -> Self {
        self.guard = guard;
        self
    }

    /// The finished routes. The error names a descriptor set that cannot be read.
    pub fn build(self, config: &ServerConfig, tenancy: Tenancy, metrics: &ServerMetrics) -> Result<Router, String> {
        let rpc = rpc_routes(self.rpc, config, tenancy, metrics);
        let mut routes = self.plain.merge(rpc);
        if !self.descriptor_sets.is_empty() {
            routes = routes.merge(reflection::routes(&self.descriptor_sets)?);
        }
        routes = routes.fallback(not_found);
        if let Some(guard) = self.guard {
            routes = routes.layer(middleware::from_fn_with_state((guard, tenancy), auth::check));
        }
        let panics = metrics.panics();
        Ok(routes
            .layer(CatchPanicLayer::custom(move |panic: Box<dyn Any + Send>| {
                panics.inc();
                error!(panic = connect::panic_text(&*panic), "handler panicked");
                HttpError::from(connect::panicked()).into_response()
            }))
            .layer(middleware::from_fn(check_accept))
            .layer(middleware::from_fn_with_state(metrics.clone(), measure)))
    }
}

fn rpc_routes(router: RpcRouter, config: &ServerConfig, tenancy: Tenancy, metrics: &ServerMetrics) -> Router {
    let otlp = |path: &str| router.otlp_paths.contains(path);
    let paths: Vec<_> = router.routes.iter().map(|(path, route)| (*path, route.idempotent, otlp(path))).collect();
    let engine = Engine::new(router, tenancy, config.body_bytes_max, metrics.clone());
    paths.into_iter().fold(Router::new(), |routes, (path, get, otlp)| {
        let engine = engine.clone();
        routes.route(path, any(move |request: Request<Body>| serve(engine.clone(), get, otlp, request)))
    })
}

/// An `Accept` header that is none is refused everywhere (contract `query.md` section 1).
async fn check_accept(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ACCEPT)
        && let Err(message) = Capabilities::from_headers(request.headers())
    {
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    next.run(request).await
}

/// Plain text, which Connect clients read as `unimplemented`; gRPC clients are told in their own words.
async fn not_found(request: Request) -> Response {
    match ContentType::parse(request.headers()).map(|content_type| content_type.protocol) {
        Some(Protocol::Grpc | Protocol::GrpcWeb) => {
            let error = StatusError::unimplemented(format!("unknown method {}", request.uri().path()));
            connect::error_response(&error, request.headers())
        }
        Some(Protocol::Connect) | None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}
