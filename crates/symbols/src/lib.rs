//! Symbols of one partition (tenant, service): interned strings, functions, locations, and the two stack trees.
//!
//! A stack is a node of the location tree (a leaf id names the whole stack); every such node points to its node in the tree of
//! function names, which is what flame graphs are made of. Pure data structures: no I/O, no async, no file format.
//! PLACEHOLDER bodies: owned by the formats helper.

mod source;
mod table;

pub use source::{FunctionView, LineView, LocationView, MappingView, SymbolSource};
pub use table::{SymbolSnapshot, SymbolTable};
