//! Writes frames: renumbers what the samples of one service use, in order of first use, and leaves out the rest.

use std::collections::BTreeMap;

use flamelake_model::{ProfileId, label_name};
use hashbrown::HashMap;

use super::{NOT_THE_CLIENTS, Split};
use crate::error::DecodeError;
use crate::frame::{Frame, Function, Group, Line, Location, Mapping, StringRef, StringTable, ValueType};
use crate::id_map::ABSENT;
use crate::normalise::{Normalised, add_values};
use crate::scan::RawProfile;
use crate::texts::Texts;

/// Labels of a stored series but for those of its sample type, sorted.
type Labels = BTreeMap<String, String>;

/// Reused maps from indexes of the profile to those of a frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameWriter {
    strings: Vec<u32>,
    mappings: Vec<u32>,
    functions: Vec<u32>,
    locations: Vec<u32>,
    stacks: Vec<u32>,
    /// Samples by group.
    order: Vec<u32>,
}

/// What frames are written from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) profile: &'a RawProfile,
    pub(crate) texts: Texts<'a>,
    pub(crate) normalised: &'a Normalised,
}

impl FrameWriter {
    /// One frame a service, in order of service names.
    pub(crate) fn frames(
        &mut self,
        source: Source<'_>,
        split: &Split,
        id: ProfileId,
    ) -> Result<Vec<Frame>, DecodeError> {
        let mut services: BTreeMap<String, BTreeMap<Labels, Vec<u32>>> = BTreeMap::new();
        for group in &split.groups {
            let labels = stored_labels(source, &group.labels);
            let service = labels.get(label_name::SERVICE_NAME).ok_or(DecodeError::NoServiceName)?.clone();
            services.entry(service).or_default().entry(labels).or_default().push(group.number);
        }
        services.iter().map(|(service, series)| self.frame(source, split, service, series, id)).collect()
    }

    fn frame(
        &mut self,
        source: Source<'_>,
        split: &Split,
        service: &str,
        series: &BTreeMap<Labels, Vec<u32>>,
        id: ProfileId,
    ) -> Result<Frame, DecodeError> {
        self.reset(source);
        let profile = source.profile;
        let mut frame = empty_frame(id, profile);
        if series_are_all(split, series) {
            reserve(&mut frame, source);
        }
        frame.strings.push("");
        let mut own = OwnStrings::default();
        frame.service_name = own.get(&mut frame.strings, service);
        let name = series.keys().next().and_then(|labels| labels.get(label_name::NAME));
        frame.name = own.get(&mut frame.strings, name.map_or("", String::as_str));
        frame.period_type = self.value_type(source, &mut frame, profile.period_type.kind, profile.period_type.unit);
        for sample_type in &profile.sample_types {
            let value_type = self.value_type(source, &mut frame, sample_type.kind, sample_type.unit);
            frame.sample_types.push(value_type);
        }
        let starts = self.order_samples(source.normalised, split, series.values());
        for (number, (labels, groups)) in series.iter().enumerate() {
            let samples_start = frame.sample_stacks.len() as u32;
            let samples = starts[number]..starts[number + 1];
            self.samples(source, split, groups, samples, &mut frame)?;
            let labels = labels.iter();
            let labels =
                labels.map(|(n, v)| (own.get(&mut frame.strings, n), own.get(&mut frame.strings, v))).collect();
            frame.groups.push(Group { labels, samples_start, samples_end: frame.sample_stacks.len() as u32 });
        }
        drop_empty_ids(&mut frame);
        Ok(frame)
    }

    fn reset(&mut self, source: Source<'_>) {
        let (profile, normalised) = (source.profile, source.normalised);
        for (map, len) in [
            (&mut self.strings, profile.strings.len()),
            (&mut self.mappings, profile.mappings.len() + 1),
            (&mut self.functions, profile.functions.len()),
            (&mut self.locations, profile.locations.len()),
            (&mut self.stacks, normalised.stack_ends.len()),
        ] {
            map.clear();
            map.resize(len, ABSENT);
        }
    }

    /// Fills `order` with the samples of each series, in their order; returns where each series starts, and the end.
    fn order_samples<'a>(
        &mut self,
        normalised: &Normalised,
        split: &Split,
        series: impl Iterator<Item = &'a Vec<u32>> + Clone,
    ) -> Vec<usize> {
        let most = split.sets.iter().map(|set| set.group as usize + 1).max().unwrap_or(0);
        let mut series_of_group = vec![ABSENT; most];
        for (number, groups) in series.clone().enumerate() {
            groups.iter().for_each(|group| series_of_group[*group as usize] = number as u32);
        }
        let series_of = |set: &u32| series_of_group[split.sets[*set as usize].group as usize];
        let mut starts = vec![0; series.count() + 1];
        for at in normalised.sample_sets.iter().map(series_of).filter(|at| *at != ABSENT) {
            starts[at as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        self.order.clear();
        self.order.resize(starts.last().copied().unwrap_or(0), 0);
        for (sample, set) in normalised.sample_sets.iter().enumerate() {
            let at = series_of(set);
            if at != ABSENT {
                self.order[next[at as usize]] = sample as u32;
                next[at as usize] += 1;
            }
        }
        starts
    }

    /// Writes samples of one series; those with equal stack, span and trace become one.
    fn samples(
        &mut self,
        source: Source<'_>,
        split: &Split,
        groups: &[u32],
        samples: std::ops::Range<usize>,
        frame: &mut Frame,
    ) -> Result<(), DecodeError> {
        let normalised = source.normalised;
        let columns = frame.sample_types.len();
        // Sets with equal ids in one series are what can make two samples equal.
        let sets_of_series = split.sets.iter().filter(|set| groups.contains(&set.group)).count();
        let mut known: HashMap<(u32, u64, [u8; 16]), usize, foldhash::fast::RandomState> = HashMap::default();
        let with_spans = split.sets.iter().any(|set| set.span != 0);
        let with_traces = split.sets.iter().any(|set| set.trace != [0; 16]);
        for at in samples {
            let sample = self.order[at] as usize;
            let (stack, set) = (normalised.sample_stacks[sample], normalised.sample_sets[sample]);
            let ids = &split.sets[set as usize];
            let values = &normalised.sample_values[sample * columns..(sample + 1) * columns];
            if sets_of_series > 1 {
                let new = frame.sample_stacks.len();
                let first = *known.entry((stack, ids.span, ids.trace)).or_insert(new);
                if first != new {
                    add_values(&mut frame.sample_values[first * columns..(first + 1) * columns], values);
                    continue;
                }
            }
            let stack = self.stack(source, stack, frame)?;
            frame.sample_stacks.push(stack);
            frame.sample_values.extend_from_slice(values);
            if with_spans {
                frame.sample_spans.push(ids.span);
            }
            if with_traces {
                frame.sample_traces.push(ids.trace);
            }
        }
        Ok(())
    }

    fn stack(&mut self, source: Source<'_>, stack: u32, frame: &mut Frame) -> Result<u32, DecodeError> {
        let known = self.stacks[stack as usize];
        if known != ABSENT {
            return Ok(known);
        }
        let locations = source.normalised.stack_at(stack);
        for location in locations {
            if self.locations[*location as usize] == ABSENT {
                self.location(source, *location as usize, frame)?;
            }
        }
        frame.stack_locations.extend(locations.iter().map(|location| self.locations[*location as usize]));
        let end = u32::try_from(frame.stack_locations.len()).map_err(|_| DecodeError::TooMany("stack locations"))?;
        let new = frame.stack_ends.len() as u32;
        frame.stack_ends.push(end);
        self.stacks[stack as usize] = new;
        Ok(new)
    }

    fn location(&mut self, source: Source<'_>, at: usize, frame: &mut Frame) -> Result<(), DecodeError> {
        let raw = &source.profile.locations[at];
        let mapping = self.mapping(source, source.normalised.location_mappings[at] as usize, frame);
        let address = if frame.mappings[mapping as usize].has_functions { 0 } else { raw.address };
        let lines_start = frame.lines.len() as u32;
        for line in raw.lines() {
            let function = self.function(source, source.normalised.line_functions[line] as usize, frame);
            frame.lines.push(Line { function, line: source.profile.lines[line].line });
        }
        let lines_end = u32::try_from(frame.lines.len()).map_err(|_| DecodeError::TooMany("lines"))?;
        let new = frame.locations.len() as u32;
        frame.locations.push(Location { mapping, address, is_folded: raw.is_folded, lines_start, lines_end });
        self.locations[at] = new;
        Ok(())
    }

    fn mapping(&mut self, source: Source<'_>, at: usize, frame: &mut Frame) -> u32 {
        if self.mappings[at] != ABSENT {
            return self.mappings[at];
        }
        let mapping = source.profile.mappings.get(at).map_or_else(Mapping::default, |raw| {
            let place = if raw.has_functions { [0; 3] } else { [raw.memory_start, raw.memory_limit, raw.file_offset] };
            let [memory_start, memory_limit, file_offset] = place;
            Mapping {
                memory_start,
                memory_limit,
                file_offset,
                filename: self.string(source, frame, raw.filename),
                build_id: self.string(source, frame, raw.build_id),
                has_functions: raw.has_functions,
                has_filenames: raw.has_filenames,
                has_line_numbers: raw.has_line_numbers,
                has_inline_frames: raw.has_inline_frames,
            }
        });
        self.mappings[at] = frame.mappings.len() as u32;
        frame.mappings.push(mapping);
        self.mappings[at]
    }

    fn function(&mut self, source: Source<'_>, at: usize, frame: &mut Frame) -> u32 {
        if self.functions[at] != ABSENT {
            return self.functions[at];
        }
        let raw = &source.profile.functions[at];
        let function = Function {
            name: self.string(source, frame, raw.name),
            system_name: self.string(source, frame, raw.system_name),
            filename: self.string(source, frame, raw.filename),
            start_line: raw.start_line,
        };
        self.functions[at] = frame.functions.len() as u32;
        frame.functions.push(function);
        self.functions[at]
    }

    /// A reference out of range is the empty string (rule 6).
    fn string(&mut self, source: Source<'_>, frame: &mut Frame, at: i64) -> StringRef {
        let Some((at, span)) = usize::try_from(at).ok().and_then(|at| Some((at, source.profile.strings.get(at)?)))
        else {
            return 0;
        };
        if self.strings[at] == ABSENT {
            self.strings[at] = if span.len == 0 { 0 } else { frame.strings.push(&source.texts.str(*span)) };
        }
        self.strings[at]
    }

    fn value_type(&mut self, source: Source<'_>, frame: &mut Frame, kind: i64, unit: i64) -> ValueType {
        ValueType { kind: self.string(source, frame, kind), unit: self.string(source, frame, unit) }
    }
}

/// Texts of labels, each once.
#[derive(Default)]
struct OwnStrings(HashMap<String, StringRef, foldhash::fast::RandomState>);

impl OwnStrings {
    fn get(&mut self, strings: &mut StringTable, text: &str) -> StringRef {
        if text.is_empty() {
            return 0;
        }
        if let Some(at) = self.0.get(text) {
            return *at;
        }
        let at = strings.push(text);
        self.0.insert(text.to_owned(), at);
        at
    }
}

/// What is stored of a group's labels: the server's own replace the client's.
fn stored_labels(source: Source<'_>, labels: &[(String, String)]) -> Labels {
    let kept = labels.iter().filter(|(name, value)| !value.is_empty() && !NOT_THE_CLIENTS.contains(&name.as_str()));
    let mut stored: Labels = kept.cloned().collect();
    let text = |at: i64| {
        let span = usize::try_from(at).ok().and_then(|at| source.profile.strings.get(at));
        span.map_or_else(String::new, |span| source.texts.str(*span).into_owned())
    };
    let period = source.profile.period_type;
    for (name, value) in [
        (label_name::SERVICE_NAME_PRIVATE, stored.get(label_name::SERVICE_NAME).cloned().unwrap_or_default()),
        (label_name::PERIOD_TYPE, text(period.kind)),
        (label_name::PERIOD_UNIT, text(period.unit)),
    ] {
        if !value.is_empty() {
            stored.insert(name.to_owned(), value);
        }
    }
    stored
}

/// Does one service take all samples, as nearly always?
fn series_are_all(split: &Split, series: &BTreeMap<Labels, Vec<u32>>) -> bool {
    series.values().map(Vec::len).sum::<usize>() == split.groups.len()
}

/// Room for all that a frame with all samples may hold: growing step by step would copy most of it again.
fn reserve(frame: &mut Frame, source: Source<'_>) {
    let (profile, normalised) = (source.profile, source.normalised);
    let text = profile.strings.iter().map(|span| span.len as usize).sum::<usize>();
    frame.strings.reserve(profile.strings.len() + 16, text + 1024);
    frame.functions.reserve(profile.functions.len());
    frame.locations.reserve(profile.locations.len());
    frame.lines.reserve(profile.lines.len());
    frame.stack_locations.reserve(normalised.stack_locations.len());
    frame.stack_ends.reserve(normalised.stack_ends.len());
    frame.sample_stacks.reserve(normalised.sample_stacks.len());
    frame.sample_values.reserve(normalised.sample_values.len());
}

/// Columns of ids that no sample of the service has are left out.
fn drop_empty_ids(frame: &mut Frame) {
    if frame.sample_spans.iter().all(|span| *span == 0) {
        frame.sample_spans = Vec::new();
    }
    if frame.sample_traces.iter().all(|trace| *trace == [0; 16]) {
        frame.sample_traces = Vec::new();
    }
}

fn empty_frame(id: ProfileId, profile: &RawProfile) -> Frame {
    Frame {
        id,
        time_ns: profile.time_nanos,
        duration_ns: profile.duration_nanos,
        period: profile.period,
        strings: StringTable::default(),
        service_name: 0,
        name: 0,
        period_type: ValueType::default(),
        sample_types: Vec::new(),
        mappings: Vec::new(),
        functions: Vec::new(),
        locations: Vec::new(),
        lines: Vec::new(),
        stack_locations: Vec::new(),
        stack_ends: Vec::new(),
        groups: Vec::new(),
        sample_stacks: Vec::new(),
        sample_values: Vec::new(),
        sample_spans: Vec::new(),
        sample_traces: Vec::new(),
    }
}
