//! `flamelake import`: profiles of another server that speaks the Pyroscope API, e.g. Grafana Pyroscope itself, into this one.
//!
//! The other server only hands out merged profiles, so each series is fetched step by step: one profile per step that has data, stored at the
//! end of its step. Sums over whole steps are the same afterwards; finer times, span ids and exemplars are not to be had over that API.
//! A file notes what was done, so that an import that was broken off goes on where it was.

mod plan;
mod progress_file;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use flamelake_api::google::v1::Profile;
use flamelake_api::push::v1::{PushRequest, PushResponse, RawProfileSeries, RawSample};
use flamelake_api::querier::v1::{
    SelectMergeProfileRequest, SelectSeriesRequest, SelectSeriesResponse, SeriesRequest, SeriesResponse,
};
use flamelake_config::{Secret, parse_duration};
use flamelake_runtime::clock::SystemClock;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;

use self::plan::{Unit, units, windows};
use self::progress_file::ProgressFile;
use super::client::{CallError, Client};
use super::query::{out, range};
use super::{Target, secret};

const QUERIER: &str = "querier.v1.QuerierService";
const PUSH: &str = "push.v1.PusherService/Push";
/// Points asked of the other server at once.
const POINTS_MAX: usize = 1000;
/// Nor is it asked about more time than this at once: what servers allow unless they are told otherwise.
const RANGE_MAX_MS: i64 = 24 * 3600 * 1000;
/// A request is tried so often while the server says that it cannot take it just now.
const ATTEMPTS_MAX: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The other server.
    #[arg(long, value_name = "URL")]
    source: String,
    /// Sent to it as X-Scope-OrgID.
    #[arg(long, value_name = "TENANT")]
    source_tenant: Option<String>,
    /// User for its basic authentication.
    #[arg(long, value_name = "USER", requires = "source_password")]
    source_user: Option<String>,
    /// Password of that user. Better by the variable: other users see command lines.
    #[arg(long, env = "FLAMELAKE_SOURCE_PASSWORD", hide_env_values = true, value_parser = secret)]
    source_password: Option<Secret>,
    /// Which series: {namespace="shop"}.
    #[arg(long, short = 'q', default_value = "{}", value_name = "SELECTOR")]
    query: String,
    /// Start: now-7d, 2026-11-22T15:00:00Z or Unix seconds. Rounded down to a whole step.
    #[arg(long, allow_hyphen_values = true)]
    from: String,
    /// End, written the same. A step that is not over then is left for the next run.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    until: String,
    /// One profile a series is made of so much time.
    #[arg(long, default_value = "1m", value_parser = step)]
    step: Duration,
    /// Series fetched at the same time.
    #[arg(long, default_value_t = 4, value_name = "N")]
    parallel: usize,
    /// What was done is noted here; the same command goes on where it was.
    #[arg(long, default_value = "flamelake-import.jsonl", value_name = "FILE")]
    state: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// Seconds at least: times in answers are milliseconds, and fewer profiles are the point.
fn step(text: &str) -> Result<Duration, String> {
    let whole = |step: &Duration| step.as_secs() > 0 && step.subsec_nanos() == 0;
    parse_duration(text).filter(whole).ok_or_else(|| "write whole seconds: 15s or 1m".to_owned())
}

/// One import.
struct Job {
    source: Client,
    target: Client,
    step_ms: i64,
    start: i64,
    end: i64,
    done: ProgressFile,
    bar: ProgressBar,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let step_ms = i64::try_from(self.step.as_millis()).context("--step is too long")?;
        let (start, end) = range("", &self.from, &self.until)?;
        // Points stand at start, start + step, …: on a grid of its own a second run would cut differently.
        let start = start - start.rem_euclid(step_ms);
        let what = serde_json::json!({
            "source": self.source, "tenant": self.source_tenant, "query": self.query, "step_ms": step_ms,
            "target": self.target.url, "target_tenant": self.target.tenant,
        });
        let done = ProgressFile::open(&self.state, &what)?;
        let source = Target { url: self.source.clone(), tenant: self.source_tenant.clone(), ..Target::default() };
        let mut source = source.client()?;
        if let (Some(user), Some(password)) = (self.source_user, self.source_password) {
            source = source.with_basic(user, password);
        }
        let target = self.target.client()?;
        let job = Job { source, target, step_ms, start, end, done, bar: bar() };
        let units = job.units(&self.query).await?;
        if units.is_empty() {
            bail!("{} has no profiles from {} to {} for {}", self.source, self.from, self.until, self.query);
        }
        let points = |(first, last): (i64, i64)| ((last - first) / step_ms + 1).unsigned_abs();
        let steps: u64 = job.windows().map(points).sum();
        job.bar.set_length(units.len() as u64 * steps);
        let work = stream::iter(&units).map(|unit| job.import(unit)).buffer_unordered(self.parallel.max(1));
        let stored: u64 = work.try_fold(0, |sum, stored| async move { Ok(sum + stored) }).await?;
        job.bar.finish_and_clear();
        out(&format!("imported {stored} profiles of {} series and types\n", units.len()))
    }
}

impl Job {
    /// What there is: every series and profile type.
    async fn units(&self, query: &str) -> anyhow::Result<Vec<Unit>> {
        let mut sets = Vec::new();
        let mut start = self.start;
        while start <= self.end {
            let end = self.end.min(start.saturating_add(RANGE_MAX_MS - 1));
            let request = SeriesRequest { matchers: vec![query.to_owned()], label_names: Vec::new(), start, end };
            let answer: SeriesResponse = patiently(&self.source, &format!("{QUERIER}/Series"), &request).await?;
            sets.extend(answer.labels_set);
            start = end + 1;
        }
        units(sets)
    }

    /// Pieces of the grid that may be asked about at once.
    fn windows(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let points_of_range = usize::try_from(RANGE_MAX_MS / self.step_ms).unwrap_or(POINTS_MAX);
        windows(self.start, self.end, self.step_ms, points_of_range.clamp(1, POINTS_MAX))
    }

    /// Fetches and stores one unit step by step; tells how many profiles.
    async fn import(&self, unit: &Unit) -> anyhow::Result<u64> {
        let mut stored = 0;
        for window in self.windows() {
            for at in self.steps_with_data(unit, window).await? {
                if self.done.is_done(unit, at) {
                    continue;
                }
                // The answer to a push may have been lost with the process that asked.
                if !(self.done.is_begun(unit, at) && self.is_stored(unit, at).await?) {
                    self.done.begin(unit, at)?;
                    self.copy(unit, at).await.with_context(|| format!("{unit} at {}", super::time::show(at)))?;
                    stored += 1;
                }
                self.done.finish(unit, at)?;
            }
            self.bar.inc(((window.1 - window.0) / self.step_ms + 1).unsigned_abs());
        }
        Ok(stored)
    }

    async fn steps_with_data(&self, unit: &Unit, window: (i64, i64)) -> anyhow::Result<Vec<i64>> {
        Ok(self.points(&self.source, unit, window).await?.into_iter().map(|(at, _)| at).collect())
    }

    async fn is_stored(&self, unit: &Unit, at: i64) -> anyhow::Result<bool> {
        Ok(!self.points(&self.target, unit, (at, at)).await?.is_empty())
    }

    /// Ends of steps and their sums.
    async fn points(&self, server: &Client, unit: &Unit, (start, end): (i64, i64)) -> anyhow::Result<Vec<(i64, f64)>> {
        let request = SelectSeriesRequest {
            profile_type_id: unit.profile_type.clone(),
            label_selector: unit.selector(),
            start,
            end,
            step: self.step_ms as f64 / 1000.0,
            ..SelectSeriesRequest::default()
        };
        let answer: SelectSeriesResponse = patiently(server, &format!("{QUERIER}/SelectSeries"), &request).await?;
        let points = answer.series.into_iter().flat_map(|series| series.points);
        // A point of the step before the first may come along.
        Ok(points.map(|point| (point.timestamp, point.value)).filter(|(at, _)| (start..=end).contains(at)).collect())
    }

    /// One merged profile of (at - step, at], stored at `at`.
    async fn copy(&self, unit: &Unit, at: i64) -> anyhow::Result<()> {
        let request = SelectMergeProfileRequest {
            profile_type_id: unit.profile_type.clone(),
            label_selector: unit.selector(),
            start: at - self.step_ms + 1,
            end: at,
            ..SelectMergeProfileRequest::default()
        };
        let merged: Profile = patiently(&self.source, &format!("{QUERIER}/SelectMergeProfile"), &request).await?;
        let profile = unit.restore(merged, at.saturating_mul(1_000_000))?;
        let sample = RawSample { raw_profile: profile.encode_to_vec().into(), id: uuid::Uuid::new_v4().to_string() };
        let series = RawProfileSeries { labels: unit.push_labels(), samples: vec![sample], annotations: Vec::new() };
        let pushed = patiently::<PushResponse>(&self.target, PUSH, &PushRequest { series: vec![series] }).await;
        pushed.map(|_| ()).map_err(|error| match error.to_string() {
            text if text.contains("too old") || text.contains("window") => error
                .context("the target refuses old profiles: set reject_older_than: 0 for the tenant while importing"),
            _ => error,
        })
    }
}

/// A call that is repeated while the server says that it cannot just now.
async fn patiently<Answer: Message + Default>(
    server: &Client,
    method: &str,
    request: &impl Message,
) -> anyhow::Result<Answer> {
    let clock = SystemClock::shared();
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS_MAX {
        match server.call(method, request).await {
            Err(error) if error.is_passing() => clock.sleep(wait).await,
            other => return other.map_err(CallError::into),
        }
        wait *= 2;
    }
    Ok(server.call(method, request).await?)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent}% of steps, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
