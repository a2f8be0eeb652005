//! Tree bytes (contract `query.md` section 6): nodes in pre-order, siblings last to first, self values only.

use super::TreeView;

impl TreeView<'_> {
    /// The public byte form; no bytes for an empty tree.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.nodes().len() == 1 {
            return bytes;
        }
        let mut stack = vec![0_usize];
        while let Some(at) = stack.pop() {
            let node = &self.nodes()[at];
            put_varint(&mut bytes, node.name.len() as u64);
            bytes.extend_from_slice(node.name.as_bytes());
            put_varint(&mut bytes, node.value as u64);
            put_varint(&mut bytes, u64::from(node.children_len));
            stack.extend(self.by_name(at));
        }
        bytes
    }

    /// Children in plain order of name bytes: here `other` has no place of its own.
    fn by_name(&self, at: usize) -> Vec<usize> {
        let mut children: Vec<usize> = self.child_indexes(at).collect();
        children.sort_by(|left, right| self.nodes()[*left].name.cmp(self.nodes()[*right].name));
        children
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
