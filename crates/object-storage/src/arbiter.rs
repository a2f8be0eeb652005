//! Put-if-absent for a store that overwrites: somebody else, who can decide, says whose bytes a name gets.
//!
//! 1. The bytes are put under a name of their own, below `arbiter/`.
//! 2. The arbiter *binds* the wanted name to that object, unless it is bound already.
//! 3. Whoever finds a name bound and its object absent copies the bound bytes there, whosever they are. Whoever won a name whose object is there
//!    has lost: it was bound before, by another who has finished.
//! 4. Only when the object is there is the name freed, and after it the bytes of step 1 are deleted.
//!
//! So all copies to a bound name carry the same bytes, whoever makes them and however late, and a crash between any two steps leaves a state
//! that the next one who wants the name completes. A copy that comes so late that the name was freed finds its source gone.
//! What that needs of the arbiter: a binding, once told, stays until it is freed. An arbiter that loses bindings (a wiped etcd) between steps 2
//! and 4 may let two win; `docs/decisions/0006-arbiter-in-etcd.md` says what follows from it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Bucket, PutOutcome, StorageError};

/// Where bytes lie until their name is decided.
pub(crate) const FOLDER: &str = "arbiter/";
/// Between looks for the object of a name that another won.
const PATIENCE_MS: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];
/// A name changes hands once in a row of these only if it is deleted meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Decides whose a name is. Names and holders are keys of the bucket.
#[async_trait]
pub trait Arbiter: fmt::Debug + Send + Sync {
    /// Binds the name to `holder` unless it is bound, and tells whom it is bound to. An error leaves open whether it was bound.
    async fn bind(&self, name: &str, holder: &str) -> Result<String, ArbiterError>;

    /// Frees the name if it is bound to `holder`.
    async fn release(&self, name: &str, holder: &str) -> Result<(), ArbiterError>;

    /// Every name that is bound, and to whom.
    async fn bindings(&self) -> Result<Vec<(String, String)>, ArbiterError>;
}

/// Why an arbiter did not decide.
pub type ArbiterError = Box<dyn Error + Send + Sync>;

impl Bucket {
    pub(crate) async fn create_by_arbiter(
        &self,
        arbiter: &dyn Arbiter,
        key: &str,
        bytes: Bytes,
    ) -> Result<PutOutcome, StorageError> {
        let own = format!("{FOLDER}{:032x}", rand::random::<u128>());
        self.put(&own, bytes).await?;
        for _ in 0..ATTEMPTS_MAX {
            let holder = arbiter.bind(key, &own).await.map_err(|source| undecided(key, source))?;
            if holder != own && self.appears(key).await? {
                self.forget(&own).await;
                return Ok(PutOutcome::AlreadyExists);
            }
            let outcome = self.complete(key, &holder).await?;
            if outcome.is_some() {
                self.settle(arbiter, key, &holder).await;
                if holder != own {
                    self.forget(&own).await;
                }
            }
            match outcome {
                Some(PutOutcome::Created) if holder == own => return Ok(PutOutcome::Created),
                Some(_) => return Ok(PutOutcome::AlreadyExists),
                // The bytes of a finished put, whose name was deleted since: it is free again.
                None => arbiter.release(key, &holder).await.map_err(|source| undecided(key, source))?,
            }
        }
        Err(undecided(key, "the name changed hands again and again".into()))
    }

    /// Gives the one who won a name the time to finish, so that it learns of it; who is dead does not.
    async fn appears(&self, key: &str) -> Result<bool, StorageError> {
        for pause in PATIENCE_MS {
            if self.head(key).await?.is_some() {
                return Ok(true);
            }
            self.sleep(Duration::from_millis(pause)).await;
        }
        Ok(false)
    }

    /// Sees to it that the bound name has its object; `None` if the bytes that it is bound to are gone.
    async fn complete(&self, key: &str, holder: &str) -> Result<Option<PutOutcome>, StorageError> {
        if self.head(key).await?.is_some() {
            return Ok(Some(PutOutcome::AlreadyExists));
        }
        match self.copy(holder, key).await {
            Ok(()) => Ok(Some(PutOutcome::Created)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            // Not "surely not written": the name is bound, and somebody will complete it.
            Err(StorageError::OutOfSpace { key }) => {
                Err(StorageError::Other { operation: "copy", key, source: "no space left".into() })
            }
            Err(error) => Err(error),
        }
    }

    /// Cleans up once the object is there. What fails is left to [`sweep_arbiter`](Self::sweep_arbiter).
    async fn settle(&self, arbiter: &dyn Arbiter, key: &str, holder: &str) {
        match arbiter.release(key, holder).await {
            Ok(()) => self.forget(holder).await,
            Err(error) => tracing::debug!(key, error = &*error as &dyn Error, "a bound name was not freed"),
        }
    }

    async fn forget(&self, holder: &str) {
        // Nothing else may be deleted, whatever an arbiter holds.
        if !holder.starts_with(FOLDER) {
            return;
        }
        if let Err(error) = self.delete(holder).await {
            tracing::debug!(key = holder, error = &error as &dyn Error, "an arbitrated object was not deleted");
        }
    }

    /// Frees what crashed processes left: names whose objects are there, and undecided bytes older than `grace`. Tells how many of both.
    /// Nothing to do without an arbiter.
    pub async fn sweep_arbiter(&self, grace: Duration) -> Result<(usize, usize), StorageError> {
        let Some(arbiter) = self.arbiter() else { return Ok((0, 0)) };
        let bindings = arbiter.bindings().await.map_err(|source| undecided(FOLDER, source))?;
        let (mut names, mut objects) = (0, 0);
        for (key, holder) in bindings {
            if self.head(&key).await?.is_some() {
                self.settle(&*arbiter, &key, &holder).await;
                names += 1;
            }
        }
        let before_ms = self.now_ms().saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
        for entry in self.list(FOLDER).await? {
            if entry.last_modified_ms < before_ms {
                self.forget(&entry.key).await;
                objects += 1;
            }
        }
        Ok((names, objects))
    }
}

fn undecided(key: &str, source: ArbiterError) -> StorageError {
    StorageError::Undecided { key: key.to_owned(), source }
}
