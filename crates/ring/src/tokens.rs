//! Tokens are chosen, not drawn: a member that joins cuts its fair share out of the shares of the others.
//!
//! A token owns the keys from the one before it (exclusive) to itself (inclusive). Each new token is put into the largest range of the member
//! with the largest share and takes the front of it, so that after all of them the new member owns 1/n and nobody else gained a key.
//! Why: `docs/decisions/0005-own-token-ring.md`.

use std::collections::BinaryHeap;

use crate::member::{Member, TOKENS_MAX};

/// Keys on the circle.
pub(crate) const CIRCLE: u64 = 1 << 32;

/// Tokens for `joining`, ascending: those it has, trimmed or filled up to `count`, beside those of `others` (in any order, `joining` left out).
///
/// Fewer than `count` only when the circle is full.
pub fn choose_tokens(joining: &str, kept: &[u32], count: usize, others: &[&Member]) -> Vec<u32> {
    let count = count.clamp(1, TOKENS_MAX);
    let mut kept = trimmed(kept, count);
    let seed = xxhash_rust::xxh3::xxh3_64(joining.as_bytes());
    let mut all: Vec<(u32, usize)> = Vec::new();
    for (owner, member) in others.iter().enumerate() {
        all.extend(member.tokens.iter().map(|token| (*token, owner)));
    }
    if all.is_empty() {
        return if kept.len() == count { kept } else { evenly(count, seed) };
    }
    let mine = others.len();
    all.extend(kept.iter().map(|token| (*token, mine)));
    all.sort_unstable();
    all.dedup_by_key(|(token, _)| *token);
    let owners = others.iter().filter(|member| !member.tokens.is_empty()).count() as u64;
    let mut shares = Shares::of(&all, mine + 1, seed);
    let mut wanted = (CIRCLE / (owners + 1)).saturating_sub(shares.of_owner[mine]);
    while kept.len() < count {
        let left = (count - kept.len()) as u64;
        let Some((token, took)) = shares.cut(wanted.div_ceil(left).max(1), mine) else { break };
        wanted = wanted.saturating_sub(took);
        kept.push(token);
    }
    kept.sort_unstable();
    kept
}

/// Leaves out some, spread evenly.
fn trimmed(kept: &[u32], count: usize) -> Vec<u32> {
    if kept.len() <= count {
        return kept.to_vec();
    }
    (0..count).map(|index| kept[index * kept.len() / count]).collect()
}

/// The first member: equal ranges from a start of its own.
fn evenly(count: usize, seed: u64) -> Vec<u32> {
    let start = (seed >> 32) as u32;
    let mut tokens: Vec<u32> =
        (0..count as u64).map(|index| start.wrapping_add((index * CIRCLE / count as u64) as u32)).collect();
    tokens.sort_unstable();
    tokens
}

/// A range by its length, so that the largest is on top of a heap; ties in an order that differs from joiner to joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    len: u64,
    tie: u64,
    end: u32,
}

/// Who owns how much, the largest first.
struct Shares {
    seed: u64,
    of_owner: Vec<u64>,
    ranges: Vec<BinaryHeap<Range>>,
    /// Share and owner; an entry that is no longer true is skipped.
    largest: BinaryHeap<(u64, u64, usize)>,
}

impl Shares {
    /// `all` ascending and without doubles.
    fn of(all: &[(u32, usize)], owners: usize, seed: u64) -> Self {
        let mut shares = Self {
            seed,
            of_owner: vec![0; owners],
            ranges: vec![BinaryHeap::new(); owners],
            largest: BinaryHeap::new(),
        };
        let mut before = all.last().map_or(0, |(token, _)| *token);
        for (token, owner) in all {
            let len = range_len(before, *token);
            shares.of_owner[*owner] += len;
            let range = shares.range(len, *token);
            shares.ranges[*owner].push(range);
            before = *token;
        }
        for owner in 0..owners {
            shares.note(owner);
        }
        shares
    }

    fn range(&self, len: u64, end: u32) -> Range {
        Range { len, tie: mixed(self.seed ^ u64::from(end)), end }
    }

    fn note(&mut self, owner: usize) {
        self.largest.push((self.of_owner[owner], mixed(self.seed ^ owner as u64), owner));
    }

    /// A token for `mine` that takes up to `want` keys from whoever has most; with how many it took. `None`: nobody has two keys in a row.
    fn cut(&mut self, want: u64, mine: usize) -> Option<(u32, u64)> {
        loop {
            let (share, _, owner) = self.largest.pop()?;
            if owner == mine || share != self.of_owner[owner] {
                continue;
            }
            let Some(range) = self.ranges[owner].pop().filter(|range| range.len > 1) else { continue };
            let took = want.min(range.len - 1);
            let rest = range.len - took;
            self.of_owner[owner] -= took;
            let left = self.range(rest, range.end);
            self.ranges[owner].push(left);
            self.note(owner);
            // The front of the range: what is left ends where it ended.
            return Some((range.end.wrapping_sub(rest as u32), took));
        }
    }
}

/// Keys after `before` up to `token`; the whole circle if they are the same.
pub(crate) fn range_len(before: u32, token: u32) -> u64 {
    match token.wrapping_sub(before) {
        0 => CIRCLE,
        len => u64::from(len),
    }
}

/// Scatters neighbouring numbers (the finisher of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
