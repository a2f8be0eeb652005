//! The full label set of a stored series (contract `ingest.md` sections 1.2 and 1.4).

use flamelake_model::{Labels, LabelsBuilder, label_name};

use crate::frame::{Frame, Group};

/// Labels of the series that holds value column `sample_type` of a group: the group's own plus `__type__`, `__unit__` and
/// `__profile_type__`.
///
/// # Panics
/// If the group is not the frame's, or there is no such column.
pub fn series_labels(frame: &Frame, group: &Group, sample_type: usize) -> Labels {
    let text = |at| frame.strings.get(at);
    let own = group.labels.iter().map(|(name, value)| (text(*name), text(*value)));
    let mut labels = LabelsBuilder::from_labels(&Labels::from_pairs(own));
    let column = frame.sample_types[sample_type];
    let (kind, unit) = (text(column.kind), text(column.unit));
    let (period_kind, period_unit) = (text(frame.period_type.kind), text(frame.period_type.unit));
    let name = group_name(frame, group);
    labels.set(label_name::TYPE, kind);
    labels.set(label_name::UNIT, unit);
    labels.set(label_name::PROFILE_TYPE, &format!("{name}:{kind}:{unit}:{period_kind}:{period_unit}"));
    labels.build()
}

/// A relabel rule may have given a group another name than the frame's.
fn group_name<'a>(frame: &'a Frame, group: &Group) -> &'a str {
    let own = group.labels.iter().find(|(name, _)| frame.strings.get(*name) == label_name::NAME);
    own.map_or_else(|| frame.strings.get(frame.name), |(_, value)| frame.strings.get(*value))
}
