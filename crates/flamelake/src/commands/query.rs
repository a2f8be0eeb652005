//! `flamelake query …`: types, labels, series, flame graphs, tops and pprof files.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use flamelake_api::querier::v1::{
    ProfileTypesRequest, ProfileTypesResponse, SelectMergeProfileRequest, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse, SelectSeriesRequest, SelectSeriesResponse,
};
use flamelake_api::types::v1::{
    GoPgo, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, StackTraceSelector,
};
use flamelake_config::parse_duration;
use flamelake_runtime::clock::SystemClock;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use serde_json::json;

use super::Target;
use super::client::Client;
use super::diff;
use super::exit::Exit;
use super::functions;
use super::output::{Format, Rows};
use super::render::{self, Paint};
use super::time;
use super::tree::Tree;

/// Points of a series if `--step` is not given.
const POINTS: i64 = 60;

#[derive(Debug, Args)]
pub(super) struct Query {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Profile types that have data.
    Types,
    /// Names of labels, or the values of one.
    Labels {
        /// The label whose values are listed.
        name: Option<String>,
    },
    /// Totals over time.
    Series {
        /// A label to group by. May be repeated.
        #[arg(long, short = 'g', value_name = "LABEL")]
        group_by: Vec<String>,
        /// Time between points; a sixtieth of the range if absent.
        #[arg(long)]
        step: Option<String>,
        /// Most groups shown.
        #[arg(long, default_value_t = 20)]
        limit: i64,
    },
    /// A merged flame graph as text.
    Flamegraph {
        /// Frames below this share of the total are left out.
        #[arg(long, default_value_t = 0.5, value_name = "PERCENT")]
        min_percent: f64,
        /// Frames deeper than this are left out.
        #[arg(long, default_value_t = 256)]
        depth: usize,
    },
    /// The functions that cost most by themselves.
    Top {
        /// Rows shown.
        #[arg(long, short = 'n', default_value_t = 30)]
        rows: usize,
        /// Sorts by cost with everything called, not by own cost.
        #[arg(long)]
        cumulative: bool,
    },
    /// Which services run a function: where its name has TEXT somewhere.
    Functions {
        /// A piece of the name, in any case.
        text: String,
        /// TEXT is a regular expression that the whole name matches.
        #[arg(long)]
        regex: bool,
        /// Most functions shown.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Which functions' share of the total changed, against other data or another time (by default the time just before, as long).
    Diff {
        /// Selector of what is compared with; the same as --query if absent.
        #[arg(long, value_name = "SELECTOR")]
        base_query: Option<String>,
        /// Start of what is compared with.
        #[arg(long, allow_hyphen_values = true, requires = "base_until")]
        base_from: Option<String>,
        /// Its end.
        #[arg(long, allow_hyphen_values = true, requires = "base_from")]
        base_until: Option<String>,
        /// Rows shown.
        #[arg(long, short = 'n', default_value_t = 30)]
        rows: usize,
        /// Exit code 4 if the own share of a function grew by more than so many percentage points: 2 or 2%.
        #[arg(long, value_name = "PERCENT", value_parser = percent)]
        fail_over: Option<f64>,
    },
    /// A merged CPU profile for go build -pgo, which finds default.pgo beside the main package by itself.
    GoPgo {
        /// The file.
        #[arg(long, short = 'o', default_value = "default.pgo")]
        file: PathBuf,
        /// Frames kept of each stack, from the leaf.
        #[arg(long, default_value_t = 5)]
        keep_locations: u32,
    },
    /// A merged profile as a pprof file, packed if its name ends with .gz.
    Pprof {
        /// The file.
        #[arg(long, short = 'o', default_value = "profile.pb.gz")]
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
struct Selection {
    /// Which series: {service_name="x", namespace=~"a.*"}.
    #[arg(long, short = 'q', global = true, default_value = "{}", value_name = "SELECTOR")]
    query: String,
    /// Profile type as `flamelake query types` lists them; may be left out where there is only one.
    #[arg(long = "type", short = 't', global = true, value_name = "TYPE")]
    profile_type: Option<String>,
    /// Start: now-1h, 2026-11-22T15:00:00Z or Unix seconds.
    #[arg(long, global = true, default_value = "now-1h", allow_hyphen_values = true)]
    from: String,
    /// End, written the same.
    #[arg(long, global = true, default_value = "now", allow_hyphen_values = true)]
    until: String,
    /// How the answer is written; not for pprof.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Exit code 3 if nothing was found.
    #[arg(long, global = true)]
    fail_if_empty: bool,
}

/// A selection that is complete.
pub(super) struct Asked {
    client: Client,
    query: String,
    profile_type: Option<String>,
    start: i64,
    end: i64,
    format: Format,
    fail_if_empty: bool,
}

impl Query {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let asked = Asked::of(self.selection, &self.target)?;
        match self.question {
            Question::Types => asked.types().await,
            Question::Labels { name } => asked.labels(name).await,
            Question::Series { group_by, step, limit } => asked.series(group_by, step.as_deref(), limit).await,
            Question::Flamegraph { min_percent, depth } => asked.flamegraph(min_percent, depth).await,
            Question::Top { rows, cumulative } => asked.top(rows, cumulative).await,
            Question::Functions { text, regex, limit } => asked.functions(&text, regex, limit).await,
            Question::Diff { base_query, base_from, base_until, rows, fail_over } => {
                let range = base_from.as_deref().zip(base_until.as_deref());
                let base = asked.base(base_query, range)?;
                asked.diff(&base, rows, fail_over).await
            }
            Question::GoPgo { file, keep_locations } => asked.go_pgo(&file, keep_locations).await,
            Question::Pprof { file } => asked.pprof(&file).await,
        }
    }
}

impl Asked {
    /// Milliseconds, both ends included; answers are tables.
    pub(super) fn new(client: Client, query: String, profile_type: Option<String>, [start, end]: [i64; 2]) -> Self {
        Self { client, query, profile_type, start, end, format: Format::Table, fail_if_empty: false }
    }

    fn of(selection: Selection, target: &Target) -> anyhow::Result<Self> {
        let (start, end) = range("", &selection.from, &selection.until)?;
        let Selection { query, profile_type, output: format, fail_if_empty, .. } = selection;
        Ok(Self { client: target.client()?, query, profile_type, start, end, format, fail_if_empty })
    }

    /// What is compared with.
    fn base(&self, query: Option<String>, times: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let (start, end) = match times {
            Some((from, until)) => range("base-", from, until)?,
            None if query.is_some() => (self.start, self.end),
            None => (self.start.saturating_sub(self.end - self.start), self.start.saturating_sub(1)),
        };
        let query = query.unwrap_or_else(|| self.query.clone());
        Ok(Self { client: self.client.clone(), query, profile_type: self.profile_type.clone(), start, end, ..*self })
    }

    /// Writes rows if a program reads, else the table.
    fn tell(&self, rows: &Rows, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        out(&rows.text(self.format).unwrap_or_else(table))?;
        if self.fail_if_empty && rows.is_empty() {
            bail!(Exit::Empty);
        }
        Ok(())
    }

    fn names(&self, column: &'static str, names: Vec<String>) -> anyhow::Result<()> {
        let mut rows = Rows::new(&[column]);
        names.iter().for_each(|name| rows.push(vec![json!(name)]));
        self.tell(&rows, || names.into_iter().map(|name| name + "\n").collect())
    }

    async fn profile_types(&self) -> anyhow::Result<Vec<String>> {
        let request = ProfileTypesRequest { start: self.start, end: self.end };
        let answer: ProfileTypesResponse = self.client.call("querier.v1.QuerierService/ProfileTypes", &request).await?;
        Ok(answer.profile_types.into_iter().map(|profile_type| profile_type.id).collect())
    }

    /// The given type, else the only one there is.
    pub(super) async fn profile_type(&self) -> anyhow::Result<String> {
        if let Some(given) = &self.profile_type {
            return Ok(given.clone());
        }
        let mut types = self.profile_types().await?;
        match types.len() {
            0 if self.fail_if_empty => bail!(Exit::Empty),
            0 => bail!(
                "no profiles from {} to {}; look further back with --from",
                time::show(self.start),
                time::show(self.end)
            ),
            1 => Ok(types.remove(0)),
            _ => bail!("say which with --type:\n  {}", types.join("\n  ")),
        }
    }

    async fn types(&self) -> anyhow::Result<()> {
        self.names("profile_type", self.profile_types().await?)
    }

    async fn labels(&self, name: Option<String>) -> anyhow::Result<()> {
        let (matchers, start, end) = (vec![self.query.clone()], self.start, self.end);
        let Some(name) = name else {
            let request = LabelNamesRequest { matchers, start, end };
            let answer: LabelNamesResponse = self.client.call("querier.v1.QuerierService/LabelNames", &request).await?;
            return self.names("label", answer.names);
        };
        let request = LabelValuesRequest { name, matchers, start, end };
        let answer: LabelValuesResponse = self.client.call("querier.v1.QuerierService/LabelValues", &request).await?;
        self.names("value", answer.names)
    }

    async fn series(&self, group_by: Vec<String>, step: Option<&str>, limit: i64) -> anyhow::Result<()> {
        let profile_type_id = self.profile_type().await?;
        let unit = unit_of(&profile_type_id);
        let step = match step {
            Some(text) => parse_duration(text)
                .filter(|step| !step.is_zero())
                .with_context(|| format!("--step {text:?} is no duration; write 15s or 1m"))?,
            None => Duration::from_millis(((self.end - self.start) / POINTS).max(1000).unsigned_abs()),
        };
        let request = SelectSeriesRequest {
            profile_type_id,
            label_selector: self.query.clone(),
            start: self.start,
            end: self.end,
            group_by,
            step: step.as_secs_f64(),
            limit: Some(limit),
            ..SelectSeriesRequest::default()
        };
        let answer: SelectSeriesResponse = self.client.call("querier.v1.QuerierService/SelectSeries", &request).await?;
        let grid = render::Grid { start: self.start, end: self.end, step_ms: step.as_millis() as i64 };
        self.tell(&render::series_rows(&answer.series), || render::series(&answer.series, &grid, &unit))
    }

    async fn functions(&self, text: &str, is_regex: bool, limit: usize) -> anyhow::Result<()> {
        let query = functions::Query {
            text,
            is_regex,
            limit,
            selector: &self.query,
            profile_type: self.profile_type.as_deref(),
            range: [self.start, self.end],
        };
        let found = functions::Found::read(&self.client.get_text(&query.path()).await?)?;
        self.tell(&found.rows(), || found.table())
    }

    async fn tree(&self) -> anyhow::Result<(Tree, String)> {
        let profile_type_id = self.profile_type().await?;
        let unit = unit_of(&profile_type_id);
        Ok((self.tree_of(profile_type_id).await?, unit))
    }

    async fn tree_of(&self, profile_type_id: String) -> anyhow::Result<Tree> {
        let request = SelectMergeStacktracesRequest {
            profile_type_id,
            label_selector: self.query.clone(),
            start: self.start,
            end: self.end,
            ..SelectMergeStacktracesRequest::default()
        };
        let answer: SelectMergeStacktracesResponse =
            self.client.call("querier.v1.QuerierService/SelectMergeStacktraces", &request).await?;
        let graph = answer.flamegraph.unwrap_or_default();
        Tree::of(&graph).context("the server's flame graph is not understood")
    }

    async fn flamegraph(&self, min_percent: f64, depth: usize) -> anyhow::Result<()> {
        let (tree, unit) = self.tree().await?;
        let rows = render::flamegraph_rows(&tree, min_percent, depth);
        self.tell(&rows, || render::flamegraph(&tree, &unit, min_percent, depth, paint()))
    }

    async fn top(&self, rows: usize, cumulative: bool) -> anyhow::Result<()> {
        let (tree, unit) = self.tree().await?;
        self.tell(&render::top_rows(&tree, rows, cumulative), || render::top(&tree, &unit, rows, cumulative))
    }

    /// As `flamelake query top` prints it.
    pub(super) async fn top_text(&self, rows: usize, cumulative: bool) -> anyhow::Result<String> {
        let (tree, unit) = self.tree().await?;
        Ok(render::top(&tree, &unit, rows, cumulative))
    }

    async fn diff(&self, base: &Self, rows: usize, fail_over: Option<f64>) -> anyhow::Result<()> {
        let profile_type = self.profile_type().await?;
        let (before, after) = tokio::try_join!(base.tree_of(profile_type.clone()), self.tree_of(profile_type))?;
        let changes = diff::changes(&before, &after);
        self.tell(&diff::rows(&changes), || diff::table(&changes, rows))?;
        let worst = changes.iter().max_by(|one, other| one.grew().total_cmp(&other.grew()));
        match (fail_over, worst) {
            (Some(most), Some(worst)) if worst.grew() > most => bail!(Exit::Check(format!(
                "the own share of {} grew by {:.2} percentage points, more than {most}",
                worst.function,
                worst.grew()
            ))),
            _ => Ok(()),
        }
    }

    async fn pprof(&self, output: &Path) -> anyhow::Result<()> {
        let profile = self.merged(None).await?;
        let is_packed = output.extension().is_some_and(|extension| extension == "gz");
        save(output, &if is_packed { pack(&profile)? } else { profile.to_vec() })
    }

    async fn go_pgo(&self, output: &Path, keep_locations: u32) -> anyhow::Result<()> {
        let selector = StackTraceSelector {
            go_pgo: Some(GoPgo { keep_locations, aggregate_callees: true }),
            ..StackTraceSelector::default()
        };
        save(output, &pack(&self.merged(Some(selector)).await?)?)
    }

    /// A pprof file as it comes.
    async fn merged(&self, stack_trace_selector: Option<StackTraceSelector>) -> anyhow::Result<Bytes> {
        let request = SelectMergeProfileRequest {
            profile_type_id: self.profile_type().await?,
            label_selector: self.query.clone(),
            start: self.start,
            end: self.end,
            stack_trace_selector,
            ..SelectMergeProfileRequest::default()
        };
        let body = request.encode_to_vec();
        Ok(self.client.call_raw("querier.v1.QuerierService/SelectMergeProfile", body).await?)
    }
}

fn pack(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}

fn save(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("write {}", file.display()))?;
    out(&format!("wrote {} ({} bytes)\n", file.display(), bytes.len()))
}

/// The third part of a profile type.
fn unit_of(profile_type: &str) -> String {
    profile_type.split(':').nth(2).unwrap_or_default().to_owned()
}

fn paint() -> Paint {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Paint::Colours
    } else {
        Paint::Plain
    }
}

/// Two moments as the flags `--{prefix}from` and `--{prefix}until` have them, in milliseconds.
pub(super) fn range(prefix: &str, from: &str, until: &str) -> anyhow::Result<(i64, i64)> {
    let now = SystemClock::shared().unix_nanos() / 1_000_000;
    let at =
        |flag: &str, text: &str| time::parse(text, now).map_err(|error| anyhow::anyhow!("--{prefix}{flag}: {error}"));
    let (start, end) = (at("from", from)?, at("until", until)?);
    if start > end {
        bail!("--{prefix}from {from} is after --{prefix}until {until}");
    }
    Ok((start, end))
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number.filter(|percent| percent.is_finite() && *percent >= 0.0).ok_or_else(|| "write 2 or 2%".to_owned())
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
