//! Keys of recording rules. The first is named as the reference names it.

use std::time::Duration;

use flamelake_config::Secret;

flamelake_config::section! {
    /// Recording rules: metrics of profiles, written to a Prometheus.
    pub struct RecordingRulesConfig {
        /// On: tenants may have recording rules, and queriers evaluate them. Needs `recording-rules.remote-write-url`. Off: the methods do not exist.
        "tenant-settings.recording-rules.enabled" => pub enabled: bool = false,
        /// Where samples go, by remote write 1.0: `http://prometheus:9090/api/v1/write`.
        "recording-rules.remote-write-url" => pub url: String = String::new(),
        /// Name for basic authentication. Empty = none.
        "recording-rules.remote-write-username" => pub username: String = String::new(),
        /// Password for basic authentication.
        "recording-rules.remote-write-password" => pub password: Secret = Secret::default(),
        /// Bearer token. Empty = none.
        "recording-rules.remote-write-bearer-token" => pub bearer_token: Secret = Secret::default(),
        /// Further headers of each request, one `Name: value` a line.
        "recording-rules.remote-write-headers" => pub headers: Secret = Secret::default(),
        /// Longest wait for an answer of the receiver.
        "recording-rules.remote-write-timeout" => pub timeout: Duration = Duration::from_secs(30),
        /// Header that names the tenant to the receiver. Empty = none.
        "recording-rules.tenant-header" => pub tenant_header: String = "X-Scope-OrgID".to_owned(),
        /// Label of all metrics that names the tenant: for receivers that know no tenants. Empty = none.
        "recording-rules.tenant-label" => pub tenant_label: String = String::new(),
        /// One value of each rule for so long. From 1s to 1d, whole seconds.
        "recording-rules.interval" => pub interval: Duration = Duration::from_secs(60),
        /// A window is evaluated so long after its end; profiles that are pushed later are in no value.
        "recording-rules.delay" => pub delay: Duration = Duration::from_secs(60),
        /// After a downtime, windows that ended at most this long ago are made up for.
        "recording-rules.catch-up" => pub catch_up: Duration = Duration::from_secs(3600),
        /// Series that one rule may have in a window.
        "recording-rules.max-series-per-rule" => pub series_max: usize = 1000,
    }
}
