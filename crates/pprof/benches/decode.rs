//! What does one profile cost from gzip to frame, warm? (performance.md 2.2 and B1)

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamelake_model::ProfileId;
use flamelake_pprof::{Decoder, ProfileLimits};
use flamelake_testkit::profile::{gunzip, gzip};
use flamelake_testkit::{ProfileBuilder, shared_file};
use std::hint::black_box;

/// Stacks over a random-looking call tree of `functions` functions.
fn synthetic(builder: ProfileBuilder, stacks: usize, depth: usize, columns: usize) -> Vec<u8> {
    let functions = 2000;
    let mut seed = 7u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let profile = (0..stacks).fold(builder, |profile, _| {
        let branch = next() % 50;
        let frames: Vec<String> = (0..depth)
            .map(|level| {
                let spread = if level * 2 < depth { branch } else { next() % functions };
                format!("github.com/org/project/pkg{level}.(*Type{spread}).Method")
            })
            .collect();
        let values: Vec<i64> = (0..columns)
            .map(|column| if next() % (column + 1) == 0 { 1 + (next() % 100_000) as i64 } else { 0 })
            .collect();
        profile.stack(&frames.join(";"), &values)
    });
    gzip(&profile.plain(), 6)
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut inputs = vec![
        ("synthetic-cpu".to_owned(), synthetic(ProfileBuilder::cpu(), 650, 25, 1)),
        ("synthetic-heap".to_owned(), synthetic(ProfileBuilder::heap(), 5600, 22, 4)),
    ];
    for name in [
        "go-cpu-small",
        "go-cpu-labels",
        "go-heap-small",
        "go-heap-medium",
        "go-heap-large",
        "go-heap-truncated",
        "java-cpu",
    ] {
        let file = shared_file("decode bench", &format!("corpus/pprof/{name}.pb.gz"));
        inputs.extend(file.map(|bytes| (name.to_owned(), bytes)));
    }
    inputs
}

fn decode(c: &mut Criterion) {
    let limits = ProfileLimits {
        max_profile_size_bytes: 64 << 20,
        max_samples: 0,
        reject_older_than: std::time::Duration::ZERO,
        reject_newer_than: std::time::Duration::ZERO,
        now_ns: 1_700_000_000_000_000_000,
        ..ProfileLimits::default()
    };
    let series = [("__name__".to_owned(), "n".to_owned()), ("service_name".to_owned(), "s".to_owned())];
    for (name, bytes) in inputs() {
        let plain = gunzip(&bytes);
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        let mut group = c.benchmark_group(&name);
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function("inflate+scan", |b| b.iter(|| decoder.decode(black_box(&bytes), 0).unwrap()));
        group.bench_function("scan", |b| b.iter(|| decoder.decode(black_box(&plain), 0).unwrap()));
        group.bench_function("frames", |b| {
            b.iter(|| decoder.frames(black_box(&bytes), &series, &limits, ProfileId([0; 16])).unwrap())
        });
        group.bench_function("frames+encode", |b| {
            b.iter(|| {
                out.clear();
                let frames = decoder.frames(black_box(&bytes), &series, &limits, ProfileId([0; 16])).unwrap();
                frames.iter().for_each(|frame| frame.encode(&mut out));
                out.len()
            })
        });
        let frames = decoder.frames(&bytes, &series, &limits, ProfileId([0; 16])).unwrap();
        out.clear();
        frames[0].encode(&mut out);
        group.bench_function("frame decode", |b| {
            b.iter(|| flamelake_pprof::frame::Frame::decode(black_box(&out)).unwrap())
        });
        group.finish();
    }
}

/// From gzip to frame at n and 2n samples: a heap profile of Go whose stacks are cut at 32 frames and so pass through the repair.
fn growth(c: &mut Criterion) {
    let limits = ProfileLimits {
        max_profile_size_bytes: 64 << 20,
        max_samples: 0,
        reject_older_than: std::time::Duration::ZERO,
        now_ns: 1_700_000_000_000_000_000,
        ..ProfileLimits::default()
    };
    for (kernel, spy, depth) in [("push", "rbspy", 25), ("push-go-cut", "gospy", 32)] {
        let series = [("__name__", "n"), ("service_name", "s"), ("pyroscope_spy", spy)];
        let series = series.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut group = c.benchmark_group(format!("growth-decode-{kernel}"));
        for (size, stacks) in [("n", 2_000), ("2n", 4_000)] {
            let bytes = synthetic(ProfileBuilder::heap(), stacks, depth, 4);
            let mut decoder = Decoder::new();
            group.throughput(Throughput::Elements(stacks as u64));
            group.bench_function(size, |b| {
                b.iter(|| decoder.frames(black_box(&bytes), &series, &limits, ProfileId([0; 16])).unwrap())
            });
        }
        group.finish();
    }
}

/// Partial pprofs of n and 2n stacks into one.
fn growth_merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("growth-merge-pprof");
    for (size, stacks) in [("n", 2_000), ("2n", 4_000)] {
        let plain = gunzip(&synthetic(ProfileBuilder::cpu(), stacks, 25, 1));
        group.throughput(Throughput::Elements(stacks as u64));
        group.bench_function(size, |b| {
            b.iter(|| {
                let mut builder = flamelake_pprof::PprofBuilder::new();
                (0..4).for_each(|_| builder.merge_encoded(black_box(&plain)).unwrap());
                builder.encode(None)
            })
        });
    }
    group.finish();
}

criterion_group!(benches, decode, growth, growth_merge);
criterion_main!(benches);
