//! The page over a ring in memory.

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use tower::ServiceExt as _;

use super::*;
use crate::member::State as MemberState;
use crate::ring::tests::{Cluster, instance};

async fn ask(ring: &RingHandle, request: Request<Body>) -> (u16, String) {
    let response = routes(ring.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn get_request(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

fn forget_request(id: &str) -> Request<Body> {
    let form = Request::post("/ring/forget").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    form.body(Body::from(format!("id={id}"))).unwrap()
}

#[tokio::test]
async fn members_are_shown_and_forgotten() {
    let cluster = Cluster::new().await;
    let me = cluster.ring.join(instance("a", None), MemberState::Active).await.unwrap();
    let mut evil = instance("b", Some("bucket"));
    evil.zone = "<script>".to_owned();
    let other = cluster.ring.join(evil, MemberState::Active).await.unwrap();
    let ring = cluster.ring.handle();
    ring.until(|snapshot| snapshot.usable(Role::Ingester) == 2).await;

    let (status, page) = ask(&ring, get_request("/ring")).await;
    assert_eq!(status, 200);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && page.contains("<path d="), "{page}");
    let (_, json) = ask(&ring, get_request("/ring?format=json")).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["members"][0]["id"], "a");
    assert_eq!(json["members"][1]["log_url"], "bucket");
    assert!((json["members"][0]["shares"]["ingester"].as_f64().unwrap() - 0.5).abs() < 0.01);

    let (status, text) = ask(&ring, forget_request("b")).await;
    assert_eq!((status, text.contains("lives")), (409, true), "{text}");
    assert_eq!(ask(&ring, forget_request("nobody")).await.0, 404);
    assert_eq!(ask(&ring, forget_request("a%2Fb")).await.0, 400);
    assert_eq!(ask(&ring, get_request("/ring/forget?id=b")).await.0, 405);
    other.pause().await.unwrap();
    ring.until(|snapshot| snapshot.usable(Role::Ingester) == 1).await;
    assert_eq!(ask(&ring, forget_request("b")).await.0, 202);
    ring.until(|snapshot| snapshot.members()[1].forget).await;
    assert_eq!(ring.lost().len(), 1);
    let (_, page) = ask(&ring, get_request("/ring")).await;
    assert!(page.contains("to be forgotten") && page.contains("no, for"), "{page}");
    let on_disk = cluster.ring.join(instance("c", Some("file:///c")), MemberState::Active).await.unwrap();
    on_disk.pause().await.unwrap();
    let (status, text) = ask(&ring, forget_request("c")).await;
    assert_eq!((status, text.contains("--forget c --accept-loss")), (409, true), "{text}");
    let (status, text) = ask(&ring, forget_request("c&accept_loss=true")).await;
    assert_eq!((status, text.contains("in no block is lost")), (200, true), "{text}");
    me.leave().await.unwrap();
}
