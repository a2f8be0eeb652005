//! The door of the ingester of this process: pushes pass only while it is registered, and answers tell which ring it knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_ring::RingHandle;

/// Shared by who registers and who answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    registered: AtomicBool,
    /// Unix milliseconds; 0 = takes pushes.
    read_only_since_ms: AtomicI64,
}

impl Gate {
    /// Every query asks this ingester now.
    pub(crate) fn open(&self) {
        self.0.registered.store(true, Ordering::Release);
    }

    /// It joins or leaves.
    pub(crate) fn shut(&self) {
        self.0.registered.store(false, Ordering::Release);
    }

    /// An operator wants no more pushes here, since when.
    pub(crate) fn set_read_only(&self, since_ms: Option<i64>) {
        self.0.read_only_since_ms.store(since_ms.unwrap_or(0), Ordering::Release);
    }

    pub(crate) fn read_only_since_ms(&self) -> Option<i64> {
        Some(self.0.read_only_since_ms.load(Ordering::Acquire)).filter(|since| *since != 0)
    }

    /// Why a push does not pass.
    fn check(&self) -> Result<(), StatusError> {
        let refused = |why: &str| Err(StatusError::new(ErrorCode::FailedPrecondition, format!("this ingester {why}")));
        match (self.0.registered.load(Ordering::Acquire), self.read_only_since_ms()) {
            (true, None) => Ok(()),
            (true, Some(_)) => refused("is read-only"),
            (false, _) => refused("joins or leaves the ring"),
        }
    }
}

/// The same for a process without a ring: nobody else takes what it refuses, so clients shall come again. It joins and leaves with its ports.
pub(crate) struct GatedAlone {
    pub(crate) inner: Arc<dyn IngesterApi>,
    pub(crate) gate: Gate,
}

#[async_trait]
impl IngesterApi for GatedAlone {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        match self.gate.read_only_since_ms() {
            Some(_) => {
                Err(StatusError::unavailable("this server is read-only: an operator wants no new profiles here"))
            }
            None => self.inner.append(request).await,
        }
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.inner.query(request).await
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        self.inner.flush(tenant).await
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        self.inner.purge_log().await
    }
}

/// See the module.
pub(crate) struct Gated {
    pub(crate) inner: Arc<dyn IngesterApi>,
    pub(crate) gate: Gate,
    pub(crate) ring: RingHandle,
}

#[async_trait]
impl IngesterApi for Gated {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        // Refused means surely not stored: another ingester may take it.
        self.gate.check()?;
        self.inner.append(request).await
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        let mut answer = self.inner.query(request).await?;
        answer.stats.ring_epoch = answer.stats.ring_epoch.max(self.ring.epoch());
        Ok(answer)
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        self.inner.flush(tenant).await
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        self.inner.purge_log().await
    }
}

#[cfg(test)]
mod tests {
    use flamelake_model::query::{PartialQuery, PartialResult, QueryStats, Selection};
    use flamelake_model::selector::Selector;
    use flamelake_model::{TimeRange, TimestampMs};
    use flamelake_ring::{MemoryStore, Ring, RingConfig, RingDeps};
    use flamelake_runtime::clock::SystemClock;
    use prometheus::Registry;

    use super::*;

    struct Stores;

    #[async_trait]
    impl IngesterApi for Stores {
        async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
            Ok(vec![Ok(()); request.frames.len()])
        }

        async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
            Ok(PartialAnswer { result: PartialResult::empty(&request.query), stats: QueryStats::default() })
        }

        async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_process_without_a_ring_can_be_read_only_too() {
        let gate = Gate::default();
        let gated = GatedAlone { inner: Arc::new(Stores), gate: gate.clone() };
        let append = || {
            let frames = vec![bytes::Bytes::new()];
            gated.append(AppendRequest { tenant: TenantId::anonymous(), frames, spread: Vec::new() })
        };
        assert_eq!(append().await.unwrap().len(), 1);
        gate.set_read_only(Some(1));
        assert_eq!(append().await.unwrap_err().code, ErrorCode::Unavailable);
        gate.set_read_only(None);
        assert_eq!(append().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn pushes_pass_only_through_an_open_gate_and_answers_tell_the_epoch() {
        let deps = RingDeps { clock: SystemClock::shared(), registry: Registry::new() };
        let ring = Ring::over(Arc::new(MemoryStore::new()), RingConfig::default(), deps);
        let ring = ring.await.unwrap();
        let gate = Gate::default();
        let gated = Gated { inner: Arc::new(Stores), gate: gate.clone(), ring: ring.handle() };
        let append = || {
            gated.append(AppendRequest {
                tenant: TenantId::anonymous(),
                frames: vec![bytes::Bytes::new()],
                spread: Vec::new(),
            })
        };
        assert_eq!(append().await.unwrap_err().code, ErrorCode::FailedPrecondition);
        gate.open();
        assert_eq!(append().await.unwrap().len(), 1);
        gate.set_read_only(Some(1));
        assert_eq!(append().await.unwrap_err().message, "this ingester is read-only");
        gate.set_read_only(None);
        assert_eq!(append().await.unwrap().len(), 1);
        gate.shut();
        assert_eq!(append().await.unwrap_err().code, ErrorCode::FailedPrecondition);
        let selection = Selection {
            profile_type: None,
            selector: Selector::all(),
            range: TimeRange::new(TimestampMs(0), TimestampMs(1)).unwrap(),
        };
        let request = IngesterQuery {
            tenant: TenantId::anonymous(),
            catalog_version: 0,
            watermarks: Vec::new(),
            query: PartialQuery::LabelNames(selection),
        };
        assert_eq!(gated.query(request).await.unwrap().stats.ring_epoch, ring.handle().epoch());
    }
}
