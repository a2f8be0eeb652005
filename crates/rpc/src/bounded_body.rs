//! A request body that must not stall, drag on for ever, or fill the memory together with others: one client must not hold up the rest.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Version, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// What all bodies of a port may take.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    used: AtomicUsize,
    max: usize,
    idle_max: Duration,
    total_max: Duration,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize, idle_max: Duration, total_max: Duration) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max: bytes_max, idle_max, total_max })
    }

    /// For one request, to be kept until it is answered.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<BodyShare> {
        Arc::new(BodyShare { budget: Arc::clone(self), bytes: AtomicUsize::new(0), fault: OnceLock::new() })
    }
}

/// Why a body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// All bodies together are too many bytes.
    NoRoom,
    /// It stood still, or dragged on.
    Slow,
    /// The client broke off, or what came is no body.
    Broken,
}

/// What one request holds of the budget, and how reading it went.
#[derive(Debug)]
pub(crate) struct BodyShare {
    budget: Arc<BodyBudget>,
    bytes: AtomicUsize,
    fault: OnceLock<BodyFault>,
}

impl BodyShare {
    /// The first that went wrong.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.fault.get().copied()
    }

    fn note(&self, fault: BodyFault) {
        // A later one follows from the first.
        let _ = self.fault.set(fault);
    }

    fn take(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget.max;
        if !fits {
            self.note(BodyFault::NoRoom);
        }
        fits
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// See the module. Timers are made only when a piece is not there yet.
#[derive(Debug)]
pub(crate) struct BoundedBody<B> {
    body: B,
    share: Arc<BodyShare>,
    is_timed: bool,
    idle: Option<Pin<Box<Sleep>>>,
    total: Option<Pin<Box<Sleep>>>,
}

impl<B> BoundedBody<B> {
    /// Bodies of gRPC have no time limits: a stream may be silent for good reasons, and HTTP/2 pings find dead peers. Over HTTP/1.1,
    /// where there are no pings, calling itself gRPC buys no time.
    pub(crate) fn new(body: B, share: Arc<BodyShare>, version: Version, headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        let grpc = content_type.is_some_and(|text| text.as_bytes().starts_with(b"application/grpc"));
        Self { body, share, is_timed: !grpc || version < Version::HTTP_2, idle: None, total: None }
    }

    fn too_slow(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.is_timed {
            return Poll::Pending;
        }
        let BodyBudget { idle_max, total_max, .. } = &*self.share.budget;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(*idle_max)));
        let total = self.total.get_or_insert_with(|| Box::pin(tokio::time::sleep(*total_max)));
        let error = |text| io::Error::new(io::ErrorKind::TimedOut, text);
        if idle.as_mut().poll(context).is_ready() {
            return Poll::Ready(error(format!("nothing more came of it within {} s", idle_max.as_secs())));
        }
        total.as_mut().poll(context).map(|()| error(format!("it was not whole within {} s", total_max.as_secs())))
    }
}

impl<B: Body + Unpin> Body for BoundedBody<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = B::Data;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle = None;
                let bytes = frame.data_ref().map_or(0, bytes::Buf::remaining);
                if self.share.take(bytes) {
                    Poll::Ready(Some(Ok(frame)))
                } else {
                    Poll::Ready(Some(Err("too many request bodies at once".into())))
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.share.note(BodyFault::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.too_slow(context).map(|error| {
                self.share.note(BodyFault::Slow);
                Some(Err(error.into()))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream::{self, BoxStream};
    use http_body_util::{BodyExt as _, StreamBody};
    use std::convert::Infallible;

    type Pieces = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

    /// So many pieces of one byte with a pause before each.
    fn body(budget: &Arc<BodyBudget>, count: u64, pause_s: u64) -> BoundedBody<StreamBody<Pieces>> {
        body_of(budget, count, pause_s, Version::HTTP_2, "application/proto")
    }

    fn body_of(
        budget: &Arc<BodyBudget>,
        count: u64,
        pause_s: u64,
        version: Version,
        content_type: &'static str,
    ) -> BoundedBody<StreamBody<Pieces>> {
        let pieces = stream::unfold(0, move |piece| async move {
            tokio::time::sleep(Duration::from_secs(pause_s)).await;
            (piece < count).then(|| (Ok(Frame::data(Bytes::from_static(b"x"))), piece + 1))
        });
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
        BoundedBody::new(StreamBody::new(Box::pin(pieces)), budget.share(), version, &headers)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_fails_and_a_slow_one_does_not() {
        let budget = BodyBudget::new(100, Duration::from_secs(30), Duration::from_secs(300));
        assert_eq!(body(&budget, 3, 29).collect().await.unwrap().to_bytes(), "xxx");
        assert!(body(&budget, 3, 31).collect().await.is_err());
        let slow = body(&budget, 20, 29);
        let share = Arc::clone(&slow.share);
        let error = slow.collect().await.unwrap_err();
        assert_eq!(share.fault(), Some(BodyFault::Slow));
        assert_eq!(error.to_string(), "it was not whole within 300 s");
    }

    #[tokio::test(start_paused = true)]
    async fn only_grpc_over_http_2_may_be_silent() {
        let budget = BodyBudget::new(100, Duration::from_secs(30), Duration::from_secs(300));
        for (version, content_type, is_taken) in [
            (Version::HTTP_2, "application/grpc+proto", true),
            (Version::HTTP_11, "application/grpc+proto", false),
            (Version::HTTP_2, "application/proto", false),
        ] {
            let body = body_of(&budget, 1, 400, version, content_type).collect().await;
            assert_eq!(body.is_ok(), is_taken, "{version:?} {content_type}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_a_bound_until_they_are_answered() {
        let budget = BodyBudget::new(5, Duration::from_secs(30), Duration::from_secs(300));
        let (first, second) = (body(&budget, 4, 0), body(&budget, 4, 0));
        let (held, refused) = (Arc::clone(&first.share), Arc::clone(&second.share));
        assert_eq!(first.collect().await.unwrap().to_bytes(), "xxxx");
        assert!(second.collect().await.is_err());
        assert_eq!((refused.fault(), held.fault()), (Some(BodyFault::NoRoom), None));
        drop((held, refused));
        assert_eq!(body(&budget, 5, 0).collect().await.unwrap().to_bytes(), "xxxxx");
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
