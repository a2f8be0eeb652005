//! Frames from folded stacks, with all their invariants, without passing through pprof.

use std::collections::{BTreeMap, HashMap};

use flamelake_model::ProfileId;
use flamelake_model::label_name;
use flamelake_pprof::frame::{Frame, Function, Group, Line, Location, Mapping, StringTable, ValueType};

/// Builds a frame of one service. Starts a group of samples with each [`group`](Self::group).
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    service: String,
    name: String,
    id: ProfileId,
    time_ns: i64,
    duration_ns: i64,
    period: i64,
    types: Vec<(String, String)>,
    period_type: (String, String),
    groups: Vec<GroupSpec>,
}

#[derive(Clone, Debug, Default)]
struct GroupSpec {
    labels: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    stack: Vec<String>,
    values: Vec<i64>,
    span: u64,
    trace: [u8; 16],
}

impl FrameBuilder {
    /// A frame of a service with `__name__` = `name`, one column cpu:nanoseconds, period cpu:nanoseconds, id and time from nothing.
    pub fn new(service: &str, name: &str) -> Self {
        let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        Self {
            service: service.to_owned(),
            name: name.to_owned(),
            id: ProfileId([0; 16]),
            time_ns: 0,
            duration_ns: 0,
            period: 1,
            types: vec![own(("cpu", "nanoseconds"))],
            period_type: own(("cpu", "nanoseconds")),
            groups: Vec::new(),
        }
    }

    /// `process_cpu` of a service.
    pub fn cpu(service: &str) -> Self {
        Self::new(service, "process_cpu")
    }

    /// The id; use [`id_from`](Self::id_from) for a number.
    pub fn id(mut self, id: [u8; 16]) -> Self {
        self.id = ProfileId(id);
        self
    }

    /// An id made of a number.
    pub fn id_from(self, number: u128) -> Self {
        self.id(number.to_be_bytes())
    }

    /// When it was taken, nanoseconds.
    pub fn time_ns(mut self, time_ns: i64) -> Self {
        self.time_ns = time_ns;
        self
    }

    /// How long it covers, nanoseconds.
    pub fn duration_ns(mut self, duration_ns: i64) -> Self {
        self.duration_ns = duration_ns;
        self
    }

    /// Value columns.
    pub fn types(mut self, types: &[(&str, &str)]) -> Self {
        self.types = types.iter().map(|(t, u)| ((*t).to_owned(), (*u).to_owned())).collect();
        self
    }

    /// Period type, unit and value; empty texts for none.
    pub fn period(mut self, kind: &str, unit: &str, period: i64) -> Self {
        (self.period_type, self.period) = ((kind.to_owned(), unit.to_owned()), period);
        self
    }

    /// Starts a series with these labels beside those of service, name and period.
    pub fn group(mut self, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.groups.push(GroupSpec { labels, samples: Vec::new() });
        self
    }

    /// A sample of the group started last (one without own labels if none was): stack root first, parted by `;`.
    pub fn stack(self, stack: &str, values: &[i64]) -> Self {
        self.span_stack(stack, values, 0, [0; 16])
    }

    /// A sample with span and trace id.
    pub fn span_stack(mut self, stack: &str, values: &[i64], span: u64, trace: [u8; 16]) -> Self {
        if self.groups.is_empty() {
            self.groups.push(GroupSpec::default());
        }
        let stack = stack.split(';').filter(|f| !f.is_empty()).rev().map(str::to_owned).collect();
        let group = self.groups.last_mut().expect("pushed above");
        group.samples.push(Sample { stack, values: values.to_vec(), span, trace });
        self
    }

    /// Folded text: one `stack value…` a line, for the group started last.
    ///
    /// # Panics
    /// If a line does not end in as many numbers as there are columns.
    pub fn folded(mut self, text: &str) -> Self {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut parts: Vec<&str> = line.rsplitn(self.types.len() + 1, ' ').collect();
            let stack = parts.pop().expect("rsplitn gives at least one part");
            let values: Vec<i64> = parts.iter().rev().map(|v| v.parse().expect("folded line ends in values")).collect();
            self = self.stack(stack, &values);
        }
        self
    }

    /// The frame: groups sorted and merged by labels, equal stacks of a group summed, samples that are all zero left out.
    ///
    /// # Panics
    /// If a sample has another number of values than there are columns.
    pub fn build(self) -> Frame {
        Assembler::default().assemble(self)
    }
}

/// Equal samples of a group: stack, span, trace.
type SampleKey = (u32, u64, [u8; 16]);

#[derive(Default)]
struct Assembler {
    strings: StringTable,
    string_ids: HashMap<String, u32>,
    functions: Vec<Function>,
    function_ids: HashMap<String, u32>,
    stacks: HashMap<Vec<u32>, u32>,
    stack_locations: Vec<u32>,
    stack_ends: Vec<u32>,
}

impl Assembler {
    fn assemble(mut self, spec: FrameBuilder) -> Frame {
        self.string("");
        let mut merged: BTreeMap<BTreeMap<String, String>, BTreeMap<SampleKey, Vec<i64>>> = BTreeMap::new();
        for group in &spec.groups {
            let samples = merged.entry(full_labels(&spec, &group.labels)).or_default();
            for sample in &group.samples {
                assert_eq!(sample.values.len(), spec.types.len(), "one value a column");
                let key = (self.stack(&sample.stack), sample.span, sample.trace);
                let sums = samples.entry(key).or_insert_with(|| vec![0; spec.types.len()]);
                sums.iter_mut().zip(&sample.values).for_each(|(sum, value)| *sum += value);
            }
        }
        let (mut groups, mut stacks, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (mut spans, mut traces) = (Vec::new(), Vec::new());
        for (labels, samples) in merged {
            let samples_start = stacks.len() as u32;
            for ((stack, span, trace), sums) in samples.into_iter().filter(|(_, sums)| sums.iter().any(|v| *v != 0)) {
                stacks.push(stack);
                values.extend(sums);
                spans.push(span);
                traces.push(trace);
            }
            let labels = labels.iter().map(|(n, v)| (self.string(n), self.string(v))).collect();
            groups.push(Group { labels, samples_start, samples_end: stacks.len() as u32 });
        }
        if spans.iter().all(|span| *span == 0) {
            spans.clear();
        }
        if traces.iter().all(|trace| *trace == [0; 16]) {
            traces.clear();
        }
        let service_name = self.string(&spec.service);
        let name = self.string(&spec.name);
        let period_type = self.value_type(&spec.period_type);
        let sample_types = spec.types.iter().map(|t| self.value_type(t)).collect();
        let lines: Vec<Line> = (0..self.functions.len() as u32).map(|function| Line { function, line: 1 }).collect();
        let locations = (0..lines.len() as u32)
            .map(|at| Location { mapping: 0, address: 0, is_folded: false, lines_start: at, lines_end: at + 1 })
            .collect();
        Frame {
            id: spec.id,
            time_ns: spec.time_ns,
            duration_ns: spec.duration_ns,
            period: spec.period,
            strings: self.strings,
            service_name,
            name,
            period_type,
            sample_types,
            mappings: vec![Mapping { has_functions: true, ..Mapping::default() }],
            functions: self.functions,
            locations,
            lines,
            stack_locations: self.stack_locations,
            stack_ends: self.stack_ends,
            groups,
            sample_stacks: stacks,
            sample_values: values,
            sample_spans: spans,
            sample_traces: traces,
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(id) = self.string_ids.get(text) {
            return *id;
        }
        let id = self.strings.push(text);
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn value_type(&mut self, (kind, unit): &(String, String)) -> ValueType {
        ValueType { kind: self.string(kind), unit: self.string(unit) }
    }

    /// One location a function name.
    fn location(&mut self, name: &str) -> u32 {
        if let Some(id) = self.function_ids.get(name) {
            return *id;
        }
        let id = self.functions.len() as u32;
        let text = self.string(name);
        let filename = self.string("main.go");
        self.functions.push(Function { name: text, system_name: text, filename, start_line: 0 });
        self.function_ids.insert(name.to_owned(), id);
        id
    }

    fn stack(&mut self, leaf_first: &[String]) -> u32 {
        let locations: Vec<u32> = leaf_first.iter().map(|name| self.location(name)).collect();
        if let Some(id) = self.stacks.get(&locations) {
            return *id;
        }
        let id = self.stack_ends.len() as u32;
        self.stack_locations.extend_from_slice(&locations);
        self.stack_ends.push(self.stack_locations.len() as u32);
        self.stacks.insert(locations, id);
        id
    }
}

fn full_labels(spec: &FrameBuilder, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = own.clone();
    for (name, value) in [
        (label_name::NAME, &spec.name),
        (label_name::SERVICE_NAME, &spec.service),
        (label_name::SERVICE_NAME_PRIVATE, &spec.service),
        (label_name::PERIOD_TYPE, &spec.period_type.0),
        (label_name::PERIOD_UNIT, &spec.period_type.1),
    ] {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.clone());
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stacks_of_a_group_are_summed() {
        let frame = FrameBuilder::cpu("s")
            .group(&[("pod", "b")])
            .folded("a;b 1\na;b 2\na 3")
            .group(&[("pod", "a")])
            .folded("a;b 4")
            .build();
        assert_eq!(frame.groups.len(), 2);
        let pod = |group: &Group| {
            let (_, value) = group.labels.iter().find(|(n, _)| frame.strings.get(*n) == "pod").unwrap();
            frame.strings.get(*value).to_owned()
        };
        assert_eq!(frame.groups.iter().map(pod).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(frame.sample_values, [4, 3, 3]);
        assert_eq!(frame.stack_ends.len(), 2);
        assert!(frame.sample_spans.is_empty());
    }
}
