//! Contract `ingest.md` section 1.6, row by row.

use std::time::Duration;

use flamelake_pprof::{DecodeError, ProfileLimits, RejectReason};
use flamelake_testkit::{ProfileBuilder, wire};

use crate::support::{NOW_NS, cpu_series, frame, frames_with, limits, text};

fn refusal(bytes: &[u8], limits: &ProfileLimits) -> (RejectReason, String) {
    let error = frames_with(bytes, &cpu_series(), limits).unwrap_err();
    (error.reason(), error.to_string())
}

#[track_caller]
fn check(bytes: &[u8], limits: &ProfileLimits, reason: RejectReason, words: &str) {
    let (found, message) = refusal(bytes, limits);
    assert_eq!(found, reason, "{message}");
    assert!(message.contains(words), "{message}");
}

fn malformed(bytes: &[u8], words: &str) {
    check(bytes, &limits(), RejectReason::MalformedProfile, words);
}

fn small() -> ProfileBuilder {
    ProfileBuilder::cpu().folded("main;work 5")
}

/// A small profile with more bytes behind it.
fn with_tail(tail: &[Vec<u8>]) -> Vec<u8> {
    small().tail(&tail.concat()).plain()
}

#[test]
fn a_profile_needs_a_sample_type() {
    malformed(&ProfileBuilder::new(&[]).stack("a", &[]).plain(), "empty profile");
    malformed(b"", "empty profile");
}

#[test]
fn the_ends_of_the_window_are_outside() {
    let window = ProfileLimits {
        reject_older_than: Duration::from_secs(60),
        reject_newer_than: Duration::from_secs(10),
        ..limits()
    };
    let at = |offset_ns: i64| frames_with(&small().time_ns(NOW_NS + offset_ns).plain(), &cpu_series(), &window);
    let second = 1_000_000_000;
    assert!(at(-60 * second + 1).is_ok() && at(10 * second - 1).is_ok());
    for offset in [-60 * second, 10 * second, -NOW_NS + 1, i64::MAX - NOW_NS] {
        assert_eq!(at(offset).unwrap_err().reason(), RejectReason::NotInIngestionWindow, "{offset}");
    }
    let open = ProfileLimits { reject_older_than: Duration::ZERO, reject_newer_than: Duration::ZERO, ..window };
    assert!(frames_with(&small().time_ns(1).plain(), &cpu_series(), &open).is_ok());
}

#[test]
fn a_missing_time_is_now() {
    let window = ProfileLimits { reject_older_than: Duration::from_secs(1), ..limits() };
    for time in [0, -5] {
        let frames = frames_with(&small().time_ns(time).plain(), &cpu_series(), &window).unwrap();
        assert_eq!(frames[0].time_ns, NOW_NS);
    }
}

#[test]
fn the_size_limit_counts_uncompressed_bytes() {
    let bytes = small().plain();
    let exact = ProfileLimits { max_profile_size_bytes: bytes.len(), ..limits() };
    assert!(frames_with(&bytes, &cpu_series(), &exact).is_ok());
    assert!(frames_with(&flamelake_testkit::profile::gzip(&bytes, 6), &cpu_series(), &exact).is_ok());
    let less = ProfileLimits { max_profile_size_bytes: bytes.len() - 1, ..limits() };
    check(&bytes, &less, RejectReason::ProfileSizeLimit, "max_profile_size_bytes");
    check(
        &flamelake_testkit::profile::gzip(&bytes, 6),
        &less,
        RejectReason::ProfileSizeLimit,
        "max_profile_size_bytes",
    );
}

#[test]
fn samples_and_their_labels_are_counted() {
    let three = ProfileBuilder::cpu().folded("a 1\nb 1\nc 1").plain();
    let at_most = |max_samples| ProfileLimits { max_samples, ..limits() };
    assert!(frames_with(&three, &cpu_series(), &at_most(3)).is_ok());
    check(&three, &at_most(2), RejectReason::SamplesLimit, "3 samples, the limit is 2");
    let labelled = ProfileBuilder::cpu()
        .sample("a", &[1], |s| {
            s.label("k", "v").number("n", 4);
        })
        .plain();
    let at_most = |max_sample_labels| ProfileLimits { max_sample_labels, ..limits() };
    assert!(frames_with(&labelled, &cpu_series(), &at_most(2)).is_ok());
    check(&labelled, &at_most(1), RejectReason::SampleLabelsLimit, "2 labels, the limit is 1");
}

#[test]
fn deep_stacks_lose_their_leaf_side() {
    let bytes = ProfileBuilder::cpu().folded("a;b;c;d 1\na;b;c;e 2").plain();
    let frames = frames_with(&bytes, &cpu_series(), &ProfileLimits { max_depth: 3, ..limits() }).unwrap();
    assert_eq!(text(&frames[0]), "a;b;c 3");
}

#[test]
fn long_texts_lose_their_start_at_a_character() {
    let bytes = ProfileBuilder::cpu().folded("0123456789é 1").plain();
    let cut = |max_symbol_length| {
        let limits = ProfileLimits { max_symbol_length, ..limits() };
        text(&frames_with(&bytes, &cpu_series(), &limits).unwrap()[0])
    };
    assert_eq!(cut(11), "123456789é 1");
    assert_eq!(cut(12), "0123456789é 1");
    let bytes = ProfileBuilder::new(&[("c", "u")]).folded("éa 1").plain();
    let frames = frames_with(&bytes, &cpu_series(), &ProfileLimits { max_symbol_length: 2, ..limits() }).unwrap();
    assert_eq!(text(&frames[0]), "a 1");
}

#[test]
fn ids_are_not_zero() {
    malformed(&with_tail(&[wire::bytes(4, wire::int(3, 9))]), "location id is 0");
    malformed(&with_tail(&[wire::bytes(5, wire::int(2, 1))]), "function id is 0");
}

#[test]
fn each_sample_has_a_value_a_type() {
    malformed(&ProfileBuilder::cpu().stack("a", &[1, 2]).plain(), "sample value length mismatch");
    malformed(&ProfileBuilder::heap().stack("a", &[1]).plain(), "sample value length mismatch");
}

#[test]
fn string_zero_is_empty() {
    let table = [wire::bytes(6, "x"), wire::bytes(6, "")].concat();
    let bytes = [wire::bytes(1, wire::int(1, 1)), table].concat();
    malformed(&bytes, "string 0 should be empty string");
}

#[test]
fn string_indexes_are_in_range() {
    for off in [1000, -1] {
        malformed(&with_tail(&[wire::bytes(5, [wire::int(1, 99), wire::int(2, off)].concat())]), "a function's name");
        malformed(
            &with_tail(&[wire::bytes(3, [wire::int(1, 99), wire::int(5, off)].concat())]),
            "a mapping's file name",
        );
        let label = |field| {
            let message = [wire::packed(1, [1]), wire::packed(2, [1]), wire::bytes(3, wire::int(field, off))].concat();
            wire::bytes(2, message)
        };
        malformed(&with_tail(&[label(1)]), "a sample label's key or value");
        malformed(&with_tail(&[label(2)]), "a sample label's key or value");
        let types = |field| wire::bytes(1, wire::int(field, off));
        malformed(&ProfileBuilder::new(&[]).tail(&types(1)).plain(), "a sample type's type");
        malformed(&ProfileBuilder::new(&[]).tail(&types(2)).plain(), "a sample type's unit");
    }
}

#[test]
fn sample_types_have_no_dash() {
    malformed(&ProfileBuilder::new(&[("inuse-space", "bytes")]).folded("a 1").plain(), "sample type contains -");
}

#[test]
fn texts_are_utf8() {
    malformed(&with_tail(&[wire::bytes(6, [0xff, 0xfe])]), "not valid UTF-8");
}

#[test]
fn the_first_fault_in_the_order_of_the_contract_is_told() {
    let bytes = with_tail(&[wire::bytes(4, wire::int(3, 9)), wire::bytes(6, [0xff])]);
    let limits = ProfileLimits { max_samples: 0, max_profile_size_bytes: 0, ..limits() };
    assert!(refusal(&bytes, &limits).1.contains("location id is 0"));
}

#[test]
fn bytes_that_are_no_message_say_where() {
    let error = frames_with(&[8, 0xff], &cpu_series(), &limits()).unwrap_err();
    assert!(matches!(error, DecodeError::Wire { at: 0, .. }), "{error}");
    let error = frames_with(&with_tail(&[vec![0x12, 0x7f]]), &cpu_series(), &limits()).unwrap_err();
    assert!(error.to_string().contains("runs past the end"), "{error}");
}

#[test]
fn unknown_fields_and_odd_orders_are_taken() {
    // Tables before samples, unpacked numbers, a group, fixed-size numbers, `doc_url`, two times of which the last wins.
    let location = |id, function| {
        let line = wire::bytes(4, wire::int(1, function));
        wire::bytes(4, [wire::int(1, id), line].concat())
    };
    let function = |id, name| wire::bytes(5, [wire::int(1, id), wire::int(2, name)].concat());
    let sample = [wire::int(1, 2), wire::int(1, 1), wire::int(2, 7)].concat();
    let bytes = [
        vec![0x83, 0x01, 0x08, 0x01, 0x84, 0x01], // group 16 with a varint inside
        vec![0x89, 0x01, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0x8d, 0x01, 1, 2, 3, 4],
        wire::int(15, 3),
        wire::int(9, 1),
        wire::bytes(6, ""),
        wire::bytes(6, "cpu"),
        wire::bytes(6, "main"),
        wire::bytes(6, "leaf"),
        function(1, 2),
        function(2, 3),
        location(1, 1),
        location(2, 2),
        wire::bytes(2, sample),
        wire::bytes(1, wire::int(1, 1)),
        wire::int(9, NOW_NS),
    ];
    let frame = frame(&bytes.concat());
    assert_eq!((text(&frame).as_str(), frame.time_ns), ("main;leaf 7", NOW_NS));
}
