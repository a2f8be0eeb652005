//! Welch's test of two means, and Holm's correction for many tests at once.

use super::student;

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
    let (left, right) = (before.of_mean(), after.of_mean());
    let error = (left + right).sqrt();
    // Equal to the last digit, time after time: what differs then differs for certain, unless it is rounding.
    if error <= f64::EPSILON * before.mean.abs().max(after.mean.abs()) {
        let is_same = difference.abs() <= 1e-9 * before.mean.abs().max(after.mean.abs());
        return Verdict { difference, interval: [difference; 2], p: if is_same { 1.0 } else { 0.0 } };
    }
    let parts = left.powi(2) / (before.count as f64 - 1.0) + right.powi(2) / (after.count as f64 - 1.0);
    let freedom = (left + right).powi(2) / parts;
    let reach = student::quantile(1.0 - confidence, freedom) * error;
    Verdict {
        difference,
        interval: [difference - reach, difference + reach],
        p: student::two_sided(difference / error, freedom),
    }
}

/// Holm's step-down: probabilities that may be compared with one level for all tests together, in the order given.
pub(super) fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|left, right| probabilities[*left].total_cmp(&probabilities[*right]));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut highest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        highest = highest.max((probabilities.len() - rank) as f64 * probabilities[at]).min(1.0);
        adjusted[at] = highest;
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
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(*found, expected);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
