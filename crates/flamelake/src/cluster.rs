//! This process as a member of the ring: who it is, when it joins, and how it goes.

use std::time::Duration;

use anyhow::Context as _;
use flamelake_ring::{Instance, MemberId, Membership, Ring, RingConfig, RingDeps, RingHandle, Role, State};
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use tracing::warn;
use ulid::Ulid;

use crate::config::ServerSettings;

/// Name of the only ingester of a process without a ring.
const ALONE: &str = "all";
/// A process that stops tells the others for no longer than this; then its lease tells them.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// The ring, and this process in it.
#[derive(Debug)]
pub(crate) struct Cluster {
    ring: Ring,
    membership: Membership,
    clock: SharedClock,
}

impl Cluster {
    /// Registers as JOINING; call it once older logs are replayed. Waits for etcd as long as it takes.
    pub(crate) async fn join(
        settings: &ServerSettings,
        log_url: &str,
        clock: &SharedClock,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let deps = RingDeps { clock: SharedClock::clone(clock), registry: registry.clone() };
        let ring = Ring::open(settings.ring.clone(), deps).await?;
        let instance = Instance {
            id: member_id(&settings.ring)?,
            incarnation: Ulid::new(),
            roles: Role::ALL.to_vec(),
            address: address(settings)?,
            zone: settings.ring.instance_zone.clone(),
            log_url: Some(log_url.to_owned()),
        };
        let membership = ring.join(instance, State::Joining).await?;
        Ok(Self { ring, membership, clock: SharedClock::clone(clock) })
    }

    /// For whoever looks things up.
    pub(crate) fn handle(&self) -> RingHandle {
        self.ring.handle()
    }

    /// Takes work from now on.
    pub(crate) async fn activate(&self) -> anyhow::Result<()> {
        Ok(self.membership.set_state(State::Active).await?)
    }

    /// Ends when another process has taken this one's id.
    pub(crate) async fn superseded(&self) {
        self.membership.superseded().await;
    }

    /// Takes no new work; the others send it elsewhere.
    pub(crate) async fn retire(&self) {
        self.bounded("tell that this process leaves", self.membership.set_state(State::Leaving)).await;
    }

    /// The last thing: its log may hold rows that no block covers, so it stays a member until it is back or a peer has recovered it.
    pub(crate) async fn part(self) {
        let Self { ring, membership, clock } = self;
        bounded(&clock, "tell that this process is gone", membership.pause()).await;
        ring.stop().await;
    }

    async fn bounded<E: std::fmt::Display>(&self, what: &str, work: impl Future<Output = Result<(), E>>) {
        bounded(&self.clock, what, work).await;
    }
}

async fn bounded<E: std::fmt::Display>(clock: &SharedClock, what: &str, work: impl Future<Output = Result<(), E>>) {
    tokio::select! {
        outcome = work => if let Err(error) = outcome {
            warn!(%error, "could not {what}; the lease will");
        },
        () = clock.sleep(TELL_WITHIN) => warn!("could not {what} in {TELL_WITHIN:?}; the lease will"),
    }
}

/// The name of this process, of its ingester and of its log. Without etcd it stays what it was before there was a ring.
pub(crate) fn member_id(config: &RingConfig) -> anyhow::Result<MemberId> {
    let id = match config.instance_id.as_str() {
        "" if config.etcd.endpoints.is_empty() => ALONE.to_owned(),
        "" => host_name()?,
        id => id.to_owned(),
    };
    MemberId::parse(&id).map_err(|error| anyhow::anyhow!("{error}: set ring.instance-id"))
}

fn address(settings: &ServerSettings) -> anyhow::Result<String> {
    let host = match settings.ring.instance_addr.as_str() {
        "" if settings.ring.etcd.endpoints.is_empty() => "127.0.0.1".to_owned(),
        "" => host_name()?,
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let port = if settings.ring.instance_port == 0 { settings.grpc_listen_port } else { settings.ring.instance_port };
    Ok(format!("{host}:{port}"))
}

fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.context("this machine does not tell its name: set ring.instance-id and ring.instance-addr")?;
    Ok(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use flamelake_ring::EtcdConfig;

    use super::*;

    #[test]
    fn a_process_alone_keeps_its_name() {
        assert_eq!(member_id(&RingConfig::default()).unwrap().as_str(), "all");
        let named = RingConfig { instance_id: "a-1".to_owned(), ..RingConfig::default() };
        assert_eq!(member_id(&named).unwrap().as_str(), "a-1");
        let bad = RingConfig { instance_id: "a/1".to_owned(), ..RingConfig::default() };
        assert!(member_id(&bad).unwrap_err().to_string().ends_with("set ring.instance-id"));
    }

    #[test]
    fn addresses_are_host_and_port() {
        let ring = |addr: &str, port| RingConfig {
            instance_addr: addr.to_owned(),
            instance_port: port,
            etcd: EtcdConfig { endpoints: vec!["e:1".to_owned()], ..EtcdConfig::default() },
            ..RingConfig::default()
        };
        let of = |ring| address(&ServerSettings { ring, ..ServerSettings::default() }).unwrap();
        assert_eq!(of(ring("a.b", 0)), "a.b:9095");
        assert_eq!(of(ring("::1", 7)), "[::1]:7");
        assert_eq!(of(RingConfig::default()), "127.0.0.1:9095");
    }
}
