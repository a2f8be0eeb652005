//! What does it cost to intern a profile whose stacks are known, and one whose stacks are new?

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flamelake_pprof::frame::Frame;
use flamelake_symbols::SymbolTable;
use flamelake_testkit::FrameBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// 2,000 stacks, about 20 frames each, of 600 functions.
fn frame() -> Frame {
    let mut random = StdRng::seed_from_u64(1);
    let mut builder = FrameBuilder::cpu("bench").group(&[]);
    for _ in 0..2_000 {
        let depth = random.random_range(5..35);
        let stack: Vec<String> = (0..depth)
            .map(|level| format!("package/path.Function{}", level * 17 + random.random_range(0..6_u32)))
            .collect();
        builder = builder.stack(&stack.join(";"), &[1]);
    }
    builder.build()
}

fn intern(criterion: &mut Criterion) {
    let frame = frame();
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

criterion_group!(benches, intern);
criterion_main!(benches);
