//! PLACEHOLDER compactor
