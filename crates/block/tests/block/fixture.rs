//! A block that version 1 wrote is read forever. `UPDATE_GOLDEN=1` writes it anew; do that only while no release has it.

use std::fs;

use bytes::Bytes;
use flamelake_testkit::{assert_golden, package_dir};

use crate::support::{Shape, open, partition, rows_read, store, write};

fn files() -> Vec<(String, Bytes)> {
    let folder = package_dir().join("testdata/blocks/v1/block");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        let shape = Shape { series: 3, profiles: 3, samples: 6, spans: true };
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in write(vec![partition("billing", 7, shape), partition("checkout", 8, shape)]).files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let files = fs::read_dir(&folder).expect("UPDATE_GOLDEN=1 writes the fixture");
    let read =
        |file: fs::DirEntry| (file.file_name().into_string().unwrap(), Bytes::from(fs::read(file.path()).unwrap()));
    files.map(|file| read(file.unwrap())).collect()
}

#[tokio::test]
async fn version_1_is_read() {
    let reader = open(&store(&files()).await).await.unwrap();
    let mut text = String::new();
    for partition in &reader.meta().partitions {
        text += &format!("{} {:?}\n", partition.service_name, partition.profile_types);
        for row in rows_read(&reader, partition.part, i64::MIN, i64::MAX).await.unwrap() {
            text += &format!("  {row}\n");
        }
    }
    assert_golden(&package_dir(), "testdata/blocks/v1/rows.txt", &text);
}
