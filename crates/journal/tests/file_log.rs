//! The log on a disk: the suite, and what only a disk can do.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flamelake_config::ByteSize;
use flamelake_journal::file_log::FileFaults;
use flamelake_journal::suite::{entry, replay, replay_entries, start};
use flamelake_journal::{FileLogStore, JournalError, JournalMetrics, LogStore, older_epochs, suite};
use flamelake_model::{Coded, ErrorCode};
use flamelake_runtime::clock::SystemClock;
use prometheus::Registry;

const FILE_BYTES: u64 = 16 << 10;

fn try_open(root: &Path, faults: &FileFaults) -> Result<Arc<dyn LogStore>, JournalError> {
    let metrics = JournalMetrics::register(&Registry::new());
    let store = FileLogStore::open_with_faults(root, FILE_BYTES, SystemClock::shared(), metrics, faults.clone())?;
    Ok(Arc::new(store))
}

/// Opens as a restarted process does: the tasks of the one before may still be letting go.
async fn open(root: &Path, faults: &FileFaults) -> Arc<dyn LogStore> {
    loop {
        match try_open(root, faults) {
            Ok(store) => return store,
            Err(JournalError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let faults = FileFaults::default();
    suite::run(|| open(dir.path(), &faults)).await;
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = try_open(dir.path(), &FileFaults::default()).unwrap();
    let error = try_open(dir.path(), &FileFaults::default()).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

/// Writes `count` pushes, crashes, and tells the log's name and its files.
async fn crashed_log(root: &Path, count: usize) -> Vec<PathBuf> {
    let store = open(root, &FileFaults::default()).await;
    let (journal, _) = start(&store).await;
    for number in 0..count {
        journal.append(entry("a", &format!("push number {number}"))).await.unwrap();
    }
    let folder = root.join(journal.log_name());
    drop((journal, store));
    drop(open(root, &FileFaults::default()).await);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Where the segments of a file begin, and the end of the last one.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let mut offsets: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, at)| at == b"FLJS").map(|(at, _)| at).collect();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    offsets.push(end);
    offsets
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let file = crashed_log(dir.path(), 3).await.remove(0);
    let whole = std::fs::read(&file).unwrap();
    let offsets = offsets(&whole);
    let (last, end) = (offsets[offsets.len() - 2], offsets[offsets.len() - 1]);
    for cut in last..end {
        for zeros in [false, true] {
            let mut torn = whole[..cut].to_vec();
            if zeros {
                torn.resize(whole.len(), 0);
            }
            std::fs::write(&file, torn).unwrap();
            let store = open(dir.path(), &FileFaults::default()).await;
            let epochs = older_epochs(&store, "one", None).await.unwrap();
            let texts: Vec<_> = replay_entries(&epochs[0], 0).await.into_iter().map(|(_, entry)| entry).collect();
            assert_eq!(texts, [entry("a", "push number 0"), entry("a", "push number 1")], "cut at {cut}");
            // A second start finds a clean log.
            assert_eq!(replay_entries(&epochs[0], 0).await.len(), 2);
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_named_and_the_rest_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = crashed_log(dir.path(), 4).await.remove(0);
    let whole = std::fs::read(&file).unwrap();
    let offsets = offsets(&whole);
    // Segment 1 is empty, 2 to 5 hold a push each: break segment 3.
    for at in offsets[2]..offsets[3] {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        std::fs::write(&file, broken).unwrap();
        let store = open(dir.path(), &FileFaults::default()).await;
        let epochs = older_epochs(&store, "one", None).await.unwrap();
        let found = replay(&epochs[0], 0).await;
        let seqs: Vec<Option<u64>> = found.iter().map(|found| found.as_ref().ok().map(|segment| segment.seq)).collect();
        assert_eq!(seqs, [Some(1), Some(2), None, Some(4), Some(5)], "bit at {at}");
        let error = found[2].as_ref().unwrap_err();
        assert_eq!(error.code(), ErrorCode::DataLoss);
        assert!(
            matches!(error, JournalError::Damaged { place, offset, .. }
            if place.contains(file.to_str().unwrap()) && *offset == offsets[2] as u64),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(dir.path().join("damaged")).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_lost_file_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &FileFaults::default()).await;
    let (journal, _) = start(&store).await;
    for number in 0..40u64 {
        let text = suite::noise(number, 3000);
        journal.append(entry("a", &text)).await.unwrap();
    }
    let folder = dir.path().join(journal.log_name());
    drop((journal, store));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "it rotated: {files:?}");
    std::fs::remove_file(&files[1]).unwrap();
    let store = open(dir.path(), &FileFaults::default()).await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    let found = replay(&epochs[0], 0).await;
    assert_eq!(found.iter().filter(|found| found.is_err()).count(), 1);
    assert_eq!(found.last().unwrap().as_ref().unwrap().seq, 41);
}

#[tokio::test]
async fn a_failed_sync_ends_the_epoch_and_the_next_push_begins_another() {
    let dir = tempfile::tempdir().unwrap();
    let faults = FileFaults::default();
    let store = open(dir.path(), &faults).await;
    let (journal, head) = start(&store).await;
    journal.append(entry("a", "before")).await.unwrap();
    let first = journal.log_name();
    faults.fail_syncs(1);
    let error = journal.append(entry("a", "lost")).await.unwrap_err();
    assert!(matches!(&error, JournalError::EpochEnded { log, .. } if *log == first), "{error}");
    assert_eq!(error.code(), ErrorCode::Unavailable);
    journal.append(entry("a", "again")).await.unwrap();
    let second = journal.log_name();
    assert_eq!(head.epochs(), [first.clone(), second.clone()]);
    let texts: Vec<_> = head.applied().into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(texts, [entry("a", "before"), entry("a", "again")]);
    // The ended epoch can be covered and goes.
    journal.delete_covered_of(&first, 2).await.unwrap();
    assert!(!dir.path().join(&first).exists());
    journal.close().await;
    drop((journal, store));
    let store = open(dir.path(), &FileFaults::default()).await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert_eq!(epochs.len(), 1);
    assert_eq!(replay_entries(&epochs[0], 0).await, [(2, entry("a", "again"))]);
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_writing_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let faults = FileFaults::default();
    let store = open(dir.path(), &faults).await;
    let (journal, head) = start(&store).await;
    journal.append(entry("a", "1")).await.unwrap();
    faults.set_full(true);
    for _ in 0..3 {
        let error = journal.append(entry("a", "refused")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    }
    faults.set_full(false);
    assert_eq!(journal.append(entry("a", "2")).await.unwrap(), 3, "the number was used again");
    assert_eq!(head.epochs().len(), 1, "in the same epoch");
    drop((journal, store));
    let store = open(dir.path(), &FileFaults::default()).await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert_eq!(replay_entries(&epochs[0], 0).await, [(2, entry("a", "1")), (3, entry("a", "2"))]);
}

#[tokio::test]
async fn an_entry_is_written_even_if_its_caller_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &FileFaults::default()).await;
    let (journal, head) = start(&store).await;
    {
        let push = journal.append(entry("a", "left alone"));
        let mut push = std::pin::pin!(push);
        assert!(futures::poll!(push.as_mut()).is_pending());
    }
    journal.append(entry("a", "next")).await.unwrap();
    assert_eq!(head.applied()[0].1, entry("a", "left alone"));
}

#[tokio::test]
async fn limits_have_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &FileFaults::default()).await;
    let head: Arc<dyn flamelake_journal::Apply> = Arc::new(suite::Head::default());
    let config = flamelake_journal::JournalConfig {
        queue_bytes: ByteSize(4 << 10),
        bytes_max: ByteSize(300),
        ..Default::default()
    };
    let journal = flamelake_journal::Journal::start(Arc::clone(&store), "one", config, head).await.unwrap();
    let error = journal.append(entry("a", &"x".repeat(10 << 10))).await.unwrap_err();
    assert!(matches!(error, JournalError::QueueFull { .. }), "{error}");
    let mut appended = 0;
    let error = loop {
        match journal.append(entry("a", &format!("{appended}"))).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::UncoveredFull { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    journal.delete_covered(journal.durable_seq()).await.unwrap();
    journal.append(entry("a", "goes on")).await.unwrap();
}

/// After a flush that covers all of it, the log takes no room, and what comes next is there after a crash.
#[tokio::test]
async fn a_covered_log_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = JournalMetrics::register(&Registry::new());
    let store: Arc<dyn LogStore> =
        Arc::new(FileLogStore::open(dir.path(), 64 << 20, SystemClock::shared(), metrics).unwrap());
    let (journal, _) = start(&store).await;
    let mut rng = flamelake_testkit::seeded_rng("a_covered_log_leaves_nothing");
    for _ in 0..8 {
        let noise: String = (0..200_000).map(|_| rand::Rng::random_range(&mut rng, '!'..'~')).collect();
        journal.append(entry("a", &noise)).await.unwrap();
    }
    let folder = dir.path().join(journal.log_name());
    let bytes = || std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
    assert!(bytes() > 1 << 20, "{}", bytes());
    journal.delete_covered(journal.durable_seq()).await.unwrap();
    assert_eq!(bytes(), 0);
    journal.append(entry("a", "after")).await.unwrap();
    drop((journal, store));
    let store = open(dir.path(), &FileFaults::default()).await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert_eq!(replay_entries(&epochs[0], 0).await, [(10, entry("a", "after"))]);
}
