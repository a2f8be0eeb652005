//! A small state of a tenant in the bucket, numbered: put-if-absent decides who makes the next one (`docs/formats/settings.md`).

use std::marker::PhantomData;
use std::time::Duration;

use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::{Bucket, ObjectEntry, StorageError};
use flamelake_runtime::clock::SharedClock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
/// Races lost in a row after which a change is given up.
const ATTEMPTS_MAX: usize = 16;
/// A state is kept for so long after the next one.
const KEEP: Duration = Duration::from_secs(600);
/// States deleted by one change at most.
const SWEEP_MAX: usize = 1000;

/// Fields of the content stand beside these.
#[derive(Debug, Serialize)]
struct Written<'a, T> {
    format: u32,
    /// Drawn for each change.
    writer: &'a str,
    /// The writer of the state before.
    previous: &'a str,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Debug, Deserialize)]
struct Read<T> {
    format: u32,
    writer: String,
    #[serde(default)]
    previous: String,
    #[serde(flatten)]
    content: T,
}

/// Which state it is. The default is before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    writer: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    bucket: Bucket,
    clock: SharedClock,
    /// Below the tenant's.
    folder: &'static str,
    /// In errors, after "the".
    what: &'static str,
    content: PhantomData<fn() -> T>,
}

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Self {
        let Self { bucket, clock, folder, what, content } = self;
        let (bucket, clock) = (bucket.clone(), SharedClock::clone(clock));
        Self { bucket, clock, folder: *folder, what: *what, content: *content }
    }
}

impl<T: Serialize + DeserializeOwned> Numbered<T> {
    /// States in `tenants/<tenant>/<folder>/`; `what` names them in errors.
    pub(crate) fn new(bucket: Bucket, clock: SharedClock, folder: &'static str, what: &'static str) -> Self {
        Self { bucket, clock, folder, what, content: PhantomData }
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The newest state; `None`: there was never one.
    pub(crate) async fn newest(&self, tenant: &TenantId) -> Result<Option<(Place, T)>, StatusError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some((number, _)) = self.list(tenant).await?.pop() else { return Ok(None) };
            // Else it was swept between the two requests: there is a newer one.
            if let Some(state) = self.read(&self.key(tenant, number)).await? {
                return Ok(Some((Place { number, writer: state.writer }, state.content)));
            }
        }
        Err(StatusError::unavailable(format!("the {} cannot be read: what is listed is not there", self.what)))
    }

    /// Makes a change on the newest state, again on a newer one if somebody else was first. Durable when it returns.
    pub(crate) async fn change(
        &self,
        tenant: &TenantId,
        change: impl Fn(&mut T) -> Result<(), StatusError>,
    ) -> Result<(), StatusError>
    where
        T: Default,
    {
        for _ in 0..ATTEMPTS_MAX {
            let (place, mut content) = self.newest(tenant).await?.unwrap_or_default();
            change(&mut content)?;
            if self.put_after(&place, tenant, &content).await?.is_some() {
                return Ok(());
            }
        }
        Err(StatusError::unavailable(format!("the {} are being changed by others all the time: try again", self.what)))
    }

    /// Puts the state after this one. `None`: somebody else was first. An error leaves open whose it is.
    pub(crate) async fn put_after(
        &self,
        before: &Place,
        tenant: &TenantId,
        content: &T,
    ) -> Result<Option<Place>, StatusError> {
        let own = Place { number: before.number.saturating_add(1), writer: format!("{:032x}", self.clock.random()) };
        let state = Written { format: FORMAT, writer: &own.writer, previous: &before.writer, content };
        let bytes = serde_json::to_vec(&state).map_err(|error| StatusError::internal(error.to_string()))?;
        let key = self.key(tenant, own.number);
        self.bucket.put_if_absent(&key, bytes.into()).await.map_err(|error| StatusError::from_coded(&error))?;
        // Not by the answer alone: it may have been lost, and the attempt after it refused.
        if self.read(&key).await?.is_none_or(|state| state.writer != own.writer) {
            return Ok(None);
        }
        self.settle(tenant, &own).await?;
        Ok(Some(own))
    }

    /// Checks that the put is part of what everybody reads, and deletes what is old.
    async fn settle(&self, tenant: &TenantId, own: &Place) -> Result<(), StatusError> {
        let listed = self.list(tenant).await?;
        // Below newer ones it may lie in a name that was deleted: then the next does not build on it.
        if listed.last().is_none_or(|(newest, _)| *newest != own.number) {
            let next = self.read(&self.key(tenant, own.number.saturating_add(1))).await?;
            if next.is_none_or(|next| next.previous != own.writer) {
                let why = format!("this process slept while it changed the {}: try again", self.what);
                return Err(StatusError::unavailable(why));
            }
        }
        let before_ms = self.clock.unix_nanos() / 1_000_000 - KEEP.as_millis() as i64;
        let is_old = |(number, entry): &(u64, ObjectEntry)| *number < own.number && entry.last_modified_ms < before_ms;
        let replaced = listed.windows(2).filter(|pair| is_old(&pair[1]));
        let old: Vec<String> = replaced.take(SWEEP_MAX).map(|pair| pair[0].1.key.clone()).collect();
        if let Err(error) = self.bucket.delete_all(&old).await {
            let error = &error as &dyn std::error::Error;
            tracing::info!(%tenant, error, what = self.what, "old states are deleted later");
        }
        Ok(())
    }

    /// By number.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<(u64, ObjectEntry)>, StatusError> {
        let folder = self.folder(tenant);
        let entries = self.bucket.list(&folder).await.map_err(|error| StatusError::from_coded(&error))?;
        let number = |entry: &ObjectEntry| entry.key.strip_prefix(&folder)?.strip_suffix(".json")?.parse().ok();
        let mut listed: Vec<_> = entries.into_iter().filter_map(|entry| Some((number(&entry)?, entry))).collect();
        listed.sort_unstable_by_key(|(number, _)| *number);
        Ok(listed)
    }

    /// `None`: it is not there.
    async fn read(&self, key: &str) -> Result<Option<Read<T>>, StatusError> {
        let bytes = match self.bucket.get(key).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(StatusError::from_coded(&error)),
        };
        let damaged = |why: String| StatusError::new(ErrorCode::DataLoss, format!("{key}: {why}"));
        let state: Read<T> = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if state.format != FORMAT {
            return Err(damaged(format!("format {} is not known: a newer version wrote it", state.format)));
        }
        Ok(Some(state))
    }

    fn folder(&self, tenant: &TenantId) -> String {
        format!("tenants/{tenant}/{}/", self.folder)
    }

    fn key(&self, tenant: &TenantId, number: u64) -> String {
        format!("{}{number:020}.json", self.folder(tenant))
    }
}
