//! What tests push.

use std::time::{SystemTime, UNIX_EPOCH};

use flamelake_api::push::v1::{PushRequest, PushResponse, RawProfileSeries, RawSample};
use flamelake_api::types::v1::LabelPair;
use flamelake_testkit::ProfileBuilder;

use crate::client::Answer;
use crate::{Client, Protocol};

const PUSH: &str = "push.v1.PusherService/Push";

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    i64::try_from(since.as_nanos()).expect("before the year 2262")
}

/// A gzipped CPU profile from folded text.
pub fn cpu_profile(folded: &str, time_ns: i64) -> Vec<u8> {
    ProfileBuilder::cpu().folded(folded).time_ns(time_ns).gzip()
}

/// One series with these labels and profiles (bytes and client id).
pub fn push_request(labels: &[(&str, &str)], profiles: Vec<(Vec<u8>, &str)>) -> PushRequest {
    let labels = labels.iter().map(|(n, v)| LabelPair { name: (*n).to_owned(), value: (*v).to_owned() }).collect();
    let samples =
        profiles.into_iter().map(|(pprof, id)| RawSample { raw_profile: pprof.into(), id: id.to_owned() }).collect();
    PushRequest { series: vec![RawProfileSeries { labels, samples, annotations: Vec::new() }] }
}

/// Pushes a request as Connect binary.
pub async fn push(client: &Client, request: &PushRequest) -> Answer<()> {
    let answer: Result<PushResponse, _> = client.call(Protocol::ConnectProto, PUSH, request).await?;
    Ok(answer.map(drop))
}

/// Pushes one CPU profile of a service; fails if it is refused.
pub async fn push_cpu(client: &Client, service: &str, folded: &str, time_ns: i64) -> anyhow::Result<()> {
    let labels = [("__name__", "process_cpu"), ("service_name", service)];
    let request = push_request(&labels, vec![(cpu_profile(folded, time_ns), "")]);
    Ok(push(client, &request).await??)
}
