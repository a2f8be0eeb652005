//! Which requests fetch a set of byte ranges: close ones together, none too large (design `performance.md` 3.4).

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Ranges closer than this are fetched as one.
pub(crate) const GAP_BYTES_MAX: u64 = 512 * 1024;
/// No request asks for more.
pub(crate) const REQUEST_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The requests, sorted and disjoint. A range larger than a request is cut into several that touch.
pub(crate) fn plan(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|range| range.start < range.end).cloned().collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut requests: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        let mut start = range.start;
        if let Some(last) = requests.last_mut() {
            let close = range.start <= last.end.saturating_add(GAP_BYTES_MAX);
            if close && range.end.max(last.end) - last.start <= REQUEST_BYTES_MAX {
                last.end = last.end.max(range.end);
                continue;
            }
            start = start.max(last.end);
        }
        while start < range.end {
            let end = range.end.min(start + REQUEST_BYTES_MAX);
            requests.push(start..end);
            start = end;
        }
    }
    requests
}

/// Cuts the asked ranges out of the fetched requests; copies only those that lie in several.
pub(crate) fn cut(ranges: &[Range<u64>], requests: &[Range<u64>], fetched: &[Bytes]) -> Vec<Bytes> {
    ranges.iter().map(|range| cut_one(range, requests, fetched)).collect()
}

fn cut_one(range: &Range<u64>, requests: &[Range<u64>], fetched: &[Bytes]) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let first = requests.partition_point(|request| request.end <= range.start);
    let slice = |at: usize| {
        let request = &requests[at];
        let (start, end) = (range.start.max(request.start), range.end.min(request.end));
        fetched[at].slice((start - request.start) as usize..(end - request.start) as usize)
    };
    if range.end <= requests[first].end {
        return slice(first);
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    let later = (first..requests.len()).take_while(|at| requests[*at].start < range.end);
    later.for_each(|at| whole.extend_from_slice(&slice(at)));
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;

    #[test]
    fn close_ranges_become_one_request() {
        assert_eq!(plan(&[0..10, 20..30, 600 * KIB..601 * KIB]), [0..30, 600 * KIB..601 * KIB]);
        assert_eq!(plan(&[0..10, 512 * KIB..513 * KIB]), [0..513 * KIB]);
    }

    #[test]
    fn no_request_is_too_large() {
        assert_eq!(plan(&[0..20 * MIB]), [0..8 * MIB, 8 * MIB..16 * MIB, 16 * MIB..20 * MIB]);
    }

    #[test]
    fn empty_ranges_ask_for_nothing() {
        assert!(plan(&[5..5]).is_empty());
        assert_eq!(cut(&[5..5], &[], &[]), [Bytes::new()]);
    }

    proptest! {
        #[test]
        fn what_is_cut_out_is_what_was_asked(
            starts in proptest::collection::vec((0u64..30 * MIB, 0u64..10 * MIB), 0..12)
        ) {
            let content = |range: &Range<u64>| Bytes::from((range.start..range.end).map(|at| (at % 251) as u8).collect::<Vec<_>>());
            let ranges: Vec<_> = starts.into_iter().map(|(start, len)| start..start + len / 997).collect();
            let requests = plan(&ranges);
            prop_assert!(requests.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(requests.iter().all(|request| request.end - request.start <= REQUEST_BYTES_MAX));
            let fetched: Vec<_> = requests.iter().map(content).collect();
            let got = cut(&ranges, &requests, &fetched);
            for (range, bytes) in ranges.iter().zip(got) {
                prop_assert_eq!(bytes, content(range));
            }
        }
    }
}
