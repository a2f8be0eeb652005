//! What evaluation works on: all moments of a query at once, a column of values a series.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flamelake_model::{ErrorCode, Labels, StatusError};

/// What a series costs beside its values, in values.
const SERIES_COST: usize = 8;
/// Most bytes of labels that a query may make.
const LABEL_BYTES_MAX: usize = 256 << 20;

/// The moments of an evaluation: `start`, `start + step`, …, in milliseconds. There is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: i64,
    /// At least 1.
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Steps {
    /// One moment.
    pub(crate) fn once(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// From `start` up to `end` at most.
    pub(crate) fn new(start: i64, end: i64, step: i64) -> Self {
        let count = usize::try_from((end - start) / step.max(1)).unwrap_or_default() + 1;
        Self { start, step: step.max(1), count }
    }

    pub(crate) fn at(&self, index: usize) -> i64 {
        self.start + index as i64 * self.step
    }

    pub(crate) fn last(&self) -> i64 {
        self.at(self.count - 1)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.at(index))
    }

    /// All of them so much earlier.
    pub(crate) fn back(self, ms: i64) -> Self {
        Self { start: self.start - ms, ..self }
    }
}

/// What an expression gives at all moments.
#[derive(Debug)]
pub(crate) enum Value {
    /// A number a moment.
    Scalar(Vec<f64>),
    Vector(Vector),
    Text(String),
}

/// A series with its value at each moment, if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: Option<Arc<str>>,
    /// Without the name.
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

/// Series, and the room that they take up of the query's budget. Each has a value at some moment, and no two have the same name and labels.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) series: Vec<Series>,
    _charge: Charge,
}

/// A sample: milliseconds and value.
pub(crate) type Point = (i64, f64);

/// A series with its samples, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RangeSeries {
    pub(crate) name: Option<Arc<str>>,
    /// Without the name.
    pub(crate) labels: Labels,
    pub(crate) points: Arc<[Point]>,
}

impl Vector {
    /// Charges the budget. Series without any value are left out.
    pub(crate) fn new(mut series: Vec<Series>, budget: &Budget) -> Result<Self, StatusError> {
        series.retain(|series| !series.is_empty());
        let values: usize = series.iter().map(|series| series.values.len() + SERIES_COST).sum();
        Ok(Self { _charge: budget.charge(values)?, series })
    }

    /// The same without names. Series that become one may not have values at the same moment.
    pub(crate) fn nameless(series: Vec<Series>, budget: &Budget) -> Result<Self, StatusError> {
        let first = series.first().map(|series| series.name.clone());
        let one_name = series.iter().all(|series| Some(&series.name) == first.as_ref());
        let nameless = series.into_iter().map(|series| Series { name: None, ..series });
        if one_name { Self::new(nameless.collect(), budget) } else { Self::joined(nameless, budget) }
    }

    /// Makes one of series with the same name and labels, which may not have values at the same moment.
    pub(crate) fn joined(all: impl IntoIterator<Item = Series>, budget: &Budget) -> Result<Self, StatusError> {
        let mut all = all.into_iter().peekable();
        let count = all.peek().map_or(0, |series| series.values.len());
        let mut columns = Columns::new(count, budget);
        for series in all {
            let place = columns.place(series.name, series.labels)?;
            for (at, value) in series.values.into_iter().enumerate() {
                let Some(value) = value else { continue };
                if columns.set(place, at, value).is_some() {
                    return Err(execution(
                        "vector cannot contain metrics with the same labelset: keep their names apart, or aggregate",
                    ));
                }
            }
        }
        Ok(columns.finish())
    }
}

/// Series that come into being value by value. Each is charged before it is there.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    count: usize,
    budget: &'a Budget,
    charge: Charge,
    series: Vec<Series>,
    places: HashMap<(Option<Arc<str>>, Labels), usize>,
}

impl<'a> Columns<'a> {
    /// For so many moments.
    pub(crate) fn new(count: usize, budget: &'a Budget) -> Self {
        let charge = Charge { amount: 0, held: Rc::clone(&budget.held) };
        Self { count, budget, charge, series: Vec::new(), places: HashMap::new() }
    }

    /// The number of the series with this name and these labels.
    pub(crate) fn place(&mut self, name: Option<Arc<str>>, labels: Labels) -> Result<usize, StatusError> {
        let next = self.series.len();
        let place = *self.places.entry((name.clone(), labels.clone())).or_insert(next);
        if place == next {
            self.charge.join(self.budget.charge(self.count + SERIES_COST)?);
            self.series.push(Series { name, labels, values: vec![None; self.count] });
        }
        Ok(place)
    }

    /// Writes a value; what was there.
    pub(crate) fn set(&mut self, place: usize, at: usize, value: f64) -> Option<f64> {
        self.series.get_mut(place)?.values.get_mut(at)?.replace(value)
    }

    /// Adds to a value, which is 0 if there is none.
    pub(crate) fn add(&mut self, place: usize, at: usize, value: f64) {
        if let Some(slot) = self.series.get_mut(place).and_then(|series| series.values.get_mut(at)) {
            *slot = Some(slot.unwrap_or_default() + value);
        }
    }

    /// In the order in which they came; those without any value are left out.
    pub(crate) fn finish(mut self) -> Vector {
        self.series.retain(|series| !series.is_empty());
        Vector { series: self.series, _charge: self.charge }
    }
}

impl Series {
    /// Without a value at any moment?
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

/// Most samples and values that a query may hold at a time, and whether anybody still waits for it.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    held: Rc<Cell<usize>>,
    /// Bytes of labels that were made, over the whole query.
    written: Cell<usize>,
    stop: Arc<AtomicBool>,
}

/// Room in a budget, free again when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    amount: usize,
    held: Rc<Cell<usize>>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.amount);
    }
}

impl Charge {
    /// One charge of both.
    fn join(&mut self, mut other: Self) {
        self.amount += std::mem::take(&mut other.amount);
    }
}

impl Budget {
    /// `held` samples are there already. Evaluation ends early once `stop` is set.
    pub(crate) fn new(max: usize, held: usize, stop: Arc<AtomicBool>) -> Self {
        Self { max, held: Rc::new(Cell::new(held)), written: Cell::new(0), stop }
    }

    /// Takes room, or says what to do.
    pub(crate) fn charge(&self, amount: usize) -> Result<Charge, StatusError> {
        self.check()?;
        check_samples(self.held.get().saturating_add(amount), self.max)?;
        self.held.set(self.held.get() + amount);
        Ok(Charge { amount, held: Rc::clone(&self.held) })
    }

    /// Counts bytes of labels that are made anew.
    pub(crate) fn write_labels(&self, bytes: usize) -> Result<(), StatusError> {
        self.written.set(self.written.get().saturating_add(bytes));
        if self.written.get() <= LABEL_BYTES_MAX {
            return Ok(());
        }
        Err(StatusError::resource_exhausted(format!(
            "the query writes more than {LABEL_BYTES_MAX} bytes of labels: aggregate before label_replace() or label_join()"
        )))
    }

    /// Ends the evaluation if nobody waits for it.
    pub(crate) fn check(&self) -> Result<(), StatusError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(StatusError::new(ErrorCode::Canceled, "nobody waits for this query any more"));
        }
        Ok(())
    }
}

/// `resource_exhausted` above `querier.promql-samples-max`.
pub(crate) fn check_samples(count: usize, max: usize) -> Result<(), StatusError> {
    if count <= max {
        return Ok(());
    }
    Err(StatusError::resource_exhausted(format!(
        "query processing would load too many samples into memory: more than {max} (querier.promql-samples-max): add matchers, \
         shorten the range, take a larger step or sum by fewer labels"
    )))
}

/// A query that is well formed and cannot be answered over this data: Prometheus calls it an execution error.
pub(crate) fn execution(message: impl Into<String>) -> StatusError {
    StatusError::new(ErrorCode::FailedPrecondition, message)
}
