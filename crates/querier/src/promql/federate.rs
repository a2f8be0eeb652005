//! `/prometheus/federate`: values of now in Prometheus' text format, for a Prometheus that scrapes them, keeps them and evaluates alerts over
//! them. `match[]` takes selectors, as Prometheus' own does, and any expression whose result has names.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use flamelake_model::selector::quote;
use flamelake_model::{Labels, StatusError};
use http::{HeaderMap, header};

use super::ast::{Expr, Query};
use super::document::Plain;
use super::eval::{Evaluator, Newest};
use super::http::{ApiError, Prometheus};
use super::params::invalid;
use super::query::ask_with;
use super::source::Stored;
use super::values::{Steps, execution};
use crate::rpc::{PARTIAL_HEADER, partial_header};

/// A sample: its value, and its own time where it has one.
type Sample = (f64, Option<i64>);

/// By name and labels.
type Samples = BTreeMap<(Arc<str>, Labels), Sample>;

pub(super) async fn federate(
    State(state): State<Arc<Prometheus>>,
    headers: HeaderMap,
    RawQuery(address): RawQuery,
) -> Result<Response, ApiError> {
    let call = state.call(&headers, address.as_deref(), &[])?;
    let steps = Steps::once(state.querier.now().0.0);
    let queries: Vec<&str> = call.params.all("match[]").collect();
    let mut questions = Vec::new();
    for query in &queries {
        super::parse::parse(query).map_err(|error| invalid("match[]", &error.message))?;
        questions.push(state.question(&call, query, steps, true)?);
    }
    let source = Stored { querier: &state.querier, caller: &call.caller };
    let work = async {
        let (mut samples, mut set_aside) = (Samples::new(), Vec::new());
        for question in questions {
            let part = ask_with(&source, question, samples_of).await?;
            set_aside.extend(part.set_aside);
            samples.extend(part.value);
        }
        set_aside.sort();
        set_aside.dedup();
        Ok((samples, set_aside))
    };
    let (samples, set_aside) = state.run(&call, "promql-federate", Box::pin(work)).await?;
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let utf8 = accepted.replace(' ', "").contains("escaping=allow-utf-8");
    let kind = if utf8 {
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let text = text(&samples, utf8).unwrap_or_default();
    let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    if let Some(value) = partial_header(&set_aside) {
        response.headers_mut().insert(PARTIAL_HEADER, value);
    }
    Ok(response)
}

/// A selector's samples keep their time; what is computed is of now.
fn samples_of(evaluator: &Evaluator<'_>, query: &Query, steps: Steps) -> Result<Samples, StatusError> {
    let vector = evaluator.vector(&query.root, steps)?;
    let times = match query.root.bare() {
        Expr::Instant(selector) => Some(evaluator.newest(selector, steps, Newest::Time)?),
        _ => None,
    };
    let mut samples = Samples::new();
    for (at, series) in vector.series.iter().enumerate() {
        let Some(name) = &series.name else {
            return Err(execution(format!(
                "the result of {} has no name: give it one, as label_replace({}, \"__name__\", \"my_metric\", \"\", \"\")",
                query.root, query.root
            )));
        };
        let Some(value) = series.values.first().copied().flatten() else { continue };
        let time = times.as_ref().and_then(|times| times.series.get(at)?.values.first().copied().flatten());
        let time = time.map(|seconds| (seconds * 1000.0).round() as i64);
        samples.insert((Arc::clone(name), series.labels.clone()), (value, time));
    }
    Ok(samples)
}

/// The exposition. A scraper that does not say that it takes any UTF-8 gets underscores.
fn text(samples: &Samples, utf8: bool) -> Result<String, fmt::Error> {
    let (mut out, mut last) = (String::new(), None);
    for ((name, labels), (value, time)) in samples {
        let plain = plain_name(name, utf8, true);
        if last != Some(name) {
            writeln!(out, "# TYPE {} untyped", plain.as_deref().map_or_else(|| quote(name), str::to_owned))?;
            last = Some(name);
        }
        let mut inside: Vec<String> = if plain.is_none() { vec![quote(name)] } else { Vec::new() };
        inside.extend(labels.iter().map(|label| {
            let name = plain_name(&label.name, utf8, false).unwrap_or_else(|| quote(&label.name));
            format!("{name}={}", quote(&label.value))
        }));
        out.push_str(&plain.unwrap_or_default());
        if !inside.is_empty() {
            write!(out, "{{{}}}", inside.join(","))?;
        }
        write!(out, " {}", Plain(*value))?;
        if let Some(time) = time {
            write!(out, " {time}")?;
        }
        out.push('\n');
    }
    Ok(out)
}

/// The name where it needs no quotes; `None` where it does. Names of metrics may hold colons.
fn plain_name(name: &str, utf8: bool, colons: bool) -> Option<String> {
    let fits = |at: usize, char: char| {
        char.is_ascii_alphabetic() || char == '_' || (colons && char == ':') || (at > 0 && char.is_ascii_digit())
    };
    if !name.is_empty() && name.chars().enumerate().all(|(at, char)| fits(at, char)) {
        return Some(name.to_owned());
    }
    let plain = || name.chars().enumerate().map(|(at, char)| if fits(at, char) { char } else { '_' }).collect();
    (!utf8).then(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_exposed_as_text() {
        let labels = Labels::from_pairs([("a.b", "x\"\n"), ("c", "1")]);
        let samples = Samples::from([
            (("m".into(), labels.clone()), (1.5, Some(12))),
            (("m".into(), Labels::default()), (f64::NAN, None)),
            (("job:m".into(), Labels::default()), (1.0, None)),
            (("my metric".into(), labels), (1e22, None)),
        ]);
        assert_eq!(
            text(&samples, true).unwrap(),
            "# TYPE job:m untyped\njob:m 1\n# TYPE m untyped\nm NaN\nm{\"a.b\"=\"x\\\"\\n\",c=\"1\"} 1.5 12\n# TYPE \"my metric\" untyped\n\
             {\"my metric\",\"a.b\"=\"x\\\"\\n\",c=\"1\"} 10000000000000000000000\n"
        );
        assert_eq!(
            text(&samples, false).unwrap(),
            "# TYPE job:m untyped\njob:m 1\n# TYPE m untyped\nm NaN\nm{a_b=\"x\\\"\\n\",c=\"1\"} 1.5 12\n# TYPE my_metric untyped\n\
             my_metric{a_b=\"x\\\"\\n\",c=\"1\"} 10000000000000000000000\n"
        );
    }
}
