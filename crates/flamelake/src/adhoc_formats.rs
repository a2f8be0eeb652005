//! Files of any format as pprof messages, for ad hoc profiles: what `flamelake push` recognises and `/ingest` reads, and the text of `perf script`.

mod perf_script;

use bytes::Bytes;
use flamelake_config::Limits;
use flamelake_distributor::{PushSeries, read_body};
use flamelake_querier::AdHocPprof;

use crate::commands::{Format, unpack};

/// Samples a second of a JFR file's CPU events: what `/ingest` takes where nobody says another rate. They are told in nanoseconds.
const JFR_RATE: u32 = 100;
/// Of a file once it is unpacked.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;

/// The profiles of a file; the error is told to the user.
pub(crate) fn pprofs(file: &Bytes) -> Result<Vec<AdHocPprof>, String> {
    let plain = unpack(file, UNPACKED_BYTES_MAX).map_err(|error| format!("{error:#}"))?;
    if let Some(folded) = perf_script::folded(&plain) {
        return read("groups", folded.into());
    }
    let plain = Bytes::from(plain);
    match Format::of(&plain).map_err(|error| error.to_string())? {
        Format::Pprof => Ok(vec![AdHocPprof { name: "adhoc".to_owned(), pprof: plain }]),
        Format::Otlp | Format::OtlpJson => Err("OTLP profiles are pushed, not uploaded".to_owned()),
        Format::Jfr => read("jfr", plain),
        Format::Folded => read("groups", plain),
        Format::Lines => read("lines", plain),
        Format::Tree => read("tree", plain),
        Format::Trie => read("trie", plain),
        Format::Speedscope => read("speedscope", plain),
    }
}

/// Stacks without types are counted, not measured: their values stay as they are.
fn read(format: &str, plain: Bytes) -> Result<Vec<AdHocPprof>, String> {
    let limits = Limits {
        max_profile_size_bytes: UNPACKED_BYTES_MAX as usize,
        max_profile_stacktrace_samples: 0,
        ..Limits::default()
    };
    let rate = if format == "jfr" { JFR_RATE } else { 0 };
    let query = format!("name=adhoc.cpu&format={format}&sampleRate={rate}&from=1&until=2");
    let series = read_body(&query, "application/octet-stream", &plain, &limits, 1_000_000_000)?;
    let name = |series: &PushSeries| {
        let own = series.labels.iter().find(|(name, _)| name == "__name__");
        own.map_or("adhoc", |(_, value)| value).to_owned()
    };
    let of_series = |series: PushSeries| {
        let name = name(&series);
        series.profiles.into_iter().map(move |one| AdHocPprof { name: name.clone(), pprof: one.content.into_pprof() })
    };
    Ok(series.into_iter().flat_map(of_series).collect())
}

#[cfg(test)]
mod tests {
    use flamelake_testkit::ProfileBuilder;

    use super::*;

    #[test]
    fn files_become_profiles() {
        let of = |file: &[u8]| pprofs(&Bytes::copy_from_slice(file));
        let names = |file: &[u8]| of(file).unwrap().into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(&ProfileBuilder::cpu().time_ns(1).folded("main;a 1").gzip()), ["adhoc"]);
        assert_eq!(names(b"main;a 3\nmain;b 4\n"), ["process_cpu"]);
        assert_eq!(names(b"main;a\nmain;b\n"), ["process_cpu"]);
        assert_eq!(
            names(b"shop 1/1 5.0: cycles:\n\t55d1 work+0x1 (/bin/shop)\n\t55d2 main+0x9 (/bin/shop)\n\n"),
            ["process_cpu"]
        );
        for bad in [&b""[..], b"a picture is worth a thousand words", b"\x1f\x8bxx"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
