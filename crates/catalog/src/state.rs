//! What a catalog says at one version, and which commits are valid on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, LogRange, Ulid, with_checksum};
use serde::{Deserialize, Serialize};

use crate::commit::{Commit, FORMAT, StoredCommit, check_format};

/// See the module. Version 0 is the empty catalog that every tenant starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogState {
    /// How many commits lie behind it.
    pub version: u64,
    /// Live blocks.
    pub blocks: BTreeMap<Ulid, Arc<BlockMeta>>,
    /// Watermarks: rows of log `<ingester>/<epoch>` up to and including this `seq` lie in blocks. Absent = 0.
    pub covered: BTreeMap<String, u64>,
    /// No block with an id at or below it can be added.
    pub floor: Ulid,
    /// Blocks removed lately, with the Unix milliseconds of their removal; their files are still there.
    pub removed: BTreeMap<Ulid, i64>,
    /// Rows below a watermark that no known block holds: their commit was lost, and so was their block.
    pub lost: Vec<LogRange>,
}

impl Default for CatalogState {
    fn default() -> Self {
        Self {
            version: 0,
            blocks: BTreeMap::new(),
            covered: BTreeMap::new(),
            floor: Ulid::nil(),
            removed: BTreeMap::new(),
            lost: Vec::new(),
        }
    }
}

/// Why a commit is not valid on a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommit {
    /// A block to remove is not live: somebody else removed it.
    #[error("block {block} to be removed is not live")]
    NotLive {
        /// The block.
        block: Ulid,
    },
    /// A block to add is live already.
    #[error("block {block} to be added is live already")]
    Live {
        /// The block.
        block: Ulid,
    },
    /// A block came so late that the sweeper may have taken it for garbage: build it again.
    #[error("block {block} to be added lies below the floor {floor}: build it again")]
    BelowFloor {
        /// The block.
        block: Ulid,
        /// The floor.
        floor: Ulid,
    },
    /// The watermark is not where the commit starts.
    #[error("log {log} is covered up to {at}, the commit covers it from {from} to {to}")]
    Watermark {
        /// `<ingester>/<epoch>`.
        log: String,
        /// The watermark.
        at: u64,
        /// Where the commit starts.
        from: u64,
        /// Where it ends.
        to: u64,
    },
}

impl CatalogState {
    /// The watermark of a log, 0 if there is none.
    pub fn covered_of(&self, log: &str) -> u64 {
        self.covered.get(log).copied().unwrap_or(0)
    }

    /// Is this commit valid here?
    pub fn check(&self, commit: &Commit) -> Result<(), InvalidCommit> {
        for (log, (from, to)) in &commit.covered {
            let at = self.covered_of(log);
            if at != *from || from >= to {
                return Err(InvalidCommit::Watermark { log: log.clone(), at, from: *from, to: *to });
            }
        }
        for block in &commit.remove {
            if !self.blocks.contains_key(block) {
                return Err(InvalidCommit::NotLive { block: *block });
            }
        }
        let floor = self.floor.max(commit.floor.unwrap_or(Ulid::nil()));
        for block in commit.add.iter().map(|meta| meta.ulid) {
            if block <= floor {
                return Err(InvalidCommit::BelowFloor { block, floor });
            }
            if self.blocks.contains_key(&block) {
                return Err(InvalidCommit::Live { block });
            }
        }
        Ok(())
    }

    /// Takes the step to the next version. The commit is checked, and must be the next one.
    pub(crate) fn apply(&mut self, stored: &StoredCommit) -> Result<(), String> {
        if stored.version != self.version + 1 {
            return Err(format!("it says version {}, its name says {}", stored.version, self.version + 1));
        }
        self.check(&stored.commit).map_err(|invalid| invalid.to_string())?;
        self.take(stored);
        Ok(())
    }

    /// Takes a step that may not fit, because the one before it was lost: what it adds is live, what it removes is not, watermarks
    /// never sink. Rows that only the lost one covered are noted as lost until a block turns up that holds them.
    pub(crate) fn apply_behind_damage(&mut self, stored: &StoredCommit) {
        let mut stored = stored.clone();
        for (log, (from, to)) in &mut stored.commit.covered {
            let at = self.covered_of(log);
            if *from > at {
                self.lost.push(LogRange { log: log.clone(), from: at, to: *from });
            }
            *to = at.max(*to);
        }
        self.take(&stored);
    }

    /// Makes a block live whose commit was lost.
    pub(crate) fn rescue(&mut self, meta: &Arc<BlockMeta>, at_ms: i64) {
        for source in &meta.sources {
            if self.blocks.remove(source).is_some() {
                self.removed.insert(*source, at_ms);
            }
        }
        for range in &meta.log_ranges {
            let covered = self.covered.entry(range.log.clone()).or_default();
            *covered = range.to.max(*covered);
        }
        self.find(meta);
        self.blocks.insert(meta.ulid, Arc::clone(meta));
    }

    /// What a block holds is not lost.
    fn find(&mut self, meta: &BlockMeta) {
        for found in &meta.log_ranges {
            let lost = std::mem::take(&mut self.lost);
            self.lost = lost.into_iter().flat_map(|lost| without(lost, found)).collect();
        }
    }

    fn take(&mut self, stored: &StoredCommit) {
        let commit = &stored.commit;
        for block in &commit.remove {
            self.blocks.remove(block);
            self.removed.insert(*block, stored.at_ms);
        }
        for meta in &commit.add {
            self.find(meta);
            self.blocks.insert(meta.ulid, Arc::clone(meta));
        }
        self.covered.extend(commit.covered.iter().map(|(log, (_, to))| (log.clone(), *to)));
        self.floor = self.floor.max(commit.floor.unwrap_or(Ulid::nil()));
        for block in &commit.forget {
            self.removed.remove(block);
        }
        for log in &commit.drop_logs {
            self.covered.remove(log);
        }
        self.version = stored.version;
    }

    /// The checkpoint object.
    pub(crate) fn to_checkpoint(&self) -> Vec<u8> {
        let Self { version, blocks, covered, floor, removed, lost } = self.clone();
        let blocks = blocks.into_values().collect();
        let checkpoint = Checkpoint { format: FORMAT, version, blocks, covered, floor, removed, lost };
        with_checksum(&serde_json::to_vec(&checkpoint).expect("strings and numbers only"))
    }

    /// Reads a checkpoint object; for any bytes, an error at worst.
    pub(crate) fn from_checkpoint(bytes: &[u8]) -> Result<Self, String> {
        check_format(bytes)?;
        let checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Checkpoint { version, blocks, covered, floor, removed, lost, .. } = checkpoint;
        let blocks = blocks.into_iter().map(|meta| (meta.ulid, meta)).collect();
        Ok(Self { version, blocks, covered, floor, removed, lost })
    }
}

/// What is left of a range without another one.
fn without(range: LogRange, hole: &LogRange) -> Vec<LogRange> {
    if range.log != hole.log || hole.to <= range.from || range.to <= hole.from {
        return vec![range];
    }
    let before = LogRange { to: hole.from.max(range.from), ..range.clone() };
    let after = LogRange { from: hole.to.min(range.to), ..range };
    [before, after].into_iter().filter(|rest| rest.from < rest.to).collect()
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    version: u64,
    blocks: Vec<Arc<BlockMeta>>,
    covered: BTreeMap<String, u64>,
    floor: Ulid,
    removed: BTreeMap<Ulid, i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<LogRange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `from-to` of one log.
    fn check(range: (u64, u64), hole: (u64, u64), expected: &[(u64, u64)]) {
        let of = |(from, to)| LogRange { log: "one/a".to_owned(), from, to };
        let rest: Vec<_> = without(of(range), &of(hole)).into_iter().map(|rest| (rest.from, rest.to)).collect();
        assert_eq!(rest, expected, "{range:?} without {hole:?}");
    }

    #[test]
    fn what_is_found_is_not_lost() {
        check((5, 10), (5, 10), &[]);
        check((5, 10), (0, 20), &[]);
        check((5, 10), (6, 8), &[(5, 6), (8, 10)]);
        check((5, 10), (0, 7), &[(7, 10)]);
        check((5, 10), (7, 10), &[(5, 7)]);
        check((5, 10), (10, 12), &[(5, 10)]);
        check((5, 10), (0, 5), &[(5, 10)]);
    }
}
