//! A TCP proxy on a loopback port: the network between two processes, which a test can cut; for all who connect, or for one of them.

use std::collections::BTreeMap;
use std::fs;
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

/// Links of a wire.
#[derive(Clone, Debug)]
struct Links {
    all: Link,
    /// Of single clients, by process id.
    of: BTreeMap<u32, Link>,
}

impl Links {
    fn of(&self, client: Option<u32>) -> Link {
        client.and_then(|pid| self.of.get(&pid)).copied().unwrap_or(self.all)
    }
}

/// See the module. It ends with this value.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    links: watch::Sender<Links>,
    task: JoinHandle<()>,
}

/// What one connection sees of the links.
#[derive(Clone, Debug)]
struct Seen {
    links: watch::Receiver<Links>,
    client: Option<u32>,
}

impl Seen {
    /// Waits for a link for which this holds; `None` if the wire is gone.
    async fn wait_for(&mut self, holds: impl Fn(Link) -> bool) -> Option<Link> {
        let client = self.client;
        self.links.wait_for(|links| holds(links.of(client))).await.map(|links| links.of(client)).ok()
    }
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
        let up = Links { all: Link::Up, of: BTreeMap::new() };
        let (links, upstream) = (watch::Sender::new(up), upstream.to_owned());
        let of_task = links.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let seen = Seen { links: of_task.subscribe(), client: process_at(from) };
                tokio::spawn(connect(stream, upstream.clone(), seen));
            }
        });
        Ok(Self { address, links, task })
    }

    /// `host:port` of its own end.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Port of its own end.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, for all who connect.
    pub fn set(&self, link: Link) {
        self.links.send_replace(Links { all: link, of: BTreeMap::new() });
    }

    /// From now on, for the process with this id alone.
    pub fn set_for(&self, client: u32, link: Link) {
        self.links.send_modify(|links| {
            links.of.insert(client, link);
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Link::Cut);
    }
}

async fn connect(near: TcpStream, upstream: String, mut seen: Seen) {
    // Behind a firewall that drops packets nobody knows yet whether the other end is there.
    if seen.wait_for(|link| link != Link::Silent).await != Some(Link::Up) {
        return;
    }
    let Ok(far) = TcpStream::connect(&upstream).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::join!(copy(near_in, far_out, seen.clone()), copy(far_in, near_out, seen));
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: Seen) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            biased;
            _ = seen.wait_for(|link| link == Link::Cut) => return,
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else { return };
        let link = seen.wait_for(|link| link != Link::Silent).await;
        if link != Some(Link::Up) || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// The process whose socket has this address: the kernel's table of sockets tells its inode, and whose file that is.
fn process_at(address: SocketAddr) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let port = format!(":{:04X}", address.port());
    let mut rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|columns| columns.get(1).is_some_and(|local| local.ends_with(&port)))?;
    let socket = format!("socket:[{}]", row.get(9)?);
    let is_its = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_its)
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

    #[tokio::test]
    async fn one_client_can_be_cut_off() -> anyhow::Result<()> {
        let wire = Wire::to(&echo().await?).await?;
        let mut stream = TcpStream::connect(wire.endpoint()).await?;
        let send = async |stream: &mut TcpStream| {
            stream.write_all(b"a").await?;
            stream.read_u8().await
        };
        wire.set_for(1, Link::Cut);
        assert_eq!(send(&mut stream).await?, b'a', "somebody else was meant");
        wire.set_for(std::process::id(), Link::Cut);
        assert!(send(&mut stream).await.is_err());
        wire.set_for(std::process::id(), Link::Up);
        let mut again = TcpStream::connect(wire.endpoint()).await?;
        assert_eq!(send(&mut again).await?, b'a');
        Ok(())
    }
}
