//! What a merge costs: CPU time a sample (read, merged, encoded, stored) and peak memory, for blocks of one size and of ten times that: once
//! because there are ten times as many services, once because the one service sent ten times as much.
//!
//! Each size runs in a process of its own (this program again), so that its memory is its own; blocks lie in a folder.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flamelake_api::roles::{Alone, AppendRequest, IngesterApi, IngesterQuery, Member};
use flamelake_block::meta::LogRange;
use flamelake_block::rows::{PartitionRows, ProfileRow, SeriesRows};
use flamelake_block::writer::{BlockIdentity, block_folder, write_block};
use flamelake_catalog::{CatalogConfig, CatalogStore, Commit};
use flamelake_compactor::{Compactor, CompactorConfig, CompactorDeps, Job, OwnsAll};
use flamelake_config::Limits;
use flamelake_model::query::PartialAnswer;
use flamelake_model::{Labels, ProfileId, StatusError, TenantId};
use flamelake_object_storage::{Bucket, BucketDeps};
use flamelake_runtime::clock::SystemClock;
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use prometheus::Registry;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// As in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BLOCKS: u64 = 8;
const SERIES: usize = 25;
/// Of a profile.
const SAMPLES: usize = 500;
const STACKS: usize = 5_000;
const LOG: &str = "one/01ARZ3NDEKTSV4RRFFQ69G5FAV";
const TICKS_A_SECOND: f64 = 100.0;

/// Nobody is asked: nothing is deleted here.
#[derive(Debug)]
struct NoIngester;

#[async_trait::async_trait]
impl IngesterApi for NoIngester {
    async fn append(&self, _: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Err(StatusError::unimplemented("no pushes here"))
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("no queries here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }

    async fn purge_log(&self) -> Result<(), StatusError> {
        Ok(())
    }
}

/// Stacks by a power law; one in twenty is of this block alone.
fn partition(service: usize, number: u64, profiles: usize) -> PartitionRows {
    let mut names = StdRng::seed_from_u64(0);
    let mut frame = FrameBuilder::cpu("bench").group(&[]);
    for stack in 0..STACKS {
        let own = if stack % 20 == 0 { number } else { 0 };
        let depth = names.random_range(5..25);
        let frames: Vec<String> =
            (0..depth).map(|level| format!("package.F{}", level * 9 + names.random_range(0..4_u32))).collect();
        frame = frame.stack(&format!("{};leaf{own}_{stack}", frames.join(";")), &[1]);
    }
    let (mut table, mut stacks) = (SymbolTable::new(), Vec::new());
    table.intern(&frame.build(), &mut stacks);
    let mut random = StdRng::seed_from_u64(number);
    let series = (0..SERIES).map(|pod| series(pod, profiles, number, &stacks, &mut random)).collect();
    PartitionRows { service_name: format!("bench{service}"), symbols: Arc::new(table.snapshot()), series }
}

fn series(pod: usize, profiles: usize, block: u64, stacks: &[u32], random: &mut StdRng) -> SeriesRows {
    let labels = [("service_name", "bench"), ("pod", &format!("pod-{pod}"))];
    let mut rows = SeriesRows { labels: Labels::from_pairs(labels), ..SeriesRows::default() };
    for profile in 0..profiles {
        let start = rows.stacks.len() as u32;
        let pick = |random: &mut StdRng| stacks[(random.random::<f64>().powi(3) * stacks.len() as f64) as usize];
        let mut used: Vec<u32> = (0..SAMPLES).map(|_| pick(random)).collect();
        used.sort_unstable();
        rows.values.extend(used.iter().map(|_| 10_000_000 * i64::from(random.random_range(1..9_u8))));
        rows.stacks.extend(used);
        rows.profiles.push(ProfileRow {
            time_ns: (block as i64 * profiles as i64 + profile as i64) * 15_000_000_000,
            id: ProfileId(random.random()),
            duration_ns: 15_000_000_000,
            period: 10_000_000,
            total: rows.values[start as usize..].iter().sum(),
            samples_start: start,
            samples_end: rows.stacks.len() as u32,
        });
    }
    rows
}

fn bucket(folder: &Path) -> Bucket {
    Bucket::filesystem(folder, "", BucketDeps::default()).expect("a folder")
}

fn catalog(bucket: &Bucket) -> Arc<CatalogStore> {
    let (clock, config) = (SystemClock::shared(), CatalogConfig::default());
    Arc::new(CatalogStore::new(bucket.clone(), clock, config, &Registry::new()))
}

async fn prepare(folder: &Path, services: usize, profiles: usize) {
    let (bucket, tenant) = (bucket(folder), TenantId::anonymous());
    let catalog = catalog(&bucket);
    for number in 1..=BLOCKS {
        let state = catalog.load(&tenant).await.expect("a catalog");
        let range = LogRange { log: LOG.to_owned(), from: number * 10, to: number * 10 + 10 };
        let identity = BlockIdentity {
            ulid: catalog.next_block_id(&state),
            tenant: tenant.clone(),
            level: 0,
            log_ranges: vec![range.clone()],
            sources: Vec::new(),
        };
        let block = write_block(identity, (0..services).map(|service| partition(service, number, profiles)))
            .expect("rows are valid");
        for (name, bytes) in block.files {
            let key = format!("{}{name}", block_folder(&tenant, block.meta.ulid));
            bucket.put(&key, bytes).await.expect("the folder takes it");
        }
        let covered = [(range.log, (if number == 1 { 0 } else { range.from }, range.to))].into();
        let commit = Commit { add: vec![Arc::new(block.meta)], covered, ..Commit::default() };
        catalog.commit(&tenant, commit).await.expect("nobody else commits");
    }
}

/// CPU seconds and bytes that the merge took.
async fn merge(folder: &Path) -> (f64, u64) {
    let bucket = bucket(folder);
    let catalog = catalog(&bucket);
    let deps = CompactorDeps {
        bucket,
        catalog: Arc::clone(&catalog),
        ownership: Arc::new(OwnsAll),
        ingesters: Arc::new(Alone(Member { name: "one".to_owned(), api: Arc::new(NoIngester) as _ })),
        limits: Arc::new(Arc::new(Limits::default())),
        clock: SystemClock::shared(),
        registry: Registry::new(),
    };
    let compactor = Compactor::new(CompactorConfig::default(), deps).expect("a compactor");
    let tenant = TenantId::anonymous();
    let state = catalog.load(&tenant).await.expect("a catalog");
    let job = Job { level: 1, blocks: state.blocks.keys().copied().collect() };
    assert_eq!(job.blocks.len(), BLOCKS as usize, "the blocks were prepared");
    let (cpu, memory) = (cpu_seconds(), peak_bytes());
    assert!(compactor.run_job(&tenant, &state, &job).await.expect("a merge"), "nobody else merges");
    (cpu_seconds() - cpu, peak_bytes() - memory)
}

fn proc(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/self/{file}")).expect("Linux")
}

fn cpu_seconds() -> f64 {
    let stat = proc("stat");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields[11..13].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
}

fn peak_bytes() -> u64 {
    let status = proc("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn run(step: &str, folder: &Path, (services, profiles): (usize, usize), allocator: &str) -> String {
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.args([step, &folder.display().to_string(), &services.to_string(), &profiles.to_string()]);
    command.env("_RJEM_MALLOC_CONF", allocator);
    let output = command.output().expect("this program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare", folder, services, profiles] => {
            let [services, profiles] = [services, profiles].map(|number| number.parse().expect("a number"));
            runtime.block_on(prepare(Path::new(folder), services, profiles));
        }
        ["merge", folder, ..] => {
            let (seconds, bytes) = runtime.block_on(merge(Path::new(folder)));
            println!("{seconds} {bytes}");
        }
        _ => table(),
    }
}

fn table() {
    println!(
        "| services | samples merged | CPU a sample | CPU | peak memory in use | with what the allocator keeps |\n|---|---|---|---|---|---|"
    );
    for size in [(3, 40), (30, 40), (1, 400)] {
        let (services, profiles) = size;
        let (seconds, kept) = measure(size, "");
        // Pages that are free go back at once: what is left is in use.
        let (_, used) = measure(size, "dirty_decay_ms:0,muzzy_decay_ms:0");
        let samples = BLOCKS as usize * services * SERIES * SAMPLES * profiles;
        println!(
            "| {services} | {} M | {:.0} ns | {seconds:.2} s | {:.0} MB | {:.0} MB |",
            samples / 1_000_000,
            seconds * 1e9 / samples as f64,
            used / 1e6,
            kept / 1e6
        );
    }
}

/// CPU seconds and bytes of one merge.
fn measure(size: (usize, usize), allocator: &str) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    run("prepare", folder.path(), size, "");
    let told = run("merge", folder.path(), size, allocator);
    let (seconds, bytes) = told.split_once(' ').expect("two numbers");
    (seconds.parse().expect("a number"), bytes.parse().expect("a number"))
}
