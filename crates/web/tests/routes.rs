//! The page's routes as a browser sees them, with the page or without it.

use axum::body::Body;
use flamelake_web::{is_built, routes};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

async fn get(path: &str) -> Response<Body> {
    let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
    routes().oneshot(request).await.unwrap()
}

async fn status(path: &str) -> u16 {
    get(path).await.status().as_u16()
}

#[tokio::test]
async fn addresses_of_the_page_answer_and_others_do_not() {
    for path in ["/", "/explore", "/comparison", "/comparison-diff"] {
        assert_eq!(status(path).await, 200, "{path}");
    }
    assert_eq!((status("/ui").await, status("/ui/anything?x=1").await), (302, 302));
    for path in [
        "/querier.v1.QuerierService/Series",
        "/pyroscope/render",
        "/assets/nothing.js",
        "/assets/../Cargo.toml",
        "/explore/x",
    ] {
        assert_eq!(status(path).await, 404, "{path}");
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
async fn what_the_page_loads_is_there() {
    let answer = get("/").await;
    if !is_built() {
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(b"Flamelake is running") && text.windows(8).any(|words| words == b"make web"));
        eprintln!("skipped: the page is not built");
        return;
    }
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let request = Request::get("/").body(Body::empty()).unwrap();
    let page = routes().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let loaded: Vec<_> = page.split('"').filter(|part| part.starts_with('/')).collect();
    assert!(loaded.len() >= 3, "{page}");
    for path in loaded {
        assert_eq!(status(path).await, 200, "{path}");
    }
    // The policy lets nothing run that stands in the page itself.
    assert!(!page.contains("<style") && !page.contains("<script>") && !page.contains(" style="), "{page}");
}
