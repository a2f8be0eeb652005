//! Which rollups answer for a range, and what is left to single profiles.

use std::ops::Range;

use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};

use super::ReadError;
use super::table_reader::Columns;
use crate::table::ROLLUP_STEPS_S;

/// Columns of `rollups` that [`Rollups::decode`] needs.
pub(super) const ROLLUP_COLUMNS: [&str; 5] = ["series", "step_s", "time_ns", "first_sample", "samples"];
const SECOND_NS: i64 = 1_000_000_000;

/// The rollups of a partition.
#[derive(Debug)]
pub(super) struct Rollups {
    /// By series, then the longest step first, then time.
    rows: Vec<Rollup>,
}

/// The sum of some profiles of one series: all those in `[time_ns, end_ns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rollup {
    series: u32,
    step_s: u32,
    pub(super) time_ns: i64,
    end_ns: i64,
    /// Its samples, counted from the partition's first rollup sample.
    first: u32,
    count: u32,
}

impl Rollup {
    /// Its samples.
    pub(super) fn samples(&self) -> Range<u64> {
        u64::from(self.first)..u64::from(self.first) + u64::from(self.count)
    }
}

/// What a range is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) rollups: Vec<Rollup>,
    /// Ranges (both ends included) of which single profiles are read, in order of time.
    pub(super) rest: Vec<(i64, i64)>,
}

impl Rollups {
    /// `samples`: the partition's rows of `rollup_samples`.
    pub(super) fn decode(columns: &Columns<'_>, samples: Range<u64>) -> Result<Self, ReadError> {
        let series = columns.numbers::<UInt32Type>("series")?;
        let steps = columns.numbers::<UInt32Type>("step_s")?;
        let times = columns.numbers::<Int64Type>("time_ns")?;
        let firsts = columns.numbers::<UInt64Type>("first_sample")?;
        let counts = columns.numbers::<UInt32Type>("samples")?;
        let mut rows = Vec::with_capacity(series.len());
        let mut next = samples.start;
        for at in 0..series.len() {
            let end = next.checked_add(counts[at].into()).filter(|end| firsts[at] == next && *end <= samples.end);
            let step =
                Some(steps[at]).filter(|step| ROLLUP_STEPS_S.contains(step)).map(|step| i64::from(step) * SECOND_NS);
            let end_ns = step.and_then(|step| times[at].checked_add(step - 1));
            let first = u32::try_from(next - samples.start).ok();
            let (Some(end), Some(end_ns), Some(first)) = (end, end_ns, first) else {
                return Err(columns.damaged(format!("rollup {at} has samples that are not its own, or no time")));
            };
            let (series, step_s, time_ns) = (series[at], steps[at], times[at]);
            rows.push(Rollup { series, step_s, time_ns, end_ns, first, count: counts[at] });
            next = end;
        }
        let key = |row: &Rollup| (row.series, std::cmp::Reverse(row.step_s), row.time_ns);
        if next != samples.end || !rows.is_sorted_by_key(key) {
            return Err(columns.damaged("rollups are not in order"));
        }
        Ok(Self { rows })
    }

    /// The longest rollups that lie in `[from, to]` whole, and what lies between them.
    pub(super) fn cover(&self, series: u32, from: i64, to: i64) -> Cover {
        let mut cover = Cover { rollups: Vec::new(), rest: vec![(from, to)] };
        for step_s in ROLLUP_STEPS_S {
            let rows = self.of(series, step_s);
            for (from, to) in std::mem::take(&mut cover.rest) {
                fill(rows, from, to, &mut cover);
            }
        }
        cover
    }

    fn of(&self, series: u32, step_s: u32) -> &[Rollup] {
        let key = (series, std::cmp::Reverse(step_s));
        let start = self.rows.partition_point(|row| (row.series, std::cmp::Reverse(row.step_s)) < key);
        let end = self.rows.partition_point(|row| (row.series, std::cmp::Reverse(row.step_s)) <= key);
        &self.rows[start..end]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Rollup>()
    }
}

fn fill(rows: &[Rollup], from: i64, to: i64, cover: &mut Cover) {
    let mut next = Some(from);
    let inside = rows[rows.partition_point(|row| row.time_ns < from)..].iter().take_while(|row| row.end_ns <= to);
    for row in inside {
        let Some(at) = next else { break };
        // Damaged data may overlap: then the profiles are asked.
        if row.time_ns < at {
            continue;
        }
        if row.time_ns > at {
            cover.rest.push((at, row.time_ns - 1));
        }
        cover.rollups.push(*row);
        next = row.end_ns.checked_add(1);
    }
    if let Some(at) = next.filter(|at| *at <= to) {
        cover.rest.push((at, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = SECOND_NS;

    fn rollup(step_s: u32, start_s: i64) -> Rollup {
        let time_ns = start_s * SECOND;
        let end_ns = time_ns + i64::from(step_s) * SECOND - 1;
        Rollup { series: 1, step_s, time_ns, end_ns, first: 0, count: 1 }
    }

    /// Starts of the rollups in seconds, and the rest with both ends in seconds, the last one not included.
    fn cover(from_s: i64, to_s: i64) -> (Vec<i64>, Vec<(i64, i64)>) {
        let mut rows: Vec<Rollup> = [3600, 7200].map(|start| rollup(3600, start)).into();
        rows.extend((0..12).chain(30..36).map(|at| rollup(300, at * 300)));
        rows.sort_by_key(|row| (std::cmp::Reverse(row.step_s), row.time_ns));
        let cover = Rollups { rows }.cover(1, from_s * SECOND, to_s * SECOND - 1);
        let starts = cover.rollups.iter().map(|row| row.time_ns / SECOND).collect();
        (starts, cover.rest.iter().map(|(from, to)| (from / SECOND, (to + 1) / SECOND)).collect())
    }

    #[test]
    fn the_longest_go_first_and_the_rest_is_what_is_between() {
        assert_eq!(cover(3600, 10_800), (vec![3600, 7200], vec![]));
        assert_eq!(cover(3000, 8000), (vec![3600, 3000, 3300], vec![(7200, 8000)]));
        assert_eq!(cover(3601, 7200), (vec![], vec![(3601, 7200)]), "these hours have no shorter ones");
        assert_eq!(cover(10, 900), (vec![300, 600], vec![(10, 300)]));
        assert_eq!(cover(301, 599), (vec![], vec![(301, 599)]));
    }

    #[test]
    fn all_of_time_is_covered() {
        let rows = vec![rollup(300, 0)];
        let cover = Rollups { rows }.cover(1, i64::MIN, i64::MAX);
        assert_eq!(cover.rest, [(i64::MIN, -1), (300 * SECOND, i64::MAX)]);
        let none = Rollups { rows: vec![rollup(300, 0)] }.cover(2, 0, 300 * SECOND);
        assert_eq!((none.rollups.len(), none.rest), (0, vec![(0, 300 * SECOND)]));
    }
}
