//! PLACEHOLDER journal
