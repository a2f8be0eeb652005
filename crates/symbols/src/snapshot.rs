//! The rows of a symbol table, shared between the table that grows and its views that do not.

use std::sync::Arc;

use crate::append::{AppendSlices, AppendText, AppendVec, Span};
use crate::{FunctionView, LineView, LocationView, MappingView, SymbolSource};

/// A function; texts are string ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FunctionRow {
    pub(crate) name: u32,
    pub(crate) system_name: u32,
    pub(crate) filename: u32,
    pub(crate) start_line: i64,
}

/// A mapping; texts are string ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MappingRow {
    pub(crate) memory_start: u64,
    pub(crate) memory_limit: u64,
    pub(crate) file_offset: u64,
    pub(crate) filename: u32,
    pub(crate) build_id: u32,
    pub(crate) has_functions: bool,
    pub(crate) has_filenames: bool,
    pub(crate) has_line_numbers: bool,
    pub(crate) has_inline_frames: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LocationRow {
    pub(crate) mapping: u32,
    pub(crate) is_folded: bool,
    pub(crate) address: u64,
    pub(crate) lines: Span,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StackNode {
    pub(crate) parent: u32,
    pub(crate) location: u32,
    pub(crate) function_node: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FunctionNode {
    pub(crate) parent: u32,
    pub(crate) name: u32,
}

/// All rows. A clone shares the chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) text: AppendText,
    pub(crate) strings: AppendVec<Span>,
    pub(crate) functions: AppendVec<FunctionRow>,
    pub(crate) mappings: AppendVec<MappingRow>,
    pub(crate) lines: AppendSlices<LineView>,
    pub(crate) locations: AppendVec<LocationRow>,
    pub(crate) stacks: AppendVec<StackNode>,
    pub(crate) function_nodes: AppendVec<FunctionNode>,
}

impl Rows {
    pub(crate) fn string(&self, id: u32) -> &str {
        self.text.get(*self.strings.get(id))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.memory_bytes()
            + self.strings.memory_bytes()
            + self.functions.memory_bytes()
            + self.mappings.memory_bytes()
            + self.lines.memory_bytes()
            + self.locations.memory_bytes()
            + self.stacks.memory_bytes()
            + self.function_nodes.memory_bytes()
    }
}

/// An immutable view of a [`crate::SymbolTable`]; clones share it. Name ids are string ids, so that not every name belongs to a function.
#[derive(Clone, Debug)]
pub struct SymbolSnapshot {
    rows: Arc<Rows>,
}

impl SymbolSnapshot {
    pub(crate) fn new(rows: Rows) -> Self {
        Self { rows: Arc::new(rows) }
    }
}

impl SymbolSource for SymbolSnapshot {
    fn stack_count(&self) -> u32 {
        self.rows.stacks.len()
    }

    fn stack_parent(&self, stack: u32) -> u32 {
        self.rows.stacks.get(stack).parent
    }

    fn stack_location(&self, stack: u32) -> u32 {
        self.rows.stacks.get(stack).location
    }

    fn function_node(&self, stack: u32) -> u32 {
        self.rows.stacks.get(stack).function_node
    }

    fn function_node_count(&self) -> u32 {
        self.rows.function_nodes.len()
    }

    fn function_node_parent(&self, node: u32) -> u32 {
        self.rows.function_nodes.get(node).parent
    }

    fn function_node_name(&self, node: u32) -> u32 {
        self.rows.function_nodes.get(node).name
    }

    fn name_count(&self) -> u32 {
        self.rows.strings.len()
    }

    fn name(&self, name: u32) -> &str {
        self.rows.string(name)
    }

    fn location(&self, location: u32) -> LocationView<'_> {
        let row = self.rows.locations.get(location);
        LocationView {
            mapping: row.mapping,
            address: row.address,
            is_folded: row.is_folded,
            lines: self.rows.lines.get(row.lines),
        }
    }

    fn function(&self, function: u32) -> FunctionView<'_> {
        let row = self.rows.functions.get(function);
        FunctionView {
            name: self.rows.string(row.name),
            system_name: self.rows.string(row.system_name),
            filename: self.rows.string(row.filename),
            start_line: row.start_line,
        }
    }

    fn mapping(&self, mapping: u32) -> MappingView<'_> {
        let row = self.rows.mappings.get(mapping);
        MappingView {
            memory_start: row.memory_start,
            memory_limit: row.memory_limit,
            file_offset: row.file_offset,
            filename: self.rows.string(row.filename),
            build_id: self.rows.string(row.build_id),
            has_functions: row.has_functions,
            has_filenames: row.has_filenames,
            has_line_numbers: row.has_line_numbers,
            has_inline_frames: row.has_inline_frames,
        }
    }
}
