//! The circle of tokens of one role: who owns a key, and who comes next. Immutable; built anew for each snapshot.

use crate::key::RingKey;
use crate::tokens::{CIRCLE, range_len};

/// Members are numbers in the order they were given in.
#[derive(Clone, Debug, Default)]
pub struct TokenRing {
    /// Ascending, without doubles: token and member.
    tokens: Vec<(u32, u32)>,
    /// The zone of each member as a number.
    zones: Vec<u32>,
    zone_count: usize,
}

impl TokenRing {
    /// Of each member its tokens and its zone. Of equal tokens the member that comes first gets it, so give them in the order of their ids.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a [u32], &'a str)>) -> Self {
        let (mut tokens, mut zones, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (own, zone)) in members.into_iter().enumerate() {
            tokens.extend(own.iter().map(|token| (*token, number as u32)));
            let zone_number = names.iter().position(|name| *name == zone).unwrap_or_else(|| {
                names.push(zone);
                names.len() - 1
            });
            zones.push(zone_number as u32);
        }
        tokens.sort_unstable();
        tokens.dedup_by_key(|(token, _)| *token);
        Self { tokens, zones, zone_count: names.len() }
    }

    /// The first usable member at or after the key.
    pub fn first(&self, key: RingKey, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.clockwise(key).find(|member| usable(*member))
    }

    /// Up to `count` different usable members: the one that [`first`](Self::first) names, then its neighbours clockwise.
    ///
    /// With zones in rounds: each takes the next member of every zone. A smaller `count` gives a prefix of a larger one.
    pub fn neighbours(&self, key: RingKey, count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
        let one_zone = self.zone_count <= 1;
        let enough = if one_zone { count } else { usize::MAX };
        let mut seen = vec![false; self.zones.len()];
        let mut found = Vec::new();
        let mut unseen = seen.len();
        for member in self.clockwise(key) {
            if found.len() >= enough || unseen == 0 {
                break;
            }
            if !seen[member] {
                seen[member] = true;
                unseen -= 1;
                if usable(member) {
                    found.push(member);
                }
            }
        }
        if one_zone { found } else { self.in_rounds(found, count) }
    }

    fn in_rounds(&self, mut rest: Vec<usize>, count: usize) -> Vec<usize> {
        let mut picked = Vec::new();
        while !rest.is_empty() && picked.len() < count {
            let mut met = vec![false; self.zone_count];
            rest.retain(|member| {
                let again = std::mem::replace(&mut met[self.zones[*member] as usize], true);
                if !again {
                    picked.push(*member);
                }
                again
            });
        }
        picked.truncate(count);
        picked
    }

    /// Owners of the tokens from the key on, once around; a member comes as often as it has tokens.
    fn clockwise(&self, key: RingKey) -> impl Iterator<Item = usize> {
        let start = self.tokens.partition_point(|(token, _)| *token < key.0);
        self.tokens[start..].iter().chain(&self.tokens[..start]).map(|(_, member)| *member as usize)
    }

    /// The part of the circle that each member owns, from 0 to 1.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0_u64; self.zones.len()];
        for (before, token, member) in self.ranges() {
            shares[member] += range_len(before, token);
        }
        shares.into_iter().map(|share| share as f64 / CIRCLE as f64).collect()
    }

    /// Every range: after which key it begins, with which it ends, and whose it is.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32, usize)> {
        let last = self.tokens.last().map_or(0, |(token, _)| *token);
        let before = std::iter::once(last).chain(self.tokens.iter().map(|(token, _)| *token));
        before.zip(&self.tokens).map(|(before, (token, member))| (before, *token, *member as usize))
    }
}

#[cfg(test)]
mod tests;
