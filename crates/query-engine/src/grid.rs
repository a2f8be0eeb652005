//! Instants to buckets and back.

use flamelake_model::{TimeRange, TimestampMs, TimestampNs};

const MS_NS: i128 = 1_000_000;

/// Points `start, start + step, …` up to the last one that is not after the end. Wide integers: steps of years are legal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    start_ms: i128,
    step_ms: i128,
    last: i128,
}

impl Grid {
    pub(crate) fn new(range: TimeRange, step_ms: i64) -> Self {
        let (start_ms, step_ms) = (i128::from(range.start().0), i128::from(step_ms.max(1)));
        Self { start_ms, step_ms, last: (i128::from(range.end().0) - start_ms) / step_ms }
    }

    /// Number of the bucket that an instant lies in; `None` outside the grid.
    pub(crate) fn bucket(&self, time_ns: i64) -> Option<u64> {
        let after_start = i128::from(time_ns) - self.start_ms * MS_NS;
        let step = self.step_ms * MS_NS;
        if after_start < -step {
            return None;
        }
        // Rounded up: `(t - step, t]` belongs to `t`.
        let bucket = if after_start <= 0 { 0 } else { (after_start - 1) / step + 1 };
        if bucket <= self.last { u64::try_from(bucket).ok() } else { None }
    }

    /// Right edge of a bucket.
    pub(crate) fn timestamp(&self, bucket: u64) -> TimestampMs {
        TimestampMs(i64::try_from(self.start_ms + i128::from(bucket) * self.step_ms).unwrap_or(i64::MAX))
    }

    /// First and last instant of a bucket.
    pub(crate) fn instants(&self, bucket: u64) -> (TimestampNs, TimestampNs) {
        let right = (self.start_ms + i128::from(bucket) * self.step_ms) * MS_NS;
        let left = right - self.step_ms * MS_NS + i128::from(bucket > 0);
        (TimestampNs(saturated(left)), TimestampNs(saturated(right)))
    }
}

fn saturated(wide: i128) -> i64 {
    wide.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(start: i64, end: i64, step_ms: i64) -> Grid {
        Grid::new(TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap(), step_ms)
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
    fn instants_of_a_bucket_lie_in_it() {
        let grid = grid(100, 135, 10);
        for bucket in 0..4 {
            let (first, last) = grid.instants(bucket);
            assert_eq!([first, last].map(|at| grid.bucket(at.0)), [Some(bucket); 2]);
            assert_ne!(grid.bucket(first.0 - 1), Some(bucket));
            assert_ne!(grid.bucket(last.0 + 1), Some(bucket));
        }
    }

    #[test]
    fn steps_may_be_longer_than_time() {
        let grid = grid(100, 200, i64::MAX);
        assert_eq!(grid.bucket(100_000_000), Some(0));
        assert_eq!(grid.bucket(100_000_001), None);
        assert_eq!(grid.instants(0), (TimestampNs(i64::MIN), TimestampNs(100_000_000)));
    }
}
