//! Source code beside profiles (`vcs.v1.VCSService`): people log in at GitHub, and files and commits are read in their name (`docs/vcs.md`).
//!
//! A person's token lies in that person's session alone, encrypted: nothing is kept here, no role is known, and no other host than the configured
//! ones is called.

mod config;
mod session;
mod repository;
mod source_path;
mod github;
mod service;
mod error;

pub use config::VcsConfig;
pub use error::VcsError;
pub use service::{Vcs, VcsDeps};
