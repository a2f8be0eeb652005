//! Symbols of one partition (tenant, service): interned strings, functions, locations, and the two stack trees.
//!
//! A stack is a node of the location tree (a leaf id names the whole stack); every such node points to its node in the tree of
//! function names, which is what flame graphs are made of. Pure data structures: no I/O, no async, no file format.

mod source;
mod table;
mod snapshot;
mod interner;
mod append;

pub use snapshot::SymbolSnapshot;
pub use source::{FunctionView, LineView, LocationView, MappingView, SymbolSource};
pub use table::{NATIVE_BUILD_IDS_MAX, SymbolTable};
