//! Frame bytes: round trip, headers, and that no bytes make the reader panic.

use flamelake_pprof::frame::{Frame, FrameError};
use flamelake_testkit::{FrameBuilder, ProfileBuilder};
use proptest::prelude::*;

use crate::support::frame;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn rich() -> Frame {
    FrameBuilder::new("shop", "process_cpu")
        .id_from(42)
        .time_ns(1_700_000_000_000_000_123)
        .duration_ns(10_000_000_000)
        .types(&[("samples", "count"), ("cpu", "nanoseconds")])
        .group(&[("pod", "a")])
        .span_stack("main;work", &[1, 0], 77, [3; 16])
        .folded("main;work;leaf 3 4\nmain;other 0 9223372036854775807")
        .group(&[("pod", "b"), ("naïve", "ünïcode")])
        .folded("main 5 6")
        .build()
}

#[test]
fn frames_survive_a_round_trip() {
    for frame in [
        rich(),
        FrameBuilder::cpu("s").folded("a 1").build(),
        frame(
            &ProfileBuilder::cpu()
                .mapping("/bin/x", "id", 0x1000, u64::MAX, false)
                .folded("@0xffffffffffffffff 1")
                .plain(),
        ),
        frame(&ProfileBuilder::heap().folded("a > b:-5;c 1 2 3 4").plain()),
        frame(&ProfileBuilder::cpu().stack("", &[1]).plain()),
    ] {
        let bytes = encoded(&frame);
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame));
        let header = Frame::peek_header(&bytes).unwrap();
        assert_eq!((header.id, header.time_ns), (frame.id, frame.time_ns));
        assert_eq!(header.service_name, frame.strings.get(frame.service_name));
    }
}

#[test]
fn headers_need_only_the_start() {
    let bytes = encoded(&rich());
    assert_eq!(Frame::peek_header(&bytes[..40]).unwrap().service_name, "shop");
    assert!(Frame::peek_header(&bytes[..10]).is_err());
    assert!(Frame::peek_header(&[]).is_err());
}

#[test]
fn other_versions_are_named() {
    let mut bytes = encoded(&rich());
    bytes[0] = 9;
    assert_eq!(Frame::decode(&bytes), Err(FrameError::Version { found: 9 }));
    assert_eq!(Frame::peek_header(&bytes), Err(FrameError::Version { found: 9 }));
}

#[test]
fn short_and_long_bytes_are_damaged() {
    let bytes = encoded(&rich());
    for len in 0..bytes.len() {
        assert!(Frame::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert_eq!(Frame::decode(&[bytes, vec![0]].concat()), Err(FrameError::Damaged("bytes are left over")));
}

/// Uses everything a reader would index.
pub(crate) fn walk(frame: &Frame) {
    frame.strings.iter().for_each(drop);
    let texts = [frame.service_name, frame.name, frame.period_type.kind, frame.period_type.unit];
    assert!(texts.iter().all(|at| frame.strings.get(*at).len() < 1000));
    for location in &frame.locations {
        let _ = frame.mappings[location.mapping as usize];
        assert!(frame.location_lines(location).iter().all(|line| (line.function as usize) < frame.functions.len()));
    }
    for function in &frame.functions {
        let _ = (frame.strings.get(function.name), frame.strings.get(function.system_name));
        let _ = frame.strings.get(function.filename);
    }
    for stack in &frame.sample_stacks {
        assert!(frame.stack(*stack).iter().all(|at| (*at as usize) < frame.locations.len()));
    }
    for group in &frame.groups {
        let _ = &frame.sample_stacks[group.samples_start as usize..group.samples_end as usize];
        (0..frame.sample_types.len()).for_each(|at| drop(flamelake_pprof::series_labels(frame, group, at)));
    }
    assert_eq!(frame.sample_values.len(), frame.sample_stacks.len() * frame.sample_types.len());
}

proptest! {
    #[test]
    fn mutated_frames_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = encoded(&rich());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(frame) = Frame::decode(&bytes) {
            walk(&frame);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Ok(frame) = Frame::decode(&bytes) {
            walk(&frame);
        }
    }
}
