//! What is at hand at once: neighbouring series as long as their rows fit, and a series that is larger in pieces of time.

use std::collections::HashSet;

use flamelake_block::reader::BlockReader;
use flamelake_block::rows::ProfileRow;
use flamelake_model::{ProfileId, TimestampNs};

use super::{Input, MergedSeries};
use crate::error::MergeError;

/// Pieces of one series at most: each becomes a partition, and those are numbered in 16 bits.
const PIECES_MAX: u64 = 1024;

/// Rows that become one partition.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) series: Vec<MergedSeries>,
    /// First instant whose profiles are in it.
    pub(super) from: TimestampNs,
    /// The last one.
    pub(super) to: TimestampNs,
    /// Profiles that an earlier source holds too, maybe in another piece: (index into the readers, id). Empty if the series are whole.
    pub(super) repeated: HashSet<(usize, ProfileId)>,
}

/// A profile of a series that is to be cut.
struct Seen {
    source: usize,
    time_ns: i64,
    id: ProfileId,
    bytes: u64,
}

/// Cuts series into slices of at most so many bytes; only profiles of one instant can be more.
pub(super) async fn slices(
    readers: &[BlockReader],
    inputs: &[Input],
    series: Vec<MergedSeries>,
    bytes_max: u64,
) -> Result<Vec<Slice>, MergeError> {
    let mut out = Vec::new();
    for neighbours in neighbours(series, bytes_max) {
        match <[MergedSeries; 1]>::try_from(neighbours) {
            Ok([large]) if large.bytes > bytes_max => out.extend(cut(readers, inputs, large, bytes_max).await?),
            Ok([one]) => out.push(whole(vec![one])),
            Err(several) => out.push(whole(several)),
        }
    }
    Ok(out)
}

fn whole(series: Vec<MergedSeries>) -> Slice {
    Slice { series, from: TimestampNs(i64::MIN), to: TimestampNs(i64::MAX), repeated: HashSet::new() }
}

/// Neighbouring series as long as their rows fit; at least one each.
fn neighbours(series: Vec<MergedSeries>, bytes_max: u64) -> Vec<Vec<MergedSeries>> {
    let mut out: Vec<Vec<MergedSeries>> = Vec::new();
    let mut bytes = 0_u64;
    for one in series {
        bytes = bytes.saturating_add(one.bytes);
        if out.is_empty() || bytes > bytes_max {
            out.push(Vec::new());
            bytes = one.bytes;
        }
        out.last_mut().expect("pushed above if there was none").push(one);
    }
    out
}

async fn cut(
    readers: &[BlockReader],
    inputs: &[Input],
    series: MergedSeries,
    bytes_max: u64,
) -> Result<Vec<Slice>, MergeError> {
    let mut seen = Vec::new();
    for (input, number) in &series.from {
        let input = &inputs[*input];
        let Input { source, part, .. } = *input;
        let reader = &readers[source];
        let mut note = |_: u32, rows: &[ProfileRow]| {
            let kept = rows.iter().filter(|row| !series.dooms(row));
            seen.extend(kept.map(|row| Seen { source, time_ns: row.time_ns, id: row.id, bytes: input.row_bytes(row) }));
        };
        let read = reader.profiles(part, &[*number], TimestampNs(i64::MIN), TimestampNs(i64::MAX), &mut note).await;
        read.map_err(|source| MergeError::Read { block: reader.meta().ulid, source })?;
    }
    let repeated = repeated(&seen);
    let starts = starts(&mut seen, bytes_max.max(series.bytes.div_ceil(PIECES_MAX)));
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([i64::MAX]);
    let piece = |(start, end): (&i64, i64)| Slice {
        series: vec![series.clone()],
        from: TimestampNs(*start),
        to: TimestampNs(end),
        repeated: repeated.clone(),
    };
    Ok(starts.iter().zip(ends).map(piece).collect())
}

/// What an earlier source holds too. Sources come one after the other; what one source holds twice, it was told twice.
fn repeated(seen: &[Seen]) -> HashSet<(usize, ProfileId)> {
    let (mut ids, mut out) = (HashSet::new(), HashSet::new());
    for source in seen.chunk_by(|a, b| a.source == b.source) {
        let both = source.iter().filter(|row| ids.contains(&row.id));
        out.extend(both.map(|row| (row.source, row.id)));
        ids.extend(source.iter().map(|row| row.id));
    }
    out
}

/// Where pieces begin, the first at the beginning of time.
fn starts(seen: &mut [Seen], bytes_max: u64) -> Vec<i64> {
    seen.sort_unstable_by_key(|row| row.time_ns);
    let (mut starts, mut bytes) = (vec![i64::MIN], 0);
    for instant in seen.chunk_by(|a, b| a.time_ns == b.time_ns) {
        let more: u64 = instant.iter().map(|row| row.bytes).sum();
        if bytes > 0 && bytes + more > bytes_max {
            starts.push(instant[0].time_ns);
            bytes = 0;
        }
        bytes += more;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_fit_together() {
        let series = |bytes| MergedSeries { bytes, ..MergedSeries::default() };
        let cut = neighbours([4, 5, 2, 30, 1].map(series).into_iter().collect(), 10);
        let sizes: Vec<Vec<u64>> = cut.iter().map(|slice| slice.iter().map(|one| one.bytes).collect()).collect();
        assert_eq!(sizes, [vec![4, 5], vec![2], vec![30], vec![1]]);
    }

    fn rows(rows: &[(usize, i64, u8)]) -> Vec<Seen> {
        let row = |(source, time_ns, id): &(usize, i64, u8)| Seen {
            source: *source,
            time_ns: *time_ns,
            id: ProfileId([*id; 16]),
            bytes: 10,
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn pieces_begin_between_instants() {
        let mut seen = rows(&[(0, 5, 1), (0, 1, 2), (1, 5, 3), (1, 5, 4), (1, 2, 5), (1, 9, 6)]);
        assert_eq!(starts(&mut seen, 20), [i64::MIN, 5, 9], "three profiles of one instant stay together");
        assert_eq!(starts(&mut seen, 10), [i64::MIN, 2, 5, 9]);
        assert_eq!(starts(&mut seen, 1000), [i64::MIN]);
        assert_eq!(starts(&mut [], 10), [i64::MIN]);
    }

    #[test]
    fn what_an_earlier_source_holds_is_repeated_whenever_it_is_said_to_be() {
        let seen = rows(&[(0, 1, 1), (0, 1, 1), (2, 7, 1), (2, 7, 2), (3, 8, 2), (3, 8, 3)]);
        let of = |source, id| (source, ProfileId([id; 16]));
        assert_eq!(repeated(&seen), HashSet::from([of(2, 1), of(3, 2)]));
    }
}
