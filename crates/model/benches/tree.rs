//! What does the root of a query pay: merging partial trees, reading them from bytes, and cutting a large one?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flamelake_model::flamegraph::FlameGraph;
use flamelake_model::tree::Tree;
use std::hint::black_box;

/// A tree of about `nodes` nodes with names and depths like those of real services; the same seed gives the same tree.
fn sample(seed: u64, nodes: usize) -> Tree {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let names: Vec<String> = (0..2000)
        .map(|id| format!("github.com/example/service/internal/package{}.(*Type).Method{id}", id % 97))
        .collect();
    let mut tree = Tree::new();
    while tree.len() < nodes {
        // Small fan-out near the root, so that trees of several seeds share much.
        let depth = 8 + next(40);
        let path: Vec<&str> = (0..depth).map(|level| &*names[((level * 37 + next(3)) % 2000) as usize]).collect();
        tree.add(path, 1 + next(1000) as i64);
    }
    tree
}

fn merge(criterion: &mut Criterion) {
    let parts: Vec<Tree> = (0..64).map(|seed| sample(seed, 8192)).collect();
    let encoded: Vec<Vec<u8>> = parts.iter().map(Tree::encode).collect();
    let mut group = criterion.benchmark_group("merge_64_trees_of_8192");
    group.throughput(Throughput::Elements(parts.iter().map(|part| part.len() as u64).sum()));
    group.bench_function("trees", |bencher| {
        bencher.iter(|| {
            let mut all = Tree::new();
            parts.iter().for_each(|part| all.merge(part));
            black_box(all.len())
        });
    });
    group.bench_function("encoded", |bencher| {
        bencher.iter(|| {
            let mut all = Tree::new();
            encoded.iter().for_each(|part| all.merge_encoded(part).expect("written by encode"));
            black_box(all.len())
        });
    });
    group.finish();
}

/// n and 2n partial trees, then partial trees of n and 2n nodes.
fn growth(criterion: &mut Criterion) {
    let kernels = [("parts", [(16, 8192), (32, 8192)]), ("nodes", [(16, 8192), (16, 16384)])];
    for (kernel, sizes) in kernels {
        let mut group = criterion.benchmark_group(format!("growth-merge-tree-{kernel}"));
        for (name, (parts, nodes)) in ["n", "2n"].into_iter().zip(sizes) {
            let encoded: Vec<Vec<u8>> = (0..parts).map(|seed| sample(seed, nodes).encode()).collect();
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let mut all = Tree::new();
                    encoded.iter().for_each(|part| all.merge_encoded(part).expect("written by encode"));
                    black_box(FlameGraph::new(&all.view(Some(2048))).levels.len())
                });
            });
        }
        group.finish();
    }
}

fn draw(criterion: &mut Criterion) {
    let tree = sample(1, 1_000_000);
    let mut group = criterion.benchmark_group("draw_a_tree_of_1048576");
    group.throughput(Throughput::Elements(tree.len() as u64));
    for max_nodes in [Some(8192), None] {
        group.bench_function(format!("{max_nodes:?}"), |bencher| {
            bencher.iter(|| black_box(FlameGraph::new(&tree.view(max_nodes)).levels.len()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = merge, growth, draw
}
criterion_main!(benches);
