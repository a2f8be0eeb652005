//! The compact form in which servers hand partial trees to each other: exact, every name once, a few bytes a node.
//!
//! ```text
//! version (1 byte) = 1
//! varint(names) then per name: varint(length) bytes          names in the order of their first node
//! varint(nodes) then per node: varint(up) varint(name) varint(zigzag(self))
//! ```
//!
//! Nodes stand in pre-order without the virtual root. `up` says how many levels lie between the node before and this node's
//! parent: 0 = child of the node before, 1 = its sibling. Nodes without any value at or below them are left out.
//! Not compressed: that is the transport's matter.

use super::varint::{Reader, put_varint};
use super::{ROOT, Tree, TreeDecodeError};

/// The first byte.
const VERSION: u8 = 1;
const NONE: u32 = u32::MAX;

impl Tree {
    /// Bytes that [`Tree::decode`] reads back to an equal tree.
    pub fn encode(&self) -> Vec<u8> {
        let (mut nodes, mut names, mut name_count, mut node_count) = (Vec::new(), Vec::new(), 0_u32, 0_u64);
        let mut name_refs = vec![NONE; self.names.len()];
        let mut depth_before = 0_usize;
        self.walk_live(|node, depth| {
            let name = &mut name_refs[self.nodes[node].name as usize];
            if *name == NONE {
                *name = name_count;
                name_count += 1;
                let text = self.name_of(node as u32);
                put_varint(&mut names, text.len() as u64);
                names.extend_from_slice(text.as_bytes());
            }
            put_varint(&mut nodes, (depth_before + 1 - depth) as u64);
            put_varint(&mut nodes, u64::from(*name));
            put_varint(&mut nodes, zigzag(self.nodes[node].value));
            depth_before = depth;
            node_count += 1;
        });
        let mut bytes = Vec::with_capacity(names.len() + nodes.len() + 16);
        bytes.push(VERSION);
        put_varint(&mut bytes, u64::from(name_count));
        bytes.append(&mut names);
        put_varint(&mut bytes, node_count);
        bytes.append(&mut nodes);
        bytes
    }

    /// Reads what [`Tree::encode`] wrote. Any bytes are safe: memory is bounded by a small multiple of their length.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeDecodeError> {
        let mut tree = Self::default();
        tree.merge_encoded(bytes)?;
        Ok(tree)
    }

    /// Adds an encoded tree without building it first. On an error the tree is as it was.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), TreeDecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(reader.error("its version is unknown"));
        }
        let mut names = Vec::with_capacity(reader.clone().count(1)?);
        for _ in 0..reader.count(1)? {
            names.push(reader.text()?);
        }
        let mut nodes = Vec::with_capacity(reader.clone().count(3)?);
        let mut path = vec![ROOT];
        for _ in 0..reader.count(3)? {
            let up = reader.varint()?;
            let depth = usize::try_from(up).ok().and_then(|up| path.len().checked_sub(up)).filter(|depth| *depth > 0);
            path.truncate(depth.ok_or_else(|| reader.error("a node lies above the root"))?);
            let name = u32::try_from(reader.varint()?).ok().filter(|name| (*name as usize) < names.len());
            let name = name.ok_or_else(|| reader.error("a node has an unknown name"))?;
            let id = nodes.len() as u32 + 1;
            nodes.push((id, path[path.len() - 1], name, unzigzag(reader.varint()?)));
            path.push(id);
        }
        if reader.left() > 0 {
            return Err(reader.error("bytes follow its end"));
        }
        self.merge_named(nodes.into_iter(), |name| names[name as usize]);
        Ok(())
    }

    /// Visits nodes with a value at or below them in pre-order, with their depth; the root's children have 1.
    fn walk_live(&self, mut visit: impl FnMut(usize, usize)) {
        let live = self.live();
        // Children as linked lists: filled from the back, so that each list ascends.
        let (mut first, mut next) = (vec![NONE; self.nodes.len()], vec![NONE; self.nodes.len()]);
        for at in (1..self.nodes.len()).rev().filter(|at| live[*at]) {
            let head = &mut first[self.nodes[at].parent as usize];
            next[at] = *head;
            *head = at as u32;
        }
        let mut path = vec![first[ROOT as usize]];
        while let Some(node) = path.last_mut() {
            let at = *node as usize;
            if *node == NONE {
                path.pop();
                continue;
            }
            *node = next[at];
            visit(at, path.len());
            path.push(first[at]);
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
