//! Trees of function names with values. PLACEHOLDER: owned by the model helper.

/// An exact (never truncated) tree of function names.
#[derive(Clone, Debug, Default)]
pub struct Tree;
