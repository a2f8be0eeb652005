//! Frames as text, and decoders with the limits of a test.

use std::collections::BTreeMap;

use flamelake_model::ProfileId;
use flamelake_pprof::frame::Frame;
use flamelake_pprof::{DecodeError, Decoder, ProfileLimits};

pub(crate) const NOW_NS: i64 = 1_700_000_000_000_000_000;
pub(crate) const ID: ProfileId = ProfileId([7; 16]);

/// The defaults, but for any time.
pub(crate) fn limits() -> ProfileLimits {
    ProfileLimits {
        reject_older_than: std::time::Duration::ZERO,
        reject_newer_than: std::time::Duration::ZERO,
        now_ns: NOW_NS,
        ..ProfileLimits::default()
    }
}

pub(crate) fn series(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn cpu_series() -> Vec<(String, String)> {
    series(&[("__name__", "process_cpu"), ("service_name", "s")])
}

pub(crate) fn frames_with(
    bytes: &[u8],
    series: &[(String, String)],
    limits: &ProfileLimits,
) -> Result<Vec<Frame>, DecodeError> {
    let frames = Decoder::new().frames(bytes, series, limits, ID)?;
    // What is written can always be read.
    for frame in &frames {
        let mut encoded = Vec::new();
        frame.encode(&mut encoded);
        assert_eq!(Frame::decode(&encoded).as_ref(), Ok(frame));
        assert_invariants(frame);
    }
    Ok(frames)
}

pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    frames_with(bytes, &cpu_series(), &limits()).unwrap()
}

pub(crate) fn frame(bytes: &[u8]) -> Frame {
    let mut frames = frames(bytes);
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

fn assert_invariants(frame: &Frame) {
    assert_eq!(frame.strings.get(0), "");
    let stacks: std::collections::BTreeSet<&[u32]> =
        (0..frame.stack_ends.len() as u32).map(|s| frame.stack(s)).collect();
    assert_eq!(stacks.len(), frame.stack_ends.len(), "stacks are distinct");
    assert!(frame.sample_values.iter().all(|value| *value >= 0));
    assert!(frame.sample_values.chunks(frame.sample_types.len()).all(|values| values.iter().any(|v| *v != 0)));
    let labels: Vec<Vec<(&str, &str)>> = (0..frame.groups.len()).map(|group| group_labels(frame, group)).collect();
    assert!(labels.is_sorted() && labels.windows(2).all(|pair| pair[0] != pair[1]), "groups are sorted and distinct");
    assert!(labels.iter().all(|labels| labels.windows(2).all(|pair| pair[0].0 < pair[1].0)), "labels are sorted");
    let mut at = 0;
    for group in &frame.groups {
        assert_eq!(group.samples_start, at);
        at = group.samples_end;
    }
    assert_eq!(at as usize, frame.sample_stacks.len());
}

pub(crate) fn group_labels(frame: &Frame, group: usize) -> Vec<(&str, &str)> {
    let text = |at: u32| frame.strings.get(at);
    frame.groups[group].labels.iter().map(|(name, value)| (text(*name), text(*value))).collect()
}

/// Root first; inlined functions as `outer > inner`, an address as `@0x…`.
pub(crate) fn stack_text(frame: &Frame, stack: u32) -> String {
    let location = |at: &u32| {
        let location = &frame.locations[*at as usize];
        let name = |line: &flamelake_pprof::frame::Line| {
            frame.strings.get(frame.functions[line.function as usize].name).to_owned()
        };
        let names: Vec<String> = frame.location_lines(location).iter().rev().map(name).collect();
        let address = if location.address == 0 { String::new() } else { format!("@{:#x}", location.address) };
        names.join(" > ") + &address
    };
    frame.stack(stack).iter().rev().map(location).collect::<Vec<_>>().join(";")
}

/// One `stack values…` a line, sorted, with span and trace if any; a line of labels before each group that is not the only one.
pub(crate) fn text(frame: &Frame) -> String {
    let columns = frame.sample_types.len();
    let mut out = Vec::new();
    for (number, group) in frame.groups.iter().enumerate() {
        if frame.groups.len() > 1 {
            let own = group_labels(frame, number)
                .into_iter()
                .filter(|(name, _)| !name.starts_with("__") && *name != "service_name");
            out.push(own.map(|(name, value)| format!("[{name}={value}]")).collect::<String>());
        }
        let mut lines: Vec<String> = (group.samples_start as usize..group.samples_end as usize)
            .map(|at| {
                let values = &frame.sample_values[at * columns..(at + 1) * columns];
                let values: Vec<String> = values.iter().map(i64::to_string).collect();
                let span = frame.sample_spans.get(at).filter(|span| **span != 0);
                let span = span.map_or_else(String::new, |span| format!(" span={span:x}"));
                let trace = frame.sample_traces.get(at).filter(|trace| **trace != [0; 16]);
                let trace = trace.map_or_else(String::new, |trace| format!(" trace={:x}", u128::from_be_bytes(*trace)));
                format!("{} {}{span}{trace}", stack_text(frame, frame.sample_stacks[at]), values.join(" "))
            })
            .collect();
        lines.sort();
        out.extend(lines);
    }
    out.join("\n")
}

/// Stacks by text with their summed values: the meaning of a frame without labels.
pub(crate) fn meaning(frame: &Frame) -> BTreeMap<String, Vec<i64>> {
    let columns = frame.sample_types.len();
    let mut meaning: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (at, stack) in frame.sample_stacks.iter().enumerate() {
        let sums = meaning.entry(stack_text(frame, *stack)).or_insert_with(|| vec![0; columns]);
        let values = &frame.sample_values[at * columns..(at + 1) * columns];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    meaning
}
