//! A generation: the rows of one tenant from one log with `from < seq <= to`, by partition. It becomes one block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flamelake_block::rows::ProfileRow;
use flamelake_model::{Labels, label_name};
use flamelake_pprof::frame::Frame;
use flamelake_symbols::{SymbolSnapshot, SymbolTable};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::rows::{NewProfile, SeriesHead};

/// Symbols of one service; they outlive generations, so that a warm head pays for a stack once.
#[derive(Debug, Default)]
pub(crate) struct PartitionSymbols(Mutex<SymbolTable>);

impl PartitionSymbols {
    pub(crate) fn snapshot(&self) -> SymbolSnapshot {
        self.0.lock().snapshot()
    }

    pub(crate) fn stack_count(&self) -> u64 {
        u64::from(self.0.lock().stack_count())
    }

    pub(crate) fn native_build_ids(&self) -> Vec<Arc<str>> {
        self.0.lock().native_build_ids().map(Arc::from).collect()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.0.lock().memory_bytes() as u64
    }

    /// Interns a frame's stacks; tells by how many bytes the table grew.
    fn intern(&self, frame: &Frame, stacks: &mut Vec<u32>) -> u64 {
        let mut table = self.0.lock();
        let before = table.memory_bytes();
        table.intern(frame, stacks);
        table.memory_bytes().saturating_sub(before) as u64
    }
}

/// By how many bytes an append made the head grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    /// Rows and series: given back when the generation goes.
    pub(crate) rows: u64,
    /// Symbols: given back when the partition's symbols go.
    pub(crate) symbols: u64,
}

/// Rows of one service in a generation.
#[derive(Debug)]
pub(crate) struct PartitionHead {
    pub(crate) service_name: Arc<str>,
    pub(crate) symbols: Arc<PartitionSymbols>,
    pub(crate) series: Vec<SeriesHead>,
    by_labels: HashMap<Labels, u32, foldhash::fast::RandomState>,
    /// Distinct values of `__profile_type__`.
    pub(crate) profile_types: BTreeSet<Arc<str>>,
    pub(crate) min_time_ns: i64,
    pub(crate) max_time_ns: i64,
}

/// Buffers of [`PartitionHead::append`], reused from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    stacks: Vec<u32>,
    order: Vec<(u32, u32)>,
    new: NewProfile,
}

impl PartitionHead {
    pub(crate) fn new(service_name: Arc<str>, symbols: Arc<PartitionSymbols>) -> Self {
        Self {
            service_name,
            symbols,
            series: Vec::new(),
            by_labels: HashMap::default(),
            profile_types: BTreeSet::new(),
            min_time_ns: i64::MAX,
            max_time_ns: i64::MIN,
        }
    }

    /// Appends all series of a frame.
    pub(crate) fn append(&mut self, seq: u64, frame: &Frame, scratch: &mut Scratch) -> Growth {
        scratch.stacks.clear();
        let mut growth = Growth { rows: 0, symbols: self.symbols.intern(frame, &mut scratch.stacks) };
        self.min_time_ns = self.min_time_ns.min(frame.time_ns);
        self.max_time_ns = self.max_time_ns.max(frame.time_ns);
        for group in 0..frame.groups.len() {
            scratch.order_samples(frame, group);
            for column in 0..frame.sample_types.len() {
                if scratch.gather(frame, column) {
                    let labels = flamelake_pprof::series_labels(frame, &frame.groups[group], column);
                    growth.rows += self.append_series(seq, labels, &scratch.new);
                }
            }
        }
        growth
    }

    fn append_series(&mut self, seq: u64, labels: Labels, new: &NewProfile) -> u64 {
        let mut grown = 0;
        let at = match self.by_labels.get(&labels) {
            Some(at) => *at as usize,
            None => {
                let series = SeriesHead::new(labels.clone());
                if let Some(label) = labels.iter().find(|label| &*label.name == label_name::PROFILE_TYPE) {
                    self.profile_types.insert(Arc::clone(&label.value));
                }
                grown += series.base_bytes();
                self.by_labels.insert(labels, self.series.len() as u32);
                self.series.push(series);
                self.series.len() - 1
            }
        };
        grown += self.series[at].append(seq, new);
        grown as u64
    }
}

impl Scratch {
    /// Orders a group's samples by their stack in the partition.
    fn order_samples(&mut self, frame: &Frame, group: usize) {
        let group = &frame.groups[group];
        self.order.clear();
        let samples = group.samples_start..group.samples_end;
        self.order.extend(samples.map(|sample| (self.stacks[frame.sample_stacks[sample as usize] as usize], sample)));
        self.order.sort_unstable();
    }

    /// Collects one value column of the ordered samples, zeros left out. `false` if nothing is left: such a type stores nothing
    /// (contract ingest.md section 1.4).
    fn gather(&mut self, frame: &Frame, column: usize) -> bool {
        let columns = frame.sample_types.len();
        let new = &mut self.new;
        new.clear();
        let mut total = 0i64;
        for (stack, sample) in &self.order {
            let sample = *sample as usize;
            let value = frame.sample_values[sample * columns + column];
            if value == 0 {
                continue;
            }
            total = total.wrapping_add(value);
            new.stacks.push(*stack);
            new.values.push(value);
            if let Some(span) = frame.sample_spans.get(sample) {
                new.spans.push(*span);
            }
            if let Some(trace) = frame.sample_traces.get(sample) {
                new.traces.push(*trace);
            }
        }
        new.row = (!new.stacks.is_empty()).then_some(ProfileRow {
            time_ns: frame.time_ns,
            id: frame.id,
            duration_ns: frame.duration_ns,
            period: frame.period,
            total,
            samples_start: 0,
            samples_end: 0,
        });
        new.row.is_some()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Generation {
    /// `<ingester>/<epoch>`.
    pub(crate) log: String,
    /// Exclusive start: what the catalog covers of this log when this generation is committed.
    pub(crate) from: u64,
    /// Last applied segment with rows of this tenant.
    pub(crate) to: u64,
    /// First segment with rows, for the deletion of older ones.
    pub(crate) first_seq: Option<u64>,
    /// When its first row came, monotonic.
    pub(crate) opened_at: Option<Duration>,
    /// Bytes of rows, without symbols.
    pub(crate) bytes: u64,
    /// By service, and by how often its symbols were started anew.
    pub(crate) partitions: BTreeMap<(Arc<str>, u32), PartitionHead>,
}

impl Generation {
    pub(crate) fn new(log: &str, from: u64) -> Self {
        Self {
            log: log.to_owned(),
            from,
            to: from,
            first_seq: None,
            opened_at: None,
            bytes: 0,
            partitions: BTreeMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first_seq.is_none()
    }
}
