//! Decoded symbols of a partition: plain arrays, checked once so that lookups need not be.

use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{BooleanArray, StringArray};
use flamelake_symbols::{FunctionView, LineView, LocationView, MappingView, SymbolSource};

use super::ReadError;
use super::table_reader::Columns;
use crate::table::mapping_flag;

/// Both trees and the names: enough for flame graphs.
#[derive(Debug)]
pub(super) struct Trees {
    stack_parents: Vec<u32>,
    stack_nodes: Vec<u32>,
    node_parents: Vec<u32>,
    node_names: Vec<u32>,
    names: Texts,
    /// Name of each function.
    function_names: Vec<u32>,
}

/// Locations, functions, mappings.
#[derive(Debug)]
pub(super) struct Places {
    stack_locations: Vec<u32>,
    locations: Vec<Location>,
    lines: Vec<LineView>,
    mappings: Vec<Mapping>,
    texts: Texts,
    functions: Vec<Function>,
}

#[derive(Debug)]
struct Location {
    mapping: u32,
    address: u64,
    is_folded: bool,
    lines_end: u32,
}

#[derive(Debug)]
struct Function {
    /// `None`: the same as the name.
    system_name: Option<u32>,
    filename: u32,
    start_line: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Mapping {
    memory_start: u64,
    memory_limit: u64,
    file_offset: u64,
    filename: u32,
    build_id: u32,
    flags: u8,
}

/// Texts back to back; ids are dense.
#[derive(Debug, Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn get(&self, id: u32) -> &str {
        let start = if id == 0 { 0 } else { self.ends[id as usize - 1] as usize };
        &self.text[start..self.ends[id as usize] as usize]
    }

    fn last(&self) -> Option<&str> {
        self.ends.len().checked_sub(1).map(|id| self.get(id as u32))
    }

    /// `None` when there is too much text.
    fn push(&mut self, text: &str) -> Option<u32> {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).ok()?);
        u32::try_from(self.ends.len() - 1).ok()
    }

    fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// Interns texts that repeat.
#[derive(Default)]
struct TextSet {
    texts: Texts,
    ids: std::collections::HashMap<String, u32>,
}

impl TextSet {
    fn intern(&mut self, text: &str) -> Option<u32> {
        // Neighbouring rows mostly have the same file.
        if self.texts.last() == Some(text) {
            return Some(self.texts.ends.len() as u32 - 1);
        }
        if let Some(id) = self.ids.get(text) {
            return Some(*id);
        }
        let id = self.texts.push(text)?;
        self.ids.insert(text.to_owned(), id);
        Some(id)
    }
}

const TOO_MUCH_TEXT: &str = "more than 4 GiB of text";

impl Trees {
    /// From `stacks(up, fnstack)`, `fnstacks(up, function)`, `functions(name)`.
    pub(super) fn decode(
        stacks: &Columns<'_>,
        nodes: &Columns<'_>,
        functions: &Columns<'_>,
    ) -> Result<Self, ReadError> {
        let (names, function_names) = names(functions)?;
        let node_parents = parents(nodes)?;
        let mut node_names = nodes.numbers::<UInt32Type>("function")?;
        for (node, name) in node_names.iter_mut().enumerate().skip(1) {
            *name = *function_names
                .get(*name as usize)
                .ok_or_else(|| nodes.damaged(format!("node {node} has the unknown function {name}")))?;
        }
        // The root has no name; 0 is what it shows.
        if let Some(root) = node_names.first_mut() {
            *root = 0;
        }
        let stack_parents = parents(stacks)?;
        let stack_nodes = stacks.numbers::<UInt32Type>("fnstack")?;
        if let Some(bad) = stack_nodes.iter().position(|node| *node as usize >= node_parents.len()) {
            return Err(stacks.damaged(format!("stack {bad} has an unknown function node")));
        }
        Ok(Self { stack_parents, stack_nodes, node_parents, node_names, names, function_names })
    }

    pub(super) fn stack_count(&self) -> u32 {
        self.stack_parents.len() as u32
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let ids = [&self.stack_parents, &self.stack_nodes, &self.node_parents, &self.node_names, &self.function_names];
        ids.iter().map(|ids| ids.capacity() * size_of::<u32>()).sum::<usize>() + self.names.memory_bytes()
    }
}

/// Distinct names in order, and the name of each function. Functions are sorted by name, so equal names are neighbours.
fn names(functions: &Columns<'_>) -> Result<(Texts, Vec<u32>), ReadError> {
    let mut names = Texts::default();
    let mut of_functions = Vec::with_capacity(functions.rows());
    for part in functions.parts::<StringArray>("name")? {
        for text in part.iter().map(Option::unwrap_or_default) {
            match names.last() {
                Some(last) if last == text => {}
                Some(last) if last > text => return Err(functions.damaged("functions are not sorted by name")),
                _ => drop(names.push(text).ok_or_else(|| functions.damaged(TOO_MUCH_TEXT))?),
            }
            of_functions.push(names.ends.len() as u32 - 1);
        }
    }
    Ok((names, of_functions))
}

/// Name and source file of each function.
pub(super) fn each_function(
    functions: &Columns<'_>,
    sink: &mut (dyn for<'r> FnMut(&'r str, &'r str) + Send),
) -> Result<(), ReadError> {
    let names = functions.parts::<StringArray>("name")?.into_iter().flat_map(|part| part.iter());
    let files = functions.parts::<StringArray>("filename")?.into_iter().flat_map(|part| part.iter());
    names.zip(files).for_each(|(name, file)| sink(name.unwrap_or_default(), file.unwrap_or_default()));
    Ok(())
}

/// Parents from column `up`; the root is its own.
fn parents(columns: &Columns<'_>) -> Result<Vec<u32>, ReadError> {
    let mut parents = columns.numbers::<UInt32Type>("up")?;
    for (node, up) in parents.iter_mut().enumerate() {
        let is_good = if node == 0 { *up == 0 } else { *up > 0 && *up as usize <= node };
        if !is_good {
            return Err(columns.damaged(format!("node {node} lies {up} above itself")));
        }
        *up = node as u32 - *up;
    }
    if parents.is_empty() {
        return Err(columns.damaged("a tree without root"));
    }
    Ok(parents)
}

impl Places {
    /// From `stacks(location)`, `frames(all)`, `functions(system_name, filename, start_line)`.
    pub(super) fn decode(
        stacks: &Columns<'_>,
        frames: &Columns<'_>,
        functions: &Columns<'_>,
    ) -> Result<Self, ReadError> {
        let mut texts = TextSet::default();
        let functions = decode_functions(functions, &mut texts)?;
        let mut out = Self {
            stack_locations: stacks.numbers::<UInt32Type>("location")?,
            locations: Vec::new(),
            lines: Vec::new(),
            mappings: Vec::new(),
            texts: Texts::default(),
            functions,
        };
        out.decode_frames(frames, &mut texts)?;
        out.texts = texts.texts;
        if let Some(bad) =
            out.stack_locations.iter().skip(1).position(|location| *location as usize >= out.locations.len())
        {
            return Err(stacks.damaged(format!("stack {} has an unknown location", bad + 1)));
        }
        Ok(out)
    }

    fn decode_frames(&mut self, frames: &Columns<'_>, texts: &mut TextSet) -> Result<(), ReadError> {
        let locations = frames.numbers::<UInt32Type>("location")?;
        let functions = frames.parts::<arrow_array::UInt32Array>("function")?;
        let lines = frames.parts::<arrow_array::Int64Array>("line")?;
        let addresses = frames.numbers::<UInt64Type>("address")?;
        let folded = frames.parts::<BooleanArray>("is_folded")?;
        let mappings = decode_mappings(frames, texts)?;
        let mut known = std::collections::HashMap::new();
        let functions = functions.into_iter().flat_map(|part| part.iter());
        let lines = lines.into_iter().flat_map(|part| part.iter());
        let folded = folded.into_iter().flat_map(|part| part.iter());
        let rows = locations.into_iter().zip(functions.zip(lines)).zip(addresses).zip(folded).zip(mappings);
        for ((((location, (function, line)), address), is_folded), mapping) in rows {
            if location as usize == self.locations.len() {
                let next = self.mappings.len() as u32;
                let mapping_id = *known.entry(mapping.clone()).or_insert(next);
                if mapping_id == next {
                    self.mappings.push(mapping);
                }
                let is_folded = is_folded.unwrap_or_default();
                self.locations.push(Location {
                    mapping: mapping_id,
                    address,
                    is_folded,
                    lines_end: self.lines.len() as u32,
                });
            } else if location as usize + 1 != self.locations.len() {
                return Err(frames.damaged(format!("location {location} is out of order")));
            }
            if let Some(function) = function {
                if function as usize >= self.functions.len() {
                    return Err(frames.damaged(format!("location {location} has the unknown function {function}")));
                }
                self.lines.push(LineView { function, line: line.unwrap_or_default() });
                let last = self.locations.last_mut().expect("pushed or found above");
                last.lines_end = self.lines.len() as u32;
            }
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.stack_locations.capacity() * size_of::<u32>()
            + self.locations.capacity() * size_of::<Location>()
            + self.lines.capacity() * size_of::<LineView>()
            + self.mappings.capacity() * size_of::<Mapping>()
            + self.functions.capacity() * size_of::<Function>()
            + self.texts.memory_bytes()
    }
}

fn decode_functions(functions: &Columns<'_>, texts: &mut TextSet) -> Result<Vec<Function>, ReadError> {
    let system_names = functions.parts::<StringArray>("system_name")?;
    let filenames = functions.parts::<StringArray>("filename")?;
    let start_lines = functions.numbers::<Int64Type>("start_line")?;
    let system_names = system_names.into_iter().flat_map(|part| part.iter());
    let filenames = filenames.into_iter().flat_map(|part| part.iter());
    let row = |((system_name, filename), start_line): ((Option<&str>, Option<&str>), i64)| {
        let system_name = system_name.map(|text| texts.intern(text).ok_or(())).transpose()?;
        let filename = texts.intern(filename.unwrap_or_default()).ok_or(())?;
        Ok(Function { system_name, filename, start_line })
    };
    let rows: Result<Vec<Function>, ()> = system_names.zip(filenames).zip(start_lines).map(row).collect();
    rows.map_err(|()| functions.damaged(TOO_MUCH_TEXT))
}

fn decode_mappings(frames: &Columns<'_>, texts: &mut TextSet) -> Result<Vec<Mapping>, ReadError> {
    let starts = frames.numbers::<UInt64Type>("mapping_start")?;
    let limits = frames.numbers::<UInt64Type>("mapping_limit")?;
    let offsets = frames.numbers::<UInt64Type>("mapping_offset")?;
    let flags = frames.numbers::<UInt8Type>("mapping_flags")?;
    let mut ids = |name| -> Result<Vec<u32>, ReadError> {
        let parts = frames.parts::<StringArray>(name)?;
        let texts = parts.into_iter().flat_map(|part| part.iter()).map(|text| texts.intern(text.unwrap_or_default()));
        texts.collect::<Option<Vec<u32>>>().ok_or_else(|| frames.damaged(TOO_MUCH_TEXT))
    };
    let filenames = ids("mapping_file")?;
    let build_ids = ids("mapping_build_id")?;
    let row = |at: usize| Mapping {
        memory_start: starts[at],
        memory_limit: limits[at],
        file_offset: offsets[at],
        filename: filenames[at],
        build_id: build_ids[at],
        flags: flags[at],
    };
    Ok((0..frames.rows()).map(row).collect())
}

/// Symbols of one partition of a block. Without places `stack_location`, `location`, `function` and `mapping` panic, as the detail that was asked for says.
#[derive(Debug)]
pub(super) struct BlockSymbols {
    pub(super) trees: Arc<Trees>,
    pub(super) places: Option<Places>,
}

impl BlockSymbols {
    fn places(&self) -> &Places {
        self.places.as_ref().expect("ask for SymbolDetail::Locations")
    }
}

impl SymbolSource for BlockSymbols {
    fn stack_count(&self) -> u32 {
        self.trees.stack_count()
    }

    fn stack_parent(&self, stack: u32) -> u32 {
        self.trees.stack_parents[stack as usize]
    }

    fn stack_location(&self, stack: u32) -> u32 {
        self.places().stack_locations[stack as usize]
    }

    fn function_node(&self, stack: u32) -> u32 {
        self.trees.stack_nodes[stack as usize]
    }

    fn function_node_count(&self) -> u32 {
        self.trees.node_parents.len() as u32
    }

    fn function_node_parent(&self, node: u32) -> u32 {
        self.trees.node_parents[node as usize]
    }

    fn function_node_name(&self, node: u32) -> u32 {
        self.trees.node_names[node as usize]
    }

    fn name_count(&self) -> u32 {
        self.trees.names.ends.len() as u32
    }

    fn name(&self, name: u32) -> &str {
        self.trees.names.get(name)
    }

    fn location(&self, location: u32) -> LocationView<'_> {
        let places = self.places();
        let at = location as usize;
        let start = if at == 0 { 0 } else { places.locations[at - 1].lines_end as usize };
        let row = &places.locations[at];
        let lines = &places.lines[start..row.lines_end as usize];
        LocationView { mapping: row.mapping, address: row.address, is_folded: row.is_folded, lines }
    }

    fn function(&self, function: u32) -> FunctionView<'_> {
        let places = self.places();
        let row = &places.functions[function as usize];
        let name = self.trees.names.get(self.trees.function_names[function as usize]);
        FunctionView {
            name,
            system_name: row.system_name.map_or(name, |id| places.texts.get(id)),
            filename: places.texts.get(row.filename),
            start_line: row.start_line,
        }
    }

    fn mapping(&self, mapping: u32) -> MappingView<'_> {
        let places = self.places();
        let row = &places.mappings[mapping as usize];
        let has = |bit: u8| row.flags & bit != 0;
        MappingView {
            memory_start: row.memory_start,
            memory_limit: row.memory_limit,
            file_offset: row.file_offset,
            filename: places.texts.get(row.filename),
            build_id: places.texts.get(row.build_id),
            has_functions: has(mapping_flag::FUNCTIONS),
            has_filenames: has(mapping_flag::FILENAMES),
            has_line_numbers: has(mapping_flag::LINE_NUMBERS),
            has_inline_frames: has(mapping_flag::INLINE_FRAMES),
        }
    }
}
