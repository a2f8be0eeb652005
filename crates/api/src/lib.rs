//! The wire: code generated from `proto/`, its conversions to and from `model`, and the traits that roles meet through.
//!
//! Nothing else: no sockets, no logic.

pub mod roles;
