//! Which member of etcd is asked: the one that answered last. One that refuses or keeps silent is left for the next, within the time of the
//! call, and is not asked again until the others fail too. (A client of all endpoints at once draws one by chance for each request, a silent
//! one too: while one of three sleeps, liveness would be lost again and again.)

use std::time::Duration;

use etcd_client::{Client, Error};
use flamelake_runtime::clock::SharedClock;
use parking_lot::Mutex;

use super::connect::Settings;
use super::store_error;
use crate::error::StoreError;

/// Of one call where there are several endpoints; during an election all of them refuse for a while.
const ATTEMPTS_MAX: u32 = 16;
/// Before a call is tried again, times the number of tries so far.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Endpoints {
    settings: Settings,
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    /// Who is asked.
    current: usize,
    /// `None`: not connected.
    clients: Vec<Option<Client>>,
}

impl Endpoints {
    /// Contacts nobody yet. The first to be asked is drawn, so that members spread.
    pub(super) fn new(settings: Settings, clock: SharedClock) -> Self {
        let count = settings.endpoints();
        let drawn = usize::try_from(clock.random() % count as u128).unwrap_or_default();
        let state = Mutex::new(State { current: drawn, clients: vec![None; count] });
        Self { settings, clock, state }
    }

    /// Bounds the time of a call, in which other endpoints are tried. A write that was done by one that kept silent fails its guards at
    /// the next.
    pub(super) async fn call<T, Answer: Future<Output = Result<T, Error>>>(
        &self,
        action: &'static str,
        call: impl Fn(Client) -> Answer,
    ) -> Result<T, StoreError> {
        let work = async {
            let attempts = if self.settings.endpoints() == 1 { 1 } else { ATTEMPTS_MAX };
            for attempt in 1.. {
                let (at, outcome) = self.attempt(action, &call).await;
                let refused = matches!(outcome, Err(StoreError::Unavailable { .. } | StoreError::Denied { .. }));
                if refused {
                    self.leave(at);
                }
                if attempt >= attempts || !matches!(outcome, Err(StoreError::Unavailable { .. })) {
                    return outcome;
                }
                self.clock.sleep(PAUSE * attempt).await;
            }
            Err(silent(action, self.settings.timeout()))
        };
        self.within(action, self.settings.timeout(), work).await
    }

    /// One try, and at whom. The last endpoint must still have its turn within the time of the call.
    async fn attempt<T, Answer: Future<Output = Result<T, Error>>>(
        &self,
        action: &'static str,
        call: &impl Fn(Client) -> Answer,
    ) -> (usize, Result<T, StoreError>) {
        let at = self.state.lock().current;
        // Connecting is a large future.
        let work = Box::pin(async {
            let outcome = async { call(self.client(at).await?).await }.await;
            outcome.map_err(|error| store_error(action, &error))
        });
        let share = self.settings.timeout() / u32::try_from(self.settings.endpoints()).unwrap_or(u32::MAX);
        (at, self.within(action, share, work).await)
    }

    async fn within<T>(
        &self,
        action: &'static str,
        time: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.clock.sleep(time) => Err(silent(action, time)),
        }
    }

    async fn client(&self, at: usize) -> Result<Client, Error> {
        if let Some(client) = self.state.lock().clients[at].clone() {
            return Ok(client);
        }
        let client = self.settings.connect(at).await?;
        self.state.lock().clients[at] = Some(client.clone());
        Ok(client)
    }

    /// The next call asks another endpoint; this one is connected, and logged in, anew when its turn comes.
    fn leave(&self, at: usize) {
        let mut state = self.state.lock();
        state.clients[at] = None;
        if state.current == at {
            state.current = (at + 1) % state.clients.len();
        }
    }
}

fn silent(action: &'static str, time: Duration) -> StoreError {
    StoreError::Unavailable { action, message: format!("no answer in {time:?}") }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoints").field("settings", &self.settings).finish_non_exhaustive()
    }
}
