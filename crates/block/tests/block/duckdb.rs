//! DuckDB gets the same sums from the same files by the SQL of docs/formats/block.sql. Needs a Python with the package `duckdb`;
//! without it the test says so and passes.

use std::collections::BTreeMap;
use std::process::Command;

use flamelake_block::reader::{BlockReader, SampleBatch, SampleColumns, SymbolDetail};
use flamelake_model::TimestampNs;
use flamelake_testkit::{package_dir, tools};

use crate::support::{Shape, open, partition, store, write};

/// (service, type, function name) → sum of the samples that end in it.
async fn sums(reader: &BlockReader) -> BTreeMap<(String, String, String), i64> {
    let mut sums = BTreeMap::new();
    for partition in &reader.meta().partitions {
        let series = reader.series(partition.part).await.unwrap();
        let symbols = reader.symbols(partition.part, SymbolDetail::Functions).await.unwrap();
        let all: Vec<u32> = (0..series.len() as u32).collect();
        let mut sink = |batch: SampleBatch<'_>| {
            let kind = series[batch.series as usize].labels.value_or_empty("__profile_type__");
            for (stack, value) in batch.stacks.iter().zip(batch.values) {
                let node = symbols.function_node(*stack);
                let name = if node == 0 { "" } else { symbols.name(symbols.function_node_name(node)) };
                let key = (partition.service_name.clone(), kind.to_owned(), name.to_owned());
                *sums.entry(key).or_insert(0) += value;
            }
        };
        let (from, to) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));
        reader.samples(partition.part, &all, from, to, SampleColumns::default(), &mut sink).await.unwrap();
    }
    sums
}

#[tokio::test]
async fn duckdb_gets_the_same_sums() {
    let Some(python) = tools::python_with("duckdb_gets_the_same_sums", "duckdb") else { return };
    let shape = Shape { series: 4, profiles: 20, samples: 300, spans: true };
    let block = write(vec![partition("a", 21, shape), partition("b", 22, shape)]);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &block.files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let script = package_dir().join("tests/block/duckdb_sums.py");
    let views = package_dir().join("../../docs/formats/block.sql");
    let output = Command::new(python).arg(script).arg(views).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours = sums(&open(&store(&block.files).await).await.unwrap()).await;
    let ours: String =
        ours.into_iter().map(|((service, kind, name), sum)| format!("{service}\t{kind}\t{name}\t{sum}\n")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ours);
}
