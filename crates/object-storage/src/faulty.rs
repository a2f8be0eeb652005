//! A store that fails on purpose: the same trait as any store, so that every layer above can be tested by breaking it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

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
    operation: Operation,
    key_part: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

/// The switchboard of a [`FaultyStore`]; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plans: Arc<Mutex<Vec<Plan>>>,
}

impl Faults {
    /// The next `times` operations of this kind meet the fault.
    pub fn next(&self, operation: Operation, times: usize, fault: Fault) {
        self.plan(operation, "", 0, times, fault);
    }

    /// After `skip` such operations on keys that contain `key_part`, `times` of them meet the fault.
    pub fn plan(&self, operation: Operation, key_part: &str, skip: usize, times: usize, fault: Fault) {
        let plan = Plan { operation, key_part: key_part.to_owned(), skip, times, fault };
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
    }

    /// Forgets all that is planned.
    pub fn clear(&self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, operation: Operation, key: &str) -> Option<Fault> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        for plan in plans.iter_mut().filter(|plan| plan.operation == operation && key.contains(&plan.key_part)) {
            if plan.skip > 0 {
                plan.skip -= 1;
            } else if plan.times > 0 {
                plan.times -= 1;
                return Some(plan.fault.clone());
            }
        }
        None
    }
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

    /// Runs a request under the fault planned for it.
    async fn under_fault<T>(
        &self,
        operation: Operation,
        key: &str,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.faults.take(operation, key) {
            None => request.await,
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
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                request.await
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
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
        self.under_fault(operation, location.as_ref(), self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.under_fault(Operation::Put, location.as_ref(), self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.under_fault(Operation::Get, location.as_ref(), self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.under_fault(Operation::Get, location.as_ref(), self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
        locations
            .then(move |location| {
                let store = Self { inner: Arc::clone(&inner), faults: faults.clone() };
                async move {
                    let location = location?;
                    let one = stream::iter([Ok(location.clone())]).boxed();
                    let mut deleted = store.inner.delete_stream(one);
                    let request = async { deleted.next().await.unwrap_or_else(|| Ok(location.clone())) };
                    store.under_fault(Operation::Delete, location.as_ref(), request).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = self.inner.list(prefix);
        let key = prefix.map(|path| path.as_ref().to_owned()).unwrap_or_default();
        match self.faults.take(Operation::List, &key) {
            None => listing,
            Some(_) => stream::iter([Err(injected("listing failed on purpose"))]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map(|path| path.as_ref().to_owned()).unwrap_or_default();
        self.under_fault(Operation::List, &key, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.under_fault(Operation::Put, to.as_ref(), self.inner.copy_opts(from, to, options)).await
    }
}
