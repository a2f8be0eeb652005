//! Catalogs from a handful of blocks to years of them: bytes of a commit and of the whole, and what applying and loading cost. Real formats, a
//! bucket in memory.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::sync::Arc;
use std::time::Instant;

use flamelake_block::meta::{BlockMeta, FileMeta, PartitionMeta, PartitionTables, Ulid};
use flamelake_catalog::{CatalogConfig, CatalogStore, Commit};
use flamelake_model::TenantId;
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SystemClock;
use prometheus::Registry;

const TYPES: [&str; 5] = [
    "memory:alloc_objects:count:space:bytes",
    "memory:alloc_space:bytes:space:bytes",
    "memory:inuse_objects:count:space:bytes",
    "memory:inuse_space:bytes:space:bytes",
    "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
];
const FILES: usize = 7;

fn block(number: u64, services: usize) -> BlockMeta {
    let partition = |part: usize| PartitionMeta {
        native_build_ids: Vec::new(),
        part: part as u16,
        service_name: format!("team-{}/service-{part}", part % 40),
        profile_types: TYPES.map(str::to_owned).to_vec(),
        min_time_ns: 1_800_000_000_000_000_000 + number as i64,
        max_time_ns: 1_800_000_900_000_000_000 + number as i64,
        series: 50,
        profiles: 3_000,
        samples: 300_000,
        tables: PartitionTables::default(),
    };
    let file = |number: usize| FileMeta {
        name: format!("file-{number}.parquet"),
        bytes: 1 << 20,
        rows: 1 << 16,
        footer_start: 1 << 19,
        checksum_chunk_bytes: 1 << 20,
        crc32c: "0123abcd".to_owned(),
    };
    BlockMeta {
        version: 1,
        ulid: Ulid::from_parts(1_800_000_000_000 + number, 1),
        tenant: "anonymous".to_owned(),
        min_time_ns: 1_800_000_000_000_000_000,
        max_time_ns: 1_800_000_900_000_000_000,
        bytes: 7 << 20,
        level: 2,
        log_ranges: Vec::new(),
        sources: Vec::new(),
        partitions: (0..services).map(partition).collect(),
        files: (0..FILES).map(file).collect(),
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!(
        "| services | blocks | bytes of one block's entry | bytes in the bucket | a commit | load from scratch |\n|---|---|---|---|---|---|"
    );
    for (services, blocks) in [(10, 30), (100, 30), (1_000, 30), (100, 365), (1_000, 365)] {
        runtime.block_on(measure(services, blocks));
    }
}

async fn measure(services: usize, blocks: u64) {
    let (bucket, tenant) = (Bucket::in_memory(), TenantId::anonymous());
    let open = || CatalogStore::new(bucket.clone(), SystemClock::shared(), CatalogConfig::default(), &Registry::new());
    let writer = open();
    let started = Instant::now();
    for number in 0..blocks {
        let commit = Commit { add: vec![Arc::new(block(number, services))], ..Commit::default() };
        writer.commit(&tenant, commit).await.expect("valid");
    }
    let commit = started.elapsed() / blocks as u32;
    let entry = serde_json::to_vec(&block(0, services)).expect("JSON").len();
    let objects = bucket.list("tenants/").await.expect("memory");
    let bytes: u64 = objects.iter().map(|object| object.bytes).sum();
    let started = Instant::now();
    let state = open().load(&tenant).await.expect("whole");
    let load = started.elapsed();
    assert_eq!(state.blocks.len() as u64, blocks);
    println!(
        "| {services} | {blocks} | {} kB | {:.1} MB | {commit:.1?} | {load:.1?} |",
        entry / 1000,
        bytes as f64 / 1e6
    );
}
