//! What does it cost to intern a profile whose stacks are known, and one whose stacks are new?

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flamelake_pprof::frame::Frame;
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// So many stacks, about 20 frames each, of 600 functions.
fn frame(stacks: usize) -> Frame {
    let mut random = StdRng::seed_from_u64(1);
    let mut builder = FrameBuilder::cpu("bench").group(&[]);
    for _ in 0..stacks {
        let depth = random.random_range(5..35);
        let stack: Vec<String> = (0..depth)
            .map(|level| format!("package/path.Function{}", level * 17 + random.random_range(0..6_u32)))
            .collect();
        builder = builder.stack(&stack.join(";"), &[1]);
    }
    builder.build()
}

fn intern(criterion: &mut Criterion) {
    let frame = frame(2_000);
    let mut out = Vec::new();
    criterion.bench_function("intern/cold", |bencher| {
        bencher.iter_batched(
            SymbolTable::new,
            |mut table| table.intern(black_box(&frame), &mut out),
            BatchSize::LargeInput,
        );
    });
    let mut table = SymbolTable::new();
    let mut out = Vec::new();
    table.intern(&frame, &mut out);
    criterion.bench_function("intern/warm", |bencher| bencher.iter(|| table.intern(black_box(&frame), &mut out)));
    criterion.bench_function("intern/snapshot", |bencher| bencher.iter(|| black_box(table.snapshot())));
}

/// New stacks at n and 2n.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth-intern");
    for (size, stacks) in [("n", 4_000), ("2n", 8_000)] {
        let (frame, mut out) = (frame(stacks), Vec::new());
        group.bench_function(size, |bencher| {
            bencher.iter_batched(
                SymbolTable::new,
                |mut table| {
                    table.intern(black_box(&frame), &mut out);
                    table
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, intern, growth);
criterion_main!(benches);
