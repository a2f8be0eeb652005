//! Binary prefix trees: `trie`, whose nodes are bytes of folded stacks, and `tree`, whose nodes are frames
//! (contract `ingest.md` section 4.3). Records `varint(len) name varint(value) varint(children)`, parents first.

use flamelake_pprof::reader::Reader;

use crate::decode::stacks::{ROOT, Stacks};
use crate::decode::{DecodeLimits, Refused};

/// Bytes of all frames looked up for a trie: a small body can end a long frame in many ways.
const TRIE_FRAME_BYTES_MAX: usize = 256 << 20;

/// One record.
struct Record<'a> {
    name: &'a [u8],
    value: u64,
    children: u64,
}

fn record<'a>(reader: &mut Reader<'a>, limits: Option<DecodeLimits>) -> Result<Record<'a>, Refused> {
    let fault = |what| Refused::malformed(format!("the body is no tree: {what}"));
    let length = reader.varint().map_err(fault)?;
    if let Some(max) = limits.map(|limits| limits.name_bytes_max as u64).filter(|max| length > *max) {
        return Err(Refused::malformed(format!("tree node name length {length} exceeds maximum {max}")));
    }
    let name = reader.take(length).map_err(fault)?;
    let value = reader.varint().map_err(fault)?;
    let children = reader.varint().map_err(fault)?;
    if let Some(max) = limits.map(|limits| limits.samples_max as u64).filter(|max| children > *max) {
        return Err(Refused::malformed(format!("tree node children count {children} exceeds maximum {max}")));
    }
    Ok(Record { name, value, children })
}

/// A node is a frame. The root's own value is not looked at, nor is what follows the last node.
pub(crate) fn tree(body: &[u8], limits: DecodeLimits) -> Result<Stacks, Refused> {
    let mut stacks = Stacks::new(limits, body.len());
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Ok(stacks);
    }
    // Nodes whose children are not all read yet. Past the depth limit children are their parents, so one a level is kept all the same.
    let mut open = vec![(ROOT, record(&mut reader, Some(limits))?.children)];
    while let Some((parent, left)) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let parent = *parent;
        let record = record(&mut reader, Some(limits))?;
        let node = stacks.child(parent, record.name)?;
        stacks.add(node, value(record.value))?;
        if record.children > 0 {
            open.push((node, record.children));
        }
    }
    Ok(stacks)
}

/// A node of a trie whose children are not all read yet.
struct Open {
    /// Bytes of its key, and of those that frames with a `;` behind them take.
    key: usize,
    whole: usize,
    /// The last of these frames.
    node: u32,
    children: u64,
}

/// A node adds bytes to the key of its parent, and may end anywhere in a frame; a key with a value is a folded stack. The input may end
/// before any node.
pub(crate) fn trie(body: &[u8], limits: DecodeLimits) -> Result<Stacks, Refused> {
    let mut stacks = Stacks::new(limits, body.len());
    let mut reader = Reader::new(body);
    let mut looked_up = 0_usize;
    let mut child = |stacks: &mut Stacks, node: u32, frame: &[u8]| {
        looked_up = looked_up.saturating_add(frame.len());
        if looked_up > TRIE_FRAME_BYTES_MAX {
            let text = format!("the frames of the trie hold more than {TRIE_FRAME_BYTES_MAX} bytes");
            return Err(Refused::malformed(text));
        }
        Ok(stacks.child(node, frame)?)
    };
    let mut key = Vec::new();
    let mut open = vec![Open { key: 0, whole: 0, node: ROOT, children: 1 }];
    while let Some(parent) = open.last_mut() {
        if parent.children == 0 {
            open.pop();
            continue;
        }
        if reader.is_empty() {
            break;
        }
        parent.children -= 1;
        key.truncate(parent.key);
        let (mut whole, mut node) = (parent.whole, parent.node);
        let record = record(&mut reader, None)?;
        key.extend_from_slice(record.name);
        let mut at = 0;
        while let Some(end) = next_separator(record.name, at) {
            node = child(&mut stacks, node, &key[whole..parent.key + end])?;
            at = end + 1;
            whole = parent.key + at;
        }
        if record.value > 0 {
            let leaf = child(&mut stacks, node, &key[whole..])?;
            stacks.add(leaf, value(record.value))?;
        }
        if record.children > 0 {
            open.push(Open { key: key.len(), whole, node, children: record.children });
        }
    }
    Ok(stacks)
}

/// Where a frame ends at or behind a place: mostly right there, where a node is a frame.
fn next_separator(name: &[u8], at: usize) -> Option<usize> {
    let rest = name.get(at..)?;
    if rest.first() == Some(&b';') { Some(at) } else { memchr::memchr(b';', rest).map(|found| at + found) }
}

fn value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
