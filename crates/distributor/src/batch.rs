//! What any ingest protocol turns its request into: series of profiles, nothing judged yet.

use bytes::Bytes;
use flamelake_pprof::Tables;
use xxhash_rust::xxh3::xxh3_128;

/// One request of one tenant.
#[derive(Clone, Debug, Default)]
pub struct PushBatch {
    /// In the order of the request: error texts count from 0.
    pub series: Vec<PushSeries>,
}

/// Profiles with the same labels.
#[derive(Clone, Debug, Default)]
pub struct PushSeries {
    /// As sent: any order, perhaps with repeats or empty values.
    pub labels: Vec<(String, String)>,
    /// Each becomes a profile of its own.
    pub profiles: Vec<RawProfile>,
}

/// One profile.
#[derive(Clone, Debug, Default)]
pub struct RawProfile {
    /// What it holds.
    pub content: Content,
    /// What the client calls it: any text, may be empty.
    pub id: String,
}

/// What a profile holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A pprof message, gzip or plain.
    Pprof(Bytes),
    /// What was decoded from another format.
    Tables(Box<Tables>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Pprof(Bytes::new())
    }
}

impl Content {
    /// As a pprof message, gzip if it came so.
    pub fn into_pprof(self) -> Bytes {
        match self {
            Self::Pprof(bytes) => bytes,
            Self::Tables(tables) => tables.encode().into(),
        }
    }

    /// Bytes as sent, or as a message.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Pprof(bytes) => bytes.len() as u64,
            Self::Tables(tables) => tables.bytes() as u64,
        }
    }

    /// Equal for equal contents that came in the same way.
    pub(crate) fn hash(&self) -> u128 {
        match self {
            Self::Pprof(bytes) => xxh3_128(bytes),
            Self::Tables(tables) => tables.content_hash(),
        }
    }
}
