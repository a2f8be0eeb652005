//! A connection that must say something soon. Which HTTP it speaks is told by its first bytes; until they have come no timeout of either protocol
//! runs, and whoever sends none would hold a connection for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// As long as the preface of HTTP/2: whoever has sent so much has said which protocol it speaks.
const TELLING_BYTES: usize = 24;

/// See the module.
#[derive(Debug)]
pub(crate) struct FirstBytes<S> {
    stream: S,
    read: usize,
    /// Until the first bytes have come.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> FirstBytes<S> {
    pub(crate) fn within(stream: S, time: Duration) -> Self {
        Self { stream, read: 0, deadline: Some(Box::pin(tokio::time::sleep(time))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else { return read };
        match read {
            Poll::Ready(result) => {
                self.read += buffer.filled().len() - before;
                if self.read >= TELLING_BYTES {
                    self.deadline = None;
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request began in time")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What is read of a client that sends these pieces, a second apart, and then nothing for a minute.
    async fn read_of(pieces: &'static [&'static [u8]]) -> io::Result<usize> {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = FirstBytes::within(server, Duration::from_secs(5));
        let client = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(client);
        };
        let mut all = Vec::new();
        let ((), read) = tokio::join!(client, server.read_to_end(&mut all));
        read
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_says_too_little_runs_out_of_time() {
        let too_little: [&[&[u8]]; 3] = [&[], &[b"P"], &[b"GET", b" ", b"/"]];
        for too_little in too_little {
            assert_eq!(read_of(too_little).await.unwrap_err().kind(), io::ErrorKind::TimedOut, "{too_little:?}");
        }
        // From here on the protocol's own timeouts count.
        assert_eq!(read_of(&[b"GET /ready HTTP/1.1\r\n", b"Host: x\r\n"]).await.unwrap(), 30);
    }
}
