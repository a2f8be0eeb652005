//! Welch's test of two means, and Holm's correction for many tests at once.

use super::student;

/// So many values count as if they had varied like both sides together.
const DRAW: f64 = 3.0;

/// Values of one side, of which most may be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// How many values, zeros included; at least 2.
    pub(super) count: usize,
    pub(super) mean: f64,
    /// Unbiased.
    pub(super) variance: f64,
}

impl Sample {
    /// Of the values other than 0, and the number of all.
    pub(super) fn of(values: &[f64], count: usize) -> Self {
        let all = count as f64;
        let mean = values.iter().sum::<f64>() / all;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let of_zeros = (all - values.len() as f64).max(0.0) * mean.powi(2);
        Self { count, mean, variance: (squares + of_zeros) / (all - 1.0) }
    }

    /// With a variance between its own and that of both: a few values that agree by luck must not pass for exact.
    pub(super) fn drawn_to(&self, other: &Self) -> Self {
        let [own, others] = [self, other].map(|sample| sample.count as f64 - 1.0);
        let of_both = (own * self.variance + others * other.variance) / (own + others);
        Self { variance: (own * self.variance + DRAW * of_both) / (own + DRAW), ..*self }
    }

    /// Variance of the mean.
    fn of_mean(&self) -> f64 {
        self.variance / self.count as f64
    }
}

/// What a test says of the difference of two means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// After less before.
    pub(super) difference: f64,
    /// Ends of the confidence interval of the difference.
    pub(super) interval: [f64; 2],
    /// How likely so large a difference is by chance alone.
    pub(super) p: f64,
}

/// Welch's t-test: the variances may differ.
pub(super) fn test(before: &Sample, after: &Sample, confidence: f64) -> Verdict {
    let difference = after.mean - before.mean;
    let statistic = Statistic::of(before, after);
    // Equal to the last digit, time after time: what differs then differs for certain, unless it is rounding.
    if statistic.error <= f64::EPSILON * before.mean.abs().max(after.mean.abs()) {
        let is_same = difference.abs() <= 1e-9 * before.mean.abs().max(after.mean.abs());
        return Verdict { difference, interval: [difference; 2], p: if is_same { 1.0 } else { 0.0 } };
    }
    let reach = student::quantile(1.0 - confidence, statistic.freedom) * statistic.error;
    Verdict {
        difference,
        interval: [difference - reach, difference + reach],
        p: student::two_sided(statistic.t, statistic.freedom),
    }
}

/// How far two means are apart, in standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistic {
    /// Standard error of the difference.
    pub(super) error: f64,
    /// The difference in standard errors, without sign; infinite if these are 0.
    pub(super) t: f64,
    /// Degrees of freedom.
    pub(super) freedom: f64,
}

impl Statistic {
    pub(super) fn of(before: &Sample, after: &Sample) -> Self {
        let (difference, error) = ((after.mean - before.mean).abs(), (before.of_mean() + after.of_mean()).sqrt());
        if error <= 0.0 {
            return Self { error, t: if difference > 0.0 { f64::INFINITY } else { 0.0 }, freedom: 1.0 };
        }
        let t = difference / error;
        Self {
            error,
            t,
            freedom: freedom(before, after).min(freedom(&before.drawn_to(after), &after.drawn_to(before))),
        }
    }

    /// Rises as the probability falls, and costs less. After Wallace: about half the square of the normal value of the same probability.
    pub(super) fn surprise(&self) -> f64 {
        let scale = (8.0 * self.freedom + 1.0) / (8.0 * self.freedom + 3.0);
        scale.powi(2) * self.freedom * (self.t.powi(2) / self.freedom).ln_1p()
    }
}

/// Satterthwaite's degrees of freedom.
fn freedom(before: &Sample, after: &Sample) -> f64 {
    let (left, right) = (before.of_mean(), after.of_mean());
    let parts = left.powi(2) / (before.count as f64 - 1.0) + right.powi(2) / (after.count as f64 - 1.0);
    (left + right).powi(2) / parts
}

/// Holm's step-down with weights: probabilities that may be compared with one level for all tests together, in the order given.
/// Weights are above 0 and sum to at most 1; what lacks to 1 is kept in reserve.
pub(super) fn holm(probabilities: &[f64], weights: &[f64]) -> Vec<f64> {
    let weighted: Vec<f64> = probabilities.iter().zip(weights).map(|(p, weight)| p / weight).collect();
    let mut order: Vec<usize> = (0..weighted.len()).collect();
    order.sort_by(|left, right| weighted[*left].total_cmp(&weighted[*right]));
    let sum: f64 = weights.iter().sum();
    let mut adjusted = vec![1.0; weighted.len()];
    let (mut highest, mut done): (f64, f64) = (0.0, 0.0);
    for &at in &order {
        highest = highest.max((sum - done) / sum * weighted[at]).min(1.0);
        adjusted[at] = highest;
        done += weights[at];
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-5 * expected.abs().max(1e-3), "{found} is not {expected}");
    }

    /// Two samples with far different variances; t and degrees of freedom reckoned by hand.
    #[test]
    fn unequal_variances() {
        let before = Sample::of(&[1.0, 2.0, 3.0, 4.0, 5.0], 5);
        let after = Sample::of(&[10.0, 20.0, 30.0], 3);
        assert_eq!((before.mean, before.variance), (3.0, 2.5));
        assert_eq!((after.mean, after.variance), (20.0, 100.0));
        let verdict = test(&before, &after, 0.95);
        // t = 17 / sqrt(0.5 + 100 / 3) = 2.92265 with (0.5 + 100 / 3)² / (0.5² / 4 + (100 / 3)² / 2) = 2.06022 degrees of freedom.
        let (t, freedom): (f64, f64) = (17.0 / (0.5_f64 + 100.0 / 3.0).sqrt(), 2.0602);
        near(t, 2.922_65);
        near(
            verdict.p,
            student::two_sided(t, (0.5 + 100.0 / 3.0_f64).powi(2) / (0.0625 + (100.0 / 3.0_f64).powi(2) / 2.0)),
        );
        assert!((verdict.p - student::two_sided(t, freedom)).abs() < 1e-3);
        near(verdict.interval[0] + verdict.interval[1], 34.0);
        assert!(verdict.interval[0] < 0.0, "p is above 5 %, so 0 lies in the interval: {verdict:?}");
    }

    #[test]
    fn zeros_are_values() {
        let sparse = Sample::of(&[4.0, 2.0], 6);
        let dense = Sample::of(&[0.0, 4.0, 0.0, 2.0, 0.0, 0.0], 6);
        near(sparse.mean, dense.mean);
        near(sparse.variance, dense.variance);
    }

    #[test]
    fn constants_differ_for_certain_or_not_at_all() {
        let constant = |value: f64| Sample::of(&[value; 7], 7);
        assert_eq!(test(&constant(0.1), &constant(0.1), 0.95).p, 1.0);
        assert_eq!(test(&constant(0.0), &constant(0.0), 0.95).p, 1.0);
        assert_eq!(test(&constant(0.1), &constant(0.2), 0.95).p, 0.0);
    }

    #[test]
    fn holm_steps_down() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005], &[0.25; 4]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(*found, expected);
        }
        assert_eq!(holm(&[0.9, 0.8], &[0.5; 2]), [1.0, 1.0]);
        assert_eq!(holm(&[], &[]), [0.0; 0]);
    }

    #[test]
    fn weights_share_out_the_level() {
        // The first may use half of it, the others a fifth and a tenth; a fifth is never used.
        let adjusted = holm(&[0.01, 0.02, 0.02], &[0.5, 0.2, 0.1]);
        for (found, expected) in adjusted.iter().zip([0.02, 0.3 / 0.8 * 0.1, 0.3 / 0.8 * 0.1]) {
            near(*found, expected);
        }
        let alone = holm(&[0.03], &[0.8]);
        near(alone[0], 0.0375);
    }

    /// Five values that agree by luck are not as sure as four hundred: 4 degrees of freedom, and a bit.
    #[test]
    fn agreement_by_luck_gives_no_degrees_of_freedom() {
        let sample = |count, variance| Sample { count, mean: 0.0, variance };
        let lucky = Statistic::of(&sample(5, 0.01), &sample(400, 1.0));
        assert!((4.0..9.0).contains(&lucky.freedom), "{lucky:?}");
        let as_many = Statistic::of(&sample(200, 1.0), &sample(200, 1.0));
        near(as_many.freedom, 398.0);
        let noisy = Statistic::of(&sample(20, 1.0), &sample(400, 0.01));
        assert!((19.0..20.0).contains(&noisy.freedom), "{noisy:?}");
    }
}
