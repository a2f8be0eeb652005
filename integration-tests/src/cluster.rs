//! A cluster of real processes on loopback: etcd, an S3 server, and the roles that a test asks for.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use flamelake_testkit::Etcd;
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::{Client, Server, ServerOptions};

/// See the module. Everything ends with it.
#[derive(Debug)]
pub struct Cluster {
    /// Who is a member.
    pub etcd: Etcd,
    /// Everything durable.
    pub s3: S3Server,
    options: ServerOptions,
    servers: BTreeMap<String, Server>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// etcd and an S3 server without any process of ours; `None`, with a line, where these cannot be had.
    pub fn prepare(who: &str, options: ServerOptions) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("flamelake-s3-").tempdir()?;
        let Some(s3) = S3Server::start(who, folder.path())? else { return Ok(None) };
        let Some(etcd) = Etcd::start(who) else { return Ok(None) };
        let flags = [
            "storage.backend=s3".to_owned(),
            format!("storage.s3.endpoint={}", s3.endpoint()),
            format!("storage.s3.bucket-name={BUCKET}"),
            format!("storage.s3.access-key-id={ACCESS_KEY}"),
            format!("storage.s3.secret-access-key={SECRET_KEY}"),
            "storage.s3.insecure=true".to_owned(),
            "storage.s3.force-path-style=true".to_owned(),
            format!("ring.etcd.endpoints={}", etcd.endpoint()),
            "ring.instance-addr=127.0.0.1".to_owned(),
            // Quick for a test; the defaults are a few times as much.
            "ring.lease-ttl=2s".to_owned(),
            "ring.forget-after=1s".to_owned(),
            "log.flush-interval=20ms".to_owned(),
        ];
        let options = options.flags(flags.iter().map(String::as_str));
        Ok(Some(Self { etcd, s3, options, servers: BTreeMap::new(), _folder: folder }))
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

    /// The same with flags of its own.
    pub async fn add_with(&mut self, name: &str, target: &str, flags: &[&str]) -> anyhow::Result<()> {
        let options = self.options.clone().flag(&format!("target={target}")).flag(&format!("ring.instance-id={name}"));
        let options = options.flags(flags.iter().copied());
        let server = Server::start(options).await.with_context(|| format!("start {name}"))?;
        self.servers.insert(name.to_owned(), server);
        Ok(())
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
