//! The socket: plain routes, metrics, bounds, drain.

use std::time::Duration;

use flamelake_rpc::{ServerConfig, Tenancy};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn plain_routes_answer_and_fail_in_json() {
    let server = TestServer::start(Tenancy::Single).await;
    assert_eq!(server.send(TestRequest::new(Method::GET, "/plain")).await.text(), "fine");
    let error = server.send(TestRequest::new(Method::POST, "/plain/error")).await.error();
    assert_eq!(error, (422, "unknown".to_owned(), "no such format".to_owned()));
    let refused = server.send(TestRequest::new(Method::GET, "/plain/error")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn requests_are_measured_by_route() {
    let server = TestServer::start(Tenancy::Single).await;
    server.send(TestRequest::json(ECHO, r#"{"text":"hello"}"#)).await;
    server.send(TestRequest::new(Method::GET, "/nowhere/at/all")).await;
    server.send(TestRequest::json(FAIL, r#"{"number":5}"#)).await;
    let metrics = server.metrics();
    for line in [
        r#"flamelake_request_duration_seconds_count{method="POST",route="/test.v1.EchoService/Echo",status_code="200"} 1"#,
        r#"flamelake_request_duration_seconds_count{method="GET",route="other",status_code="404"} 1"#,
        r#"flamelake_request_duration_seconds_count{method="POST",route="/test.v1.EchoService/Fail",status_code="404"} 1"#,
        r#"flamelake_request_message_bytes_sum{method="POST",route="/test.v1.EchoService/Echo"} 16"#,
        r#"flamelake_inflight_requests{method="POST",route="/test.v1.EchoService/Echo"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn shutdown_lets_requests_in_flight_finish() {
    let mut server = TestServer::start(Tenancy::Single).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let answer = tokio::spawn(async move { exchange(&mut busy, "GET /plain/slow HTTP/1.1\r\nHost: x\r\n\r\n").await });
    while !server.metrics().contains(r#"flamelake_inflight_requests{method="GET",route="/plain/slow"} 1"#) {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow but done"), "{answer}");
    (&mut server.running).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "idle connections are closed");
}

#[tokio::test]
async fn requests_that_never_end_are_cut_off() {
    let config = ServerConfig { drain_timeout: Duration::from_millis(50), ..ServerConfig::default() };
    let mut server = TestServer::start_with(Tenancy::Single, config).await;
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    let request =
        format!("POST {HANG} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
    stuck.write_all(request.as_bytes()).await.unwrap();
    while !server.metrics().contains(&format!(r#"flamelake_inflight_requests{{method="POST",route="{HANG}"}} 1"#)) {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    (&mut server.running).await.unwrap();
}

#[tokio::test]
async fn a_head_that_never_comes_closes_the_connection() {
    let config = ServerConfig { header_read_timeout: Duration::from_millis(50), ..ServerConfig::default() };
    let server = TestServer::start_with(Tenancy::Single, config).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(&mut slow, "GET /plain HTTP/1.1\r\nHost").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn connections_above_the_bound_wait() {
    let config = ServerConfig { connections_max: 1, ..ServerConfig::default() };
    let server = TestServer::start_with(Tenancy::Single, config).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(50), second.read(&mut [0; 1])).await;
    assert!(waiting.is_err(), "the second connection is not served beside the first");
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("fine"), "{answer}");
}
