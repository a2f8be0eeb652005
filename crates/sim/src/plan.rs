//! The plan of a story, drawn from the seed before it begins: pushes, queries, and what goes wrong when.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::etcd::EtcdFault;
use crate::world::{ETCD, STORE, Weather};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ingester,
    Front,
    Compactor,
}

/// Whose data.
pub(crate) const TENANTS: [&str; 2] = ["red", "blue"];
const SERVICES: [&str; 3] = ["api", "web", "db"];

/// One thing that happens by plan. Processes are named by their member.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Start(String, Kind),
    /// The numbers of the frames, and their services.
    Push {
        front: String,
        tenant: &'static str,
        frames: Vec<(u32, &'static str)>,
    },
    Query {
        front: String,
        tenant: &'static str,
    },
    /// An operator flushes all.
    Flush {
        front: String,
    },
    Kill {
        name: String,
        back_after: Option<Duration>,
    },
    /// Ends in order.
    Stop {
        name: String,
        leaves: bool,
        back_after: Option<Duration>,
    },
    Freeze {
        name: String,
        time: Duration,
        suspended: bool,
    },
    Thaw(usize, bool, Duration),
    /// It sleeps, and a second process takes its place.
    Double {
        name: String,
        time: Duration,
    },
    Cut {
        a: String,
        b: String,
        time: Duration,
    },
    Mend {
        a: String,
        b: String,
    },
    Weather(Weather, Duration),
    Etcd(EtcdFault, Duration),
    SetClock {
        name: String,
        error_ms: i64,
    },
    /// All that is planned has happened: everything is mended, then looked at.
    Heal,
    /// Is everything there?
    Look(u32),
}

/// Who takes part, and when what happens.
pub(crate) struct Plan {
    pub(crate) steps: Vec<(Duration, Step)>,
    pub(crate) names: Vec<(String, Kind)>,
}

fn seconds(rng: &mut StdRng, from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(rng.random_range(from..to)).max(Duration::from_millis(1))
}

/// Draws a plan.
pub(crate) fn draw(rng: &mut StdRng) -> Plan {
    let ingesters: Vec<String> = (0..rng.random_range(2..=3)).map(|at| format!("i{at}")).collect();
    let fronts: Vec<String> = (0..2).map(|at| format!("f{at}")).collect();
    let mut names: Vec<(String, Kind)> = ingesters.iter().map(|name| (name.clone(), Kind::Ingester)).collect();
    names.extend(fronts.iter().map(|name| (name.clone(), Kind::Front)));
    names.push(("c0".to_owned(), Kind::Compactor));
    let mut steps: Vec<(Duration, Step)> = Vec::new();
    for (name, kind) in &names {
        steps.push((seconds(rng, 0.0, 0.5), Step::Start(name.clone(), *kind)));
    }
    let length = rng.random_range(60.0..150.0_f64);
    let front = |rng: &mut StdRng| fronts.choose(rng).cloned().unwrap_or_default();
    let tenant = |rng: &mut StdRng| TENANTS.choose(rng).copied().unwrap_or("red");
    let mut number = 0;
    for _ in 0..rng.random_range(20..45) {
        let mut frames = Vec::new();
        for _ in 0..rng.random_range(1..=2) {
            number += 1;
            frames.push((number, SERVICES.choose(rng).copied().unwrap_or("api")));
        }
        let step = Step::Push { front: front(rng), tenant: tenant(rng), frames };
        steps.push((seconds(rng, 2.0, length), step));
    }
    for _ in 0..rng.random_range(8..16) {
        steps.push((seconds(rng, 3.0, length), Step::Query { front: front(rng), tenant: tenant(rng) }));
    }
    for _ in 0..rng.random_range(0..3) {
        steps.push((seconds(rng, 5.0, length), Step::Flush { front: front(rng) }));
    }
    for _ in 0..rng.random_range(1..=6) {
        let at = seconds(rng, 3.0, length);
        let fault = draw_fault(rng, &ingesters, &names);
        steps.push((at, fault));
    }
    steps.push((Duration::from_secs_f64(length), Step::Heal));
    Plan { steps, names }
}

/// Mostly shorter than a lease or a little longer, sometimes longer than what is kept.
fn sleep_time(rng: &mut StdRng) -> Duration {
    match rng.random_range(0..10) {
        0..4 => seconds(rng, 0.1, 4.0),
        4..8 => seconds(rng, 4.0, 30.0),
        _ => seconds(rng, 60.0, 200.0),
    }
}

fn draw_fault(rng: &mut StdRng, ingesters: &[String], names: &[(String, Kind)]) -> Step {
    let ingester = ingesters.choose(rng).cloned().unwrap_or_default();
    let any = names.choose(rng).map(|(name, _)| name.clone()).unwrap_or_default();
    // The interesting ones hold data.
    let name = if rng.random_bool(0.7) { ingester.clone() } else { any.clone() };
    let time = seconds(rng, 0.5, 25.0);
    match rng.random_range(0..100) {
        0..20 => {
            let back_after = rng.random_bool(0.75).then(|| seconds(rng, 0.2, 20.0));
            Step::Kill { name, back_after }
        }
        20..32 => {
            let leaves = rng.random_bool(0.5);
            Step::Stop { name, leaves, back_after: Some(seconds(rng, 0.2, 15.0)) }
        }
        32..52 => Step::Freeze { name, time: sleep_time(rng), suspended: rng.random_bool(0.3) },
        52..58 => Step::Double { name: ingester, time: sleep_time(rng) },
        58..66 => Step::Cut { a: name, b: STORE.to_owned(), time },
        66..74 => Step::Cut { a: any, b: ETCD.to_owned(), time },
        74..80 => {
            let other = names.choose(rng).map(|(name, _)| name.clone()).unwrap_or_default();
            Step::Cut { a: ingester, b: other, time }
        }
        80..88 => {
            let weather = if rng.random_bool(0.7) { Weather::STORM } else { Weather::OUTAGE };
            Step::Weather(weather, seconds(rng, 1.0, 20.0))
        }
        88..96 => {
            let faults = [
                EtcdFault::Down,
                EtcdFault::Down,
                EtcdFault::Wipe,
                EtcdFault::ExpireLeases,
                EtcdFault::Compact,
                EtcdFault::CutWatches,
            ];
            Step::Etcd(faults.choose(rng).copied().unwrap_or(EtcdFault::Down), seconds(rng, 1.0, 40.0))
        }
        _ => Step::SetClock { name, error_ms: rng.random_range(-15_000..15_000) },
    }
}
