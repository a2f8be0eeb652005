//! Answers as Prometheus' HTTP API writes them. Written by hand: values are strings in Go's notation, and there may be millions.

use std::fmt::{self, Write as _};

use flamelake_model::label_name;

use super::values::{RangeSeries, Series, Steps, Vector};

/// A number in Go's shortest notation, with an exponent where it is very large or small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value(pub(crate) f64);

/// The same without exponents, as `count_values` has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain(pub(crate) f64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        if !self.0.is_finite() || magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
            return Plain(self.0).fmt(f);
        }
        let text = format!("{:e}", self.0);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        write!(f, "{mantissa}e{sign}{digits:0>2}")
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number if number.is_nan() => f.write_str("NaN"),
            number => write!(f, "{number}"),
        }
    }
}

/// Milliseconds as seconds.
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        let sign = if self.0 < 0 { "-" } else { "" };
        if ms == 0 { write!(f, "{sign}{seconds}") } else { write!(f, "{sign}{seconds}.{ms:03}") }
    }
}

/// The text in quotes.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a query came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// At one moment.
    Scalar(i64, f64),
    Text(i64, String),
    Vector(i64, Vector),
    /// At several.
    Matrix(Steps, Vector),
    /// At several.
    Numbers(Steps, Vec<f64>),
    /// Samples as they lie.
    Samples(Vec<RangeSeries>),
}

impl Answer {
    /// The object `data` of the document: at most `limit` series; and whether there were more.
    pub(crate) fn data(&self, limit: usize) -> (String, bool) {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let cut = self.write(&mut out, limit).unwrap_or_default();
        (out, cut)
    }

    fn write(&self, out: &mut String, limit: usize) -> Result<bool, fmt::Error> {
        match self {
            Self::Scalar(at, value) => {
                write!(out, r#"{{"resultType":"scalar","result":[{},"{}"]}}"#, Time(*at), Value(*value))?;
                Ok(false)
            }
            Self::Text(at, text) => {
                write!(out, r#"{{"resultType":"string","result":[{},{}]}}"#, Time(*at), json_text(text))?;
                Ok(false)
            }
            Self::Vector(at, vector) => list(out, "vector", vector.series.iter(), limit, |out, series| {
                write_metric(out, series.name.as_deref(), &series.labels)?;
                let value = series.values.first().copied().flatten().unwrap_or(f64::NAN);
                write!(out, r#","value":[{},"{}"]"#, Time(*at), Value(value))
            }),
            Self::Matrix(steps, vector) => list(out, "matrix", vector.series.iter(), limit, |out, series| {
                write_metric(out, series.name.as_deref(), &series.labels)?;
                write_points(out, present(series, *steps))
            }),
            Self::Numbers(steps, values) => list(out, "matrix", [values].into_iter(), limit, |out, values| {
                out.write_str(r#""metric":{}"#)?;
                write_points(out, steps.iter().zip(values.iter().copied()))
            }),
            Self::Samples(all) => list(out, "matrix", all.iter(), limit, |out, series| {
                write_metric(out, series.name.as_deref(), &series.labels)?;
                write_points(out, series.points.iter().copied())
            }),
        }
    }
}

fn present(series: &Series, steps: Steps) -> impl Iterator<Item = (i64, f64)> {
    steps.iter().zip(&series.values).filter_map(|(at, value)| Some((at, (*value)?)))
}

fn list<T>(
    out: &mut String,
    kind: &str,
    all: impl ExactSizeIterator<Item = T>,
    limit: usize,
    write_one: impl Fn(&mut String, T) -> fmt::Result,
) -> Result<bool, fmt::Error> {
    let cut = all.len() > limit;
    write!(out, r#"{{"resultType":"{kind}","result":["#)?;
    for (at, one) in all.take(limit).enumerate() {
        out.write_str(if at > 0 { ",{" } else { "{" })?;
        write_one(out, one)?;
        out.write_char('}')?;
    }
    out.write_str("]}")?;
    Ok(cut)
}

/// `"metric":{…}`
fn write_metric(out: &mut String, name: Option<&str>, labels: &flamelake_model::Labels) -> fmt::Result {
    write!(out, r#""metric":{}"#, metric(name, labels))
}

/// Name and labels as one object, sorted.
pub(crate) fn metric(name: Option<&str>, labels: &flamelake_model::Labels) -> String {
    let mut pairs: Vec<(&str, &str)> = labels.iter().map(|label| (&*label.name, &*label.value)).collect();
    pairs.extend(name.map(|name| (label_name::NAME, name)));
    pairs.sort_unstable();
    let texts: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{}:{}", json_text(name), json_text(value))).collect();
    format!("{{{}}}", texts.join(","))
}

fn write_points(out: &mut String, points: impl Iterator<Item = (i64, f64)>) -> fmt::Result {
    out.write_str(r#","values":["#)?;
    for (at, (time, value)) in points.enumerate() {
        write!(out, r#"{}[{},"{}"]"#, if at > 0 { "," } else { "" }, Time(time), Value(value))?;
    }
    out.write_char(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let text = |number: f64| Value(number).to_string();
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (1e-6, "0.000001"),
            (-1.25e300, "-1.25e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(number), expected);
        }
        assert_eq!(Plain(1e21).to_string(), "1000000000000000000000");
    }

    #[test]
    fn moments_are_seconds_with_what_they_need_of_milliseconds() {
        let text = |ms: i64| Time(ms).to_string();
        assert_eq!([text(1_000), text(1_050), text(-1), text(0)], ["1", "1.050", "-0.001", "0"]);
    }
}
