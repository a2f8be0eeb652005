//! Samples to a Prometheus: remote write 1.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec/>).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flamelake_api::flamelake::prometheus::v1::{Label, Sample, TimeSeries, WriteRequest};
use flamelake_model::TenantId;
use flamelake_runtime::with_causes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use prost::Message as _;

use super::config::RecordingRulesConfig;
use super::window::Series;
use crate::recording_rules::RulesConfigError;

/// Samples of one request.
const SAMPLES_MAX: usize = 2000;
/// Bytes of a refusal that are looked at.
const REFUSAL_BYTES_MAX: usize = 512;
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// Who takes samples. A trait, so that tests see every request and refuse what they like.
#[async_trait]
pub(super) trait Receiver: fmt::Debug + Send + Sync {
    /// Writes one encoded request.
    async fn write(&self, tenant: &TenantId, body: Bytes) -> Result<(), Refusal>;
}

/// Why samples were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The same may be taken another time.
    #[error("{why}")]
    Later { why: String, after: Option<Duration> },
    /// The same will never be taken.
    #[error("{why}")]
    Never { why: String },
}

/// Requests for one sample each of these series, and how many samples each holds.
pub(super) fn requests(series: &[Series], at_ms: i64) -> Vec<(usize, Bytes)> {
    series.chunks(SAMPLES_MAX).map(|chunk| (chunk.len(), request(chunk, at_ms))).collect()
}

fn request(series: &[Series], at_ms: i64) -> Bytes {
    let label = |(name, value): (&String, &String)| Label { name: name.clone(), value: value.clone() };
    let timeseries = series.iter().map(|one| TimeSeries {
        labels: one.labels.iter().map(label).collect(),
        samples: vec![Sample { value: one.value as f64, timestamp: at_ms }],
    });
    let message = WriteRequest { timeseries: timeseries.collect() }.encode_to_vec();
    let compressed = snap::raw::Encoder::new().compress_vec(&message);
    compressed.expect("some thousand samples are less than Snappy's 4 GiB").into()
}

/// A server that speaks remote write.
pub(super) struct RemoteWrite {
    http: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    tenant_header: Option<HeaderName>,
    timeout: Duration,
}

impl fmt::Debug for RemoteWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteWrite({}{})", self.url.host_str().unwrap_or_default(), self.url.path())
    }
}

impl RemoteWrite {
    pub(super) fn new(config: &RecordingRulesConfig) -> Result<Self, RulesConfigError> {
        let url = reqwest::Url::parse(&config.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| RulesConfigError::Url { url: config.url.clone() })?;
        let tenant_header = Some(&config.tenant_header).filter(|name| !name.is_empty());
        let tenant_header = tenant_header.map(|name| header_name("recording-rules.tenant-header", name)).transpose()?;
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            // Credentials go where they were meant to go.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(RulesConfigError::Client)?;
        Ok(Self { http, url, headers: headers(config)?, tenant_header, timeout: config.timeout })
    }
}

fn headers(config: &RecordingRulesConfig) -> Result<HeaderMap, RulesConfigError> {
    const KEY: &str = "recording-rules.remote-write-headers";
    let mut headers = HeaderMap::new();
    for line in config.headers.expose().lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(RulesConfigError::Header { key: KEY })?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| RulesConfigError::Header { key: KEY })?;
        headers.append(header_name(KEY, name.trim())?, secret(value));
    }
    let authorization = match (config.username.is_empty(), config.bearer_token.is_empty()) {
        (true, true) => None,
        (false, true) => {
            use base64::Engine as _;
            let pair = format!("{}:{}", config.username, config.password.expose());
            Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        (true, false) => Some(format!("Bearer {}", config.bearer_token.expose())),
        (false, false) => return Err(RulesConfigError::TwoWaysIn),
    };
    if let Some(authorization) = authorization {
        let key = "recording-rules.remote-write-bearer-token";
        let value = HeaderValue::from_str(&authorization).map_err(|_| RulesConfigError::Header { key })?;
        headers.insert(header::AUTHORIZATION, secret(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(VERSION, HeaderValue::from_static("0.1.0"));
    let agent = concat!("flamelake/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    Ok(headers)
}

fn header_name(key: &'static str, name: &str) -> Result<HeaderName, RulesConfigError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| RulesConfigError::Header { key })
}

fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[async_trait]
impl Receiver for RemoteWrite {
    async fn write(&self, tenant: &TenantId, body: Bytes) -> Result<(), Refusal> {
        let mut headers = self.headers.clone();
        if let Some(name) = &self.tenant_header {
            let value = HeaderValue::from_str(tenant.as_str()).expect("a tenant id is plain ASCII");
            headers.insert(name.clone(), value);
        }
        let request = self.http.post(self.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|error| {
            // Its own text ends with the URL, which may hold a password.
            let why = format!("the receiver cannot be reached: {}", with_causes(&error.without_url()));
            Refusal::Later { why, after: None }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after = retry_after(response.headers(), self.timeout);
        let why = format!("the receiver answered {status}: {}", refusal(response).await);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Err(Refusal::Later { why, after })
        } else {
            Err(Refusal::Never { why })
        }
    }
}

/// Not longer than one may wait for an answer.
fn retry_after(headers: &HeaderMap, max: Duration) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(max))
}

async fn refusal(mut response: reqwest::Response) -> String {
    let mut text = Vec::new();
    while text.len() < REFUSAL_BYTES_MAX {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        text.extend_from_slice(&chunk);
    }
    text.truncate(REFUSAL_BYTES_MAX);
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use flamelake_config::Secret;

    use super::*;

    fn series(pairs: &[(&str, &str)], value: i64) -> Series {
        let labels = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Series { labels, value }
    }

    #[test]
    fn a_request_is_that_of_the_specification() {
        let one = series(&[("__name__", "m"), ("a", "b")], 3);
        let [(1, body)] = &requests(&[one], 1000)[..] else { panic!("one request") };
        let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        let expected = [
            &[0x0a, 37][..],
            &[0x0a, 13, 0x0a, 8],
            b"__name__",
            &[0x12, 1],
            b"m",
            &[0x0a, 6, 0x0a, 1],
            b"a",
            &[0x12, 1],
            b"b",
            &[0x12, 12, 0x09, 0, 0, 0, 0, 0, 0, 8, 0x40, 0x10, 0xe8, 7],
        ];
        assert_eq!(hex::encode(plain), hex::encode(expected.concat()));
        let many = vec![series(&[("__name__", "m")], 1); SAMPLES_MAX + 1];
        assert_eq!(requests(&many, 1).iter().map(|(count, _)| *count).collect::<Vec<_>>(), [SAMPLES_MAX, 1]);
        assert!(requests(&[], 1).is_empty());
    }

    #[test]
    fn credentials_are_headers_that_no_log_shows() {
        let config = RecordingRulesConfig {
            url: "http://p/api/v1/write".to_owned(),
            headers: Secret::new("X-A: 1\n\n X-B:2:3 \n"),
            bearer_token: Secret::new("geheim"),
            ..RecordingRulesConfig::default()
        };
        let headers = super::headers(&config).unwrap();
        assert_eq!(
            (&headers["x-a"], &headers["x-b"], &headers["authorization"]),
            (
                &HeaderValue::from_static("1"),
                &HeaderValue::from_static("2:3"),
                &HeaderValue::from_static("Bearer geheim")
            )
        );
        assert!(!format!("{headers:?}").contains("geheim"));
        let basic = RecordingRulesConfig {
            bearer_token: Secret::default(),
            username: "u".to_owned(),
            password: Secret::new("p"),
            ..config.clone()
        };
        assert_eq!(super::headers(&basic).unwrap()["authorization"], "Basic dTpw");
        for wrong in [
            RecordingRulesConfig { username: "u".to_owned(), ..config.clone() },
            RecordingRulesConfig { headers: Secret::new("no colon"), ..config.clone() },
            RecordingRulesConfig { url: "prometheus:9090".to_owned(), ..config.clone() },
            RecordingRulesConfig { tenant_header: "a b".to_owned(), ..config.clone() },
        ] {
            let error = RemoteWrite::new(&wrong).unwrap_err().to_string();
            assert!(error.contains("recording-rules."), "{error}");
        }
    }
}
