//! `and`, `or`, `unless`: elements stay or go by whether the other side has one with the same matching labels.

use std::collections::HashMap;

use flamelake_model::StatusError;

use super::matching::{Signature, signature};
use crate::promql::ast::{Binary, BinaryOp};
use crate::promql::values::{Budget, Columns, Series, Steps, Vector};

/// Elements of the left that stay, and with `or` those of the right that the left has not.
pub(super) fn combine(
    budget: &Budget,
    binary: &Binary,
    left: &[Series],
    right: &[Series],
    steps: Steps,
) -> Result<Vector, StatusError> {
    let labels = &binary.matching.labels;
    let there = |series: &[Series]| {
        let mut there: HashMap<Signature, Vec<bool>> = HashMap::new();
        for series in series {
            let moments = there.entry(signature(series, labels)).or_insert_with(|| vec![false; steps.count]);
            moments.iter_mut().zip(&series.values).for_each(|(there, value)| *there |= value.is_some());
        }
        there
    };
    let (in_left, in_right) = match binary.op {
        BinaryOp::Or => (there(left), HashMap::new()),
        _ => (HashMap::new(), there(right)),
    };
    let mut columns = Columns::new(steps.count, budget);
    let mut keep = |series: &Series, others: &HashMap<Signature, Vec<bool>>, wanted: Option<bool>| {
        budget.check()?;
        let others = others.get(&signature(series, labels));
        let place = columns.place(series.name.clone(), series.labels.clone())?;
        for (at, value) in series.values.iter().enumerate() {
            let other = others.is_some_and(|moments| moments[at]);
            if let Some(value) = value
                && wanted.is_none_or(|wanted| wanted == other)
            {
                columns.set(place, at, *value);
            }
        }
        Ok::<_, StatusError>(())
    };
    match binary.op {
        BinaryOp::And => left.iter().try_for_each(|series| keep(series, &in_right, Some(true)))?,
        BinaryOp::Unless => left.iter().try_for_each(|series| keep(series, &in_right, Some(false)))?,
        _ => {
            left.iter().try_for_each(|series| keep(series, &in_left, None))?;
            right.iter().try_for_each(|series| keep(series, &in_left, Some(false)))?;
        }
    }
    Ok(columns.finish())
}
