//! A source in memory, made of profiles written as text values: what heads and blocks must behave like.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flamelake_block::reader::{SampleBatch, SampleColumns, SeriesEntry, SymbolDetail};
use flamelake_block::rows::{ProfileRow, SeriesRows};
use flamelake_model::{Labels, ProfileId, TimestampNs, label_name};
use flamelake_symbols::{FunctionView, LineView, LocationView, MappingView, SymbolSource};

use crate::{PartitionInfo, ProfileSource, SourceError};

/// One sample: its stack, root first; each location lists its functions outermost first, joined by `+`.
#[derive(Clone, Debug)]
pub(super) struct TestSample {
    pub(super) stack: Vec<String>,
    pub(super) value: i64,
    pub(super) span: u64,
    pub(super) trace: [u8; 16],
}

impl TestSample {
    pub(super) fn new(stack: &str, value: i64) -> Self {
        let stack = stack.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { stack, value, span: 0, trace: [0; 16] }
    }
}

/// One profile of one series.
#[derive(Clone, Debug)]
pub(super) struct TestProfile {
    pub(super) labels: Labels,
    pub(super) time_ns: i64,
    pub(super) id: ProfileId,
    pub(super) samples: Vec<TestSample>,
}

/// Symbols that grow by one stack at a time.
#[derive(Debug, Default)]
struct Symbols {
    names: Vec<String>,
    /// Function names of each location, innermost first.
    locations: Vec<Vec<LineView>>,
    location_of: BTreeMap<String, u32>,
    /// Parent, location, function node.
    stacks: Vec<(u32, u32, u32)>,
    /// Parent, name.
    functions: Vec<(u32, u32)>,
}

impl Symbols {
    fn new() -> Self {
        Self { stacks: vec![(0, 0, 0)], functions: vec![(0, 0)], ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        position_or_push(&mut self.names, name.to_owned())
    }

    fn location(&mut self, text: &str) -> u32 {
        if let Some(at) = self.location_of.get(text) {
            return *at;
        }
        let names: Vec<&str> = text.split('+').filter(|name| !name.is_empty()).collect();
        let lines = names.iter().rev().map(|name| LineView { function: self.name(name), line: 1 }).collect();
        self.locations.push(lines);
        let at = (self.locations.len() - 1) as u32;
        self.location_of.insert(text.to_owned(), at);
        at
    }

    fn stack(&mut self, locations: &[String]) -> u32 {
        let mut stack = 0;
        for text in locations {
            let location = self.location(text);
            let mut function = self.stacks[stack as usize].2;
            for line in self.locations[location as usize].clone().iter().rev() {
                function = position_or_push_node(&mut self.functions, (function, line.function));
            }
            let known = (1..self.stacks.len()).find(|at| (self.stacks[*at].0, self.stacks[*at].1) == (stack, location));
            stack = known.map_or_else(
                || {
                    self.stacks.push((stack, location, function));
                    (self.stacks.len() - 1) as u32
                },
                |at| at as u32,
            );
        }
        stack
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> u32 {
    if let Some(at) = list.iter().position(|known| *known == item) {
        return at as u32;
    }
    list.push(item);
    (list.len() - 1) as u32
}

/// As [`position_or_push`], but never the root.
fn position_or_push_node(list: &mut Vec<(u32, u32)>, node: (u32, u32)) -> u32 {
    if let Some(at) = list.iter().skip(1).position(|known| *known == node) {
        return at as u32 + 1;
    }
    list.push(node);
    (list.len() - 1) as u32
}

impl SymbolSource for Symbols {
    fn stack_count(&self) -> u32 {
        self.stacks.len() as u32
    }
    fn stack_parent(&self, stack: u32) -> u32 {
        self.stacks[stack as usize].0
    }
    fn stack_location(&self, stack: u32) -> u32 {
        self.stacks[stack as usize].1
    }
    fn function_node(&self, stack: u32) -> u32 {
        self.stacks[stack as usize].2
    }
    fn function_node_count(&self) -> u32 {
        self.functions.len() as u32
    }
    fn function_node_parent(&self, node: u32) -> u32 {
        self.functions[node as usize].0
    }
    fn function_node_name(&self, node: u32) -> u32 {
        self.functions[node as usize].1
    }
    fn name_count(&self) -> u32 {
        self.names.len() as u32
    }
    fn name(&self, name: u32) -> &str {
        &self.names[name as usize]
    }
    fn location(&self, location: u32) -> LocationView<'_> {
        LocationView { mapping: 0, address: 0, is_folded: false, lines: &self.locations[location as usize] }
    }
    fn function(&self, function: u32) -> FunctionView<'_> {
        let name = &self.names[function as usize];
        FunctionView { name, system_name: name, filename: "f", start_line: 0 }
    }
    fn mapping(&self, _mapping: u32) -> MappingView<'_> {
        MappingView {
            memory_start: 0,
            memory_limit: 0,
            file_offset: 0,
            filename: "",
            build_id: "",
            has_functions: true,
            has_filenames: false,
            has_line_numbers: false,
            has_inline_frames: false,
        }
    }
}

struct Partition {
    info: PartitionInfo,
    entries: Arc<[SeriesEntry]>,
    series: Vec<SeriesRows>,
    symbols: Arc<Symbols>,
}

/// See the module.
pub(super) struct MemorySource {
    partitions: Vec<Partition>,
}

impl MemorySource {
    /// A partition a service.
    pub(super) fn new(profiles: &[TestProfile]) -> Self {
        let mut services: BTreeMap<&str, Vec<&TestProfile>> = BTreeMap::new();
        for profile in profiles {
            services.entry(profile.labels.value_or_empty(label_name::SERVICE_NAME)).or_default().push(profile);
        }
        let partitions = services.into_iter().zip(0..).map(|((service, list), part)| partition(part, service, &list));
        Self { partitions: partitions.collect() }
    }
}

fn partition(part: u32, service: &str, profiles: &[&TestProfile]) -> Partition {
    let mut symbols = Symbols::new();
    let mut by_labels: BTreeMap<Labels, Vec<&TestProfile>> = BTreeMap::new();
    for profile in profiles {
        by_labels.entry(profile.labels.clone()).or_default().push(profile);
    }
    let series: Vec<SeriesRows> =
        by_labels.into_iter().map(|(labels, list)| rows(labels, list, &mut symbols)).collect();
    let time = |row: &ProfileRow| TimestampNs(row.time_ns);
    let entry = |rows: &SeriesRows| SeriesEntry {
        labels: rows.labels.clone(),
        min_time: rows.profiles.iter().map(time).min().unwrap(),
        max_time: rows.profiles.iter().map(time).max().unwrap(),
    };
    let entries: Arc<[SeriesEntry]> = series.iter().map(entry).collect();
    let mut types: Vec<Arc<str>> =
        entries.iter().map(|entry| entry.labels.value_or_empty(label_name::PROFILE_TYPE).into()).collect();
    types.sort();
    types.dedup();
    let info = PartitionInfo {
        native_build_ids: Vec::new(),
        part,
        service_name: service.into(),
        profile_types: types,
        min_time: entries.iter().map(|entry| entry.min_time).min().unwrap(),
        max_time: entries.iter().map(|entry| entry.max_time).max().unwrap(),
    };
    Partition { info, entries, series, symbols: Arc::new(symbols) }
}

fn rows(labels: Labels, mut profiles: Vec<&TestProfile>, symbols: &mut Symbols) -> SeriesRows {
    profiles.sort_by_key(|profile| (profile.time_ns, profile.id));
    let mut rows = SeriesRows { labels, ..SeriesRows::default() };
    for profile in profiles {
        let start = rows.stacks.len() as u32;
        for sample in &profile.samples {
            rows.stacks.push(symbols.stack(&sample.stack));
            rows.values.push(sample.value);
            rows.spans.push(sample.span);
            rows.traces.push(sample.trace);
        }
        rows.profiles.push(ProfileRow {
            time_ns: profile.time_ns,
            id: profile.id,
            duration_ns: 0,
            period: 0,
            total: profile.samples.iter().fold(0, |sum, sample| sum.wrapping_add(sample.value)),
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows
}

#[async_trait]
impl ProfileSource for MemorySource {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn partitions(&self) -> Vec<PartitionInfo> {
        self.partitions.iter().map(|partition| partition.info.clone()).collect()
    }

    async fn series(&self, part: u32) -> Result<Arc<[SeriesEntry]>, SourceError> {
        Ok(Arc::clone(&self.partitions[part as usize].entries))
    }

    async fn profiles(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        sink: &mut (dyn for<'r> FnMut(u32, &'r [ProfileRow]) + Send),
    ) -> Result<(), SourceError> {
        for &at in series {
            let rows = &self.partitions[part as usize].series[at as usize];
            let seen: Vec<ProfileRow> = rows.profiles.iter().filter(|row| within(row, from, to)).copied().collect();
            sink(at, &seen);
        }
        Ok(())
    }

    async fn samples(
        &self,
        part: u32,
        series: &[u32],
        from: TimestampNs,
        to: TimestampNs,
        columns: SampleColumns,
        sink: &mut (dyn for<'r> FnMut(SampleBatch<'r>) + Send),
    ) -> Result<(), SourceError> {
        for &at in series {
            let rows = &self.partitions[part as usize].series[at as usize];
            let seen: Vec<ProfileRow> = rows.profiles.iter().filter(|row| within(row, from, to)).copied().collect();
            sink(SampleBatch {
                series: at,
                profiles: &seen,
                stacks: &rows.stacks,
                values: &rows.values,
                spans: if columns.spans { &rows.spans } else { &[] },
                traces: if columns.traces { &rows.traces } else { &[] },
            });
        }
        Ok(())
    }

    async fn symbols(&self, part: u32, _detail: SymbolDetail) -> Result<Arc<dyn SymbolSource>, SourceError> {
        Ok(Arc::clone(&self.partitions[part as usize].symbols) as Arc<dyn SymbolSource>)
    }
}

fn within(row: &ProfileRow, from: TimestampNs, to: TimestampNs) -> bool {
    from.0 <= row.time_ns && row.time_ns <= to.0
}
