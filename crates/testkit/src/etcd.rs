//! A real etcd on free loopback ports and a folder of its own, for tests that want to see it die.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flamelake_runtime::clock::SystemClock;

use crate::certificates::{Authority, Issued};
use crate::tools;

const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// A running, stopped or killed etcd. Dropping it kills the process and deletes the folder.
#[derive(Debug)]
pub struct Etcd {
    binary: PathBuf,
    folder: tempfile::TempDir,
    name: String,
    port: u16,
    peer_port: u16,
    /// `name=url,…` of all members of its cluster.
    members: String,
    health_port: u16,
    tls: Option<Tls>,
    child: Option<Child>,
}

/// It speaks TLS to clients and wants a certificate of theirs, both of one authority.
#[derive(Debug)]
struct Tls {
    authority: PathBuf,
    own: Issued,
}

impl Etcd {
    /// Starts one and waits until it answers. `None`, with a printed line, if there is no etcd on this machine.
    ///
    /// # Panics
    /// If there is one and it does not start.
    pub fn start(who: &str) -> Option<Self> {
        Self::start_several(who, 1)?.pop()
    }

    /// The same, with TLS both ways: clients trust this authority and have a certificate of it.
    ///
    /// # Panics
    /// If there is one and it does not start.
    pub fn start_with_tls(who: &str, authority: &Authority) -> Option<Self> {
        let tls = || Some(Tls { authority: authority.certificate(), own: authority.issue("etcd") });
        Self::start_as(who, 1, tls)?.pop()
    }

    /// Starts a cluster and waits until all of its members answer; see [`start`](Self::start).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_several(who: &str, count: usize) -> Option<Vec<Self>> {
        Self::start_as(who, count, || None)
    }

    fn start_as(who: &str, count: usize, tls: impl Fn() -> Option<Tls>) -> Option<Vec<Self>> {
        let binary = tools::program(who, "etcd", &["--version"])?;
        let peer_ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let member = |(at, port): (usize, &u16)| format!("n{at}=http://127.0.0.1:{port}");
        let members: Vec<String> = peer_ports.iter().enumerate().map(member).collect();
        let mut etcds: Vec<Self> = Vec::new();
        for (at, peer_port) in peer_ports.into_iter().enumerate() {
            let folder = tempfile::Builder::new().prefix("flamelake-etcd-").tempdir().expect("make a folder");
            let (name, port, members) = (format!("n{at}"), free_port(), members.join(","));
            let (binary, health_port, tls) = (binary.clone(), free_port(), tls());
            etcds.push(Self { binary, folder, name, port, peer_port, members, health_port, tls, child: None });
        }
        etcds.iter_mut().for_each(Self::spawn);
        etcds.iter_mut().for_each(Self::until_healthy);
        Some(etcds)
    }

    /// Whether it leads its cluster now; false if it does not answer.
    pub fn leads(&self) -> bool {
        let status = Self::ask(self.port, "POST /v3/maintenance/status HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
            .unwrap_or_default();
        // `"member_id":"1"` in the header, and `"leader":"1"`.
        let number =
            |name: &str| status.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split('"').next());
        number("leader").is_some_and(|leader| leader != "0" && number("member_id") == Some(leader))
    }

    /// `host:port` of its client port, with `https://` if it speaks TLS.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https://" } else { "" };
        format!("{scheme}127.0.0.1:{}", self.port)
    }

    /// Starts it again on its folder and ports after [`kill`](Self::kill), and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn launch(&mut self) {
        self.spawn();
        self.until_healthy();
    }

    /// Starts it again on its folder and ports; alone it may be unable to answer.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn launch_without_waiting(&mut self) {
        self.spawn();
    }

    fn spawn(&mut self) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let tls = self.tls.iter().flat_map(|Tls { authority, own }| {
            let file = |flag: &str, path: &PathBuf| format!("--{flag}={}", path.display());
            let files =
                [file("trusted-ca-file", authority), file("cert-file", &own.certificate), file("key-file", &own.key)];
            files.into_iter().chain(["--client-cert-auth".to_owned()])
        });
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("open the log");
        let child = Command::new(&self.binary)
            .arg(format!("--name={}", self.name))
            // A machine that is busy with tests lets nobody beat every 50 ms; leases of 2 s need elections within 1 s.
            .args(["--log-level=warn", "--unsafe-no-fsync", "--heartbeat-interval=100"])
            .args(["--election-timeout=1000", "--auto-tls=false"])
            .arg(format!("--data-dir={}", self.data().display()))
            .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
            .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
            .arg(format!("--initial-cluster={}", self.members))
            .arg(format!("--listen-metrics-urls=http://127.0.0.1:{}", self.health_port))
            .args(tls)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("start etcd");
        self.child = Some(child);
    }

    fn until_healthy(&mut self) {
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
        Self::ask(self.health_port, "GET /health HTTP/1.0\r\n\r\n").is_ok_and(|answer| answer.contains("\"true\""))
    }

    fn ask(port: u16, request: &str) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
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
