//! The growing table of a head partition and its immutable snapshots. PLACEHOLDER.

use flamelake_pprof::frame::Frame;

/// Append-only symbols of one partition.
#[derive(Debug, Default)]
pub struct SymbolTable;

impl SymbolTable {
    /// An empty table.
    pub fn new() -> Self {
        Self
    }

    /// Interns everything that the frame's stacks use; `out[i]` becomes the id of the frame's stack `i`.
    pub fn intern(&mut self, _frame: &Frame, _out: &mut Vec<u32>) {
        unimplemented!()
    }

    /// A view of the table as it is now: cheap (shares chunks), never changes, holds up no writer.
    pub fn snapshot(&self) -> SymbolSnapshot {
        unimplemented!()
    }

    /// Location-tree nodes, for the growth guard.
    pub fn stack_count(&self) -> u32 {
        unimplemented!()
    }

    /// Memory held, approximately.
    pub fn memory_bytes(&self) -> usize {
        unimplemented!()
    }
}

/// An immutable view of a [`SymbolTable`]. Implements [`crate::SymbolSource`].
#[derive(Clone, Debug)]
pub struct SymbolSnapshot;
