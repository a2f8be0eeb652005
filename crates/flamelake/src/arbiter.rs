//! The bucket of this process, and who decides its puts-if-absent: the store, or etcd where the store cannot (`log.arbiter`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use flamelake_object_storage::{Arbiter, ArbiterError, Bucket, BucketDeps};
use flamelake_ring::EtcdNames;
use flamelake_runtime::clock::SharedClock;
use prometheus::Registry;
use tracing::{info, warn};

use crate::config::ServerSettings;

/// No put takes so long; what is older was left by a crash.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// The bucket that the configuration names. No request is made yet.
pub(crate) fn open_bucket(
    settings: &ServerSettings,
    clock: &SharedClock,
    registry: &Registry,
) -> anyhow::Result<Bucket> {
    let bucket = Bucket::open(&settings.storage, BucketDeps::new(Arc::clone(clock), registry))?;
    match settings.journal.arbiter.as_str() {
        "" => Ok(bucket),
        "etcd" => {
            ensure!(!settings.ring.etcd.endpoints.is_empty(), "log.arbiter is etcd: give ring.etcd.endpoints too");
            ensure!(
                settings.storage.backend != "filesystem",
                "log.arbiter is etcd: a folder needs none, leave it empty"
            );
            let names = EtcdNames::new(&settings.ring, Arc::clone(clock))?;
            Ok(bucket.with_arbiter(Arc::new(ByEtcd(names))))
        }
        other => bail!("log.arbiter is {other:?}: leave it empty, or use etcd"),
    }
}

/// Clears away what crashes left; without an arbiter nothing. What fails is left to the next start.
pub(crate) async fn sweep(bucket: &Bucket) {
    match bucket.sweep_arbiter(LEFT_BEHIND).await {
        Ok((0, 0)) => {}
        Ok((names, objects)) => info!(names, objects, "what crashed puts left was swept"),
        Err(error) => warn!(error = &error as &dyn std::error::Error, "what crashed puts left was not swept"),
    }
}

#[derive(Debug)]
struct ByEtcd(EtcdNames);

#[async_trait]
impl Arbiter for ByEtcd {
    async fn bind(&self, name: &str, holder: &str) -> Result<String, ArbiterError> {
        Ok(self.0.bind(name, holder).await?)
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), ArbiterError> {
        Ok(self.0.release(name, holder).await?)
    }

    async fn bindings(&self) -> Result<Vec<(String, String)>, ArbiterError> {
        Ok(self.0.list().await?)
    }
}
