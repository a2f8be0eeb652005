//! What the last part of an application's name says of formats that carry no types (contract `ingest.md` section 4.4).

use flamelake_pprof::ProfileHead;

use crate::decode::{Refused, Source};

/// A kind of profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextType {
    /// `__name__`.
    pub(crate) name: &'static str,
    kind: &'static str,
    unit: &'static str,
    /// The type of values that count time once they are scaled.
    pub(crate) scaled: Option<&'static str>,
}

impl TextType {
    /// Splits `app.suffix`; without a dot it is `cpu`.
    pub(crate) fn of(app: &str) -> Result<(&str, Self), Refused> {
        let (service, suffix) = app.rsplit_once('.').unwrap_or((app, "cpu"));
        Self::of_suffix(suffix).map(|kind| (service, kind))
    }

    pub(crate) fn of_suffix(suffix: &str) -> Result<Self, Refused> {
        let plain = |name, kind, unit| Ok(Self { name, kind, unit, scaled: None });
        let timed = |name, scaled| Ok(Self { name, kind: "samples", unit: "count", scaled: Some(scaled) });
        match suffix {
            "cpu" | "itimer" => timed("process_cpu", "cpu"),
            "wall" | "seconds" | "milliseconds" | "microseconds" | "nanoseconds" => timed("wall", "wall"),
            "inuse_objects" => plain("memory", "inuse_objects", "count"),
            "alloc_objects" => plain("memory", "alloc_objects", "count"),
            "inuse_space" => plain("memory", "inuse_space", "bytes"),
            "alloc_space" => plain("memory", "alloc_space", "bytes"),
            "alloc_in_new_tlab_objects" => plain("memory", "alloc_in_new_tlab_objects", "count"),
            "alloc_in_new_tlab_bytes" => plain("memory", "alloc_in_new_tlab_bytes", "bytes"),
            "alloc_outside_tlab_objects" => plain("memory", "alloc_outside_tlab_objects", "count"),
            "alloc_outside_tlab_bytes" => plain("memory", "alloc_outside_tlab_bytes", "bytes"),
            "live" => plain("memory", "live", "count"),
            "bytes" => plain("memory", "samples", "bytes"),
            "goroutines" => plain("goroutine", "goroutines", "count"),
            "mutex_count" => plain("mutex", "contentions", "count"),
            "mutex_duration" => plain("mutex", "delay", "nanoseconds"),
            "block_count" | "lock_count" => plain("block", "contentions", "count"),
            "block_duration" | "lock_duration" => plain("block", "delay", "nanoseconds"),
            "exceptions" => plain("exceptions", "samples", "count"),
            other => Err(Refused::UnknownType(other[..other.floor_char_boundary(256)].to_owned())),
        }
    }

    /// The head of its message, and by what values are multiplied. `scale`: nanoseconds a value, if it is time.
    pub(crate) fn head(self, source: &Source, scale: Option<i64>) -> (ProfileHead, i64) {
        let mut head = ProfileHead {
            sample_types: vec![(self.kind.to_owned(), self.unit.to_owned())],
            time_nanos: source.from_ns,
            duration_nanos: source.duration_ns(),
            ..ProfileHead::default()
        };
        let Some((scaled, period)) = self.scaled.zip(scale) else { return (head, 1) };
        head.sample_types = vec![(scaled.to_owned(), "nanoseconds".to_owned())];
        head.period_type = ("cpu".to_owned(), "nanoseconds".to_owned());
        head.period = period;
        (head, period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_the_type() {
        let (service, kind) = TextType::of("my.app.inuse_space").unwrap();
        assert_eq!((service, kind.name, kind.unit), ("my.app", "memory", "bytes"));
        assert_eq!(TextType::of("app").unwrap().1.name, "process_cpu");
        assert_eq!(TextType::of("my.service"), Err(Refused::UnknownType("service".to_owned())));
    }
}
