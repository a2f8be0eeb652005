//! The call-site filter: which function nodes lie at or below a path of names.
//!
//! The path is resolved once per partition, in one pass over the function tree; afterwards a stack is tested by one look-up of its
//! function node. Names are compared only along the path.

use flamelake_symbols::SymbolSource;

/// Which function nodes belong to the call site.
pub(crate) enum CallSite {
    /// No filter.
    Everything,
    /// One entry a function node.
    Below(Vec<bool>),
}

impl CallSite {
    /// Resolves a path, root first. An empty path is no filter.
    pub(crate) fn resolve(symbols: &dyn SymbolSource, path: &[String]) -> Self {
        if path.is_empty() {
            return Self::Everything;
        }
        // How many names of the path lead to the node, or -1 when another name was met.
        let mut matched: Vec<i32> = vec![-1; symbols.function_node_count() as usize];
        if let Some(root) = matched.first_mut() {
            *root = 0;
        }
        let whole = i32::try_from(path.len()).unwrap_or(i32::MAX);
        for node in 1..symbols.function_node_count() {
            let above = matched[symbols.function_node_parent(node) as usize];
            matched[node as usize] = match above {
                -1 => -1,
                _ if above == whole => whole,
                _ if symbols.name(symbols.function_node_name(node)) == path[above as usize] => above + 1,
                _ => -1,
            };
        }
        Self::Below(matched.into_iter().map(|count| count == whole).collect())
    }

    /// Does a stack that ends in this function node pass?
    pub(crate) fn takes(&self, function_node: u32) -> bool {
        match self {
            Self::Everything => true,
            Self::Below(below) => below.get(function_node as usize).copied().unwrap_or(false),
        }
    }

    /// No stack at all can pass.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Below(below) if !below.contains(&true))
    }
}
