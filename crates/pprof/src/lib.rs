//! pprof bytes to normalised frames and back. No I/O, no async.
//!
//! The way in, one [`Decoder`] a thread, reused: `decode` (inflate, scan), or `take` for [`Tables`] of other formats → `language` → `validate` → `fix_go` → `normalise` →
//! `split` → `into_frames`. The way out: [`PprofBuilder`].

mod error;
mod texts;
pub mod inflate;
pub mod reader;
pub mod scan;
mod validate;
mod language;
mod id_map;
mod go_fixes;
mod normalise;
mod split;
mod decoder;
pub mod frame;
mod series_labels;
mod write;
mod merge;
mod truncate;
mod tables;
mod append;
mod dot;

pub use append::{FieldValue, append_field};
pub use decoder::{Decoder, ProfileStats};
pub use dot::{DOT_NODES_DEFAULT, DOT_SOURCE_NODES, dot};
pub use error::{DecodeError, RejectReason};
pub use language::Language;
pub use merge::{FunctionParts, MappingParts, MappingRef, PprofBuilder, PprofMeta};
pub use series_labels::series_labels;
pub use split::{Split, SplitGroup};
pub use tables::{FunctionRow, Known, MappingRow, ProfileHead, Tables, TablesBuilder};
pub use validate::ProfileLimits;
