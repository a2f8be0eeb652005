//! Samples of a recording by kind of profile, merged a chunk at a time.

use std::collections::BTreeMap;

use flamelake_pprof::{DecodeError, ProfileHead, TablesBuilder};
use hashbrown::HashMap;

use crate::PushSeries;
use crate::decode::jfr::frames::write_frame_name;
use crate::decode::jfr::labels_snapshot::LabelsSnapshot;
use crate::decode::jfr::metadata::Map;
use crate::decode::jfr::pools::{Frame, Pools};
use crate::decode::{DecodeLimits, Refused, Source};

/// Names of a kind that room is made for at once.
const NAMES_RESERVED_MAX: usize = 1 << 14;

/// What becomes a series of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Cpu,
    Wall,
    InTlab,
    OutsideTlab,
    AllocSample,
    Lock,
    Park,
    Live,
    Malloc,
}

/// `__name__`, then type and unit of the values, then those of the period.
type Naming = (&'static str, &'static [(&'static str, &'static str)], (&'static str, &'static str));

impl Kind {
    fn naming(self) -> Naming {
        const SPACE: (&str, &str) = ("space", "bytes");
        const WAITS: &[(&str, &str)] = &[("contentions", "count"), ("delay", "nanoseconds")];
        match self {
            Self::Cpu => ("process_cpu", &[("cpu", "nanoseconds")], ("cpu", "nanoseconds")),
            Self::Wall => ("wall", &[("wall", "nanoseconds")], ("wall", "nanoseconds")),
            Self::InTlab => {
                ("memory", &[("alloc_in_new_tlab_objects", "count"), ("alloc_in_new_tlab_bytes", "bytes")], SPACE)
            }
            Self::OutsideTlab => {
                ("memory", &[("alloc_outside_tlab_objects", "count"), ("alloc_outside_tlab_bytes", "bytes")], SPACE)
            }
            Self::AllocSample => {
                ("memory", &[("alloc_sample_objects", "count"), ("alloc_sample_bytes", "bytes")], SPACE)
            }
            Self::Lock => ("mutex", WAITS, ("mutex", "count")),
            Self::Park => ("block", WAITS, ("block", "count")),
            Self::Live => ("memory", &[("live", "count")], ("objects", "count")),
            Self::Malloc => ("memory", &[("malloc_objects", "count"), ("malloc_bytes", "bytes")], ("", "")),
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Cpu | Self::Wall)
    }
}

/// The span that a sample belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Context {
    pub(crate) id: i64,
    pub(crate) span: i64,
    pub(crate) span_name: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Profiles<'a> {
    source: &'a Source,
    labels: &'a LabelsSnapshot,
    limits: DecodeLimits,
    /// The setting `event`.
    event: String,
    /// Of the chunk that is being read, by kind, stack trace and span.
    chunk: HashMap<(Kind, i64, Context), [i64; 2], foldhash::fast::RandomState>,
    writers: BTreeMap<Kind, TablesBuilder>,
}

impl<'a> Profiles<'a> {
    pub(crate) fn new(source: &'a Source, labels: &'a LabelsSnapshot, limits: DecodeLimits) -> Self {
        let (chunk, writers) = (HashMap::default(), BTreeMap::new());
        Self { source, labels, limits, event: String::new(), chunk, writers }
    }

    pub(crate) fn set_event(&mut self, event: &str) {
        event.clone_into(&mut self.event);
    }

    pub(crate) fn is_wall(&self) -> bool {
        self.event == "wall"
    }

    pub(crate) fn add(&mut self, kind: Kind, trace: i64, context: Context, values: [i64; 2]) -> Result<(), Refused> {
        let sums = self.chunk.entry((kind, trace, context)).or_default();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.saturating_add(value.max(0));
        }
        if self.chunk.len() > self.limits.samples_max.saturating_mul(Kind::Malloc as usize + 1) {
            return Err(too_many(self.chunk.len(), self.limits));
        }
        Ok(())
    }

    /// Writes the samples of a chunk while its constants are known.
    pub(crate) fn end_chunk(&mut self, pools: &Pools<'_>) -> Result<(), Refused> {
        // In a fixed order, so that equal recordings make equal profiles.
        let mut samples: Vec<_> = std::mem::take(&mut self.chunk).into_iter().collect();
        samples.sort_unstable();
        // Of one kind. Names are long: they must not be written and compared for each frame.
        let mut names: Map<u32> = Map::default();
        let mut known: HashMap<Frame, u64, foldhash::fast::RandomState> = HashMap::default();
        let (mut name, mut locations, mut last) = (String::new(), Vec::new(), None);
        for ((kind, trace, context), values) in samples {
            let Some(frames) = pools.trace(trace) else { continue };
            let (source, limits) = (self.source, self.limits);
            let writer = self.writers.entry(kind).or_insert_with(|| {
                let mut writer = TablesBuilder::new(limits.bytes_max);
                writer.reserve(pools.methods.len().min(NAMES_RESERVED_MAX), 0);
                writer
            });
            if writer.samples() >= limits.samples_max {
                return Err(too_many(writer.samples() + 1, limits));
            }
            if last.replace(kind) != Some(kind) {
                names.clear();
                known.clear();
            }
            // The root side of a stack that is too deep.
            let frames = &frames[frames.len().saturating_sub(limits.depth_max)..];
            locations.clear();
            for frame @ (method, line) in frames {
                let location = match known.get(frame) {
                    Some(location) => *location,
                    None => {
                        let text = match names.get(method) {
                            Some(text) => *text,
                            None => {
                                name.clear();
                                write_frame_name(pools, *method, &mut name);
                                let text = writer.text(name.as_bytes())?;
                                names.insert(*method, text);
                                text
                            }
                        };
                        let location = writer.location_of(text, *line)?;
                        known.insert(*frame, location);
                        location
                    }
                };
                locations.push(location);
            }
            let values = match source.period_ns().filter(|_| kind.is_time()) {
                Some(period) => [values[0].saturating_mul(period), 0],
                None => values,
            };
            let mut labels = Vec::new();
            for (key, value) in self.labels.of(context) {
                labels.push((writer.text(key.as_bytes())?, writer.text(value.as_bytes())?));
            }
            let values = &values[..kind.naming().1.len()];
            writer.sample(locations.iter().copied(), values, labels.into_iter())?;
        }
        Ok(())
    }

    pub(crate) fn into_series(self) -> Result<Vec<PushSeries>, Refused> {
        let Self { source, event, writers, .. } = self;
        let more: &[(&str, &str)] = &[("jfr_event", &event)];
        let more = if event.is_empty() { &[] } else { more };
        let series = writers.into_iter().filter(|(_, writer)| writer.samples() > 0).map(|(kind, writer)| {
            let tables = writer.finish(&head(kind, source))?;
            Ok(source.series_of_app(&source.app.app, kind.naming().0, more, tables))
        });
        series.collect()
    }
}

fn head(kind: Kind, source: &Source) -> ProfileHead {
    let (_, types, period) = kind.naming();
    let owned = |(kind, unit): (&str, &str)| (kind.to_owned(), unit.to_owned());
    ProfileHead {
        sample_types: types.iter().map(|pair| owned(*pair)).collect(),
        period_type: owned(period),
        period: if kind.is_time() { source.period_ns().unwrap_or_default() } else { 0 },
        time_nanos: source.from_ns,
        duration_nanos: source.duration_ns(),
        has_mapping: true,
    }
}

fn too_many(samples: usize, limits: DecodeLimits) -> Refused {
    DecodeError::TooManySamples { samples, limit: limits.samples_max }.into()
}
