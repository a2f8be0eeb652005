//! pprof bytes to normalised frames and back. No I/O, no async.
//!
//! The way in, one [`Decoder`] a thread, reused: `decode` (inflate, scan) → `language` → `validate` → `fix_go` → `normalise` →
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
mod profile_writer;
mod dot;

pub use decoder::{Decoder, ProfileStats};
pub use dot::{DOT_NODES_DEFAULT, DOT_SOURCE_NODES, dot};
pub use error::{DecodeError, RejectReason};
pub use language::Language;
pub use merge::{FunctionParts, MappingParts, MappingRef, PprofBuilder, PprofMeta};
pub use profile_writer::{FieldValue, ProfileHead, ProfileWriter, append_field};
pub use series_labels::series_labels;
pub use split::{Split, SplitGroup};
pub use validate::ProfileLimits;
