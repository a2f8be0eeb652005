//! What a panic amid a segment leaves behind, and any number of services.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use flamelake_model::{TenantId, TimestampNs};
use flamelake_pprof::frame::Frame;
use flamelake_query_engine::ProfileSource;
use flamelake_testkit::FrameBuilder;

use super::generation::Scratch;
use super::memory::MemoryAccount;
use super::{Arc, Head, TenantHead};

const LOG: &str = "one/01JD00000000000000000000AA";
const ALWAYS: (TimestampNs, TimestampNs) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));

fn head() -> (Head, Arc<TenantHead>) {
    let head = Head::new(MemoryAccount::new(1 << 30), 10, 1 << 20);
    let tenant = head.open_tenant(&TenantId::anonymous(), 0, &BTreeMap::new()).unwrap();
    (head, tenant)
}

fn frame(service: &str, number: u128) -> Frame {
    FrameBuilder::cpu(service).id_from(number).time_ns(1).group(&[]).stack("main;work", &[1]).build()
}

fn apply(head: &Head, tenant: &TenantHead, seq: u64, frames: &[Frame]) {
    tenant.apply(head, LOG, seq, frames, Duration::ZERO, &mut Scratch::default());
}

/// A bug while rows are applied must not take those that were acknowledged before, nor let their log be deleted (promise P1).
#[test]
fn a_panic_amid_a_segment_leaves_earlier_rows_and_keeps_the_log() {
    let (head, tenant) = head();
    apply(&head, &tenant, 2, &[frame("api", 1)]);
    let mut poisoned = frame("api", 2);
    poisoned.stack_locations[0] = 1_000;
    catch_unwind(AssertUnwindSafe(|| apply(&head, &tenant, 3, &[poisoned]))).unwrap_err();

    assert_eq!(tenant.first_uncovered(LOG), Some(2));
    let cut = tenant.cut();
    assert_eq!(cut.iter().map(|generation| (generation.from, generation.to)).collect::<Vec<_>>(), [(0, 3)]);
    assert_eq!(cut[0].partitions.values().map(|partition| partition.series.len()).sum::<usize>(), 1);
}

#[test]
fn a_first_segment_that_panics_keeps_its_log() {
    let (head, tenant) = head();
    let mut poisoned = frame("api", 1);
    poisoned.stack_locations[0] = 1_000;
    catch_unwind(AssertUnwindSafe(|| apply(&head, &tenant, 2, &[poisoned]))).unwrap_err();
    assert_eq!(tenant.first_uncovered(LOG), Some(2));
}

/// Blocks number partitions in 16 bits; a head may hold more, and each answers for itself.
#[tokio::test]
async fn more_partitions_than_a_block_can_number() {
    const SERVICES: u32 = 70_000;
    let (head, tenant) = head();
    let frames: Vec<Frame> = (0..SERVICES).map(|number| frame(&format!("s{number}"), u128::from(number) + 1)).collect();
    apply(&head, &tenant, 2, &frames);
    let snapshot = tenant.snapshot(ALWAYS, |_| 0).unwrap();
    let partitions = snapshot.partitions();
    assert_eq!(partitions.len(), SERVICES as usize);
    for partition in partitions {
        let series = snapshot.series(partition.part).await.unwrap();
        assert_eq!(series[0].labels.get("service_name"), Some(&*partition.service_name));
    }
}
