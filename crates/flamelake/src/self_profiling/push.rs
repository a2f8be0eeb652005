//! Pushes profiles of this process to a server, one interval after the other. What cannot be delivered is dropped and counted: it must never
//! pile up in the process that it is about.

use std::sync::Arc;
use std::time::Duration;

use flamelake_api::push::v1::{PushRequest, PushResponse, RawProfileSeries, RawSample};
use flamelake_api::types::v1::LabelPair;
use flamelake_runtime::clock::SharedClock;
use flamelake_telemetry::BuildInfo;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::config::SelfProfilingConfig;
use super::cpu::CpuProfiler;
use super::heap;
use crate::commands::Pushes;

const SERVICE: &str = "flamelake";
const METHOD: &str = "push.v1.PusherService/Push";

/// Labels of what is pushed.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `target` as configured.
    pub(crate) role: String,
    /// Of the ring.
    pub(crate) instance: String,
}

/// See the module.
pub(crate) struct Pusher {
    to: Pushes,
    interval: Duration,
    origin: Origin,
    cpu: Arc<CpuProfiler>,
    clock: SharedClock,
    pushed: IntCounterVec,
    /// What was logged last; empty = it went well.
    complaint: String,
}

impl Pusher {
    /// `None` if the configuration names no server.
    pub(crate) fn new(
        config: &SelfProfilingConfig,
        origin: Origin,
        cpu: Arc<CpuProfiler>,
        clock: SharedClock,
        registry: &Registry,
    ) -> anyhow::Result<Option<Self>> {
        if config.push_url.is_empty() {
            return Ok(None);
        }
        let pushed = IntCounterVec::new(
            Opts::new(
                "flamelake_self_profiles_total",
                "Profiles of this process itself, by what became of them: pushed or failed.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(pushed.clone()))?;
        let to = Pushes::new(&config.push_url, &config.push_tenant, &config.push_token)?;
        let (interval, complaint) = (config.interval(), String::new());
        Ok(Some(Self { to, interval, origin, cpu, clock, pushed, complaint }))
    }

    /// Until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(done) = stop.run_until_cancelled(self.once()).await {
            let outcome = if done.is_ok() { "pushed" } else { "failed" };
            self.pushed.with_label_values(&[outcome]).inc();
            let complaint = done.err().map(|error| format!("{error:#}")).unwrap_or_default();
            if complaint == self.complaint {
                continue;
            }
            if complaint.is_empty() {
                info!("profiles of this process are pushed again");
            } else {
                warn!(error = complaint, "a profile of this process is not pushed");
            }
            self.complaint = complaint;
        }
    }

    /// Takes at least a second, whatever happens.
    async fn once(&self) -> anyhow::Result<()> {
        let mut series = Vec::new();
        match self.cpu.slice(self.interval).await {
            Ok(Some(profile)) => series.push(self.series("process_cpu", profile)),
            Ok(None) => {}
            Err(error) => {
                self.clock.sleep(self.interval).await;
                anyhow::bail!("{error}");
            }
        }
        if heap::is_on() {
            series.push(self.series("memory", heap::profile(&self.clock).await?));
        }
        if series.is_empty() {
            return Ok(());
        }
        let call = self.to.call::<PushResponse>(METHOD, PushRequest { series });
        match tokio::time::timeout(self.interval, call).await {
            Ok(answer) => answer.map(drop),
            Err(_) => anyhow::bail!("no answer within {:?}", self.interval),
        }
    }

    fn series(&self, name: &str, raw_profile: Vec<u8>) -> RawProfileSeries {
        let label = |name: &str, value: &str| LabelPair { name: name.to_owned(), value: value.to_owned() };
        let labels = vec![
            label("__name__", name),
            label("service_name", SERVICE),
            label("role", &self.origin.role),
            label("instance", &self.origin.instance),
            label("version", BuildInfo::current().version),
        ];
        let id = Uuid::from_u128(self.clock.random()).to_string();
        RawProfileSeries {
            labels,
            samples: vec![RawSample { raw_profile: raw_profile.into(), id }],
            ..Default::default()
        }
    }
}
