//! Sums of a series over 5 minutes and over an hour, for questions that take whole buckets (docs/formats/block.md, *rollups*).

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, UInt32Array, UInt64Array};

use super::symbols::part_column;
use crate::table::ROLLUP_STEPS_S;

/// A bucket is worth a row if it has at most one sample for so many of what it sums.
const SAVES_AT_LEAST: usize = 2;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// Collects the rollups of a partition.
#[derive(Default)]
pub(super) struct RollupWriter {
    /// Row number in the file of the partition's first rollup sample.
    first_sample: u64,
    series: Vec<u32>,
    step_s: Vec<u32>,
    time_ns: Vec<i64>,
    profiles: Vec<u32>,
    first: Vec<u64>,
    count: Vec<u32>,
    stacks: Vec<u32>,
    values: Vec<i64>,
    sums: Sums,
}

/// Sums by stack, dense, and which are not 0.
#[derive(Default)]
struct Sums {
    dense: Vec<i64>,
    touched: Vec<u32>,
    /// Samples summed.
    samples: usize,
    /// A value that is not above 0, or a sum that does not fit: readers would count such a bucket differently.
    is_odd: bool,
}

/// One profile of a series as rollups see it: when, and which of the samples below are its.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) time_ns: i64,
    pub(super) samples: std::ops::Range<usize>,
}

impl RollupWriter {
    pub(super) fn new(first_sample: u64) -> Self {
        Self { first_sample, ..Self::default() }
    }

    /// Adds the rollups of a series; `slots` in order of time, samples as they are stored: divided by `scale`.
    pub(super) fn write(&mut self, series: u32, scale: i64, slots: &[Slot], stacks: &[u32], values: &[i64]) {
        for step_s in ROLLUP_STEPS_S {
            let step = i64::from(step_s) * SECOND_NS;
            for bucket in slots.chunk_by(|a, b| a.time_ns.div_euclid(step) == b.time_ns.div_euclid(step)) {
                // The ends of all time have buckets that reach beyond it.
                let Some(start) = bucket[0].time_ns.div_euclid(step).checked_mul(step) else { continue };
                if bucket.len() < 2 || start.checked_add(step).is_none() {
                    continue;
                }
                for slot in bucket {
                    self.sums.add(&stacks[slot.samples.clone()], &values[slot.samples.clone()]);
                }
                if self.sums.is_worth_it(scale) {
                    self.push(series, step_s, start, bucket.len() as u32);
                }
                self.sums.clear();
            }
        }
    }

    fn push(&mut self, series: u32, step_s: u32, time_ns: i64, profiles: u32) {
        self.sums.touched.sort_unstable();
        self.series.push(series);
        self.step_s.push(step_s);
        self.time_ns.push(time_ns);
        self.profiles.push(profiles);
        self.first.push(self.first_sample + self.stacks.len() as u64);
        self.count.push(self.sums.touched.len() as u32);
        self.stacks.extend_from_slice(&self.sums.touched);
        self.values.extend(self.sums.touched.iter().map(|stack| self.sums.dense[*stack as usize]));
    }

    /// Columns of `rollups` and of `rollup_samples`.
    pub(super) fn finish(self, part: u16) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
        let rollups: Vec<ArrayRef> = vec![
            part_column(part, self.series.len()),
            Arc::new(UInt32Array::from(self.series)),
            Arc::new(UInt32Array::from(self.step_s)),
            Arc::new(Int64Array::from(self.time_ns)),
            Arc::new(UInt32Array::from(self.profiles)),
            Arc::new(UInt64Array::from(self.first)),
            Arc::new(UInt32Array::from(self.count)),
        ];
        let samples: Vec<ArrayRef> = vec![
            part_column(part, self.stacks.len()),
            Arc::new(UInt32Array::from(self.stacks)),
            Arc::new(Int64Array::from(self.values)),
        ];
        (rollups, samples)
    }
}

impl Sums {
    fn add(&mut self, stacks: &[u32], values: &[i64]) {
        self.samples += stacks.len();
        for (stack, value) in stacks.iter().zip(values) {
            let at = *stack as usize;
            if at >= self.dense.len() {
                self.dense.resize(at + 1, 0);
            }
            let sum = &mut self.dense[at];
            if *sum == 0 {
                self.touched.push(*stack);
            }
            match sum.checked_add(*value) {
                Some(next) if *value > 0 => *sum = next,
                _ => self.is_odd = true,
            }
        }
    }

    fn is_worth_it(&self, scale: i64) -> bool {
        let fits = |stack: &u32| self.dense[*stack as usize].checked_mul(scale).is_some();
        let saves = !self.touched.is_empty() && self.touched.len() * SAVES_AT_LEAST <= self.samples;
        saves && !self.is_odd && self.touched.iter().all(fits)
    }

    fn clear(&mut self) {
        for stack in self.touched.drain(..) {
            self.dense[stack as usize] = 0;
        }
        (self.samples, self.is_odd) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * SECOND_NS;

    /// One rollup: step, start in minutes, profiles, samples.
    type Rollup = (u32, i64, u32, Vec<(u32, i64)>);

    /// The rollups of one series: profiles at these minutes with these samples.
    fn rollups(profiles: &[(i64, &[(u32, i64)])]) -> Vec<Rollup> {
        scaled(profiles, 1)
    }

    fn scaled(profiles: &[(i64, &[(u32, i64)])], scale: i64) -> Vec<Rollup> {
        let (mut slots, mut stacks, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (minute, samples) in profiles {
            let start = stacks.len();
            stacks.extend(samples.iter().map(|(stack, _)| *stack));
            values.extend(samples.iter().map(|(_, value)| *value));
            slots.push(Slot { time_ns: minute * MINUTE, samples: start..stacks.len() });
        }
        let mut writer = RollupWriter::new(100);
        writer.write(0, scale, &slots, &stacks, &values);
        let samples = |at: usize| {
            let start = (writer.first[at] - 100) as usize;
            let end = start + writer.count[at] as usize;
            writer.stacks[start..end].iter().copied().zip(writer.values[start..end].iter().copied()).collect()
        };
        (0..writer.series.len())
            .map(|at| (writer.step_s[at], writer.time_ns[at] / MINUTE, writer.profiles[at], samples(at)))
            .collect()
    }

    #[test]
    fn buckets_are_summed_where_that_saves_rows() {
        let same: &[(u32, i64)] = &[(3, 10), (7, 1)];
        assert_eq!(
            rollups(&[(60, same), (61, same), (64, same), (65, same), (66, &[(9, 1)])]),
            [(3600, 60, 5, vec![(3, 40), (7, 4), (9, 1)]), (300, 60, 3, vec![(3, 30), (7, 3)]),],
            "the second five minutes have nothing in common"
        );
        assert!(rollups(&[(60, same)]).is_empty(), "one profile is its own sum");
        assert_eq!(rollups(&[(-1, same), (-2, same)])[1], (300, -5, 2, vec![(3, 20), (7, 2)]));
    }

    #[test]
    fn values_that_are_not_above_zero_and_sums_that_do_not_fit_stay_as_they_are() {
        for odd in [0, -5, i64::MAX] {
            assert!(rollups(&[(1, &[(1, 5), (2, 5)]), (2, &[(1, odd), (2, 5)])]).is_empty(), "{odd}");
        }
        let half: &[(u32, i64)] = &[(1, 1)];
        assert_eq!(scaled(&[(1, half), (2, half)], 1 << 61).len(), 2);
        assert!(scaled(&[(1, half), (2, half)], 1 << 62).is_empty(), "readers multiply by the scale");
        let profiles: [(i64, &[(u32, i64)]); 3] = [(1, &[(1, -1)]), (6, &[(1, 2)]), (7, &[(1, 2)])];
        assert_eq!(rollups(&profiles), [(300, 5, 2, vec![(1, 4)])], "an odd bucket leaves nothing behind");
    }
}
