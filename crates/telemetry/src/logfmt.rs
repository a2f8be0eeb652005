//! Log lines as `ts=… level=info target=… msg="…" key=value`: one line each, greppable, no colours.

use std::fmt::{self, Write as _};

use flamelake_runtime::with_causes;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats whole events.
#[derive(Debug)]
pub(crate) struct Logfmt;

/// Formats the fields of spans the same way.
#[derive(Debug)]
pub(crate) struct LogfmtFields;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("ts=")?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, " level={level} target={}", event.metadata().target())?;
        let mut line = Line::default();
        event.record(&mut line);
        write!(writer, " msg={}{}", Value(&line.message), line.fields)?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "{fields}")?;
            }
        }
        writeln!(writer)
    }
}

impl<'a> FormatFields<'a> for LogfmtFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'a>,
        fields: R,
    ) -> fmt::Result {
        let mut line = Line::default();
        fields.record(&mut line);
        writer.write_str(&line.fields)
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            let _ = write!(self.fields, " {}={}", field.name(), Value(value));
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &with_causes(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Quoted if it would not read as one word.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=' && c != '\\';
        if !self.0.is_empty() && self.0.chars().all(plain) { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn check(log: impl FnOnce(), expected: &str) {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().event_format(Logfmt).fmt_fields(LogfmtFields).with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.starts_with("ts=2") && time.ends_with('Z'), "{time}");
        assert_eq!(rest, expected);
    }

    #[test]
    fn an_event_is_one_line() {
        check(
            || tracing::info!(target: "t", tenant = %"a", count = 3, text = "two words", "block committed"),
            "level=info target=t msg=\"block committed\" tenant=a count=3 text=\"two words\"\n",
        );
        check(|| tracing::warn!(target: "t", "line\nbreak"), "level=warn target=t msg=\"line\\nbreak\"\n");
    }

    #[test]
    fn spans_add_their_fields() {
        let log = || {
            let span = tracing::info_span!("query", tenant = "a");
            span.in_scope(|| tracing::info!(target: "t", rows = 1, "done"));
        };
        check(log, "level=info target=t msg=done rows=1 tenant=a\n");
    }

    #[test]
    fn errors_come_with_their_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("read block")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("gone"));
        check(
            || tracing::error!(target: "t", error = &error as &(dyn std::error::Error + 'static), "skipped"),
            "level=error target=t msg=skipped error=\"read block: gone\"\n",
        );
    }
}
