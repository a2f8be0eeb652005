//! A real S3 server for tests: versitygw on a free loopback port, over a folder of its own.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::certificates::{Authority, Issued};
use crate::tools;

/// Access key of every such server.
pub const ACCESS_KEY: &str = "flamelake";
/// Its secret.
pub const SECRET_KEY: &str = "flamelake-secret";
/// The bucket that is there from the start.
pub const BUCKET: &str = "profiles";

const STARTS_MAX: usize = 5;
const READY_POLLS_MAX: usize = 1_000;

/// A running, stopped or killed S3 server; it ends with this value. Creates are atomic: `If-None-Match: *` is honoured under races.
#[derive(Debug)]
pub struct S3Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    tls: Option<Issued>,
    child: Option<Child>,
}

impl S3Server {
    /// Starts one that keeps its objects in `folder`; `None`, with a line, where versitygw cannot be had.
    ///
    /// # Errors
    /// If it is there and does not start.
    pub fn start(who: &str, folder: &Path) -> io::Result<Option<Self>> {
        Self::start_as(who, folder, None)
    }

    /// The same over TLS, with a certificate of this authority.
    ///
    /// # Errors
    /// If it is there and does not start.
    pub fn start_with_tls(who: &str, folder: &Path, authority: &Authority) -> io::Result<Option<Self>> {
        Self::start_as(who, folder, Some(authority.issue("s3")))
    }

    fn start_as(who: &str, folder: &Path, tls: Option<Issued>) -> io::Result<Option<Self>> {
        let Some(program) = tools::program(who, "versitygw", &["--version"]) else { return Ok(None) };
        std::fs::create_dir_all(folder.join("objects").join(BUCKET))?;
        for _ in 0..STARTS_MAX {
            // Given back at once: another process may take it, then the server ends and we try again.
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut server =
                Self { program: program.clone(), folder: folder.to_owned(), port, tls: tls.clone(), child: None };
            if server.launch()? {
                return Ok(Some(server));
            }
        }
        Err(io::Error::other("versitygw does not start"))
    }

    /// Starts it again on its folder and port after [`kill`](Self::kill); false if it ended at once.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn launch(&mut self) -> io::Result<bool> {
        let tls = self.tls.iter().flat_map(|own| [Path::new("--cert"), &own.certificate, Path::new("--key"), &own.key]);
        let child = Command::new(&self.program)
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--quiet"])
            .args(["--port", &self.endpoint()])
            .args(tls)
            // Attributes of the files: with `--sidecar` a kill amid a create leaves a name that can be neither created nor read.
            .arg("posix")
            .arg(self.folder.join("objects"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        self.is_ready()
    }

    /// Ends it at once, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `host:port`; bucket in the path, plain HTTP unless it was started with TLS.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        for _ in 0..READY_POLLS_MAX {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(true);
            }
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}
