//! A TCP proxy on a loopback port: the network between two processes, which a test can cut.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to bytes between the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// They arrive.
    Up,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay and nothing arrives, as behind a firewall that drops packets.
    Silent,
}

/// See the module. It ends with this value.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    link: watch::Sender<Link>,
    task: JoinHandle<()>,
}

impl Wire {
    /// From a free port to `upstream`, `host:port`; up.
    pub async fn to(upstream: &str) -> anyhow::Result<Self> {
        Self::on("127.0.0.1:0", upstream).await
    }

    /// From `address` to `upstream`; up.
    pub async fn on(address: &str, upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("bind {address}"))?;
        let address = listener.local_addr()?;
        let (link, upstream) = (watch::Sender::new(Link::Up), upstream.to_owned());
        let of_task = link.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connect(stream, upstream.clone(), of_task.subscribe()));
            }
        });
        Ok(Self { address, link, task })
    }

    /// `host:port` of its own end.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Port of its own end.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        self.link.send_replace(Link::Cut);
    }
}

async fn connect(near: TcpStream, upstream: String, mut link: watch::Receiver<Link>) {
    // Behind a firewall that drops packets nobody knows yet whether the other end is there.
    if link.wait_for(|link| *link != Link::Silent).await.is_err() || *link.borrow() == Link::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(&upstream).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::join!(copy(near_in, far_out, link.clone()), copy(far_in, near_out, link));
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            biased;
            cut = link.wait_for(|link| *link == Link::Cut) => return drop(cut),
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else { return };
        let Ok(now) = link.wait_for(|link| *link != Link::Silent).await.map(|link| *link) else { return };
        if now == Link::Cut || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Ok(address)
    }

    #[tokio::test]
    async fn a_link_that_is_cut_closes_and_a_silent_one_holds() -> anyhow::Result<()> {
        let wire = Wire::to(&echo().await?).await?;
        let mut stream = TcpStream::connect(wire.endpoint()).await?;
        stream.write_all(b"a").await?;
        assert_eq!(stream.read_u8().await?, b'a');
        wire.set(Link::Silent);
        stream.write_all(b"b").await?;
        let mut byte = [0];
        assert!(stream.try_read(&mut byte).is_err(), "nothing arrives");
        wire.set(Link::Up);
        assert_eq!(stream.read_u8().await?, b'b');
        wire.set(Link::Cut);
        assert_eq!(stream.read(&mut byte).await?, 0);
        let mut refused = TcpStream::connect(wire.endpoint()).await?;
        assert!(matches!(refused.read(&mut byte).await, Ok(0) | Err(_)));
        Ok(())
    }
}
