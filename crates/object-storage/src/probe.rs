//! The check at start that a store keeps the two properties that log and catalog rest on.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::try_join_all;

use crate::{Bucket, PutOutcome, StorageError};

/// Names raced for.
const ROUNDS: usize = 4;
/// Racers a name.
const RACERS: usize = 8;

impl Bucket {
    /// Races several creates of one name, several times: exactly one must win, the object must hold the winner's bytes, and LIST
    /// must show it. A store that fails is refused with an error that names the remedy. Costs some 50 small requests.
    ///
    /// A full disk is let through: what lies there can be read, and a folder that cannot link names cannot create anything either.
    pub async fn probe_put_if_absent(&self) -> Result<(), StorageError> {
        let folder = format!("probe/{:032x}", rand::random::<u128>());
        let result = self.probe_in(&folder).await;
        for round in 0..ROUNDS {
            self.delete(&format!("{folder}/{round}")).await?;
        }
        match result {
            Err(error @ StorageError::OutOfSpace { .. }) if self.is_local() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the disk is full: the store was not checked");
                Ok(())
            }
            result => result,
        }
    }

    async fn probe_in(&self, folder: &str) -> Result<(), StorageError> {
        for round in 0..ROUNDS {
            self.probe_round(&format!("{folder}/{round}")).await?;
        }
        let listed: BTreeSet<String> =
            self.list(&format!("{folder}/")).await?.into_iter().map(|entry| entry.key).collect();
        if (0..ROUNDS).all(|round| listed.contains(&format!("{folder}/{round}"))) {
            return Ok(());
        }
        refuse("its LIST does not show objects just written; it must be strongly consistent")
    }

    async fn probe_round(&self, key: &str) -> Result<(), StorageError> {
        let bytes_of = |racer: usize| Bytes::from(format!("racer {racer}"));
        let racers = (0..RACERS).map(|racer| self.put_if_absent(key, bytes_of(racer)));
        let outcomes = try_join_all(racers).await?;
        let winners: Vec<usize> = (0..RACERS).filter(|racer| outcomes[*racer] == PutOutcome::Created).collect();
        let late = self.put_if_absent(key, Bytes::from_static(b"late")).await?;
        match winners.as_slice() {
            [winner] if late == PutOutcome::AlreadyExists => {
                if self.get(key).await? == bytes_of(*winner) {
                    return Ok(());
                }
                refuse("an object does not hold the bytes of the create that won")
            }
            // A lost answer can make a race without a winner; the object then must be there and stay.
            [] if late == PutOutcome::AlreadyExists => Ok(()),
            _ => refuse(
                "it does not honour conditional creates (If-None-Match: *): of several creates of one name more than one won",
            ),
        }
    }
}

fn refuse(fault: &str) -> Result<(), StorageError> {
    let reason = format!(
        "the object store failed the probe at start: {fault}. Use a store with atomic conditional creates \
         (AWS S3, GCS, Azure, MinIO, Cloudflare R2, Ceph from Squid on, or a local folder), or set log.arbiter: etcd, with which etcd decides whose create wins"
    );
    Err(StorageError::Unusable { reason })
}
