//! What does a profile of each format cost, from body to frame, beside the same profile as gzipped pprof? With an ingester that costs
//! nothing. `<content>/<format>` and `<content>/<format>-as-pprof` are to be compared; recordings of others come from the shared corpus.
//!
//! `ROUNDS=20 ONLY=stacks/tree formats` does that one so many times and nothing else: two runs under callgrind, with different rounds,
//! tell the instructions of one round, which a busy machine does not change.
#![allow(missing_docs, reason = "criterion's macros")]

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use flamelake_api::roles::{AppendRequest, IngesterApi, IngesterQuery};
use flamelake_config::Limits;
use flamelake_distributor::{
    Content, Distributor, DistributorConfig, DistributorDeps, Distributors, PushBatch, PushSeries, read_body, read_otlp,
};
use flamelake_model::query::PartialAnswer;
use flamelake_model::{StatusError, TenantId};
use flamelake_testkit::profile::{gunzip, gzip};
use flamelake_testkit::wire::varint;
use flamelake_testkit::{FakeClock, shared_file};
use tokio::runtime::Runtime;

/// As in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STACKS: usize = 1000;
const DEPTH: usize = 25;

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl IngesterApi for Nowhere {
    async fn append(&self, request: AppendRequest) -> Result<Vec<Result<(), StatusError>>, StatusError> {
        Ok(vec![Ok(()); request.frames.len()])
    }

    async fn query(&self, _: IngesterQuery) -> Result<PartialAnswer, StatusError> {
        Err(StatusError::unimplemented("not asked here"))
    }

    async fn flush(&self, _: Option<TenantId>) -> Result<(), StatusError> {
        Ok(())
    }
}

fn limits() -> Limits {
    let zero = std::time::Duration::ZERO;
    let mut limits = Limits { ingestion_rate_mb: 0.0, reject_older_than: zero, ..Limits::default() };
    limits.max_profile_size_bytes = 64 << 20;
    limits
}

fn distributor() -> Arc<Distributor> {
    let deps = DistributorDeps {
        clock: FakeClock::default().shared(),
        limits: Arc::new(Arc::new(limits())),
        ingester: Arc::new(Nowhere),
        distributors: Distributors::alone(),
        registry: prometheus::Registry::new(),
    };
    Distributor::new(DistributorConfig::default(), deps).expect("a fresh registry")
}

/// Stacks that share their upper half, as those of a server do; sorted, each once.
fn stacks() -> Vec<Vec<String>> {
    let mut seed = 7_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut stacks: Vec<Vec<String>> = (0..STACKS)
        .map(|_| {
            let branch = next() % 50;
            let part = |level: usize, own: usize| if level * 2 < DEPTH { branch } else { own % 2000 };
            (0..DEPTH).map(|level| format!("github.com/org/pkg{level}.(*Type{}).Method", part(level, next()))).collect()
        })
        .collect();
    stacks.sort();
    stacks.dedup();
    stacks
}

fn folded(stacks: &[Vec<String>], count: &str) -> Bytes {
    stacks.iter().fold(String::new(), |text, stack| text + &stack.join(";") + count + "\n").into()
}

/// A node a frame: the children of `stacks` at this depth, which share what stands before it.
fn tree(out: &mut Vec<u8>, name: &str, stacks: &[Vec<String>], depth: usize) {
    let own = u64::from(stacks.iter().any(|stack| stack.len() == depth));
    let children: Vec<&[Vec<String>]> = stacks.chunk_by(|a, b| a.get(depth) == b.get(depth)).collect();
    let children: Vec<_> = children.into_iter().filter(|group| group[0].len() > depth).collect();
    for part in [varint(name.len() as u64), name.as_bytes().to_vec(), varint(own), varint(children.len() as u64)] {
        out.extend(part);
    }
    for group in children {
        tree(out, &group[0][depth], group, depth + 1);
    }
}

/// The same with separators in the names: a node of a trie is a piece of folded text.
fn trie(stacks: &[Vec<String>]) -> Bytes {
    let piece = |depth: usize, name: &String| if depth == 0 { name.clone() } else { format!(";{name}") };
    let pieces: Vec<Vec<String>> =
        stacks.iter().map(|stack| stack.iter().enumerate().map(|(depth, name)| piece(depth, name)).collect()).collect();
    let mut out = Vec::new();
    tree(&mut out, "", &pieces, 0);
    out.into()
}

fn speedscope(stacks: &[Vec<String>]) -> Bytes {
    let mut names: Vec<&String> = stacks.iter().flatten().collect();
    names.sort();
    names.dedup();
    let index = |name: &String| names.binary_search(&name).expect("it is among them").to_string();
    let frames: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    let samples: Vec<String> =
        stacks.iter().map(|stack| format!("[{}]", stack.iter().map(index).collect::<Vec<_>>().join(","))).collect();
    let mut text = String::new();
    let (frames, samples, weights) = (frames.join(","), samples.join(","), vec!["1"; stacks.len()].join(","));
    write!(
        text,
        r#"{{"$schema":"https://www.speedscope.app/file-format-schema.json","shared":{{"frames":[{frames}]}},"profiles":[{{"type":"sampled","name":"p","unit":"none","startValue":0,"endValue":{},"samples":[{samples}],"weights":[{weights}]}}]}}"#,
        stacks.len()
    )
    .expect("text takes it");
    text.into()
}

/// A body and how it is read.
type Read = Box<dyn Fn() -> Vec<PushSeries>>;

fn by_ingest(query: &'static str, body: Bytes) -> Read {
    Box::new(move || read_body(query, "", &body, &limits(), 1).expect("a good body"))
}

fn contents() -> Vec<(&'static str, &'static str, Read)> {
    let stacks = stacks();
    let mut of_tree = Vec::new();
    tree(&mut of_tree, "", &stacks, 0);
    let mut contents = vec![
        ("stacks", "folded", by_ingest("name=a.cpu&format=folded", folded(&stacks, " 1"))),
        ("stacks", "lines", by_ingest("name=a.cpu&format=lines", folded(&stacks, ""))),
        ("stacks", "tree", by_ingest("name=a.cpu&format=tree", of_tree.into())),
        ("stacks", "trie", by_ingest("name=a.cpu&format=trie", trie(&stacks))),
        ("stacks", "speedscope", by_ingest("name=a.cpu&format=speedscope", speedscope(&stacks))),
    ];
    for (name, file) in [("jfr-cpu", "kafka-cpu"), ("jfr-cpu-lock-alloc", "kafka-cpu-lock-alloc")] {
        let body = shared_file("formats bench", &format!("corpus/jfr/{file}.jfr.gz"));
        contents.extend(body.map(|body| (name, "jfr", by_ingest("name=a&format=jfr", body.into()))));
    }
    let body = shared_file("formats bench", "corpus/otlp/otel-ebpf-profile.pb.bin").map(Bytes::from);
    let otlp = |body: Bytes| -> Read { Box::new(move || read_otlp(body.clone(), 1).expect("a good body")) };
    contents.extend(body.map(|body| ("otlp-ebpf", "otlp", otlp(body))));
    contents
}

/// The pprof messages as agents send them.
fn packed(mut series: Vec<PushSeries>) -> Vec<PushSeries> {
    for profile in series.iter_mut().flat_map(|series| &mut series.profiles) {
        let pprof = std::mem::take(&mut profile.content).into_pprof();
        let plain = if pprof.starts_with(&[0x1f, 0x8b]) { gunzip(&pprof) } else { pprof.to_vec() };
        profile.content = Content::Pprof(gzip(&plain, 6).into());
    }
    series
}

fn formats(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (distributor, tenant) = (distributor(), TenantId::anonymous());
    let push = |series: Vec<PushSeries>| {
        runtime.block_on(distributor.push(&tenant, PushBatch { series })).expect("a good push");
    };
    let only = std::env::var("ONLY").ok();
    let rounds = std::env::var("ROUNDS").ok().map(|rounds| rounds.parse::<u32>().expect("ROUNDS is a number"));
    let mut group = c.benchmark_group("formats");
    for (content, format, read) in contents() {
        let pprof = packed(read());
        let own = || push(read());
        let as_pprof = || push(pprof.clone());
        let ways: [(String, &dyn Fn()); 2] =
            [(format!("{content}/{format}"), &own), (format!("{content}/{format}-as-pprof"), &as_pprof)];
        for (name, way) in ways {
            match rounds {
                Some(rounds) if only.as_ref() == Some(&name) => (0..rounds).for_each(|_| way()),
                Some(_) => {}
                None => drop(group.bench_function(name, |b| b.iter(way))),
            }
        }
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
