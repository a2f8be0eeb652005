//! The symbols that a partition's samples use, renumbered, as rows of `functions`, `frames`, `fnstacks` and `stacks`.

use std::collections::{BTreeSet, HashMap};

use arrow_array::builder::Int64Builder;
use arrow_array::builder::{StringBuilder, UInt32Builder};
use arrow_array::{BooleanArray, Int64Array, StringArray, UInt8Array, UInt32Array, UInt64Array};
use flamelake_symbols::{FunctionView, MappingView, NATIVE_BUILD_IDS_MAX, SymbolSource};

use super::column::{Column, part_column, values};
use super::preorder::{DROPPED, Preorder};
use crate::table::mapping_flag;

/// Old ids to new ones, in the order of the tables.
pub(super) struct UsedSymbols<'a> {
    source: &'a dyn SymbolSource,
    pub(super) stacks: Preorder,
    nodes: Preorder,
    /// New location ids by old ones.
    locations: HashMap<u32, u32>,
    /// Old location ids by new ones: in order of first use in preorder.
    location_order: Vec<u32>,
    functions: Functions<'a>,
}

/// Function rows in order; several functions may share a name.
struct Functions<'a> {
    rows: Vec<FunctionView<'a>>,
    /// New function ids by old ones.
    new_of_old: HashMap<u32, u32>,
    /// First row of each name.
    by_name: HashMap<&'a str, u32>,
}

impl<'a> UsedSymbols<'a> {
    /// `used[stack]` marks the stacks of samples.
    pub(super) fn new(source: &'a dyn SymbolSource, used: Vec<bool>) -> Self {
        let stacks = Preorder::new(used, |stack| source.stack_parent(stack));
        let mut nodes_used = vec![false; source.function_node_count() as usize];
        for old in &stacks.old_of_new {
            nodes_used[source.function_node(*old) as usize] = true;
        }
        let nodes = Preorder::new(nodes_used, |node| source.function_node_parent(node));
        let mut locations = HashMap::new();
        let mut location_order = Vec::new();
        for old in &stacks.old_of_new[1..] {
            let location = source.stack_location(*old);
            locations.entry(location).or_insert_with(|| {
                location_order.push(location);
                location_order.len() as u32 - 1
            });
        }
        let functions = Functions::new(source, &location_order, &nodes);
        Self { source, stacks, nodes, locations, location_order, functions }
    }

    pub(super) fn new_stack(&self, old: u32) -> u32 {
        let new = self.stacks.new_of_old[old as usize];
        debug_assert_ne!(new, DROPPED, "every stack of a sample was marked");
        new
    }

    pub(super) fn stack_columns(&self, part: u16) -> Vec<Column> {
        let count = self.stacks.len();
        let old = &self.stacks.old_of_new;
        let location = |at: usize| if at == 0 { 0 } else { self.locations[&self.source.stack_location(old[at])] };
        let node = |at: usize| self.nodes.new_of_old[self.source.function_node(old[at]) as usize];
        vec![
            part_column(part, count),
            values(UInt32Array::from_iter_values(0..count as u32)),
            values(UInt32Array::from(self.stacks.up())),
            values(UInt32Array::from(self.stacks.size.clone())),
            values(UInt32Array::from_iter_values((0..count).map(location))),
            values(UInt32Array::from_iter_values((0..count).map(node))),
        ]
    }

    pub(super) fn function_stack_columns(&self, part: u16) -> Vec<Column> {
        let count = self.nodes.len();
        let function = |at: usize| match at {
            0 => 0,
            at => self.functions.by_name[self.source.name(self.source.function_node_name(self.nodes.old_of_new[at]))],
        };
        vec![
            part_column(part, count),
            values(UInt32Array::from_iter_values(0..count as u32)),
            values(UInt32Array::from(self.nodes.up())),
            values(UInt32Array::from(self.nodes.size.clone())),
            values(UInt32Array::from_iter_values((0..count).map(function))),
        ]
    }

    pub(super) fn function_columns(&self, part: u16) -> Vec<Column> {
        let rows = &self.functions.rows;
        let mut system_names = StringBuilder::new();
        for row in rows {
            system_names.append_option((row.system_name != row.name).then_some(row.system_name));
        }
        vec![
            part_column(part, rows.len()),
            values(UInt32Array::from_iter_values(0..rows.len() as u32)),
            values(StringArray::from_iter_values(rows.iter().map(|row| row.name))),
            values(system_names.finish()),
            values(StringArray::from_iter_values(rows.iter().map(|row| row.filename))),
            values(Int64Array::from_iter_values(rows.iter().map(|row| row.start_line))),
        ]
    }

    /// Build ids of locations without lines, sorted.
    pub(super) fn native_build_ids(&self) -> Vec<String> {
        let build_id = |old: &u32| {
            let location = self.source.location(*old);
            location.lines.is_empty().then(|| self.source.mapping(location.mapping).build_id)
        };
        let found: BTreeSet<&str> =
            self.location_order.iter().filter_map(build_id).filter(|id| !id.is_empty()).collect();
        found.into_iter().take(NATIVE_BUILD_IDS_MAX).map(str::to_owned).collect()
    }

    /// One row a line of a location, or one without function for a location without lines.
    pub(super) fn frame_columns(&self, part: u16) -> Vec<Column> {
        let (mut ids, mut inline_indexes) = (Vec::new(), Vec::new());
        let (mut functions, mut lines) = (UInt32Builder::new(), Int64Builder::new());
        let (mut addresses, mut folded) = (Vec::new(), Vec::new());
        let mut mappings = Vec::new();
        for (new, old) in self.location_order.iter().enumerate() {
            let location = self.source.location(*old);
            let mapping = self.source.mapping(location.mapping);
            for at in 0..location.lines.len().max(1) {
                ids.push(new as u32);
                inline_indexes.push(at as u32);
                let line = location.lines.get(at);
                functions.append_option(line.map(|line| self.functions.new_of_old[&line.function]));
                lines.append_option(line.map(|line| line.line));
                addresses.push(location.address);
                folded.push(location.is_folded);
                mappings.push(mapping);
            }
        }
        let mut columns: Vec<Column> = vec![
            part_column(part, ids.len()),
            values(UInt32Array::from(ids)),
            values(UInt32Array::from(inline_indexes)),
            values(functions.finish()),
            values(lines.finish()),
            values(UInt64Array::from(addresses)),
            values(BooleanArray::from(folded)),
        ];
        columns.extend(mapping_columns(&mappings));
        columns
    }
}

fn mapping_columns(mappings: &[MappingView<'_>]) -> Vec<Column> {
    let number = |field: fn(&MappingView<'_>) -> u64| -> Column {
        values(UInt64Array::from_iter_values(mappings.iter().map(field)))
    };
    vec![
        number(|mapping| mapping.memory_start),
        number(|mapping| mapping.memory_limit),
        number(|mapping| mapping.file_offset),
        values(StringArray::from_iter_values(mappings.iter().map(|mapping| mapping.filename))),
        values(StringArray::from_iter_values(mappings.iter().map(|mapping| mapping.build_id))),
        values(UInt8Array::from_iter_values(mappings.iter().map(mapping_flags))),
    ]
}

fn mapping_flags(mapping: &MappingView<'_>) -> u8 {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    flag(mapping.has_functions, mapping_flag::FUNCTIONS)
        | flag(mapping.has_filenames, mapping_flag::FILENAMES)
        | flag(mapping.has_line_numbers, mapping_flag::LINE_NUMBERS)
        | flag(mapping.has_inline_frames, mapping_flag::INLINE_FRAMES)
}

impl<'a> Functions<'a> {
    fn new(source: &'a dyn SymbolSource, locations: &[u32], nodes: &Preorder) -> Self {
        let mut old_ids: Vec<u32> =
            locations.iter().flat_map(|location| source.location(*location).lines).map(|line| line.function).collect();
        old_ids.sort_unstable();
        old_ids.dedup();
        let key = |view: &FunctionView<'a>| (view.name, view.system_name, view.filename, view.start_line);
        let mut rows: Vec<(FunctionView<'a>, Option<u32>)> =
            old_ids.into_iter().map(|old| (source.function(old), Some(old))).collect();
        let named: std::collections::HashSet<&str> = rows.iter().map(|(row, _)| row.name).collect();
        // A source may name nodes without a function that bears the name; the tables need a row to name them by.
        let mut bare: Vec<&'a str> = nodes.old_of_new[1..]
            .iter()
            .map(|node| source.name(source.function_node_name(*node)))
            .filter(|name| !named.contains(name))
            .collect();
        bare.sort_unstable();
        bare.dedup();
        rows.extend(
            bare.into_iter().map(|name| (FunctionView { name, system_name: name, filename: "", start_line: 0 }, None)),
        );
        rows.sort_by(|(a, _), (b, _)| key(a).cmp(&key(b)));
        let mut out =
            Self { rows: Vec::with_capacity(rows.len()), new_of_old: HashMap::new(), by_name: HashMap::new() };
        for (new, (row, old)) in rows.into_iter().enumerate() {
            out.by_name.entry(row.name).or_insert(new as u32);
            if let Some(old) = old {
                out.new_of_old.insert(old, new as u32);
            }
            out.rows.push(row);
        }
        out
    }
}
