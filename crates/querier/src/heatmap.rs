//! Dots to cells and to the public form (contract `query.md` section 4, SelectHeatmap).
//!
//! Time is cut into slots `(t - step, t]` counted from the start; values into 20 rows between the least and the greatest dot of all
//! series. It takes CPU: call it off the async threads.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use flamelake_api::types::v1;
use flamelake_model::heatmap::{Dot, DotKind, HeatmapDots, HeatmapQuery};
use flamelake_model::{StatusError, TimestampMs};

use crate::check::HeatmapQuestion;

/// Rows of a heatmap.
const ROWS: usize = 20;
/// Most slots of one answer: each costs 20 counts and 20 floors.
const SLOTS_MAX: usize = 200_000;

/// Series in order of their labels, or the `limit` of them with the most dots.
pub(crate) fn render(
    groups: &[HeatmapDots],
    question: &HeatmapQuestion,
) -> Result<Vec<v1::HeatmapSeries>, StatusError> {
    let Some(rows) = Rows::over(groups) else { return Ok(Vec::new()) };
    let mut all: Vec<(Vec<v1::LabelPair>, &HeatmapDots)> =
        groups.iter().map(|group| (labels(group, &question.query), group)).collect();
    all.sort_by(|(left, _), (right, _)| order(left).cmp(order(right)));
    if let Some(limit) = question.limit.filter(|limit| *limit < all.len()) {
        // Stable: among equals the labels decide.
        all.sort_by_key(|(_, group)| Reverse(group.dots.len()));
        all.truncate(limit);
    }
    let mut slots_left = SLOTS_MAX;
    let series = all.into_iter().map(|(labels, group)| {
        let slots = slots(group, question, &rows);
        slots_left = slots_left.checked_sub(slots.len()).ok_or_else(too_many_slots)?;
        Ok(v1::HeatmapSeries { labels, slots })
    });
    series.collect()
}

fn too_many_slots() -> StatusError {
    StatusError::resource_exhausted(format!(
        "the heatmap has more than {SLOTS_MAX} slots: use a larger step, a limit, a shorter range or fewer group-by labels"
    ))
}

fn labels(group: &HeatmapDots, query: &HeatmapQuery) -> Vec<v1::LabelPair> {
    let pairs = query.group_by.iter().zip(&group.group);
    pairs.filter_map(|(name, value)| value.clone().map(|value| v1::LabelPair { name: name.clone(), value })).collect()
}

fn order(labels: &[v1::LabelPair]) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()))
}

/// The rows: 20 floors at equal distances.
struct Rows {
    floors: [i64; ROWS],
}

impl Rows {
    /// Between the least and the greatest dot; `None` without dots.
    fn over(groups: &[HeatmapDots]) -> Option<Self> {
        let values = || groups.iter().flat_map(|group| &group.dots).map(|dot| dot.value);
        let (min, max) = (i128::from(values().min()?), i128::from(values().max()?));
        let height = (max - min).max(1);
        // A floor lies between two values of 64 bits.
        let floor = |row: usize| i64::try_from(min + row as i128 * height / ROWS as i128).unwrap_or(i64::MAX);
        Some(Self { floors: std::array::from_fn(floor) })
    }

    /// Among rows with the same floor the last takes the dot.
    fn of(&self, value: i64) -> usize {
        self.floors.partition_point(|floor| *floor <= value).saturating_sub(1)
    }
}

/// One column of cells.
#[derive(Default)]
struct Slot<'a> {
    counts: [i32; ROWS],
    /// The greatest dot of each cell.
    best: [Option<&'a Dot>; ROWS],
}

fn slots(group: &HeatmapDots, question: &HeatmapQuestion, rows: &Rows) -> Vec<v1::HeatmapSlot> {
    let query = &question.query;
    let mut slots: BTreeMap<i64, Slot<'_>> = BTreeMap::new();
    for dot in &group.dots {
        let (slot, row) = (slots.entry(right_edge(dot, query).0).or_default(), rows.of(dot.value));
        slot.counts[row] = slot.counts[row].saturating_add(1);
        let best = &mut slot.best[row];
        // Dots ascend by key: of equal values the first stays, whatever the layout.
        if best.is_none_or(|best| dot.value > best.value) {
            *best = Some(dot);
        }
    }
    let y_min: Vec<f64> = rows.floors.iter().map(|floor| *floor as f64).collect();
    let slot = |(timestamp, slot): (i64, Slot<'_>)| v1::HeatmapSlot {
        timestamp,
        y_min: y_min.clone(),
        counts: slot.counts.to_vec(),
        exemplars: if query.labels {
            slot.best.into_iter().flatten().map(|dot| exemplar(dot, query.kind)).collect()
        } else {
            Vec::new()
        },
    };
    slots.into_iter().map(slot).collect()
}

/// The slot that a dot lies in; what is read before the start lies in the first.
fn right_edge(dot: &Dot, query: &HeatmapQuery) -> TimestampMs {
    let start_ms = i128::from(query.selection.range.start().0);
    let step = i128::from(query.step_ms.max(1)) * 1_000_000;
    let after_start = i128::from(dot.key.time.0) - start_ms * 1_000_000;
    // Rounded up: `(t - step, t]` belongs to `t`.
    let slot = if after_start <= 0 { 0 } else { (after_start - 1) / step + 1 };
    TimestampMs(i64::try_from(start_ms + slot * i128::from(query.step_ms)).unwrap_or(i64::MAX))
}

fn exemplar(dot: &Dot, kind: DotKind) -> v1::Exemplar {
    let mut exemplar = v1::Exemplar {
        timestamp: dot.key.time.to_ms().0,
        value: dot.value,
        labels: flamelake_api::label_pairs(&dot.labels),
        ..v1::Exemplar::default()
    };
    match kind {
        DotKind::Profile => exemplar.profile_id = dot.key.profile_id.to_string(),
        DotKind::Span => {
            exemplar.span_id = hex(&dot.key.span_id.to_le_bytes());
            if dot.key.trace_id != [0; 16] {
                exemplar.trace_id = hex(&dot.key.trace_id);
            }
        }
    }
    exemplar
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
