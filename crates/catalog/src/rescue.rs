//! A damaged chain is mended from what is left of it and from the blocks: `block.json` says which rows of which log a block holds.
//!
//! Nobody may count a row twice for it, so a block that is in no commit becomes live only if no known block holds any of its rows. What
//! is found is put down as a checkpoint, so that it is found once; the damaged objects stay where they are.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use flamelake_block::meta::{BlockMeta, LogRange, META_FILE, Ulid};
use flamelake_model::TenantId;
use flamelake_object_storage::StorageError;
use futures::stream::{self, StreamExt};

use crate::{CatalogError, CatalogState, CatalogStore, Commit, CommitOutcome, keys};

/// `block.json` files read at once.
const CONCURRENT_READS: usize = 16;

/// What is wrong with a chain.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Keys and what is wrong with them.
    pub(crate) objects: Vec<(String, String)>,
    /// Nothing is left of the beginning, so watermarks tell nothing.
    pub(crate) base_lost: bool,
}

impl Damage {
    pub(crate) fn note(&mut self, key: String, reason: String) {
        self.objects.push((key, reason));
    }
}

/// Blocks that no commit names, and the rows that known ones hold.
#[derive(Debug, Default)]
struct Unnamed {
    blocks: Vec<Arc<BlockMeta>>,
    held: Vec<LogRange>,
}

impl CatalogStore {
    /// Names the damage, makes blocks live whose commit was lost, and puts the result down as a checkpoint.
    pub(crate) async fn mend(
        &self,
        tenant: &TenantId,
        state: &mut CatalogState,
        damage: &Damage,
    ) -> Result<(), CatalogError> {
        for (key, reason) in &damage.objects {
            self.inner.metrics.damaged_objects.inc();
            tracing::error!(%tenant, key, reason, "an object of the catalog is damaged and left out");
        }
        if damage.base_lost {
            // Which rows retention had taken before is not known.
            state.lost.clear();
        }
        let unnamed = self.unnamed(tenant, state).await?;
        for block in rescue(state, unnamed, damage.base_lost, self.now_ms()) {
            self.inner.metrics.rescued_blocks.inc();
            tracing::warn!(%tenant, %block, "a block is live again whose commit was lost");
        }
        for LogRange { log, from, to } in &state.lost {
            tracing::error!(%tenant, log, from, to, "no block is left that holds these rows of a log");
        }
        // A lost commit may have raised the floor; this high a sweeper may raise it at any time.
        let grace_ms = self.now_ms().saturating_sub(crate::sweep::millis(self.inner.config.orphan_grace));
        state.floor = state.floor.max(Ulid::from_parts(u64::try_from(grace_ms).unwrap_or(0), 0));
        let key = keys::checkpoint(tenant, state.version);
        // Whoever was first found the same. If it cannot be put, the next load mends again.
        if let Err(error) = self.inner.bucket.put_if_absent(&key, Bytes::from(state.to_checkpoint())).await {
            tracing::warn!(%tenant, key, error = &error as &dyn std::error::Error, "the mended catalog was not put down");
        }
        Ok(())
    }

    /// Blocks that were uploaded and are in no commit, though no known block holds any of their rows and they go on where their logs
    /// are covered: a flush died before its commit, or its commit was lost without a trace. They are whole. Newest first.
    pub async fn uncommitted(
        &self,
        tenant: &TenantId,
        state: &CatalogState,
    ) -> Result<Vec<Arc<BlockMeta>>, CatalogError> {
        let Unnamed { mut blocks, held } = self.unnamed(tenant, state).await?;
        blocks.retain(|meta| {
            let goes_on = |range: &LogRange| state.covered_of(&range.log) <= range.from && !overlaps(&held, range);
            meta.sources.is_empty() && !meta.log_ranges.is_empty() && meta.log_ranges.iter().all(goes_on)
        });
        blocks.sort_by_key(|meta| Reverse(meta.ulid));
        Ok(blocks)
    }

    /// Makes live, by an ordinary commit, every block that no commit names and that holds rows of no other one: after a catalog was lost
    /// altogether. Which blocks these were; the state behind it. Rows that retention or a deletion had taken come back with their blocks
    /// as long as these lie there.
    ///
    /// # Errors
    /// Somebody else committed meanwhile: try again.
    pub async fn rebuild(&self, tenant: &TenantId) -> Result<(Vec<Ulid>, Arc<CatalogState>), CatalogError> {
        let before = self.load(tenant).await?;
        let mut after = CatalogState::clone(&before);
        let unnamed = self.unnamed(tenant, &after).await?;
        let rescued = rescue(&mut after, unnamed, true, self.now_ms());
        let step = |(log, to): (&String, &u64)| {
            let from = before.covered_of(log);
            (*to > from).then(|| (log.clone(), (from, *to)))
        };
        let commit = Commit {
            add: rescued.iter().filter_map(|ulid| after.blocks.get(ulid).cloned()).collect(),
            remove: before.blocks.keys().filter(|ulid| !after.blocks.contains_key(ulid)).copied().collect(),
            covered: after.covered.iter().filter_map(step).collect(),
            ..Commit::default()
        };
        if commit.is_empty() {
            return Ok((rescued, before));
        }
        match self.commit(tenant, commit).await? {
            CommitOutcome::Committed(state) => Ok((rescued, state)),
            _ => Err(CatalogError::Contention { tenant: tenant.clone(), attempts: 1 }),
        }
    }

    async fn unnamed(&self, tenant: &TenantId, state: &CatalogState) -> Result<Unnamed, CatalogError> {
        let names = self.inner.bucket.list_folders(&keys::blocks_folder(tenant)).await?;
        let found: BTreeSet<Ulid> = names.iter().filter_map(|name| Ulid::from_string(name).ok()).collect();
        let unnamed: Vec<Ulid> = found
            .iter()
            .filter(|block| **block > state.floor && !state.blocks.contains_key(block))
            .filter(|block| !state.removed.contains_key(block))
            .copied()
            .collect();
        let mut result = Unnamed::default();
        if unnamed.is_empty() {
            return Ok(result);
        }
        result.held.extend(state.blocks.values().flat_map(|meta| meta.log_ranges.clone()));
        // Collected: a borrowing iterator in a future would make it hard to spawn.
        let mut reads: Vec<(Ulid, bool)> = unnamed.into_iter().map(|block| (block, true)).collect();
        reads.extend(state.removed.keys().filter(|block| found.contains(block)).map(|block| (*block, false)));
        let mut metas = stream::iter(reads)
            .map(|(block, is_unnamed)| async move { (is_unnamed, self.read_meta(tenant, block).await) })
            .buffered(CONCURRENT_READS);
        while let Some((is_unnamed, meta)) = metas.next().await {
            match meta? {
                Some(meta) if is_unnamed => result.blocks.push(Arc::new(meta)),
                Some(meta) => result.held.extend(meta.log_ranges),
                None => {}
            }
        }
        Ok(result)
    }

    /// `None` if it is absent (the block is not whole) or damaged.
    async fn read_meta(&self, tenant: &TenantId, block: Ulid) -> Result<Option<BlockMeta>, CatalogError> {
        let key = format!("{}{block}/{META_FILE}", keys::blocks_folder(tenant));
        let bytes = match self.inner.bucket.get(&key).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match BlockMeta::from_json(&bytes) {
            Ok(meta) if meta.ulid == block && meta.tenant == tenant.as_str() => Ok(Some(meta)),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(%tenant, key, error = &error as &dyn std::error::Error, "a block that is in no commit cannot be told");
                Ok(None)
            }
        }
    }
}

/// Makes live what can be; tells which.
fn rescue(state: &mut CatalogState, unnamed: Unnamed, base_lost: bool, at_ms: i64) -> Vec<Ulid> {
    let Unnamed { mut blocks, mut held } = unnamed;
    // A merged block before its sources; of two that hold the same rows the later one, which has more.
    blocks.sort_by_key(|meta| (Reverse(meta.level), Reverse(meta.ulid)));
    let mut rescued = Vec::new();
    while let Some(at) = blocks.iter().position(|meta| fits(state, &held, meta, base_lost)) {
        let meta = blocks.remove(at);
        held.extend(meta.log_ranges.iter().cloned());
        state.rescue(&meta, at_ms);
        rescued.push(meta.ulid);
    }
    rescued
}

fn fits(state: &CatalogState, held: &[LogRange], meta: &BlockMeta, base_lost: bool) -> bool {
    let is_merged = |sources: &[Ulid]| sources.contains(&meta.ulid);
    if state.blocks.values().any(|live| is_merged(&live.sources)) {
        return false;
    }
    if !meta.sources.is_empty() && meta.sources.iter().all(|source| state.blocks.contains_key(source)) {
        return true;
    }
    if !meta.sources.is_empty() && (!base_lost || meta.sources.iter().any(|source| state.blocks.contains_key(source))) {
        return false;
    }
    let goes_on = |range: &LogRange| {
        let covered = state.covered_of(&range.log);
        !overlaps(held, range) && (base_lost || range.to <= covered || range.from == covered)
    };
    !(meta.log_ranges.is_empty() && meta.sources.is_empty()) && meta.log_ranges.iter().all(goes_on)
}

fn overlaps(held: &[LogRange], range: &LogRange) -> bool {
    held.iter().any(|held| held.log == range.log && held.from < range.to && range.from < held.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "one/01ARZ3NDEKTSV4RRFFQ69G5FAV";

    /// `number: from-to` or `number: merged of numbers`.
    fn block(text: &str) -> Arc<BlockMeta> {
        let ulid = |number: &str| Ulid::from_parts(number.trim().parse().unwrap(), 0);
        let (number, what) = text.split_once(':').unwrap();
        let (ranges, sources) = match what.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (from.trim().parse().unwrap(), to.trim().parse().unwrap());
                (vec![LogRange { log: LOG.to_owned(), from, to }], Vec::new())
            }
            None => (Vec::new(), what.split('+').map(ulid).collect()),
        };
        let level = u32::from(!sources.is_empty());
        let meta = serde_json::json!({
            "version": 1, "ulid": ulid(number), "tenant": "t", "min_time_ns": 0, "max_time_ns": 1, "bytes": 1, "level": level,
            "log_ranges": ranges, "sources": sources, "partitions": [], "files": [],
        });
        Arc::new(serde_json::from_value(meta).unwrap())
    }

    /// Live blocks, the watermark, blocks without a commit, is the base lost → which are rescued, the watermark then.
    fn check(live: &[&str], covered: u64, unnamed: &[&str], base_lost: bool, expected: &[u64], through: u64) {
        let mut state = CatalogState::default();
        for meta in live.iter().map(|text| block(text)) {
            state.blocks.insert(meta.ulid, meta);
        }
        state.covered.insert(LOG.to_owned(), covered);
        let held = state.blocks.values().flat_map(|meta| meta.log_ranges.clone()).collect();
        let unnamed = Unnamed { blocks: unnamed.iter().map(|text| block(text)).collect(), held };
        let mut rescued: Vec<u64> =
            rescue(&mut state, unnamed, base_lost, 0).iter().map(|ulid| ulid.timestamp_ms()).collect();
        rescued.sort_unstable();
        assert_eq!((rescued.as_slice(), state.covered_of(LOG)), (expected, through));
    }

    #[test]
    fn a_block_of_a_lost_commit_is_rescued_once() {
        check(&["1: 0-5"], 5, &["2: 5-9"], false, &[2], 9);
        check(&["1: 0-5", "3: 9-12"], 12, &["2: 5-9"], false, &[2], 12);
        // Two commits in a row.
        check(&["1: 0-5"], 5, &["2: 5-9", "3: 9-11"], false, &[2, 3], 11);
        // An orphan of a crash holds rows that another block holds too.
        check(&["1: 0-5", "3: 5-9"], 9, &["2: 5-9"], false, &[], 9);
        check(&["1: 0-5"], 5, &["2: 5-9", "3: 5-11"], false, &[3], 11);
        // Rows in between may be in the log.
        check(&["1: 0-5"], 5, &["2: 7-9"], false, &[], 5);
    }

    #[test]
    fn a_merged_block_takes_the_place_of_its_sources() {
        check(&["1: 0-5", "2: 5-9"], 9, &["3: 1+2"], false, &[3], 9);
        check(&["1: 0-5"], 9, &["3: 1+2"], false, &[], 9);
        check(&["3: 1+2"], 9, &["1: 0-5", "2: 5-9"], false, &[], 9);
    }

    #[test]
    fn without_a_base_all_is_rescued_that_is_no_copy() {
        check(&[], 0, &["1: 0-5", "2: 5-9", "3: 1+2", "4: 9-11"], true, &[3, 4], 11);
        check(&[], 0, &["5: 40-45", "6: 45-49"], true, &[5, 6], 49);
    }
}
