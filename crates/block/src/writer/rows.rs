//! A partition's series, profiles and samples as columns.

use arrow_array::builder::{FixedSizeBinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{Int64Array, StringArray, UInt32Array, UInt64Array};
use flamelake_model::{Labels, label_name};

use super::column::{Column, Run, part_column, push_run, values};
use super::exact::ExactDivisor;
use super::rollups::RollupWriter;
use super::symbols::UsedSymbols;
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
}

#[derive(Default)]
struct Samples {
    series: Vec<Run>,
    profile: Vec<Run>,
    stack: Vec<u32>,
    value: Vec<i64>,
    /// 0 = none; empty if none so far.
    span: Vec<u64>,
    /// Zeros = none; empty if none so far.
    trace: Vec<[u8; 16]>,
}

#[derive(Default)]
struct Profiles {
    series: Vec<Run>,
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
    pub(super) columns: Vec<Column>,
    pub(super) count: u64,
    pub(super) samples: u64,
    pub(super) min_time_ns: i64,
    pub(super) max_time_ns: i64,
}

/// The columns of `series`.
pub(super) struct FinishedSeries {
    pub(super) columns: Vec<Column>,
    pub(super) count: u64,
    pub(super) service_name: String,
}

impl SeriesWriter {
    pub(super) fn new(part: u16, service_name: String, first_sample: u64, rollups: Option<RollupWriter>) -> Self {
        Self {
            part,
            first_sample,
            samples_done: 0,
            samples: Samples::new(),
            profiles: Profiles::default(),
            series: Series::default(),
            service_name,
            order: Vec::new(),
            rollups,
        }
    }

    /// Adds a series; `sink` takes columns of `samples` when enough have collected.
    pub(super) fn write(&mut self, mut rows: SeriesRows, used: &UsedSymbols<'_>, sink: &mut dyn FnMut(Vec<Column>)) {
        rows.profiles.sort_by_key(|row| (row.time_ns, row.id));
        let scale = scale(&rows.values);
        self.start_series(&rows, scale.get());
        for row in &rows.profiles {
            self.write_profile(row, &rows, scale, used);
            if self.samples.stack.len() >= BATCH_ROWS {
                sink(self.samples.take_columns(self.part));
            }
        }
        if let Some(rollups) = &mut self.rollups {
            rollups.end_series(self.series.labels.len() as u32 - 1, scale.get());
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

    fn write_profile(&mut self, row: &ProfileRow, rows: &SeriesRows, scale: ExactDivisor, used: &UsedSymbols<'_>) {
        let range = row.samples_start as usize..row.samples_end as usize;
        let series = self.series.labels.len() as u32 - 1;
        let profile = self.profiles.rows.len() as u32;
        self.order.clear();
        self.order.extend(range.clone().map(|at| u64::from(used.new_stack(rows.stacks[at])) << 32 | at as u64));
        // Mostly they are in order: numbers change only where symbols came from elsewhere.
        if !self.order.is_sorted() {
            self.order.sort_unstable();
        }
        let samples = &mut self.samples;
        push_run(&mut samples.series, series, range.len());
        push_run(&mut samples.profile, profile, range.len());
        samples.add_spans(&self.order, rows);
        samples.stack.extend(self.order.iter().map(|key| (key >> 32) as u32));
        samples.value.extend(self.order.iter().map(|key| scale.divide(rows.values[*key as u32 as usize])));
        if let Some(rollups) = &mut self.rollups {
            let written = samples.stack.len() - range.len();
            rollups.add(row.time_ns, scale.get(), &samples.stack[written..], &samples.value[written..]);
        }
        push_run(&mut self.profiles.series, series, 1);
        self.profiles.first_sample.push(self.first_sample + self.samples_done);
        self.profiles.rows.push(*row);
        self.samples_done += range.len() as u64;
    }

    /// The last samples, the profiles, the series.
    pub(super) fn finish(mut self) -> (Vec<Column>, FinishedProfiles, FinishedSeries) {
        let samples = self.samples.take_columns(self.part);
        let profiles = self.profiles.finish(self.part, self.samples_done);
        (samples, profiles, self.series.finish(self.part, self.service_name))
    }
}

impl Samples {
    fn new() -> Self {
        let rows = BATCH_ROWS + BATCH_ROWS / 8;
        Self { stack: Vec::with_capacity(rows), value: Vec::with_capacity(rows), ..Self::default() }
    }

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

    fn take_columns(&mut self, part: u16) -> Vec<Column> {
        let taken = std::mem::replace(self, Self::new());
        let rows = taken.stack.len();
        let spans = if taken.span.is_empty() {
            Column::Nulls(rows)
        } else {
            values(UInt64Array::from_iter(taken.span.iter().map(|span| (*span != 0).then_some(*span))))
        };
        vec![
            part_column(part, rows),
            Column::Runs(taken.series),
            Column::Runs(taken.profile),
            values(UInt32Array::from(taken.stack)),
            values(Int64Array::from(taken.value)),
            spans,
            trace_column(&taken.trace, rows),
        ]
    }
}

fn trace_column(traces: &[[u8; 16]], rows: usize) -> Column {
    if traces.is_empty() {
        return Column::Nulls(rows);
    }
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    for trace in traces {
        if *trace == [0; 16] {
            builder.append_null();
        } else {
            builder.append_value(trace).expect("16 bytes");
        }
    }
    values(builder.finish())
}

impl Profiles {
    fn finish(self, part: u16, samples: u64) -> FinishedProfiles {
        let rows = &self.rows;
        let number =
            |field: fn(&ProfileRow) -> i64| -> Column { values(Int64Array::from_iter_values(rows.iter().map(field))) };
        let mut ids = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
        for row in rows {
            ids.append_value(row.id.0).expect("16 bytes");
        }
        let columns: Vec<Column> = vec![
            part_column(part, rows.len()),
            Column::Runs(self.series),
            values(UInt32Array::from_iter_values(0..rows.len() as u32)),
            number(|row| row.time_ns),
            values(ids.finish()),
            number(|row| row.duration_ns),
            number(|row| row.period),
            number(|row| row.total),
            values(UInt64Array::from(self.first_sample)),
            values(UInt32Array::from_iter_values(rows.iter().map(|row| row.samples_end - row.samples_start))),
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
        let columns: Vec<Column> = vec![
            part_column(part, count),
            values(UInt32Array::from_iter_values(0..count as u32)),
            values(StringArray::from_iter_values(std::iter::repeat_n(&service_name, count))),
            values(StringArray::from_iter_values(types)),
            labels_column(&self.labels),
            values(Int64Array::from(self.min_time_ns)),
            values(Int64Array::from(self.max_time_ns)),
            values(UInt32Array::from(self.first_profile)),
            values(UInt32Array::from(self.profiles)),
            values(UInt64Array::from(self.samples)),
            values(Int64Array::from(self.total)),
            values(Int64Array::from(self.scale)),
        ];
        FinishedSeries { columns, count: count as u64, service_name }
    }
}

fn labels_column(series: &[Labels]) -> Column {
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
    values(builder.finish())
}

/// Greatest common divisor of all values, at least 1: stored values are that much smaller. Exact by definition.
fn scale(values: &[i64]) -> ExactDivisor {
    let mut scale = ExactDivisor::new(1);
    let mut values = values.iter().filter(|value| **value != 0);
    if let Some(first) = values.next() {
        scale = ExactDivisor::new(i64::try_from(first.unsigned_abs()).unwrap_or(1));
    }
    for value in values {
        if scale.get() == 1 {
            break;
        }
        if !scale.divides(*value) {
            let common = gcd(value.unsigned_abs(), scale.get().unsigned_abs());
            scale = ExactDivisor::new(i64::try_from(common).unwrap_or(1));
        }
    }
    scale
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
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
            assert_eq!(scale(values).get(), expected, "{values:?}");
        }
    }
}
