//! A comparison as a table for a pull request.

use std::fmt::Write as _;

use super::{Change, Comparison};

impl Comparison {
    /// GitHub's Markdown: what changed, and how sure that is.
    pub fn markdown(&self) -> String {
        let mut out = format!("### {}\n\n", self.headline());
        if !self.changed.is_empty() {
            let percent = number(self.confidence * 100.0);
            let _ = writeln!(out, "| Function | Before | After | Change | Relative | {percent} % interval | p |");
            out.push_str("|---|---:|---:|---:|---:|---:|---:|\n");
            self.changed.iter().for_each(|change| out.push_str(&row(change)));
            if self.changed_count > self.changed.len() {
                let _ = writeln!(out, "\n… and {} more", self.changed_count - self.changed.len());
            }
            out.push('\n');
        }
        out.push_str(&self.footing());
        if !self.unjudged.is_empty() {
            out.push_str("\n| Not judged | Before | After | Why |\n|---|---:|---:|---|\n");
            for one in &self.unjudged {
                let (before, after) = (one.baseline * 100.0, one.candidate * 100.0);
                let _ = writeln!(out, "| {} | {before:.2} % | {after:.2} % | {} |", code(&one.function), one.reason);
            }
        }
        out
    }

    /// `2 of 50 functions changed their own share`.
    pub fn headline(&self) -> String {
        if self.tested == 0 {
            return "No function could be judged".to_owned();
        }
        let share = match self.by {
            super::FunctionValue::Own => "own share",
            super::FunctionValue::Total => "share of the total",
        };
        let changed = if self.changed_count == 0 { "None".to_owned() } else { self.changed_count.to_string() };
        format!("{changed} of {} functions changed their {share}", self.tested)
    }

    /// What the verdicts rest on, as a line.
    pub fn footing(&self) -> String {
        format!(
            "{} profiles before, {} after. Chance of any false alarm: at most {} % (Welch's t-test, Holm's correction). {} \
             functions could not be judged.\n",
            self.baseline.profiles,
            self.candidate.profiles,
            number((1.0 - self.confidence) * 100.0),
            self.unjudged_count
        )
    }
}

fn row(change: &Change) -> String {
    let relative = change.relative.map_or_else(|| "new".to_owned(), |relative| format!("{:+.1} %", relative * 100.0));
    format!(
        "| {} | {:.2} % | {:.2} % | {:+.2} | {relative} | {:+.2} … {:+.2} | {} |\n",
        code(&change.function),
        change.baseline * 100.0,
        change.candidate * 100.0,
        change.change * 100.0,
        change.change_low * 100.0,
        change.change_high * 100.0,
        probability(change.p_adjusted)
    )
}

/// `0.031` or `< 0.0001`.
pub(super) fn probability(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

/// Without the dust that multiplying leaves.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A name in a cell of a table.
fn code(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|char| match char {
            '`' => '\'',
            char if char.is_control() => ' ',
            char => char,
        })
        .collect();
    format!("`{}`", plain.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::super::{Side, Unjudged};
    use super::*;

    /// One function that grew, one that is new, one that is not judged.
    pub(in super::super) fn example() -> Comparison {
        let change = |function: &str, baseline, candidate: f64, relative, p_adjusted| Change {
            function: function.to_owned(),
            baseline,
            candidate,
            change: candidate - baseline,
            change_low: candidate - baseline - 0.001,
            change_high: candidate - baseline + 0.001,
            relative,
            p: p_adjusted / 2.0,
            p_adjusted,
        };
        let reason = "it is rare".to_owned();
        Comparison {
            confidence: 0.95,
            baseline: Side { profiles: 200, total: 1 },
            candidate: Side { profiles: 100, total: 1 },
            tested: 50,
            changed: vec![
                change("shop.Cart<T>|`x`", 0.10, 0.0775, Some(-0.225), 1e-9),
                change("new", 0.0, 0.01, None, 0.0123),
            ],
            changed_count: 3,
            unjudged: vec![Unjudged { function: "rare".to_owned(), baseline: 0.0, candidate: 0.001, reason }],
            unjudged_count: 1,
            ..Comparison::default()
        }
    }

    #[test]
    fn a_table_of_what_changed() {
        let expected = "\
### 3 of 50 functions changed their own share

| Function | Before | After | Change | Relative | 95 % interval | p |
|---|---:|---:|---:|---:|---:|---:|
| `shop.Cart<T>\\|'x'` | 10.00 % | 7.75 % | -2.25 | -22.5 % | -2.35 … -2.15 | < 0.0001 |
| `new` | 0.00 % | 1.00 % | +1.00 | new | +0.90 … +1.10 | 0.0123 |

… and 1 more

200 profiles before, 100 after. Chance of any false alarm: at most 5 % (Welch's t-test, Holm's correction). 1 functions could not be judged.

| Not judged | Before | After | Why |
|---|---:|---:|---|
| `rare` | 0.00 % | 0.10 % | it is rare |
";
        assert_eq!(example().markdown(), expected);
        let nothing = Comparison { changed: Vec::new(), changed_count: 0, ..example() };
        assert!(nothing.markdown().starts_with("### None of 50 functions changed their own share\n\n200 profiles"));
        assert_eq!(Comparison { tested: 0, ..nothing }.headline(), "No function could be judged");
    }

    #[test]
    fn a_picture_has_a_bar_for_each() {
        let picture = example().svg();
        assert_eq!(picture.matches("<title>").count(), 2);
        assert!(picture.contains("shop.Cart&lt;T&gt;|`x`") && picture.contains("-2.25 (7.75 %)"));
        let ends = picture.matches("</").count() + picture.matches("/>").count();
        assert_eq!(picture.matches('<').count() - picture.matches("</").count(), ends, "every tag is closed");
        assert!(Comparison::default().svg().ends_with("</svg>\n"));
    }
}
