//! Text: `groups` (folded, collapsed), lines `a;b;c 3`, and `lines`, where each line is a stack that counts one.

use crate::decode::stacks::Stacks;
use crate::decode::{DecodeLimits, Refused};

/// A line of `lines` may be this long.
const LINE_BYTES_MAX: usize = 64 << 10;

/// `<stack> <count>` a line; lines without a space are skipped.
pub(crate) fn groups(body: &[u8], limits: DecodeLimits) -> Result<Stacks, Refused> {
    let mut stacks = Stacks::new(limits, body.len());
    for (at, line) in lines(body) {
        let Some(space) = memchr::memrchr(b' ', line) else { continue };
        let value = count(&line[space + 1..]).map_err(|what| Refused::malformed(format!("line {at}: {what}")))?;
        stacks.add_folded(&line[..space], value)?;
    }
    Ok(stacks)
}

/// A stack a line; blank lines are skipped.
pub(crate) fn each_line(body: &[u8], limits: DecodeLimits) -> Result<Stacks, Refused> {
    let mut stacks = Stacks::new(limits, body.len());
    for (at, line) in lines(body) {
        if line.len() > LINE_BYTES_MAX {
            return Err(Refused::malformed(format!("line {at} is longer than {LINE_BYTES_MAX} bytes")));
        }
        if !line.is_empty() {
            stacks.add_folded(line, 1)?;
        }
    }
    Ok(stacks)
}

/// Numbered from 1.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(body).filter(|body| !body.is_empty());
    let next = move || {
        let all = rest?;
        let (line, after) = match memchr::memchr(b'\n', all) {
            Some(end) => (&all[..end], Some(&all[end + 1..])),
            None => (all, None),
        };
        rest = after;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    };
    (1..).zip(std::iter::from_fn(next))
}

fn count(text: &[u8]) -> Result<i64, String> {
    let shown = || String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned();
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    number.ok_or_else(|| format!("{:?} is no count; write a whole number after the last space", shown()))
}
