//! Exemplars: for each bucket of a histogram the last observation that has a trace, so that a slow request on a board leads to its spans.
//!
//! The registry knows no exemplars. They are kept beside it by the line that their bucket has in the text format, and written to that line
//! where a scraper takes OpenMetrics.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::TraceIds;

/// Content type of what [`Exemplars::open_metrics`] gives.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// More lines than this have none: histograms of closed labels stay far below.
const LINES_MAX: usize = 10_000;

/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Exemplars(Arc<Mutex<HashMap<String, Exemplar>>>);

#[derive(Clone, Debug)]
struct Exemplar {
    trace: TraceIds,
    value: f64,
    unix_seconds: f64,
}

impl Exemplars {
    /// Notes an observation of a histogram with these labels (in the order of their names) and upper bounds of its buckets.
    pub fn note(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        value: f64,
        trace: TraceIds,
        unix_seconds: f64,
    ) {
        let line = bucket_line(name, labels, bounds.iter().copied().find(|bound| value <= *bound));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < LINES_MAX || all.contains_key(&line) {
            all.insert(line, Exemplar { trace, value, unix_seconds });
        }
    }

    /// Is there any?
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The text format as OpenMetrics, with exemplars: counters lose `_total` in what is said about them, and the end is marked.
    pub fn open_metrics(&self, text: &str) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(text.len() + all.len() * 100);
        let mut help = None;
        for line in text.lines() {
            if line.starts_with("# HELP ") {
                // The type, which comes next, says what the metric is called.
                help = Some(line);
                continue;
            }
            if let Some(about) = line.strip_prefix("# TYPE ") {
                let (name, kind) = about.split_once(' ').unwrap_or((about, "unknown"));
                let family = if kind == "counter" { name.strip_suffix("_total") } else { Some(name) };
                // A counter by another name than counters have may not be called one.
                let (family, kind) = family.map_or((name, "unknown"), |family| (family, kind));
                if let Some((_, words)) = help.take().and_then(|help| help["# HELP ".len()..].split_once(' ')) {
                    let _ = writeln!(out, "# HELP {family} {words}");
                }
                let _ = writeln!(out, "# TYPE {family} {kind}");
                continue;
            }
            out.push_str(line);
            if let Some(exemplar) = line.rsplit_once(' ').and_then(|(start, _)| all.get(start)) {
                let Exemplar { trace: TraceIds { trace, span }, value, unix_seconds } = exemplar;
                let _ = write!(out, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {unix_seconds:.3}");
            }
            out.push('\n');
        }
        out + "# EOF\n"
    }
}

/// As the text format begins it; `None` = the bucket without an upper bound.
fn bucket_line(name: &str, labels: &[(&str, &str)], bound: Option<f64>) -> String {
    let mut line = format!("{name}_bucket{{");
    for (label, value) in labels {
        let _ = write!(line, "{label}=\"{value}\",");
    }
    let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
    line + &format!("le=\"{bound}\"}}")
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntGauge, Registry};

    use super::*;

    #[test]
    fn the_bucket_of_an_observation_names_its_trace() {
        let registry = Registry::new();
        let bounds = [0.5, 1.0];
        let options = HistogramOpts::new("wait_seconds", "How \"long\".").buckets(bounds.to_vec());
        let wait = HistogramVec::new(options, &["method", "route"]).unwrap();
        let served = IntCounter::new("served_total", "Served.").unwrap();
        let (odd, open) = (IntCounter::new("odd", "Odd.").unwrap(), IntGauge::new("open_total", "Open.").unwrap());
        registry.register(Box::new(wait.clone())).unwrap();
        registry.register(Box::new(served.clone())).unwrap();
        registry.register(Box::new(odd.clone())).unwrap();
        registry.register(Box::new(open)).unwrap();
        let exemplars = Exemplars::default();
        for (value, trace) in [(0.7, "aa"), (0.8, "bb"), (5.0, "cc")] {
            wait.with_label_values(&["GET", "/x/{*rest}"]).observe(value);
            let ids = TraceIds { trace: trace.to_owned(), span: "01".to_owned() };
            exemplars.note("wait_seconds", &[("method", "GET"), ("route", "/x/{*rest}")], &bounds, value, ids, 7.25);
        }
        served.inc();
        let text = exemplars.open_metrics(&crate::encode(&registry).unwrap());
        assert_eq!(
            text,
            r#"# HELP odd Odd.
# TYPE odd unknown
odd 0
# HELP open_total Open.
# TYPE open_total gauge
open_total 0
# HELP served Served.
# TYPE served counter
served_total 1
# HELP wait_seconds How "long".
# TYPE wait_seconds histogram
wait_seconds_bucket{method="GET",route="/x/{*rest}",le="0.5"} 0
wait_seconds_bucket{method="GET",route="/x/{*rest}",le="1"} 2 # {trace_id="bb",span_id="01"} 0.8 7.250
wait_seconds_bucket{method="GET",route="/x/{*rest}",le="+Inf"} 3 # {trace_id="cc",span_id="01"} 5 7.250
wait_seconds_sum{method="GET",route="/x/{*rest}"} 6.5
wait_seconds_count{method="GET",route="/x/{*rest}"} 3
# EOF
"#
        );
    }
}
