//! Our scanner and rules against prost and a slow transcription of the rules: same meaning, or both refuse.

use std::collections::BTreeMap;

use flamelake_pprof::Decoder;
use flamelake_pprof::frame::Frame;
use flamelake_pprof::scan::RawProfile;
use proptest::prelude::*;
use prost::Message;

use crate::message::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use crate::support::{ID, frames_with, limits, series, text};

/// Labels, span, trace → stack in words → values.
pub(crate) type Meaning = BTreeMap<(Vec<(String, String)>, u64, [u8; 16], Vec<String>), Vec<i64>>;

const TEXTS: [&str; 14] = [
    "",
    "a",
    "b",
    "cpu",
    "span_id",
    "profile_id",
    "trace_id",
    "0102030405060708",
    "ffffffffffffffff",
    "000102030405060708090a0b0c0d0e0f",
    "pod",
    "x",
    "main",
    "bad id",
];

fn string() -> impl Strategy<Value = i64> {
    0..TEXTS.len() as i64
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..6u64, 1 => Just(1_000_000_007u64)]
}

fn label() -> impl Strategy<Value = Label> {
    (string(), string(), 0..3i64).prop_map(|(key, str, num)| Label { key, str, num, num_unit: 0 })
}

fn sample(columns: usize) -> impl Strategy<Value = Sample> {
    let values = proptest::collection::vec(prop_oneof![4 => 0..5i64, 1 => Just(-1i64)], columns);
    (proptest::collection::vec(id(), 0..5), values, proptest::collection::vec(label(), 0..3))
        .prop_map(|(location_id, value, label)| Sample { location_id, value, label })
}

prop_compose! {
    fn mapping()(id in id(), start in 0..3u64, limit in 0..9u64, filename in string(), has_functions in any::<bool>()) -> Mapping {
        Mapping { id, memory_start: start, memory_limit: limit, filename, has_functions, ..Mapping::default() }
    }
}

prop_compose! {
    fn function()(id in id(), name in string(), filename in string(), start_line in -2..3i64) -> Function {
        Function { id, name, system_name: name, filename, start_line }
    }
}

prop_compose! {
    fn location()(id in id(), mapping_id in prop_oneof![Just(0u64), id()], address in 0..3u64,
        line in proptest::collection::vec((id(), -1..3i64), 0..3), is_folded in any::<bool>()) -> Location {
        let line = line.into_iter().map(|(function_id, line)| Line { function_id, line }).collect();
        Location { id, mapping_id, address, line, is_folded }
    }
}

fn unique<T>(items: Vec<T>, id: impl Fn(&T) -> u64) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(id(item))).collect()
}

fn profile() -> impl Strategy<Value = Profile> {
    let tables = (
        proptest::collection::vec(mapping(), 0..4),
        proptest::collection::vec(function(), 0..6),
        proptest::collection::vec(location(), 0..8),
    );
    (1..3usize, tables, any::<[i64; 3]>()).prop_flat_map(
        |(columns, (mappings, functions, locations), [_, duration, period])| {
            proptest::collection::vec(sample(columns), 0..12).prop_map(move |sample| Profile {
                sample_type: vec![ValueType { kind: 3, unit: 1 }; columns],
                sample,
                mapping: unique(mappings.clone(), |m| m.id),
                location: unique(locations.clone(), |l| l.id),
                function: unique(functions.clone(), |f| f.id),
                string_table: TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
                time_nanos: 5,
                duration_nanos: duration,
                period_type: Some(ValueType { kind: 3, unit: 2 }),
                period,
                comment: vec![1, 2],
                ..Profile::default()
            })
        },
    )
}

/// The rules, word by word, one sample at a time.
pub(crate) fn expected(profile: &Profile) -> Meaning {
    let mut meaning = Meaning::new();
    for sample in &profile.sample {
        if sample.value.iter().any(|v| *v < 0) || sample.value.iter().all(|v| *v == 0) {
            continue;
        }
        let words: Option<Vec<String>> = sample.location_id.iter().map(|id| location_words(profile, *id)).collect();
        let Some(words) = words else { continue };
        let (labels, span, trace) = labels(profile, sample);
        let sums = meaning.entry((labels, span, trace, words)).or_insert_with(|| vec![0; sample.value.len()]);
        sums.iter_mut().zip(&sample.value).for_each(|(sum, value)| *sum += value);
    }
    meaning
}

fn location_words(profile: &Profile, id: u64) -> Option<String> {
    let location = profile.location.iter().find(|location| location.id == id)?;
    if location.line.is_empty() && location.address == 0 {
        return None;
    }
    let mapping = match location.mapping_id {
        0 => Mapping::default(),
        id => profile.mapping.iter().find(|mapping| mapping.id == id)?.clone(),
    };
    let line = |line: &Line| {
        let function = profile.function.iter().find(|function| function.id == line.function_id)?;
        let (name, file) = (profile.text(function.name), profile.text(function.filename));
        Some(format!("{name}|{file}|{}|{}", function.start_line, line.line))
    };
    let lines: Option<Vec<String>> = location.line.iter().map(line).collect();
    let (address, limit) = if mapping.has_functions { (0, 0) } else { (location.address, mapping.memory_limit) };
    Some(format!("{address} {limit} {} {} {:?}", profile.text(mapping.filename), location.is_folded, lines?))
}

fn labels(profile: &Profile, sample: &Sample) -> (Vec<(String, String)>, u64, [u8; 16]) {
    let (mut labels, mut span, mut trace) = (Vec::new(), 0, [0; 16]);
    let mut pairs: Vec<(i64, i64)> = sample.label.iter().filter(|l| l.str != 0).map(|l| (l.key, l.str)).collect();
    pairs.sort_unstable();
    for (key, value) in pairs {
        let (key, value) = (profile.text(key), profile.text(value));
        match key.as_str() {
            "span_id" | "profile_id" if value.len() == 16 => {
                let number = u64::from_str_radix(&value, 16).map(u64::swap_bytes);
                span = number.unwrap_or(span);
            }
            "trace_id" if value.len() == 32 => {
                trace = u128::from_str_radix(&value, 16).map_or(trace, u128::to_be_bytes)
            }
            "span_id" | "profile_id" | "trace_id" => {}
            _ => labels.push((key, value)),
        }
    }
    labels.sort();
    // One label a name: of repeated ones the last stays here; the distributor refuses such profiles.
    let labels: BTreeMap<String, String> = labels.into_iter().collect();
    (labels.into_iter().collect(), span, trace)
}

pub(crate) fn found(frames: &[Frame]) -> Meaning {
    let mut meaning = Meaning::new();
    for frame in frames {
        let columns = frame.sample_types.len();
        for (number, group) in frame.groups.iter().enumerate() {
            let own = crate::support::group_labels(frame, number).into_iter();
            let own = own.filter(|(name, _)| !name.starts_with("__") && *name != "service_name");
            let labels: Vec<(String, String)> = own.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            for at in group.samples_start as usize..group.samples_end as usize {
                let words = frame.stack(frame.sample_stacks[at]).iter().map(|l| frame_words(frame, *l)).collect();
                let span = frame.sample_spans.get(at).copied().unwrap_or(0);
                let trace = frame.sample_traces.get(at).copied().unwrap_or([0; 16]);
                let sums = meaning.entry((labels.clone(), span, trace, words)).or_insert_with(|| vec![0; columns]);
                let values = &frame.sample_values[at * columns..(at + 1) * columns];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    meaning
}

fn frame_words(frame: &Frame, location: u32) -> String {
    let location = &frame.locations[location as usize];
    let mapping = frame.mappings[location.mapping as usize];
    let text = |at: u32| frame.strings.get(at);
    let line = |line: &flamelake_pprof::frame::Line| {
        let function = frame.functions[line.function as usize];
        format!("{}|{}|{}|{}", text(function.name), text(function.filename), function.start_line, line.line)
    };
    let lines: Vec<String> = frame.location_lines(location).iter().map(line).collect();
    let (address, limit) = (location.address, mapping.memory_limit);
    format!("{address} {limit} {} {} {lines:?}", text(mapping.filename), location.is_folded)
}

pub(crate) fn spy() -> Vec<(String, String)> {
    series(&[("__name__", "n"), ("service_name", "s"), ("pyroscope_spy", "rbspy")])
}

fn small_message() -> Vec<u8> {
    let builder = flamelake_testkit::ProfileBuilder::heap().mapping("/bin/a", "b", 1, 2, false);
    builder
        .sample("main;a > b@0x5", &[1, 2, 3, 4], |s| {
            s.label("k", "v").span(4).number("n", 2);
        })
        .time_ns(9)
        .plain()
}

proptest! {
    #[test]
    fn frames_mean_what_the_rules_say(profile in profile()) {
        let frames = frames_with(&profile.encode_to_vec(), &spy(), &limits()).unwrap();
        let mut expected = expected(&profile);
        // The series' own label is on every group.
        let with_spy: Meaning = std::mem::take(&mut expected).into_iter().map(|((mut labels, span, trace, words), values)| {
            labels.push(("pyroscope_spy".to_owned(), "rbspy".to_owned()));
            labels.sort();
            ((labels, span, trace, words), values)
        }).collect();
        prop_assert_eq!(found(&frames), with_spy, "{}", frames.iter().map(text).collect::<String>());
    }

    #[test]
    fn the_scanner_refuses_what_prost_refuses(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(), is_cut in any::<bool>(),
    ) {
        let mut bytes = small_message();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ours = RawProfile::default().scan(&bytes);
        let theirs = Profile::decode(bytes.as_slice());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {:?} prost {:?} on {:02x?}", ours, theirs, bytes);
    }

    #[test]
    fn no_bytes_make_the_way_in_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut bytes = small_message();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut decoder = Decoder::new();
        if let Ok(frames) = decoder.frames(&bytes, &spy(), &limits(), ID) {
            frames.iter().for_each(|frame| drop(text(frame)));
        }
        // Not even without validation, as the reading side scans.
        if decoder.decode(&bytes, 0).is_ok() {
            decoder.fix_go();
            decoder.normalise();
            let split = decoder.split(&spy());
            let _ = decoder.into_frames(&split, ID);
        }
        let _ = flamelake_pprof::PprofBuilder::new().merge_encoded(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Decoder::new().frames(&bytes, &spy(), &limits(), ID);
        prop_assert_eq!(RawProfile::default().scan(&bytes).is_ok(), Profile::decode(bytes.as_slice()).is_ok());
    }
}
