//! Mutated pushes: what we accept, another gzip and prost read too, and it means the same; what they refuse, we refuse.

use std::io::Read as _;

use flamelake_pprof::Decoder;
use flamelake_pprof::frame::Frame;
use flamelake_pprof::inflate::Inflater;
use flamelake_pprof::scan::RawProfile;
use flamelake_testkit::profile::gzip;
use flamelake_testkit::{FrameBuilder, ProfileBuilder, fuzz};
use prost::Message;

use crate::message::Profile;
use crate::oracle::{expected, found, spy};
use crate::support::{ID, limits};

/// Most uncompressed bytes that the targets allow.
const LIMIT: usize = 1 << 20;

fn messages() -> Vec<Vec<u8>> {
    let native = ProfileBuilder::cpu().mapping("/bin/app", "build", 0x1000, 0x9000, false);
    vec![
        ProfileBuilder::cpu().folded("main;work 10\nmain;work;leaf 20\nmain 1").time_ns(5).plain(),
        ProfileBuilder::heap().folded("a > b:7;c 1 2 3 4\na 0 0 0 0\nc;a 9 9 -1 9").default_sample_type("x").plain(),
        native.folded("@0x1010;@0x1020 3\nmain@0x1030;@0x1010 4").duration_ns(9).plain(),
        ProfileBuilder::cpu()
            .sample("main;f", &[5], |s| {
                s.label("pod", "a").span(77).trace([3; 16]).number("bytes", 8);
            })
            .sample("main;f", &[6], |s| {
                s.label("pod", "b").label("zone", "x");
            })
            .plain(),
        ProfileBuilder::new(&[]).plain(),
    ]
}

fn packed() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for message in messages() {
        corpus.extend([0, 1, 9].map(|level| gzip(&message, level)));
        // Members, a size that lies, what comes behind, an end that is missing.
        let (first, second) = message.split_at(message.len() / 2);
        corpus.push([gzip(first, 6), gzip(second, 1)].concat());
        let mut lying = gzip(&message, 6);
        let size = lying.len() - 4;
        lying[size..].copy_from_slice(&(message.len() as u32 - 1).to_le_bytes());
        corpus.push(lying);
        corpus.push([gzip(&message, 6), b"rest".to_vec()].concat());
        let whole = gzip(&message, 6);
        corpus.push(whole[..whole.len() * 2 / 3].to_vec());
        corpus.push(message);
    }
    corpus.push(gzip(&vec![0; 4 * LIMIT], 9));
    corpus
}

/// Another library's opinion; `None`: refused, or more than the limit.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(LIMIT as u64 + 1);
        reader.read_to_end(&mut out).ok()?;
    } else {
        out.extend_from_slice(bytes);
    }
    (out.len() <= LIMIT).then_some(out)
}

fn first_member(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut out).ok()?;
    bytes.ends_with(&(out.len() as u32).to_le_bytes()).then_some(out)
}

#[test]
fn fuzz_gzip() {
    let mut inflater = Inflater::default();
    fuzz::run("gzip", &packed(), |bytes| {
        let theirs = inflated(bytes);
        if let Ok(ours) = inflater.run(bytes, LIMIT) {
            // Bytes behind a member that end in its size escape us (see `Inflater::run`); what we took is the member nevertheless.
            assert_eq!(Some(ours), theirs.or_else(|| first_member(bytes)).as_deref());
        }
    });
}

#[test]
fn fuzz_pprof_message() {
    let mut scanned = RawProfile::default();
    fuzz::run("pprof message", &messages(), |bytes| {
        let (ours, theirs) = (scanned.scan(bytes), Profile::decode(bytes));
        assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {ours:?}, prost {theirs:?}");
        if let Ok(theirs) = theirs {
            assert_eq!(scanned.sample_count(), theirs.sample.len());
        }
    });
}

/// The whole way in, by one decoder that lives on, as those of the distributor do.
#[test]
fn fuzz_pprof_push() {
    let limits = flamelake_pprof::ProfileLimits { max_profile_size_bytes: LIMIT, ..limits() };
    let mut decoder = Decoder::new();
    fuzz::run("pprof push", &packed(), |bytes| {
        let Ok(frames) = decoder.frames(bytes, &spy(), &limits, ID) else { return };
        let theirs = Profile::decode(decoder.content()).expect("we read it");
        // Which of two things with one id is meant, nobody says.
        if !has_distinct_ids(&theirs) {
            return;
        }
        let mut meaning = found(&frames);
        meaning.retain(|_, values| values.iter().any(|value| *value != 0));
        let wanted = expected(&theirs).into_iter().map(|((mut labels, span, trace, words), values)| {
            if !labels.iter().any(|(name, _)| name == "pyroscope_spy") {
                labels.push(("pyroscope_spy".to_owned(), "rbspy".to_owned()));
            }
            labels.sort();
            ((labels, span, trace, words), values)
        });
        assert_eq!(meaning, wanted.collect());
        frames.iter().for_each(round_trip);
    });
}

/// Deep stacks that share their middle, as the Go runtime cuts them at the root side.
fn truncated() -> Vec<Vec<u8>> {
    let stack = |from: u32, depth: u32, leaf: &str| {
        let frames: Vec<String> = (0..depth).map(|level| format!("f{}", (from + level) % 90)).collect();
        format!("{};{leaf}", frames.join(";"))
    };
    let cpu = |starts: &[u32]| {
        let start = |builder: ProfileBuilder, (at, from): (usize, &u32)| {
            builder.stack(&stack(*from, 63, &format!("leaf{}", at % 3)), &[at as i64 + 1])
        };
        starts.iter().enumerate().fold(ProfileBuilder::cpu(), start).stack(&stack(0, 40, "short"), &[5]).plain()
    };
    let heap = ProfileBuilder::heap()
        .stack(&stack(3, 31, "a"), &[1, 2, 3, 4])
        .stack(&stack(0, 31, "b"), &[1, 2, 0, 0])
        .stack(&stack(5, 31, "b"), &[0, 0, 1, 9]);
    vec![cpu(&[0, 2, 4, 8, 12]), cpu(&[0, 0, 89, 45, 46]), heap.plain()]
}

/// The repair of Go stacks changes no value, unless it completes a stack by what does not exist.
#[test]
fn fuzz_go_repair() {
    let go = crate::support::series(&[("__name__", "n"), ("service_name", "s"), ("pyroscope_spy", "gospy")]);
    let limits = flamelake_pprof::ProfileLimits { max_profile_size_bytes: LIMIT, ..limits() };
    let totals = |frames: &[Frame]| -> Vec<i64> {
        let columns = frames.first().map_or(1, |frame| frame.sample_types.len().max(1));
        let mut totals = vec![0_i64; columns];
        for values in frames.iter().flat_map(|frame| frame.sample_values.chunks(columns)) {
            totals.iter_mut().zip(values).for_each(|(total, value)| *total = total.wrapping_add(*value));
        }
        totals
    };
    let (mut repairing, mut plain) = (Decoder::new(), Decoder::new());
    fuzz::run("go repair", &truncated(), |bytes| {
        let repaired = repairing.frames(bytes, &go, &limits, ID);
        let as_sent = plain.frames(bytes, &spy(), &limits, ID);
        assert_eq!(repaired.is_ok(), as_sent.is_ok());
        let (Ok(repaired), Ok(as_sent)) = (repaired, as_sent) else { return };
        repaired.iter().for_each(round_trip);
        let sent = Profile::decode(plain.content()).expect("we read it");
        let is_whole = as_sent.iter().map(|frame| frame.sample_stacks.len()).sum::<usize>() == sent.sample.len();
        if is_whole && has_distinct_ids(&sent) {
            assert_eq!(totals(&repaired), totals(&as_sent));
        }
    });
}

fn has_distinct_ids(profile: &Profile) -> bool {
    fn distinct(ids: impl Iterator<Item = u64>) -> bool {
        let mut seen = std::collections::HashSet::new();
        ids.into_iter().all(|id| seen.insert(id))
    }
    distinct(profile.location.iter().map(|item| item.id))
        && distinct(profile.function.iter().map(|item| item.id))
        && distinct(profile.mapping.iter().map(|item| item.id))
}

fn round_trip(frame: &Frame) {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    assert_eq!(Frame::decode(&bytes).as_ref(), Ok(frame));
}

/// What a store or a disk may hand an ingester.
#[test]
fn fuzz_frame() {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    let mut decoder = Decoder::new();
    for message in messages() {
        let frames = decoder.frames(&message, &spy(), &limits(), ID).unwrap_or_default();
        corpus.extend(frames.iter().map(encoded));
    }
    let built = FrameBuilder::new("shop", "memory").types(&[("a", "b"), ("c", "d")]).group(&[("pod", "ü")]);
    corpus.push(encoded(&built.folded("main;work 3 4\nmain 0 9223372036854775807").build()));
    fuzz::run("frame", &corpus, |bytes| {
        let header = Frame::peek_header(bytes).map(|header| header.time_ns);
        let Ok(frame) = Frame::decode(bytes) else { return };
        assert_eq!(header, Ok(frame.time_ns));
        round_trip(&frame);
        crate::codec::walk(&frame);
    });
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// Partial pprofs of other servers.
#[test]
fn fuzz_merge() {
    fuzz::run("merge", &messages(), |bytes| {
        let mut builder = flamelake_pprof::PprofBuilder::new();
        if builder.merge_encoded(bytes).is_ok() {
            builder.truncate(3);
            let written = builder.encode(None);
            let theirs = Profile::decode(written.as_slice()).expect("what we write is pprof");
            if !written.is_empty() {
                theirs.folded();
            }
        }
    });
}
