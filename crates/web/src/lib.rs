//! The web page, in the binary: the files of `web/dist`, which `make web` builds, at `/`.
//!
//! Only bytes that were there when this was compiled: no folder is read, so no path of a request can reach one. Knows no API
//! and no tenant: the page asks the same port as any client does, and its policy lets it ask nobody else.

mod file;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};

use crate::file::{FILES, File};

/// What a server says at `/` that was compiled without the page.
const NO_PAGE: &str = "Flamelake is running, but this binary was built without its web page.\n\
    Build the page, then the server:  make web && make build  (needs Node 20)\n\
    Meanwhile: Grafana's Grafana Pyroscope data source, or flamelake query --help\n";

/// The routes of the page: `/` and the addresses that older links have, and the files that it loads.
pub fn routes() -> Router {
    let page = || get(async |headers: HeaderMap| page(&headers));
    let to_page = || get(async || (StatusCode::FOUND, [(header::LOCATION, "/")]));
    Router::new()
        .route("/", page())
        .route("/explore", page())
        .route("/comparison", page())
        .route("/comparison-diff", page())
        .route("/ui", to_page())
        .route("/ui/{*rest}", to_page())
        .route("/icon.svg", get(async |headers: HeaderMap| named("icon.svg", &headers)))
        .route("/assets/{*name}", get(asset))
}

/// Whether the page was there when this was compiled.
pub fn is_built() -> bool {
    File::find(FILES, "index.html").is_some()
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    named(&format!("assets/{name}"), &headers)
}

fn page(headers: &HeaderMap) -> Response {
    match File::find(FILES, "index.html") {
        Some(file) => file.answer(headers),
        None => ([(header::CACHE_CONTROL, "no-store")], NO_PAGE).into_response(),
    }
}

fn named(path: &str, headers: &HeaderMap) -> Response {
    match File::find(FILES, path) {
        Some(file) => file.answer(headers),
        None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}
