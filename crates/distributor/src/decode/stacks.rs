//! Stacks of named frames with one value each, merged as they come: a tree of frames.

use flamelake_pprof::{DecodeError, ProfileHead, Tables, TablesBuilder};
use hashbrown::HashMap;

use crate::decode::{DecodeLimits, Refused};

/// The node above all stacks.
pub(crate) const ROOT: u32 = 0;
/// So many children of a node hang in a list, where most nodes have all of theirs; the others are found by hash.
const LISTED_MAX: usize = 8;
/// Bytes of text for each frame that room is made for, and the most frames that is done for.
const FRAME_BYTES: usize = 40;
const FRAMES_RESERVED_MAX: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    frame: u32,
    depth: u32,
    /// The first of the listed children, and the next in the list that this node is in; the root is nobody's child and ends it.
    child: u32,
    sibling: u32,
    value: i64,
}

/// See the module. Its memory is bounded by what the profile made of it may hold.
#[derive(Debug)]
pub(crate) struct Stacks {
    limits: DecodeLimits,
    nodes: Vec<Node>,
    /// Those that are not listed, by parent and frame.
    children: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    tables: TablesBuilder,
    stacks: usize,
    /// Locations of all stacks.
    locations: usize,
    /// The stack that was added last, and where each of its frames ends, with its node: the next often starts like it.
    last: Vec<u8>,
    last_nodes: Vec<(usize, u32)>,
}

impl Stacks {
    /// For a body of so many bytes.
    pub(crate) fn new(limits: DecodeLimits, body: usize) -> Self {
        let mut tables = TablesBuilder::new(limits.bytes_max);
        let frames = (body / FRAME_BYTES).min(FRAMES_RESERVED_MAX);
        tables.reserve(frames, frames * FRAME_BYTES);
        let mut nodes = Vec::with_capacity(frames + 1);
        nodes.push(Node { parent: ROOT, frame: 0, depth: 0, child: ROOT, sibling: ROOT, value: 0 });
        Self {
            limits,
            nodes,
            children: HashMap::default(),
            tables,
            stacks: 0,
            locations: 0,
            last: Vec::new(),
            last_nodes: Vec::new(),
        }
    }

    /// The node of a frame under another. Past the depth limit it is that other: leaf frames are cut.
    pub(crate) fn child(&mut self, parent: u32, frame: &[u8]) -> Result<u32, DecodeError> {
        let frame = self.frame(frame)?;
        self.child_of(parent, frame)
    }

    /// As [`child`](Self::child), by the number of a frame.
    pub(crate) fn child_of(&mut self, parent: u32, frame: u32) -> Result<u32, DecodeError> {
        let Node { depth, child, .. } = self.nodes[parent as usize];
        if depth as usize >= self.limits.depth_max {
            return Ok(parent);
        }
        let (mut at, mut listed) = (child, 0);
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if node.frame == frame {
                return Ok(at);
            }
            (at, listed) = (node.sibling, listed + 1);
        }
        if listed == LISTED_MAX
            && let Some(node) = self.children.get(&(parent, frame))
        {
            return Ok(*node);
        }
        if self.nodes.len() >= self.limits.bytes_max {
            return Err(self.too_large());
        }
        let new = self.nodes.len() as u32;
        let mut node = Node { parent, frame, depth: depth + 1, child: ROOT, sibling: ROOT, value: 0 };
        if listed < LISTED_MAX {
            node.sibling = child;
            self.nodes[parent as usize].child = new;
        } else {
            self.children.insert((parent, frame), new);
        }
        self.nodes.push(node);
        Ok(new)
    }

    /// Adds to the value of the stack that ends in a node. A stack without frames holds nothing.
    pub(crate) fn add(&mut self, node: u32, value: i64) -> Result<(), DecodeError> {
        let Node { depth, value: before, .. } = self.nodes[node as usize];
        if value <= 0 || depth == 0 {
            return Ok(());
        }
        if before == 0 {
            self.stacks += 1;
            self.locations += depth as usize;
            if self.locations > self.limits.bytes_max {
                return Err(self.too_large());
            }
            if self.stacks > self.limits.samples_max {
                return Err(DecodeError::TooManySamples { samples: self.stacks, limit: self.limits.samples_max });
            }
        }
        self.nodes[node as usize].value = before.saturating_add(value);
        Ok(())
    }

    /// Adds a whole stack, root first, frames separated by `;`.
    pub(crate) fn add_folded(&mut self, stack: &[u8], value: i64) -> Result<(), DecodeError> {
        let same = common_prefix(&self.last, stack);
        // A frame is the same one if it ends at a separator, or at the end, of both.
        let ends_at = |text: &[u8], end: usize| text.get(end).is_none_or(|byte| *byte == b';');
        let mut known = self.last_nodes.partition_point(|(end, _)| *end <= same);
        if known > 0 && !ends_at(stack, self.last_nodes[known - 1].0) {
            known -= 1;
        }
        self.last_nodes.truncate(known);
        let (mut start, mut node) = self.last_nodes.last().map_or((0, ROOT), |(end, node)| (end + 1, *node));
        while start <= stack.len() && self.last_nodes.len() < self.limits.depth_max {
            let rest = &stack[start..];
            let end = start + memchr::memchr(b';', rest).unwrap_or(rest.len());
            node = self.child(node, &stack[start..end])?;
            self.last_nodes.push((end, node));
            start = end + 1;
        }
        self.last.truncate(same);
        self.last.extend_from_slice(&stack[same..]);
        self.add(node, value)
    }

    /// The profile, values multiplied; `None` if there are none.
    pub(crate) fn into_tables(mut self, head: &ProfileHead, factor: i64) -> Result<Option<Tables>, Refused> {
        if self.stacks == 0 {
            return Ok(None);
        }
        self.tables.reserve_samples(self.stacks, self.locations);
        let mut stack = Vec::new();
        for node in self.nodes.iter().filter(|node| node.value > 0) {
            stack.clear();
            let mut at = *node;
            while at.depth > 0 {
                stack.push(u64::from(at.frame));
                at = self.nodes[at.parent as usize];
            }
            let value = node.value.saturating_mul(factor);
            self.tables.sample(stack.iter().copied(), &[value], std::iter::empty())?;
        }
        Ok(Some(self.tables.finish(head)?))
    }

    /// The number of a frame.
    pub(crate) fn frame(&mut self, name: &[u8]) -> Result<u32, DecodeError> {
        // As many as there may be bytes: never more than 32 bits count.
        self.tables.location(name, 0).map(|frame| frame as u32)
    }

    fn too_large(&self) -> DecodeError {
        DecodeError::TooLarge { limit: self.limits.bytes_max }
    }
}

/// How many bytes two texts begin with in common.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STRIDE: usize = 16;
    let strides = a.chunks_exact(STRIDE).zip(b.chunks_exact(STRIDE)).take_while(|(a, b)| a == b).count() * STRIDE;
    strides + a[strides..].iter().zip(&b[strides..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::limits;

    fn nodes(stacks: &[&str]) -> Vec<u32> {
        let mut tree = Stacks::new(limits(), 0);
        stacks
            .iter()
            .map(|stack| {
                tree.add_folded(stack.as_bytes(), 1).unwrap();
                tree.last_nodes.last().map_or(ROOT, |(_, node)| *node)
            })
            .collect()
    }

    #[test]
    fn stacks_that_start_alike_share_their_nodes() {
        assert_eq!(nodes(&["a;b;c", "a;b;d", "a;bc", "a;b", "a", "ab;b", "a;b;c"]), [3, 4, 5, 2, 1, 7, 3]);
        assert_eq!(nodes(&["", "a", "", ";a", ";;"]), [1, 2, 1, 3, 5]);
        let names: Vec<String> = (0..3 * LISTED_MAX).map(|at| at.to_string()).collect();
        let wide: Vec<&str> = names.iter().chain(&names).map(String::as_str).collect();
        let expected: Vec<u32> = (1..=names.len() as u32).collect();
        assert_eq!(nodes(&wide), expected.repeat(2));
        let long = "f".repeat(40);
        assert_eq!(nodes(&[&format!("{long};x"), &format!("{long};y"), &format!("{long}x"), &long]), [2, 3, 4, 1]);
    }
}
