//! A folder of this machine in front of the bucket: pages of objects that never change are kept on its disk between reads and restarts.
//!
//! It only ever saves requests. Whatever is wrong with it (full, slow, unwritable, altered behind our back) ends in the bucket being asked;
//! who reads through it checks what he gets and calls [`Bucket::forget_cached`] if it is not what was written. A page leaves when room is
//! needed, the least recently used first, and at the latest [`LocalCacheConfig::age_max`] after it was fetched: what was deleted in the
//! bucket is not kept here for longer.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::spawn_blocking;
use moka::sync::Cache;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_128;

use crate::bucket::Bucket;
use crate::error::StorageError;
use crate::ranges;

/// Objects are cached in pieces of this size, aligned to it; the last one of an object is shorter.
const PAGE_BYTES: u64 = 256 * 1024;
/// How often old pages are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Keeps a second process out of the folder.
const LOCK_FILE: &str = "lock";
/// Pages lie in this many folders.
const FOLDERS: u8 = u8::MAX;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct LocalCacheConfig {
    /// The folder; made if it is not there. It belongs to this process alone.
    pub dir: PathBuf,
    /// Most bytes of pages.
    pub bytes_max: u64,
    /// A page is not used, and then removed, this long after it was fetched.
    pub age_max: Duration,
}

/// A page: hash of the object's key, number within the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PageId {
    object: u128,
    page: u64,
}

/// What is known of a page on the disk.
#[derive(Clone, Copy, Debug)]
struct Page {
    bytes: u32,
    fetched_ms: i64,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct LocalCache {
    inner: Arc<Inner>,
}

struct Inner {
    dir: Arc<Path>,
    age_max: Duration,
    pages: Cache<PageId, Page, foldhash::fast::RandomState>,
    clock: SharedClock,
    metrics: CacheMetrics,
    /// Held as long as the process lives.
    _lock: File,
}

impl std::fmt::Debug for LocalCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCache").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl LocalCache {
    /// Takes the folder and what an earlier process left in it. Fails if it cannot be made, or another process holds it.
    pub fn open(config: &LocalCacheConfig, clock: SharedClock, registry: &Registry) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.dir)?;
        let lock = File::create(config.dir.join(LOCK_FILE))?;
        lock.try_lock().map_err(io::Error::from)?;
        for folder in 0..=FOLDERS {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(config.dir.join(format!("{folder:02x}")))?;
        }
        let dir: Arc<Path> = config.dir.as_path().into();
        let listener_dir = Arc::clone(&dir);
        let pages = Cache::builder()
            .max_capacity(config.bytes_max)
            .weigher(|_, page: &Page| page.bytes)
            .eviction_listener(move |id: Arc<PageId>, _, cause| {
                if cause != moka::notification::RemovalCause::Replaced {
                    // Who cannot be removed is found again at the next start.
                    let _ = fs::remove_file(id.path(&listener_dir));
                }
            })
            .build_with_hasher(foldhash::fast::RandomState::default());
        let metrics = CacheMetrics::register(registry);
        let inner = Inner { dir, age_max: config.age_max, pages, clock, metrics, _lock: lock };
        let cache = Self { inner: Arc::new(inner) };
        cache.inner.take_over()?;
        Ok(cache)
    }

    /// Removes pages that are too old, now and then, for as long as it is polled.
    pub async fn run(self) {
        loop {
            self.inner.clock.sleep(SWEEP_EVERY).await;
            self.sweep().await;
        }
    }

    /// Removes the pages that are too old.
    pub async fn sweep(&self) {
        let inner = Arc::clone(&self.inner);
        let swept = spawn_blocking(move || {
            let now_ms = inner.now_ms();
            let old = inner.pages.iter().filter(|(_, page)| inner.is_old(page, now_ms));
            let old: Vec<PageId> = old.map(|(id, _)| *id).collect();
            old.iter().for_each(|id| inner.pages.invalidate(id));
            inner.settle();
        });
        // Only a process that ends gives no answer.
        let _ = swept.await;
    }

    /// See [`Bucket::get_immutable_ranges`].
    pub(crate) async fn get_ranges(
        &self,
        bucket: &Bucket,
        key: &str,
        object_bytes: u64,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let object = xxh3_128(key.as_bytes());
        let mut wanted: Vec<u64> = ranges.iter().flat_map(pages_of).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut pages = self.read(object, &wanted).await;
        let is_missing = |(page, bytes): (&u64, &Option<Bytes>)| bytes.is_none().then_some(*page);
        let missing: Vec<u64> = wanted.iter().zip(&pages).filter_map(is_missing).collect();
        self.inner.metrics.count(wanted.len() - missing.len(), missing.len());
        if !missing.is_empty() {
            let requests: Vec<Range<u64>> = missing.iter().map(|page| extent(*page, object_bytes)).collect();
            let fetched = bucket.get_ranges(key, &requests).await?;
            let mut fresh = fetched.iter().cloned();
            pages.iter_mut().filter(|page| page.is_none()).for_each(|page| *page = fresh.next());
            self.write(object, missing, fetched).await;
        }
        let extents: Vec<Range<u64>> = wanted.iter().map(|page| extent(*page, object_bytes)).collect();
        let pages: Vec<Bytes> = pages.into_iter().map(Option::unwrap_or_default).collect();
        Ok(ranges::cut(ranges, &extents, &pages))
    }

    /// What is there of some pages.
    async fn read(&self, object: u128, pages: &[u64]) -> Vec<Option<Bytes>> {
        let (inner, asked) = (Arc::clone(&self.inner), pages.to_vec());
        let read = move || asked.into_iter().map(|page| inner.read(PageId { object, page })).collect();
        // A bug here is no reason not to ask the bucket.
        spawn_blocking(read).await.unwrap_or_else(|_| vec![None; pages.len()])
    }

    async fn write(&self, object: u128, pages: Vec<u64>, contents: Vec<Bytes>) {
        let inner = Arc::clone(&self.inner);
        let write = move || {
            pages.into_iter().zip(contents).for_each(|(page, bytes)| inner.write(PageId { object, page }, &bytes));
            inner.settle();
        };
        let _ = spawn_blocking(write).await;
    }

    /// Drops what is kept of an object of this size.
    pub(crate) async fn forget(&self, key: &str, object_bytes: u64) {
        let (inner, object) = (Arc::clone(&self.inner), xxh3_128(key.as_bytes()));
        let forget = move || {
            (0..object_bytes.div_ceil(PAGE_BYTES)).for_each(|page| inner.pages.invalidate(&PageId { object, page }));
            inner.settle();
        };
        let _ = spawn_blocking(forget).await;
    }
}

impl Inner {
    fn now_ms(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }

    /// A page from the future (a clock that was set back) is old too: nobody knows its age.
    fn is_old(&self, page: &Page, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(page.fetched_ms);
        age < 0 || age as u128 > self.age_max.as_millis()
    }

    /// The pages of an earlier process; what is no page, or was not written to its end, is removed.
    fn take_over(&self) -> io::Result<()> {
        let now_ms = self.now_ms();
        for folder in 0..=FOLDERS {
            for entry in fs::read_dir(self.dir.join(format!("{folder:02x}")))? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let id = entry.file_name().to_str().and_then(PageId::parse);
                let page = Page {
                    bytes: u32::try_from(metadata.len()).unwrap_or(u32::MAX),
                    fetched_ms: metadata.mtime().saturating_mul(1000),
                };
                match id {
                    Some(id) if u64::from(page.bytes) <= PAGE_BYTES && !self.is_old(&page, now_ms) => {
                        self.pages.insert(id, page);
                    }
                    _ => fs::remove_file(entry.path())?,
                }
            }
        }
        self.settle();
        Ok(())
    }

    fn read(&self, id: PageId) -> Option<Bytes> {
        let page = self.pages.get(&id)?;
        let read = || {
            let mut bytes = Vec::with_capacity(page.bytes as usize);
            File::open(id.path(&self.dir))?.take(PAGE_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() != page.bytes as usize {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            io::Result::Ok(bytes)
        };
        if !self.is_old(&page, self.now_ms())
            && let Ok(bytes) = read()
        {
            return Some(bytes.into());
        }
        self.pages.invalidate(&id);
        None
    }

    /// Written beside and renamed, so that no reader sees half of a page.
    fn write(&self, id: PageId, bytes: &Bytes) {
        let path = id.path(&self.dir);
        let beside = path.with_extension(format!("{:x}.tmp", self.clock.random()));
        let page = Page { bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX), fetched_ms: self.now_ms() };
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            // What a later process knows of its age.
            file.set_modified(UNIX_EPOCH + Duration::from_millis(page.fetched_ms.unsigned_abs()))?;
            fs::rename(&beside, &path)
        };
        let written = write();
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            // A full disk would tell so at each read.
            if self.metrics.failures.get() == 0 {
                warn!(%error, dir = %self.dir.display(), "local cache cannot be written: the bucket is read instead");
            }
            self.metrics.failures.inc();
            return;
        }
        self.pages.insert(id, page);
    }

    /// Does now what the cache would put off: files of pages that have to leave are removed.
    fn settle(&self) {
        self.pages.run_pending_tasks();
        self.metrics.bytes.set(i64::try_from(self.pages.weighted_size()).unwrap_or(i64::MAX));
    }
}

impl PageId {
    fn path(&self, dir: &Path) -> PathBuf {
        let folder = (self.object & u128::from(FOLDERS)) as u8;
        dir.join(format!("{folder:02x}")).join(format!("{:032x}-{}", self.object, self.page))
    }

    /// Of a file name, as `path` writes it.
    fn parse(name: &str) -> Option<Self> {
        let (object, page) = name.split_once('-')?;
        let id = Self { object: u128::from_str_radix(object, 16).ok()?, page: page.parse().ok()? };
        (format!("{:032x}-{}", id.object, id.page) == name).then_some(id)
    }
}

fn pages_of(range: &Range<u64>) -> Range<u64> {
    if range.is_empty() { 0..0 } else { range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) }
}

fn extent(page: u64, object_bytes: u64) -> Range<u64> {
    page * PAGE_BYTES..((page + 1) * PAGE_BYTES).min(object_bytes)
}

#[derive(Clone)]
struct CacheMetrics {
    pages: IntCounterVec,
    bytes: IntGauge,
    failures: IntCounter,
}

impl CacheMetrics {
    fn count(&self, hits: usize, misses: usize) {
        self.pages.with_label_values(&["hit"]).inc_by(hits as u64);
        self.pages.with_label_values(&["miss"]).inc_by(misses as u64);
    }

    fn register(registry: &Registry) -> Self {
        let pages = IntCounterVec::new(
            Opts::new(
                "flamelake_local_cache_pages_total",
                "Pages of objects asked of the local folder, by result (hit, miss).",
            ),
            &["result"],
        )
        .expect("name and labels are valid");
        let bytes =
            IntGauge::new("flamelake_local_cache_bytes", "Bytes of pages in the local folder.").expect("name is valid");
        let failures = IntCounter::new(
            "flamelake_local_cache_write_failures_total",
            "Pages that could not be written to the local folder.",
        )
        .expect("name is valid");
        for collector in [
            Box::new(pages.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(bytes.clone()),
            Box::new(failures.clone()),
        ] {
            // Only "already registered" can happen here.
            let _ = registry.register(collector);
        }
        Self { pages, bytes, failures }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flamelake_testkit::FakeClock;

    use super::*;
    use crate::bucket::BucketDeps;
    use crate::faulty::{Fault, Faults, FaultyStore, Operation};
    use crate::retry::RetryPolicy;

    const KEY: &str = "a/blocks/1/samples.parquet";
    const HOUR: Duration = Duration::from_secs(3600);

    struct World {
        folder: tempfile::TempDir,
        faults: Faults,
        clock: FakeClock,
        bucket: Bucket,
        content: Bytes,
    }

    impl World {
        /// One object of two pages and a bit.
        async fn new() -> Self {
            let faults = Faults::default();
            let store = FaultyStore::new(Arc::new(object_store::memory::InMemory::new()), faults.clone());
            let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
            let content: Bytes = (0..2 * PAGE_BYTES + 10).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
            bucket.put(KEY, content.clone()).await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            let clock = FakeClock::at_unix_nanos(1_700_000_000_000_000_000);
            Self { folder, faults, clock, bucket, content }
        }

        fn open(&self, bytes_max: u64) -> io::Result<LocalCache> {
            let config = LocalCacheConfig { dir: self.folder.path().join("cache"), bytes_max, age_max: HOUR };
            LocalCache::open(&config, self.clock.shared(), &Registry::new())
        }

        /// Reads through the cache, and tells whether the bucket was needed.
        async fn needs_bucket(&self, cache: &LocalCache, range: Range<u64>) -> bool {
            let expected = self.content.slice(range.start as usize..range.end as usize);
            let bucket = self.bucket.clone().with_local_cache(cache.clone());
            self.faults.plan(Operation::Get, KEY, 0, 1000, Fault::Fail);
            let size = self.content.len() as u64;
            let without = bucket.get_immutable_ranges(KEY, size, std::slice::from_ref(&range)).await;
            self.faults.clear();
            let with = bucket.get_immutable_ranges(KEY, size, &[range]).await.unwrap();
            assert_eq!(with, std::slice::from_ref(&expected));
            without.inspect(|bytes| assert_eq!(bytes, std::slice::from_ref(&expected))).is_err()
        }

        fn files(&self) -> BTreeSet<PathBuf> {
            let folders = fs::read_dir(self.folder.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
            let files = folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
            files.map(|entry| entry.unwrap().path()).collect()
        }
    }

    #[tokio::test]
    async fn what_was_read_once_needs_no_bucket_even_after_a_restart() {
        let world = World::new().await;
        let end = world.content.len() as u64;
        let cache = world.open(100 * PAGE_BYTES).unwrap();
        assert!(world.needs_bucket(&cache, 5..10).await);
        assert!(!world.needs_bucket(&cache, 0..PAGE_BYTES).await, "the whole page was fetched");
        assert!(world.needs_bucket(&cache, PAGE_BYTES - 1..end).await, "two pages are not there yet");
        assert!(!world.needs_bucket(&cache, 1..end).await);
        assert!(!world.needs_bucket(&cache, 7..7).await, "nothing is there already");
        assert!(world.open(1).is_err(), "the folder is taken");
        drop(cache);
        let again = world.open(100 * PAGE_BYTES).unwrap();
        assert!(!world.needs_bucket(&again, 0..end).await);
    }

    #[tokio::test]
    async fn the_least_used_pages_leave_when_room_is_needed() {
        let world = World::new().await;
        let end = world.content.len() as u64;
        let cache = world.open(PAGE_BYTES + 20).unwrap();
        for _ in 0..3 {
            assert!(world.needs_bucket(&cache, 0..end).await);
            let bytes: u64 = world.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            assert!(bytes <= PAGE_BYTES + 20, "{bytes}");
        }
    }

    #[tokio::test]
    async fn old_pages_are_not_used_and_leave() {
        let world = World::new().await;
        let cache = world.open(100 * PAGE_BYTES).unwrap();
        world.needs_bucket(&cache, 0..10).await;
        world.clock.advance(HOUR / 2);
        assert!(!world.needs_bucket(&cache, 0..10).await);
        world.clock.advance(HOUR);
        cache.sweep().await;
        assert!(world.files().is_empty());
        assert!(world.needs_bucket(&cache, 0..10).await);
    }

    #[tokio::test]
    async fn damage_and_foreign_files_end_in_the_bucket_being_asked() {
        let world = World::new().await;
        let cache = world.open(100 * PAGE_BYTES).unwrap();
        world.needs_bucket(&cache, 0..10).await;
        fs::write(world.files().first().unwrap(), "short").unwrap();
        assert!(world.needs_bucket(&cache, 0..10).await);
        drop(cache);
        fs::write(world.folder.path().join("cache/00/left-over.tmp"), "half").unwrap();
        let cache = world.open(100 * PAGE_BYTES).unwrap();
        assert!(!world.needs_bucket(&cache, 0..10).await);
        assert_eq!(world.files().len(), 1, "what is no page is removed");
        // Of the right length and yet wrong: who reads sees it and asks for it to be forgotten.
        let bucket = world.bucket.clone().with_local_cache(cache.clone());
        assert!(bucket.forget_cached(KEY, world.content.len() as u64).await);
        assert!(world.files().is_empty());
        assert!(!world.bucket.forget_cached(KEY, 1).await);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_costs_only_requests() {
        let world = World::new().await;
        let cache = world.open(100 * PAGE_BYTES).unwrap();
        for folder in 0..=FOLDERS {
            fs::remove_dir(world.folder.path().join(format!("cache/{folder:02x}"))).unwrap();
        }
        assert!(world.needs_bucket(&cache, 0..10).await);
        assert!(world.needs_bucket(&cache, 0..10).await);
        assert!(cache.inner.metrics.failures.get() > 0);
    }
}
