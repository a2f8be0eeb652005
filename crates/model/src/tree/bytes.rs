//! Tree bytes (contract `query.md` section 6): nodes in pre-order, siblings last to first, self values only.

use super::varint::{Reader, put_varint};
use super::{OTHER, ROOT, Tree, TreeDecodeError, TreeView};

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
            self.push_by_name(at, &mut stack);
        }
        bytes
    }

    /// Children in plain order of name bytes: here `other`, drawn last, has no place of its own.
    fn push_by_name(&self, at: usize, stack: &mut Vec<usize>) {
        let children = self.child_indexes(at);
        let base = stack.len();
        stack.extend(children.clone());
        if children.clone().next_back().is_some_and(|last| self.nodes()[last].name == OTHER) {
            let place = self.nodes()[children].partition_point(|node| node.name < OTHER);
            // Right of its place all are greater up to `other` itself, which was put last.
            stack[base + place..].rotate_right(1);
        }
    }
}

impl Tree {
    /// Reads tree bytes. Fewer than two bytes are an empty tree; siblings may stand in any order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeDecodeError> {
        let mut tree = Self::default();
        if bytes.len() < 2 {
            return Ok(tree);
        }
        let mut reader = Reader::new(bytes);
        let (_, _, children) = node(&mut reader)?;
        // Ancestors that still miss children.
        let mut path = vec![(ROOT, children)];
        while let Some((parent, missing)) = path.last_mut() {
            if *missing == 0 {
                path.pop();
                continue;
            }
            *missing -= 1;
            let parent = *parent;
            let (name, value, children) = node(&mut reader)?;
            let name = tree.names.intern(name);
            let own = tree.child(parent, name);
            tree.add_value(own, value);
            path.push((own, children));
        }
        if reader.left() > 0 {
            return Err(reader.error("bytes follow its end"));
        }
        Ok(tree)
    }
}

/// Name, self value and number of children, each of which takes three bytes at least.
fn node<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, i64, usize), TreeDecodeError> {
    Ok((reader.text()?, reader.varint()? as i64, reader.count(3)?))
}
