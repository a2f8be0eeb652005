//! Points on an even grid, for answers that hold a value for each.

use flamelake_model::function_series::FunctionSeriesQuery;
use flamelake_model::{StatusError, TimestampMs};

/// Most points of a grid.
const POINTS_MAX: i128 = 11_000;
/// Most values of one answer, a function's own and total counted once.
const VALUES_MAX: usize = 2_000_000;

/// `start, start + step, …`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    start: i64,
    step_ms: i64,
    points: usize,
}

impl Grid {
    /// Of a question; `resource_exhausted` when it has too many points.
    pub(crate) fn of(query: &FunctionSeriesQuery) -> Result<Self, StatusError> {
        let (start, step_ms) = (query.selection.range.start().0, query.step_ms.max(1));
        let points = (i128::from(query.last_point().0) - i128::from(start)) / i128::from(step_ms) + 1;
        if points > POINTS_MAX {
            return Err(StatusError::resource_exhausted(format!(
                "the range has {points} steps, at most {POINTS_MAX} are answered: use a larger step or a shorter range"
            )));
        }
        Ok(Self { start, step_ms, points: points as usize })
    }

    /// `resource_exhausted` when so many rows of values are too many.
    pub(crate) fn check(&self, rows: usize) -> Result<(), StatusError> {
        if rows.saturating_mul(self.points) <= VALUES_MAX {
            return Ok(());
        }
        Err(StatusError::resource_exhausted(format!(
            "{rows} functions at {} points are more than {VALUES_MAX} values: use a larger step, a smaller limit or a shorter range",
            self.points
        )))
    }

    /// All points.
    pub(crate) fn timestamps(&self) -> Vec<i64> {
        (0..self.points as i64).map(|at| self.start + at * self.step_ms).collect()
    }

    /// A value for each point; those outside of the grid are left out.
    pub(crate) fn dense(&self, points: impl Iterator<Item = (TimestampMs, i64)>) -> Vec<i64> {
        let mut values = vec![0_i64; self.points];
        for (at, value) in points {
            let place = at.0.checked_sub(self.start).map(|after| after / self.step_ms);
            if let Some(slot) = place.and_then(|place| values.get_mut(usize::try_from(place).ok()?)) {
                *slot = slot.wrapping_add(value);
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use flamelake_model::TimeRange;
    use flamelake_model::function_series::FunctionMatch;
    use flamelake_model::query::{SampleFilter, Selection};
    use flamelake_model::selector::Selector;

    use super::*;

    fn grid(start: i64, end: i64, step_ms: i64) -> Result<Grid, StatusError> {
        let range = TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap();
        Grid::of(&FunctionSeriesQuery {
            selection: Selection { profile_type: None, selector: Selector::all(), range },
            filter: SampleFilter::default(),
            functions: FunctionMatch::All,
            group_by: Vec::new(),
            step_ms,
        })
    }

    #[test]
    fn values_lie_on_their_points() {
        let grid = grid(100, 135, 10).unwrap();
        assert_eq!(grid.timestamps(), [100, 110, 120, 130]);
        let points = [(90, 1), (100, 2), (130, 4), (130, 8), (140, 16)];
        let points = points.map(|(at, value)| (TimestampMs(at), value));
        assert_eq!(grid.dense(points.into_iter()), [2, 0, 0, 12]);
    }

    #[test]
    fn grids_are_bounded() {
        assert!(grid(1, 11_000, 1).is_ok());
        assert!(grid(1, 11_001, 1).is_err());
        assert!(grid(i64::MIN, i64::MAX, 1).is_err());
        assert_eq!(grid(i64::MIN, i64::MAX, i64::MAX).unwrap().timestamps().len(), 3);
        let day = grid(1, 10_000, 1).unwrap();
        assert!(day.check(200).is_ok() && day.check(201).is_err());
    }
}
