//! Which functions cost another share than before: two sets of profiles, tested function by function over single profiles.
//!
//! A profile's values are divided by its own total, so that load does not matter. The shares of each function before and after are compared
//! by Welch's t-test, where its premises are in doubt by shuffling too; Holm's correction holds the chance of any false alarm among all
//! functions below `1 - confidence`. The test takes profiles to be independent: a program whose work drifts within a side looks steadier
//! than it is.

mod student;
mod welch;
mod shuffle;
mod markdown;
mod picture;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::shuffle::{Shuffles, is_doubtful};
use self::welch::{Sample, Verdict, holm};
use crate::TimestampMs;
use crate::function_series::{FunctionSeries, FunctionValue};

/// Fewest profiles of a side, and of a function, that say anything.
pub const PROFILES_MIN: usize = 5;

/// What is kept back of the chance of a false alarm, for what the tests only come near to.
const RESERVE: f64 = 0.2;

/// How two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompareOptions {
    /// What of a function is compared.
    pub by: FunctionValue,
    /// Between 0 and 1: one minus the chance that any function is named that did not change.
    pub confidence: f64,
    /// Smallest change of the share that is told, as a fraction of the total.
    pub change_min: f64,
    /// Most functions in each list.
    pub limit: usize,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Moments with profiles, each a value of the test.
    pub profiles: usize,
    /// Wrapping sum of all values.
    pub total: i64,
}

/// A function whose share changed. Shares are fractions of the total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub function: String,
    /// Mean share before.
    pub baseline: f64,
    /// Mean share after.
    pub candidate: f64,
    /// The difference.
    pub change: f64,
    /// Confidence interval of the difference, for this function alone.
    pub change_low: f64,
    /// See `change_low`.
    pub change_high: f64,
    /// The difference as a fraction of the share before; absent if that is 0.
    pub relative: Option<f64>,
    /// How likely so large a difference is by chance.
    pub p: f64,
    /// The same, corrected for the number of functions.
    pub p_adjusted: f64,
}

/// A function that nothing can be said about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unjudged {
    /// Its name.
    pub function: String,
    /// Mean share before.
    pub baseline: f64,
    /// Mean share after.
    pub candidate: f64,
    /// Why.
    pub reason: String,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What of a function was compared.
    pub by: FunctionValue,
    /// One minus the chance of any false alarm.
    pub confidence: f64,
    /// What the functions are compared with.
    pub baseline: Side,
    /// What is compared.
    pub candidate: Side,
    /// Functions that were tested.
    pub tested: usize,
    /// Those that changed, the largest difference first; cut to the limit.
    pub changed: Vec<Change>,
    /// How many changed.
    pub changed_count: usize,
    /// Those that could not be judged, the largest difference first; cut to the limit.
    pub unjudged: Vec<Unjudged>,
    /// How many could not be judged.
    pub unjudged_count: usize,
    /// Functions that cost too little to be looked at.
    pub left_out: usize,
}

/// Compares two answers without groups, whose buckets are single profiles or as few as may be.
pub fn compare(baseline: &FunctionSeries, candidate: &FunctionSeries, options: &CompareOptions) -> Comparison {
    let sides = [baseline, candidate].map(|series| Shares::of(series, options.by));
    let mut functions: BTreeMap<&str, [&[f64]; 2]> = BTreeMap::new();
    for (side, shares) in sides.iter().enumerate() {
        for (function, values) in &shares.functions {
            functions.entry(function).or_insert([&[]; 2])[side] = values;
        }
    }
    let (mut judged, mut unjudged) = (Vec::new(), Vec::new());
    for (function, values) in functions {
        match judge(values, &sides, options.confidence) {
            Ok((samples, verdict)) => judged.push(Judged { function, values, samples, verdict }),
            Err(reason) => unjudged.push(not_judged(function, values, &sides, reason)),
        }
    }
    let adjusted = judge_together(&mut judged, 1.0 - options.confidence);
    let tested = judged.len();
    let mut changed: Vec<Change> = judged
        .into_iter()
        .zip(adjusted)
        .map(|(judged, p_adjusted)| change(&judged, p_adjusted))
        .filter(|change| change.p_adjusted < 1.0 - options.confidence && change.change.abs() >= options.change_min)
        .collect();
    // Ties stay in order of names.
    changed.sort_by(|left, right| right.change.abs().total_cmp(&left.change.abs()));
    let difference = |unjudged: &Unjudged| (unjudged.candidate - unjudged.baseline).abs();
    unjudged.sort_by(|left, right| difference(right).total_cmp(&difference(left)));
    let (changed_count, unjudged_count) = (changed.len(), unjudged.len());
    changed.truncate(options.limit);
    unjudged.truncate(options.limit);
    let [baseline, candidate] = sides.map(|shares| shares.side);
    let CompareOptions { by, confidence, .. } = *options;
    Comparison {
        by,
        confidence,
        baseline,
        candidate,
        tested,
        changed,
        changed_count,
        unjudged,
        unjudged_count,
        left_out: 0,
    }
}

fn judge(values: [&[f64]; 2], sides: &[Shares<'_>; 2], confidence: f64) -> Result<([Sample; 2], Verdict), String> {
    for (name, side) in ["baseline", "candidate"].into_iter().zip(sides) {
        if side.side.profiles < PROFILES_MIN {
            return Err(format!("the {name} has {} profiles, {PROFILES_MIN} are the fewest", side.side.profiles));
        }
    }
    let seen = values.map(<[f64]>::len);
    if seen.iter().all(|seen| *seen < PROFILES_MIN) {
        let of = [0, 1].map(|side| format!("{} of {}", seen[side], sides[side].side.profiles));
        return Err(format!("it is in {} and {} profiles only, {PROFILES_MIN} are the fewest", of[0], of[1]));
    }
    let samples = [0, 1].map(|side| Sample::of(values[side], sides[side].side.profiles));
    let verdict = welch::test(&samples[0], &samples[1], confidence);
    Ok((samples, verdict))
}

/// A function with its test.
struct Judged<'a> {
    function: &'a str,
    /// Those other than 0 of each side.
    values: [&'a [f64]; 2],
    samples: [Sample; 2],
    verdict: Verdict,
}

/// The probabilities, corrected for their number. What would be told at this level though its test is in doubt is tested again.
fn judge_together(judged: &mut [Judged<'_>], level: f64) -> Vec<f64> {
    let weights = weights(judged);
    let corrected =
        |judged: &[Judged<'_>]| holm(&judged.iter().map(|judged| judged.verdict.p).collect::<Vec<_>>(), &weights);
    let adjusted = corrected(judged);
    let mut shuffles = None;
    for (Judged { values, samples, verdict, .. }, p_adjusted) in judged.iter_mut().zip(adjusted) {
        if p_adjusted < level && is_doubtful(*values, samples, verdict.p) {
            let counts = samples.map(|sample| sample.count);
            let shuffles = shuffles.get_or_insert_with(|| Shuffles::new(counts));
            verdict.p = verdict.p.max(shuffles.probability(*values, samples));
        }
    }
    corrected(judged)
}

/// How the chance of a false alarm is shared out: one half evenly, the other by cost, so that a change of a costly function is found sooner.
fn weights(judged: &[Judged<'_>]) -> Vec<f64> {
    // Over all profiles alike: this mean says nothing of the difference.
    let share = |judged: &Judged<'_>| judged.values.iter().copied().flatten().sum::<f64>();
    let shares: Vec<f64> = judged.iter().map(share).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| (1.0 - RESERVE) / 2.0 * (share / sum + 1.0 / judged.len() as f64)).collect()
}

fn change(judged: &Judged<'_>, p_adjusted: f64) -> Change {
    let Judged { function, samples: [before, after], verdict, .. } = judged;
    Change {
        function: (*function).to_owned(),
        baseline: before.mean,
        candidate: after.mean,
        change: verdict.difference,
        change_low: verdict.interval[0],
        change_high: verdict.interval[1],
        relative: (before.mean > 0.0).then(|| verdict.difference / before.mean),
        p: verdict.p,
        p_adjusted,
    }
}

fn not_judged(function: &str, values: [&[f64]; 2], sides: &[Shares<'_>; 2], reason: String) -> Unjudged {
    let [baseline, candidate] =
        [0, 1].map(|side| values[side].iter().sum::<f64>() / sides[side].side.profiles.max(1) as f64);
    Unjudged { function: function.to_owned(), baseline, candidate, reason }
}

/// The shares of each function in the profiles of one side that have it.
struct Shares<'a> {
    side: Side,
    functions: BTreeMap<&'a str, Vec<f64>>,
}

impl<'a> Shares<'a> {
    fn of(series: &'a FunctionSeries, by: FunctionValue) -> Self {
        let mut totals: BTreeMap<TimestampMs, i64> = BTreeMap::new();
        for point in series.totals.iter().flat_map(|totals| &totals.points).filter(|point| point.value > 0) {
            let total = totals.entry(point.timestamp).or_default();
            *total = total.wrapping_add(point.value);
        }
        let mut functions: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for function in &series.functions {
            let share = |point| {
                let (value, total) = (by.of(point), *totals.get(&point.timestamp)?);
                (value > 0 && total > 0).then(|| value as f64 / total as f64)
            };
            let shares: Vec<f64> = function.points.iter().filter_map(share).collect();
            if !shares.is_empty() {
                functions.entry(&function.function).or_default().extend(shares);
            }
        }
        let total = totals.values().fold(0_i64, |sum, total| sum.wrapping_add(*total));
        Self { side: Side { profiles: totals.len(), total }, functions }
    }
}

#[cfg(test)]
mod tests;
