//! One bucket (or folder), with the few operations that the storage layer is built on.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flamelake_runtime::clock::{SharedClock, SystemClock};
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use prometheus::Registry;
use tracing::{Instrument as _, Span};

use crate::arbiter::Arbiter;
use crate::error::StorageError;
use crate::hedge::{HedgeBudget, hedged};
use crate::local_cache::LocalCache;
use crate::metrics::Metrics;
use crate::ranges;
use crate::retry::{RetryPolicy, is_transient, with_timeout};
use crate::upload::Upload;

/// Objects in one listing; more is an error, so that memory stays bounded.
const LIST_OBJECTS_MAX: usize = 2_000_000;
/// Requests in flight for one `get_ranges` or `delete_all`.
const REQUESTS_IN_FLIGHT_MAX: usize = 8;
/// Larger objects are uploaded in parts of this size.
const UPLOAD_PART_BYTES: usize = 16 * 1024 * 1024;

/// What a put-if-absent found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The name was free; the bytes are durable under it.
    Created,
    /// The name was taken; nothing was written by this attempt. It may be taken by an earlier attempt of the same call whose
    /// answer was lost, and a store may answer so in a race that nobody won: read the object to know.
    AlreadyExists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Full key.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// Milliseconds since the epoch, by the store's clock.
    pub last_modified_ms: i64,
}

/// What a bucket needs from outside.
#[derive(Clone, Debug)]
pub struct BucketDeps {
    /// For timeouts and pauses.
    pub clock: SharedClock,
    /// Where request metrics go.
    pub registry: Registry,
}

impl BucketDeps {
    /// Both by hand.
    pub fn new(clock: SharedClock, registry: &Registry) -> Self {
        Self { clock, registry: registry.clone() }
    }
}

impl Default for BucketDeps {
    /// The machine's clock and a registry that nobody reads.
    fn default() -> Self {
        Self { clock: SystemClock::shared(), registry: Registry::new() }
    }
}

/// A handle that is cheap to clone. Keys are relative to the bucket's prefix, `/`-separated.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// Empty, or ends in `/`.
    prefix: String,
    /// A local disk reads ranges better itself.
    local: bool,
    retry: RetryPolicy,
    clock: SharedClock,
    metrics: Metrics,
    hedges: Arc<HedgeBudget>,
    /// For a store that overwrites.
    arbiter: Option<Arc<dyn Arbiter>>,
    local_cache: Option<LocalCache>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({}, prefix {:?})", self.inner.store, self.inner.prefix)
    }
}

impl Bucket {
    /// An empty bucket in memory, for tests and `storage.backend=in-memory`.
    pub fn in_memory() -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self::from_store(store, RetryPolicy::once(), BucketDeps::default())
    }

    /// A bucket over any store, e.g. a [faulty](crate::faulty) one.
    pub fn from_store(store: Arc<dyn ObjectStore>, retry: RetryPolicy, deps: BucketDeps) -> Self {
        let metrics = Metrics::register(&deps.registry);
        Self {
            inner: Arc::new(Inner {
                store,
                prefix: String::new(),
                local: false,
                retry,
                clock: deps.clock,
                metrics,
                hedges: Arc::default(),
                arbiter: None,
                local_cache: None,
            }),
        }
    }

    /// The same store; keys start below `prefix` (of the store, not of this bucket's prefix).
    pub(crate) fn with_layout(self, prefix: &str, local: bool) -> Self {
        let trimmed = prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
        Self { inner: Arc::new(Inner { prefix, local, ..self.parts() }) }
    }

    /// The same bucket; who wins a put-if-absent is decided by the arbiter, not by the store.
    pub fn with_arbiter(self, arbiter: Arc<dyn Arbiter>) -> Self {
        Self { inner: Arc::new(Inner { arbiter: Some(arbiter), ..self.parts() }) }
    }

    /// The same bucket; what is read by [`get_immutable_ranges`](Self::get_immutable_ranges) is kept on this machine's disk.
    pub fn with_local_cache(self, cache: LocalCache) -> Self {
        Self { inner: Arc::new(Inner { local_cache: Some(cache), ..self.parts() }) }
    }

    fn parts(&self) -> Inner {
        let Inner { store, prefix, local, retry, clock, metrics, hedges, arbiter, local_cache } = &*self.inner;
        Inner {
            store: Arc::clone(store),
            prefix: prefix.clone(),
            local: *local,
            retry: retry.clone(),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            hedges: Arc::clone(hedges),
            arbiter: arbiter.clone(),
            local_cache: local_cache.clone(),
        }
    }

    pub(crate) fn arbiter(&self) -> Option<Arc<dyn Arbiter>> {
        self.inner.arbiter.clone()
    }

    pub(crate) async fn sleep(&self, pause: std::time::Duration) {
        self.inner.clock.sleep(pause).await;
    }

    /// By the machine's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.inner.clock.unix_nanos() / 1_000_000
    }

    /// Is it a folder of this machine?
    pub(crate) fn is_local(&self) -> bool {
        self.inner.local
    }

    /// The whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let path = self.path("get", key)?;
        let bytes = self.read("get", key, 0, || async { self.inner.store.get(&path).await?.bytes().await }).await?;
        self.count_bytes("read", bytes.len());
        Ok(bytes)
    }

    /// Several byte ranges of one object, in the order asked; close ranges are fetched as one. A range beyond the end is an error.
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let path = self.path("get_ranges", key)?;
        if self.inner.local {
            return self.get_ranges_local(key, &path, ranges).await;
        }
        let requests = ranges::plan(ranges);
        let fetched: Vec<Bytes> = stream::iter(requests.clone())
            .map(|range| self.get_range(key, &path, range))
            .buffered(REQUESTS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        Ok(ranges::cut(ranges, &requests, &fetched))
    }

    /// [`get_ranges`](Self::get_ranges) of an object of this size whose name is never written again, from the local cache where there is one.
    /// The caller checks what he gets.
    pub async fn get_immutable_ranges(
        &self,
        key: &str,
        object_bytes: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        match &self.inner.local_cache {
            Some(cache) => cache.get_ranges(self, key, object_bytes, ranges).await,
            None => self.get_ranges(key, ranges).await,
        }
    }

    /// Drops what the local cache has of an object, because it is not what was written. False if there is no such cache.
    pub async fn forget_cached(&self, key: &str, object_bytes: u64) -> bool {
        let Some(cache) = &self.inner.local_cache else { return false };
        cache.forget(key, object_bytes).await;
        true
    }

    async fn get_range(&self, key: &str, path: &Path, range: Range<u64>) -> Result<Bytes, StorageError> {
        let size = range.end - range.start;
        let bytes = self.read("get_ranges", key, size, || self.inner.store.get_range(path, range.clone())).await?;
        self.count_bytes("read", bytes.len());
        check_length(key, &range, &bytes)?;
        Ok(bytes)
    }

    /// One open file, one read a range: on a disk, bytes in between would only cost.
    async fn get_ranges_local(
        &self,
        key: &str,
        path: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let asked: Vec<Range<u64>> = ranges.iter().filter(|range| range.start < range.end).cloned().collect();
        let size = asked.iter().map(|range| range.end - range.start).sum();
        let fetched = self.request("get_ranges", key, size, || self.inner.store.get_ranges(path, &asked)).await?;
        for (range, bytes) in asked.iter().zip(&fetched) {
            self.count_bytes("read", bytes.len());
            check_length(key, range, bytes)?;
        }
        let mut fetched = fetched.into_iter();
        let fill = |range: &Range<u64>| {
            if range.start < range.end { fetched.next().unwrap_or_default() } else { Bytes::new() }
        };
        Ok(ranges.iter().map(fill).collect())
    }

    /// Size and time of an object, `None` if it is absent. One cheap request (a stat on a disk, a HEAD on a store).
    pub async fn head(&self, key: &str) -> Result<Option<ObjectEntry>, StorageError> {
        let path = self.path("head", key)?;
        match self.request("head", key, 0, || self.inner.store.head(&path)).await {
            Ok(meta) => Ok(Some(self.entry(meta))),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object, replacing any. Only for names that nobody else writes.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StorageError> {
        let path = self.path("put", key)?;
        let size = bytes.len();
        if size > 2 * UPLOAD_PART_BYTES {
            self.request("put", key, size as u64, || self.put_in_parts(&path, bytes.clone())).await?;
        } else {
            let put = || self.inner.store.put(&path, PutPayload::from_bytes(bytes.clone()));
            self.request("put", key, size as u64, put).await?;
        }
        self.count_bytes("written", size);
        Ok(())
    }

    async fn put_in_parts(&self, path: &Path, bytes: Bytes) -> Result<(), object_store::Error> {
        let upload = self.inner.store.put_multipart(path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, UPLOAD_PART_BYTES);
        let mut rest = bytes;
        while !rest.is_empty() {
            upload.wait_for_capacity(REQUESTS_IN_FLIGHT_MAX / 2).await?;
            upload.put(rest.split_to(UPLOAD_PART_BYTES.min(rest.len())));
        }
        upload.finish().await?;
        Ok(())
    }

    /// Begins an object that comes in parts, replacing any; nobody sees it before [`Upload::finish`]. Only for names that nobody else writes.
    pub async fn upload(&self, key: &str) -> Result<Upload, StorageError> {
        let path = self.path("upload", key)?;
        let upload = self.request("upload", key, 0, || self.inner.store.put_multipart(&path)).await?;
        Ok(Upload::new(self.clone(), key, upload))
    }

    /// Writes an object unless the name is taken. An error leaves open whether it was written.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome, StorageError> {
        if let Some(arbiter) = self.arbiter() {
            return self.create_by_arbiter(&*arbiter, key, bytes).await;
        }
        let path = self.path("put_if_absent", key)?;
        let size = bytes.len();
        let put = || async {
            let payload = PutPayload::from_bytes(bytes.clone());
            match self.inner.store.put_opts(&path, payload, PutMode::Create.into()).await {
                Ok(_) => Ok(PutOutcome::Created),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(PutOutcome::AlreadyExists)
                }
                Err(error) => Err(error),
            }
        };
        let outcome = self.request("put_if_absent", key, size as u64, put).await?;
        self.count_bytes("written", size);
        Ok(outcome)
    }

    /// Copies an object inside of the store, replacing any.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let (source, target) = (self.path("copy", from)?, self.path("copy", to)?);
        self.request("copy", from, 0, || self.inner.store.copy(&source, &target)).await
    }

    /// Deletes an object; an absent one is no error.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let path = self.path("delete", key)?;
        match self.request("delete", key, 0, || self.inner.store.delete(&path)).await {
            Err(StorageError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Deletes many objects, a few at a time, in no particular order; stops at the first error.
    pub async fn delete_all(&self, keys: &[String]) -> Result<(), StorageError> {
        // Owned keys: a borrowed closure argument would make the future of every caller hard to spawn.
        let deletes = keys.iter().cloned().map(|key| async move { self.delete(&key).await });
        stream::iter(deletes).buffer_unordered(REQUESTS_IN_FLIGHT_MAX).try_collect().await
    }

    /// All objects below `prefix` (a folder, ending in `/`; empty for everything), sorted by key.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectEntry>, StorageError> {
        let path = self.path("list", prefix.trim_end_matches('/'))?;
        let list = || async {
            let listing = self.inner.store.list(Some(&path)).take(LIST_OBJECTS_MAX + 1);
            listing.try_collect::<Vec<ObjectMeta>>().await
        };
        let found = self.request("list", prefix, 64 << 20, list).await?;
        if found.len() > LIST_OBJECTS_MAX {
            let reason = format!("more than {LIST_OBJECTS_MAX} objects lie below {prefix}: use a prefix of its own");
            return Err(StorageError::Unusable { reason });
        }
        let mut entries: Vec<ObjectEntry> = found.into_iter().map(|meta| self.entry(meta)).collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    /// Names of the folders directly below `prefix`, sorted.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let path = self.path("list_folders", prefix.trim_end_matches('/'))?;
        let list = || self.inner.store.list_with_delimiter(Some(&path));
        let found = self.request("list_folders", prefix, 0, list).await?;
        let name = |folder: &Path| folder.parts().next_back().map(|part| part.as_ref().to_owned());
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn path(&self, operation: &'static str, key: &str) -> Result<Path, StorageError> {
        Path::parse(format!("{}{key}", self.inner.prefix)).map_err(|source| StorageError::Other {
            operation,
            key: key.to_owned(),
            source: Box::new(source),
        })
    }

    fn entry(&self, meta: ObjectMeta) -> ObjectEntry {
        let full: &str = meta.location.as_ref();
        let key = full.strip_prefix(self.inner.prefix.as_str()).unwrap_or(full).to_owned();
        ObjectEntry { key, bytes: meta.size, last_modified_ms: meta.last_modified.timestamp_millis() }
    }

    pub(crate) fn count_bytes(&self, direction: &str, bytes: usize) {
        self.inner.metrics.bytes.with_label_values(&[direction]).inc_by(bytes as u64);
    }

    /// A request that may be made twice at once.
    async fn read<T, F: Future<Output = Result<T, object_store::Error>>>(
        &self,
        operation: &'static str,
        key: &str,
        bytes: u64,
        attempt: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let Inner { clock, retry, metrics, hedges, .. } = &*self.inner;
        if retry.hedge_after.is_zero() {
            return self.request(operation, key, bytes, attempt).await;
        }
        // Large reads take longer by themselves.
        let after = retry.hedge_after + Duration::from_secs(bytes >> 24);
        let count = || metrics.hedges.inc();
        self.request(operation, key, bytes, || hedged(clock, after, hedges, count, &attempt)).await
    }

    /// A request that cannot be made again.
    pub(crate) async fn request_once<T>(
        &self,
        operation: &'static str,
        key: &str,
        bytes: u64,
        attempt: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, StorageError> {
        let Inner { clock, retry, metrics, .. } = &*self.inner;
        let started = clock.monotonic();
        let request = with_timeout(clock, retry.timeout_for(bytes), operation, key, attempt);
        let result = request.instrument(span_of(operation, key)).await;
        let taken = clock.monotonic().saturating_sub(started).as_secs_f64();
        metrics.requests.with_label_values(&[operation, outcome(&result)]).observe(taken);
        result
    }

    /// One operation: attempts with timeouts and pauses, measured as a whole.
    async fn request<T, F: Future<Output = Result<T, object_store::Error>>>(
        &self,
        operation: &'static str,
        key: &str,
        bytes: u64,
        attempt: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let Inner { clock, retry, metrics, .. } = &*self.inner;
        let started = clock.monotonic();
        let span = span_of(operation, key);
        let mut number = 1;
        let result = loop {
            let request = with_timeout(clock, retry.timeout_for(bytes), operation, key, attempt());
            let result = request.instrument(span.clone()).await;
            match result {
                Err(error) if number < retry.attempts_max && is_transient(&error) => {
                    tell_of_retry(operation, key, number, &error);
                    metrics.retries.with_label_values(&[operation]).inc();
                    clock.sleep(retry.pause(number, clock)).await;
                    number += 1;
                }
                result => break result,
            }
        };
        let taken = clock.monotonic().saturating_sub(started).as_secs_f64();
        metrics.requests.with_label_values(&[operation, outcome(&result)]).observe(taken);
        result
    }
}

fn tell_of_retry(operation: &str, key: &str, number: u32, error: &StorageError) {
    let cause = error as &dyn std::error::Error;
    // Half a minute of silence explains what a person is waiting for.
    if matches!(error, StorageError::TimedOut { .. }) {
        tracing::warn!(operation, key, number, error = cause, "the object store keeps silent; trying again");
    } else {
        tracing::debug!(operation, key, number, error = cause, "request is tried again");
    }
}

/// A span of own traces (`flamelake_telemetry::SPAN`); its attempts are not told apart.
fn span_of(operation: &'static str, key: &str) -> Span {
    tracing::trace_span!(target: "flamelake::span", "bucket", otel.name = format!("bucket {operation}"), key)
}

fn outcome<T>(result: &Result<T, StorageError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(StorageError::NotFound { .. }) => "not_found",
        Err(StorageError::OutOfSpace { .. }) => "out_of_space",
        Err(StorageError::TimedOut { .. }) => "timed_out",
        Err(StorageError::Unusable { .. } | StorageError::Undecided { .. } | StorageError::Other { .. }) => "error",
    }
}

fn check_length(key: &str, range: &Range<u64>, bytes: &Bytes) -> Result<(), StorageError> {
    if bytes.len() as u64 == range.end - range.start {
        return Ok(());
    }
    let reason = format!("asked for bytes {}..{}, got {}", range.start, range.end, bytes.len());
    Err(StorageError::Other { operation: "get_ranges", key: key.to_owned(), source: reason.into() })
}
