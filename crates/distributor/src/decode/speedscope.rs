//! speedscope JSON: profiles of stacks over shared frames, evented or sampled (contract `ingest.md` section 4.7).

use std::borrow::Cow;
use std::fmt;

use flamelake_pprof::DecodeError;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use crate::PushSeries;
use crate::decode::stacks::{ROOT, Stacks};
use crate::decode::text_type::TextType;
use crate::decode::{DecodeLimits, Refused, Source};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";
/// JSON may be so much larger than the pprof that is made of it.
const BODY_PER_PROFILE_MAX: usize = 16;
/// The rate that stands for "none said".
const RATE_DEFAULT: u32 = 100;

#[derive(Debug, Deserialize)]
struct File<'a> {
    #[serde(rename = "$schema", default)]
    schema: String,
    #[serde(default, borrow)]
    shared: Shared<'a>,
    #[serde(default, borrow)]
    profiles: Vec<Profile<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Shared<'a> {
    #[serde(default, borrow)]
    frames: Vec<Frame<'a>>,
}

#[derive(Debug, Deserialize)]
struct Frame<'a> {
    #[serde(default, borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Profile<'a> {
    #[serde(default)]
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    unit: String,
    #[serde(rename = "startValue", default)]
    start: f64,
    #[serde(default)]
    samples: Samples,
    #[serde(default)]
    weights: Vec<f64>,
    #[serde(default, borrow)]
    events: Vec<Event<'a>>,
}

/// Lists of frames in one list: most are short, and there are many.
#[derive(Debug, Default)]
struct Samples {
    frames: Vec<u32>,
    /// Where each sample ends in it.
    ends: Vec<usize>,
}

impl Samples {
    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.frames[start..*end])
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SamplesVisitor)
    }
}

struct SamplesVisitor;

impl<'de> Visitor<'de> for SamplesVisitor {
    type Value = Samples;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of samples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Samples, A::Error> {
        let mut samples = Samples::default();
        while list.next_element_seed(&mut samples)?.is_some() {
            samples.ends.push(samples.frames.len());
        }
        Ok(samples)
    }
}

/// Adds one sample.
impl<'de> DeserializeSeed<'de> for &mut Samples {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Samples {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of numbers of frames")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(frame) = list.next_element()? {
            self.frames.push(frame);
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    at: f64,
    frame: u32,
}

/// A series for each profile that differs from others in name, type, unit or start.
pub(crate) fn series(body: &[u8], source: &Source, limits: DecodeLimits) -> Result<Vec<PushSeries>, Refused> {
    if body.len() / BODY_PER_PROFILE_MAX > limits.bytes_max {
        return Err(DecodeError::TooLarge { limit: limits.bytes_max }.into());
    }
    // Text is judged once, not name by name.
    let text = std::str::from_utf8(body).map_err(not_speedscope)?;
    let file: File<'_> = serde_json::from_str(text).map_err(not_speedscope)?;
    if file.schema != SCHEMA {
        return Err(Refused::malformed(format!("not a speedscope file: $schema must be {SCHEMA}")));
    }
    let mut groups: Vec<(&Profile<'_>, Stacks, Frames<'_>)> = Vec::new();
    for profile in &file.profiles {
        let is_same = |other: &Profile<'_>| {
            (&other.name, &other.kind, &other.unit) == (&profile.name, &profile.kind, &profile.unit)
                && other.start.to_bits() == profile.start.to_bits()
        };
        let at = match groups.iter().position(|(other, ..)| is_same(other)) {
            Some(at) => at,
            None if groups.len() >= PROFILES_MAX => {
                return Err(Refused::malformed(format!("the file holds more than {PROFILES_MAX} different profiles")));
            }
            None => {
                groups.push((
                    profile,
                    Stacks::new(limits, if groups.is_empty() { body.len() } else { 0 }),
                    Frames { frames: &file.shared.frames, known: vec![0; file.shared.frames.len()] },
                ));
                groups.len() - 1
            }
        };
        let (_, stacks, frames) = &mut groups[at];
        match profile.kind.as_str() {
            "evented" => evented(profile, frames, stacks, limits)?,
            "sampled" => sampled(profile, frames, stacks)?,
            _ => return Err(Refused::malformed("a profile's type is neither evented nor sampled")),
        }
    }
    let alone = groups.len() == 1;
    let series = groups.into_iter().map(|(profile, stacks, _)| one(profile, stacks, source, alone));
    series.filter_map(Result::transpose).collect()
}

fn not_speedscope(error: impl fmt::Display) -> Refused {
    Refused::malformed(format!("not a speedscope file: {error}"))
}

/// Each is a series of its own.
const PROFILES_MAX: usize = 1000;

fn one(profile: &Profile<'_>, stacks: Stacks, source: &Source, alone: bool) -> Result<Option<PushSeries>, Refused> {
    let app = source.app.app.as_str();
    let (service, kind) = if alone { TextType::of(app)? } else { (app, TextType::of_suffix(&profile.unit)?) };
    let (head, factor) = kind.head(source, scale(&profile.unit, source));
    let Some(tables) = stacks.into_tables(&head, factor)? else { return Ok(None) };
    Ok(Some(source.series_of_app(service, kind.name, &[("profile_name", &profile.name)], tables)))
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

/// Frames of the file as numbers of a group's stacks: a long name is looked up once.
struct Frames<'a> {
    frames: &'a [Frame<'a>],
    /// 0 = not used yet.
    known: Vec<u32>,
}

impl Frames<'_> {
    fn child(&mut self, stacks: &mut Stacks, parent: u32, frame: u32) -> Result<u32, Refused> {
        let Some((found, number)) = self.frames.get(frame as usize).zip(self.known.get_mut(frame as usize)) else {
            let text = format!("frame {frame} is not among the {} shared frames", self.frames.len());
            return Err(Refused::malformed(text));
        };
        if *number == 0 {
            *number = stacks.frame(found.name.as_bytes())?;
        }
        Ok(stacks.child_of(parent, *number)?)
    }
}

fn weighed(weight: f64) -> Result<f64, Refused> {
    if weight >= 0.0 && weight.is_finite() {
        return Ok(weight);
    }
    Err(Refused::malformed("a weight is negative, or time goes backwards"))
}

fn sampled(profile: &Profile<'_>, frames: &mut Frames<'_>, stacks: &mut Stacks) -> Result<(), Refused> {
    if profile.samples.ends.len() != profile.weights.len() {
        let (samples, weights) = (profile.samples.ends.len(), profile.weights.len());
        return Err(Refused::malformed(format!("a profile has {samples} samples and {weights} weights")));
    }
    for (sample, weight) in profile.samples.iter().zip(&profile.weights) {
        let node = sample.iter().try_fold(ROOT, |node, frame| frames.child(stacks, node, *frame))?;
        stacks.add(node, value(weighed(*weight)?, &profile.unit))?;
    }
    Ok(())
}

/// Time between two events belongs to the stack that is open between them.
fn evented(
    profile: &Profile<'_>,
    frames: &mut Frames<'_>,
    stacks: &mut Stacks,
    limits: DecodeLimits,
) -> Result<(), Refused> {
    let mut open: Vec<(u32, u32)> = Vec::new();
    let mut last = profile.start;
    for event in &profile.events {
        let node = open.last().map_or(ROOT, |(_, node)| *node);
        stacks.add(node, value(weighed(event.at - last)?, &profile.unit))?;
        last = event.at;
        match &*event.kind {
            "O" if open.len() >= limits.bytes_max => return Err(Refused::malformed("too many frames are open")),
            "O" => open.push((event.frame, frames.child(stacks, node, event.frame)?)),
            "C" => match open.pop() {
                Some((frame, _)) if frame == event.frame => {}
                _ => return Err(Refused::malformed(format!("frame {} is closed, another is open", event.frame))),
            },
            _ => return Err(Refused::malformed("an event is neither O nor C")),
        }
    }
    Ok(())
}
