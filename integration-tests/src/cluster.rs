//! A cluster of real processes on loopback: etcd, an S3 server, and the roles that a test asks for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_testkit::Etcd;
use flamelake_testkit::certificates::Authority;
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::wire::Wire;
use crate::{Client, Server, ServerOptions};

/// See the module. Everything ends with it.
#[derive(Debug)]
pub struct Cluster {
    /// Who is a member: one etcd, or several that form a cluster.
    pub etcds: Vec<Etcd>,
    /// Everything durable.
    pub s3: S3Server,
    options: ServerOptions,
    servers: BTreeMap<String, Server>,
    disk: Option<Tmpfs>,
    folder: tempfile::TempDir,
}

/// A small file system of its own; unmounted when it goes.
#[derive(Debug)]
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None`, with a line, where nothing can be mounted.
    fn mount(who: &str, folder: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            Ok(output) => {
                crate::skip(who, String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                crate::skip(who, error);
                None
            }
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The network of one process.
#[derive(Debug)]
pub struct Wires {
    /// To each etcd.
    pub etcd: Vec<Wire>,
    /// To the S3 server.
    pub bucket: Wire,
    /// From the other processes.
    pub incoming: Wire,
}

impl Cluster {
    /// etcd and an S3 server without any process of ours; `None`, with a line, where these cannot be had.
    pub fn prepare(who: &str, options: ServerOptions) -> anyhow::Result<Option<Self>> {
        Self::prepare_with(who, options, 1)
    }

    /// The same with several etcds.
    pub fn prepare_with(who: &str, options: ServerOptions, etcds: usize) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("flamelake-s3-").tempdir()?;
        Self::prepare_in(who, options, etcds, folder, None)
    }

    /// The same with the objects on a disk of `size`, as mount names it.
    pub fn prepare_on_disk(who: &str, options: ServerOptions, size: &str) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("flamelake-s3-").tempdir()?;
        let Some(disk) = Tmpfs::mount(who, folder.path(), size) else { return Ok(None) };
        Self::prepare_in(who, options, 1, folder, Some(disk))
    }

    fn prepare_in(
        who: &str,
        options: ServerOptions,
        etcds: usize,
        folder: tempfile::TempDir,
        disk: Option<Tmpfs>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(s3) = S3Server::start(who, folder.path())? else { return Ok(None) };
        let Some(etcds) = Etcd::start_several(who, etcds) else { return Ok(None) };
        Ok(Some(Self::over(etcds, s3, folder, disk, options.flag("storage.s3.insecure=true"))))
    }

    /// The same, with etcd and the S3 server speaking TLS by this authority; etcd asks for certificates.
    pub fn prepare_with_tls(who: &str, options: ServerOptions, authority: &Authority) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("flamelake-s3-").tempdir()?;
        let Some(s3) = S3Server::start_with_tls(who, folder.path(), authority)? else { return Ok(None) };
        let Some(etcd) = Etcd::start_with_tls(who, authority) else { return Ok(None) };
        let (trusted, own) = (authority.certificate(), authority.issue("etcd-client"));
        let flags = [
            format!("storage.s3.tls-ca-path={}", trusted.display()),
            format!("ring.etcd.tls-ca-path={}", trusted.display()),
            format!("ring.etcd.tls-cert-path={}", own.certificate.display()),
            format!("ring.etcd.tls-key-path={}", own.key.display()),
        ];
        Ok(Some(Self::over(vec![etcd], s3, folder, None, options.flags(flags.iter().map(String::as_str)))))
    }

    fn over(
        etcds: Vec<Etcd>,
        s3: S3Server,
        folder: tempfile::TempDir,
        disk: Option<Tmpfs>,
        options: ServerOptions,
    ) -> Self {
        let endpoints: Vec<String> = etcds.iter().map(Etcd::endpoint).collect();
        let flags = [
            "storage.backend=s3".to_owned(),
            format!("storage.s3.endpoint={}", s3.endpoint()),
            format!("storage.s3.bucket-name={BUCKET}"),
            format!("storage.s3.access-key-id={ACCESS_KEY}"),
            format!("storage.s3.secret-access-key={SECRET_KEY}"),
            "storage.s3.force-path-style=true".to_owned(),
            format!("ring.etcd.endpoints={}", endpoints.join(",")),
            "ring.instance-addr=127.0.0.1".to_owned(),
            // Quick for a test; the defaults are a few times as much.
            "ring.lease-ttl=2s".to_owned(),
            "ring.forget-after=1s".to_owned(),
            "log.flush-interval=20ms".to_owned(),
        ];
        let options = options.flags(flags.iter().map(String::as_str));
        Self { etcds, s3, options, servers: BTreeMap::new(), disk, folder }
    }

    /// The same with processes, `(name, target)`.
    pub async fn start(who: &str, options: ServerOptions, processes: &[(&str, &str)]) -> anyhow::Result<Option<Self>> {
        let Some(mut cluster) = Self::prepare(who, options)? else { return Ok(None) };
        for (name, target) in processes {
            cluster.add(name, target).await?;
        }
        Ok(Some(cluster))
    }

    /// Starts one more process and waits until it is ready.
    pub async fn add(&mut self, name: &str, target: &str) -> anyhow::Result<()> {
        self.add_with(name, target, &[]).await
    }

    /// The same with variables of its environment.
    pub async fn add_with_env(&mut self, name: &str, target: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
        let options =
            env.iter().fold(self.process(name, target, &[]), |options, (name, value)| options.env(name, value));
        let server = Server::start(options).await.with_context(|| format!("start {name}"))?;
        self.servers.insert(name.to_owned(), server);
        Ok(())
    }

    /// The same with flags of its own.
    pub async fn add_with(&mut self, name: &str, target: &str, flags: &[&str]) -> anyhow::Result<()> {
        let server = Server::start(self.process(name, target, flags)).await.with_context(|| format!("start {name}"))?;
        self.servers.insert(name.to_owned(), server);
        Ok(())
    }

    /// Starts one more process that reaches etcd and the bucket, and is reached by the others, over wires of its own.
    pub async fn add_wired(&mut self, name: &str, target: &str) -> anyhow::Result<Wires> {
        let mut server = Server::prepare(self.process(name, target, &[]))?;
        let mut etcd = Vec::new();
        for one in &self.etcds {
            etcd.push(Wire::to(&one.endpoint()).await?);
        }
        let bucket = Wire::to(&self.s3.endpoint()).await?;
        let incoming = Wire::to(&server.internal_endpoint()).await?;
        let endpoints: Vec<String> = etcd.iter().map(Wire::endpoint).collect();
        server.set_flags(&[
            format!("ring.etcd.endpoints={}", endpoints.join(",")),
            format!("storage.s3.endpoint={}", bucket.endpoint()),
            format!("ring.instance-port={}", incoming.port()),
        ]);
        server.launch().await.with_context(|| format!("start {name}"))?;
        self.servers.insert(name.to_owned(), server);
        Ok(Wires { etcd, bucket, incoming })
    }

    /// Leaves no room on the disk of [`prepare_on_disk`](Self::prepare_on_disk).
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        ensure!(self.disk.is_some(), "the objects lie on the disk of the machine");
        let mut file = File::create(self.folder.path().join("filler"))?;
        for size in [1 << 20, 4 << 10, 1] {
            let chunk = vec![0; size];
            while file.write_all(&chunk).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn free_disk(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join("filler"))?)
    }

    /// From now on all processes started use another bucket endpoint, `host:port`.
    pub fn bucket_at(&mut self, endpoint: &str) {
        self.options = self.options.clone().flag(&format!("storage.s3.endpoint={endpoint}"));
    }

    /// The only etcd, or the first.
    pub fn etcd(&mut self) -> &mut Etcd {
        &mut self.etcds[0]
    }

    /// Begins to start one more process.
    pub fn begin(&mut self, name: &str, target: &str) -> anyhow::Result<()> {
        let mut server = Server::prepare(self.process(name, target, &[]))?;
        server.begin()?;
        self.servers.insert(name.to_owned(), server);
        Ok(())
    }

    fn process(&self, name: &str, target: &str, flags: &[&str]) -> ServerOptions {
        let options = self.options.clone().flag(&format!("target={target}")).flag(&format!("ring.instance-id={name}"));
        options.flags(flags.iter().copied())
    }

    /// One process.
    pub fn server(&mut self, name: &str) -> &mut Server {
        self.servers.get_mut(name).unwrap_or_else(|| panic!("no process is called {name}"))
    }

    /// A client of the public port of a process.
    pub fn client(&self, name: &str) -> Client {
        self.servers[name].client()
    }

    /// Takes a process out of the cluster; the caller ends it.
    pub fn take(&mut self, name: &str) -> Option<Server> {
        self.servers.remove(name)
    }

    /// All processes by name.
    pub fn servers(&mut self) -> impl Iterator<Item = (&str, &mut Server)> {
        self.servers.iter_mut().map(|(name, server)| (name.as_str(), server))
    }

    /// Cuts and commits every head of the named ingesters.
    pub async fn flush(&self, ingesters: &[&str]) -> anyhow::Result<()> {
        for name in ingesters {
            self.servers[*name].flush().await?;
        }
        Ok(())
    }

    /// Fails with everything that a process logged as trouble.
    pub fn expect_no_trouble(&self) -> anyhow::Result<()> {
        let troubles: Vec<(&String, Vec<String>)> = self
            .servers
            .iter()
            .map(|(name, server)| (name, server.troubles()))
            .filter(|(_, t)| !t.is_empty())
            .collect();
        ensure!(troubles.is_empty(), "{troubles:#?}");
        Ok(())
    }
}
