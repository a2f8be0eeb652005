//! The answer as it grows: points by group and function.

use std::collections::HashMap;

use flamelake_model::function_series::{
    FUNCTION_POINTS_MAX, FunctionPoint, FunctionSeries, FunctionTotals, PartialFunctionSeries, TotalPoint,
};
use flamelake_symbols::SymbolSource;

use super::fold::Fold;
use super::slices::Cell;
use crate::SourceError;
use crate::bounds::check_function_points;
use crate::grid::Grid;

/// Not met in the partition at hand.
const UNKNOWN: u32 = u32::MAX;

/// See the module.
pub(super) struct Cells {
    grid: Grid,
    groups: HashMap<Vec<Option<String>>, u32>,
    functions: HashMap<String, u32>,
    /// Function of each name id of the partition at hand.
    of_name: Vec<u32>,
    /// Points by group and function.
    points: HashMap<(u32, u32), Points<(i64, i64)>, foldhash::fast::RandomState>,
    /// By group.
    totals: Vec<Points<i64>>,
    /// How many there are; those of equal buckets are counted apart until they are put together.
    count: usize,
}

/// Values by bucket, in the order in which partitions are read: there may be several of one bucket.
type Points<T> = Vec<(u64, T)>;

impl Cells {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            groups: HashMap::new(),
            functions: HashMap::new(),
            of_name: Vec::new(),
            points: HashMap::default(),
            totals: Vec::new(),
            count: 0,
        }
    }

    /// Number of a group.
    pub(super) fn group(&mut self, values: Vec<Option<String>>) -> u32 {
        let next = self.groups.len() as u32;
        let group = *self.groups.entry(values).or_insert(next);
        if group == next {
            self.totals.push(Vec::new());
        }
        group
    }

    /// The next partition has other name ids.
    pub(super) fn enter(&mut self, symbols: &dyn SymbolSource) {
        self.of_name.clear();
        self.of_name.resize(symbols.name_count() as usize, UNKNOWN);
    }

    /// Adds the cell that was folded last. `resource_exhausted` at the bound.
    pub(super) fn add(&mut self, cell: Cell, fold: &Fold<'_>, symbols: &dyn SymbolSource) -> Result<(), SourceError> {
        let Cell { bucket, group } = cell;
        if fold.total() != 0 {
            self.totals[group as usize].push((bucket, fold.total()));
            self.count += 1;
        }
        for found in fold.found().iter().filter(|found| found.self_value != 0 || found.total != 0) {
            let function = self.function(found.name, symbols);
            self.points.entry((group, function)).or_default().push((bucket, (found.self_value, found.total)));
            self.count += 1;
        }
        if self.count > 2 * FUNCTION_POINTS_MAX {
            self.tidy();
            check_function_points(self.count)?;
        }
        Ok(())
    }

    fn function(&mut self, name: u32, symbols: &dyn SymbolSource) -> u32 {
        let known = &mut self.of_name[name as usize];
        if *known == UNKNOWN {
            let (text, next) = (symbols.name(name), self.functions.len() as u32);
            *known = match self.functions.get(text) {
                Some(function) => *function,
                None => *self.functions.entry(text.to_owned()).or_insert(next),
            };
        }
        *known
    }

    /// Puts together what belongs to one bucket.
    fn tidy(&mut self) {
        for points in self.points.values_mut() {
            tidy(points, |left, right| {
                left.0 = left.0.wrapping_add(right.0);
                left.1 = left.1.wrapping_add(right.1);
            });
        }
        for points in &mut self.totals {
            tidy(points, |left, right| *left = left.wrapping_add(*right));
        }
        self.count =
            self.points.values().map(Vec::len).sum::<usize>() + self.totals.iter().map(Vec::len).sum::<usize>();
    }

    /// The answer. `resource_exhausted` above the bound.
    pub(super) fn finish(mut self) -> Result<FunctionSeries, SourceError> {
        self.tidy();
        check_function_points(self.count)?;
        let Self { grid, groups, functions, points, totals, .. } = self;
        let (groups, names) = (by_number(groups), by_number(functions));
        let of_function = |((group, function), points): ((u32, u32), Points<(i64, i64)>)| PartialFunctionSeries {
            group: groups[group as usize].clone(),
            function: names[function as usize].clone(),
            points: points
                .into_iter()
                .map(|(bucket, (self_value, total))| FunctionPoint {
                    timestamp: grid.timestamp(bucket),
                    self_value,
                    total,
                })
                .collect(),
        };
        let of_totals = |(group, points): (&Vec<Option<String>>, Points<i64>)| FunctionTotals {
            group: group.clone(),
            points: points
                .into_iter()
                .map(|(bucket, value)| TotalPoint { timestamp: grid.timestamp(bucket), value })
                .collect(),
        };
        let points = points.into_iter().filter(|(_, points)| !points.is_empty());
        let totals = groups.iter().zip(totals).filter(|(_, points)| !points.is_empty());
        let mut answer =
            FunctionSeries { functions: points.map(of_function).collect(), totals: totals.map(of_totals).collect() };
        answer.functions.sort_by(|left, right| (&left.group, &left.function).cmp(&(&right.group, &right.function)));
        answer.totals.sort_by(|left, right| left.group.cmp(&right.group));
        Ok(answer)
    }
}

/// In order of bucket, each once, without what sums to 0.
fn tidy<T: Copy + Default + PartialEq>(points: &mut Points<T>, mut add: impl FnMut(&mut T, &T)) {
    points.sort_by_key(|(bucket, _)| *bucket);
    points.dedup_by(|(bucket, value), (kept, sum)| {
        let same = bucket == kept;
        if same {
            add(sum, value);
        }
        same
    });
    points.retain(|(_, value)| *value != T::default());
}

fn by_number<T>(numbers: HashMap<T, u32>) -> Vec<T> {
    let mut all: Vec<(u32, T)> = numbers.into_iter().map(|(text, number)| (number, text)).collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, text)| text).collect()
}
