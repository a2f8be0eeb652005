//! Contract `ingest.md` section 1.7, rules 1 to 10.

use flamelake_testkit::{ProfileBuilder, wire};

use crate::support::{frame, frames, series, text};

/// Folded in → folded out.
#[track_caller]
fn check(profile: ProfileBuilder, expected: &str) {
    assert_eq!(text(&frame(&profile.plain())), expected);
}

#[test]
fn negative_and_empty_samples_are_dropped() {
    let profile = ProfileBuilder::new(&[("a", "count"), ("b", "count")]);
    check(profile.folded("x 1 0\ny 0 0\nz 5 -1\nz -1 0\nx;z 0 2"), "x 1 0\nx;z 0 2");
}

#[test]
fn nothing_left_is_no_frame() {
    assert!(frames(&ProfileBuilder::cpu().folded("a 0").plain()).is_empty());
    assert!(frames(&ProfileBuilder::cpu().plain()).is_empty());
}

#[test]
fn equal_stacks_are_summed() {
    check(ProfileBuilder::cpu().folded("a;b 1\na 4\na;b 2\na;b;b 1"), "a 4\na;b 3\na;b;b 1");
}

#[test]
fn numeric_labels_do_not_part_samples() {
    let profile = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.number("bytes", 16);
        })
        .sample("a", &[2], |s| {
            s.number("bytes", 32);
        });
    check(profile, "a 3");
}

#[test]
fn sums_stop_at_the_largest_number() {
    check(ProfileBuilder::cpu().stack("a", &[i64::MAX]).stack("a", &[9]), &format!("a {}", i64::MAX));
}

#[test]
fn only_what_samples_use_stays() {
    let frame = frame(&ProfileBuilder::cpu().extra_string("unused").folded("gone;x 0\nmain;a 1").plain());
    let texts: Vec<&str> = frame.strings.iter().collect();
    assert!(!texts.contains(&"unused") && !texts.contains(&"gone"), "{texts:?}");
    assert_eq!((frame.functions.len(), frame.locations.len(), frame.mappings.len()), (2, 2, 1));
}

#[test]
fn locations_that_say_nothing_drop_their_samples() {
    let location = |id, more: Vec<u8>| wire::bytes(4, [wire::int(1, id), more].concat());
    let sample = |id| wire::bytes(2, [wire::packed(1, [id]), wire::packed(2, [5])].concat());
    let line = |function| wire::bytes(4, wire::int(1, function));
    let bytes = ProfileBuilder::cpu().folded("ok 1").tail(
        &[
            location(50, vec![]),                                       // neither line nor address
            location(51, [wire::int(2, 77), wire::int(3, 9)].concat()), // unknown mapping
            location(52, line(99)),                                     // unknown function
            location(53, [line(1), line(99)].concat()),
            location(54, wire::int(3, 0x10)), // no mapping: the shared empty one
            location(55, wire::int(3, 0x20)),
            sample(50),
            sample(51),
            sample(52),
            sample(53),
            sample(54),
            sample(55),
            sample(56), // unknown location
        ]
        .concat(),
    );
    let frame = frame(&bytes.plain());
    assert_eq!(text(&frame), "@0x10 5\n@0x20 5\nok 1");
    assert_eq!(frame.mappings.len(), 2, "one stub for both");
}

#[test]
fn symbolised_mappings_lose_their_addresses() {
    let profile = ProfileBuilder::cpu()
        .mapping("/bin/app", "b1", 0x1000, 0x2000, true)
        .folded("main@0x1100 1")
        .mapping("/lib/libc", "b2", 0x3000, 0x4000, false)
        .folded("@0x3100 2");
    let frame = frame(&profile.plain());
    assert_eq!(text(&frame), "@0x3100 2\nmain 1");
    let mapping = |name: &str| *frame.mappings.iter().find(|m| frame.strings.get(m.filename) == name).unwrap();
    assert_eq!((mapping("/bin/app").memory_start, mapping("/bin/app").memory_limit), (0, 0));
    assert_eq!((mapping("/lib/libc").memory_start, mapping("/lib/libc").memory_limit), (0x3000, 0x4000));
    assert_eq!(frame.strings.get(mapping("/bin/app").build_id), "b1");
}

#[test]
fn period_references_out_of_range_are_empty() {
    let bytes = ProfileBuilder::new(&[("cpu", "nanoseconds")])
        .folded("a 1")
        .tail(&wire::bytes(11, [wire::int(1, 999), wire::int(2, 2)].concat()))
        .plain();
    let frame = frame(&bytes);
    assert_eq!(frame.strings.get(frame.period_type.kind), "");
    let labels = flamelake_pprof::series_labels(&frame, &frame.groups[0], 0);
    assert_eq!(labels.get("__period_type__"), None);
    assert!(labels.get("__period_unit__").is_some());
}

#[test]
fn ids_may_be_sparse() {
    let far = u64::MAX as i64;
    let bytes = ProfileBuilder::new(&[("c", "u")])
        .folded("a 1")
        .tail(
            &[
                wire::bytes(4, [wire::int(1, far), wire::bytes(4, wire::int(1, far - 1))].concat()),
                wire::bytes(5, [wire::int(1, far - 1), wire::int(2, 1)].concat()),
                wire::bytes(2, [wire::packed(1, [far as u64, 1]), wire::packed(2, [3])].concat()),
            ]
            .concat(),
        )
        .plain();
    assert_eq!(text(&frame(&bytes)), "a 1\na;main.go 3");
}

#[test]
fn series_labels_name_the_type() {
    let frame = frame(&ProfileBuilder::heap().stack("a", &[1, 2, 3, 4]).plain());
    let labels = flamelake_pprof::series_labels(&frame, &frame.groups[0], 3);
    assert_eq!(
        labels.to_string(),
        r#"{__name__="process_cpu", __period_type__="space", __period_unit__="bytes", __profile_type__="process_cpu:inuse_space:bytes:space:bytes", __service_name__="s", __type__="inuse_space", __unit__="bytes", service_name="s"}"#
    );
    assert_eq!(labels, flamelake_model::Labels::from_pairs(labels.iter().map(|l| (&*l.name, &*l.value))));
    let no_period = crate::support::frames_with(
        &ProfileBuilder::new(&[("off_cpu", "nanoseconds")]).folded("a 1").plain(),
        &series(&[("__name__", "off_cpu"), ("service_name", "s")]),
        &crate::support::limits(),
    )
    .unwrap();
    let labels = flamelake_pprof::series_labels(&no_period[0], &no_period[0].groups[0], 0);
    assert_eq!(labels.get("__profile_type__"), Some("off_cpu:off_cpu:nanoseconds::"));
}
