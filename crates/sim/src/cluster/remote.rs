//! How a process reaches roles in others: messages with latency that may be lost, to processes that may be dead, asleep or cut off.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery, StoreGatewayApi};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_ring::Member;
use flamelake_runtime::clock::SharedClock;
use tokio::sync::oneshot;

use super::members::{KnownIngester, RingView};
use crate::process::Service;
use crate::world::{Event, ProcessId, World};

/// A call that is not answered ends after this.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How long a member waits for the caller's epoch before it says what it has, as the program does.
const NOTE_WITHIN: Duration = Duration::from_secs(1);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) world: Arc<World>,
    pub(crate) process: ProcessId,
    pub(crate) name: String,
    pub(crate) clock: SharedClock,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote of {}", self.name)
    }
}

impl Remote {
    pub(crate) fn ingester(&self, name: &str, address: &str) -> Arc<dyn IngesterApi> {
        let ingester = RemoteIngester { remote: self.clone(), to: name.to_owned(), address: address.to_owned() };
        self.world.plant.asked(Arc::new(ingester))
    }

    /// Every querier has a store-gateway of its own.
    pub(crate) fn gateway(&self, _: &Member) -> Arc<dyn StoreGatewayApi> {
        unreachable!("no member of a simulation registers as a store-gateway")
    }

    /// The epoch of the ring that a member has noted, `epoch` if it comes to it soon.
    pub(crate) async fn noted(&self, member: &Member, epoch: u64) -> Result<u64, StatusError> {
        let noted = move |service: Service| async move {
            let Some((ring, clock)) = service.ring else { return Err(StatusError::unavailable("it is starting")) };
            tokio::select! {
                biased;
                _ = ring.until(|snapshot| snapshot.epoch() >= epoch) => {}
                () = clock.sleep(NOTE_WITHIN) => {}
            }
            Ok(ring.epoch())
        };
        self.call("note", member.id.as_str(), &member.address, noted).await
    }

    /// The ingesters that another member knows.
    pub(crate) async fn view(&self, of: &KnownIngester) -> Result<RingView, StatusError> {
        let view = |service: Service| async move {
            let (ring, _) = service.ring.ok_or_else(|| StatusError::unavailable("it is starting"))?;
            Ok(RingView::of(&ring.snapshot()))
        };
        self.call("view", &of.name, &of.address, view).await
    }

    pub(crate) fn keep_only(&self, _: impl Fn(&str) -> bool) {}

    async fn call<T: Send + 'static, F: Future<Output = Result<T, StatusError>> + Send + 'static>(
        &self,
        what: &'static str,
        to: &str,
        address: &str,
        handle: impl FnOnce(Service) -> F + Send + 'static,
    ) -> Result<T, StatusError> {
        let (world, process) = (Arc::clone(&self.world), self.process);
        let (reply, outcome) = oneshot::channel();
        let (there, back) = (world.latency(1, 25), world.latency(1, 25));
        let (from, peer) = (self.name.clone(), to.to_owned());
        if world.reaches(&from, &peer) {
            let (job_world, names) = (Arc::clone(&world), (from.clone(), peer.clone()));
            let job = move |service: Service| {
                let handled = handle(service);
                let work = async move {
                    let result = handled.await;
                    if !job_world.reaches(&names.0, &names.1) {
                        // Its caller waits for an answer that never comes.
                        job_world.trace(&names.1, || format!("answer to {what} of {} is lost", names.0));
                        hold(&job_world, reply);
                        return;
                    }
                    let answer = move |world: &Arc<World>| {
                        if reply.send(result).is_ok() {
                            world.wake(process);
                        }
                    };
                    job_world.schedule(back, Event::Do(Box::new(answer)));
                };
                Box::pin(work) as _
            };
            world.schedule(there, Event::Deliver(address.to_owned(), Box::new(job)));
        } else {
            hold(&world, reply);
        }
        tokio::select! {
            biased;
            outcome = outcome => outcome.unwrap_or_else(|_| Err(StatusError::unavailable(format!("{peer}: connection reset")))),
            () = self.clock.sleep(TIMEOUT) => Err(StatusError::unavailable(format!("{peer}: no answer"))),
        }
    }
}

/// Keeps the caller waiting until it has given up by itself.
fn hold<T: Send + 'static>(world: &Arc<World>, reply: oneshot::Sender<T>) {
    world.schedule(TIMEOUT * 2, Event::Do(Box::new(move |_| drop(reply))));
}

struct RemoteIngester {
    remote: Remote,
    to: String,
    address: String,
}

impl RemoteIngester {
    async fn call<T: Send + 'static, F: Future<Output = Result<T, StatusError>> + Send + 'static>(
        &self,
        what: &'static str,
        handle: impl FnOnce(Arc<dyn IngesterApi>) -> F + Send + 'static,
    ) -> Result<T, StatusError> {
        let handle = |service: Service| async move {
            match service.ingester {
                Some(ingester) => handle(ingester).await,
                None => Err(StatusError::unavailable("it is starting")),
            }
        };
        self.remote.call(what, &self.to, &self.address, handle).await
    }
}

#[async_trait]
impl IngesterApi for RemoteIngester {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        self.call("append", |ingester| async move { ingester.append(request).await }).await
    }

    async fn query(&self, request: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        self.call("query", |ingester| async move { ingester.query(request).await }).await
    }

    async fn flush(&self, tenant: Option<TenantId>) -> Result<(), StatusError> {
        self.call("flush", |ingester| async move { ingester.flush(tenant).await }).await
    }
}
