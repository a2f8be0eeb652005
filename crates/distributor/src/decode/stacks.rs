//! Stacks of named frames with one value each, merged as they come: a tree of frames.

use std::collections::HashMap;

use flamelake_pprof::{DecodeError, ProfileHead, ProfileWriter};

use crate::decode::{DecodeLimits, Refused};

/// The node above all stacks.
pub(crate) const ROOT: u32 = 0;

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    frame: u32,
    depth: u32,
    value: i64,
}

/// See the module. Its memory is bounded by what the message made of it may hold.
#[derive(Debug)]
pub(crate) struct Stacks {
    limits: DecodeLimits,
    nodes: Vec<Node>,
    children: HashMap<(u32, u32), u32>,
    frames: HashMap<Vec<u8>, u32>,
    stacks: usize,
    /// A lower bound of the message's bytes.
    bytes: usize,
}

impl Stacks {
    pub(crate) fn new(limits: DecodeLimits) -> Self {
        let root = Node { parent: ROOT, frame: 0, depth: 0, value: 0 };
        Self { limits, nodes: vec![root], children: HashMap::new(), frames: HashMap::new(), stacks: 0, bytes: 0 }
    }

    /// The node of a frame under another. Past the depth limit it is that other: leaf frames are cut.
    pub(crate) fn child(&mut self, parent: u32, frame: &[u8]) -> Result<u32, DecodeError> {
        let frame = self.frame(frame)?;
        self.child_of(parent, frame)
    }

    /// As [`child`](Self::child), by the number of a frame.
    pub(crate) fn child_of(&mut self, parent: u32, frame: u32) -> Result<u32, DecodeError> {
        let depth = self.nodes[parent as usize].depth + 1;
        if depth as usize > self.limits.depth_max {
            return Ok(parent);
        }
        if let Some(node) = self.children.get(&(parent, frame)) {
            return Ok(*node);
        }
        if self.nodes.len() >= self.limits.bytes_max {
            return Err(self.too_large());
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { parent, frame, depth, value: 0 });
        self.children.insert((parent, frame), node);
        Ok(node)
    }

    /// Adds to the value of the stack that ends in a node. A stack without frames holds nothing.
    pub(crate) fn add(&mut self, node: u32, value: i64) -> Result<(), DecodeError> {
        let Node { depth, value: before, .. } = self.nodes[node as usize];
        if value <= 0 || depth == 0 {
            return Ok(());
        }
        if before == 0 {
            self.stacks += 1;
            self.take(depth as usize + 2)?;
            if self.stacks > self.limits.samples_max {
                return Err(DecodeError::TooManySamples { samples: self.stacks, limit: self.limits.samples_max });
            }
        }
        self.nodes[node as usize].value = before.saturating_add(value);
        Ok(())
    }

    /// Adds a whole stack, root first.
    pub(crate) fn add_stack<'a>(
        &mut self,
        frames: impl Iterator<Item = &'a [u8]>,
        value: i64,
    ) -> Result<(), DecodeError> {
        let mut node = ROOT;
        for frame in frames.take(self.limits.depth_max) {
            node = self.child(node, frame)?;
        }
        self.add(node, value)
    }

    /// The message, values multiplied; `None` if there are none.
    pub(crate) fn into_pprof(self, head: &ProfileHead, factor: i64) -> Result<Option<Vec<u8>>, Refused> {
        if self.stacks == 0 {
            return Ok(None);
        }
        let mut names = vec![&[][..]; self.frames.len()];
        self.frames.iter().for_each(|(name, at)| names[*at as usize] = name);
        let mut writer = ProfileWriter::new(head, self.limits.bytes_max);
        let mut stack = Vec::new();
        // Long names must not be compared for each frame.
        let mut locations = vec![0; names.len()];
        for node in self.nodes.iter().filter(|node| node.value > 0) {
            stack.clear();
            let mut at = *node;
            while at.depth > 0 {
                let location = &mut locations[at.frame as usize];
                if *location == 0 {
                    *location = writer.location(names[at.frame as usize], 0)?;
                }
                stack.push(*location);
                at = self.nodes[at.parent as usize];
            }
            writer.sample(&stack, &[node.value.saturating_mul(factor)], &[])?;
        }
        Ok(Some(writer.finish()))
    }

    /// The number of a frame.
    pub(crate) fn frame(&mut self, name: &[u8]) -> Result<u32, DecodeError> {
        if let Some(frame) = self.frames.get(name) {
            return Ok(*frame);
        }
        self.take(name.len() + 2)?;
        let frame = self.frames.len() as u32;
        self.frames.insert(name.to_vec(), frame);
        Ok(frame)
    }

    fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.bytes += bytes;
        if self.bytes > self.limits.bytes_max { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> DecodeError {
        DecodeError::TooLarge { limit: self.limits.bytes_max }
    }
}
