//! A `flamelake --target=all` process on free loopback ports and a folder of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::Client;

const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    flags: Vec<String>,
    open_files_max: Option<u32>,
    environment: Vec<(String, String)>,
    authorities: Option<PathBuf>,
}

impl ServerOptions {
    /// Defaults: one tenant, default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag without dashes: `retention-period=1d`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(format!("--{flag}"));
        self
    }

    /// Several flags.
    pub fn flags<'a>(self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        flags.into_iter().fold(self, Self::flag)
    }

    /// The process may open so many files.
    pub fn open_files_max(mut self, max: u32) -> Self {
        self.open_files_max = Some(max);
        self
    }

    /// A variable of the process's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Limits on the rate of pushes out of the way.
    pub fn fast_pushes(self) -> Self {
        self.flags(["distributor.ingestion-rate-limit-mb=1000", "distributor.ingestion-burst-size-mb=2000"])
    }

    /// Its public port speaks TLS, as its flags say, with a certificate of these authorities.
    pub fn https(mut self, authorities: &Path) -> Self {
        self.authorities = Some(authorities.to_owned());
        self
    }

    /// The tenant header counts.
    pub fn multitenant(self) -> Self {
        self.flag("auth.multitenancy-enabled=true")
    }

    /// Limits on age and rate out of the way, as the golden data want it (their README).
    pub fn golden(self) -> Self {
        self.multitenant().fast_pushes().flags([
            "validation.reject-older-than=0",
            "validation.reject-newer-than=0",
            "querier.max-query-lookback=0",
            "querier.max-query-length=0",
            "retention-period=0",
        ])
    }
}

/// A running (or killed) server. Dropping it kills the process and deletes the folder.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    /// Besides those of the options; of repeated ones the last counts.
    more_flags: Vec<String>,
    folder: tempfile::TempDir,
    port: u16,
    internal_port: u16,
    child: Option<Child>,
    starts: u32,
    /// A file system of its own lies on the data folder.
    is_mounted: bool,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub async fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let mut server = Self::prepare(options)?;
        server.launch().await?;
        Ok(server)
    }

    /// Starts it on a file system in memory of this size (`32m`); `None` if such a one cannot be mounted here.
    pub async fn start_on_tmpfs(options: ServerOptions, size: &str) -> anyhow::Result<Option<Self>> {
        let size = format!("size={size}");
        Self::start_on_mount(options, |_| Ok(vec!["-t", "tmpfs", "-o", &size, "flamelake-it"])).await
    }

    /// Starts it on a file system in a file of this size (`48M`); `None` if such a one cannot be mounted here.
    pub async fn start_on_ext4(options: ServerOptions, size: &str) -> anyhow::Result<Option<Self>> {
        Self::start_on_mount(options, |folder| {
            run("truncate", &["-s", size, "disk"], folder)?;
            run("mkfs.ext4", &["-q", "-F", "-m", "0", "disk"], folder)?;
            Ok(vec!["-o", "loop", "disk"])
        })
        .await
    }

    async fn start_on_mount<'a>(
        options: ServerOptions,
        what: impl FnOnce(&Path) -> anyhow::Result<Vec<&'a str>>,
    ) -> anyhow::Result<Option<Self>> {
        let mut server = Self::prepare(options)?;
        std::fs::create_dir(server.data())?;
        let mounted = what(server.folder.path()).and_then(|what| {
            let arguments = [what, vec!["data"]].concat();
            run("mount", &arguments, server.folder.path())
        });
        if let Err(error) = mounted {
            crate::skip("a test on a file system of its own", error);
            return Ok(None);
        }
        server.is_mounted = true;
        server.launch().await?;
        Ok(Some(server))
    }

    /// A server with a folder and ports that is not started yet.
    pub fn prepare(options: ServerOptions) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("flamelake-it-").tempdir().context("make a folder")?;
        let (port, internal_port) = free_ports()?;
        let (more_flags, child, starts, is_mounted) = (Vec::new(), None, 0, false);
        Ok(Self { options, more_flags, folder, port, internal_port, child, starts, is_mounted })
    }

    /// Starts it again on the same folder and ports after [`kill`](Self::kill) or [`stop`](Self::stop). Tells how long it took to be ready.
    pub async fn launch(&mut self) -> anyhow::Result<Duration> {
        self.begin()?;
        self.until_ready().await
    }

    /// Starts the process without waiting for it.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "the server runs already");
        self.child = Some(self.spawn(self.port, self.internal_port)?);
        Ok(())
    }

    /// Waits until it takes work. Tells how long that took.
    pub async fn until_ready(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let client = self.client();
        loop {
            if client.get_status("/ready").await.is_ok_and(|status| status == 200) {
                return Ok(begun.elapsed());
            }
            if let Some(status) = self.child_mut()?.try_wait()? {
                self.child = None;
                bail!("the server ended with {status} before it was ready:\n{}", self.log_tail());
            }
            if begun.elapsed() >= READY_WITHIN {
                let waits_for = client.get_text("/ready").await.unwrap_or_else(|error| error.to_string());
                bail!("not ready in {READY_WITHIN:?}: {waits_for}\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `host:port` under which the other members reach it.
    pub fn internal_endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.internal_port)
    }

    /// From the next start on, these flags too instead of those given here before.
    pub fn set_flags(&mut self, flags: &[String]) {
        self.more_flags = flags.iter().map(|flag| format!("--{flag}")).collect();
    }

    /// Starts it and waits until it dies by itself, be it ready before that or not.
    pub async fn launch_until_death(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        ensure!(self.child.is_none(), "the server runs already");
        self.child = Some(self.spawn(self.port, self.internal_port)?);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child_mut()?.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            ensure!(begun.elapsed() < within, "still alive after {within:?}:\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A second process on the same folder with other ports; the caller waits for its end.
    pub fn spawn_rival(&mut self) -> anyhow::Result<Child> {
        let (port, internal_port) = free_ports()?;
        self.spawn(port, internal_port)
    }

    fn spawn(&mut self, port: u16, internal_port: u16) -> anyhow::Result<Child> {
        self.starts += 1;
        let log = File::create(self.folder.path().join(format!("server-{:03}.log", self.starts)))?;
        let binary = binary()?;
        let mut command = match self.options.open_files_max {
            None => Command::new(&binary),
            Some(max) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit -n {max}; exec \"$0\" \"$@\"")]).arg(&binary);
                command
            }
        };
        command
            .args(base_flags(port, internal_port))
            .args(&self.options.flags)
            .args(&self.more_flags)
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("start {}", binary.display()))
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the server does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGSTOP: it keeps its connections and answers nobody.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    /// SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let sent = Command::new("kill").args([signal, &self.pid()?.to_string()]).status()?;
        ensure!(sent.success(), "kill {signal} failed");
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("the server does not run")?;
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill -TERM failed");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > STOPPED_WITHIN {
                child.kill()?;
                bail!("no stop within {STOPPED_WITHIN:?} of SIGTERM:\n{}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM and start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let status = self.stop().await?;
        ensure!(status.success(), "SIGTERM ended with {status}:\n{}", self.log_tail());
        self.launch().await.map(drop)
    }

    /// SIGKILL and start.
    pub async fn crash(&mut self) -> anyhow::Result<Duration> {
        self.kill()?;
        self.launch().await
    }

    /// Cuts and commits every head.
    pub async fn flush(&self) -> anyhow::Result<()> {
        let status = self.client().post_status("/ingester/flush").await?;
        ensure!((200..300).contains(&status), "POST /ingester/flush: {status}\n{}", self.log_tail());
        Ok(())
    }

    /// Sum of a metric over its labels; 0 if it was never counted.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.client().get_text("/metrics").await?;
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
            rest.strip_prefix(' ')?.trim().parse::<f64>().ok()
        };
        Ok(text.lines().filter_map(value).sum())
    }

    /// A client of the default tenant.
    pub fn client(&self) -> Client {
        match &self.options.authorities {
            None => Client::new(&self.url()),
            Some(file) => Client::trusting(&self.url(), file).expect("the authorities of a test are readable"),
        }
    }

    /// A client of a tenant; needs [`ServerOptions::multitenant`].
    pub fn tenant(&self, tenant: &str) -> Client {
        self.client().with_tenant(tenant)
    }

    /// Of the public port.
    pub fn url(&self) -> String {
        let scheme = if self.options.authorities.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Where it keeps its data: by default in `data` of the folder it is started in.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Of the running process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.child.as_ref().context("the server does not run")?.id())
    }

    /// How many files and sockets the process has open.
    pub fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()?))?.count())
    }

    /// Memory of the process that is backed by pages.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// All logs of all starts.
    pub fn log(&self) -> String {
        (1..=self.starts)
            .filter_map(|n| std::fs::read_to_string(self.folder.path().join(format!("server-{n:03}.log"))).ok())
            .collect()
    }

    /// Log lines that mean trouble: panics, and anything at level ERROR. Style rule 16: an unexpected one fails a test.
    pub fn troubles(&self) -> Vec<String> {
        let bad = |line: &&str| {
            line.contains("panicked at") || line.contains(" ERROR ") || line.contains("\"level\":\"ERROR\"")
        };
        self.log().lines().filter(bad).map(str::to_owned).collect()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn child_mut(&mut self) -> anyhow::Result<&mut Child> {
        self.child.as_mut().context("the server does not run")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(self.data()).status();
        }
        if std::thread::panicking() {
            crate::skip("the rest of this test; end of the server's log", self.log_tail());
        }
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().context(program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// What every server here is started with.
fn base_flags(port: u16, internal_port: u16) -> Vec<String> {
    vec![
        "--target=all".to_owned(),
        "--server.http-listen-address=127.0.0.1".to_owned(),
        format!("--server.http-listen-port={port}"),
        "--server.grpc-listen-address=127.0.0.1".to_owned(),
        format!("--server.grpc-listen-port={internal_port}"),
    ]
}

/// Asked of the kernel and given back: another process may take one before the server does, which its start would tell.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let (a, b) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((a.local_addr()?.port(), b.local_addr()?.port()))
}

/// The program under test.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("FLAMELAKE_BIN") {
        return Ok(PathBuf::from(path));
    }
    // <target>/release/deps/<this test>.
    let test = std::env::current_exe()?;
    let path = test.parent().and_then(Path::parent).context("a test lies in deps/")?.join("flamelake");
    ensure!(path.is_file(), "{} is not there: build it (make test does) or set FLAMELAKE_BIN", path.display());
    Ok(path)
}
