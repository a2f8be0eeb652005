//! From a plan to samples: what is asked of the store, each question once, and how its answer becomes series.

mod functions;

use async_trait::async_trait;
use flamelake_model::query::{ExemplarKind, PartialQuery, PartialTimeSeries, SampleFilter, Selection, TimeSeriesQuery};
use flamelake_model::{Labels, ProfileType, StatusError, TimeRange, TimestampMs, label_name};

use super::eval::Data;
use super::metrics::{FUNCTION, Metric, Selected, select};
use super::plan::{Plan, SelectorPlan, Wanted};
use super::values::{RangeSeries, check_samples};
use crate::Querier;
use crate::service::{Answer, Caller};

/// Most labels that series are told apart by.
const LABELS_MAX: usize = 256;

/// A question for samples in `(after, until]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) selected: Selected,
    /// In the names that are shown.
    pub(crate) labels: Wanted,
    pub(crate) after: i64,
    pub(crate) until: i64,
    /// Sums of buckets this wide, the last of which ends at `until`; 1 gives every sample.
    pub(crate) bucket_ms: i64,
}

/// Where samples come from.
#[async_trait]
pub(crate) trait SeriesSource: Send + Sync {
    /// Series by their labels, in order.
    async fn load(&self, load: &Load) -> Result<Answer<Vec<RangeSeries>>, StatusError>;
}

/// All samples of a plan and how many they are; `resource_exhausted` when they are more than `samples_max`.
pub(crate) async fn load_all(
    source: &dyn SeriesSource,
    plan: &Plan,
    samples_max: usize,
) -> Result<(Answer<Data>, usize), StatusError> {
    let mut known: Vec<(Load, Vec<RangeSeries>)> = Vec::new();
    let (mut data, mut samples) = (Answer::<Data>::default(), 0_usize);
    for plan in &plan.selectors {
        let mut all = Vec::new();
        for load in loads(plan)? {
            let place = match known.iter().position(|(asked, _)| *asked == load) {
                Some(place) => place,
                None => {
                    let Answer { value, set_aside } = source.load(&load).await?;
                    samples += value.iter().map(|series| series.points.len()).sum::<usize>();
                    check_samples(samples, samples_max)?;
                    data.set_aside.extend(set_aside);
                    known.push((load, value));
                    known.len() - 1
                }
            };
            all.extend(known[place].1.iter().cloned());
        }
        data.value.selectors.push(all);
    }
    data.set_aside.sort();
    data.set_aside.dedup();
    Ok((data, samples))
}

/// One question a metric.
fn loads(plan: &SelectorPlan) -> Result<Vec<Load>, StatusError> {
    let load = |selected| Load {
        selected,
        labels: plan.labels.clone(),
        after: plan.times.start - plan.window_ms,
        until: plan.times.last(),
        bucket_ms: plan.bucket_ms.unwrap_or(1),
    };
    Ok(select(&plan.selector)?.into_iter().map(load).collect())
}

/// The store behind a querier, as one caller sees it.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) querier: &'a Querier,
    pub(crate) caller: &'a Caller,
}

#[async_trait]
impl SeriesSource for Stored<'_> {
    async fn load(&self, load: &Load) -> Result<Answer<Vec<RangeSeries>>, StatusError> {
        let Some(selection) = self.selection(load) else { return Ok(Answer::default()) };
        let names = self.group_by(load, &selection).await?;
        if load.selected.metric.has_function() {
            let mut answer = self.functions(load, selection, &names.value).await?;
            answer.set_aside.extend(names.set_aside);
            return Ok(answer);
        }
        let query = TimeSeriesQuery {
            selection,
            filter: SampleFilter::default(),
            group_by: names.value.iter().map(|(stored, _)| stored.clone()).collect(),
            step_ms: load.bucket_ms,
            exemplars: ExemplarKind::None,
        };
        let first = query.selection.range.start();
        let answer = self.querier.time_series(self.caller, query).await?;
        let series = answer.value.into_iter().map(|part| series(load.selected.metric, &names.value, part, first));
        let value = series.filter(|series| !series.points.is_empty()).collect();
        Ok(Answer { value, set_aside: answer.set_aside.into_iter().chain(names.set_aside).collect() })
    }
}

impl Stored<'_> {
    /// Which profiles, from one bucket too early on: the first bucket of a grid is closed at both ends, so it is thrown away.
    /// `None` where all of it lies before the look-back; buckets that lie partly before it are left out.
    fn selection(&self, load: &Load) -> Option<Selection> {
        let lookback = self.querier.limits(self.caller).lookback;
        let mut after = load.after;
        if !lookback.is_zero() {
            let oldest = self.querier.now().before(lookback).0;
            if oldest > load.until {
                return None;
            }
            let buckets = (load.until - oldest + 1) / load.bucket_ms;
            after = after.max(load.until - buckets * load.bucket_ms);
        }
        let range = TimeRange::new(TimestampMs(after), TimestampMs(load.until)).ok()?;
        Some(selection_of(&load.selected, range))
    }

    /// Stored and shown names of the labels that tell series apart.
    async fn group_by(&self, load: &Load, selection: &Selection) -> Result<Answer<Vec<(String, String)>>, StatusError> {
        let metric = load.selected.metric;
        let mut names = Answer::<Vec<(String, String)>>::default();
        match &load.labels {
            Wanted::Only(shown) => {
                let stored = shown.iter().filter(|name| !(metric.has_function() && *name == FUNCTION));
                let stored = stored.map(|name| (metric.stored(name).to_owned(), name.clone()));
                names.value = stored.filter(|(stored, _)| metric.shown(stored).is_some()).collect();
            }
            Wanted::All | Wanted::AllBut(_) => {
                let found = self.querier.strings(self.caller, PartialQuery::LabelNames(selection.clone())).await?;
                names.set_aside = found.set_aside;
                let unwanted = match &load.labels {
                    Wanted::AllBut(names) => names.as_slice(),
                    _ => &[],
                };
                let shown = found.value.into_iter().filter_map(|stored| Some((metric.shown(&stored)?, stored)));
                let wanted = shown.filter(|(shown, _)| !unwanted.contains(shown));
                names.value = wanted.map(|(shown, stored)| (stored, shown)).collect();
            }
        }
        names.value.sort();
        names.value.dedup();
        if names.value.len() > LABELS_MAX {
            return Err(StatusError::resource_exhausted(format!(
                "the series have more than {LABELS_MAX} different labels: add matchers, or sum by some of them"
            )));
        }
        Ok(names)
    }
}

/// The profiles of a selector.
pub(crate) fn selection_of(selected: &Selected, range: TimeRange) -> Selection {
    let types = selected.selector.matchers().iter().filter(|matcher| matcher.name() == label_name::PROFILE_TYPE);
    let exact = types.filter(|matcher| matcher.op() == flamelake_model::selector::MatchOp::Equal);
    // Known by id, whole blocks can be left alone.
    let profile_type = exact.filter_map(|matcher| ProfileType::parse(matcher.value()).ok()).next();
    Selection { profile_type, selector: selected.selector.clone(), range }
}

/// A group and its points after the first edge of the grid.
fn series(metric: Metric, names: &[(String, String)], part: PartialTimeSeries, first: TimestampMs) -> RangeSeries {
    let labels = names.iter().zip(part.group).filter_map(|((_, shown), value)| Some((shown, value?)));
    let points = part.points.into_iter().filter(|point| point.timestamp > first);
    RangeSeries {
        name: Some(metric.name().into()),
        labels: Labels::from_pairs(labels),
        points: points.map(|point| (point.timestamp.0, point.sum as f64)).collect(),
    }
}
