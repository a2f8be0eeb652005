//! speedscope JSON: profiles of stacks over shared frames, evented or sampled (contract `ingest.md` section 4.7).

use serde::Deserialize;

use crate::PushSeries;
use crate::decode::stacks::Stacks;
use crate::decode::text_type::TextType;
use crate::decode::{DecodeLimits, Refused, Source};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";
/// The rate that stands for "none said".
const RATE_DEFAULT: u32 = 100;

#[derive(Debug, Deserialize)]
struct File {
    #[serde(rename = "$schema", default)]
    schema: String,
    #[serde(default)]
    shared: Shared,
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Debug, Default, Deserialize)]
struct Shared {
    #[serde(default)]
    frames: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(default)]
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    unit: String,
    #[serde(rename = "startValue", default)]
    start: f64,
    #[serde(default)]
    samples: Vec<Vec<u32>>,
    #[serde(default)]
    weights: Vec<f64>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    at: f64,
    frame: u32,
}

/// A series for each profile that differs from others in name, type, unit or start.
pub(crate) fn series(body: &[u8], source: &Source, limits: DecodeLimits) -> Result<Vec<PushSeries>, Refused> {
    let file: File =
        serde_json::from_slice(body).map_err(|error| Refused::malformed(format!("not a speedscope file: {error}")))?;
    if file.schema != SCHEMA {
        return Err(Refused::malformed(format!("not a speedscope file: $schema must be {SCHEMA}")));
    }
    let mut groups: Vec<(&Profile, Stacks)> = Vec::new();
    for profile in &file.profiles {
        let is_same = |other: &Profile| {
            (&other.name, &other.kind, &other.unit) == (&profile.name, &profile.kind, &profile.unit)
                && other.start.to_bits() == profile.start.to_bits()
        };
        let at = match groups.iter().position(|(other, _)| is_same(other)) {
            Some(at) => at,
            None if groups.len() >= PROFILES_MAX => {
                return Err(Refused::malformed(format!("the file holds more than {PROFILES_MAX} different profiles")));
            }
            None => {
                groups.push((profile, Stacks::new(limits)));
                groups.len() - 1
            }
        };
        let stacks = &mut groups[at].1;
        match profile.kind.as_str() {
            "evented" => evented(profile, &file.shared.frames, stacks, limits)?,
            "sampled" => sampled(profile, &file.shared.frames, stacks)?,
            _ => return Err(Refused::malformed("a profile's type is neither evented nor sampled")),
        }
    }
    let alone = groups.len() == 1;
    let series = groups.into_iter().map(|(profile, stacks)| one(profile, stacks, source, alone));
    series.filter_map(Result::transpose).collect()
}

/// Each is a series of its own.
const PROFILES_MAX: usize = 1000;

fn one(profile: &Profile, stacks: Stacks, source: &Source, alone: bool) -> Result<Option<PushSeries>, Refused> {
    let app = source.app.app.as_str();
    let (service, kind) = if alone { TextType::of(app)? } else { (app, TextType::of_suffix(&profile.unit)?) };
    let (head, factor) = kind.head(source, scale(&profile.unit, source));
    let Some(pprof) = stacks.into_pprof(&head, factor)? else { return Ok(None) };
    Ok(Some(source.series_of_app(service, kind.name, &[("profile_name", &profile.name)], pprof)))
}

/// Nanoseconds a value; values are hundredths of the unit, see [`value`].
fn scale(unit: &str, source: &Source) -> Option<i64> {
    if source.sample_rate != RATE_DEFAULT {
        return source.period_ns();
    }
    Some(match unit {
        "milliseconds" => 10_000,
        "microseconds" => 10,
        "nanoseconds" => 1,
        "none" => 100_000,
        _ => 10_000_000,
    })
}

/// A weight as a whole number: of hundredths, if its unit may be smaller than what is measured.
fn value(weight: f64, unit: &str) -> i64 {
    let hundredths = matches!(unit, "seconds" | "milliseconds" | "microseconds" | "none");
    // Out of range saturates.
    (if hundredths { weight * 100.0 } else { weight }).round() as i64
}

fn name(frames: &[Frame], frame: u32) -> Result<&[u8], Refused> {
    let found = frames.get(frame as usize).map(|frame| frame.name.as_bytes());
    found.ok_or_else(|| Refused::malformed(format!("frame {frame} is not among the {} shared frames", frames.len())))
}

fn weighed(weight: f64) -> Result<f64, Refused> {
    if weight >= 0.0 && weight.is_finite() {
        return Ok(weight);
    }
    Err(Refused::malformed("a weight is negative, or time goes backwards"))
}

fn sampled(profile: &Profile, frames: &[Frame], stacks: &mut Stacks) -> Result<(), Refused> {
    if profile.samples.len() != profile.weights.len() {
        let (samples, weights) = (profile.samples.len(), profile.weights.len());
        return Err(Refused::malformed(format!("a profile has {samples} samples and {weights} weights")));
    }
    for (sample, weight) in profile.samples.iter().zip(&profile.weights) {
        let names: Vec<&[u8]> = sample.iter().map(|frame| name(frames, *frame)).collect::<Result<_, _>>()?;
        stacks.add_stack(names.into_iter(), value(weighed(*weight)?, &profile.unit))?;
    }
    Ok(())
}

/// Time between two events belongs to the stack that is open between them.
fn evented(profile: &Profile, frames: &[Frame], stacks: &mut Stacks, limits: DecodeLimits) -> Result<(), Refused> {
    let mut open: Vec<(u32, u32)> = Vec::new();
    let mut last = profile.start;
    for event in &profile.events {
        let node = open.last().map_or(crate::decode::stacks::ROOT, |(_, node)| *node);
        stacks.add(node, value(weighed(event.at - last)?, &profile.unit))?;
        last = event.at;
        match event.kind.as_str() {
            "O" if open.len() >= limits.bytes_max => return Err(Refused::malformed("too many frames are open")),
            "O" => open.push((event.frame, stacks.child(node, name(frames, event.frame)?)?)),
            "C" => match open.pop() {
                Some((frame, _)) if frame == event.frame => {}
                _ => return Err(Refused::malformed(format!("frame {} is closed, another is open", event.frame))),
            },
            _ => return Err(Refused::malformed("an event is neither O nor C")),
        }
    }
    Ok(())
}
