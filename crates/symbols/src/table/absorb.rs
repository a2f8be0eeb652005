//! Taking in all stacks of another source, for the merging of blocks.

use super::{Index, ROOT, SymbolTable, UNKNOWN};
use crate::snapshot::{FunctionRow, MappingRow, Rows};
use crate::{FunctionView, LineView, MappingView, SymbolSource};

/// Ids of the other source to ids of the table, grown as they are met.
#[derive(Default)]
struct Known {
    functions: Vec<u32>,
    mappings: Vec<u32>,
    locations: Vec<u32>,
    lines: Vec<LineView>,
}

impl SymbolTable {
    /// Interns every stack of `source` by content; the answer holds the id here of each stack there. The source must tell locations.
    /// Costs O(its stacks and symbols), whatever the table holds.
    pub fn absorb(&mut self, source: &dyn SymbolSource) -> Vec<u32> {
        let mut known = Known::default();
        let mut out: Vec<u32> = Vec::with_capacity(source.stack_count() as usize);
        out.push(ROOT);
        let Self { rows, index, .. } = self;
        for stack in 1..source.stack_count() {
            // Parents come first.
            let parent = out[source.stack_parent(stack) as usize];
            let location = known.location(source, source.stack_location(stack), rows, index);
            out.push(index.stack_child(rows, parent, location));
        }
        out
    }
}

impl Known {
    fn location(&mut self, source: &dyn SymbolSource, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        if let Some(id) = met(&self.locations, at) {
            return id;
        }
        let location = source.location(at);
        let mapping = self.mapping(source, location.mapping, rows, index);
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for line in location.lines {
            lines.push(LineView { function: self.function(source, line.function, rows, index), line: line.line });
        }
        let id = index.location(rows, mapping, location.address, location.is_folded, &lines);
        self.lines = lines;
        note(&mut self.locations, at, id)
    }

    fn function(&mut self, source: &dyn SymbolSource, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        if let Some(id) = met(&self.functions, at) {
            return id;
        }
        let FunctionView { name, system_name, filename, start_line } = source.function(at);
        let row = FunctionRow {
            name: index.string(rows, name),
            system_name: index.string(rows, system_name),
            filename: index.string(rows, filename),
            start_line,
        };
        note(&mut self.functions, at, index.function(rows, row))
    }

    fn mapping(&mut self, source: &dyn SymbolSource, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        if let Some(id) = met(&self.mappings, at) {
            return id;
        }
        let MappingView {
            memory_start,
            memory_limit,
            file_offset,
            filename,
            build_id,
            has_functions,
            has_filenames,
            has_line_numbers,
            has_inline_frames,
        } = source.mapping(at);
        let row = MappingRow {
            memory_start,
            memory_limit,
            file_offset,
            filename: index.string(rows, filename),
            build_id: index.string(rows, build_id),
            has_functions,
            has_filenames,
            has_line_numbers,
            has_inline_frames,
        };
        note(&mut self.mappings, at, index.mapping(rows, row))
    }
}

fn met(ids: &[u32], at: u32) -> Option<u32> {
    ids.get(at as usize).copied().filter(|id| *id != UNKNOWN)
}

fn note(ids: &mut Vec<u32>, at: u32, id: u32) -> u32 {
    if ids.len() <= at as usize {
        ids.resize(at as usize + 1, UNKNOWN);
    }
    ids[at as usize] = id;
    id
}
