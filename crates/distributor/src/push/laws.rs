//! What holds for every profile: nothing is lost or made up on the way to a frame, and no bytes harm.

use std::collections::BTreeMap;

use flamelake_model::ErrorCode;
use flamelake_testkit::ProfileBuilder;
use flamelake_testkit::profile::gzip;
use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{Harness, NOW, series};

/// A stack of short names, a value, and a label or none.
type Sample = (Vec<u8>, i64, Option<u8>);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    vec((vec(0u8..4, 1..6), -1i64..50, proptest::option::of(0u8..3)), 0..40)
}

fn stack(frames: &[u8]) -> String {
    frames.iter().map(|frame| format!("f{frame}")).collect::<Vec<_>>().join(";")
}

fn profile(samples: &[Sample]) -> Vec<u8> {
    samples
        .iter()
        .fold(ProfileBuilder::cpu().time_ns(NOW), |builder, (frames, value, label)| {
            builder.sample(&stack(frames), &[*value], |extras| {
                if let Some(label) = label {
                    extras.label("pod", &label.to_string());
                }
            })
        })
        .plain()
}

/// Sums by pod and stack.
fn expected(samples: &[Sample]) -> BTreeMap<(String, String), i64> {
    let mut sums = BTreeMap::new();
    for (frames, value, label) in samples.iter().filter(|(_, value, _)| *value > 0) {
        let pod = label.map_or_else(String::new, |label| label.to_string());
        *sums.entry((pod, stack(frames))).or_default() += value;
    }
    sums
}

fn stored(harness: &Harness) -> BTreeMap<(String, String), i64> {
    let mut sums = BTreeMap::new();
    for frame in harness.frames() {
        for group in &frame.groups {
            let pod = group.labels.iter().find(|(name, _)| frame.strings.get(*name) == "pod");
            let pod = pod.map_or("", |(_, value)| frame.strings.get(*value));
            for sample in group.samples_start as usize..group.samples_end as usize {
                let locations = frame.stack(frame.sample_stacks[sample]).iter().rev();
                let names = locations
                    .flat_map(|at| frame.location_lines(&frame.locations[*at as usize]))
                    .map(|line| frame.strings.get(frame.functions[line.function as usize].name));
                let stack = names.collect::<Vec<_>>().join(";");
                *sums.entry((pod.to_owned(), stack)).or_default() += frame.sample_values[sample];
            }
        }
    }
    sums
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_value_arrives_once(samples in samples(), zipped in any::<bool>()) {
        let harness = Harness::new();
        let pprof = profile(&samples);
        let pprof = if zipped { gzip(&pprof, 1) } else { pprof };
        run(harness.push_one(pprof)).unwrap();
        prop_assert_eq!(stored(&harness), expected(&samples));
    }

    #[test]
    fn damaged_bytes_are_the_callers_fault(
        samples in samples(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut pprof = profile(&samples);
        for (at, byte) in damage {
            let at = at.index(pprof.len());
            pprof[at] = byte;
        }
        pprof.truncate(cut.index(pprof.len()) + 1);
        let harness = Harness::new();
        if let Err(error) = run(harness.push(vec![series("s", vec![pprof])])) {
            prop_assert!(matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::ResourceExhausted), "{:?}", error);
        }
    }
}
