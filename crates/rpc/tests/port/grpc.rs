//! gRPC and gRPC-Web, health and reflection.

use flamelake_rpc::Tenancy;
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::*;

async fn channel(server: &TestServer) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap()
}

async fn call(
    client: &mut Grpc<Channel>,
    path: &'static str,
    request: Request<Echo>,
) -> Result<Response<Echo>, Status> {
    client.ready().await.unwrap();
    client.unary(request, PathAndQuery::from_static(path), ProstCodec::<Echo, Echo>::default()).await
}

#[tokio::test]
async fn unary_calls_with_and_without_gzip() {
    let server = TestServer::start(Tenancy::Single).await;
    let channel = channel(&server).await;
    let mut plain = Grpc::new(channel.clone());
    let mut gzip = Grpc::new(channel)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(usize::MAX);
    let large = Echo { data: vec![1; 6 << 20].into(), ..echo("hi") };
    assert_eq!(call(&mut plain, ECHO, Request::new(echo("hi"))).await.unwrap().into_inner(), echo("hi"));
    assert_eq!(call(&mut gzip, ECHO, Request::new(large.clone())).await.unwrap().into_inner(), large);
    let reply = call(&mut plain, HEADERS, Request::new(echo("hi"))).await.unwrap();
    assert_eq!(reply.metadata().get("x-extra").unwrap(), "7");
}

#[tokio::test]
async fn errors_keep_code_and_message() {
    let server = TestServer::start(Tenancy::Multi).await;
    let mut client = Grpc::new(channel(&server).await);
    let with_tenant = |message: Echo| {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-scope-orgid", "a".parse().unwrap());
        request
    };
    for number in 1..=16 {
        let failing = with_tenant(Echo { number, ..echo("100% ünlucky") });
        let status = call(&mut client, FAIL, failing).await.unwrap_err();
        assert_eq!((status.code() as i64, status.message()), (number, "100% ünlucky"));
    }
    let anonymous = call(&mut client, ECHO, Request::new(echo("hi"))).await.unwrap_err();
    assert_eq!((anonymous.code(), anonymous.message()), (Code::Unauthenticated, "no org id"));
    let panicked = call(&mut client, PANIC, with_tenant(echo("panic"))).await.unwrap_err();
    assert_eq!(panicked.code(), Code::Internal);
    let missing = call(&mut client, "/test.v1.EchoService/Missing", with_tenant(echo(""))).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unimplemented);
    let not_built = call(&mut client, NOT_BUILT, with_tenant(echo(""))).await.unwrap_err();
    assert_eq!(not_built.code(), Code::Unimplemented);
    let large = Echo { data: vec![0; SMALL_BYTES_MAX + 10].into(), ..Echo::default() };
    let refused = call(&mut client, SMALL, with_tenant(large)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let mut hurried = with_tenant(echo(""));
    hurried.set_timeout(std::time::Duration::from_millis(20));
    let late = call(&mut client, HANG, hurried).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let metrics = server.metrics();
    assert!(metrics.contains(r#"route="/test.v1.EchoService/Fail",status_code="429""#), "{metrics}");
}

fn frame(flag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, payload].concat()
}

fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let (payload, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*flag, payload.to_vec()));
        body = rest;
    }
    frames
}

#[tokio::test]
async fn grpc_web_over_http1() {
    let server = TestServer::start(Tenancy::Single).await;
    let send = |path: &str, content_type: &str, message: Vec<u8>| {
        server.send(TestRequest::post(path, content_type, frame(0, &message)))
    };
    for content_type in ["application/grpc-web", "application/grpc-web+proto"] {
        let answer = send(ECHO, content_type, echo("hi").encode_to_vec()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        let frames = frames(&answer.body);
        assert_eq!(frames[0], (0, echo("hi").encode_to_vec()));
        assert_eq!(frames[1], (0x80, b"grpc-status: 0\r\n".to_vec()));
    }
    let answer = send(ECHO, "application/grpc-web+json", br#"{"text":"hi"}"#.to_vec()).await;
    assert_eq!(serde_json::from_slice::<Echo>(&frames(&answer.body)[0].1).unwrap(), echo("hi"));

    let answer = send(FAIL, "application/grpc-web", Echo { number: 5, ..echo("gone") }.encode_to_vec()).await;
    let (flag, trailers) = frames(&answer.body).pop().unwrap();
    let trailers = String::from_utf8(trailers).unwrap();
    assert!(flag == 0x80 && trailers.contains("grpc-status: 5\r\n") && trailers.contains("grpc-message: gone\r\n"));
    assert_eq!(send(ECHO, "application/grpc-web-text", Vec::new()).await.status, 415);
}

#[tokio::test]
async fn gzipped_grpc_web_frames_are_read() {
    let server = TestServer::start(Tenancy::Single).await;
    let body = frame(1, &gzip(&echo("hi").encode_to_vec()));
    let request = TestRequest::post(ECHO, "application/grpc-web+proto", body).header("grpc-encoding", "gzip");
    let answer = server.send(request).await;
    let (flag, payload) = frames(&answer.body).remove(0);
    let plain = if flag == 1 { gunzip(&payload) } else { payload };
    assert_eq!(Echo::decode(&*plain), Ok(echo("hi")));
}

#[tokio::test]
async fn grpc_replies_have_trailers_and_the_content_type_of_the_request() {
    let server = TestServer::start(Tenancy::Single).await;
    let request = TestRequest::post(ECHO, "application/grpc", frame(0, &[])).http2();
    let answer = server.send(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")));
    assert_eq!(answer.trailers.get("grpc-status").unwrap(), "0");
    assert_eq!(answer.header("grpc-accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn health_is_checked_and_watched() {
    let server = TestServer::start(Tenancy::Multi).await;
    let mut client = HealthClient::new(channel(&server).await);
    let process = || HealthCheckRequest { service: String::new() };
    assert_eq!(client.check(process()).await.unwrap().into_inner().status, 2);
    let mut watch = client.watch(process()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
    server.health.set("", true);
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    assert_eq!(client.check(process()).await.unwrap().into_inner().status, 1);
    let unknown = client.check(HealthCheckRequest { service: "x".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let answer = server.send(TestRequest::json("/grpc.health.v1.Health/Check", "{}")).await;
    assert_eq!(answer.text(), r#"{"status":"SERVING"}"#);
}

#[tokio::test]
async fn reflection_lists_services() {
    let server = TestServer::start(Tenancy::Multi).await;
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut replies = client.server_reflection_info(futures::stream::iter([list])).await.unwrap().into_inner();
    let reply = replies.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else { panic!("{reply:?}") };
    assert!(list.service.iter().any(|service| service.name == "grpc.health.v1.Health"));
}
