//! Keys of logs and traces.

flamelake_config::section! {
    /// Logs and traces of the server itself.
    pub struct TelemetryConfig {
        /// `error`, `warn`, `info`, `debug` or `trace`; also per module, e.g. `info,flamelake_journal=debug`.
        "log.level" => pub log_level: String = "info".to_owned(),
        /// `text` (key=value) or `json`, one line an event, on standard error.
        "log.format" => pub log_format: String = "text".to_owned(),
        /// Where own traces are sent by OTLP/gRPC, e.g. `http://collector:4317`. Empty = nowhere.
        "tracing.otlp-endpoint" => pub otlp_endpoint: String = String::new(),
    }
}
