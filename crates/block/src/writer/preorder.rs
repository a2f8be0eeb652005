//! Renumbers a tree in preorder and drops what nobody uses: neighbours in the tree become neighbours on disk, and a subtree is a
//! range of ids.

/// Marks a node that is not kept.
pub(super) const DROPPED: u32 = u32::MAX;

/// A tree by new ids.
pub(super) struct Preorder {
    /// New id of each old node, or [`DROPPED`].
    pub(super) new_of_old: Vec<u32>,
    /// Old id of each new node.
    pub(super) old_of_new: Vec<u32>,
    /// Nodes of each new node's subtree, itself included.
    pub(super) size: Vec<u32>,
    /// New parent of each new node; the root's is itself.
    pub(super) parent: Vec<u32>,
}

impl Preorder {
    /// Keeps the nodes that `kept` marks, their ancestors and the root (node 0). Needs `parent(node) < node`.
    /// Siblings stay in order of their old ids.
    pub(super) fn new(mut kept: Vec<bool>, parent: impl Fn(u32) -> u32) -> Self {
        kept[0] = true;
        let parents: Vec<u32> = (0..kept.len() as u32).map(|node| if node == 0 { 0 } else { parent(node) }).collect();
        let mut subtree = vec![0_u32; kept.len()];
        for old in (0..kept.len()).rev() {
            if !kept[old] {
                continue;
            }
            subtree[old] += 1;
            if old != 0 {
                kept[parents[old] as usize] = true;
                subtree[parents[old] as usize] += subtree[old];
            }
        }
        Self::number(&kept, &parents, &subtree)
    }

    fn number(kept: &[bool], parents: &[u32], subtree: &[u32]) -> Self {
        let count = subtree[0] as usize;
        let mut out = Self {
            new_of_old: vec![DROPPED; kept.len()],
            old_of_new: vec![0; count],
            size: vec![0; count],
            parent: vec![0; count],
        };
        // Where the next child of an old node goes.
        let mut next = vec![0_u32; kept.len()];
        for old in (0..kept.len()).filter(|old| kept[*old]) {
            let slot = &mut next[parents[old] as usize];
            let new = *slot;
            if old != 0 {
                *slot += subtree[old];
                out.parent[new as usize] = out.new_of_old[parents[old] as usize];
            }
            next[old] = new + 1;
            out.new_of_old[old] = new;
            out.old_of_new[new as usize] = old as u32;
            out.size[new as usize] = subtree[old];
        }
        out
    }

    /// Distance of each new node to its parent; 0 for the root.
    pub(super) fn up(&self) -> Vec<u32> {
        self.parent.iter().enumerate().map(|(node, parent)| node as u32 - parent).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.size.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_nodes_and_their_ancestors_get_consecutive_subtrees() {
        // 0 ─┬─ 1 ─┬─ 3
        //    │     └─ 5 (unused)
        //    └─ 2 ─── 4
        let parents = [0, 0, 0, 1, 2, 1];
        let tree = Preorder::new(vec![false, false, false, true, true, false], |node| parents[node as usize]);
        assert_eq!(tree.new_of_old, [0, 1, 3, 2, 4, DROPPED]);
        assert_eq!(tree.old_of_new, [0, 1, 3, 2, 4]);
        assert_eq!(tree.size, [5, 2, 1, 2, 1]);
        assert_eq!(tree.up(), [0, 1, 1, 3, 1]);
    }

    #[test]
    fn an_unused_tree_is_its_root() {
        let tree = Preorder::new(vec![false; 3], |_| 0);
        assert_eq!(tree.len(), 1);
    }
}
