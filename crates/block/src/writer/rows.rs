//! A partition's series, profiles and samples as columns.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, Int64Array, StringArray, UInt32Array, UInt64Array, new_null_array};
use arrow_schema::DataType;
use flamelake_model::{Labels, label_name};

use super::rollups::{RollupWriter, Slot};
use super::symbols::{UsedSymbols, part_column};
use crate::rows::{ProfileRow, SeriesRows};
use crate::table::MAP_NAMES;

/// Samples handed on at once.
const BATCH_ROWS: usize = 64 * 1024;

/// Collects profiles and series, hands samples on in batches.
pub(super) struct SeriesWriter {
    part: u16,
    /// Row number in the file of the partition's first sample.
    first_sample: u64,
    samples_done: u64,
    samples: Samples,
    profiles: Profiles,
    series: Series,
    service_name: String,
    /// (new stack, index) of one profile's samples, for sorting.
    order: Vec<u64>,
    rollups: Option<RollupWriter>,
    /// What the rollups of one series are made of.
    stacks: Vec<u32>,
    values: Vec<i64>,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Samples {
    series: Vec<u32>,
    profile: Vec<u32>,
    stack: Vec<u32>,
    value: Vec<i64>,
    /// 0 = none; empty if none so far.
    span: Vec<u64>,
    /// Zeros = none; empty if none so far.
    trace: Vec<[u8; 16]>,
}

#[derive(Default)]
struct Profiles {
    series: Vec<u32>,
    rows: Vec<ProfileRow>,
    first_sample: Vec<u64>,
}

#[derive(Default)]
struct Series {
    labels: Vec<Labels>,
    min_time_ns: Vec<i64>,
    max_time_ns: Vec<i64>,
    first_profile: Vec<u32>,
    profiles: Vec<u32>,
    samples: Vec<u64>,
    total: Vec<i64>,
    scale: Vec<i64>,
}

/// The columns of `profiles` and what the partition's meta says of them.
pub(super) struct FinishedProfiles {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) count: u64,
    pub(super) samples: u64,
    pub(super) min_time_ns: i64,
    pub(super) max_time_ns: i64,
}

/// The columns of `series`.
pub(super) struct FinishedSeries {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) count: u64,
    pub(super) service_name: String,
}

impl SeriesWriter {
    pub(super) fn new(part: u16, service_name: String, first_sample: u64, rollups: Option<RollupWriter>) -> Self {
        Self {
            part,
            first_sample,
            samples_done: 0,
            samples: Samples::default(),
            profiles: Profiles::default(),
            series: Series::default(),
            service_name,
            order: Vec::new(),
            rollups,
            stacks: Vec::new(),
            values: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Adds a series; `sink` takes columns of `samples` when enough have collected.
    pub(super) fn write(&mut self, mut rows: SeriesRows, used: &UsedSymbols<'_>, sink: &mut dyn FnMut(Vec<ArrayRef>)) {
        rows.profiles.sort_by_key(|row| (row.time_ns, row.id));
        let scale = scale(&rows.values);
        self.start_series(&rows, scale);
        for row in &rows.profiles {
            self.write_profile(row, &rows, scale, used);
            if self.samples.stack.len() >= BATCH_ROWS {
                sink(self.samples.take_columns(self.part));
            }
        }
        if let Some(rollups) = &mut self.rollups {
            rollups.write(self.series.labels.len() as u32 - 1, scale, &self.slots, &self.stacks, &self.values);
            self.slots.clear();
            self.stacks.clear();
            self.values.clear();
        }
    }

    /// The rollups of all series so far.
    pub(super) fn take_rollups(&mut self) -> Option<RollupWriter> {
        self.rollups.take()
    }

    fn start_series(&mut self, rows: &SeriesRows, scale: i64) {
        let series = &mut self.series;
        series.labels.push(rows.labels.clone());
        series.min_time_ns.push(rows.profiles.first().map_or(0, |row| row.time_ns));
        series.max_time_ns.push(rows.profiles.last().map_or(0, |row| row.time_ns));
        series.first_profile.push(self.profiles.rows.len() as u32);
        series.profiles.push(rows.profiles.len() as u32);
        series.samples.push(rows.profiles.iter().map(|row| u64::from(row.samples_end - row.samples_start)).sum());
        series.total.push(rows.profiles.iter().fold(0, |sum, row| sum.wrapping_add(row.total)));
        series.scale.push(scale);
    }

    fn write_profile(&mut self, row: &ProfileRow, rows: &SeriesRows, scale: i64, used: &UsedSymbols<'_>) {
        let range = row.samples_start as usize..row.samples_end as usize;
        let series = self.series.labels.len() as u32 - 1;
        let profile = self.profiles.rows.len() as u32;
        self.order.clear();
        self.order.extend(range.clone().map(|at| u64::from(used.new_stack(rows.stacks[at])) << 32 | at as u64));
        self.order.sort_unstable();
        let samples = &mut self.samples;
        samples.series.resize(samples.series.len() + range.len(), series);
        samples.profile.resize(samples.profile.len() + range.len(), profile);
        samples.add_spans(&self.order, rows);
        samples.stack.extend(self.order.iter().map(|key| (key >> 32) as u32));
        samples.value.extend(self.order.iter().map(|key| rows.values[*key as u32 as usize] / scale));
        if self.rollups.is_some() {
            let start = self.stacks.len();
            let written = samples.stack.len() - range.len();
            self.stacks.extend_from_slice(&samples.stack[written..]);
            self.values.extend_from_slice(&samples.value[written..]);
            self.slots.push(Slot { time_ns: row.time_ns, samples: start..self.stacks.len() });
        }
        self.profiles.series.push(series);
        self.profiles.first_sample.push(self.first_sample + self.samples_done);
        self.profiles.rows.push(*row);
        self.samples_done += range.len() as u64;
    }

    /// The last samples, the profiles, the series.
    pub(super) fn finish(mut self) -> (Vec<ArrayRef>, FinishedProfiles, FinishedSeries) {
        let samples = self.samples.take_columns(self.part);
        let profiles = self.profiles.finish(self.part, self.samples_done);
        (samples, profiles, self.series.finish(self.part, self.service_name))
    }
}

impl Samples {
    /// Called before the stacks of the same samples are added.
    fn add_spans(&mut self, order: &[u64], rows: &SeriesRows) {
        let before = self.stack.len();
        if !rows.spans.is_empty() || !self.span.is_empty() {
            self.span.resize(before, 0);
            self.span.extend(order.iter().map(|key| rows.spans.get(*key as u32 as usize).copied().unwrap_or_default()));
        }
        if !rows.traces.is_empty() || !self.trace.is_empty() {
            self.trace.resize(before, [0; 16]);
            self.trace
                .extend(order.iter().map(|key| rows.traces.get(*key as u32 as usize).copied().unwrap_or_default()));
        }
    }

    fn take_columns(&mut self, part: u16) -> Vec<ArrayRef> {
        let taken = std::mem::take(self);
        let rows = taken.stack.len();
        let spans: ArrayRef = if taken.span.is_empty() {
            new_null_array(&DataType::UInt64, rows)
        } else {
            Arc::new(UInt64Array::from_iter(taken.span.iter().map(|span| (*span != 0).then_some(*span))))
        };
        vec![
            part_column(part, rows),
            Arc::new(UInt32Array::from(taken.series)),
            Arc::new(UInt32Array::from(taken.profile)),
            Arc::new(UInt32Array::from(taken.stack)),
            Arc::new(Int64Array::from(taken.value)),
            spans,
            trace_column(&taken.trace, rows),
        ]
    }
}

fn trace_column(traces: &[[u8; 16]], rows: usize) -> ArrayRef {
    if traces.is_empty() {
        return new_null_array(&DataType::FixedSizeBinary(16), rows);
    }
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    for trace in traces {
        if *trace == [0; 16] {
            builder.append_null();
        } else {
            builder.append_value(trace).expect("16 bytes");
        }
    }
    Arc::new(builder.finish())
}

impl Profiles {
    fn finish(self, part: u16, samples: u64) -> FinishedProfiles {
        let rows = &self.rows;
        let number = |field: fn(&ProfileRow) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(field)))
        };
        let mut ids = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
        for row in rows {
            ids.append_value(row.id.0).expect("16 bytes");
        }
        let columns: Vec<ArrayRef> = vec![
            part_column(part, rows.len()),
            Arc::new(UInt32Array::from(self.series)),
            Arc::new(UInt32Array::from_iter_values(0..rows.len() as u32)),
            number(|row| row.time_ns),
            Arc::new(ids.finish()),
            number(|row| row.duration_ns),
            number(|row| row.period),
            number(|row| row.total),
            Arc::new(UInt64Array::from(self.first_sample)),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.samples_end - row.samples_start))),
        ];
        FinishedProfiles {
            columns,
            count: rows.len() as u64,
            samples,
            min_time_ns: rows.iter().map(|row| row.time_ns).min().unwrap_or_default(),
            max_time_ns: rows.iter().map(|row| row.time_ns).max().unwrap_or_default(),
        }
    }
}

impl Series {
    fn finish(self, part: u16, service_name: String) -> FinishedSeries {
        let count = self.labels.len();
        let types = self.labels.iter().map(|labels| labels.value_or_empty(label_name::PROFILE_TYPE));
        let columns: Vec<ArrayRef> = vec![
            part_column(part, count),
            Arc::new(UInt32Array::from_iter_values(0..count as u32)),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&service_name, count))),
            Arc::new(StringArray::from_iter_values(types)),
            labels_column(&self.labels),
            Arc::new(Int64Array::from(self.min_time_ns)),
            Arc::new(Int64Array::from(self.max_time_ns)),
            Arc::new(UInt32Array::from(self.first_profile)),
            Arc::new(UInt32Array::from(self.profiles)),
            Arc::new(UInt64Array::from(self.samples)),
            Arc::new(Int64Array::from(self.total)),
            Arc::new(Int64Array::from(self.scale)),
        ];
        FinishedSeries { columns, count: count as u64, service_name }
    }
}

fn labels_column(series: &[Labels]) -> ArrayRef {
    let [entry, key, value] = MAP_NAMES.map(str::to_owned);
    let mut builder =
        MapBuilder::new(Some(MapFieldNames { entry, key, value }), StringBuilder::new(), StringBuilder::new());
    for labels in series {
        for label in labels {
            builder.keys().append_value(&label.name);
            builder.values().append_value(&label.value);
        }
        builder.append(true).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

/// Greatest common divisor of all values, at least 1: stored values are that much smaller. Exact by definition.
fn scale(values: &[i64]) -> i64 {
    let mut scale = 0_u64;
    for value in values {
        scale = gcd(value.unsigned_abs(), scale);
        if scale == 1 {
            break;
        }
    }
    i64::try_from(scale).unwrap_or(1).max(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    // The usual case: one division tells that nothing changes.
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_share_a_scale() {
        for (values, expected) in [
            (&[][..], 1),
            (&[0, 0], 1),
            (&[20, 30, 0], 10),
            (&[7, 3], 1),
            (&[i64::MIN], 1),
            (&[-6, 9], 3),
            (&[i64::MAX], i64::MAX),
        ] {
            assert_eq!(scale(values), expected, "{values:?}");
        }
    }
}
