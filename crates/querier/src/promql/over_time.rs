//! Functions of the samples of a window, `(end - range, end]`.
//!
//! `rate` and `increase` are not those of Prometheus' counters: a profile's value is the amount of its own time, so what a window
//! holds is their sum, and a rate is that sum by the seconds of the window. Nothing is extrapolated.

use flamelake_model::StatusError;

use super::values::{Budget, Point, RangeSeries, Series, Steps, Vector};

/// What is made of a window's samples; there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverTime {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Last,
    Present,
    StdDev,
    StdVar,
    /// The sum by the seconds of the window.
    Rate,
}

impl OverTime {
    /// Is the answer the same from sums of parts of the window?
    pub(crate) fn is_of_sums(self) -> bool {
        matches!(self, Self::Sum | Self::Rate | Self::Present)
    }

    /// And also from sums over series?
    pub(crate) fn is_linear(self) -> bool {
        matches!(self, Self::Sum | Self::Rate)
    }

    fn of(self, points: &[Point], range_ms: i64) -> Option<f64> {
        let last = points.last()?.1;
        let values = || points.iter().map(|(_, value)| *value);
        Some(match self {
            Self::Sum => sum(values()),
            Self::Rate => sum(values()) / (range_ms as f64 / 1000.0),
            Self::Avg => mean(values(), points.len()),
            Self::Min => values().fold(f64::NAN, least),
            Self::Max => values().fold(f64::NAN, greatest),
            Self::Count => points.len() as f64,
            Self::Last => last,
            Self::Present => 1.0,
            Self::StdVar => variance(values(), points.len()),
            Self::StdDev => variance(values(), points.len()).sqrt(),
        })
    }
}

/// Series with their samples, and the ends of the windows to look at.
#[derive(Debug)]
pub(crate) struct Windows {
    pub(crate) series: Vec<RangeSeries>,
    /// As many as moments are evaluated, or one for all of them.
    pub(crate) ends: Steps,
    pub(crate) range_ms: i64,
}

impl Windows {
    /// A value for each series and window.
    pub(crate) fn over_time(&self, what: OverTime, steps: Steps, budget: &Budget) -> Result<Vector, StatusError> {
        let series = self.columns(steps, budget, |_, points| what.of(points, self.range_ms))?;
        // The newest sample is one of the series itself; anything else is not.
        if what == OverTime::Last { Vector::new(series, budget) } else { Vector::nameless(series, budget) }
    }

    /// The quantile of each window; `quantiles` has one a moment.
    pub(crate) fn quantile(&self, quantiles: &[f64], steps: Steps, budget: &Budget) -> Result<Vector, StatusError> {
        let series = self.columns(steps, budget, |at, points| {
            let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
            (!values.is_empty()).then(|| quantile(quantiles.get(at).copied().unwrap_or(f64::NAN), &mut values))
        })?;
        Vector::nameless(series, budget)
    }

    /// Which moments have a sample of any series.
    pub(crate) fn any(&self, steps: Steps, budget: &Budget) -> Result<Vec<bool>, StatusError> {
        let mut any = vec![false; steps.count];
        for series in &self.columns(steps, budget, |_, points| points.last().map(|_| 1.0))? {
            any.iter_mut().zip(&series.values).for_each(|(any, value)| *any |= value.is_some());
        }
        Ok(any)
    }

    /// The samples of the only window.
    pub(crate) fn last(&self) -> Vec<RangeSeries> {
        let within = |series: &RangeSeries| {
            let points = Window::new(&series.points, self.range_ms).at(self.ends.last());
            RangeSeries { points: points.into(), ..series.clone() }
        };
        self.series.iter().map(within).filter(|series| !series.points.is_empty()).collect()
    }

    fn columns(
        &self,
        steps: Steps,
        budget: &Budget,
        of: impl Fn(usize, &[Point]) -> Option<f64>,
    ) -> Result<Vec<Series>, StatusError> {
        let mut all = Vec::new();
        for series in &self.series {
            let mut windows = Window::new(&series.points, self.range_ms);
            let mut values = Vec::with_capacity(steps.count);
            if self.ends.count == 1 {
                let points = windows.at(self.ends.start);
                values.extend((0..steps.count).map(|at| of(at, points)));
            } else {
                for (at, end) in self.ends.iter().enumerate() {
                    budget.check()?;
                    values.push(of(at, windows.at(end)));
                }
            }
            let series = Series { name: series.name.clone(), labels: series.labels.clone(), values };
            if !series.is_empty() {
                all.push(series);
            }
        }
        Ok(all)
    }
}

/// A window that moves forward over the samples of a series.
pub(crate) struct Window<'a> {
    points: &'a [Point],
    range_ms: i64,
    from: usize,
    to: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(points: &'a [Point], range_ms: i64) -> Self {
        Self { points, range_ms, from: 0, to: 0 }
    }

    /// The samples in `(end - range, end]`; ends may only grow.
    pub(crate) fn at(&mut self, end: i64) -> &'a [Point] {
        let ahead = |from: usize, until: i64| {
            let rest = self.points.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|(at, _)| *at <= until).count()
        };
        self.to = ahead(self.to, end);
        self.from = ahead(self.from, end.saturating_sub(self.range_ms));
        self.points.get(self.from..self.to).unwrap_or_default()
    }
}

/// With the error of each addition carried along: whole numbers below 2^53 are exact in any order.
pub(crate) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, error) = values.fold((0.0_f64, 0.0_f64), |(sum, error), value| {
        let next = sum + value;
        let lost = match () {
            () if next.is_infinite() => return (next, 0.0),
            () if sum.abs() >= value.abs() => (sum - next) + value,
            () => (value - next) + sum,
        };
        (next, error + lost)
    });
    if sum.is_infinite() { sum } else { sum + error }
}

/// The mean; sums that overflow are scaled first.
pub(crate) fn mean(values: impl Iterator<Item = f64> + Clone, count: usize) -> f64 {
    let all = sum(values.clone());
    if all.is_infinite() && values.clone().all(f64::is_finite) {
        return sum(values.map(|value| value / count as f64));
    }
    all / count as f64
}

/// The population's variance, by Welford.
pub(crate) fn variance(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    let (_, _, squares) = values.fold((0.0, 0.0, 0.0), |(seen, mean, squares), value| {
        let (seen, delta) = (seen + 1.0, value - mean);
        let mean = mean + delta / seen;
        (seen, mean, squares + delta * (value - mean))
    });
    squares / count as f64
}

/// The smaller one; what is no number loses.
pub(crate) fn least(one: f64, other: f64) -> f64 {
    if one.is_nan() || other < one { other } else { one }
}

/// The larger one; what is no number loses.
pub(crate) fn greatest(one: f64, other: f64) -> f64 {
    if one.is_nan() || other > one { other } else { one }
}

/// Between the two values that are nearest; `values` is sorted here.
pub(crate) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if quantile.is_nan() || values.is_empty() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&quantile) {
        return if quantile < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(|one, other| other.is_nan().cmp(&one.is_nan()).then_with(|| one.total_cmp(other)));
    let rank = quantile * (values.len() - 1) as f64;
    let (below, part) = (rank.floor() as usize, rank.fract());
    let above = (below + 1).min(values.len() - 1);
    values[below] * (1.0 - part) + values[above] * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_at_their_start() {
        let points = [(10, 1.0), (20, 2.0), (30, 4.0), (31, 8.0)];
        let mut window = Window::new(&points, 10);
        let mut sums = Vec::new();
        for end in [5, 10, 19, 20, 30, 40, 41, 99] {
            sums.push(window.at(end).iter().map(|(_, value)| *value).sum::<f64>());
        }
        assert_eq!(sums, [0.0, 1.0, 1.0, 2.0, 4.0, 8.0, 0.0, 0.0]);
    }

    #[test]
    fn sums_lose_nothing() {
        assert_eq!(sum([1e100, 1.0, -1e100].into_iter()), 1.0);
        assert_eq!(sum([f64::MAX, f64::MAX].into_iter()), f64::INFINITY);
        assert_eq!(mean([f64::MAX, f64::MAX].into_iter(), 2), f64::MAX);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let of = |q: f64| quantile(q, &mut [4.0, 1.0, 3.0, 2.0]);
        assert_eq!([of(0.0), of(0.5), of(1.0), of(-1.0), of(2.0)], [1.0, 2.5, 4.0, f64::NEG_INFINITY, f64::INFINITY]);
        assert!(of(f64::NAN).is_nan() && quantile(0.5, &mut []).is_nan());
    }
}
