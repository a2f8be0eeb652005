//! Mutated catalog objects: an error, or a commit that means the same when it is written again; and no state that applying can break.

use std::collections::BTreeMap;
use std::sync::Arc;

use flamelake_block::meta::{BlockMeta, LogRange, Ulid};
use flamelake_testkit::fuzz;

use crate::commit::{Commit, FORMAT, StoredCommit};
use crate::state::CatalogState;

const LOG: &str = "ingester-1/01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn block(number: u64) -> Arc<BlockMeta> {
    let ranges = [LogRange { log: LOG.to_owned(), from: number, to: number + 1 }];
    let meta = serde_json::json!({
        "version": 1, "ulid": Ulid::from_parts(number, 7), "tenant": "t", "min_time_ns": -5, "max_time_ns": 1_700_000_000_000_000_000_i64,
        "bytes": 10, "level": 0, "log_ranges": ranges, "sources": [Ulid::nil()],
        "partitions": [{
            "part": 0, "service_name": "shop \u{e9}", "profile_types": ["a:b:c:d:e"], "min_time_ns": -5, "max_time_ns": 0,
            "series": 1, "profiles": 2, "samples": 3,
        }],
        "files": [{
            "name": "series.parquet", "bytes": 10, "rows": 1, "footer_start": 4, "checksum_chunk_bytes": 131072, "crc32c": "00000000",
        }],
    });
    Arc::new(serde_json::from_value(meta).unwrap())
}

fn commits() -> Vec<StoredCommit> {
    let stored =
        |version, commit| StoredCommit { format: FORMAT, version, id: Ulid::from_parts(version, 1), at_ms: 5, commit };
    let covered = |from, to| BTreeMap::from([(LOG.to_owned(), (from, to))]);
    vec![
        stored(1, Commit::default()),
        stored(1, Commit { add: vec![block(1), block(2)], covered: covered(0, 3), ..Commit::default() }),
        stored(
            2,
            Commit {
                add: vec![block(3)],
                remove: vec![block(1).ulid],
                floor: Some(Ulid::from_parts(2, 0)),
                ..Commit::default()
            },
        ),
        stored(3, Commit { forget: vec![block(1).ulid], drop_logs: vec![LOG.to_owned()], ..Commit::default() }),
    ]
}

/// After each of the commits.
fn states() -> Vec<CatalogState> {
    let mut state = CatalogState::default();
    let mut states = vec![state.clone()];
    for commit in &commits()[1..] {
        state.apply(commit).unwrap();
        states.push(state.clone());
    }
    states
}

/// Without its checksum, which would refuse every mutation.
fn unsealed(bytes: &[u8]) -> Vec<u8> {
    let rest = bytes.strip_prefix(b"{\"crc32c\":\"").map(|rest| &rest[10..]).unwrap();
    [b"{", rest].concat()
}

#[test]
fn fuzz_commit() {
    let states = states();
    let corpus: Vec<Vec<u8>> = commits().iter().map(|commit| unsealed(&commit.to_bytes())).collect();
    fuzz::run("commit", &corpus, |bytes| {
        let stored = StoredCommit::parse(bytes);
        assert_eq!(Commit::parse(bytes), stored.clone().map(|stored| stored.commit));
        let Ok(stored) = stored else { return };
        assert_eq!(StoredCommit::parse(&stored.to_bytes()).as_ref(), Ok(&stored));
        for state in &states {
            let mut next = state.clone();
            let mut behind_damage = state.clone();
            behind_damage.apply_behind_damage(&stored);
            for (log, through) in &state.covered {
                assert!(stored.commit.drop_logs.contains(log) || behind_damage.covered[log] >= *through);
            }
            match next.apply(&stored) {
                Ok(()) => assert_eq!(next.version, state.version + 1),
                Err(_) => assert_eq!(&next, state, "a refused commit changes nothing"),
            }
            assert_eq!(CatalogState::from_checkpoint(&next.to_checkpoint()), Ok(next));
        }
    });
}

#[test]
fn fuzz_checkpoint() {
    let corpus: Vec<Vec<u8>> = states().iter().map(|state| unsealed(&state.to_checkpoint())).collect();
    let commits = commits();
    fuzz::run("checkpoint", &corpus, |bytes| {
        let Ok(mut state) = CatalogState::from_checkpoint(bytes) else { return };
        assert_eq!(CatalogState::from_checkpoint(&state.to_checkpoint()).as_ref(), Ok(&state));
        for commit in &commits {
            let _ = state.apply(commit);
        }
    });
}
