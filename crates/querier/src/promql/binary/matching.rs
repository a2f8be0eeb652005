//! Arithmetic and comparisons of two vectors: one element meets one, or with `group_left` and `group_right` several meet one.

use std::collections::HashMap;
use std::sync::Arc;

use flamelake_model::{Labels, LabelsBuilder, StatusError, label_name};

use super::number;
use crate::promql::ast::{Binary, Many, Matching, MatchingLabels, Side};
use crate::promql::values::{Budget, Columns, Series, Steps, Vector, execution};

/// The labels by which elements meet.
pub(super) type Signature = (Option<Arc<str>>, Labels);

pub(super) fn signature(series: &Series, labels: &MatchingLabels) -> Signature {
    match labels {
        MatchingLabels::On(names) => {
            let named = names.iter().any(|name| name == label_name::NAME);
            (series.name.clone().filter(|_| named), series.labels.only(names))
        }
        MatchingLabels::Ignoring(names) => (None, series.labels.without(names)),
    }
}

/// Elements of the side that has one for several, by what they are met by.
struct Ones<'a> {
    series: &'a [Series],
    /// At each moment, which of them is there.
    by_signature: HashMap<Signature, Vec<Option<usize>>>,
}

/// The results of all elements that meet.
pub(super) fn meet(
    budget: &Budget,
    binary: &Binary,
    left: &[Series],
    right: &[Series],
    steps: Steps,
) -> Result<Vector, StatusError> {
    let swapped = matches!(binary.matching.many, Some(Many { side: Side::Right, .. }));
    let (many, ones) = if swapped { (right, left) } else { (left, right) };
    let side = if swapped { "left" } else { "right" };
    let ones = Ones::new(ones, &binary.matching, side, steps)?;
    let mut met: HashMap<Signature, Vec<bool>> = HashMap::new();
    let mut columns = Columns::new(steps.count, budget);
    for series in many {
        budget.check()?;
        let signature = signature(series, &binary.matching.labels);
        let Some(partners) = ones.by_signature.get(&signature) else { continue };
        let mut met = match binary.matching.many {
            None => Some(met.entry(signature).or_insert_with(|| vec![false; steps.count])),
            Some(_) => None,
        };
        let mut place = None;
        for (at, partner) in partners.iter().enumerate() {
            let (Some(own), Some(partner)) = (series.values[at], *partner) else { continue };
            let Some(other) = ones.series[partner].values[at] else { continue };
            let (left, right) = if swapped { (other, own) } else { (own, other) };
            let value = match number(binary.op, left, right) {
                0.0 if binary.op.is_comparison() && !binary.bool => continue,
                // A filter lets the left side through.
                _ if binary.op.is_comparison() && !binary.bool => left,
                value => value,
            };
            if let Some(met) = &mut met
                && std::mem::replace(&mut met[at], true)
            {
                return Err(execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            // The labels of the result change with the partner only.
            let place = match place {
                Some((known, place)) if known == partner => place,
                _ => {
                    let (name, labels) = result_labels(binary, series, &ones.series[partner]);
                    place.insert((partner, columns.place(name, labels)?)).1
                }
            };
            if columns.set(place, at, value).is_some() {
                return Err(execution("multiple matches for labels: grouping labels must ensure unique matches"));
            }
        }
    }
    Ok(columns.finish())
}

impl<'a> Ones<'a> {
    /// Fails where two elements of one moment have the same signature.
    fn new(series: &'a [Series], matching: &Matching, side: &str, steps: Steps) -> Result<Self, StatusError> {
        let mut by_signature: HashMap<Signature, Vec<Option<usize>>> = HashMap::new();
        for (number, one) in series.iter().enumerate() {
            let signature = signature(one, &matching.labels);
            let moments = by_signature.entry(signature).or_insert_with(|| vec![None; steps.count]);
            for (moment, _) in moments.iter_mut().zip(&one.values).filter(|(_, value)| value.is_some()) {
                if let Some(first) = moment.replace(number) {
                    return Err(execution(format!(
                        "found duplicate series for the match group on the {side} hand-side of the operation: [{}, {}]; \
                         many-to-many matching not allowed: matching labels must be unique on one side",
                        series[first].labels, one.labels
                    )));
                }
            }
        }
        Ok(Self { series, by_signature })
    }
}

/// What a result is called: by the labels that matched, or with `group_left` and `group_right` by those of the many.
fn result_labels(binary: &Binary, many: &Series, one: &Series) -> (Option<Arc<str>>, Labels) {
    let keeps_name = binary.op.is_comparison() && !binary.bool;
    let name = many.name.clone().filter(|_| keeps_name);
    let Some(Many { include, .. }) = &binary.matching.many else {
        return match &binary.matching.labels {
            MatchingLabels::On(names) => {
                let named = names.iter().any(|name| name == label_name::NAME);
                (name.filter(|_| named), many.labels.only(names))
            }
            MatchingLabels::Ignoring(names) => (name, many.labels.without(names)),
        };
    };
    let mut labels = LabelsBuilder::from_labels(&many.labels);
    let mut name = name;
    for included in include {
        if included == label_name::NAME {
            name.clone_from(&one.name);
        } else {
            labels.set(included, one.labels.value_or_empty(included));
        }
    }
    (name, labels.build())
}
