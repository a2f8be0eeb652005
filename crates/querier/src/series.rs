//! Partial series to the public form: values as doubles, names of groups, order, limit (contract `query.md` section 4, SelectSeries).

use std::cmp::Ordering;

use flamelake_api::types::v1;
use flamelake_model::Label;
use flamelake_model::query::{PartialExemplar, PartialPoint, PartialTimeSeries};

use crate::check::SeriesQuestion;

/// Series by the sum of their values, highest first, then by labels; the first `limit` of them.
pub(crate) fn render(parts: Vec<PartialTimeSeries>, question: &SeriesQuestion) -> Vec<v1::Series> {
    let mut series: Vec<(f64, v1::Series)> = parts
        .into_iter()
        .map(|part| {
            let series = one(part, question);
            (series.points.iter().map(|point| point.value).sum(), series)
        })
        .collect();
    series.sort_by(|(left_sum, left), (right_sum, right)| {
        right_sum.total_cmp(left_sum).then_with(|| compare_labels(&left.labels, &right.labels))
    });
    series.truncate(question.limit.unwrap_or(usize::MAX));
    series.into_iter().map(|(_, series)| series).collect()
}

fn compare_labels(left: &[v1::LabelPair], right: &[v1::LabelPair]) -> Ordering {
    let pair = |pair: &v1::LabelPair| (pair.name.clone(), pair.value.clone());
    left.iter().map(pair).cmp(right.iter().map(pair))
}

fn one(part: PartialTimeSeries, question: &SeriesQuestion) -> v1::Series {
    let labels = question.query.group_by.iter().zip(part.group);
    v1::Series {
        labels: labels
            .filter_map(|(name, value)| value.map(|value| v1::LabelPair { name: name.clone(), value }))
            .collect(),
        points: part.points.into_iter().map(|at| point(at, question.average)).collect(),
    }
}

fn point(point: PartialPoint, average: bool) -> v1::Point {
    let divisor = if average { point.profiles.max(1) } else { 1 };
    v1::Point {
        value: point.sum as f64 / divisor as f64,
        timestamp: point.timestamp.0,
        annotations: point.annotations.iter().map(annotation).collect(),
        exemplars: point.exemplar().into_iter().map(exemplar).collect(),
    }
}

fn annotation(annotation: &Label) -> v1::ProfileAnnotation {
    v1::ProfileAnnotation { key: annotation.name.as_ref().to_owned(), value: annotation.value.as_ref().to_owned() }
}

fn exemplar(exemplar: &PartialExemplar) -> v1::Exemplar {
    v1::Exemplar {
        timestamp: exemplar.timestamp.0,
        profile_id: exemplar.profile_id.to_string(),
        value: exemplar.value,
        labels: flamelake_api::label_pairs(&exemplar.labels),
        ..v1::Exemplar::default()
    }
}
