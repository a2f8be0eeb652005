//! Instants to buckets and back.

use flamelake_model::TimestampMs;
use flamelake_model::query::TimeSeriesQuery;

/// Points `start, start + step, …` up to the last one that is not after the end. Wide integers: steps of years are legal.
pub(super) struct Grid {
    start_ms: i128,
    step_ms: i128,
    last: i128,
}

impl Grid {
    pub(super) fn new(query: &TimeSeriesQuery) -> Self {
        let range = query.selection.range;
        let (start_ms, step_ms) = (i128::from(range.start().0), i128::from(query.step_ms.max(1)));
        Self { start_ms, step_ms, last: (i128::from(range.end().0) - start_ms) / step_ms }
    }

    /// Number of the bucket that an instant lies in; `None` outside the grid.
    pub(super) fn bucket(&self, time_ns: i64) -> Option<u64> {
        let after_start = i128::from(time_ns) - self.start_ms * 1_000_000;
        let step = self.step_ms * 1_000_000;
        if after_start < -step {
            return None;
        }
        // Rounded up: `(t - step, t]` belongs to `t`.
        let bucket = if after_start <= 0 { 0 } else { (after_start - 1) / step + 1 };
        if bucket <= self.last { u64::try_from(bucket).ok() } else { None }
    }

    /// Right edge of a bucket.
    pub(super) fn timestamp(&self, bucket: u64) -> TimestampMs {
        TimestampMs(i64::try_from(self.start_ms + i128::from(bucket) * self.step_ms).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use flamelake_model::query::{ExemplarKind, SampleFilter, Selection};
    use flamelake_model::selector::Selector;
    use flamelake_model::{TimeRange, TimestampMs};

    use super::*;

    fn grid(start: i64, end: i64, step_ms: i64) -> Grid {
        let range = TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap();
        let selection = Selection { profile_type: None, selector: Selector::default(), range };
        Grid::new(&TimeSeriesQuery {
            selection,
            filter: SampleFilter::default(),
            group_by: Vec::new(),
            step_ms,
            exemplars: ExemplarKind::None,
        })
    }

    #[test]
    fn right_edges_belong_to_their_bucket() {
        let grid = grid(100, 135, 10);
        let ms = |ms: i64| grid.bucket(ms * 1_000_000).map(|bucket| grid.timestamp(bucket).0);
        assert_eq!(ms(89), None);
        assert_eq!(ms(90), Some(100), "the first bucket holds both its edges");
        assert_eq!(ms(100), Some(100));
        assert_eq!(ms(101), Some(110));
        assert_eq!(ms(110), Some(110));
        assert_eq!(grid.bucket(110_000_001).map(|bucket| grid.timestamp(bucket).0), Some(120));
        assert_eq!(ms(130), Some(130));
        assert_eq!(ms(131), None, "after the last point that is not after the end");
    }

    #[test]
    fn steps_may_be_longer_than_time() {
        let grid = grid(100, 200, i64::MAX);
        assert_eq!(grid.bucket(100_000_000), Some(0));
        assert_eq!(grid.bucket(100_000_001), None);
    }
}
