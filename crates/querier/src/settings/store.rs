//! Numbered states of a tenant's settings in the bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::{Bucket, ObjectEntry, StorageError};
use flamelake_runtime::clock::SharedClock;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
/// Races lost in a row after which a change is given up.
const ATTEMPTS_MAX: usize = 16;
/// A state is kept for so long after the next one.
const KEEP: Duration = Duration::from_secs(600);
/// States deleted by one change at most.
const SWEEP_MAX: usize = 1000;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) value: String,
    pub(super) modified_at_ms: i64,
}

/// By name.
pub(super) type All = BTreeMap<String, Kept>;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    format: u32,
    /// Drawn for each change.
    writer: String,
    settings: All,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Store {
    bucket: Bucket,
    clock: SharedClock,
}

impl Store {
    pub(super) fn new(bucket: Bucket, clock: SharedClock) -> Self {
        Self { bucket, clock }
    }

    #[cfg(test)]
    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The newest state.
    pub(super) async fn load(&self, tenant: &TenantId) -> Result<All, StatusError> {
        Ok(self.newest(tenant).await?.1)
    }

    /// Makes a change on the newest state, again on a newer one if somebody else was first. Durable when it returns.
    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        change: impl Fn(&mut All) -> Result<(), StatusError>,
    ) -> Result<(), StatusError> {
        for _ in 0..ATTEMPTS_MAX {
            let (number, mut settings) = self.newest(tenant).await?;
            change(&mut settings)?;
            let writer = format!("{:032x}", self.clock.random());
            let state = State { format: FORMAT, writer: writer.clone(), settings };
            let bytes = serde_json::to_vec(&state).map_err(|error| StatusError::unavailable(error.to_string()))?;
            let key = key(tenant, number + 1);
            self.bucket.put_if_absent(&key, bytes.into()).await.map_err(|error| StatusError::from_coded(&error))?;
            // Not by the answer alone: it may have been lost, and the attempt after it refused.
            if self.read(&key).await?.is_some_and(|state| state.writer == writer) {
                return self.settle(tenant, number + 1).await;
            }
        }
        Err(StatusError::unavailable("the settings are being changed by others all the time: try again"))
    }

    /// Checks that the put is part of what everybody reads, and deletes what is old.
    async fn settle(&self, tenant: &TenantId, own: u64) -> Result<(), StatusError> {
        let listed = self.list(tenant).await?;
        let has = |number: u64| listed.iter().any(|(listed, _)| *listed == number);
        if !has(own) || (own > 1 && !has(own - 1)) {
            return Err(StatusError::unavailable("this process slept while it changed the settings: try again"));
        }
        let before_ms = self.clock.unix_nanos() / 1_000_000 - KEEP.as_millis() as i64;
        let replaced = listed.windows(2).filter(|pair| pair[1].0 < own && pair[1].1.last_modified_ms < before_ms);
        let old: Vec<String> = replaced.take(SWEEP_MAX).map(|pair| pair[0].1.key.clone()).collect();
        if let Err(error) = self.bucket.delete_all(&old).await {
            tracing::info!(%tenant, error = &error as &dyn std::error::Error, "old settings are deleted later");
        }
        Ok(())
    }

    async fn newest(&self, tenant: &TenantId) -> Result<(u64, All), StatusError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some((number, _)) = self.list(tenant).await?.pop() else {
                return Ok((0, All::new()));
            };
            // Else it was swept between the two requests: there is a newer one.
            if let Some(state) = self.read(&key(tenant, number)).await? {
                return Ok((number, state.settings));
            }
        }
        Err(StatusError::unavailable("the settings cannot be read: what is listed is not there"))
    }

    /// By number.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<(u64, ObjectEntry)>, StatusError> {
        let folder = folder(tenant);
        let entries = self.bucket.list(&folder).await.map_err(|error| StatusError::from_coded(&error))?;
        let number = |entry: &ObjectEntry| entry.key.strip_prefix(&folder)?.strip_suffix(".json")?.parse().ok();
        let mut listed: Vec<_> = entries.into_iter().filter_map(|entry| Some((number(&entry)?, entry))).collect();
        listed.sort_unstable_by_key(|(number, _)| *number);
        Ok(listed)
    }

    /// `None`: it is not there.
    async fn read(&self, key: &str) -> Result<Option<State>, StatusError> {
        let bytes = match self.bucket.get(key).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(StatusError::from_coded(&error)),
        };
        let damaged = |why: String| StatusError::new(flamelake_model::ErrorCode::DataLoss, format!("{key}: {why}"));
        let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if state.format != FORMAT {
            return Err(damaged(format!("format {} is not known: a newer version wrote it", state.format)));
        }
        Ok(Some(state))
    }
}

fn folder(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/settings/")
}

fn key(tenant: &TenantId, number: u64) -> String {
    format!("{}{number:020}.json", folder(tenant))
}
