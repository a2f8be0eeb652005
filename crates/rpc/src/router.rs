//! Which handler answers which path. Roles fill a router each; the port merges them.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use flamelake_model::StatusError;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Codec;
use crate::{Reply, RequestContext};

/// Whether a method has no side effects: only such may be called by Connect GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotent {
    /// It only reads.
    Yes,
    /// It changes something.
    No,
}

pub(crate) type Handler = Arc<
    dyn Fn(RequestContext, Bytes, Codec) -> BoxFuture<'static, Result<(Bytes, HeaderMap), StatusError>> + Send + Sync,
>;

/// One path.
#[derive(Clone)]
pub(crate) struct Route {
    /// `None`: the contract names it, we have not built it or it is switched off.
    pub(crate) handler: Option<Handler>,
    pub(crate) idempotent: bool,
    pub(crate) wants_tenant: bool,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("built", &self.handler.is_some())
            .field("idempotent", &self.idempotent)
            .field("wants_tenant", &self.wants_tenant)
            .finish()
    }
}

/// RPC methods by path (`/querier.v1.QuerierService/LabelNames`). Every method is unary.
#[derive(Clone, Debug, Default)]
pub struct RpcRouter {
    pub(crate) routes: HashMap<&'static str, Route>,
    pub(crate) body_bytes_max: HashMap<&'static str, usize>,
    pub(crate) otlp_paths: HashSet<&'static str>,
}

impl RpcRouter {
    /// No methods.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method. A second handler for one path is a bug of ours and panics.
    pub fn unary<Req, Resp, F, Fut>(self, path: &'static str, idempotent: Idempotent, handler: F) -> Self
    where
        Req: prost::Message + Default + DeserializeOwned + 'static,
        Resp: prost::Message + Serialize + 'static,
        F: Fn(RequestContext, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, StatusError>> + Send + 'static,
    {
        self.unary_with_headers(path, idempotent, move |context, request| handler(context, request).map_ok(Reply::from))
    }

    /// Adds a method whose replies carry headers of their own.
    pub fn unary_with_headers<Req, Resp, F, Fut>(self, path: &'static str, idempotent: Idempotent, handler: F) -> Self
    where
        Req: prost::Message + Default + DeserializeOwned + 'static,
        Resp: prost::Message + Serialize + 'static,
        F: Fn(RequestContext, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply<Resp>, StatusError>> + Send + 'static,
    {
        self.add(
            path,
            Route { handler: Some(erase(handler)), idempotent: idempotent == Idempotent::Yes, wants_tenant: true },
        )
    }

    /// Adds a method that belongs to no tenant (health, versions): the header is not looked at.
    pub fn unary_without_tenant<Req, Resp, F, Fut>(self, path: &'static str, idempotent: Idempotent, handler: F) -> Self
    where
        Req: prost::Message + Default + DeserializeOwned + 'static,
        Resp: prost::Message + Serialize + 'static,
        F: Fn(RequestContext, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, StatusError>> + Send + 'static,
    {
        let handler = erase(move |context, request| handler(context, request).map_ok(Reply::from));
        self.add(path, Route { handler: Some(handler), idempotent: idempotent == Idempotent::Yes, wants_tenant: false })
    }

    /// Names paths of the contract with their `no side effects` flag: those without a handler answer `unimplemented`.
    pub fn known_methods(mut self, methods: impl IntoIterator<Item = (&'static str, bool)>) -> Self {
        for (path, idempotent) in methods {
            self.routes.entry(path).or_insert(Route { handler: None, idempotent, wants_tenant: false });
        }
        self
    }

    /// Bounds the message of a path, before and after decompression, instead of the port's default.
    pub fn body_limit(mut self, path: &'static str, bytes_max: usize) -> Self {
        self.body_bytes_max.insert(path, bytes_max);
        self
    }

    /// Binary messages to this path may be called `application/x-protobuf` or `application/protobuf`, as OTLP over HTTP calls them.
    pub fn otlp(mut self, path: &'static str) -> Self {
        self.otlp_paths.insert(path);
        self
    }

    /// Both routers' methods; a handler wins over a merely known path.
    pub fn merge(mut self, other: Self) -> Self {
        self.body_bytes_max.extend(other.body_bytes_max);
        self.otlp_paths.extend(other.otlp_paths);
        other.routes.into_iter().fold(self, |router, (path, route)| match route.handler {
            Some(_) => router.add(path, route),
            None => router.known_methods([(path, route.idempotent)]),
        })
    }

    fn add(mut self, path: &'static str, route: Route) -> Self {
        let before = self.routes.insert(path, route);
        assert!(before.is_none_or(|before| before.handler.is_none()), "two handlers for {path}");
        self
    }
}

fn erase<Req, Resp, F, Fut>(handler: F) -> Handler
where
    Req: prost::Message + Default + DeserializeOwned + 'static,
    Resp: prost::Message + Serialize + 'static,
    F: Fn(RequestContext, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<Resp>, StatusError>> + Send + 'static,
{
    Arc::new(move |context, body, codec| match codec.decode(body) {
        Ok(request) => handler(context, request)
            .map(move |reply| reply.and_then(|reply| Ok((codec.encode(&reply.message)?, reply.headers))))
            .boxed(),
        Err(error) => std::future::ready(Err(error)).boxed(),
    })
}
