//! `flamelake diff`: which functions cost another share than before, by a test over single profiles; for people, programs and pipelines.

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use flamelake_model::compare::{Change, Comparison};
use serde_json::json;

use super::Target;
use super::exit::Exit;
use super::output::{Format, Rows};
use super::query::{Asked, out, percent, range};

/// Functions asked for, so that a check misses none.
const LIMIT: usize = 1_000;
/// Functions told that could not be judged.
const UNJUDGED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Which series are compared: {service_name="x", version="2"}.
    #[arg(long, short = 'q', default_value = "{}", value_name = "SELECTOR")]
    query: String,
    /// Profile type; may be left out where there is only one.
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    profile_type: Option<String>,
    /// Start: now-1h, 2026-11-22T15:00:00Z or Unix seconds.
    #[arg(long, default_value = "now-1h", allow_hyphen_values = true)]
    from: String,
    /// End, written the same.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    until: String,
    /// Selector of what is compared with; the same as --query if absent.
    #[arg(long, value_name = "SELECTOR")]
    base_query: Option<String>,
    /// Start of what is compared with; without it and --base-query that is the time just before.
    #[arg(long, allow_hyphen_values = true, requires = "base_until")]
    base_from: Option<String>,
    /// Its end.
    #[arg(long, allow_hyphen_values = true, requires = "base_from")]
    base_until: Option<String>,
    /// What of a function is compared: its own cost, or that with everything called.
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// How sure the verdict is: 95% means that at most one comparison in twenty names any function that did not change.
    #[arg(long, default_value = "95%", value_name = "PERCENT", value_parser = percent)]
    confidence: f64,
    /// Smallest change of a share told, in percentage points.
    #[arg(long, default_value = "0", value_name = "PERCENT", value_parser = percent)]
    min_change: f64,
    /// Exit code 4 if the share of a function certainly changed and grew by more than so many percentage points: 2 or 2%.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_over: Option<f64>,
    /// Functions shown.
    #[arg(long, short = 'n', default_value_t = 30)]
    rows: usize,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Form,
    /// Exit code 3 if there were too few profiles to judge any function.
    #[arg(long)]
    fail_if_empty: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum By {
    /// Own cost.
    #[default]
    #[value(name = "self")]
    Own,
    /// Cost with everything called.
    Total,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a person.
    #[default]
    Table,
    /// The whole answer as one object.
    Json,
    /// A line of names, then a line a function that changed.
    Csv,
    /// A table for a pull request.
    Markdown,
    /// A picture: bars with confidence intervals.
    Svg,
}

impl Compare {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (start, end) = range("", &self.from, &self.until)?;
        let (base_start, base_end) = match (&self.base_from, &self.base_until) {
            (Some(from), Some(until)) => range("base-", from, until)?,
            _ if self.base_query.is_some() => (start, end),
            _ => (start.saturating_sub(end - start), start.saturating_sub(1)),
        };
        let client = self.target.client()?;
        let asked = Asked::new(client.clone(), self.query.clone(), self.profile_type.clone(), [start, end]);
        let body = json!({
            "profile_type": asked.profile_type().await?,
            "baseline": {
                "query": self.base_query.as_ref().unwrap_or(&self.query),
                "from": base_start.to_string(),
                "until": base_end.to_string(),
            },
            "candidate": { "query": self.query, "from": start.to_string(), "until": end.to_string() },
            "by": if self.by == By::Own { "self" } else { "total" },
            "confidence": self.confidence / 100.0,
            "min_change": self.min_change / 100.0,
            "limit": LIMIT,
        });
        let answer = client.post_json("api/v1/compare", body.to_string()).await?;
        let found: Comparison = serde_json::from_str(&answer).context("the server's answer is not understood")?;
        let verdict = self.verdict(&found);
        out(&self.text(found)?)?;
        verdict
    }

    fn text(&self, mut found: Comparison) -> anyhow::Result<String> {
        Ok(match self.output {
            Form::Json => serde_json::to_string_pretty(&found)? + "\n",
            Form::Csv => rows(&found.changed).text(Format::Csv).unwrap_or_default(),
            Form::Table | Form::Markdown | Form::Svg => {
                found.changed.truncate(self.rows);
                found.unjudged.truncate(UNJUDGED);
                match self.output {
                    Form::Markdown => found.markdown(),
                    Form::Svg => found.svg(),
                    _ => table(&found),
                }
            }
        })
    }

    /// What the exit code says.
    fn verdict(&self, found: &Comparison) -> anyhow::Result<()> {
        if found.tested == 0 && self.fail_if_empty {
            bail!(Exit::Empty);
        }
        let Some(most) = self.fail_over else { return Ok(()) };
        if found.tested == 0 {
            let why = found.unjudged.first().map_or("there are no profiles", |one| one.reason.as_str());
            bail!("nothing could be judged, so --fail-over was not checked: {why}");
        }
        let worst = found.changed.iter().max_by(|one, other| one.change.total_cmp(&other.change));
        match worst.filter(|worst| worst.change * 100.0 > most) {
            Some(worst) => bail!(Exit::Check(format!(
                "the share of {} grew by {:.2} percentage points, more than {most}",
                worst.function,
                worst.change * 100.0
            ))),
            None => Ok(()),
        }
    }
}

/// For programs.
fn rows(changed: &[Change]) -> Rows {
    let mut rows = Rows::new(&[
        "function",
        "baseline",
        "candidate",
        "change",
        "change_low",
        "change_high",
        "relative",
        "p",
        "p_adjusted",
    ]);
    for change in changed {
        let numbers = [change.baseline, change.candidate, change.change, change.change_low, change.change_high];
        let mut row = vec![json!(change.function)];
        row.extend(numbers.map(|number| json!(number)));
        row.extend([json!(change.relative), json!(change.p), json!(change.p_adjusted)]);
        rows.push(row);
    }
    rows
}

/// For a person.
fn table(found: &Comparison) -> String {
    let mut out = found.headline() + "\n";
    if !found.changed.is_empty() {
        out += &format!(
            "\n{:>8} {:>8} {:>8}  {:>9}  {:>17}  FUNCTION\n",
            "CHANGE", "BEFORE", "AFTER", "RELATIVE", "INTERVAL"
        );
    }
    for change in &found.changed {
        let relative = change.relative.map_or_else(|| "new".to_owned(), |part| format!("{:+.1}%", part * 100.0));
        let interval = format!("{:+.2} … {:+.2}", change.change_low * 100.0, change.change_high * 100.0);
        out += &format!(
            "{:>+7.2}% {:>7.2}% {:>7.2}%  {relative:>9}  {interval:>17}  {}\n",
            change.change * 100.0,
            change.baseline * 100.0,
            change.candidate * 100.0,
            change.function
        );
    }
    if found.changed_count > found.changed.len() {
        out += &format!("… and {} more\n", found.changed_count - found.changed.len());
    }
    out + "\n" + &found.footing()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use flamelake_model::compare::{Side, Unjudged};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        compare: Compare,
    }

    fn compare(arguments: &[&str]) -> Compare {
        Line::parse_from([&["diff"], arguments].concat()).compare
    }

    fn found() -> Comparison {
        let change = |function: &str, change: f64| Change {
            function: function.to_owned(),
            baseline: 0.1,
            candidate: 0.1 + change,
            change,
            change_low: change - 0.001,
            change_high: change + 0.001,
            relative: Some(change * 10.0),
            p: 0.0001,
            p_adjusted: 0.001,
        };
        Comparison {
            confidence: 0.95,
            baseline: Side { profiles: 20, total: 1 },
            candidate: Side { profiles: 30, total: 1 },
            tested: 7,
            changed: vec![change("a", -0.05), change("b", 0.02)],
            changed_count: 2,
            ..Comparison::default()
        }
    }

    #[test]
    fn only_growth_over_the_bound_fails() {
        let code = |arguments: &[&str], found: &Comparison| compare(arguments).verdict(found).unwrap_err().to_string();
        assert_eq!(
            code(&["--fail-over", "1%"], &found()),
            "the share of b grew by 2.00 percentage points, more than 1"
        );
        for fine in [&["--fail-over", "2.1"][..], &[]] {
            assert!(compare(fine).verdict(&found()).is_ok());
        }
        let unjudged = Unjudged { reason: "few".to_owned(), function: "a".to_owned(), baseline: 0.0, candidate: 0.0 };
        let nothing = Comparison { unjudged: vec![unjudged], ..Comparison::default() };
        assert!(compare(&[]).verdict(&nothing).is_ok());
        assert!(code(&["--fail-over", "1%"], &nothing).ends_with("was not checked: few"));
        assert!(code(&["--fail-over", "1%", "--fail-if-empty"], &nothing).contains("--fail-if-empty"));
    }

    #[test]
    fn tables_and_rows() {
        let expected = "\
2 of 7 functions changed their own share

  CHANGE   BEFORE    AFTER   RELATIVE           INTERVAL  FUNCTION
  -5.00%   10.00%    5.00%     -50.0%      -5.10 … -4.90  a
… and 1 more

20 profiles before, 30 after. Chance of any false alarm: at most 5 % (Welch's t-test, Holm's correction). 0 functions could not be judged.
";
        assert_eq!(compare(&["-n", "1"]).text(found()).unwrap(), expected);
        let csv = compare(&["--output", "csv"]).text(found()).unwrap();
        assert!(csv.starts_with("function,baseline,candidate,change,") && csv.lines().count() == 3, "{csv}");
        let json = compare(&["--output", "json"]).text(found()).unwrap();
        let read = |json: &str| serde_json::from_str::<Comparison>(json).unwrap();
        assert_eq!(read(&json), read(&serde_json::to_string(&found()).unwrap()));
        assert!(compare(&["--output", "markdown"]).text(found()).unwrap().starts_with("### 2 of 7"));
        assert!(compare(&["--output", "svg"]).text(found()).unwrap().starts_with("<svg"));
    }
}
