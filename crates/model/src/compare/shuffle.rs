//! A second opinion on Welch's test, where values are skewed and one side has fewer of them than the other.
//!
//! There the test errs: of a function that every twentieth profile has, twenty profiles may well have none, and then seem to say with no
//! error at all that it costs nothing. So profiles are shuffled between the sides, and how often a shuffle looks as unlikely as what was
//! found is counted. Beyond the rarest shuffles their probabilities are taken to fall as Welch's do, but slower, as slow as the rarest say.
//! The test is studentised: sides may vary differently. Nothing is drawn by chance from run to run.

use xxhash_rust::xxh3::xxh3_64;

use super::student;
use super::welch::{Sample, Statistic};

/// Profiles that all shuffles together go through for one function: gives their number, within bounds.
const STEPS: usize = 2_000_000;
const SHUFFLES_MIN: usize = 999;
const SHUFFLES_MAX: usize = 4_999;
/// One shuffle of so many is among the rarest, which say how probabilities fall beyond them.
const RAREST: usize = 20;
/// Relative error of Welch's probability from which on it is doubted.
const DOUBT: f64 = 0.25;

/// Which profiles the smaller side has after each shuffle: a bit a profile, those before first.
pub(super) struct Shuffles {
    counts: [usize; 2],
    /// Words of a shuffle.
    words: usize,
    bits: Vec<u64>,
}

impl Shuffles {
    /// Of sides with so many profiles.
    pub(super) fn new(counts: [usize; 2]) -> Self {
        let (all, smaller) = (counts[0] + counts[1], counts[0].min(counts[1]));
        let words = all.div_ceil(64);
        let mut bits = vec![0; words * (STEPS / all.max(1)).clamp(SHUFFLES_MIN, SHUFFLES_MAX)];
        let mut profiles: Vec<usize> = (0..all).collect();
        let mut drawn = 0_u64;
        for shuffle in bits.chunks_mut(words.max(1)) {
            for at in 0..smaller {
                drawn += 1;
                // The bias of the remainder is of the order of 2⁻⁵⁰.
                profiles.swap(at, at + (xxh3_64(&drawn.to_le_bytes()) % (all - at) as u64) as usize);
                shuffle[profiles[at] / 64] |= 1 << (profiles[at] % 64);
            }
        }
        Self { counts, words, bits }
    }

    /// How likely so large a difference of the samples is among shuffled profiles. `values` are those other than 0 of each side.
    pub(super) fn probability(&self, values: [&[f64]; 2], samples: &[Sample; 2]) -> f64 {
        let centred = Centred::of(values, self.counts);
        let mut found: Vec<Statistic> =
            self.bits.chunks(self.words.max(1)).map(|smaller| self.statistic(&centred, smaller)).collect();
        found.sort_by(|left, right| right.surprise().total_cmp(&left.surprise()));
        let probability =
            |statistic: &Statistic| student::two_sided(statistic.t, statistic.freedom).max(f64::MIN_POSITIVE);
        let p = probability(&statistic(&samples[0], &samples[1]));
        // Rounding must not tell a shuffle from the same one.
        let as_rare = found.iter().take_while(|statistic| probability(statistic) <= p * (1.0 + 1e-6)).count();
        let counted = (as_rare + 1) as f64 / (found.len() + 1) as f64;
        let rarest = found.len() / RAREST;
        if as_rare >= rarest {
            return counted;
        }
        let depth = |statistic: &Statistic| -probability(statistic).ln();
        let edge = depth(&found[rarest]);
        let mean = found[..rarest].iter().map(|statistic| depth(statistic) - edge).sum::<f64>() / rarest as f64;
        let beyond = rarest as f64 / found.len() as f64 * ((p.ln() + edge) / mean.max(1.0)).exp();
        if as_rare > 0 { beyond.max(counted) } else { beyond }
    }

    fn statistic(&self, centred: &Centred<'_>, smaller: &[u64]) -> Statistic {
        let mut sums = Sums::default();
        let mut start = 0;
        for (side, values) in centred.values.iter().enumerate() {
            for (at, value) in values.iter().enumerate() {
                let at = start + at;
                if smaller[at / 64] >> (at % 64) & 1 == 1 {
                    sums.add(value - centred.mean);
                }
            }
            start = self.counts[side];
        }
        let (few, many) = (self.counts[0].min(self.counts[1]), self.counts[0].max(self.counts[1]));
        sums.add_zeros(few - sums.count, centred.mean);
        statistic(&sums.sample(few), &centred.sums.less(&sums).sample(many))
    }
}

/// Welch's, but no side is steadier than both together let it be: else the shuffles that leave a side nothing at all would be the rarest.
fn statistic(left: &Sample, right: &Sample) -> Statistic {
    Statistic::of(&left.drawn_to(right), &right.drawn_to(left))
}

/// Values of both sides, and their sums, all less the mean.
struct Centred<'a> {
    values: [&'a [f64]; 2],
    mean: f64,
    sums: Sums,
}

impl<'a> Centred<'a> {
    fn of(values: [&'a [f64]; 2], counts: [usize; 2]) -> Self {
        let all = counts[0] + counts[1];
        let mean = values.iter().copied().flatten().sum::<f64>() / all as f64;
        let mut sums = Sums::default();
        values.iter().copied().flatten().for_each(|value| sums.add(value - mean));
        sums.add_zeros(all - sums.count, mean);
        Self { values, mean, sums }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: usize,
    values: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.values += value;
        self.squares += value * value;
    }

    fn add_zeros(&mut self, count: usize, mean: f64) {
        self.count += count;
        self.values -= count as f64 * mean;
        self.squares += count as f64 * mean * mean;
    }

    fn less(&self, other: &Self) -> Self {
        let (values, squares) = (self.values - other.values, self.squares - other.squares);
        Self { count: self.count - other.count, values, squares }
    }

    fn sample(&self, count: usize) -> Sample {
        let mean = self.values / count as f64;
        let variance = ((self.squares - self.values * mean) / (count as f64 - 1.0)).max(0.0);
        Sample { count, mean, variance }
    }
}

/// Is Welch's probability in doubt? By the first term of Edgeworth's series for the skewness of the difference, as far as the values
/// are more skewed than so many of a normal distribution may be by chance. Sides of equal length cancel out.
pub(super) fn is_doubtful(values: [&[f64]; 2], samples: &[Sample; 2], p: f64) -> bool {
    let (mut squares, mut cubes, mut all) = (0.0, 0.0, 0.0);
    for (values, sample) in values.iter().zip(samples) {
        let zeros = (sample.count - values.len()) as f64;
        squares += zeros * sample.mean.powi(2) + values.iter().map(|value| (value - sample.mean).powi(2)).sum::<f64>();
        cubes += values.iter().map(|value| (value - sample.mean).powi(3)).sum::<f64>() - zeros * sample.mean.powi(3);
        all += sample.count as f64;
    }
    if squares <= 0.0 {
        return false;
    }
    let skewness = cubes / all / (squares / all).powf(1.5);
    let skewness = (skewness.abs() - 2.0 * (6.0 / all).sqrt()).max(0.0);
    let [before, after] = [0, 1].map(|side| 1.0 / samples[side].count as f64);
    let of_difference = skewness * (before.powi(2) - after.powi(2)).abs() / (before + after).powf(1.5);
    // About the number of standard errors that `p` stands for; far out, where the series says little, as many as four.
    let errors = (-2.0 * p.max(f64::MIN_POSITIVE).ln() - 2.0).clamp(4.0, 16.0).sqrt();
    of_difference * errors.powi(3) / 6.0 > DOUBT
}
