//! Java Flight Recorder: chunks of events with the description of their own classes (contract `ingest.md` section 4.6).
//!
//! A parser of our own: it reads by the metadata of the file, keeps what profiles need, and every read, recursion and table is bounded
//! by the bytes that are there. Files with fixed-width integers are refused: no agent writes them.

mod chunk;
mod events;
mod frames;
mod labels_snapshot;
mod metadata;
mod plan;
mod pools;
mod profiles;
mod reader;
#[cfg(test)]
pub(crate) mod fixture;

use crate::PushSeries;
use crate::decode::{DecodeLimits, Refused, Source};

pub(crate) use labels_snapshot::LabelsSnapshot;

/// A series for each kind of profile that the recording holds; `labels` is the part of this name.
pub(crate) fn series(
    body: &[u8],
    labels: Option<&[u8]>,
    source: &Source,
    limits: DecodeLimits,
) -> Result<Vec<PushSeries>, Refused> {
    let labels = labels.map(LabelsSnapshot::parse).transpose()?.unwrap_or_default();
    let mut profiles = profiles::Profiles::new(source, &labels, limits);
    let mut rest = body;
    if rest.is_empty() {
        return Err(Refused::malformed("the recording is empty"));
    }
    while !rest.is_empty() {
        let chunk = chunk::Chunk::split(&mut rest)?;
        events::read(&chunk, &mut profiles)?;
    }
    profiles.into_series()
}
