//! Debug information of native programs: uploads become tables of names, and queries name addresses by them
//! (`docs/formats/debuginfo.md`).

mod address;
mod build_id;
mod config;
mod convert;
mod debuginfod;
mod error;
mod http;
mod metrics;
mod overlay;
mod rpc;
mod source;
mod store;
mod symboliser;
mod table;
mod upload;

pub use config::SymbolizerConfig;
pub use convert::build_id_of;
pub use debuginfod::Debuginfod;
pub use source::Symbolised;
pub use symboliser::{Symboliser, SymboliserDeps};
pub use upload::Uploads;

#[doc(hidden)]
pub use convert::{Converted, convert};
