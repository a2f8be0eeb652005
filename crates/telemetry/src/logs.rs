//! Structured logs on standard error, and own traces by OTLP when asked.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::logfmt::{Logfmt, LogfmtFields};
use crate::{BuildInfo, SPAN, TelemetryConfig};

/// Why logs or traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` does not parse.
    #[error("log.level {level:?} is neither a level nor a list of module=level")]
    Level {
        /// As given.
        level: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// `log.format` is unknown.
    #[error("log.format {format:?} is unknown: use logfmt or json")]
    Format {
        /// As given.
        format: String,
    },
    /// The OTLP exporter refused its endpoint.
    #[error("tracing.otlp-endpoint {endpoint:?} cannot be used")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Somebody was first.
    #[error("logs are set up twice in one process")]
    Twice,
}

/// Sends what is left of the traces when dropped.
#[derive(Debug)]
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            // The process ends: traces that cannot be sent any more are lost, and nobody is left to be told.
            let _ = provider.shutdown();
        }
    }
}

/// Sets up logs and traces for the whole process, once. `about` are attributes of all its traces (OpenTelemetry's names). Needs a tokio runtime when
/// traces are on.
pub fn init(config: &TelemetryConfig, about: &[(&'static str, &str)]) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log_level)
        .map_err(|source| TelemetryError::Level { level: config.log_level.clone(), source })?;
    let lines = match config.log_format.as_str() {
        "logfmt" | "text" => {
            fmt::layer().event_format(Logfmt).fmt_fields(LogfmtFields).with_writer(std::io::stderr).boxed()
        }
        "json" => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
        other => return Err(TelemetryError::Format { format: other.to_owned() }),
    };
    let provider = tracer_provider(config, about)?;
    // Only what is made to be sent: spans of libraries are not, and lines of the log are no events of spans.
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == SPAN);
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("flamelake"));
        layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    Ok(TelemetryGuard(provider))
}

fn tracer_provider(
    config: &TelemetryConfig,
    about: &[(&'static str, &str)],
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let endpoint = &config.otlp_endpoint;
    if endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Endpoint { endpoint: endpoint.clone(), source })?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name("flamelake")
        .with_attribute(opentelemetry::KeyValue::new("service.version", BuildInfo::current().version))
        .with_attributes(about.iter().map(|(name, value)| opentelemetry::KeyValue::new(*name, (*value).to_owned())))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampling_ratio)));
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        let error = |level: &str, format: &str| {
            let (log_level, log_format) = (level.to_owned(), format.to_owned());
            init(&TelemetryConfig { log_level, log_format, ..TelemetryConfig::default() }, &[]).unwrap_err().to_string()
        };
        assert!(error("loud=very=much", "logfmt").starts_with("log.level \"loud=very=much\" is neither a level"));
        assert_eq!(error("info", "xml"), "log.format \"xml\" is unknown: use logfmt or json");
    }
}
