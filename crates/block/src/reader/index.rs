//! Series and profiles of a partition, decoded and checked: which sample rows belong to which series and time.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, FixedSizeBinaryArray, MapArray, StringArray};
use flamelake_model::{Labels, ProfileId, TimestampNs};

use super::table_reader::Columns;
use super::{ReadError, SeriesEntry};
use crate::rows::ProfileRow;

/// Columns of `series` that [`PartitionIndex::decode`] needs.
pub(super) const SERIES_COLUMNS: [&str; 6] =
    ["labels", "min_time_ns", "max_time_ns", "first_profile", "profiles", "scale"];
/// Columns of `profiles` that [`PartitionIndex::decode`] needs.
pub(super) const PROFILE_COLUMNS: [&str; 7] =
    ["time_ns", "profile_id", "duration_ns", "period", "total", "first_sample", "samples"];

/// See the module.
#[derive(Debug)]
pub(super) struct PartitionIndex {
    pub(super) series: Arc<[SeriesEntry]>,
    /// What each series' stored values are multiplied by.
    pub(super) scales: Vec<i64>,
    /// Profiles of each series.
    ranges: Vec<Range<u32>>,
    /// Sample ranges count from the partition's first sample.
    profiles: Vec<ProfileRow>,
    label_bytes: usize,
}

impl PartitionIndex {
    /// `samples`: the partition's rows in the samples file.
    pub(super) fn decode(series: &Columns<'_>, profiles: &Columns<'_>, samples: Range<u64>) -> Result<Self, ReadError> {
        let profiles_decoded = decode_profiles(profiles, samples)?;
        let labels = decode_labels(series)?;
        let label_bytes =
            labels.iter().flat_map(Labels::iter).map(|label| label.name.len() + label.value.len() + 64).sum();
        let min_times = series.numbers::<Int64Type>("min_time_ns")?;
        let max_times = series.numbers::<Int64Type>("max_time_ns")?;
        let times = min_times.into_iter().zip(max_times);
        let entry =
            |(labels, (min, max))| SeriesEntry { labels, min_time: TimestampNs(min), max_time: TimestampNs(max) };
        let ranges = profile_ranges(series, &profiles_decoded)?;
        Ok(Self {
            series: labels.into_iter().zip(times).map(entry).collect(),
            scales: series.numbers::<Int64Type>("scale")?,
            ranges,
            profiles: profiles_decoded,
            label_bytes,
        })
    }

    /// Profiles of a series within `[from, to]`; none of an unknown series.
    pub(super) fn profiles(&self, series: u32, from: TimestampNs, to: TimestampNs) -> &[ProfileRow] {
        let Some(range) = self.ranges.get(series as usize) else {
            return &[];
        };
        let rows = &self.profiles[range.start as usize..range.end as usize];
        let start = rows.partition_point(|row| row.time_ns < from.0);
        let end = rows.partition_point(|row| row.time_ns <= to.0);
        rows.get(start..end).unwrap_or_default()
    }

    /// All samples of a series.
    pub(super) fn samples_of(&self, series: usize) -> Range<usize> {
        let rows = &self.profiles[self.ranges[series].start as usize..self.ranges[series].end as usize];
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => first.samples_start as usize..last.samples_end as usize,
            _ => 0..0,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.profiles.capacity() * size_of::<ProfileRow>()
            + self.series.len() * (size_of::<SeriesEntry>() + size_of::<i64>() + size_of::<Range<u32>>())
            + self.label_bytes
    }
}

fn decode_profiles(columns: &Columns<'_>, samples: Range<u64>) -> Result<Vec<ProfileRow>, ReadError> {
    let times = columns.numbers::<Int64Type>("time_ns")?;
    let durations = columns.numbers::<Int64Type>("duration_ns")?;
    let periods = columns.numbers::<Int64Type>("period")?;
    let totals = columns.numbers::<Int64Type>("total")?;
    let firsts = columns.numbers::<UInt64Type>("first_sample")?;
    let counts = columns.numbers::<UInt32Type>("samples")?;
    let ids = decode_ids(columns)?;
    let mut rows = Vec::with_capacity(times.len());
    let mut next = samples.start;
    for at in 0..times.len() {
        let end = next + u64::from(counts[at]);
        if firsts[at] != next || end > samples.end {
            return Err(columns.damaged(format!("profile {at} has samples that are not its own")));
        }
        rows.push(ProfileRow {
            time_ns: times[at],
            id: ids[at],
            duration_ns: durations[at],
            period: periods[at],
            total: totals[at],
            samples_start: sample_number(columns, next - samples.start)?,
            samples_end: sample_number(columns, end - samples.start)?,
        });
        next = end;
    }
    if next != samples.end {
        return Err(columns.damaged("some samples have no profile"));
    }
    Ok(rows)
}

fn sample_number(columns: &Columns<'_>, row: u64) -> Result<u32, ReadError> {
    u32::try_from(row).map_err(|_| columns.damaged("more than 2^32 samples"))
}

fn decode_ids(columns: &Columns<'_>) -> Result<Vec<ProfileId>, ReadError> {
    let mut ids = Vec::with_capacity(columns.rows());
    for part in columns.parts::<FixedSizeBinaryArray>("profile_id")? {
        for id in part.iter() {
            let bytes =
                id.and_then(|id| id.try_into().ok()).ok_or_else(|| columns.damaged("a profile id is not 16 bytes"))?;
            ids.push(ProfileId(bytes));
        }
    }
    Ok(ids)
}

fn decode_labels(columns: &Columns<'_>) -> Result<Vec<Labels>, ReadError> {
    let mut out = Vec::with_capacity(columns.rows());
    for part in columns.parts::<MapArray>("labels")? {
        for at in 0..part.len() {
            let entries = part.value(at);
            let text = |column: usize| {
                entries.columns().get(column).and_then(|column| column.as_any().downcast_ref::<StringArray>())
            };
            let (Some(names), Some(values)) = (text(0), text(1)) else {
                return Err(columns.damaged("labels are not texts"));
            };
            let pairs = names.iter().zip(values.iter());
            out.push(Labels::from_pairs(
                pairs.map(|(name, value)| (name.unwrap_or_default(), value.unwrap_or_default())),
            ));
        }
    }
    Ok(out)
}

/// Each series' profiles; together they are all profiles, in order, ascending in time.
fn profile_ranges(columns: &Columns<'_>, profiles: &[ProfileRow]) -> Result<Vec<Range<u32>>, ReadError> {
    let firsts = columns.numbers::<UInt32Type>("first_profile")?;
    let counts = columns.numbers::<UInt32Type>("profiles")?;
    let mut next = 0_u32;
    let mut ranges = Vec::with_capacity(firsts.len());
    for (series, (first, count)) in firsts.into_iter().zip(counts).enumerate() {
        let end = first.checked_add(count).filter(|end| first == next && *end as usize <= profiles.len());
        let end = end.ok_or_else(|| columns.damaged(format!("series {series} has profiles that are not its own")))?;
        let rows = &profiles[first as usize..end as usize];
        if !rows.is_sorted_by_key(|row| row.time_ns) {
            return Err(columns.damaged(format!("profiles of series {series} are not in order of time")));
        }
        ranges.push(first..end);
        next = end;
    }
    if next as usize != profiles.len() {
        return Err(columns.damaged("some profiles have no series"));
    }
    Ok(ranges)
}
