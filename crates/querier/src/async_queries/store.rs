//! The objects of asynchronous queries. A name ends in `.run` while a query runs and has a sister in `.end` once it has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use flamelake_api::querier::v1;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::{Bucket, ObjectEntry, StorageError};
use flamelake_runtime::clock::SharedClock;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::service::Answer;

const FORMAT: u32 = 1;
pub(super) const ROOT: &str = "async-queries/";
const RUN: &str = ".run";
const END: &str = ".end";

/// Names one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(Ulid);

impl Id {
    /// `None`: no id of ours, as we write them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let id = Self(Ulid::from_string(text).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How a query ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ended {
    /// With an answer.
    Success(Box<Answer<v1::SelectMergeStacktracesResponse>>),
    /// Without.
    Failure { error: String },
}

impl Ended {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Success(_) => "success",
            Self::Failure { .. } => "failure",
        }
    }
}

/// A query that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) id: Id,
    pub(super) has_ended: bool,
    /// Last written, by the store's clock.
    modified_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Beat {
    format: u32,
    beat_at_ms: i64,
}

/// The first line of an end.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    status: Status,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    set_aside: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Success,
    Failure,
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

    /// A new query that runs.
    pub(super) async fn begin(&self, tenant: &TenantId) -> Result<Id, StatusError> {
        let now_ms = u64::try_from(self.now_ms()).unwrap_or_default();
        let id = Id(Ulid::from_parts(now_ms, self.clock.random()));
        self.put_beat(tenant, &id).await?;
        Ok(id)
    }

    /// It still runs.
    pub(super) async fn put_beat(&self, tenant: &TenantId, id: &Id) -> Result<(), StatusError> {
        let beat = json(&Beat { format: FORMAT, beat_at_ms: self.now_ms() })?;
        self.bucket.put(&key(tenant, id, RUN), beat.into()).await.map_err(status)
    }

    /// When it last said that it runs; `None`: there is none of this id.
    pub(super) async fn beat(&self, tenant: &TenantId, id: &Id) -> Result<Option<i64>, StatusError> {
        let key = key(tenant, id, RUN);
        let Some(bytes) = self.get(&key).await? else { return Ok(None) };
        let beat: Beat = serde_json::from_slice(&bytes).map_err(|error| damaged(&key, &error))?;
        check_format(&key, beat.format)?;
        Ok(Some(beat.beat_at_ms))
    }

    /// Forgets a query that did not begin after all.
    pub(super) async fn withdraw(&self, tenant: &TenantId, id: &Id) {
        if let Err(error) = self.bucket.delete(&key(tenant, id, RUN)).await {
            let error = &error as &dyn std::error::Error;
            tracing::info!(%tenant, %id, error, "a refused asynchronous query is deleted later");
        }
    }

    /// Ends it, unless it has ended already.
    pub(super) async fn end(&self, tenant: &TenantId, id: &Id, ended: Ended) -> Result<(), StatusError> {
        let (head, body) = match ended {
            Ended::Success(answer) => {
                let Answer { value, set_aside } = *answer;
                let head = Head { format: FORMAT, status: Status::Success, error: String::new(), set_aside };
                (head, value.encode_to_vec())
            }
            Ended::Failure { error } => {
                (Head { format: FORMAT, status: Status::Failure, error, set_aside: Vec::new() }, Vec::new())
            }
        };
        let mut bytes = json(&head)?;
        bytes.push(b'\n');
        bytes.extend(body);
        // Whose it is, is the same to everybody.
        self.bucket.put_if_absent(&key(tenant, id, END), bytes.into()).await.map(drop).map_err(status)
    }

    /// `None`: it has not ended, or there is none of this id.
    pub(super) async fn ended(&self, tenant: &TenantId, id: &Id) -> Result<Option<Ended>, StatusError> {
        let key = key(tenant, id, END);
        let Some(bytes) = self.get(&key).await? else { return Ok(None) };
        parse_end(&key, &bytes).map(Some)
    }

    /// The oldest first.
    pub(super) async fn list(&self, tenant: &TenantId) -> Result<Vec<Kept>, StatusError> {
        let folder = folder(tenant);
        let mut kept: BTreeMap<Id, Kept> = BTreeMap::new();
        for ObjectEntry { key, last_modified_ms, .. } in self.bucket.list(&folder).await.map_err(status)? {
            let Some((id, is_end)) = key.strip_prefix(&folder).and_then(parse_name) else { continue };
            let one = kept.entry(id).or_insert(Kept { id, has_ended: false, modified_ms: i64::MIN });
            one.has_ended |= is_end;
            one.modified_ms = one.modified_ms.max(last_modified_ms);
        }
        Ok(kept.into_values().collect())
    }

    /// Deletes what was last written so long ago, of all tenants.
    pub(super) async fn sweep(&self, keep: Duration) -> Result<(), StatusError> {
        let before_ms = self.now_ms().saturating_sub(keep.as_millis() as i64);
        for name in self.bucket.list_folders(ROOT).await.map_err(status)? {
            let Ok(tenant) = TenantId::parse(&name) else { continue };
            let old = self.list(&tenant).await?.into_iter().filter(|kept| kept.modified_ms < before_ms);
            let old: Vec<Id> = old.map(|kept| kept.id).collect();
            // An end without a run is an answer; a run without an end would be taken for one left behind.
            for suffix in [RUN, END] {
                let keys: Vec<String> = old.iter().map(|id| key(&tenant, id, suffix)).collect();
                self.bucket.delete_all(&keys).await.map_err(status)?;
            }
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }

    async fn get(&self, key: &str) -> Result<Option<bytes::Bytes>, StatusError> {
        match self.bucket.get(key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(status(error)),
        }
    }
}

fn parse_end(key: &str, bytes: &[u8]) -> Result<Ended, StatusError> {
    let at = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged(key, &"it has no line"))?;
    let head: Head = serde_json::from_slice(&bytes[..at]).map_err(|error| damaged(key, &error))?;
    check_format(key, head.format)?;
    if head.status == Status::Failure {
        return Ok(Ended::Failure { error: head.error });
    }
    let value = v1::SelectMergeStacktracesResponse::decode(&bytes[at + 1..]).map_err(|error| damaged(key, &error))?;
    Ok(Ended::Success(Box::new(Answer { value, set_aside: head.set_aside })))
}

/// The id, and whether it is an end.
fn parse_name(name: &str) -> Option<(Id, bool)> {
    match name.strip_suffix(END) {
        Some(id) => Some((Id::parse(id)?, true)),
        None => Some((Id::parse(name.strip_suffix(RUN)?)?, false)),
    }
}

fn folder(tenant: &TenantId) -> String {
    format!("{ROOT}{tenant}/")
}

fn key(tenant: &TenantId, id: &Id, suffix: &str) -> String {
    format!("{}{id}{suffix}", folder(tenant))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, StatusError> {
    serde_json::to_vec(value).map_err(|error| StatusError::internal(error.to_string()))
}

fn check_format(key: &str, format: u32) -> Result<(), StatusError> {
    if format == FORMAT {
        Ok(())
    } else {
        Err(damaged(key, &format!("format {format} is not known: a newer version wrote it")))
    }
}

fn damaged(key: &str, why: &dyn fmt::Display) -> StatusError {
    StatusError::new(ErrorCode::DataLoss, format!("{key}: {why}"))
}

fn status(error: StorageError) -> StatusError {
    StatusError::from_coded(&error)
}
