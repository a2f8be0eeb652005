//! Dots written as numbers to cells written as text.

use flamelake_model::heatmap::DotKey;
use flamelake_model::query::Selection;
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, ProfileId, TimeRange, TimestampNs};

use super::*;

fn question(start: i64, end: i64, step_ms: i64, limit: Option<usize>) -> HeatmapQuestion {
    let range = TimeRange::new(TimestampMs(start), TimestampMs(end)).unwrap();
    let selection = Selection { profile_type: None, selector: Selector::default(), range };
    let group_by = vec!["pod".to_owned()];
    let query = HeatmapQuery { selection, group_by, step_ms, kind: DotKind::Profile, labels: true };
    HeatmapQuestion { query, limit }
}

/// Dots given as nanoseconds, profile and value.
fn group(pod: Option<&str>, dots: &[(i64, u8, i64)]) -> HeatmapDots {
    let dot = |&(at, id, value): &(i64, u8, i64)| Dot {
        key: DotKey { time: TimestampNs(at), profile_id: ProfileId([id; 16]), span_id: 0, trace_id: [0; 16] },
        value,
        labels: Labels::from_pairs([("zone", "z")]),
    };
    HeatmapDots { group: vec![pod.map(str::to_owned)], dots: dots.iter().map(dot).collect() }
}

/// `pod: slot row*count#exemplar …`
fn text(series: &[v1::HeatmapSeries]) -> Vec<String> {
    let cells = |slot: &v1::HeatmapSlot| {
        assert_eq!((slot.y_min.len(), slot.counts.len()), (ROWS, ROWS));
        let mut exemplars = slot.exemplars.iter().map(|exemplar| exemplar.profile_id[..2].to_owned());
        let filled = slot.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let cells: Vec<String> =
            filled.map(|(row, count)| format!("{row}*{count}#{}", exemplars.next().unwrap_or_default())).collect();
        format!(" {}[{}]", slot.timestamp, cells.join(" "))
    };
    let line = |series: &v1::HeatmapSeries| {
        let pod = series.labels.first().map_or("-", |pair| &pair.value);
        format!("{pod}:{}", series.slots.iter().map(cells).collect::<String>())
    };
    series.iter().map(line).collect()
}

const MS: i64 = 1_000_000;

#[test]
fn dots_are_counted_by_slot_and_row() {
    let dots = [
        (90 * MS, 1, 0),
        (100 * MS, 2, 0),
        (100 * MS + 1, 3, 5),
        (110 * MS, 4, 100),
        (110 * MS, 5, 100),
        (135 * MS, 6, 99),
    ];
    let series = render(&[group(Some("a"), &dots)], &question(100, 135, 10, None)).unwrap();
    assert_eq!(text(&series), ["a: 100[0*2#01] 110[1*1#03 19*2#04] 140[19*1#06]"]);
    assert_eq!(series[0].slots[0].y_min[..3], [0.0, 5.0, 10.0]);
    let exemplar = &series[0].slots[2].exemplars[0];
    assert_eq!((exemplar.timestamp, exemplar.value, exemplar.labels[0].name.as_str()), (135, 99, "zone"));
}

#[test]
fn rows_span_all_series_and_equal_floors_fill_the_last() {
    let one = render(&[group(None, &[(100 * MS, 1, 7)])], &question(100, 200, 10, None)).unwrap();
    assert_eq!(text(&one), ["-: 100[19*1#01]"]);
    let groups = [group(Some("a"), &[(100 * MS, 1, 0)]), group(Some("b"), &[(100 * MS, 2, 2)])];
    let two = render(&groups, &question(100, 200, 10, None)).unwrap();
    assert_eq!(text(&two), ["a: 100[9*1#01]", "b: 100[19*1#02]"], "floors 0 ten times, then 1");
    let wide = [group(None, &[(100 * MS, 1, i64::MIN), (100 * MS, 2, i64::MAX)])];
    assert_eq!(text(&render(&wide, &question(100, 200, 10, None)).unwrap()), ["-: 100[0*1#01 19*1#02]"]);
}

#[test]
fn a_limit_keeps_the_series_with_most_dots() {
    let groups = [
        group(None, &[(100 * MS, 1, 1)]),
        group(Some("a"), &[(100 * MS, 2, 1)]),
        group(Some("b"), &[(100 * MS, 3, 1), (101 * MS, 4, 1)]),
    ];
    let pods = |limit| {
        let series = render(&groups, &question(100, 200, 10, limit)).unwrap();
        text(&series).iter().map(|line| line[..1].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pods(None), ["-", "a", "b"]);
    assert_eq!(pods(Some(3)), ["-", "a", "b"]);
    assert_eq!(pods(Some(2)), ["b", "-"]);
}

#[test]
fn spans_are_named_in_hex() {
    let mut dots = group(None, &[(100 * MS, 0, 5)]);
    dots.dots[0].key.span_id = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 0xff]);
    let mut question = question(100, 200, 10, None);
    question.query.kind = DotKind::Span;
    let series = render(std::slice::from_ref(&dots), &question).unwrap();
    let exemplar = &series[0].slots[0].exemplars[0];
    assert_eq!((exemplar.span_id.as_str(), exemplar.trace_id.as_str()), ("01020304050607ff", ""));
    assert_eq!(exemplar.profile_id, "");
    dots.dots[0].key.trace_id = [0xab; 16];
    let series = render(&[dots], &question).unwrap();
    assert_eq!(series[0].slots[0].exemplars[0].trace_id, "ab".repeat(16));
}

#[test]
fn no_dots_no_series() {
    assert!(render(&[], &question(1, 2, 1, None)).unwrap().is_empty());
}
