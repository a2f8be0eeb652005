//! What any ingest protocol turns its request into: series of pprof profiles, nothing decoded yet.

use bytes::Bytes;

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

/// One pprof message.
#[derive(Clone, Debug, Default)]
pub struct RawProfile {
    /// Gzip or plain.
    pub pprof: Bytes,
    /// What the client calls it: any text, may be empty.
    pub id: String,
}
