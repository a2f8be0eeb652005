//! Keys of logs and traces.

flamelake_config::section! {
    /// Telemetry: logs and traces of the server itself.
    pub struct TelemetryConfig {
        /// `error`, `warn`, `info`, `debug` or `trace`; also per module, e.g. `info,flamelake_journal=debug`.
        "log.level" => pub log_level: String = "info".to_owned(),
        /// `logfmt` (key=value; `text` is the same) or `json`, one line an event, on standard error.
        "log.format" => pub log_format: String = "logfmt".to_owned(),
        /// Where own traces are sent by OTLP/gRPC, e.g. `http://collector:4317`. Empty = nowhere.
        "tracing.otlp-endpoint" => pub otlp_endpoint: String = String::new(),
        /// Share of traces that are sent where the caller has not decided, from 0 to 1.
        "tracing.sampling-ratio" => pub sampling_ratio: f64 = 1.0,
    }
}
