//! What lies between processes: the true time, the queue of what is to happen, the generator, who can reach whom, and the trace.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use crate::etcd::Etcd;
use crate::plan::Step;
use crate::plant::Plant;
use crate::process::Service;
use crate::store::Objects;

/// 2026-11-22T15:00:00Z: when every simulation begins.
pub(crate) const EPOCH_NS: i64 = 1_795_359_600_000_000_000;

/// One start of a process; never used again.
pub(crate) type ProcessId = usize;

/// Name of the object store where links are cut.
pub(crate) const STORE: &str = "store";
/// Name of etcd where links are cut.
pub(crate) const ETCD: &str = "etcd";

/// Work for a process that a message brings.
pub(crate) type Job = Box<dyn FnOnce(Service) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What happens to the world, whatever becomes of processes.
pub(crate) type Happening = Box<dyn FnOnce(&Arc<World>) + Send>;

/// Something that happens at its time.
pub(crate) enum Event {
    /// Somebody in a process has waited long enough.
    Wake(ProcessId, oneshot::Sender<()>),
    /// In the world.
    Do(Happening),
    /// A message reaches the process at an address, if there is one.
    Deliver(String, Job),
    /// Of the plan.
    Step(Step),
    /// A process has come to its end.
    Exited(ProcessId, String),
}

/// How the store behaves, in requests of a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Refused with 503, nothing done.
    pub(crate) refuse: u32,
    /// Done, but the answer is 500.
    pub(crate) lose: u32,
    /// A create that is answered with 409 though nobody won.
    pub(crate) conflict: u32,
    /// Done long after its caller gave up.
    pub(crate) late: u32,
    /// Done, and done once more later: a proxy sent the request twice.
    pub(crate) twice: u32,
}

impl Weather {
    pub(crate) const CALM: Self = Self { refuse: 0, lose: 0, conflict: 0, late: 0, twice: 0 };
    pub(crate) const FAIR: Self = Self { refuse: 5, lose: 5, conflict: 10, late: 4, twice: 2 };
    pub(crate) const STORM: Self = Self { refuse: 150, lose: 150, conflict: 80, late: 60, twice: 20 };
    pub(crate) const OUTAGE: Self = Self { refuse: 1000, ..Self::CALM };
}

/// See the module.
pub(crate) struct World {
    state: Mutex<State>,
    pub(crate) objects: Mutex<Objects>,
    pub(crate) etcd: Mutex<Etcd>,
    pub(crate) plant: Plant,
}

struct State {
    now: Duration,
    count: u64,
    events: BTreeMap<(Duration, u64), Event>,
    rng: StdRng,
    cut: BTreeSet<(String, String)>,
    weather: Weather,
    /// Whose tasks may have something to do.
    woken: BTreeSet<ProcessId>,
    all_woken: bool,
    trace: Trace,
    failures: Vec<String>,
}

/// What happened, as lines if anybody reads them, and always as a number that two equal stories share.
#[derive(Default)]
struct Trace {
    lines: Option<Vec<String>>,
    hash: u64,
    count: u64,
}

impl World {
    pub(crate) fn new(seed: u64, plant: Plant, traced: bool) -> Arc<Self> {
        let state = State {
            now: Duration::ZERO,
            count: 0,
            events: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            cut: BTreeSet::new(),
            weather: Weather::FAIR,
            woken: BTreeSet::new(),
            all_woken: false,
            trace: Trace { lines: traced.then(Vec::new), ..Trace::default() },
            failures: Vec::new(),
        };
        let (objects, etcd) = (Mutex::default(), Mutex::default());
        Arc::new(Self { state: Mutex::new(state), objects, etcd, plant })
    }

    /// True time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.state.lock().now
    }

    /// True Unix milliseconds: the clock of the store.
    pub(crate) fn unix_ms(&self) -> i64 {
        EPOCH_NS / 1_000_000 + i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn schedule(&self, after: Duration, event: Event) {
        let mut state = self.state.lock();
        let at = (state.now + after, state.count);
        state.count += 1;
        state.events.insert(at, event);
    }

    /// Goes to the next event.
    pub(crate) fn next(&self) -> Option<Event> {
        let mut state = self.state.lock();
        let ((at, _), event) = state.events.pop_first()?;
        state.now = at;
        Some(event)
    }

    /// Draws.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.state.lock().rng)
    }

    /// Between two times, mostly near the shorter one.
    pub(crate) fn latency(&self, from_ms: u64, to_ms: u64) -> Duration {
        let (a, b) = self.draw(|rng| (rng.random_range(0.0..1.0_f64), rng.random_range(0.0..1.0_f64)));
        Duration::from_millis(from_ms) + Duration::from_millis(to_ms - from_ms).mul_f64(a * b)
    }

    /// The tasks of a process may have something to do.
    pub(crate) fn wake(&self, process: ProcessId) {
        self.state.lock().woken.insert(process);
    }

    /// Any process may have something to do.
    pub(crate) fn wake_all(&self) {
        self.state.lock().all_woken = true;
    }

    /// Who may have something to do; `None` = anybody.
    pub(crate) fn take_woken(&self) -> Option<BTreeSet<ProcessId>> {
        let mut state = self.state.lock();
        let woken = std::mem::take(&mut state.woken);
        if std::mem::take(&mut state.all_woken) { None } else { Some(woken) }
    }

    /// Asks something outside of a process: `work` is done after some time whatever becomes of the process, and its outcome reaches the
    /// process some time later. `None` = it never comes back.
    pub(crate) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        process: ProcessId,
        there: Duration,
        back: Option<Duration>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = T> + Send>> {
        let (reply, outcome) = oneshot::channel();
        let ask = move |world: &Arc<Self>| {
            let result = work(world);
            let Some(back) = back else { return };
            let answer = move |world: &Arc<Self>| {
                if reply.send(result).is_ok() {
                    world.wake(process);
                }
            };
            world.schedule(back, Event::Do(Box::new(answer)));
        };
        self.schedule(there, Event::Do(Box::new(ask)));
        Box::pin(async move {
            match outcome.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        })
    }

    /// Can two parties reach each other?
    pub(crate) fn reaches(&self, a: &str, b: &str) -> bool {
        !self.state.lock().cut.contains(&link(a, b))
    }

    pub(crate) fn set_cut(&self, a: &str, b: &str, is_cut: bool) {
        let cut = &mut self.state.lock().cut;
        if is_cut {
            cut.insert(link(a, b));
        } else {
            cut.remove(&link(a, b));
        }
    }

    pub(crate) fn heal_links(&self) {
        self.state.lock().cut.clear();
    }

    pub(crate) fn weather(&self) -> Weather {
        self.state.lock().weather
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// Writes a line of the story: who, and what.
    pub(crate) fn trace(&self, who: &str, what: impl FnOnce() -> String) {
        let mut state = self.state.lock();
        let now = state.now;
        let trace = &mut state.trace;
        let mut line = format!("{:>11.6} {who:<6} ", now.as_secs_f64());
        // A failure to write into a string cannot be.
        let _ = write!(line, "{}", what());
        for byte in line.bytes() {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        trace.count += 1;
        if let Some(lines) = &mut trace.lines {
            lines.push(line);
        }
    }

    /// Writes a line that only readers see: what processes log.
    pub(crate) fn note(&self, who: &str, text: &str) {
        let mut state = self.state.lock();
        let now = state.now;
        if let Some(lines) = &mut state.trace.lines {
            lines.push(format!("{:>11.6} {who:<6} | {text}", now.as_secs_f64()));
        }
    }

    /// A promise is broken.
    pub(crate) fn fail(&self, what: String) {
        self.trace("!!!", || what.clone());
        self.state.lock().failures.push(what);
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.state.lock().failures.is_empty()
    }

    /// Failures, lines, their hash, their number.
    pub(crate) fn finish(&self) -> (Vec<String>, Vec<String>, u64, u64) {
        let mut state = self.state.lock();
        let (failures, lines) = (std::mem::take(&mut state.failures), state.trace.lines.take());
        // Events hold what holds the world.
        let events = std::mem::take(&mut state.events);
        let (hash, count) = (state.trace.hash, state.trace.count);
        drop(state);
        drop(events);
        (failures, lines.unwrap_or_default(), hash, count)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

fn link(a: &str, b: &str) -> (String, String) {
    if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}
