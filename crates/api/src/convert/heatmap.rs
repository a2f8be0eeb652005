//! Dots of heatmaps, to and from columns of `flamelake.query.v1`.

use std::collections::HashMap;

use flamelake_model::heatmap::{Dot, DotKey, HeatmapDots};
use flamelake_model::{Labels, ProfileId, StatusError, TimestampNs};

use crate::flamelake::query::v1;

impl From<HeatmapDots> for v1::HeatmapDots {
    fn from(HeatmapDots { group, dots }: HeatmapDots) -> Self {
        let value = |value: Option<String>| v1::time_series::Value { value };
        let (mut labels, mut label_sets) = (Vec::new(), Vec::new());
        if dots.iter().any(|dot| !dot.labels.is_empty()) {
            (labels, label_sets) = label_columns(&dots);
        }
        let keys = || dots.iter().map(|dot| dot.key);
        let of_profiles = keys().any(|key| key.profile_id.0 != [0; 16]);
        let of_spans = keys().any(|key| key.span_id != 0 || key.trace_id != [0; 16]);
        Self {
            group: group.into_iter().map(value).collect(),
            times_ns: keys().map(|key| key.time.0).collect(),
            values: dots.iter().map(|dot| dot.value).collect(),
            profile_ids: keys().filter(|_| of_profiles).flat_map(|key| key.profile_id.0).collect::<Vec<u8>>().into(),
            span_ids: keys().filter(|_| of_spans).map(|key| key.span_id).collect(),
            trace_ids: keys().filter(|_| of_spans).flat_map(|key| key.trace_id).collect::<Vec<u8>>().into(),
            labels,
            label_sets,
        }
    }
}

/// Each dot's number into the distinct label sets.
fn label_columns(dots: &[Dot]) -> (Vec<u32>, Vec<v1::LabelSet>) {
    let (mut numbers, mut sets) = (HashMap::<&Labels, u32>::new(), Vec::new());
    let labels = dots.iter().map(|dot| {
        *numbers.entry(&dot.labels).or_insert_with(|| {
            sets.push(v1::LabelSet::from(&dot.labels));
            (sets.len() - 1) as u32
        })
    });
    (labels.collect(), sets)
}

impl TryFrom<v1::HeatmapDots> for HeatmapDots {
    type Error = StatusError;

    fn try_from(columns: v1::HeatmapDots) -> Result<Self, StatusError> {
        let count = columns.times_ns.len();
        let fits = |length: usize, each: usize| length == 0 || length == count * each;
        let lengths_fit = columns.values.len() == count
            && fits(columns.profile_ids.len(), 16)
            && fits(columns.span_ids.len(), 1)
            && fits(columns.trace_ids.len(), 16)
            && fits(columns.labels.len(), 1);
        if !lengths_fit || count == 0 {
            return Err(torn("columns of unequal length"));
        }
        let sets: Vec<Labels> = columns.label_sets.iter().map(Labels::from).collect();
        let labels_at = |at: usize| match columns.labels.get(at) {
            None => Ok(Labels::default()),
            Some(&set) => sets.get(set as usize).cloned().ok_or_else(|| torn("labels that are not there")),
        };
        let dot = |at: usize| {
            let key = DotKey {
                time: TimestampNs(columns.times_ns[at]),
                profile_id: ProfileId(id_at(&columns.profile_ids, at)),
                span_id: columns.span_ids.get(at).copied().unwrap_or_default(),
                trace_id: id_at(&columns.trace_ids, at),
            };
            Ok(Dot { key, value: columns.values[at], labels: labels_at(at)? })
        };
        let dots = (0..count).map(dot).collect::<Result<Vec<_>, StatusError>>()?;
        Ok(Self { group: columns.group.into_iter().map(|value| value.value).collect(), dots })
    }
}

/// An id of a column, all zero where the column is left out.
fn id_at(column: &[u8], at: usize) -> [u8; 16] {
    column.as_chunks().0.get(at).copied().unwrap_or_default()
}

fn torn(what: &str) -> StatusError {
    StatusError::internal(format!("a partial heatmap has {what}"))
}
