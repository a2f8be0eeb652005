//! Connect unary, in JSON and binary, by POST and GET.

use flamelake_rpc::Tenancy;
use http::Method;

use crate::support::*;

async fn server() -> TestServer {
    TestServer::start(Tenancy::Single).await
}

#[tokio::test]
async fn json_and_binary_over_both_http_versions() {
    let server = server().await;
    for http2 in [false, true] {
        let version = |request: TestRequest| if http2 { request.http2() } else { request };
        let answer = server.send(version(TestRequest::json(ECHO, r#"{"text":"hi","number":3,"unknown":{}}"#))).await;
        assert_eq!(answer.echo_json(), Echo { number: 3, ..echo("hi") });
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("accept-encoding"), Some("gzip"));

        let answer = server.send(version(TestRequest::proto(WRITE, &echo("hi")))).await;
        assert_eq!(answer.echo_proto(), echo("hi"));
        assert_eq!(answer.header("content-type"), Some("application/proto"));
        if !http2 {
            assert_eq!(answer.header("content-length"), Some("4"));
        }
    }
}

#[tokio::test]
async fn the_reply_has_the_content_type_of_the_request() {
    let server = server().await;
    let answer = server.send(TestRequest::post(ECHO, "application/json; charset=UTF-8", b"{}".to_vec())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json; charset=utf-8")));
}

#[tokio::test]
async fn gzip_follows_the_request_or_the_offer() {
    let server = server().await;
    let body = r#"{"text":"hi"}"#;
    let cases = [
        (false, None, false),
        (true, None, true),
        (true, Some("identity"), true),
        (false, Some("gzip"), true),
        (false, Some("br, gzip;q=0.5"), true),
        (false, Some("gzip;q=0"), false),
        (false, Some("zstd"), false),
    ];
    for (gzip_request, offer, gzip_reply) in cases {
        let mut request = TestRequest::json(ECHO, body);
        if gzip_request {
            request = request.gzipped();
        }
        if let Some(offer) = offer {
            request = request.header("accept-encoding", offer);
        }
        let answer = server.send(request).await;
        assert_eq!(answer.header("content-encoding"), gzip_reply.then_some("gzip"), "{gzip_request} {offer:?}");
        let plain = if gzip_reply { gunzip(&answer.body) } else { answer.body.to_vec() };
        assert_eq!(serde_json::from_slice::<Echo>(&plain).unwrap(), echo("hi"));
    }
}

#[tokio::test]
async fn gzip_of_several_members_is_read_whole() {
    let server = server().await;
    let message = prost::Message::encode_to_vec(&echo("hello"));
    let body = [gzip(&message[..3]), gzip(&message[3..])].concat();
    let request = TestRequest::post(ECHO, "application/proto", body).header("content-encoding", "gzip");
    assert_eq!(prost::Message::decode(&*gunzip(&server.send(request).await.body)), Ok(echo("hello")));
}

#[tokio::test]
async fn reading_methods_answer_get() {
    let server = server().await;
    let get = |path: &str, query: &str| TestRequest::new(Method::GET, &format!("{path}?{query}"));
    let json = get(ECHO, "connect=v1&encoding=json&message=%7B%22text%22%3A%22hi%22%7D");
    assert_eq!(server.send(json).await.echo_json(), echo("hi"));
    let proto = get(ECHO, "connect=v1&encoding=proto&base64=1&message=CgJoaQ");
    assert_eq!(server.send(proto).await.echo_proto(), echo("hi"));

    let refused = server.send(get(WRITE, "connect=v1&encoding=json&message=%7B%7D")).await;
    assert_eq!((refused.status, refused.header("allow"), refused.text()), (405, Some("POST"), ""));
    let refused = server.send(TestRequest::new(Method::PUT, ECHO)).await;
    assert_eq!((refused.status, refused.header("allow"), refused.text()), (405, Some("GET, POST"), ""));
}

#[tokio::test]
async fn every_code_has_its_status_and_body() {
    let server = server().await;
    let statuses = [499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    for (number, status) in (1u8..).zip(statuses) {
        let answer = server.send(TestRequest::proto(FAIL, &Echo { number: number.into(), ..echo("why") })).await;
        let code = flamelake_rpc::code::from_grpc_number(number).unwrap();
        assert_eq!(answer.error(), (status, code.name().to_owned(), "why".to_owned()));
    }
    let answer = server.send(TestRequest::json(FAIL, r#"{"number":5}"#).gzipped()).await;
    assert_eq!((answer.text(), answer.header("content-encoding")), (r#"{"code":"not_found"}"#, None));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let server = server().await;
    let good = || TestRequest::json(ECHO, "{}");
    let cases = [
        (TestRequest::json(ECHO, ""), 400, "invalid_argument"),
        (TestRequest::json(ECHO, "[]"), 400, "invalid_argument"),
        (TestRequest::json(ECHO, "{} x"), 400, "invalid_argument"),
        (TestRequest::json(ECHO, r#"{"text":"#), 400, "invalid_argument"),
        (TestRequest::post(ECHO, "application/proto", vec![0xff]), 400, "invalid_argument"),
        (good().header("content-encoding", "gzip"), 400, "invalid_argument"),
        (good().header("content-encoding", "zstd"), 501, "unimplemented"),
        (good().header("connect-protocol-version", "2"), 400, "invalid_argument"),
        (good().header("connect-timeout-ms", "soon"), 400, "invalid_argument"),
        (good().header("connect-timeout-ms", "12345678901"), 400, "invalid_argument"),
        (good().header("connect-timeout-ms", "0"), 504, "deadline_exceeded"),
        (good().header("connect-timeout-ms", "-5"), 504, "deadline_exceeded"),
        (TestRequest::json(HANG, "{}").header("connect-timeout-ms", "20"), 504, "deadline_exceeded"),
        (TestRequest::json(NOT_BUILT, "{}"), 501, "unimplemented"),
    ];
    for (request, status, code) in cases {
        let answer = server.send(request).await;
        let (got_status, got_code, message) = answer.error();
        assert_eq!((got_status, got_code.as_str()), (status, code), "{message}");
        assert!(!message.is_empty());
    }
    let answer = server.send(TestRequest::post(ECHO, "application/proto", Vec::new())).await;
    assert_eq!(answer.echo_proto(), Echo::default(), "an empty body is an empty message");
    let answer =
        server.send(good().header("content-encoding", "identity").header("connect-protocol-version", "1")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn other_content_types_are_told_what_is_taken() {
    let server = server().await;
    for content_type in
        ["application/x-protobuf", "text/plain", "application/connect+proto", "application/json; a=b", ""]
    {
        let answer = server.send(TestRequest::post(ECHO, content_type, b"{}".to_vec())).await;
        assert_eq!((answer.status, answer.text()), (415, ""), "{content_type}");
        let accept_post = answer.header("accept-post").unwrap();
        let mut types: Vec<_> = accept_post.split(", ").collect();
        assert!(types.is_sorted() && types.contains(&"application/proto"), "{accept_post}");
        types.dedup();
        assert_eq!(types.len(), 11);
    }
    assert_eq!(server.send(TestRequest::new(Method::POST, ECHO)).await.status, 415);
}

#[tokio::test]
async fn unknown_paths_are_plain_404() {
    let server = server().await;
    let answer = server.send(TestRequest::json("/test.v1.EchoService/Missing", "{}")).await;
    assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn messages_are_bounded_before_and_after_decompression() {
    let server = server().await;
    let fits = Echo { data: vec![7; SMALL_BYTES_MAX - 100].into(), ..Echo::default() };
    assert_eq!(server.send(TestRequest::proto(SMALL, &fits)).await.echo_proto(), fits);
    let large = Echo { data: vec![0; SMALL_BYTES_MAX + 2_000].into(), ..Echo::default() };
    for request in [TestRequest::proto(SMALL, &large), TestRequest::proto(SMALL, &large).gzipped()] {
        let (status, code, message) = server.send(request).await.error();
        assert_eq!((status, code.as_str()), (429, "resource_exhausted"), "{message}");
    }
    assert_eq!(server.send(TestRequest::proto(WRITE, &large)).await.echo_proto(), large, "the limit is of one path");
}

#[tokio::test]
async fn panics_are_answered_and_counted() {
    let server = server().await;
    let (status, code, _) = server.send(TestRequest::json(PANIC, r#"{"text":"panic"}"#)).await.error();
    assert_eq!((status, code.as_str()), (500, "internal"));
    let (status, code, _) = server.send(TestRequest::new(Method::GET, "/plain/panic")).await.error();
    assert_eq!((status, code.as_str()), (500, "internal"));
    assert!(server.metrics().contains("flamelake_panics_total 2"));
    assert_eq!(server.send(TestRequest::json(PANIC, "{}")).await.status, 200);
}

#[tokio::test]
async fn tenants_come_from_the_header_when_wanted() {
    let server = TestServer::start(Tenancy::Multi).await;
    let who = |tenant: &str| TestRequest::json(WHO, "{}").header("x-scope-orgid", tenant);
    assert_eq!(server.send(who("b|a|b")).await.echo_json().text, "a|b false false");
    for request in [TestRequest::json(WHO, "{}"), who(""), who("|"), who("a/b")] {
        let (status, code, _) = server.send(request).await.error();
        assert_eq!((status, code.as_str()), (401, "unauthenticated"));
    }
    assert_eq!(server.send(TestRequest::json(OPEN, "{}")).await.echo_json().text, " false false");

    let single = self::server().await;
    assert_eq!(single.send(who("b|a")).await.echo_json().text, "anonymous false false");
}

#[tokio::test]
async fn headers_reach_the_handler_and_come_back() {
    let server = server().await;
    let request = TestRequest::json(WHO, "{}")
        .header("accept", "application/json;allow-utf8-labelnames=true")
        .header("x-pyroscope-collect-diagnostics", "true")
        .header("connect-timeout-ms", "10000");
    assert_eq!(server.send(request).await.echo_json(), Echo { number: 1, ..echo("anonymous true true") });
    assert_eq!(server.send(TestRequest::json(HEADERS, "{}")).await.header("x-extra"), Some("7"));
}

#[tokio::test]
async fn a_broken_accept_header_is_refused_everywhere() {
    let server = server().await;
    for path in [ECHO, "/plain", "/nowhere"] {
        let answer = server.send(TestRequest::json(path, "{}").header("accept", "a/b;c")).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/plain; charset=utf-8")), "{path}");
    }
}
