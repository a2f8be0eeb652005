//! Contract `ingest.md` section 1.5: sample labels become series; span and trace ids stay on samples.

use flamelake_pprof::{DecodeError, Decoder};
use flamelake_testkit::ProfileBuilder;

use crate::support::{ID, cpu_series, frame, frames_with, group_labels, limits, series, text};

#[test]
fn samples_are_grouped_by_their_labels() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("thread", "x");
        })
        .sample("a", &[2], |s| {
            s.label("thread", "y");
        })
        .sample("a", &[3], |s| {
            s.label("thread", "x");
        })
        .stack("a", &[4]);
    assert_eq!(text(&frame(&profile.plain())), "\na 4\n[thread=x]\na 4\n[thread=y]\na 2");
}

#[test]
fn the_order_of_labels_in_a_sample_does_not_matter() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("k", "1").label("l", "2");
        })
        .sample("a", &[2], |s| {
            s.label("l", "2").label("k", "1");
        });
    assert_eq!(text(&frame(&profile.plain())), "a 3");
}

#[test]
fn ids_of_spans_and_traces_stay_on_samples() {
    let trace = 0x0102_u128.to_be_bytes();
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.span(7);
        })
        .sample("a", &[2], |s| {
            s.span(8).trace(trace);
        })
        .sample("a", &[4], |s| {
            s.span(7).label("thread", "x");
        })
        .sample("a", &[3], |s| {
            s.label("profile_id", "0700000000000000");
        });
    assert_eq!(
        text(&frame(&profile.plain())),
        "\na 2 span=8 trace=102\na 4 span=7\n[thread=x]\na 4 span=7",
        "profile_id is the old name of span_id, so those two are one sample"
    );
}

#[test]
fn ids_that_do_not_parse_are_none() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("span_id", "xyz").label("trace_id", "12");
        })
        .sample("a", &[2], |s| {
            s.label("span_id", "+123456789abcdef");
        });
    let frame = frame(&profile.plain());
    assert_eq!(text(&frame), "a 3");
    assert!(frame.sample_spans.is_empty() && frame.sample_traces.is_empty());
}

#[test]
fn the_series_label_wins() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("pod", "sample");
        })
        .sample("a", &[2], |s| {
            s.label("pod", "other");
        });
    let series = series(&[("__name__", "process_cpu"), ("service_name", "s"), ("pod", "series")]);
    let frames = frames_with(&profile.plain(), &series, &limits()).unwrap();
    assert_eq!(text(&frames[0]), "a 3");
    assert!(group_labels(&frames[0], 0).contains(&("pod", "series")));
}

#[test]
fn empty_labels_go_with_all_of_their_name() {
    let profile = ProfileBuilder::cpu().sample("a", &[1], |s| {
        s.label("pod", "sample");
    });
    let series = series(&[("__name__", "n"), ("service_name", "s"), ("pod", ""), ("pod", "x"), ("env", "p")]);
    let frames = frames_with(&profile.plain(), &series, &limits()).unwrap();
    let names: Vec<&str> = group_labels(&frames[0], 0).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["__name__", "__period_type__", "__period_unit__", "__service_name__", "env", "service_name"]);
}

#[test]
fn labels_of_the_server_replace_the_clients() {
    let series = series(&[
        ("__name__", "n"),
        ("service_name", "s"),
        ("__type__", "mine"),
        ("__profile_type__", "mine"),
        ("__service_name__", "mine"),
        ("__delta__", "false"),
        ("__order__", "enforced"),
        ("__session_id__", "kept"),
    ]);
    let frames = frames_with(&ProfileBuilder::cpu().folded("a 1").plain(), &series, &limits()).unwrap();
    let own: Vec<_> = group_labels(&frames[0], 0).into_iter().filter(|(n, _)| !n.starts_with("__period")).collect();
    assert_eq!(own, [("__name__", "n"), ("__service_name__", "s"), ("__session_id__", "kept"), ("service_name", "s")]);
}

#[test]
fn groups_that_end_equal_are_merged() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("pod", "x");
        })
        .sample("a", &[2], |s| {
            s.label("pod", "y");
        })
        .sample("b", &[3], |s| {
            s.label("pod", "y");
        })
        .sample("a", &[4], |s| {
            s.label("pod", "y").span(9);
        })
        .sample("a", &[5], |s| {
            s.label("pod", "gone");
        })
        .plain();
    let mut decoder = Decoder::new();
    decoder.decode(&profile, 0).unwrap();
    decoder.validate(&limits()).unwrap();
    assert_eq!(decoder.normalise(), 5);
    let mut split = decoder.split(&cpu_series());
    // What relabel rules do: drop a group, drop a label.
    split.groups.retain(|group| !group.labels.iter().any(|(_, value)| value == "gone"));
    split.groups.iter_mut().for_each(|group| group.labels.retain(|(name, _)| name != "pod"));
    let frames = decoder.into_frames(&split, ID).unwrap();
    assert_eq!(text(&frames[0]), "a 3\na 4 span=9\nb 3");
}

#[test]
fn each_service_is_a_frame() {
    let profile = ProfileBuilder::cpu()
        .sample("shared;a", &[1], |s| {
            s.label("service_name", "x");
        })
        .sample("shared;b", &[2], |s| {
            s.label("service_name", "w");
        })
        .plain();
    let frames = frames_with(&profile, &series(&[("__name__", "n")]), &limits()).unwrap();
    let of = |at: usize| (frames[at].strings.get(frames[at].service_name), text(&frames[at]));
    assert_eq!(of(0), ("w", "shared;b 2".to_owned()));
    assert_eq!(of(1), ("x", "shared;a 1".to_owned()));
    assert!(!frames[0].strings.iter().any(|text| text == "a"), "symbols of the other service stay out");
    let none = frames_with(&ProfileBuilder::cpu().folded("a 1").plain(), &series(&[("__name__", "n")]), &limits());
    assert_eq!(none, Err(DecodeError::NoServiceName));
}

#[test]
fn dropped_sample_types_lose_their_column() {
    let profile = ProfileBuilder::new(&[("a", "count"), ("b", "bytes"), ("c", "count")]);
    let bytes = profile.folded("x 1 2 3\ny 0 7 0").plain();
    let mut decoder = Decoder::new();
    decoder.decode(&bytes, 0).unwrap();
    decoder.validate(&limits()).unwrap();
    let types: Vec<String> = decoder.sample_types().map(|(kind, unit)| format!("{kind}:{unit}")).collect();
    assert_eq!(types, ["a:count", "b:bytes", "c:count"]);
    decoder.retain_sample_types(&[true, false]);
    assert_eq!(decoder.normalise(), 1, "what only the dropped column had is gone");
    let split = decoder.split(&cpu_series());
    assert_eq!(text(&decoder.into_frames(&split, ID).unwrap()[0]), "x 1 3");
}

#[test]
fn a_decoder_forgets_the_last_profile() {
    let mut decoder = Decoder::new();
    let big = ProfileBuilder::cpu()
        .sample("a;b;c", &[1], |s| {
            s.label("k", "v").span(3);
        })
        .folded("x;y 2")
        .gzip();
    let small = ProfileBuilder::cpu().folded("q 1").plain();
    let once = decoder.frames(&small, &cpu_series(), &limits(), ID).unwrap();
    decoder.frames(&big, &cpu_series(), &limits(), ID).unwrap();
    assert!(decoder.frames(b"\xff", &cpu_series(), &limits(), ID).is_err());
    assert_eq!(decoder.frames(&small, &cpu_series(), &limits(), ID).unwrap(), once);
}
