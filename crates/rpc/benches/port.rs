//! What the port costs a request beside its handler: routing, layers, engine, codec; no socket.

use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use flamelake_model::StatusError;
use flamelake_rpc::{App, Idempotent, RpcRouter, ServerConfig, ServerMetrics, Tenancy};
use flamelake_runtime::clock::SystemClock;
use http::Request;
use http_body_util::BodyExt as _;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

const PUSH: &str = "/bench.v1.Service/Push";

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
struct Push {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(bytes = "bytes", tag = "2")]
    profile: Bytes,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Pushed {}

fn app() -> Router {
    let rpc = RpcRouter::new().unary(PUSH, Idempotent::No, |context, request: Push| async move {
        black_box((context.tenants.single()?, request));
        Ok::<_, StatusError>(Pushed {})
    });
    let metrics = ServerMetrics::register(&Registry::new(), SystemClock::shared()).expect("a fresh registry");
    App::new().rpc(rpc).build(&ServerConfig::default(), Tenancy::Multi, &metrics).expect("no descriptor sets")
}

fn request(content_type: &str, body: Bytes) -> Request<Body> {
    Request::post(PUSH)
        .header("content-type", content_type)
        .header("x-scope-orgid", "tenant-a")
        .header("user-agent", "bench")
        .body(Body::from(body))
        .expect("a valid request")
}

fn port(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let app = app();
    let message = Push { labels: "service_name=\"a\"".to_owned(), profile: vec![7; 4096].into() };
    let proto: Bytes = prost::Message::encode_to_vec(&message).into();
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(proto.len()).expect("4 KiB").to_be_bytes());
    framed.extend_from_slice(&proto);
    for (name, content_type, body) in
        [("connect proto 4 KiB", "application/proto", proto), ("grpc 4 KiB", "application/grpc", framed.into())]
    {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let response = app.clone().oneshot(request(content_type, body.clone())).await.expect("infallible");
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.expect("a whole body")
                })
            });
        });
    }
}

criterion_group!(benches, port);
criterion_main!(benches);
