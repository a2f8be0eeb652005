//! What the plan does with blocks of all ages and sizes.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000_000_000;

const LIMITS: PlanLimits =
    PlanLimits { windows_ns: [2 * HOUR, 24 * HOUR], grace_ns: HOUR / 2, blocks_max: 4, bytes_max: 1000 };

fn block(id: u128, level: u32, min_time_ns: i64, max_time_ns: i64, bytes: u64) -> BlockMeta {
    BlockMeta {
        version: 1,
        ulid: Ulid(id),
        tenant: "t".to_owned(),
        min_time_ns,
        max_time_ns,
        bytes,
        level,
        log_ranges: Vec::new(),
        sources: Vec::new(),
        partitions: Vec::new(),
        files: Vec::new(),
    }
}

/// Blocks as (id, level, newest row in hours, bytes); jobs as (level, ids).
fn check(blocks: &[(u128, u32, i64, u64)], now_hours: i64, expected: &[(u32, &[u128])]) {
    let metas: Vec<BlockMeta> = blocks
        .iter()
        .map(|(id, level, hour, bytes)| block(*id, *level, hour * HOUR, hour * HOUR + 1, *bytes))
        .collect();
    let jobs = plan(&metas, &BTreeSet::new(), &LIMITS, now_hours * HOUR);
    let jobs: Vec<(u32, Vec<u128>)> =
        jobs.into_iter().map(|job| (job.level, job.blocks.iter().map(|block| block.0).collect())).collect();
    let expected: Vec<(u32, Vec<u128>)> = expected.iter().map(|(level, ids)| (*level, ids.to_vec())).collect();
    assert_eq!(jobs, expected);
}

#[test]
fn a_complete_window_is_merged() {
    check(&[(1, 0, 0, 1), (2, 0, 1, 1), (3, 0, 2, 1)], 3, &[(1, &[1, 2])]);
}

#[test]
fn an_open_window_waits_until_there_are_many() {
    check(&[(1, 0, 0, 1), (2, 0, 1, 1), (3, 0, 1, 1)], 2, &[]);
    check(&[(1, 0, 0, 1), (2, 0, 0, 1), (3, 0, 1, 1), (4, 0, 1, 1), (5, 0, 1, 1)], 2, &[(1, &[1, 2, 3, 4])]);
}

#[test]
fn a_day_is_merged_once_it_is_over() {
    check(&[(1, 1, 0, 1), (2, 1, 4, 1), (3, 0, 9, 1)], 24, &[]);
    check(&[(1, 1, 0, 1), (2, 1, 4, 1), (3, 0, 9, 1)], 25, &[(2, &[1, 2, 3])]);
    check(&[(1, 2, 0, 1), (2, 1, 4, 1), (3, 2, 9, 1)], 25, &[]);
}

#[test]
fn large_blocks_stay_alone() {
    check(&[(1, 0, 0, 600), (2, 0, 0, 600), (3, 0, 0, 1000), (4, 0, 0, 300)], 9, &[(1, &[2, 4])]);
}

#[test]
fn what_is_set_aside_is_left_alone() {
    let blocks = [block(1, 0, 0, 1, 1), block(2, 0, 0, 1, 1)];
    assert_eq!(plan(&blocks, &BTreeSet::from([Ulid(2)]), &LIMITS, 9 * HOUR), []);
}

proptest! {
    #[test]
    fn plans_keep_their_bounds_and_come_to_an_end(
        blocks in proptest::collection::vec((0_u32..3, 0_i64..60, 0_i64..30, 0_u64..1200), 0..60),
        now in 0_i64..100,
    ) {
        let mut live: BTreeMap<Ulid, BlockMeta> = (1..).zip(blocks).map(|(id, (level, hour, length, bytes))| {
            (Ulid(id), block(id, level, (hour - length) * HOUR, hour * HOUR, bytes))
        }).collect();
        let mut next = 1_000_u128;
        for _ in 0..100 {
            let jobs = plan(live.values(), &BTreeSet::new(), &LIMITS, now * HOUR);
            if jobs.is_empty() {
                return Ok(());
            }
            for job in jobs {
                // Shared blocks would be missing here the second time.
                let merged: Vec<BlockMeta> = job.blocks.iter().map(|block| live.remove(block).unwrap()).collect();
                let window = LIMITS.windows_ns[job.level as usize - 1];
                let bytes: u64 = merged.iter().map(|block| block.bytes).sum();
                prop_assert!((2..=LIMITS.blocks_max).contains(&merged.len()));
                prop_assert!(bytes <= LIMITS.bytes_max);
                prop_assert!(merged.iter().all(|block| block.level < job.level));
                prop_assert!(merged.iter().all(|block| block.max_time_ns / window == merged[0].max_time_ns / window));
                next += 1;
                let (min, max) = merged.iter().fold((i64::MAX, i64::MIN), |(min, max), block| {
                    (min.min(block.min_time_ns), max.max(block.max_time_ns))
                });
                live.insert(Ulid(next), block(next, job.level, min, max, bytes));
            }
        }
        prop_assert!(false, "plans do not come to an end");
    }
}
