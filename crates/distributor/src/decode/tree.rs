//! Binary prefix trees: `trie`, whose nodes are bytes of folded stacks, and `tree`, whose nodes are frames
//! (contract `ingest.md` section 4.3). Records `varint(len) name varint(value) varint(children)`, parents first.

use flamelake_pprof::reader::Reader;

use crate::decode::stacks::{ROOT, Stacks};
use crate::decode::{DecodeLimits, Refused};

/// Bytes of all keys of a trie: a small body can repeat a long prefix many times.
const TRIE_KEY_BYTES_MAX: usize = 256 << 20;

/// One record.
struct Record<'a> {
    name: &'a [u8],
    value: u64,
    children: u64,
}

fn record<'a>(reader: &mut Reader<'a>, limits: Option<DecodeLimits>) -> Result<Record<'a>, Refused> {
    let fault = |what| Refused::malformed(format!("the body is no tree: {what}"));
    let length = Reader { rest: reader.rest }.varint().map_err(fault)?;
    if let Some(max) = limits.map(|limits| limits.name_bytes_max as u64).filter(|max| length > *max) {
        return Err(Refused::malformed(format!("tree node name length {length} exceeds maximum {max}")));
    }
    let name = reader.bytes().map_err(fault)?;
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

/// A node adds bytes to the key of its parent; a key with a value is a folded stack. The input may end before any node.
pub(crate) fn trie(body: &[u8], limits: DecodeLimits) -> Result<Stacks, Refused> {
    let mut stacks = Stacks::new(limits, body.len());
    let mut reader = Reader::new(body);
    let (mut key, mut key_bytes) = (Vec::new(), 0_usize);
    // Bytes of a key, and how many children of its node are not read yet.
    let mut open: Vec<(usize, u64)> = vec![(0, 1)];
    while let Some((length, left)) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        if reader.is_empty() {
            break;
        }
        *left -= 1;
        key.truncate(*length);
        let record = record(&mut reader, None)?;
        key.extend_from_slice(record.name);
        if record.value > 0 {
            key_bytes = key_bytes.saturating_add(key.len());
            if key_bytes > TRIE_KEY_BYTES_MAX {
                return Err(Refused::malformed(format!(
                    "the keys of the trie hold more than {TRIE_KEY_BYTES_MAX} bytes"
                )));
            }
            stacks.add_folded(&key, value(record.value))?;
        }
        if record.children > 0 {
            open.push((key.len(), record.children));
        }
    }
    Ok(stacks)
}

fn value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
