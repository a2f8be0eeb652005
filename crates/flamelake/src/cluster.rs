//! This process as a member of the ring: who it is, when it joins, and how it goes (architecture section 6).

mod gate;
mod members;
mod note;
mod recovery;
mod registration;
mod remote;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flamelake_ingester::Ingester;
use flamelake_ring::{Instance, MemberId, Ring, RingConfig, RingDeps, RingError, RingHandle, Role, State};
use flamelake_rpc::peer::Peers;
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use tracing::warn;
use ulid::Ulid;

use crate::config::ServerSettings;
use crate::target::Roles;
use crate::tls::Tls;
use gate::Gate;
pub(crate) use gate::{Gated, GatedAlone};
pub(crate) use members::RingMembers;
pub(crate) use note::member_service;
pub(crate) use recovery::Recoverer;
pub(crate) use registration::Registration;
use remote::Remote;

/// Name of the only ingester of a process without a ring.
const ALONE: &str = "all";
/// A process that stops tells the others for no longer than this; then its lease tells them.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// An ingester that leaves commits what it has for no longer than this; then a peer does.
const COMMIT_WITHIN: Duration = Duration::from_secs(120);
/// Who has left answers queries that began before for so long.
const LINGER: Duration = Duration::from_secs(2);

/// The ring, and this process in it.
#[derive(Debug)]
pub(crate) struct Cluster {
    ring: Ring,
    instance: Instance,
    members: Arc<RingMembers>,
    registration: Arc<Registration>,
    gate: Gate,
    peers: Peers,
    has_etcd: bool,
    /// At SIGTERM.
    leaves: AtomicBool,
    clock: SharedClock,
}

impl Cluster {
    /// Reads who is a member. Waits for etcd as long as it takes.
    pub(crate) async fn open(
        settings: &ServerSettings,
        roles: &Roles,
        log_url: &str,
        tls: &Tls,
        clock: &SharedClock,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let has_etcd = !settings.ring.etcd.endpoints.is_empty();
        ensure!(
            !has_etcd || settings.grpc_listen_port != 0,
            "server.grpc-listen-port is 0: the other members could not reach this process"
        );
        let instance = Instance {
            id: member_id(&settings.ring)?,
            incarnation: Ulid::new(),
            roles: roles.to_vec(),
            address: address(settings)?,
            zone: settings.ring.instance_zone.clone(),
            log_url: roles.has(Role::Ingester).then(|| log_url.to_owned()),
        };
        let deps = RingDeps { clock: SharedClock::clone(clock), registry: registry.clone() };
        let ring = Ring::open(settings.ring.clone(), deps).await?;
        let (peers, gate) = (Peers::new(settings.peers.clone()).with_tls(tls.peers.clone()), Gate::default());
        let remote = Remote::new(peers.clone());
        let members = RingMembers::new(ring.handle(), instance.id.clone(), remote.clone(), SharedClock::clone(clock));
        let registration = Registration::new(
            ring.handle(),
            instance.id.clone(),
            instance.incarnation,
            gate.clone(),
            remote,
            SharedClock::clone(clock),
            settings.ring.lease_ttl,
        );
        // A log on a disk of its own waits there for the next start.
        let leaves = has_etcd && settings.ring.unregister_on_shutdown && !log_url.starts_with("file:");
        Ok(Self {
            ring,
            instance,
            members: Arc::new(members),
            registration: Arc::new(registration),
            gate,
            peers,
            has_etcd,
            leaves: AtomicBool::new(leaves),
            clock: SharedClock::clone(clock),
        })
    }

    /// For whoever looks things up.
    pub(crate) fn handle(&self) -> RingHandle {
        self.ring.handle()
    }

    /// The name of this process.
    pub(crate) fn own_id(&self) -> &MemberId {
        &self.instance.id
    }

    /// Whom its roles call.
    pub(crate) fn members(&self) -> Arc<RingMembers> {
        Arc::clone(&self.members)
    }

    /// What registers its ingester again.
    pub(crate) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.registration)
    }

    /// The door of its ingester.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Connections to the others.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Registers, tells everybody, and takes work from then on. Call it once older logs are replayed and the internal port answers.
    pub(crate) async fn join(&self) -> anyhow::Result<()> {
        let membership = self.ring.join(self.instance.clone(), State::Joining).await?;
        self.registration.begin(membership).await;
        Ok(())
    }

    /// Ends when another process has taken this one's id.
    pub(crate) async fn superseded(&self) {
        self.registration.superseded().await;
    }

    /// Takes no new work; the others send it elsewhere.
    pub(crate) async fn retire(&self) {
        self.gate.shut();
        bounded(&self.clock, "tell that this process leaves", TELL_WITHIN, self.registration.set_state(State::Leaving))
            .await;
    }

    /// Everything is committed at SIGTERM, whatever the configuration says; or not.
    pub(crate) fn prepare_to_leave(&self, leaves: bool) {
        self.leaves.store(leaves, Ordering::Relaxed);
    }

    /// Will it leave at SIGTERM?
    pub(crate) fn leaves_at_stop(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    /// Unix milliseconds since when it takes no pushes.
    pub(crate) fn read_only_since_ms(&self) -> Option<i64> {
        self.gate.read_only_since_ms()
    }

    /// Takes no pushes any more, or takes them again; tells since when.
    pub(crate) async fn set_read_only(&self, read_only: bool) -> Result<Option<i64>, RingError> {
        self.registration.set_read_only(read_only).await
    }

    /// The last thing before the ports close, if this process leaves for good.
    pub(crate) async fn leave_at_stop(&self, ingester: Option<&Arc<Ingester>>) {
        if self.leaves_at_stop() {
            self.leave(ingester, LINGER).await;
        }
    }

    /// Commits what the ingester holds, closes its log, and is no member any more; still answers for `linger`. Else, `false`: it stays a
    /// member, and its log is read by the next start or by a peer.
    pub(crate) async fn leave(&self, ingester: Option<&Arc<Ingester>>, linger: Duration) -> bool {
        if let Some(ingester) = ingester
            && !bounded(&self.clock, "commit everything before leaving", COMMIT_WITHIN, ingester.finish()).await
        {
            return false;
        }
        if !self.has_etcd {
            return true;
        }
        let left = bounded(&self.clock, "leave the ring", TELL_WITHIN, self.registration.leave()).await;
        if left {
            self.clock.sleep(linger).await;
        }
        left
    }

    /// The last thing: who is a member still tells that it does not live.
    pub(crate) async fn part(&self) {
        bounded(&self.clock, "tell that this process is gone", TELL_WITHIN, self.registration.pause()).await;
    }
}

/// True if it was done.
async fn bounded<E: std::fmt::Display>(
    clock: &SharedClock,
    what: &str,
    within: Duration,
    work: impl Future<Output = Result<(), E>>,
) -> bool {
    tokio::select! {
        biased;
        outcome = work => match outcome {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "could not {what}");
                false
            }
        },
        () = clock.sleep(within) => {
            warn!("could not {what} in {within:?}");
            false
        }
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
