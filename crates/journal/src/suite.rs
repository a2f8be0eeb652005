//! What every log must do: one suite for disk and bucket. `open` opens the same place again and again, as a restarted process does.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use flamelake_model::TenantId;
use futures::StreamExt;
use parking_lot::Mutex;

use crate::log::PutError;
use crate::segment::PackedBody;
use crate::{
    Apply, Journal, JournalConfig, JournalEntry, JournalError, LogId, LogStore, OldEpoch, Segment, older_epochs,
};

/// Runs all of it on an empty place. Panics at the first difference.
pub async fn run<F: Future<Output = Arc<dyn LogStore>>>(open: impl Fn() -> F) {
    acknowledged_entries_come_back(&open).await;
    a_crash_loses_nothing_acknowledged(&open).await;
    covered_segments_go_and_the_newest_stays(&open).await;
    a_sealed_log_takes_nothing(&open).await;
    names_are_checked(&open).await;
}

/// A head that remembers.
#[derive(Debug, Default)]
pub struct Head {
    applied: Mutex<Vec<(u64, JournalEntry)>>,
    epochs: Mutex<Vec<String>>,
}

impl Head {
    /// Everything applied, in order.
    pub fn applied(&self) -> Vec<(u64, JournalEntry)> {
        self.applied.lock().clone()
    }

    /// Epochs that began.
    pub fn epochs(&self) -> Vec<String> {
        self.epochs.lock().clone()
    }
}

impl Apply for Head {
    fn epoch_began(&self, log_name: &str) {
        self.epochs.lock().push(log_name.to_owned());
    }

    fn apply(&self, seq: u64, entries: Vec<JournalEntry>) {
        self.applied.lock().extend(entries.into_iter().map(|entry| (seq, entry)));
    }
}

/// An entry whose one frame holds this text.
pub fn entry(tenant: &str, text: &str) -> JournalEntry {
    let tenant = TenantId::parse(tenant).expect("a valid tenant");
    JournalEntry { tenant, frames: vec![Bytes::copy_from_slice(text.as_bytes())] }
}

/// Text that does not pack.
pub fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state >> 32) as u8 % 90)
    };
    (0..length).map(|_| next()).collect()
}

/// A journal of ingester `one` and its head.
pub async fn start(store: &Arc<dyn LogStore>) -> (Journal, Arc<Head>) {
    let head = Arc::new(Head::default());
    let config = JournalConfig { flush_interval: std::time::Duration::from_micros(1), ..JournalConfig::default() };
    let journal = Journal::start(Arc::clone(store), "one", config, Arc::clone(&head) as Arc<dyn Apply>).await.unwrap();
    (journal, head)
}

/// Seals an epoch and reads all of it above `after`.
pub async fn replay(epoch: &OldEpoch, after: u64) -> Vec<Result<Segment, JournalError>> {
    epoch.seal().await.unwrap();
    epoch.segments(after).await.unwrap().collect().await
}

/// The same, flattened to `(seq, entry)`; no damage allowed.
pub async fn replay_entries(epoch: &OldEpoch, after: u64) -> Vec<(u64, JournalEntry)> {
    let segments = replay(epoch, after).await;
    let entries = |segment: Result<Segment, JournalError>| {
        let segment = segment.unwrap();
        segment.entries.into_iter().map(move |entry| (segment.seq, entry)).collect::<Vec<_>>()
    };
    segments.into_iter().flat_map(entries).collect()
}

async fn acknowledged_entries_come_back<F: Future<Output = Arc<dyn LogStore>>>(open: &impl Fn() -> F) {
    let store = open().await;
    let (journal, head) = start(&store).await;
    let pushes = (0..100).map(|number| journal.append(entry(["a", "b"][number % 2], &format!("push {number}"))));
    let seqs: Vec<u64> = futures::future::join_all(pushes).await.into_iter().map(Result::unwrap).collect();
    assert!(seqs.is_sorted() && seqs[0] == 2, "numbers ascend and start behind the empty segment: {seqs:?}");
    assert_eq!(journal.durable_seq(), *seqs.last().unwrap());
    assert_eq!(head.epochs(), [journal.log_name()]);
    assert!(journal.uncovered_bytes() > 0);
    let (name, applied) = (journal.log_name(), head.applied());
    assert_eq!(applied.len(), 100);
    assert!(older_epochs(&store, "one", Some(&name)).await.unwrap().is_empty(), "the open epoch is not an old one");
    journal.close().await;
    assert!(matches!(journal.append(entry("a", "late")).await, Err(JournalError::Closed)));
    drop((journal, store));

    let store = open().await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    assert_eq!(epochs.iter().map(OldEpoch::log_name).collect::<Vec<_>>(), [name]);
    assert_eq!(replay_entries(&epochs[0], 0).await, applied);
    let half = applied[50].0;
    let rest: Vec<_> = applied.iter().filter(|(seq, _)| *seq > half).cloned().collect();
    assert_eq!(replay_entries(&epochs[0], half).await, rest);
    assert_eq!(epochs[0].seal().await.unwrap(), *seqs.last().unwrap(), "sealing twice changes nothing");
    assert!(epochs[0].bytes().await.unwrap() > 0);
    epochs[0].delete().await.unwrap();
    assert!(replay(&epochs[0], 0).await.is_empty());
}

async fn a_crash_loses_nothing_acknowledged<F: Future<Output = Arc<dyn LogStore>>>(open: &impl Fn() -> F) {
    let store = open().await;
    let (journal, head) = start(&store).await;
    let name = journal.log_name();
    for number in 0..5 {
        journal.append(entry("a", &format!("push {number}"))).await.unwrap();
    }
    let applied = head.applied();
    drop((journal, store));

    let store = open().await;
    let (next, _) = start(&store).await;
    assert!(next.log_name() > name, "a fresh epoch is above the older ones");
    let epochs = older_epochs(&store, "one", Some(&next.log_name())).await.unwrap();
    let crashed = epochs.iter().find(|epoch| epoch.log_name() == name).unwrap();
    assert_eq!(replay_entries(crashed, 0).await, applied);
    next.close().await;
    for epoch in older_epochs(&store, "one", None).await.unwrap() {
        epoch.seal().await.unwrap();
        epoch.delete().await.unwrap();
    }
}

async fn covered_segments_go_and_the_newest_stays<F: Future<Output = Arc<dyn LogStore>>>(open: &impl Fn() -> F) {
    let store = open().await;
    let (journal, _) = start(&store).await;
    // Incompressible enough that a disk with small files rotates.
    for number in 0..20u64 {
        let text = noise(number, 2000);
        journal.append(entry("a", &text)).await.unwrap();
    }
    let last = journal.durable_seq();
    journal.delete_covered(last).await.unwrap();
    assert_eq!(journal.uncovered_bytes(), 0);
    let name = journal.log_name();
    journal.append(entry("a", "after")).await.unwrap();
    drop((journal, store));

    let store = open().await;
    let epochs = older_epochs(&store, "one", None).await.unwrap();
    let epoch = epochs.iter().find(|epoch| epoch.log_name() == name).unwrap();
    let left = replay_entries(epoch, 0).await;
    assert!(left.len() < 20, "covered segments are gone: {}", left.len());
    assert_eq!(left.last().unwrap(), &(last + 1, entry("a", "after")));
    for epoch in epochs {
        epoch.seal().await.unwrap();
        epoch.delete().await.unwrap();
    }
}

async fn a_sealed_log_takes_nothing<F: Future<Output = Arc<dyn LogStore>>>(open: &impl Fn() -> F) {
    let store = open().await;
    let id = LogId { ingester: "two".to_owned(), epoch: ulid::Ulid::from_parts(1, 1) };
    let log = store.create(&id).await.unwrap();
    let segment = |seq| PackedBody::pack("two", &[entry("a", "x")]).finish(id.epoch, seq);
    for seq in 1..=3 {
        log.put(seq, segment(seq)).await.unwrap();
    }
    log.close(4).await.unwrap();
    drop(log);
    assert_eq!(store.ingesters().await.unwrap().iter().filter(|name| *name == "two").count(), 1);
    let old = OldEpoch::open(&store, id.clone()).await.unwrap();
    assert_eq!(old.seal().await.unwrap(), 3);
    assert_eq!(replay(&old, 0).await.len(), 3);
    if !store.renews() {
        // A second handle stands for the owner that did not notice.
        let asleep = store.create(&id).await.unwrap();
        assert!(matches!(asleep.put(4, segment(4)).await, Err(PutError::Ended(JournalError::Sealed { .. }))));
    }
    old.delete().await.unwrap();
}

async fn names_are_checked<F: Future<Output = Arc<dyn LogStore>>>(open: &impl Fn() -> F) {
    let store = open().await;
    for bad in ["", "..", "a/b", "a b", ".x"] {
        let head: Arc<dyn Apply> = Arc::new(Head::default());
        let started = Journal::start(Arc::clone(&store), bad, JournalConfig::default(), head).await;
        assert!(matches!(started, Err(JournalError::Config { .. })), "{bad:?}");
    }
}
