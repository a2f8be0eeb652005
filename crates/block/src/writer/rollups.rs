//! Sums of a series over 5 minutes and over an hour, for questions that take whole buckets (docs/formats/block.md, *rollups*).

use arrow_array::{Int64Array, UInt32Array, UInt64Array};

use super::column::{Column, part_column, values};
use crate::table::ROLLUP_STEPS_S;

/// The lengths: hours are sums of their twelfths.
const HOUR_S: u32 = ROLLUP_STEPS_S[0];
const FIVE_MINUTES_S: u32 = ROLLUP_STEPS_S[1];
/// A bucket is worth a row if it has at most one sample for so many of what it sums.
const SAVES_AT_LEAST: usize = 4;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// Collects the rollups of a partition: profiles come series by series, in order of time.
#[derive(Default)]
pub(super) struct RollupWriter {
    /// Row number in the file of the partition's first rollup sample.
    first_sample: u64,
    /// Those of the series so far, and of the current one the hours.
    done: Rows,
    /// The shorter steps of the current series, which follow its hours.
    fine: Rows,
    hour: Bucket,
    five: Bucket,
}

/// Rollups and their samples.
#[derive(Default)]
struct Rows {
    series: Vec<u32>,
    step_s: Vec<u32>,
    time_ns: Vec<i64>,
    profiles: Vec<u32>,
    /// Of the samples below.
    count: Vec<u32>,
    stacks: Vec<u32>,
    values: Vec<i64>,
}

/// The bucket of one length that is being summed.
#[derive(Default)]
struct Bucket {
    /// Number of the bucket: time over length.
    number: i64,
    profiles: u32,
    /// Of the profiles summed.
    samples: usize,
    /// Sums by stack, dense, and which are not 0.
    dense: Vec<i64>,
    touched: Vec<u32>,
    /// A value that is not above 0, or a sum that does not fit: readers would count such a bucket differently.
    is_odd: bool,
}

impl RollupWriter {
    pub(super) fn new(first_sample: u64) -> Self {
        Self { first_sample, ..Self::default() }
    }

    /// The next profile of the current series; samples as they are stored: divided by `scale`.
    pub(super) fn add(&mut self, time_ns: i64, scale: i64, stacks: &[u32], values: &[i64]) {
        let number = time_ns.div_euclid(step_ns(FIVE_MINUTES_S));
        if self.five.profiles > 0 && number != self.five.number {
            self.end_five(scale);
        }
        self.five.number = number;
        self.five.profiles += 1;
        self.five.samples += stacks.len();
        self.five.add(stacks.iter().copied().zip(values.iter().copied()));
    }

    /// No more profiles of this series.
    pub(super) fn end_series(&mut self, series: u32, scale: i64) {
        self.end_five(scale);
        self.end_hour(scale);
        self.done.append(&mut self.fine);
        self.done.series.resize(self.done.step_s.len(), series);
    }

    /// What the five minutes summed is part of their hour.
    fn end_five(&mut self, scale: i64) {
        let five = &mut self.five;
        let hour = five.number.div_euclid(i64::from(HOUR_S / FIVE_MINUTES_S));
        if self.hour.profiles > 0 && hour != self.hour.number {
            self.end_hour(scale);
        }
        let five = &mut self.five;
        self.hour.number = hour;
        self.hour.profiles += five.profiles;
        self.hour.samples += five.samples;
        self.hour.is_odd |= five.is_odd;
        self.hour.add(five.touched.iter().map(|stack| (*stack, five.dense[*stack as usize])));
        five.end(FIVE_MINUTES_S, scale, &mut self.fine);
    }

    fn end_hour(&mut self, scale: i64) {
        self.hour.end(HOUR_S, scale, &mut self.done);
    }

    /// Columns of `rollups` and of `rollup_samples`.
    pub(super) fn finish(self, part: u16) -> (Vec<Column>, Vec<Column>) {
        let rows = self.done;
        let first = rows.count.iter().scan(self.first_sample, |next, count| {
            let first = *next;
            *next += u64::from(*count);
            Some(first)
        });
        let first = UInt64Array::from_iter_values(first);
        let rollups = vec![
            part_column(part, rows.series.len()),
            values(UInt32Array::from(rows.series)),
            values(UInt32Array::from(rows.step_s)),
            values(Int64Array::from(rows.time_ns)),
            values(UInt32Array::from(rows.profiles)),
            values(first),
            values(UInt32Array::from(rows.count)),
        ];
        let samples = vec![
            part_column(part, rows.stacks.len()),
            values(UInt32Array::from(rows.stacks)),
            values(Int64Array::from(rows.values)),
        ];
        (rollups, samples)
    }
}

fn step_ns(step_s: u32) -> i64 {
    i64::from(step_s) * SECOND_NS
}

impl Rows {
    fn append(&mut self, more: &mut Self) {
        self.step_s.append(&mut more.step_s);
        self.time_ns.append(&mut more.time_ns);
        self.profiles.append(&mut more.profiles);
        self.count.append(&mut more.count);
        self.stacks.append(&mut more.stacks);
        self.values.append(&mut more.values);
    }
}

impl Bucket {
    fn add(&mut self, samples: impl Iterator<Item = (u32, i64)>) {
        for (stack, value) in samples {
            let at = stack as usize;
            if at >= self.dense.len() {
                self.dense.resize(at + 1, 0);
            }
            let sum = &mut self.dense[at];
            if *sum == 0 {
                self.touched.push(stack);
            }
            match sum.checked_add(value) {
                Some(next) if value > 0 => *sum = next,
                _ => self.is_odd = true,
            }
        }
    }

    /// Writes it down if that is worth it; the next one begins.
    fn end(&mut self, step_s: u32, scale: i64, out: &mut Rows) {
        if let Some(start) = self.start(step_s).filter(|_| self.is_worth_it(scale)) {
            self.touched.sort_unstable();
            out.step_s.push(step_s);
            out.time_ns.push(start);
            out.profiles.push(self.profiles);
            out.count.push(self.touched.len() as u32);
            out.stacks.extend_from_slice(&self.touched);
            out.values.extend(self.touched.iter().map(|stack| self.dense[*stack as usize]));
        }
        for stack in self.touched.drain(..) {
            self.dense[stack as usize] = 0;
        }
        (self.profiles, self.samples, self.is_odd) = (0, 0, false);
    }

    /// In nanoseconds; `None` at the ends of all time, where buckets reach beyond it.
    fn start(&self, step_s: u32) -> Option<i64> {
        let start = self.number.checked_mul(step_ns(step_s))?;
        start.checked_add(step_ns(step_s)).map(|_| start)
    }

    fn is_worth_it(&self, scale: i64) -> bool {
        let fits = |stack: &u32| self.dense[*stack as usize].checked_mul(scale).is_some();
        let saves = !self.touched.is_empty() && self.touched.len() * SAVES_AT_LEAST <= self.samples;
        self.profiles > 1 && saves && !self.is_odd && self.touched.iter().all(fits)
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
        let mut writer = RollupWriter::new(100);
        for (minute, samples) in profiles {
            let (stacks, values): (Vec<u32>, Vec<i64>) = samples.iter().copied().unzip();
            writer.add(minute * MINUTE, scale, &stacks, &values);
        }
        writer.end_series(0, scale);
        let rows = writer.done;
        let mut samples = rows.stacks.into_iter().zip(rows.values);
        (0..rows.series.len())
            .map(|at| {
                let samples = samples.by_ref().take(rows.count[at] as usize).collect();
                (rows.step_s[at], rows.time_ns[at] / MINUTE, rows.profiles[at], samples)
            })
            .collect()
    }

    /// The same samples once a minute, so many times.
    fn each_minute(from: i64, count: i64, samples: &[(u32, i64)]) -> Vec<(i64, &[(u32, i64)])> {
        (from..from + count).map(|minute| (minute, samples)).collect()
    }

    #[test]
    fn buckets_are_summed_where_that_saves_rows() {
        let same: &[(u32, i64)] = &[(3, 10), (7, 1)];
        let mut profiles = each_minute(60, 6, same);
        profiles.push((66, &[(9, 1)]));
        assert_eq!(
            rollups(&profiles),
            [(3600, 60, 7, vec![(3, 60), (7, 6), (9, 1)]), (300, 60, 5, vec![(3, 50), (7, 5)])],
            "the second five minutes have little in common"
        );
        assert!(rollups(&each_minute(60, 3, same)).is_empty(), "a third of the rows is too much");
        assert_eq!(rollups(&each_minute(-4, 4, same))[1], (300, -5, 4, vec![(3, 40), (7, 4)]));
    }

    #[test]
    fn values_that_are_not_above_zero_and_sums_that_do_not_fit_stay_as_they_are() {
        for odd in [0, -5, i64::MAX] {
            let mut profiles = each_minute(0, 4, &[(1, 5), (2, 5)]);
            let odd: &[(u32, i64)] = &[(1, odd), (2, 5)];
            profiles.push((4, odd));
            assert!(rollups(&profiles).is_empty(), "{odd:?}");
        }
        let quarter = each_minute(0, 4, &[(1, 1)]);
        assert_eq!(scaled(&quarter, 1 << 60).len(), 2);
        assert!(scaled(&quarter, 1 << 61).is_empty(), "readers multiply by the scale");
        let mut profiles = each_minute(6, 4, &[(1, 2)]);
        profiles.insert(0, (1, &[(1, -1)]));
        assert_eq!(rollups(&profiles), [(300, 5, 4, vec![(1, 8)])], "an odd bucket leaves nothing behind");
    }
}
