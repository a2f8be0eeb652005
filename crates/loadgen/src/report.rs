//! The figures beside the reference's, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// Of `design/performance.md` section 00: name, at scale 1, at scale 4, whether more is better.
const REFERENCE: [(&str, f64, f64, bool); 16] = [
    ("profiles per CPU second", 127.0, 136.0, true),
    ("acknowledgement p50", 499.0, 510.0, false),
    ("acknowledgement p99", 1310.0, 1095.0, false),
    ("resident memory: idle", 97.0, 95.0, false),
    ("resident memory: peak while pushing", 754.0, 616.0, false),
    ("bytes at rest", 29.0, 120.0, false),
    ("flame graph, all services, CPU type", 78.0, 178.0, false),
    ("flame graph, one service, 2,048 nodes", 69.0, 115.0, false),
    ("flame graph, one pod", 29.0, 46.0, false),
    ("flame graph, heap, 2,048 nodes", 34.0, 58.0, false),
    ("SelectSeries by pod, step 15 s", 71.0, 164.0, false),
    ("SelectSeries total", 27.0, 83.0, false),
    ("SelectMergeProfile, one service", 70.0, 169.0, false),
    ("ProfileTypes", 2.2, 2.4, false),
    ("LabelValues", 7.2, 11.0, false),
    ("Series", 2.6, 2.5, false),
];

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// The reference's value at this scale.
    reference: Option<f64>,
    /// How many times better than the reference; below 1 is worse.
    times_better: Option<f64>,
    /// Server CPU a question, milliseconds.
    cpu_ms: Option<f64>,
    /// What the answer held.
    answer: Option<String>,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scale: usize,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(scale: usize) -> Self {
        Self { scale, figures: Vec::new() }
    }

    /// Adds a figure and finds the reference's.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        let known = REFERENCE.iter().find(|(known, ..)| *known == name);
        let reference = known.and_then(|(_, one, four, _)| match self.scale {
            1 => Some(*one),
            4 => Some(*four),
            _ => None,
        });
        let times_better = known.zip(reference).filter(|_| value > 0.0).map(|((.., more_is_better), reference)| {
            if *more_is_better { value / reference } else { reference / value }
        });
        let name = name.to_owned();
        self.figures.push(Figure { name, value, unit, reference, times_better, cpu_ms: None, answer: None });
    }

    /// The server's CPU time for a question that has a figure already.
    pub(crate) fn cpu(&mut self, name: &str, cpu_ms: f64) {
        if let Some(figure) = self.find(name) {
            figure.cpu_ms = Some(cpu_ms);
        }
    }

    /// What a question's answer held.
    pub(crate) fn answer(&mut self, name: &str, answer: String) {
        if let Some(figure) = self.find(name) {
            figure.answer = Some(answer);
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut Figure> {
        self.figures.iter_mut().find(|figure| figure.name == name)
    }

    /// For people: Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "scale {}\n\n| figure | reference | ours | times better | CPU | answer |\n|---|---|---|---|---|---|\n",
            self.scale
        );
        let number = |value: Option<f64>| value.map_or_else(String::new, round);
        for figure in &self.figures {
            writeln!(
                table,
                "| {} | {} | {} {} | {} | {} | {} |",
                figure.name,
                number(figure.reference),
                round(figure.value),
                figure.unit,
                number(figure.times_better),
                figure.cpu_ms.map_or_else(String::new, |ms| format!("{} ms", round(ms))),
                figure.answer.as_deref().unwrap_or_default(),
            )
            .expect("writing to a String");
        }
        table
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts are JSON")
    }
}

/// Three digits that count.
fn round(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_or_less_is_better() {
        let mut report = Report::new(1);
        report.figure("profiles per CPU second", 254.0, "1/s");
        report.figure("acknowledgement p50", 49.9, "ms");
        report.figure("pushes refused", 0.0, "");
        let times: Vec<_> = report.figures.iter().map(|figure| figure.times_better).collect();
        assert_eq!(times, [Some(2.0), Some(10.0), None]);
        assert!(report.table().contains("| acknowledgement p50 | 499 | 49.9 ms | 10.0 |"), "{}", report.table());
    }
}
