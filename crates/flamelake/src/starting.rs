//! A port before its roles can answer: it tells how the start goes, and lets work wait a little.
//!
//! A start reads older logs and waits for etcd as long as it takes. An orchestrator must be able to tell such a process from a dead one.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use flamelake_runtime::clock::SharedClock;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Starts take less than this as a rule: a request that waits so long is not refused.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY_AFTER_SECONDS: &str = "5";

/// The routes of a port, once they are known.
#[derive(Clone, Debug)]
pub(crate) struct Later {
    routes: watch::Sender<Option<Router>>,
    clock: SharedClock,
}

impl Later {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { routes: watch::Sender::new(None), clock }
    }

    /// From now on these answer.
    pub(crate) fn set(&self, routes: Router) {
        self.routes.send_replace(Some(routes));
    }

    /// Answers with `early` at once where that has a route, else with what is set later.
    pub(crate) fn router(&self, early: Router) -> Router {
        let (now, later) = (self.clone(), self.clone());
        let waiting = early.fallback(move |request| later.clone().wait(request));
        Router::new().fallback_service(tower::service_fn(move |request: Request<Body>| {
            let routes = now.routes.borrow().clone().unwrap_or_else(|| waiting.clone());
            routes.oneshot(request)
        }))
    }

    async fn wait(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut routes = self.routes.subscribe();
        let set = async { routes.wait_for(Option::is_some).await.ok().and_then(|routes| routes.clone()) };
        let routes = tokio::select! {
            routes = set => routes,
            () = self.clock.sleep(PATIENCE) => None,
        };
        match routes {
            Some(routes) => routes.oneshot(request).await,
            None => Ok((
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)],
                "this process is starting: /ready says what it waits for\n",
            )
                .into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use flamelake_runtime::clock::SystemClock;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn work_waits_a_little_and_questions_about_the_start_do_not() {
        let later = Later::new(SystemClock::shared());
        let router = later.router(Router::new().route("/ready", get(async || "not ready")));
        assert_eq!(ask(&router, "/ready").await, (200, "not ready".to_owned()));
        assert_eq!(ask(&router, "/work").await.0, 503);
        let soon = ask(&router, "/work");
        let set = async { later.set(Router::new().route("/work", get(async || "done"))) };
        assert_eq!(tokio::join!(soon, set).0, (200, "done".to_owned()));
        assert_eq!(ask(&router, "/ready").await.0, 404, "the early routes are gone");
    }
}
