//! What the query engine and the block writer need of symbols, whether they lie in a head or in a block.

/// A function's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionView<'a> {
    /// Human-readable name.
    pub name: &'a str,
    /// Mangled name.
    pub system_name: &'a str,
    /// Source file.
    pub filename: &'a str,
    /// First line.
    pub start_line: i64,
}

/// One (possibly inlined) frame of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineView {
    /// Function id in the same source.
    pub function: u32,
    /// Line number.
    pub line: i64,
}

/// A place in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationView<'a> {
    /// Mapping id in the same source.
    pub mapping: u32,
    /// Address; 0 for symbolised locations.
    pub address: u64,
    /// Several places folded into one.
    pub is_folded: bool,
    /// Innermost inlined function first.
    pub lines: &'a [LineView],
}

/// A binary. Fields as in pprof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "names are pprof's own")]
pub struct MappingView<'a> {
    pub memory_start: u64,
    pub memory_limit: u64,
    pub file_offset: u64,
    pub filename: &'a str,
    pub build_id: &'a str,
    pub has_functions: bool,
    pub has_filenames: bool,
    pub has_line_numbers: bool,
    pub has_inline_frames: bool,
}

/// Read access to a partition's symbols. Ids are dense from 0.
///
/// Invariants: node 0 of both trees is the root (the empty stack) and its own parent; every other node has a parent with a smaller id,
/// so one pass from the highest id down propagates values. `function_node(stack)` of a location without lines is that of its parent.
pub trait SymbolSource: Send + Sync {
    /// Number of location-tree nodes, root included.
    fn stack_count(&self) -> u32;
    /// Parent (caller side) of a location-tree node.
    fn stack_parent(&self, stack: u32) -> u32;
    /// Location of a node other than the root.
    fn stack_location(&self, stack: u32) -> u32;
    /// Node of the function tree that a stack ends in.
    fn function_node(&self, stack: u32) -> u32;
    /// Number of function-tree nodes, root included.
    fn function_node_count(&self) -> u32;
    /// Parent of a function-tree node.
    fn function_node_parent(&self, node: u32) -> u32;
    /// Name id of a function-tree node other than the root. Equal ids mean equal names; different ids may not share a name.
    fn function_node_name(&self, node: u32) -> u32;
    /// Number of name ids.
    fn name_count(&self) -> u32;
    /// The text of a name id.
    fn name(&self, name: u32) -> &str;
    /// A location.
    fn location(&self, location: u32) -> LocationView<'_>;
    /// A function.
    fn function(&self, function: u32) -> FunctionView<'_>;
    /// A mapping.
    fn mapping(&self, mapping: u32) -> MappingView<'_>;
}
