//! A real S3 server for tests: versitygw on a free loopback port, over a folder of its own.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::tools;

/// Access key of every such server.
pub const ACCESS_KEY: &str = "flamelake";
/// Its secret.
pub const SECRET_KEY: &str = "flamelake-secret";
/// The bucket that is there from the start.
pub const BUCKET: &str = "profiles";

const STARTS_MAX: usize = 5;
const READY_POLLS_MAX: usize = 1_000;

/// A running S3 server; it ends with this value. Creates are atomic: `If-None-Match: *` is honoured under races.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    port: u16,
}

impl S3Server {
    /// Starts one that keeps its objects in `folder`; `None`, with a line, where versitygw cannot be had.
    ///
    /// # Errors
    /// If it is there and does not start.
    pub fn start(who: &str, folder: &Path) -> io::Result<Option<Self>> {
        let Some(program) = tools::program(who, "versitygw", &["--version"]) else { return Ok(None) };
        let (objects, attributes) = (folder.join("objects"), folder.join("attributes"));
        std::fs::create_dir_all(objects.join(BUCKET))?;
        std::fs::create_dir_all(&attributes)?;
        for _ in 0..STARTS_MAX {
            // Given back at once: another process may take it, then the server ends and we try again.
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let child = Command::new(&program)
                .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--quiet"])
                .args(["--port", &format!("127.0.0.1:{port}")])
                .arg("posix")
                .arg("--sidecar")
                .args([&attributes, &objects])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let mut server = Self { child, port };
            if server.is_ready()? {
                return Ok(Some(server));
            }
        }
        Err(io::Error::other("versitygw does not start"))
    }

    /// `host:port`; plain HTTP, bucket in the path.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn is_ready(&mut self) -> io::Result<bool> {
        for _ in 0..READY_POLLS_MAX {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(true);
            }
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
