//! Blocks written and read again: same rows, damage, an old fixture, and another reader of the same files.

mod support;
mod rollups;
mod columns;
mod round_trip;
mod damage;
mod fixture;
mod duckdb;
