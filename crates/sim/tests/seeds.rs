//! Two hundred stories in which everything goes wrong and nothing acknowledged is lost, doubled or mixed up; `make sim` plays thousands.

use flamelake_sim::{Plant, Report, run, run_traced};

/// Played in the ordinary tests.
const SEEDS: u64 = 200;

#[test]
fn promises_are_kept() {
    let failed: Vec<Report> = in_parallel(1..=SEEDS).into_iter().filter(|report| !report.failures.is_empty()).collect();
    let told: Vec<String> =
        failed.iter().map(|report| format!("SEED={} make sim: {}", report.seed, report.failures.join("; "))).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn a_seed_always_tells_the_same_story() {
    for seed in [3, 17, 42, 77] {
        let (one, other) = (run_traced(seed, Plant::Nothing), run_traced(seed, Plant::Nothing));
        let differs = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.hash, run(seed, Plant::Nothing).hash, "seed {seed}: being traced changes nothing");
    }
    assert_ne!(run(3, Plant::Nothing).hash, run(4, Plant::Nothing).hash);
}

/// On all cores, in order of the seeds.
fn in_parallel(seeds: std::ops::RangeInclusive<u64>) -> Vec<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|at| {
                let seeds = seeds.clone();
                scope.spawn(move || {
                    let mine = seeds.filter(|seed| seed % threads == at);
                    mine.map(|seed| run(seed, Plant::Nothing)).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}
