//! A process: a runtime of its own that is run until all its tasks wait for something.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use flamelake_api::roles::IngesterApi;
use flamelake_ring::RingHandle;
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::life::{Ending, Front};

/// What a process answers to others, once it does.
#[derive(Clone, Default)]
pub(crate) struct Service {
    pub(crate) ingester: Option<Arc<dyn IngesterApi>>,
    pub(crate) ring: Option<(RingHandle, SharedClock)>,
}

/// What a process tells about itself as it comes up.
#[derive(Clone, Default)]
pub(crate) struct Face(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    service: Service,
    front: Option<Front>,
}

impl Face {
    pub(crate) fn set_service(&self, service: Service) {
        self.0.lock().service = service;
    }

    pub(crate) fn service(&self) -> Service {
        self.0.lock().service.clone()
    }

    pub(crate) fn set_front(&self, front: Front) {
        self.0.lock().front = Some(front);
    }

    pub(crate) fn front(&self) -> Option<Front> {
        self.0.lock().front.clone()
    }

    /// A dead process holds nothing of a runtime that is gone.
    fn clear(&self) {
        let inner = std::mem::take(&mut *self.0.lock());
        drop(inner);
    }
}

/// One start of a process.
pub(crate) struct Process {
    /// The member it is; two starts may share it.
    pub(crate) name: String,
    /// Where messages find this start.
    pub(crate) address: String,
    pub(crate) is_frozen: bool,
    pub(crate) face: Face,
    pub(crate) clock: crate::clock::ProcessClock,
    /// Ends it in order.
    pub(crate) stop: Option<oneshot::Sender<Ending>>,
    runtime: Option<Runtime>,
    idle: Arc<Idle>,
}

/// Told by the runtime that nothing is left to run.
#[derive(Default)]
struct Idle(Mutex<(bool, Option<Waker>)>);

impl Idle {
    fn parked(&self) {
        let mut state = self.0.lock();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            drop(state);
            waker.wake();
        }
    }
}

impl Process {
    pub(crate) fn new(name: &str, address: &str, clock: crate::clock::ProcessClock) -> Self {
        let idle = Arc::new(Idle::default());
        let parked = Arc::clone(&idle);
        // Neither timers nor I/O: whoever asks the machine for either fails at once.
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || parked.parked())
            .build()
            .expect("a runtime without drivers needs nothing");
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            is_frozen: false,
            face: Face::default(),
            clock,
            stop: None,
            runtime: Some(runtime),
            idle,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.runtime.is_some()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// Runs its tasks until all of them wait.
    pub(crate) fn run_until_idle(&self) {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.is_frozen) else { return };
        runtime.block_on(poll_fn(|context| {
            let mut state = self.idle.0.lock();
            if std::mem::take(&mut state.0) {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        }));
    }

    /// Drops all tasks where they stand.
    pub(crate) fn kill(&mut self) {
        self.stop = None;
        self.face.clear();
        if let Some(runtime) = self.runtime.take() {
            drop(runtime);
        }
    }
}
