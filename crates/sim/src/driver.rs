//! Plays a story: takes events in their order, runs the processes that they wake, breaks what the plan says, and asks at the end whether
//! everything is there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use flamelake_api::roles::AppendRequest;
use flamelake_model::TenantId;
use flamelake_testkit::FrameBuilder;
use http::StatusCode;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::clock::ProcessClock;
use crate::etcd::EtcdFault;
use crate::ledger::Ledger;
use crate::life::{Ending, Front, Seat, outcome_name};
use crate::plan::{Kind, Plan, Step, TENANTS, draw};
use crate::plant::Plant;
use crate::process::Process;
use crate::world::{EPOCH_NS, Event, ProcessId, Weather, World, panic_text};

/// After everything is mended, queries must be answered within this time.
const HEALED_WITHIN: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(4);
/// A story that goes on and on is a failure.
const EVENTS_MAX: u64 = 2_000_000;

/// How a story went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Broken promises; empty = all were kept.
    pub failures: Vec<String>,
    /// What happened, if it was to be traced.
    pub trace: Vec<String>,
    /// Of the trace without what processes logged; equal stories have equal ones.
    pub hash: u64,
    /// Lines that the hash is of.
    pub lines: u64,
    /// Events.
    pub events: u64,
    /// How long it took in its own time.
    pub took: Duration,
    /// Frames acknowledged.
    pub acknowledged: u64,
    /// Frames whose push failed or was unclear.
    pub refused: u64,
    /// Queries answered.
    pub answered: u64,
    /// Queries that failed.
    pub unanswered: u64,
}

/// Plays the story of a seed.
pub fn run(seed: u64, plant: Plant) -> Report {
    play(seed, plant, false)
}

/// The same, with its trace.
pub fn run_traced(seed: u64, plant: Plant) -> Report {
    play(seed, plant, true)
}

thread_local! {
    /// Whose tasks run on this thread now; `None` = no story is played here.
    static CURRENT: RefCell<Option<String>> = const { RefCell::new(None) };
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Into whose trace goes what is logged on this thread.
    static TRACED: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

fn play(seed: u64, plant: Plant, traced: bool) -> Report {
    watch_panics();
    collect_logs();
    let world = World::new(seed, plant, traced);
    CURRENT.set(Some("world".to_owned()));
    let mut driver = Driver::new(Arc::clone(&world), seed);
    TRACED.set(traced.then(|| Arc::clone(&world)));
    driver.play();
    TRACED.set(None);
    let report = driver.end(seed);
    CURRENT.set(None);
    report
}

/// A task that panics ends quietly in its runtime; here it is a failure.
fn watch_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match CURRENT.with_borrow(Clone::clone) {
            Some(name) => {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                let text = format!("{name} panicked at {place}: {}", panic_text(panic.payload()));
                PANICS.with_borrow_mut(|panics| panics.push(text));
            }
            None => before(panic),
        }));
    });
}

/// What processes log becomes part of the trace. One collector for all threads and for good: one that comes and goes with each story would race
/// with the others for what `tracing` remembers of a place that logs.
fn collect_logs() {
    static COLLECT: Once = Once::new();
    COLLECT.call_once(|| {
        let wanted = |metadata: &tracing::Metadata<'_>, _: &Context<'_, Registry>| {
            *metadata.level() <= tracing::Level::DEBUG && TRACED.with_borrow(Option::is_some)
        };
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_target(false);
        let lines = lines.with_writer(|| Line).with_filter(dynamic_filter_fn(wanted));
        // Somebody else's collector: then the traces are without what is logged.
        let _ = tracing_subscriber::registry().with(lines).try_init();
    });
}

struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let who = CURRENT.with_borrow(Clone::clone).unwrap_or_default();
        if let Some(world) = TRACED.with_borrow(Clone::clone) {
            world.note(&who, String::from_utf8_lossy(bytes).trim_end());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Driver {
    world: Arc<World>,
    processes: Vec<Process>,
    /// The start that a member's name means now.
    current: BTreeMap<String, ProcessId>,
    kinds: BTreeMap<String, Kind>,
    /// Members that stay away until everything is mended.
    away: BTreeSet<String>,
    /// When a process that ends in order comes back.
    back: BTreeMap<ProcessId, Duration>,
    ledger: Arc<Mutex<Ledger>>,
    look: Look,
    events: u64,
    done: bool,
}

/// Questions of a look without an answer yet, and the last that failed.
type Asked = Arc<Mutex<(usize, Option<String>)>>;

/// The looks at the end.
#[derive(Default)]
struct Look {
    phase: u32,
    began: Duration,
    open: Asked,
    asked: bool,
}

impl Driver {
    fn new(world: Arc<World>, seed: u64) -> Self {
        let Plan { steps, names } = draw(&mut StdRng::seed_from_u64(seed ^ 0x706c_616e));
        for (at, step) in steps {
            world.schedule(at, Event::Step(step));
        }
        Self {
            world,
            processes: Vec::new(),
            current: BTreeMap::new(),
            kinds: names.into_iter().collect(),
            away: BTreeSet::new(),
            back: BTreeMap::new(),
            ledger: Arc::default(),
            look: Look::default(),
            events: 0,
            done: false,
        }
    }

    fn play(&mut self) {
        while let Some(event) = self.world.next() {
            self.events += 1;
            self.handle(event);
            self.run_woken();
            for panic in PANICS.take() {
                self.world.fail(panic);
            }
            if self.events > EVENTS_MAX {
                self.world.fail(format!("more than {EVENTS_MAX} events: something goes round in circles"));
            }
            if self.done || self.world.has_failed() {
                return;
            }
        }
    }

    fn end(mut self, seed: u64) -> Report {
        for process in &mut self.processes {
            process.kill();
        }
        let took = self.world.now();
        let (failures, trace, hash, lines) = self.world.finish();
        PANICS.take();
        let ledger = self.ledger.lock();
        Report {
            seed,
            failures,
            trace,
            hash,
            lines,
            events: self.events,
            took,
            acknowledged: ledger.acknowledged,
            refused: ledger.refused,
            answered: ledger.answered,
            unanswered: ledger.unanswered,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake(process, wake) => {
                if wake.send(()).is_ok() {
                    self.world.wake(process);
                }
            }
            Event::Do(work) => work(&self.world),
            Event::Deliver(address, job) => self.deliver(&address, job),
            Event::Exited(process, why) => self.exited(process, &why),
            Event::Step(step) => self.step(step),
        }
    }

    fn run_woken(&mut self) {
        loop {
            let woken: Vec<ProcessId> = match self.world.take_woken() {
                None => (0..self.processes.len()).collect(),
                Some(woken) if woken.is_empty() => return,
                Some(woken) => woken.into_iter().collect(),
            };
            for process in woken {
                self.run(process);
            }
        }
    }

    fn run(&self, process: ProcessId) {
        let Some(process) = self.processes.get(process) else { return };
        CURRENT.with_borrow_mut(|current| current.get_or_insert_default().clone_from(&process.name));
        process.run_until_idle();
        CURRENT.with_borrow_mut(|current| *current = Some("world".to_owned()));
    }

    fn deliver(&mut self, address: &str, job: crate::world::Job) {
        let found = self.processes.iter().position(|process| process.address == address && process.is_alive());
        match found {
            Some(at) => {
                let process = &self.processes[at];
                process.spawn(job(process.face.service()));
                self.world.wake(at);
            }
            // Nobody listens there: its sender hears so at once.
            None => {
                drop(job);
                self.world.wake_all();
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start(name, kind) => self.start(&name, kind),
            Step::Push { front, tenant, frames } => self.push(&front, tenant, &frames),
            Step::Query { front, tenant } => {
                if let Some((process, front)) = self.front(&front) {
                    self.query(process, front, tenant, None);
                }
            }
            Step::Flush { front } => self.flush(&front),
            Step::Kill { name, back_after } => self.kill(&name, back_after),
            Step::Stop { name, leaves, back_after } => self.stop(&name, leaves, back_after),
            Step::Freeze { name, time, suspended } => {
                if let Some(process) = self.alive(&name) {
                    self.freeze(process, time, suspended);
                }
            }
            Step::Thaw(process, suspended, time) => self.thaw(process, suspended, time),
            Step::Double { name, time } => self.double(&name, time),
            Step::Cut { a, b, time } => {
                self.world.trace("world", || format!("{a} and {b} cannot reach each other for {time:?}"));
                self.world.set_cut(&a, &b, true);
                self.world.schedule(time, Event::Step(Step::Mend { a, b }));
            }
            Step::Mend { a, b } => {
                self.world.trace("world", || format!("{a} and {b} reach each other again"));
                self.world.set_cut(&a, &b, false);
            }
            Step::Weather(weather, time) => {
                self.world.trace("world", || format!("the store: {weather:?}"));
                self.world.set_weather(weather);
                if !time.is_zero() {
                    self.world.schedule(time, Event::Step(Step::Weather(Weather::FAIR, Duration::ZERO)));
                }
            }
            Step::Etcd(fault, time) => {
                self.world.trace("world", || format!("etcd: {fault:?}"));
                self.world.break_etcd(fault);
                if fault == EtcdFault::Down {
                    self.world.schedule(time, Event::Step(Step::Etcd(EtcdFault::Up, Duration::ZERO)));
                }
            }
            Step::SetClock { name, error_ms } => {
                if let Some(process) = self.alive(&name) {
                    self.world.trace("world", || format!("the clock of {name} is wrong by {error_ms} ms"));
                    self.processes[process].clock.set_error(error_ms * 1_000_000);
                }
            }
            Step::Heal => self.heal(),
            Step::Look(number) => self.look(number),
        }
    }

    /// The start that a name means, if it lives.
    fn alive(&self, name: &str) -> Option<ProcessId> {
        self.current.get(name).copied().filter(|process| self.processes[*process].is_alive())
    }

    fn start(&mut self, name: &str, kind: Kind) {
        if self.alive(name).is_some() || self.away.contains(name) {
            return;
        }
        let process = self.processes.len();
        let error_ns = self.world.draw(|rng| rng.random_range(-5_000_000_000..5_000_000_000));
        let clock = ProcessClock::new(&self.world, process, error_ns);
        let mut started = Process::new(name, &format!("{name}:{process}"), clock.clone());
        let (stop, stopped) = oneshot::channel();
        started.stop = Some(stop);
        let seat = Seat {
            world: Arc::clone(&self.world),
            process,
            name: name.to_owned(),
            address: started.address.clone(),
            clock: Arc::new(clock),
            face: started.face.clone(),
        };
        let world = Arc::clone(&self.world);
        self.world.trace("world", || format!("{name} starts as process {process}"));
        started.spawn(async move {
            let outcome = match kind {
                Kind::Ingester => seat.ingester(stopped).await,
                Kind::Front => seat.front(stopped).await,
                Kind::Compactor => seat.compactor(stopped).await,
            };
            let why = outcome.map_or_else(|error| format!("failed: {error}"), str::to_owned);
            world.schedule(Duration::ZERO, Event::Exited(process, why));
        });
        self.processes.push(started);
        self.current.insert(name.to_owned(), process);
        self.world.wake(process);
    }

    fn exited(&mut self, process: ProcessId, why: &str) {
        let name = self.processes[process].name.clone();
        self.world.trace(&name, || format!("process {process} ends: it {why}"));
        self.processes[process].kill();
        self.world.wake_all();
        if self.current.get(&name) == Some(&process) {
            let after = self.back.remove(&process).unwrap_or(Duration::from_secs(1));
            self.start_after(&name, after);
        }
    }

    fn start_after(&self, name: &str, after: Duration) {
        if let Some(kind) = self.kinds.get(name) {
            self.world.schedule(after, Event::Step(Step::Start(name.to_owned(), *kind)));
        }
    }

    fn kill(&mut self, name: &str, back_after: Option<Duration>) {
        let Some(process) = self.alive(name) else { return };
        self.world.trace("world", || format!("{name} is killed, back after {back_after:?}"));
        self.processes[process].kill();
        self.world.wake_all();
        match back_after {
            Some(after) => self.start_after(name, after),
            None => drop(self.away.insert(name.to_owned())),
        }
    }

    fn stop(&mut self, name: &str, leaves: bool, back_after: Option<Duration>) {
        let Some(process) = self.alive(name) else { return };
        let Some(stop) = self.processes[process].stop.take() else { return };
        self.world.trace("world", || format!("{name} is told to {}", if leaves { "leave" } else { "stop" }));
        let _ = stop.send(if leaves { Ending::Leave } else { Ending::Pause });
        self.back.insert(process, back_after.unwrap_or(Duration::from_secs(1)));
        self.world.wake(process);
    }

    fn freeze(&mut self, process: ProcessId, time: Duration, suspended: bool) {
        let sleeper = &mut self.processes[process];
        if std::mem::replace(&mut sleeper.is_frozen, true) {
            return;
        }
        let name = sleeper.name.clone();
        self.world.trace("world", || format!("{name} falls asleep for {time:?}"));
        self.world.schedule(time, Event::Step(Step::Thaw(process, suspended, time)));
    }

    fn thaw(&mut self, process: ProcessId, suspended: bool, time: Duration) {
        let sleeper = &mut self.processes[process];
        if !std::mem::take(&mut sleeper.is_frozen) || !sleeper.is_alive() {
            return;
        }
        if suspended {
            sleeper.clock.suspend(time);
        }
        let name = sleeper.name.clone();
        self.world.trace("world", || format!("{name} (process {process}) wakes up"));
        self.world.wake(process);
    }

    fn double(&mut self, name: &str, time: Duration) {
        let Some(process) = self.alive(name) else { return };
        self.freeze(process, time, false);
        self.current.remove(name);
        self.start(name, Kind::Ingester);
    }

    fn front(&self, name: &str) -> Option<(ProcessId, Front)> {
        let process = self.alive(name)?;
        Some((process, self.processes[process].face.front()?))
    }

    fn push(&mut self, front: &str, tenant: &'static str, frames: &[(u32, &'static str)]) {
        let Some((process, front)) = self.front(front) else { return };
        let mut names = Vec::new();
        let mut encoded = Vec::new();
        for (number, service) in frames {
            let name = format!("{tenant}-{number}");
            encoded.push(frame(&name, *number, service));
            self.ledger.lock().pushed(tenant, &name);
            names.push(name);
        }
        let (world, ledger) = (Arc::clone(&self.world), Arc::clone(&self.ledger));
        let who = self.processes[process].name.clone();
        self.world.trace(&who, || format!("pushes {}", names.join(" ")));
        self.processes[process].spawn(async move {
            let tenant_id = TenantId::parse(tenant).expect("a literal that is a tenant");
            let request = AppendRequest { tenant: tenant_id, frames: encoded, spread: Vec::new() };
            let outcomes = match front.write.append(request).await {
                Ok(outcomes) => outcomes,
                Err(error) => vec![Err(error); names.len()],
            };
            for (name, outcome) in names.iter().zip(outcomes) {
                world.trace(&who, || format!("push of {name}: {}", outcome_name(&outcome)));
                ledger.lock().told(tenant, name, outcome.is_ok());
            }
        });
        self.world.wake(process);
    }

    fn query(&self, process: ProcessId, front: Front, tenant: &'static str, look: Option<Asked>) {
        let (world, ledger) = (Arc::clone(&self.world), Arc::clone(&self.ledger));
        let must = ledger.lock().must(tenant);
        let who = self.processes[process].name.clone();
        self.world.trace(&who, || format!("asks for {tenant}: at least {} frames", must.len()));
        self.processes[process].spawn(async move {
            match front.query(tenant).await {
                Ok(answer) => {
                    world.trace(&who, || format!("is answered for {tenant}"));
                    let wrong = ledger.lock().judge(tenant, &must, &answer);
                    wrong.into_iter().for_each(|wrong| world.fail(wrong));
                    if let Some(look) = look {
                        look.lock().0 -= 1;
                    }
                }
                Err((status, text)) => {
                    let text = text.replace('\n', " ");
                    world.trace(&who, || format!("is not answered for {tenant}: {status} {text}"));
                    ledger.lock().unanswered += 1;
                    if status == StatusCode::OK || status == StatusCode::INTERNAL_SERVER_ERROR {
                        world.fail(format!("a query failed as none may: {status} {text}"));
                    }
                    if let Some(look) = look {
                        look.lock().1 = Some(format!("{status} {text}"));
                    }
                }
            }
        });
        self.world.wake(process);
    }

    fn flush(&self, front: &str) {
        let Some((process, front)) = self.front(front) else { return };
        let (world, who) = (Arc::clone(&self.world), self.processes[process].name.clone());
        self.processes[process].spawn(async move {
            let outcome = front.write.flush(None).await;
            world.trace(&who, || format!("flush of all: {}", outcome_name(&outcome)));
        });
        self.world.wake(process);
    }

    fn heal(&mut self) {
        self.world.trace("world", || "everything is mended".to_owned());
        self.world.set_weather(Weather::CALM);
        self.world.heal_links();
        self.world.break_etcd(EtcdFault::Up);
        for process in 0..self.processes.len() {
            if self.processes[process].is_frozen {
                self.thaw(process, false, Duration::ZERO);
            }
        }
        let mut away = std::mem::take(&mut self.away);
        // Of ingesters one may stay away for good: its peers recover what it had.
        let living = |driver: &Self| {
            driver.kinds.iter().filter(|(name, kind)| **kind == Kind::Ingester && driver.alive(name).is_some()).count()
        };
        if living(self) > 0 && self.world.draw(|rng| rng.random_bool(0.5)) {
            self.away = away.iter().filter(|name| self.kinds.get(*name) == Some(&Kind::Ingester)).cloned().collect();
            away.retain(|name| !self.away.contains(name));
        }
        for name in away {
            self.start_after(&name, Duration::from_millis(100));
        }
        self.look.began = self.world.now();
        self.world.schedule(LOOK_EVERY, Event::Step(Step::Look(0)));
    }

    /// Asks every front for everything until all are answered; then once more after a flush and compactions, and after a restart of all.
    fn look(&mut self, number: u32) {
        if self.look.asked {
            let (open, error) = self.look.open.lock().clone();
            if open == 0 {
                self.next_phase();
            } else if self.world.now() > self.look.began + HEALED_WITHIN {
                let error = error.unwrap_or_else(|| "no answer came".to_owned());
                self.world
                    .fail(format!("everything was mended {HEALED_WITHIN:?} ago and queries are not answered: {error}"));
                return;
            }
        }
        if self.done {
            return;
        }
        let fronts: Vec<_> = self.kinds.keys().filter_map(|name| self.front(name)).collect();
        let names = self.kinds.values().filter(|kind| **kind == Kind::Front).count();
        self.look.open = Arc::new(Mutex::new((names * TENANTS.len(), None)));
        self.look.asked = true;
        for (process, front) in fronts {
            for tenant in TENANTS {
                self.query(process, front.clone(), tenant, Some(Arc::clone(&self.look.open)));
            }
        }
        let pause = if self.look.phase == 1 { Duration::from_secs(20) } else { LOOK_EVERY };
        self.world.schedule(pause, Event::Step(Step::Look(number + 1)));
    }

    fn next_phase(&mut self) {
        self.look.phase += 1;
        self.look.began = self.world.now();
        self.world.trace("world", || format!("all is there; phase {}", self.look.phase));
        match self.look.phase {
            1 => self.flush("f0"),
            2 => {
                let ingesters: Vec<String> = self
                    .kinds
                    .iter()
                    .filter(|(_, kind)| **kind == Kind::Ingester)
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in ingesters {
                    self.kill(&name, Some(Duration::from_secs(1)));
                }
            }
            _ => self.done = true,
        }
    }
}

/// One profile: a stack of two functions, the lower of which bears its name.
fn frame(name: &str, number: u32, service: &str) -> Bytes {
    let frame = FrameBuilder::cpu(service).folded(&format!("main;{name} 1")).id_from(u128::from(number));
    let mut bytes = Vec::new();
    frame.time_ns(EPOCH_NS + i64::from(number) * 1_000_000).build().encode(&mut bytes);
    bytes.into()
}
