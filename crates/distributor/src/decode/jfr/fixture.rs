//! A small recording, written by hand: an `ExecutionSample` of two frames, an allocation, the setting `event`.

use super::*;
use crate::decode::tests::{frames, limits, source};

/// Context 7 has the label `thread=main`.
pub(crate) const LABELS: &[u8] = &[
    0x0a, 10, 8, 7, 0x12, 6, 0x0a, 4, 8, 1, 16, 2, 0x12, 10, 8, 1, 0x12, 6, b't', b'h', b'r', b'e', b'a', b'd', 0x12,
    8, 8, 2, 0x12, 4, b'm', b'a', b'i', b'n',
];

/// Class: id, name, fields as name, class, pooled or not, array or not.
type Class<'a> = (u8, &'a str, &'a [(&'a str, u8, bool, bool)]);

const CLASSES: &[Class<'_>] = &[
    (10, "long", &[]),
    (11, "java.lang.String", &[]),
    (20, "jdk.types.Symbol", &[("string", 11, false, false)]),
    (21, "java.lang.Class", &[("name", 20, true, false)]),
    (22, "jdk.types.Method", &[("type", 21, true, false), ("name", 20, true, false)]),
    (23, "jdk.types.StackFrame", &[("method", 22, true, false), ("lineNumber", 10, false, false)]),
    (24, "jdk.types.StackTrace", &[("truncated", 10, false, false), ("frames", 23, false, true)]),
    (25, "jdk.types.ThreadState", &[("name", 11, false, false)]),
    (30, "jdk.ActiveSetting", &[("name", 11, false, false), ("value", 11, false, false)]),
    (
        31,
        "jdk.ExecutionSample",
        &[("stackTrace", 24, true, false), ("state", 25, true, false), ("contextId", 10, false, false)],
    ),
    (32, "jdk.ObjectAllocationInNewTLAB", &[("stackTrace", 24, true, false), ("tlabSize", 10, false, false)]),
];

fn text(text: &str) -> Vec<u8> {
    [&[3, text.len() as u8], text.as_bytes()].concat()
}

/// Size before, in one byte or two.
fn sized(event: &[u8]) -> Vec<u8> {
    let size = event.len() + 2;
    [&[(size & 0x7f) as u8 | 0x80, (size >> 7) as u8], event].concat()
}

#[derive(Default)]
struct Texts(Vec<String>);

impl Texts {
    fn at(&mut self, text: &str) -> u8 {
        let at = self.0.iter().position(|other| other == text).unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        at as u8
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], children: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![self.at(name), attributes.len() as u8];
        for (key, value) in attributes {
            out.extend([self.at(key), self.at(value)]);
        }
        out.push(children.len() as u8);
        children.iter().for_each(|child| out.extend(child));
        out
    }
}

fn metadata() -> Vec<u8> {
    let mut texts = Texts::default();
    let mut classes = Vec::new();
    for (id, name, fields) in CLASSES {
        let mut children = Vec::new();
        for (name, class, pooled, array) in *fields {
            let class = class.to_string();
            let mut attributes = vec![("name", *name), ("class", class.as_str())];
            attributes.extend(pooled.then_some(("constantPool", "true")));
            attributes.extend(array.then_some(("dimension", "1")));
            children.push(texts.element("field", &attributes, &[]));
        }
        classes.push(texts.element("class", &[("id", &id.to_string()), ("name", name)], &children));
    }
    let inner = texts.element("metadata", &[], &classes);
    let root = texts.element("root", &[], &[inner]);
    let mut out = vec![0, 0, 0, 0, texts.0.len() as u8];
    texts.0.iter().for_each(|one| out.extend(text(one)));
    out.extend(root);
    sized(&out)
}

fn constants() -> Vec<u8> {
    let mut out = vec![1, 0, 0, 0, 1, 5];
    out.extend([20, 3, 1]);
    out.extend(text("a/B"));
    out.push(2);
    out.extend(text("run"));
    out.push(3);
    out.extend(text("work"));
    out.extend([21, 1, 1, 1]);
    out.extend([22, 2, 1, 1, 2, 2, 1, 3]);
    out.extend([24, 1, 9, 0, 2, 2, 77, 1, 5]);
    out.extend([25, 1, 4]);
    out.extend(text("STATE_RUNNABLE"));
    sized(&out)
}

pub(crate) fn recording() -> Vec<u8> {
    let setting = [&[30][..], &text("event"), &text("cpu")].concat();
    let events: Vec<u8> =
        [&setting[..], &[31, 9, 4, 7], &[31, 9, 4, 7], &[32, 9, 100]].iter().flat_map(|e| sized(e)).collect();
    let (constants, metadata) = (constants(), metadata());
    let pools = 68 + events.len();
    let size = pools + constants.len() + metadata.len();
    let mut chunk = b"FLR\0\0\x02\0\0".to_vec();
    for number in [size, pools, pools + constants.len(), 0, 0, 0, 0] {
        chunk.extend((number as u64).to_be_bytes());
    }
    chunk.extend([0, 0, 0, 1]);
    [chunk, events, constants, metadata].concat()
}

#[test]
fn a_recording_becomes_a_series_a_kind() {
    let twice = recording().repeat(2);
    let series = series(&twice, Some(LABELS), &source("my.app"), limits()).unwrap();
    let get = |at: usize, name: &str| crate::labels::get(&series[at].labels, name).to_owned();
    assert_eq!(series.len(), 2);
    assert_eq!((get(0, "__name__"), get(1, "__name__")), ("process_cpu".to_owned(), "memory".to_owned()));
    assert_eq!((get(0, "jfr_event"), get(0, "service_name")), ("cpu".to_owned(), "my.app".to_owned()));
    assert!(series.iter().all(|series| frames(series).len() == 1));
    let message = String::from_utf8_lossy(&series[0].profiles[0].content.clone().into_pprof()).into_owned();
    assert!(["a/B.work", "a/B.run", "thread", "main"].iter().all(|text| message.contains(text)), "{message}");
}

#[test]
fn broken_recordings_are_refused() {
    let good = recording();
    let refused = |bytes: &[u8]| series(bytes, None, &source("a"), limits()).unwrap_err().to_string();
    assert_eq!(refused(b""), "the recording is empty");
    assert!(refused(&[&[0][..], &good[1..]].concat()).starts_with("not a JFR recording"));
    for cut in 1..good.len() {
        refused(&good[..cut]);
    }
}
