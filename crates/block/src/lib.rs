//! The block: flat Parquet tables of one tenant's rows with their symbols, and `block.json` (docs/formats/block.md).
//!
//! Sole owner of the layout. Knows nothing of queries, catalogs or the wire.

pub mod meta;
pub mod rows;
pub mod writer;
pub mod reader;
pub mod verify;
pub mod pause;
mod table;
mod checksum;
