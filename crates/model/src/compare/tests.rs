//! Comparisons of synthetic services: what changed is found, what did not is left alone.
#![expect(clippy::print_stdout, reason = "observed rates are worth a line")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::function_series::{FunctionPoint, FunctionTotals, PartialFunctionSeries, TotalPoint};

const FUNCTIONS: usize = 50;
const PROFILES: usize = 200;

/// A service whose function `n` has a share of about `1 / (n + 2)` of what the first has.
#[derive(Clone, Copy, Debug)]
struct Service {
    profiles: usize,
    /// Standard deviation of a function's cost from profile to profile, relative.
    noise: f64,
    /// How often a function is in a profile at all.
    presence: f64,
    /// Function 3 costs so many times as much.
    factor: f64,
    measured: Measured,
}

/// What a profile says of a function's cost.
#[derive(Clone, Copy, Debug)]
enum Measured {
    /// The cost.
    Exactly,
    /// The cost, which is mostly small and sometimes large: its logarithm has a standard deviation of one.
    Bursting,
    /// The number of samples that fell into it, of so many a profile on the average.
    Samples(f64),
}

const STEADY: Service =
    Service { profiles: PROFILES, noise: 0.03, presence: 1.0, factor: 1.0, measured: Measured::Exactly };

fn normal(random: &mut StdRng) -> f64 {
    let (radius, angle): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn poisson(random: &mut StdRng, mean: f64) -> i64 {
    let (end, mut product, mut count) = ((-mean).exp(), random.random::<f64>(), 0);
    while product > end {
        product *= random.random::<f64>();
        count += 1;
    }
    count
}

impl Service {
    /// In all functions together.
    const COST: f64 = 3.5188;

    fn value(self, random: &mut StdRng, load: f64, cost: f64) -> i64 {
        match self.measured {
            Measured::Exactly => ((load * cost * (1.0 + self.noise * normal(random))) as i64).max(1),
            Measured::Bursting => ((load * cost * normal(random).exp()) as i64).max(1),
            Measured::Samples(samples) => poisson(random, samples * cost / Self::COST),
        }
    }

    fn run(self, random: &mut StdRng) -> FunctionSeries {
        let mut points: Vec<Vec<FunctionPoint>> = vec![Vec::new(); FUNCTIONS];
        let mut totals = Vec::new();
        for profile in 0..self.profiles {
            let timestamp = TimestampMs(profile as i64);
            // Load that varies tenfold must not matter.
            let load = 1e9 * (1.0 + 9.0 * random.random::<f64>());
            let mut total = 0;
            for (number, points) in points.iter_mut().enumerate() {
                if random.random::<f64>() >= self.presence {
                    continue;
                }
                let factor = if number == 3 { self.factor } else { 1.0 };
                let value = self.value(random, load, factor / (number as f64 + 2.0));
                points.push(FunctionPoint { timestamp, self_value: value, total: 2 * value });
                total += value;
            }
            totals.push(TotalPoint { timestamp, value: total });
        }
        let function = |(number, points): (usize, Vec<FunctionPoint>)| PartialFunctionSeries {
            group: Vec::new(),
            function: format!("f{number:02}"),
            points,
        };
        FunctionSeries {
            functions: points.into_iter().enumerate().filter(|(_, points)| !points.is_empty()).map(function).collect(),
            totals: vec![FunctionTotals { group: Vec::new(), points: totals }],
        }
    }
}

const OPTIONS: CompareOptions =
    CompareOptions { by: FunctionValue::Own, confidence: 0.95, change_min: 0.0, limit: 1000 };

/// How many of `rounds` comparisons name what `is_told` looks for.
fn rate(rounds: u64, before: Service, after: Service, is_told: impl Fn(&Comparison) -> bool) -> f64 {
    let told = (0..rounds).filter(|seed| {
        let mut random = StdRng::seed_from_u64(*seed);
        is_told(&compare(&before.run(&mut random), &after.run(&mut random), &OPTIONS))
    });
    told.count() as f64 / rounds as f64
}

#[test]
fn a_change_of_two_percent_is_found_in_two_hundred_profiles() {
    for (noise, power_min) in [(0.02, 1.0), (0.03, 0.98), (0.05, 0.65)] {
        let before = Service { noise, ..STEADY };
        let power = rate(200, before, Service { factor: 1.02, ..before }, |comparison| {
            comparison.changed.iter().any(|change| change.function == "f03" && change.change > 0.0)
        });
        println!("power to find 2 % more at {:.0} % noise: {:.1} %", noise * 100.0, power * 100.0);
        assert!(power >= power_min, "{power} at {noise}");
    }
}

/// In how many of a thousand comparisons of the same any function is named.
fn false_alarms(kind: &str, before: Service, after: Service) {
    let alarms = rate(1_000, before, after, |comparison| !comparison.changed.is_empty());
    println!("false alarms, {kind}: {:.1} %", alarms * 100.0);
    assert!(alarms <= 0.05, "{kind}: {alarms}");
}

#[test]
fn a_thousand_comparisons_of_the_same_raise_five_percent_of_false_alarms() {
    let twelve = Service { profiles: 12, ..STEADY };
    for (kind, service) in [
        ("steady", STEADY),
        ("noisy", Service { noise: 0.3, ..STEADY }),
        ("few profiles", twelve),
        ("five profiles", Service { profiles: PROFILES_MIN, ..STEADY }),
        ("functions in every third profile", Service { presence: 0.33, ..STEADY }),
        ("functions in one of fifty profiles", Service { presence: 0.02, ..STEADY }),
        ("bursts", Service { measured: Measured::Bursting, ..STEADY }),
        ("a hundred samples a profile", Service { measured: Measured::Samples(100.0), ..STEADY }),
        ("few profiles of three hundred samples", Service { measured: Measured::Samples(300.0), ..twelve }),
    ] {
        false_alarms(kind, service, service);
    }
}

/// Welch's test alone raises up to a hundred percent here.
#[test]
fn sides_of_different_length_and_noise_are_compared_fairly() {
    let of = |profiles, service: Service| Service { profiles, ..service };
    let noisy = Service { noise: 0.2, ..STEADY };
    false_alarms("20 noisy against 400 steady profiles", of(20, noisy), of(400, STEADY));
    false_alarms("20 steady against 400 noisy profiles", of(20, STEADY), of(400, noisy));
    let third = Service { presence: 0.33, ..STEADY };
    let rare = Service { presence: 0.05, ..STEADY };
    let bursts = Service { measured: Measured::Bursting, ..STEADY };
    let samples = Service { measured: Measured::Samples(30.0), ..STEADY };
    for (kind, service, few, many) in [
        ("profiles", STEADY, 5, 400),
        ("profiles with a third of the functions", third, 20, 400),
        ("profiles with a twentieth of the functions", rare, 20, 400),
        ("profiles with a twentieth of the functions", rare, 60, 600),
        ("profiles with bursts", bursts, 20, 400),
        ("profiles of thirty samples", samples, 400, 20),
    ] {
        false_alarms(&format!("{few} against {many} {kind}"), of(few, service), of(many, service));
    }
}

/// What is tested twice is still found.
#[test]
fn changes_are_found_where_welch_is_in_doubt() {
    let samples = Service { measured: Measured::Samples(30.0), ..STEADY };
    let (before, after) = (Service { profiles: 400, ..samples }, Service { profiles: 20, factor: 5.0, ..samples });
    let found = |comparison: &Comparison| comparison.changed.iter().any(|change| change.function == "f03");
    let power = rate(100, before, after, found);
    println!("power to find five times as much in 20 of 420 profiles of thirty samples: {:.0} %", power * 100.0);
    assert!(power >= 0.9, "{power}");
    let new = rate(100, Service { factor: 0.0, ..before }, Service { factor: 1.0, ..after }, found);
    println!("power to find what is new in 20 of 420 profiles of thirty samples: {:.0} %", new * 100.0);
    assert!(new >= 0.9, "{new}");
}

#[test]
fn a_change_is_told_with_its_size() {
    let mut random = StdRng::seed_from_u64(7);
    let (before, after) = (STEADY.run(&mut random), Service { factor: 1.5, ..STEADY }.run(&mut random));
    let found = compare(&before, &after, &OPTIONS);
    let first = &found.changed[0];
    assert_eq!((first.function.as_str(), found.tested, found.unjudged_count), ("f03", FUNCTIONS, 0));
    assert_eq!((found.baseline.profiles, found.candidate.profiles), (PROFILES, PROFILES));
    // A fifth of the first function's cost, of 3.53 times that in all; half more of it leaves 3.63.
    let (share, more) = (0.2 / 3.5188, 0.3 / 3.6188);
    assert!((first.baseline - share).abs() < 0.001 && (first.candidate - more).abs() < 0.001, "{first:?}");
    assert!((first.relative.unwrap() - (more / share - 1.0)).abs() < 0.02);
    assert!(first.change_low < first.change && first.change < first.change_high && first.p_adjusted < 1e-6);
    assert!(first.change_low > 0.9 * (more - share) && first.change_high < 1.1 * (more - share));
    let few = compare(&before, &after, &CompareOptions { change_min: 0.02, limit: 1, ..OPTIONS });
    assert_eq!((few.changed.len(), few.changed_count), (1, 1), "the others shrank by less");
    let by_total = compare(&before, &after, &CompareOptions { by: FunctionValue::Total, ..OPTIONS });
    assert!((by_total.changed[0].baseline - 2.0 * share).abs() < 0.002);
}

#[test]
fn what_has_too_few_profiles_is_not_judged() {
    let mut random = StdRng::seed_from_u64(7);
    let few = Service { profiles: 4, ..STEADY }.run(&mut random);
    let found = compare(&few, &STEADY.run(&mut random), &OPTIONS);
    assert_eq!((found.tested, found.changed_count, found.unjudged_count), (0, 0, FUNCTIONS));
    assert_eq!(found.unjudged[0].reason, "the baseline has 4 profiles, 5 are the fewest");
    let mut rare = STEADY.run(&mut random);
    rare.functions[3].points.truncate(4);
    let rare_alone = compare(&rare, &rare, &OPTIONS);
    let reason = "it is in 4 of 200 and 4 of 200 profiles only, 5 are the fewest";
    assert_eq!(rare_alone.unjudged.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>(), [reason]);
    let against_many = compare(&rare, &STEADY.run(&mut random), &OPTIONS);
    assert_eq!(against_many.changed[0].function, "f03", "what is everywhere now and was nowhere has changed");
    let nothing = compare(&FunctionSeries::default(), &FunctionSeries::default(), &OPTIONS);
    assert_eq!(nothing, Comparison { confidence: 0.95, ..Comparison::default() });
}
