//! A real S3 server passes the suite, and its creates are atomic.
#![allow(missing_docs)]

use bytes::Bytes;
use flamelake_config::Secret;
use flamelake_object_storage::{Bucket, BucketDeps, PutOutcome, S3Config, StorageConfig, suite};
use flamelake_testkit::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use futures::future::join_all;

fn bucket(server: &S3Server, prefix: &str) -> Bucket {
    let s3 = S3Config {
        endpoint: server.endpoint(),
        bucket_name: BUCKET.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: Secret::new(SECRET_KEY),
        insecure: true,
        force_path_style: true,
        ..S3Config::default()
    };
    let config = StorageConfig { backend: "s3".to_owned(), prefix: prefix.to_owned(), s3, ..StorageConfig::default() };
    Bucket::open(&config, BucketDeps::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = S3Server::start("s3 passes_the_suite", folder.path()).unwrap() else { return };
    bucket(&server, "").probe_put_if_absent().await.unwrap();
    suite::run(&bucket(&server, "below/a/prefix")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_creates_wins() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = S3Server::start("s3 one_of_many_creates_wins", folder.path()).unwrap() else { return };
    // Clients of their own, as processes are.
    let buckets: Vec<Bucket> = (0..8).map(|_| bucket(&server, "race")).collect();
    for round in 0..20 {
        let name = format!("{round}");
        let creates = buckets.iter().enumerate().map(|(writer, bucket)| {
            let bytes = Bytes::from(vec![writer as u8; 4096]);
            let name = &name;
            async move { bucket.put_if_absent(name, bytes).await.unwrap() }
        });
        let outcomes = join_all(creates).await;
        let winners: Vec<u8> = (0..8).filter(|at| outcomes[usize::from(*at)] == PutOutcome::Created).collect();
        let stored = buckets[0].get(&name).await.unwrap();
        // None may know of its success (an answer was lost, or the store answered the race with a conflict), two never.
        assert!(
            winners.is_empty() || winners == [stored[0]],
            "round {round}: {winners:?} won, {} is stored",
            stored[0]
        );
    }
}
