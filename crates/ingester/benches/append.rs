//! What does a frame cost from its bytes to being acknowledged, on a log in memory? At n and 2n frames of one request, in few and in
//! many series; `make bench` prints the ratio.
#![allow(missing_docs, reason = "criterion's macros")]

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flamelake_api::roles::{AppendRequest, IngesterApi as _};
use flamelake_catalog::{CatalogConfig, CatalogStore};
use flamelake_ingester::{Ingester, IngesterConfig, IngesterDeps, NoRing};
use flamelake_journal::{JournalConfig, open_log_store};
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SystemClock;
use flamelake_testkit::FrameBuilder;
use prometheus::Registry;

const FRAMES: u32 = 2_000;

async fn ingester() -> Ingester {
    let (bucket, clock, registry) = (Bucket::in_memory(), SystemClock::shared(), Registry::new());
    let catalog = CatalogStore::new(bucket.clone(), Arc::clone(&clock), CatalogConfig::default(), &Registry::new());
    let interval = std::time::Duration::from_millis(1);
    let journal = JournalConfig { url: "bucket".to_owned(), flush_interval: interval, ..JournalConfig::default() };
    let logs = open_log_store(&journal, &bucket, Arc::clone(&clock), &Registry::new()).expect("a log in memory");
    let deps = IngesterDeps {
        symboliser: None,
        bucket,
        logs,
        catalog: Arc::new(catalog),
        registrar: Arc::new(NoRing),
        clock,
        registry,
    };
    Ingester::start("bench", IngesterConfig::default(), journal, deps).await.expect("nothing to recover")
}

/// 100 stacks a frame, of which half are the frame's own.
fn frames(count: u32, pods: u32) -> Vec<Bytes> {
    let frame = |number: u32| {
        let pod = format!("pod-{}", number % pods);
        let mut frame = FrameBuilder::cpu("bench").id_from(u128::from(number) + 1).group(&[("pod", &pod)]);
        for stack in 0..50 {
            frame = frame.stack(&format!("main;serve;handle{stack};work"), &[1]);
            frame = frame.stack(&format!("main;serve;of{number};leaf{stack}"), &[2]);
        }
        let mut bytes = Vec::new();
        frame.build().encode(&mut bytes);
        Bytes::from(bytes)
    };
    (0..count).map(frame).collect()
}

fn append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (kernel, pods) in [("few-series", 10), ("a-series-a-frame", u32::MAX)] {
        let mut group = criterion.benchmark_group(format!("growth-append-{kernel}"));
        for (size, count) in [("n", FRAMES), ("2n", 2 * FRAMES)] {
            let frames = frames(count, pods);
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(size, |bencher| {
                bencher.iter_batched(
                    || (runtime.block_on(ingester()), frames.clone()),
                    |(ingester, frames)| {
                        let request = AppendRequest { tenant: TenantId::anonymous(), frames, spread: Vec::new() };
                        let outcomes = runtime.block_on(ingester.append(request)).expect("room for all");
                        assert!(outcomes.iter().all(Result::is_ok));
                        ingester
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = append
}
criterion_main!(benches);
