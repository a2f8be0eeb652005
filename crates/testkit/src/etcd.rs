//! A real etcd on free loopback ports and a folder of its own, for tests that want to see it die.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flamelake_runtime::clock::SystemClock;

use crate::tools;

const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// A running, stopped or killed etcd. Dropping it kills the process and deletes the folder.
#[derive(Debug)]
pub struct Etcd {
    binary: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Etcd {
    /// Starts one and waits until it answers. `None`, with a printed line, if there is no etcd on this machine.
    ///
    /// # Panics
    /// If there is one and it does not start.
    pub fn start(who: &str) -> Option<Self> {
        let binary = tools::program(who, "etcd", &["--version"])?;
        let folder = tempfile::Builder::new().prefix("flamelake-etcd-").tempdir().expect("make a folder");
        let (port, peer_port) = (free_port(), free_port());
        let mut etcd = Self { binary, folder, port, peer_port, child: None };
        etcd.launch();
        Some(etcd)
    }

    /// `host:port` of its client port.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on its folder and ports after [`kill`](Self::kill), and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn launch(&mut self) {
        let (client, peer) = (format!("http://{}", self.endpoint()), format!("http://127.0.0.1:{}", self.peer_port));
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("open the log");
        let child = Command::new(&self.binary)
            .args(["--name=n1", "--log-level=warn", "--unsafe-no-fsync", "--heartbeat-interval=50"])
            .args(["--election-timeout=500", "--auto-tls=false"])
            .arg(format!("--data-dir={}", self.data().display()))
            .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
            .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
            .arg(format!("--initial-cluster=n1={peer}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("start etcd");
        self.child = Some(child);
        let clock = SystemClock::shared();
        while !self.is_healthy() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let text = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(ended.is_none(), "etcd ended with {ended:?}:\n{}", text());
            assert!(clock.monotonic() < HEALTHY_WITHIN, "etcd is not healthy:\n{}", text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process dies of SIGKILL as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGKILL, and its data are gone; [`launch`](Self::launch) starts an empty one.
    pub fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).expect("delete the data");
    }

    /// SIGSTOP: it keeps its connections and answers nobody.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("etcd runs").id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("run kill");
        assert!(sent.success(), "kill {signal} {pid}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("etcd.log")
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect(self.endpoint())?;
            connection.set_read_timeout(Some(Duration::from_secs(2)))?;
            connection.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("\"true\""))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asked of the kernel and given back.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    listener.local_addr().expect("a bound port has an address").port()
}
