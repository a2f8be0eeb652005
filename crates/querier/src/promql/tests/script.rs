//! The scripts.
//!
//! ```text
//! load 1m                                     # then a line a series: one value a step, _ for none
//!   PROFILE{pod="a"} 1 2 _ 4
//! eval [ours] instant at 90s EXPRESSION       # then a line a series, in any order (in this one after `ordered`)
//!   {pod="a"} 3
//! eval [ours] range from 0 to 2m step 1m EXPRESSION
//!   {pod="a"} 1 2 _
//! fail instant at 90s EXPRESSION              # then a part of the error
//!   many-to-many
//! ```
//!
//! `PROFILE`, `FUNCTION` and `SELF` stand for the names of the metrics.

use flamelake_model::{Labels, StatusError, label_name};

use super::memory::Memory;
use crate::promql::document::Answer;
use crate::promql::metrics::Metric;
use crate::promql::parse::{parse, parse_duration};
use crate::promql::plan::LOOKBACK_MS;
use crate::promql::query::{Question, ask};
use crate::promql::values::{Series, Steps};

/// What a line expects.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) line: usize,
    pub(super) steps: Steps,
    pub(super) instant: bool,
    pub(super) query: String,
    pub(super) expected: Expected,
    /// Prometheus has its own opinion.
    pub(super) ours: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// Name and labels as they are written, and values.
    Series {
        ordered: bool,
        series: Vec<(String, Vec<Option<f64>>)>,
    },
    Error(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) step_ms: i64,
    /// Series as they are written, and their values.
    pub(super) series: Vec<(String, Vec<Option<f64>>)>,
    pub(super) cases: Vec<Case>,
}

impl Script {
    pub(super) fn memory(&self) -> Memory {
        let series = self.series.iter().map(|(text, values)| {
            let (name, labels) = metric(text);
            let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name).expect("a known metric");
            let times = (0..).map(|step| step * self.step_ms);
            (metric, labels, times.zip(values).filter_map(|(at, value)| Some((at, (*value)?))).collect())
        });
        Memory(series.collect())
    }
}

/// Scripts in one text: a `load` begins a new one.
pub(super) fn read(text: &str) -> Vec<Script> {
    let full = |line: &str| {
        line.replace("PROFILE", Metric::Profile.name())
            .replace("FUNCTION", Metric::Function.name())
            .replace("SELF", Metric::FunctionSelf.name())
    };
    let mut scripts: Vec<Script> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = full(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["load", step] => {
                scripts.push(Script { step_ms: parse_duration(step).expect("a step"), ..Script::default() });
            }
            ["eval" | "fail", ..] => scripts.last_mut().expect("a load").cases.push(case(number + 1, &line)),
            _ => row(scripts.last_mut().expect("a load"), line.trim()),
        }
    }
    scripts
}

fn moment(text: &str) -> i64 {
    if text == "0" { 0 } else { parse_duration(text).expect("a moment") }
}

fn case(line: usize, text: &str) -> Case {
    let mut words = text.split_whitespace().peekable();
    let fails = words.next() == Some("fail");
    let mut flag = |flag: &str| words.next_if(|word| *word == flag).is_some();
    let (ours, ordered) = (flag("ours"), flag("ordered"));
    let mut word = || words.next().expect("a word");
    let instant = word() == "instant";
    let steps = if instant {
        word();
        Steps::once(moment(word()))
    } else {
        let [_, start, _, end, _, step] = std::array::from_fn(|_| word());
        Steps::new(moment(start), moment(end), moment(step))
    };
    let query = words.collect::<Vec<_>>().join(" ");
    let series = Expected::Series { ordered, series: Vec::new() };
    let expected = if fails { Expected::Error(String::new()) } else { series };
    Case { line, steps, instant, query, expected, ours }
}

/// A series of the load, or a line of what is expected.
fn row(script: &mut Script, line: &str) {
    match script.cases.last_mut().map(|case| &mut case.expected) {
        None => script.series.push(series(line)),
        Some(Expected::Series { series: all, .. }) => all.push(series(line)),
        Some(Expected::Error(text)) => line.clone_into(text),
    }
}

fn series(line: &str) -> (String, Vec<Option<f64>>) {
    let split = line.rfind('}').map_or_else(|| line.find(' ').unwrap_or(0), |at| at + 1);
    let (metric, values) = line.split_at(split);
    let value = |text: &str| (text != "_").then(|| text.parse::<f64>().expect("a value"));
    (metric.to_owned(), values.split_whitespace().map(value).collect())
}

/// Name and labels; `3` alone has neither.
fn metric(text: &str) -> (String, Labels) {
    if text.is_empty() || text == "{}" {
        return (String::new(), Labels::default());
    }
    let crate::promql::ast::Expr::Instant(selector) = parse(text).expect("a series").root else {
        panic!("{text} is no series")
    };
    let pairs: Vec<(String, String)> =
        selector.matchers.iter().map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned())).collect();
    let labels = Labels::from_pairs(pairs);
    let name = labels.value_or_empty(label_name::NAME).to_owned();
    (name, labels.without(&[label_name::NAME]))
}

/// An answer in the form of an expectation.
type Rows = Vec<((String, Labels), Vec<Option<f64>>)>;

pub(super) fn rows(answer: Answer) -> Rows {
    let one = |series: &Series| {
        let name = series.name.as_deref().unwrap_or_default().to_owned();
        ((name, series.labels.clone()), series.values.clone())
    };
    match answer {
        Answer::Scalar(_, value) => vec![((String::new(), Labels::default()), vec![Some(value)])],
        Answer::Numbers(_, values) => {
            vec![((String::new(), Labels::default()), values.into_iter().map(Some).collect())]
        }
        Answer::Vector(_, vector) | Answer::Matrix(_, vector) => vector.series.iter().map(one).collect(),
        Answer::Text(_, text) => vec![((text, Labels::default()), Vec::new())],
        Answer::Samples(all) => all
            .into_iter()
            .map(|series| {
                let name = series.name.as_deref().unwrap_or_default().to_owned();
                ((name, series.labels), series.points.iter().map(|(_, value)| Some(*value)).collect())
            })
            .collect(),
    }
}

pub(super) fn question(case: &Case, push_down: bool) -> Question {
    Question {
        query: case.query.clone(),
        steps: case.steps,
        instant: case.instant,
        lookback_ms: LOOKBACK_MS,
        samples_max: 100_000,
        range_ms_max: 0,
        push_down,
    }
}

pub(super) fn run(memory: &Memory, question: Question) -> Result<Rows, StatusError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ask(memory, question, rows)).map(|answer| answer.value)
}

/// Runs every case with and without push-down.
pub(super) fn check(text: &str) {
    for script in read(text) {
        let memory = script.memory();
        for case in &script.cases {
            for push_down in [true, false] {
                check_case(case, run(&memory, question(case, push_down)));
            }
        }
    }
}

fn check_case(case: &Case, found: Result<Rows, StatusError>) {
    let at = format!("line {}: {}", case.line, case.query);
    match (&case.expected, found) {
        (Expected::Error(part), Err(error)) => assert!(error.message.contains(part), "{at}: {}", error.message),
        (Expected::Error(_), Ok(rows)) => panic!("{at}: {rows:?}"),
        (Expected::Series { .. }, Err(error)) => panic!("{at}: {}", error.message),
        (Expected::Series { ordered, series }, Ok(mut found)) => {
            let mut expected: Rows = series.iter().map(|(text, values)| (metric(text), values.clone())).collect();
            if !ordered {
                expected.sort_by(|one, other| one.0.cmp(&other.0));
                found.sort_by(|one, other| one.0.cmp(&other.0));
            }
            assert!(same(&expected, &found), "{at}:\nexpected {expected:?}\nfound    {found:?}");
        }
    }
}

/// Equal, where no number is itself and the last bits do not matter.
pub(super) fn same(one: &Rows, other: &Rows) -> bool {
    let close = |one: f64, other: f64| {
        one == other || (one.is_nan() && other.is_nan()) || (one - other).abs() <= 1e-12 * one.abs().max(other.abs())
    };
    let values = |one: &[Option<f64>], other: &[Option<f64>]| {
        one.len() == other.len()
            && one.iter().zip(other).all(|pair| match pair {
                (Some(one), Some(other)) => close(*one, *other),
                (one, other) => one.is_none() && other.is_none(),
            })
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && values(&one.1, &other.1))
}
