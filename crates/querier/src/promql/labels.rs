//! Questions about labels: names, values, and the series of a selector.

use std::collections::BTreeSet;

use flamelake_model::query::{PartialQuery, PartialResult, Selection};
use flamelake_model::selector::Selector;
use flamelake_model::{Labels, StatusError, TimeRange, TimestampMs, label_name};

use super::ast::VectorSelector;
use super::document;
use super::http::selectors;
use super::metrics::{FUNCTION, Metric, Selected, select};
use super::params::Params;
use super::plan::Wanted;
use super::source::{Load, SeriesSource as _, Stored, selection_of};
use super::values::RangeSeries;
use crate::Querier;
use crate::service::{Answer, Caller};

/// Parts of the range in which functions are looked for.
const BUCKETS: i64 = 8;

/// Which series, and when.
#[derive(Debug)]
pub(crate) struct LabelQuestion {
    /// Any of them may match; empty = everything.
    pub(crate) selectors: Vec<VectorSelector>,
    start: i64,
    end: i64,
}

impl LabelQuestion {
    /// Without a range it is the last hour.
    pub(crate) fn new(querier: &Querier, params: &Params) -> Result<Self, StatusError> {
        let now = querier.now();
        let end = params.time("end", now.0)?;
        let start = params.time("start", TimestampMs(end.min(now.0.0).saturating_sub(3_600_000)))?;
        // Nothing is older than time itself, and 0 is no time.
        Ok(Self { selectors: selectors(params)?, start: start.max(1), end: end.max(1) })
    }

    /// Each metric with what is asked of it; `None` where the range lies before the look-back.
    fn selected(&self, querier: &Querier, caller: &Caller) -> Result<Option<Vec<(Selected, Selection)>>, StatusError> {
        let Some(range) = querier.checked_range(caller, self.start, self.end)? else { return Ok(None) };
        let mut all = Vec::new();
        for selector in &self.selectors {
            all.extend(select(selector)?);
        }
        if self.selectors.is_empty() {
            all.push(Selected { metric: Metric::Profile, selector: Selector::all(), function: Vec::new() });
        }
        Ok(Some(all.into_iter().map(|one| with_selection(one, range)).collect()))
    }
}

fn with_selection(selected: Selected, range: TimeRange) -> (Selected, Selection) {
    let selection = selection_of(&selected, range);
    (selected, selection)
}

/// Names of labels, sorted.
pub(crate) async fn names(
    querier: &Querier,
    caller: &Caller,
    question: &LabelQuestion,
) -> Result<Answer<Vec<String>>, StatusError> {
    let (mut names, mut set_aside) = (BTreeSet::new(), Vec::new());
    for (selected, selection) in question.selected(querier, caller)?.unwrap_or_default() {
        let found = querier.strings(caller, PartialQuery::LabelNames(selection)).await?;
        set_aside.extend(found.set_aside);
        if !found.value.is_empty() {
            names.insert(label_name::NAME.to_owned());
            names.extend(selected.metric.has_function().then(|| FUNCTION.to_owned()));
        }
        names.extend(found.value.iter().filter_map(|stored| selected.metric.shown(stored)));
    }
    Ok(answer(names, set_aside))
}

/// Values of a label, sorted.
pub(crate) async fn values(
    querier: &Querier,
    caller: &Caller,
    question: &LabelQuestion,
    name: &str,
) -> Result<Answer<Vec<String>>, StatusError> {
    let (mut values, mut set_aside) = (BTreeSet::new(), Vec::new());
    for (selected, selection) in question.selected(querier, caller)?.unwrap_or_default() {
        let metric = selected.metric;
        if metric.has_function() && name == FUNCTION {
            let labels = Wanted::Only(vec![FUNCTION.to_owned()]);
            let found = of_functions(querier, caller, selected, selection.range, labels).await?;
            set_aside.extend(found.set_aside);
            values.extend(found.value.iter().map(|series| series.labels.value_or_empty(FUNCTION).to_owned()));
            continue;
        }
        let stored = metric.stored(name).to_owned();
        let query = match name {
            label_name::NAME => PartialQuery::LabelNames(selection),
            _ if metric.shown(&stored).is_none() => continue,
            _ => PartialQuery::LabelValues { selection, name: stored },
        };
        let found = querier.strings(caller, query).await?;
        set_aside.extend(found.set_aside);
        if name != label_name::NAME {
            values.extend(found.value);
        } else if !found.value.is_empty() {
            let all = question.selectors.is_empty();
            values.extend(Metric::ALL.into_iter().filter(|one| all || *one == metric).map(|one| one.name().to_owned()));
        }
    }
    Ok(answer(values, set_aside))
}

/// Label sets as JSON objects, sorted.
pub(crate) async fn series(
    querier: &Querier,
    caller: &Caller,
    question: &LabelQuestion,
) -> Result<Answer<Vec<String>>, StatusError> {
    let (mut sets, mut set_aside): (BTreeSet<(&str, Labels)>, _) = (BTreeSet::new(), Vec::new());
    for (selected, selection) in question.selected(querier, caller)?.unwrap_or_default() {
        let metric = selected.metric;
        if metric.has_function() {
            let found = of_functions(querier, caller, selected, selection.range, Wanted::All).await?;
            set_aside.extend(found.set_aside);
            sets.extend(found.value.into_iter().map(|series| (metric.name(), series.labels)));
            continue;
        }
        let (result, gaps) = querier.ask(caller, PartialQuery::Series { selection, label_names: Vec::new() }).await?;
        let PartialResult::LabelSets(found) = result else {
            return Err(StatusError::internal("a part of the answer does not fit its question"));
        };
        set_aside.extend(gaps);
        sets.extend(found.iter().map(|stored| (metric.name(), metric.shown_labels(stored))));
    }
    let texts = sets.iter().map(|(name, labels)| document::metric(Some(name), labels)).collect();
    Ok(Answer { value: texts, set_aside: once_each(set_aside) })
}

/// The series of functions that have samples in the range.
async fn of_functions(
    querier: &Querier,
    caller: &Caller,
    selected: Selected,
    range: TimeRange,
    labels: Wanted,
) -> Result<Answer<Vec<RangeSeries>>, StatusError> {
    // One bucket more is read than is looked at, so there are several.
    let (start, end) = (range.start().0, range.end().0);
    let bucket_ms = (end - start) / BUCKETS + 1;
    let load = Load { selected, labels, after: end - bucket_ms * BUCKETS, until: end, bucket_ms };
    Stored { querier, caller }.load(&load).await
}

fn answer(all: BTreeSet<String>, set_aside: Vec<String>) -> Answer<Vec<String>> {
    Answer { value: all.into_iter().collect(), set_aside: once_each(set_aside) }
}

fn once_each(mut gaps: Vec<String>) -> Vec<String> {
    gaps.sort();
    gaps.dedup();
    gaps
}

/// A label's name as it may stand in an address: `U__a_2e_b` is `a.b`, `__` in it is one underscore.
pub(crate) fn unescape(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut plain = String::new();
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        if char != '_' {
            plain.push(char);
            continue;
        }
        if let Some(after) = rest.strip_prefix('_') {
            plain.push('_');
            rest = after;
            continue;
        }
        let Some((hex, after)) = rest.split_once('_') else { return name.to_owned() };
        let Some(char) = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32) else { return name.to_owned() };
        plain.push(char);
        rest = after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, plain) in [
            ("pod", "pod"),
            ("U__a_2e_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U___e9_", "é"),
            ("U__a_b", "U__a_b"),
            ("U__", ""),
        ] {
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
    }
}
