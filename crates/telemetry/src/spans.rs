//! Spans of own traces: from process to process by the W3C trace context in headers, and from a span to the ids that an exemplar names.
//!
//! A span of ours is a `tracing` span with the target [`SPAN`] and the level TRACE. Where `tracing.otlp-endpoint` is empty nobody listens
//! to that target: making one costs a comparison then, and nothing is written about it anywhere.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of the spans that are sent. Where a crate cannot name this constant it writes the text.
pub const SPAN: &str = "flamelake::span";

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Where a span stands, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// Of the trace.
    pub trace: String,
    /// Of the span in it.
    pub span: String,
}

/// Makes a new span the child of what the headers of a request name, if they name anything.
pub fn continue_trace<'a>(span: &Span, header: impl Fn(&str) -> Option<&'a str>) {
    if span.is_disabled() {
        return;
    }
    let own = |name| header(name).map(str::to_owned);
    let headers = Headers { traceparent: own(TRACEPARENT), tracestate: own(TRACESTATE) };
    let parent = TraceContextPropagator::new().extract(&headers);
    if parent.span().span_context().is_valid() {
        // Refused only for a span that has begun, which a new one has not.
        let _ = span.set_parent(parent);
    }
}

/// Hands out the headers by which another process continues the trace of the current span; none if there is none.
pub fn trace_headers(set: impl FnMut(&str, String)) {
    let span = Span::current();
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Setter(set));
    }
}

/// Of a span that is sent; `None` if it is not.
pub fn trace_of(span: &Span) -> Option<TraceIds> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let ids = context.span().span_context().clone();
    ids.is_sampled().then(|| TraceIds { trace: ids.trace_id().to_string(), span: ids.span_id().to_string() })
}

/// The two of the W3C recommendation.
struct Headers {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.traceparent.as_deref(),
            TRACESTATE => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Setter<F>(F);

impl<F: FnMut(&str, String)> Injector for Setter<F> {
    fn set(&mut self, key: &str, value: String) {
        (self.0)(key, value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn with_tracer(act: impl FnOnce()) {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
    }

    fn sent() -> HashMap<String, String> {
        let mut sent = HashMap::new();
        trace_headers(|name, value| {
            sent.insert(name.to_owned(), value);
        });
        sent
    }

    #[test]
    fn a_trace_goes_on_over_headers() {
        with_tracer(|| {
            let span = tracing::trace_span!(target: SPAN, "request");
            continue_trace(&span, |name| (name == "traceparent").then_some(PARENT));
            let ids = trace_of(&span).unwrap();
            assert_eq!(ids.trace, "0af7651916cd43dd8448eb211c80319c");
            assert_ne!(ids.span, "b7ad6b7169203331");
            let headers = span.in_scope(sent);
            assert_eq!(headers["traceparent"], format!("00-{}-{}-01", ids.trace, ids.span));
        });
    }

    #[test]
    fn nonsense_begins_a_trace_of_its_own_and_an_unsampled_one_is_no_exemplar() {
        with_tracer(|| {
            let span = tracing::trace_span!(target: SPAN, "request");
            continue_trace(&span, |_| Some("nonsense"));
            assert_eq!(trace_of(&span).unwrap().trace.len(), 32);
            let span = tracing::trace_span!(target: SPAN, "request");
            continue_trace(&span, |name| {
                (name == "traceparent").then_some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
            });
            assert_eq!(trace_of(&span), None);
        });
    }

    #[test]
    fn without_traces_there_is_nothing() {
        let span = tracing::trace_span!(target: SPAN, "request");
        continue_trace(&span, |_| Some(PARENT));
        assert_eq!((trace_of(&span), span.in_scope(sent)), (None, HashMap::new()));
    }
}
