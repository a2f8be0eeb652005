//! The growing table of a head partition.
//!
//! A stack that was seen before costs one 128-bit hash over its translated locations; only a new one walks the tree. 128 bits are
//! enough to go without an equality check, 64 would not be.

mod absorb;

use flamelake_pprof::frame::{Frame, Line, Mapping};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::interner::Interner;
use crate::snapshot::{FunctionNode, FunctionRow, LocationRow, MappingRow, Rows, StackNode};
use crate::{LineView, SymbolSnapshot};

/// The empty stack, in both trees.
const ROOT: u32 = 0;
/// Binaries of one partition that can be named afterwards.
pub const NATIVE_BUILD_IDS_MAX: usize = 1024;
/// Not translated yet.
const UNKNOWN: u32 = u32::MAX;

/// Append-only symbols of one partition. Ids are dense from 0 in order of first sight and never change.
#[derive(Debug)]
pub struct SymbolTable {
    rows: Rows,
    index: Index,
    scratch: Scratch,
}

/// Ids by content.
#[derive(Debug, Default)]
struct Index {
    strings: Interner,
    functions: Interner,
    mappings: Interner,
    locations: Interner,
    /// Children in the location tree by (parent, location).
    stacks: Interner,
    /// Children in the function tree by (parent, name).
    function_nodes: Interner,
    /// String ids of the build ids of locations without lines.
    native_build_ids: Vec<u32>,
    /// Whole stacks by hash.
    known: HashTable<KnownStack>,
}

/// Two halves of the hash of a whole stack, and its node.
#[derive(Clone, Copy, Debug)]
struct KnownStack {
    low: u64,
    high: u64,
    stack: u32,
}

/// Ids of the frame at hand to ids of the table, [`UNKNOWN`] until needed. Kept between frames for their memory only.
#[derive(Debug, Default)]
struct Scratch {
    strings: Vec<u32>,
    functions: Vec<u32>,
    mappings: Vec<u32>,
    locations: Vec<u32>,
    /// The stack at hand, leaf first, as little-endian bytes for the hash.
    stack: Vec<u8>,
    lines: Vec<LineView>,
}

impl Default for SymbolTable {
    fn default() -> Self {
        Self::new()
    }
}

impl SymbolTable {
    /// A table that knows only the empty stack (node 0 of both trees).
    pub fn new() -> Self {
        let mut rows = Rows::default();
        rows.stacks.push(StackNode { parent: ROOT, location: 0, function_node: ROOT });
        rows.function_nodes.push(FunctionNode { parent: ROOT, name: 0 });
        Self { rows, index: Index::default(), scratch: Scratch::default() }
    }

    /// Interns everything that the frame's stacks use; `out[i]` becomes the id of the frame's stack `i`.
    /// Costs O(frames of its stacks) plus O(what is new), whatever the table holds.
    pub fn intern(&mut self, frame: &Frame, out: &mut Vec<u32>) {
        self.scratch.start(frame);
        out.clear();
        out.reserve(frame.stack_ends.len());
        let mut start = 0;
        for &end in &frame.stack_ends {
            let stack = self.intern_stack(frame, &frame.stack_locations[start..end as usize]);
            out.push(stack);
            start = end as usize;
        }
    }

    /// A view of the table as it is now: cheap (shares chunks), never changes, holds up no writer.
    pub fn snapshot(&self) -> SymbolSnapshot {
        SymbolSnapshot::new(self.rows.clone())
    }

    /// Location-tree nodes, for the growth guard.
    pub fn stack_count(&self) -> u32 {
        self.rows.stacks.len()
    }

    /// Build ids (as the mappings have them) of binaries with locations that have no lines; not more than [`NATIVE_BUILD_IDS_MAX`].
    pub fn native_build_ids(&self) -> impl Iterator<Item = &str> {
        self.index.native_build_ids.iter().map(|id| self.rows.string(*id))
    }

    /// Memory held, the part that snapshots share included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.rows.memory_bytes() + self.index.memory_bytes() + self.scratch.memory_bytes()
    }

    fn intern_stack(&mut self, frame: &Frame, locations: &[u32]) -> u32 {
        self.scratch.stack.clear();
        for &location in locations {
            let id = match self.scratch.locations[location as usize] {
                UNKNOWN => self.intern_location(frame, location),
                id => id,
            };
            self.scratch.stack.extend_from_slice(&id.to_le_bytes());
        }
        let hash = xxh3_128(&self.scratch.stack);
        let (low, high) = (hash as u64, (hash >> 64) as u64);
        if let Some(known) = self.index.known.find(low, |known| known.low == low && known.high == high) {
            return known.stack;
        }
        let stack = self.walk_tree();
        self.index.known.insert_unique(low, KnownStack { low, high, stack }, |known| known.low);
        stack
    }

    /// Finds or makes the nodes of the stack in `scratch.stack`, root first; the last one.
    fn walk_tree(&mut self) -> u32 {
        let Self { rows, index, scratch } = self;
        let mut node = ROOT;
        for bytes in scratch.stack.rchunks_exact(4) {
            let location = u32::from_le_bytes(bytes.try_into().expect("chunks of four"));
            node = index.stack_child(rows, node, location);
        }
        node
    }

    fn intern_location(&mut self, frame: &Frame, at: u32) -> u32 {
        let Self { rows, index, scratch } = self;
        let location = &frame.locations[at as usize];
        let mapping = scratch.mapping(frame, location.mapping, rows, index);
        scratch.lines(frame, frame.location_lines(location), rows, index);
        let id = index.location(rows, mapping, location.address, location.is_folded, &scratch.lines);
        scratch.locations[at as usize] = id;
        id
    }
}

impl Index {
    fn stack_child(&mut self, rows: &mut Rows, parent: u32, location: u32) -> u32 {
        let hash = self.stacks.hash(u64::from(parent) << 32 | u64::from(location));
        let same = |id| {
            let node = rows.stacks.get(id);
            node.parent == parent && node.location == location
        };
        if let Some(found) = self.stacks.find(hash, same) {
            return found;
        }
        let function_node = self.function_path(rows, rows.stacks.get(parent).function_node, location);
        let id = rows.stacks.push(StackNode { parent, location, function_node });
        self.stacks.insert(hash, id);
        id
    }

    /// The function-tree node below `node` by the lines of a location: the outermost function is the last line, and comes first.
    fn function_path(&mut self, rows: &mut Rows, mut node: u32, location: u32) -> u32 {
        let span = rows.locations.get(location).lines;
        for at in (0..rows.lines.get(span).len()).rev() {
            let function = rows.lines.get(span)[at].function;
            node = self.function_child(rows, node, rows.functions.get(function).name);
        }
        node
    }

    fn function_child(&mut self, rows: &mut Rows, parent: u32, name: u32) -> u32 {
        let hash = self.function_nodes.hash(u64::from(parent) << 32 | u64::from(name));
        // The root is not in the index: it is nobody's child.
        let same = |id| {
            let node = rows.function_nodes.get(id);
            node.parent == parent && node.name == name
        };
        self.function_nodes.find(hash, same).unwrap_or_else(|| {
            let id = rows.function_nodes.push(FunctionNode { parent, name });
            self.function_nodes.insert(hash, id);
            id
        })
    }

    fn location(&mut self, rows: &mut Rows, mapping: u32, address: u64, is_folded: bool, lines: &[LineView]) -> u32 {
        let hash = self.locations.hash((mapping, address, is_folded, lines));
        let same = |id| {
            let row = rows.locations.get(id);
            (row.mapping, row.address, row.is_folded) == (mapping, address, is_folded)
                && rows.lines.get(row.lines) == lines
        };
        self.locations.find(hash, same).unwrap_or_else(|| {
            if lines.is_empty() {
                note_native(&mut self.native_build_ids, rows, mapping);
            }
            let lines = rows.lines.push(lines);
            let id = rows.locations.push(LocationRow { mapping, is_folded, address, lines });
            self.locations.insert(hash, id);
            id
        })
    }

    fn string(&mut self, rows: &mut Rows, text: &str) -> u32 {
        let hash = self.strings.hash(text);
        self.strings.find(hash, |id| rows.string(id) == text).unwrap_or_else(|| {
            let span = rows.text.push(text);
            let id = rows.strings.push(span);
            self.strings.insert(hash, id);
            id
        })
    }

    fn function(&mut self, rows: &mut Rows, row: FunctionRow) -> u32 {
        let hash = self.functions.hash(row);
        self.functions.find(hash, |id| *rows.functions.get(id) == row).unwrap_or_else(|| {
            let id = rows.functions.push(row);
            self.functions.insert(hash, id);
            id
        })
    }

    fn mapping(&mut self, rows: &mut Rows, row: MappingRow) -> u32 {
        let hash = self.mappings.hash(row);
        self.mappings.find(hash, |id| *rows.mappings.get(id) == row).unwrap_or_else(|| {
            let id = rows.mappings.push(row);
            self.mappings.insert(hash, id);
            id
        })
    }

    fn memory_bytes(&self) -> usize {
        let interners =
            [&self.strings, &self.functions, &self.mappings, &self.locations, &self.stacks, &self.function_nodes];
        interners.iter().map(|interner| interner.memory_bytes()).sum::<usize>() + self.known.allocation_size()
    }
}

fn note_native(known: &mut Vec<u32>, rows: &Rows, mapping: u32) {
    let build_id = rows.mappings.get(mapping).build_id;
    if known.len() < NATIVE_BUILD_IDS_MAX && !rows.string(build_id).is_empty() && !known.contains(&build_id) {
        known.push(build_id);
    }
}

impl Scratch {
    fn start(&mut self, frame: &Frame) {
        let reset = |ids: &mut Vec<u32>, len: usize| {
            ids.clear();
            ids.resize(len, UNKNOWN);
        };
        reset(&mut self.strings, frame.strings.len());
        reset(&mut self.functions, frame.functions.len());
        reset(&mut self.mappings, frame.mappings.len());
        reset(&mut self.locations, frame.locations.len());
    }

    fn string(&mut self, frame: &Frame, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        let slot = &mut self.strings[at as usize];
        if *slot == UNKNOWN {
            *slot = index.string(rows, frame.strings.get(at));
        }
        *slot
    }

    fn lines(&mut self, frame: &Frame, lines: &[Line], rows: &mut Rows, index: &mut Index) {
        self.lines.clear();
        for line in lines {
            let function = self.function(frame, line.function, rows, index);
            self.lines.push(LineView { function, line: line.line });
        }
    }

    fn function(&mut self, frame: &Frame, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        if self.functions[at as usize] == UNKNOWN {
            let function = &frame.functions[at as usize];
            let row = FunctionRow {
                name: self.string(frame, function.name, rows, index),
                system_name: self.string(frame, function.system_name, rows, index),
                filename: self.string(frame, function.filename, rows, index),
                start_line: function.start_line,
            };
            self.functions[at as usize] = index.function(rows, row);
        }
        self.functions[at as usize]
    }

    fn mapping(&mut self, frame: &Frame, at: u32, rows: &mut Rows, index: &mut Index) -> u32 {
        if self.mappings[at as usize] == UNKNOWN {
            let Mapping {
                memory_start,
                memory_limit,
                file_offset,
                filename,
                build_id,
                has_functions,
                has_filenames,
                has_line_numbers,
                has_inline_frames,
            } = frame.mappings[at as usize];
            let row = MappingRow {
                memory_start,
                memory_limit,
                file_offset,
                filename: self.string(frame, filename, rows, index),
                build_id: self.string(frame, build_id, rows, index),
                has_functions,
                has_filenames,
                has_line_numbers,
                has_inline_frames,
            };
            self.mappings[at as usize] = index.mapping(rows, row);
        }
        self.mappings[at as usize]
    }

    fn memory_bytes(&self) -> usize {
        let ids = [&self.strings, &self.functions, &self.mappings, &self.locations];
        ids.iter().map(|ids| ids.capacity() * size_of::<u32>()).sum::<usize>()
            + self.stack.capacity()
            + self.lines.capacity() * size_of::<LineView>()
    }
}
