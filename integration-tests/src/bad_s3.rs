//! A proxy before a real S3 server that is slow, answers 500 and 503, and loses answers after it has stored.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Largest object that a test puts.
const BODY_BYTES_MAX: usize = 256 << 20;

/// How often a request meets each fault, from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// 500 or 503, and the server never hears of it.
    pub refused: f64,
    /// The server does it, and the connection breaks before the answer.
    pub answer_lost: f64,
    /// The server does it, and 500 is answered.
    pub answer_wrong: f64,
    /// It takes up to this much longer.
    pub delay_max: Duration,
}

/// See the module. It ends with this value.
#[derive(Debug)]
pub struct BadS3 {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    faults: Mutex<Faults>,
    rng: Mutex<StdRng>,
    broken: AtomicU64,
}

/// What a request is in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Refused(StatusCode),
    AnswerLost,
    AnswerWrong,
}

impl BadS3 {
    /// Before the server at `upstream`, `host:port`; good until faults are set.
    pub async fn before(upstream: &str, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            faults: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            broken: AtomicU64::new(0),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&of_task);
                let service = service_fn(move |request: Request<Incoming>| serve(Arc::clone(&shared), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, shared, task })
    }

    /// `host:port` of its own end.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// From now on.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock() = faults;
    }

    /// Requests that met a fault so far.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

impl Drop for BadS3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn draw(&self) -> (Duration, Fate) {
        let (faults, mut rng) = (*self.faults.lock(), self.rng.lock());
        let delay = faults.delay_max.mul_f64(rng.random_range(0.0..1.0));
        let point: f64 = rng.random_range(0.0..1.0);
        let status =
            if rng.random_bool(0.5) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::SERVICE_UNAVAILABLE };
        let fate = if point < faults.refused {
            Fate::Refused(status)
        } else if point < faults.refused + faults.answer_lost {
            Fate::AnswerLost
        } else if point < faults.refused + faults.answer_lost + faults.answer_wrong {
            Fate::AnswerWrong
        } else {
            Fate::Served
        };
        (delay, fate)
    }

    /// The same request, byte for byte: it is signed with its path and host.
    async fn forward(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::try_from(format!("http://{}{path}", self.upstream))?;
        let body = bytes(body).await?;
        let response = self.client.request(Request::from_parts(parts, Full::new(body))).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, Full::new(bytes(body).await?)))
    }
}

async fn bytes(body: Incoming) -> anyhow::Result<Bytes> {
    let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
    Ok(read.map_err(|error| anyhow::anyhow!("read a body: {error}"))?.to_bytes())
}

/// An error closes the connection without an answer.
async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (delay, fate) = shared.draw();
    tokio::time::sleep(delay).await;
    shared.broken.fetch_add(u64::from(fate != Fate::Served), Ordering::Relaxed);
    if let Fate::Refused(status) = fate {
        return answer(status);
    }
    let answered = shared.forward(request).await?;
    match fate {
        Fate::AnswerWrong => answer(StatusCode::INTERNAL_SERVER_ERROR),
        Fate::AnswerLost => bail!("the answer is lost"),
        _ => Ok(answered),
    }
}

fn answer(status: StatusCode) -> anyhow::Result<Response<Full<Bytes>>> {
    Ok(Response::builder().status(status).body(Full::default())?)
}
