//! `max_nodes` for pprof answers (contract `query.md`, SelectMergeProfile): light leaf parts become one location `other`.
//!
//! Weight is counted by paths of function names, inlined ones included, as in a flame graph. The threshold is that of section 5: the
//! total of the n-th heaviest node; equal ones all stay.

use hashbrown::HashMap;

use crate::frame::Line;
use crate::merge::{FunctionParts, MappingParts, MappingRef, PprofBuilder};

const OTHER: &str = "other";

/// Paths of names with their totals. Node 0 is the root.
struct Paths {
    children: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    totals: Vec<i64>,
}

impl Paths {
    fn of(builder: &PprofBuilder) -> Self {
        let mut paths = Self { children: HashMap::default(), totals: vec![0] };
        for (sample, value) in builder.values.iter().enumerate() {
            let mut node = 0;
            for location in builder.stack(sample).iter().rev() {
                for line in builder.location_lines(*location).iter().rev() {
                    let name = builder.functions[line.function as usize].name;
                    let new = paths.totals.len() as u32;
                    node = *paths.children.entry((node, name)).or_insert(new);
                    if node == new {
                        paths.totals.push(0);
                    }
                    let total = &mut paths.totals[node as usize];
                    *total = total.saturating_add(*value);
                }
            }
        }
        paths
    }

    /// The least total that stays; `None` if all do.
    fn threshold(&self, max_nodes: usize) -> Option<i64> {
        let mut totals = self.totals[1..].to_vec();
        if totals.len() <= max_nodes {
            return None;
        }
        let (_, least, _) = totals.select_nth_unstable_by(max_nodes - 1, |a, b| b.cmp(a));
        Some(*least)
    }
}

impl PprofBuilder {
    /// Keeps the heaviest `max_nodes` paths of names; 0 keeps all.
    pub fn truncate(&mut self, max_nodes: usize) {
        if max_nodes == 0 || self.is_empty() {
            return;
        }
        let paths = Paths::of(self);
        let Some(least) = paths.threshold(max_nodes) else { return };
        let kept: Vec<usize> =
            (0..self.values.len()).map(|sample| self.kept_locations(sample, &paths, least)).collect();
        let (locations, ends, values) = self.take_samples();
        let mut other = None;
        let (mut start, mut stack) = (0, Vec::new());
        for ((end, value), kept) in ends.into_iter().map(|end| end as usize).zip(values).zip(kept) {
            let whole = &locations[start..end];
            stack.clear();
            if kept < whole.len() {
                stack.push(*other.get_or_insert_with(|| self.other_location()));
            }
            stack.extend_from_slice(&whole[whole.len() - kept..]);
            self.add(&stack, value);
            start = end;
        }
    }

    /// How many root-side locations of a sample have no name below the threshold.
    fn kept_locations(&self, sample: usize, paths: &Paths, least: i64) -> usize {
        let stack = self.stack(sample);
        let mut node = 0;
        for (kept, location) in stack.iter().rev().enumerate() {
            for line in self.location_lines(*location).iter().rev() {
                let name = self.functions[line.function as usize].name;
                node = *paths.children.get(&(node, name)).expect("every path was counted");
                if paths.totals[node as usize] < least {
                    return kept;
                }
            }
        }
        stack.len()
    }

    /// A new location, and so the last one, unless a program really has a function of this name without lines.
    fn other_location(&mut self) -> u32 {
        let function = self.function(FunctionParts { name: OTHER, system_name: OTHER, ..FunctionParts::default() });
        if self.mappings.is_empty() {
            self.mapping(MappingParts::default());
        }
        self.location(MappingRef::default(), 0, false, &[Line { function, line: 0 }])
    }
}
