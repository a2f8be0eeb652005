//! Which blocks to merge next. Pure: a state of one tenant's catalog and the time in, jobs out.
//!
//! A block belongs to the window that holds its newest row. Level 1 is made of fresh blocks (level 0) of a short window, as soon as there are enough of
//! them or the window is complete; level 2 of all blocks below it in a complete long window. Each merge leaves fewer blocks, so planning and merging end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flamelake_block::meta::{BlockMeta, Ulid};
use flamelake_block::writer::PARTITIONS_MAX;

use crate::CompactorConfig;

/// Blocks to be replaced by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Level of the result.
    pub level: u32,
    /// At least two.
    pub blocks: Vec<Ulid>,
}

/// What bounds a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanLimits {
    /// Window lengths of level 1 and 2, nanoseconds.
    pub windows_ns: [i64; 2],
    /// A window is complete so many nanoseconds after its end.
    pub grace_ns: i64,
    /// Blocks in a job at most.
    pub blocks_max: usize,
    /// Sum of the blocks' file sizes at most.
    pub bytes_max: u64,
}

impl From<&CompactorConfig> for PlanLimits {
    fn from(config: &CompactorConfig) -> Self {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Self {
            windows_ns: [nanos(config.first_window).max(1), nanos(config.second_window).max(1)],
            grace_ns: nanos(config.window_grace),
            blocks_max: config.blocks_per_merge_max.max(2),
            bytes_max: config.memory_bytes_max.0 / 4,
        }
    }
}

/// Jobs that share no block, oldest window first, level 1 before level 2; none if all is merged as far as it goes. Blocks of `set_aside` are left alone.
pub fn plan<'a>(
    blocks: impl IntoIterator<Item = &'a BlockMeta>,
    set_aside: &BTreeSet<Ulid>,
    limits: &PlanLimits,
    now_ns: i64,
) -> Vec<Job> {
    let mut blocks: Vec<&BlockMeta> = blocks.into_iter().filter(|block| !set_aside.contains(&block.ulid)).collect();
    blocks.sort_by_key(|block| (block.min_time_ns, block.ulid));
    let mut jobs = Vec::new();
    let mut taken = BTreeSet::new();
    for (level, window_ns) in (1..).zip(limits.windows_ns) {
        let mut windows: BTreeMap<i64, Vec<&BlockMeta>> = BTreeMap::new();
        for block in blocks.iter().filter(|block| block.level < level && !taken.contains(&block.ulid)) {
            windows.entry(block.max_time_ns.div_euclid(window_ns)).or_default().push(block);
        }
        for (window, candidates) in windows {
            let end_ns = window.saturating_add(1).saturating_mul(window_ns);
            let is_complete = now_ns >= end_ns.saturating_add(limits.grace_ns);
            let blocks_min = match (is_complete, level) {
                (true, _) => 2,
                (false, 1) => limits.blocks_max,
                (false, _) => continue,
            };
            for group in groups(&candidates, limits).into_iter().filter(|group| group.len() >= blocks_min) {
                taken.extend(group.iter().copied());
                jobs.push(Job { level, blocks: group });
            }
        }
    }
    jobs
}

/// Neighbours in time as long as their number, bytes and partitions allow.
fn groups(candidates: &[&BlockMeta], limits: &PlanLimits) -> Vec<Vec<Ulid>> {
    // Half, because a partition too large for the memory is written as several.
    let partitions_max = PARTITIONS_MAX / 2;
    let mut out: Vec<Vec<Ulid>> = Vec::new();
    let (mut bytes, mut partitions) = (u64::MAX, 0);
    // What is too large for any company would only part the others.
    for block in candidates.iter().filter(|block| block.bytes < limits.bytes_max) {
        bytes = bytes.saturating_add(block.bytes);
        partitions += block.partitions.len();
        let is_full = out.last().is_none_or(|group| group.len() >= limits.blocks_max);
        if is_full || bytes > limits.bytes_max || partitions > partitions_max {
            out.push(Vec::new());
            (bytes, partitions) = (block.bytes, block.partitions.len());
        }
        out.last_mut().expect("pushed above if there was none").push(block.ulid);
    }
    out
}

#[cfg(test)]
mod tests;
