//! A request body that must not stall: a client that stops in the middle would hold its place for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// Fails when the next piece takes longer than allowed. The timer is made only when a piece is not there yet.
#[derive(Debug)]
pub(crate) struct IdleBody<B> {
    body: B,
    idle_max: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> IdleBody<B> {
    /// Bodies of gRPC are not bounded: a stream may be silent for good reasons, and HTTP/2 pings find dead peers.
    pub(crate) fn new(body: B, idle_max: Duration, headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        let grpc = content_type.is_some_and(|text| text.as_bytes().starts_with(b"application/grpc"));
        Self { body, idle_max: (!grpc).then_some(idle_max), timer: None }
    }

    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(idle_max) = self.idle_max else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        timer.as_mut().poll(context).map(|()| {
            io::Error::new(io::ErrorKind::TimedOut, format!("nothing more came of it within {} s", idle_max.as_secs()))
        })
    }
}

impl<B: Body + Unpin> Body for IdleBody<B>
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
            Poll::Ready(frame) => {
                self.timer = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.stalled(context).map(|error| Some(Err(error.into()))),
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
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::convert::Infallible;

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_fails_and_a_slow_one_does_not() {
        let pieces = |pause: u64| {
            let pieces = stream::unfold(0, move |piece| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                (piece < 3).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), piece + 1))
            });
            IdleBody::new(StreamBody::new(Box::pin(pieces)), Duration::from_secs(30), &HeaderMap::new())
        };
        assert_eq!(pieces(29).collect().await.unwrap().to_bytes(), "xxx");
        assert!(pieces(31).collect().await.is_err());
    }
}
