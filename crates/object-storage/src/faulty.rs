//! A store that fails on purpose: the same trait as any store, so that every layer above can be tested by breaking it.

mod schedule;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused before anything was done.
    Fail,
    /// Done, but the answer is an error.
    LoseAnswer,
    /// A create is answered with "already exists" though nothing was written (S3's 409 in a race).
    Conflict,
    /// No space is left.
    OutOfSpace,
    /// Done after this time.
    Delay(Duration),
    /// Never answered; nothing is done.
    Hang,
    /// The code that asked panics; nothing is done.
    Panic,
    /// The process dies; nothing is done.
    AbortBefore,
    /// Done, and the process dies.
    AbortAfter,
}

/// Which requests a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads of any kind, HEAD included.
    Get,
    /// Writes that replace.
    Put,
    /// Writes that must not replace.
    Create,
    /// Deletes.
    Delete,
    /// Listings of any kind.
    List,
}

/// One planned fault.
#[derive(Clone, Debug)]
struct Plan {
    operations: Vec<Operation>,
    key_part: String,
    fault: Fault,
    when: When,
    /// Requests that it could have met.
    met: usize,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    Between { skip: usize, times: usize },
    Every(usize),
    Chance(f64),
}

impl Plan {
    /// Is it this request's turn? Each request that fits is to be asked about once.
    fn hits(&mut self, rng: &mut StdRng) -> bool {
        self.met += 1;
        match self.when {
            When::Always => true,
            When::Between { skip, times } => (skip..skip + times).contains(&(self.met - 1)),
            When::Every(n) => self.met.is_multiple_of(n),
            When::Chance(share) => rng.random_bool(share),
        }
    }
}

/// The switchboard of a [`FaultyStore`]; clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug)]
struct Board {
    plans: Vec<Plan>,
    rng: StdRng,
}

impl Default for Faults {
    fn default() -> Self {
        Self::with_seed(0)
    }
}

impl Faults {
    fn with_seed(seed: u64) -> Self {
        Self { board: Arc::new(Mutex::new(Board { plans: Vec::new(), rng: StdRng::seed_from_u64(seed) })) }
    }

    fn add(&self, plan: Plan) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).plans.push(plan);
    }

    /// The next `times` operations of this kind meet the fault.
    pub fn next(&self, operation: Operation, times: usize, fault: Fault) {
        self.plan(operation, "", 0, times, fault);
    }

    /// After `skip` such operations on keys that contain `key_part`, `times` of them meet the fault.
    pub fn plan(&self, operation: Operation, key_part: &str, skip: usize, times: usize, fault: Fault) {
        let when = When::Between { skip, times };
        self.add(Plan { operations: vec![operation], key_part: key_part.to_owned(), fault, when, met: 0 });
    }

    /// Forgets all that is planned.
    pub fn clear(&self) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).plans.clear();
    }

    /// The sum of the delays that a request meets, and the first other fault.
    fn take(&self, operation: Operation, key: &str) -> (Duration, Option<Fault>) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let Board { plans, rng } = &mut *board;
        let mut delay = Duration::ZERO;
        for plan in plans {
            if !plan.operations.contains(&operation) || !key.contains(&plan.key_part) || !plan.hits(rng) {
                continue;
            }
            match &plan.fault {
                Fault::Delay(time) => delay += *time,
                fault => return (delay, Some(fault.clone())),
            }
        }
        (delay, None)
    }

    /// Runs a request under the faults planned for it.
    async fn meet<T>(&self, operation: Operation, key: &str, request: impl Future<Output = Result<T>>) -> Result<T> {
        let (delay, fault) = self.take(operation, key);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None | Some(Fault::Delay(_)) => request.await,
            Some(Fault::Fail) => Err(injected("failed on purpose")),
            Some(Fault::LoseAnswer) => {
                request.await?;
                Err(injected("answer lost on purpose"))
            }
            Some(Fault::Conflict) => Err(Error::AlreadyExists { path: key.to_owned(), source: "injected".into() }),
            Some(Fault::OutOfSpace) => {
                let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
                Err(Error::Generic { store: "faulty", source })
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Panic) => panic!("panics on purpose: {operation:?} {key}"),
            Some(Fault::AbortBefore) => abort(operation, key),
            Some(Fault::AbortAfter) => {
                let _ = request.await;
                abort(operation, key)
            }
        }
    }
}

/// As a kill would: nothing is closed, nothing is flushed.
fn abort(operation: Operation, key: &str) -> ! {
    tracing::warn!(?operation, key, "the process ends on purpose");
    std::process::abort()
}

/// See the module.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
}

impl FaultyStore {
    /// Wraps a store; what fails is told through `faults`.
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

fn injected(what: &'static str) -> Error {
    Error::Generic { store: "faulty", source: what.into() }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let operation = if opts.mode == PutMode::Create { Operation::Create } else { Operation::Put };
        self.faults.meet(operation, location.as_ref(), self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.faults.meet(Operation::Put, location.as_ref(), self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.meet(Operation::Get, location.as_ref(), self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults.meet(Operation::Get, location.as_ref(), self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
        locations
            .then(move |location| {
                let (inner, faults) = (Arc::clone(&inner), faults.clone());
                async move {
                    let location = location?;
                    let one = stream::iter([Ok(location.clone())]).boxed();
                    let mut deleted = inner.delete_stream(one);
                    let request = async { deleted.next().await.unwrap_or_else(|| Ok(location.clone())) };
                    faults.meet(Operation::Delete, location.as_ref(), request).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (listing, faults) = (self.inner.list(prefix), self.faults.clone());
        let key = prefix.map(|path| path.as_ref().to_owned()).unwrap_or_default();
        let listing = async move { faults.meet(Operation::List, &key, async { Ok(listing) }).await };
        stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map(|path| path.as_ref().to_owned()).unwrap_or_default();
        self.faults.meet(Operation::List, &key, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.meet(Operation::Put, to.as_ref(), self.inner.copy_opts(from, to, options)).await
    }
}
