//! `flamelake push FILE… --label service_name=x`. A pprof profile goes by `push.v1`, the others by `/ingest` or as OTLP: each format as
//! the server takes it.

mod format;
mod wire;

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use flamelake_api::google::v1::Profile;
use flamelake_api::push::v1::{PushRequest, PushResponse, RawProfileSeries, RawSample};
use flamelake_api::types::v1::LabelPair;
use flamelake_runtime::clock::SystemClock;
use flate2::read::GzDecoder;
use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;

use super::client::{CallError, Client};
use super::{Target, query::out};
pub(crate) use format::Format;

const METHOD: &str = "push.v1.PusherService/Push";
/// Files under way at once.
const AT_ONCE: usize = 4;
/// A file is tried so often while the server says that it cannot take it just now.
const ATTEMPTS_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Standard input in place of a file.
const STDIN: &str = "-";
/// Bounds what a file that is packed too well may unfold to.
const PROFILE_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Args)]
pub(super) struct Push {
    /// Profiles, plain or gzip: pprof, JFR, folded stacks, speedscope, OTLP and more; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are; told by what stands in them if absent.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What is measured, for formats that do not say it: cpu, wall, alloc_space, inuse_space, mutex_duration, … (docs/ingest.md).
    #[arg(long, default_value = "cpu")]
    kind: String,
    /// Samples a second, for formats that count samples of time.
    #[arg(long, default_value_t = 100, value_name = "HERTZ")]
    sample_rate: u32,
    /// A label of the series; give service_name at least. May be repeated.
    #[arg(long = "label", short = 'l', value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Stores the profiles as taken now, whatever time they carry. Servers refuse old profiles by default. (Of pprof; others but OTLP
    /// carry no time and are taken now anyway.)
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    target: Target,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    if name.is_empty() { Err("the name is empty".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

impl Push {
    /// One file as a profile of `service`, taken now.
    pub(super) fn of_now(file: &Path, service: &str, target: Target) -> Self {
        let labels = vec![("service_name".to_owned(), service.to_owned())];
        let files = vec![file.to_owned()];
        Self { files, format: None, kind: "cpu".to_owned(), sample_rate: 100, labels, now: true, target }
    }

    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.target.client()?;
        let bar = progress(self.files.len());
        let (push, client_ref, bar_ref) = (&self, &client, &bar);
        let outcomes: Vec<_> = stream::iter(&self.files)
            .map(|file| async move {
                let outcome = push.one(client_ref, file).await.with_context(|| format!("push {}", name(file)));
                if let Err(error) = &outcome {
                    bar_ref.println(format!("{error:#}"));
                }
                bar_ref.inc(1);
                outcome
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        bar.finish_and_clear();
        self.report(outcomes)
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().rev().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }

    fn report(&self, outcomes: Vec<anyhow::Result<Format>>) -> anyhow::Result<()> {
        let all = outcomes.len();
        let mut failed = Vec::new();
        for (file, outcome) in self.files.iter().zip(outcomes) {
            match outcome {
                Ok(format) => out(&format!("pushed {} ({})\n", name(file), format.word()))?,
                Err(error) if all == 1 => return Err(error),
                Err(error) => failed.push(error),
            }
        }
        match failed.first() {
            None if all == 1 => Ok(()),
            None => out(&format!("pushed {all} profiles\n")),
            Some(first) => bail!("{} of {all} profiles were not stored; the first: {first:#}", failed.len()),
        }
    }

    /// Sends a file and tells what it was.
    async fn one(&self, client: &Client, file: &Path) -> anyhow::Result<Format> {
        let (bytes, plain) = read(file)?;
        let format = self.format.map_or_else(|| Format::of(&plain), Ok)?;
        let request = match format {
            Format::Pprof => Request::Push(self.request(bytes, &plain)?),
            format => Request::Post(wire::post(self, format, plain)?),
        };
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match request.send(client).await {
                Ok(()) => break,
                Err(error) if error.is_passing() && attempt < ATTEMPTS_MAX => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(self.explain(error).context(format!("as {}", format.word()))),
            }
        }
        Ok(format)
    }

    fn explain(&self, error: CallError) -> anyhow::Error {
        let old = matches!(&error, CallError::Refused { message, .. } if message.contains("too old") || message.contains("window"));
        let error = anyhow::Error::from(error);
        if old && !self.now { error.context("the profile is old; --now stores it as taken now") } else { error }
    }

    fn request(&self, file: Vec<u8>, plain: &[u8]) -> anyhow::Result<PushRequest> {
        let mut profile = Profile::decode(plain).context("this is no pprof profile")?;
        let mut labels: Vec<LabelPair> = self.labels.iter().map(|(name, value)| pair(name, value)).collect();
        if !labels.iter().any(|label| label.name == "__name__") {
            labels.push(pair("__name__", profile_name(&profile)));
        }
        let raw_profile = if self.now {
            profile.time_nanos = SystemClock::shared().unix_nanos();
            profile.encode_to_vec()
        } else {
            file
        };
        // One id for all attempts: a server that has it already does not store it twice.
        let sample = RawSample { raw_profile: Bytes::from(raw_profile), id: uuid::Uuid::new_v4().to_string() };
        Ok(PushRequest { series: vec![RawProfileSeries { labels, samples: vec![sample], annotations: Vec::new() }] })
    }
}

/// What is sent, as often as it takes.
enum Request {
    Push(PushRequest),
    Post(wire::Post),
}

impl Request {
    async fn send(&self, client: &Client) -> Result<(), CallError> {
        match self {
            Self::Push(request) => client.call::<PushResponse>(METHOD, request).await.map(|_| ()),
            Self::Post(post) => post.send(client).await,
        }
    }
}

/// A file for people.
fn name(file: &Path) -> String {
    if file == Path::new(STDIN) { "standard input".to_owned() } else { file.display().to_string() }
}

/// A file as it is, and unpacked.
fn read(file: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let bytes = if file == Path::new(STDIN) { all_of(stdin().lock())? } else { all_of(std::fs::File::open(file)?)? };
    let plain = unpack(&bytes, PROFILE_BYTES_MAX)?;
    Ok((bytes, plain))
}

fn all_of(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if input.take(PROFILE_BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > PROFILE_BYTES_MAX {
        bail!("the profile is larger than {PROFILE_BYTES_MAX} bytes");
    }
    Ok(bytes)
}

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.to_owned(), value: value.to_owned() }
}

/// As it is, or what the gzip file holds: at most `max` bytes.
pub(crate) fn unpack(file: &[u8], max: u64) -> anyhow::Result<Vec<u8>> {
    if !file.starts_with(&[0x1f, 0x8b]) {
        return Ok(file.to_vec());
    }
    let mut plain = Vec::new();
    let bytes = GzDecoder::new(file).take(max + 1).read_to_end(&mut plain).context("the gzip file is damaged")?;
    if bytes as u64 > max {
        bail!("the profile unfolds to more than {max} bytes");
    }
    Ok(plain)
}

/// The name that `/ingest` would give it (contract `ingest.md` section 4.5).
fn profile_name(profile: &Profile) -> &str {
    let text = |index: i64| {
        usize::try_from(index).ok().and_then(|index| profile.string_table.get(index)).map_or("", String::as_str)
    };
    let types: Vec<&str> = profile.sample_type.iter().map(|value| text(value.r#type)).collect();
    if types.contains(&"wall") {
        return "wall";
    }
    for kind in &types {
        match *kind {
            "samples" | "cpu" => return "process_cpu",
            "goroutine" | "goroutines" => return "goroutines",
            // Go writes mutex and block profiles alike: the more usual one.
            "contentions" | "delay" => return "mutex",
            "space" | "objects" => return "memory",
            memory if memory.starts_with("alloc_") || memory.starts_with("inuse_") => return "memory",
            _ => {}
        }
    }
    types.last().copied().filter(|kind| !kind.is_empty()).unwrap_or("profile")
}

fn progress(files: usize) -> ProgressBar {
    if files < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files as u64).with_style(style)
}

#[cfg(test)]
mod tests {
    use flamelake_api::google::v1::ValueType;

    use super::*;

    fn of_types(types: &[&str]) -> Profile {
        let string_table = std::iter::once("").chain(types.iter().copied()).map(str::to_owned).collect();
        let sample_type = (1..=types.len() as i64).map(|r#type| ValueType { r#type, unit: 0 }).collect();
        Profile { string_table, sample_type, ..Profile::default() }
    }

    #[test]
    fn a_profile_is_named_after_its_types() {
        for (types, name) in [
            (&["samples", "cpu"][..], "process_cpu"),
            (&["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"], "memory"),
            (&["goroutine"], "goroutines"),
            (&["contentions", "delay"], "mutex"),
            (&["sample", "wall"], "wall"),
            (&["bananas"], "bananas"),
            (&[], "profile"),
        ] {
            assert_eq!(profile_name(&of_types(types)), name, "{types:?}");
        }
    }

    #[test]
    fn now_moves_the_profile_and_labels_are_kept() {
        let push = |now| Push {
            files: Vec::new(),
            format: None,
            kind: "cpu".to_owned(),
            sample_rate: 100,
            labels: vec![("service_name".to_owned(), "a".to_owned())],
            now,
            target: Target::default(),
        };
        let file = Profile { time_nanos: 7, ..of_types(&["cpu"]) }.encode_to_vec();
        let sent = |now| push(now).request(file.clone(), &file).unwrap().series.remove(0);
        assert_eq!(sent(false).samples[0].raw_profile, file);
        assert_eq!(sent(false).labels, [pair("service_name", "a"), pair("__name__", "process_cpu")]);
        let moved = Profile::decode(sent(true).samples[0].raw_profile.clone()).unwrap();
        assert!(moved.time_nanos > 1_700_000_000_000_000_000);
        assert_eq!(push(false).request(Vec::new(), b"\x07text").unwrap_err().to_string(), "this is no pprof profile");
    }
}
