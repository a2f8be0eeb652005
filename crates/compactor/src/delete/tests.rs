//! The whole way of a delete, from acceptance to receipt, over a bucket in memory.

use flamelake_block::meta::{LogRange, with_checksum};
use flamelake_testkit::fuzz;

use super::http::parse;
use super::objects::{Fence, Receipt, Request, Rewritten, decode};
use super::*;

#[test]
fn requests_are_checked() {
    let ok = |body: &str| parse(&body.to_owned().into()).map(|request| request.doomed.range);
    assert_eq!(ok(r#"{"selector": "{}"}"#).unwrap().start(), TimestampMs(i64::MIN));
    assert_eq!(ok(r#"{"selector": "{a=\"b\"}", "start": 5, "end": 7}"#).unwrap().end(), TimestampMs(7));
    for bad in [
        "",
        "{}",
        r#"{"selector": ""}"#,
        r#"{"selector": "{a="}"#,
        r#"{"selector": "{}", "start": 8, "end": 7}"#,
        r#"{"selector": "{}", "from": 5}"#,
        r#"{"selector": "{}", "profile_type": "cpu"}"#,
    ] {
        assert_eq!(ok(bad).unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
    }
}

#[test]
fn a_row_goes_by_labels_and_type() {
    let labels = |kind: &str| Labels::from_pairs([("service_name", "a"), ("__profile_type__", kind)]);
    let (cpu, memory) = ("process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:inuse_space:bytes:space:bytes");
    let takes = |selector: &str, kind: Option<&str>| {
        DeleteRequest::parse(selector, kind, None, None).unwrap().doomed.takes_series(&labels(cpu))
    };
    assert!(takes("{}", None));
    assert!(takes(r#"{service_name="a"}"#, Some(cpu)));
    assert!(!takes(r#"{service_name="a"}"#, Some(memory)));
    assert!(!takes(r#"{service_name="b"}"#, Some(cpu)));
}

#[test]
fn a_fence_parts_blocks() {
    let fence = Fence::new(0, 1, [("a/1".to_owned(), 10)].into());
    let range = |log: &str, from, to| LogRange { log: log.to_owned(), from, to };
    assert!(fence.holds(&[range("a/1", 5, 10)]));
    assert!(!fence.holds(&[range("a/1", 10, 12)]));
    assert!(!fence.holds(&[range("b/1", 0, 12)]));
    assert!(fence.holds(&[range("b/1", 0, 12), range("a/1", 0, 3)]));
    assert!(fence.holds(&[]));
}

#[test]
fn fuzz_objects_of_deletes() {
    let stored = with_checksum(br#"{"format":1,"at_ms":5,"version":3,"logs":{"a/1":7},"waiting":[]}"#);
    assert!(decode::<Fence>(&stored).is_ok() && decode::<Rewritten>(&stored).is_ok());
    let body = br#"{"selector": "{a=\"b\"}", "start": 5, "end": 7}"#.to_vec();
    fuzz::run("objects_of_deletes", &[stored, body], |bytes| {
        // As it is, and behind a right checksum.
        let _ = decode::<Fence>(bytes);
        let bytes = &with_checksum(bytes)[..];
        let _ = (decode::<Fence>(bytes), decode::<Rewritten>(bytes), decode::<Receipt>(bytes));
        if let Ok(request) = decode::<Request>(bytes) {
            let _ = request.doomed();
        }
        let _ = parse(&bytes.to_vec().into());
    });
}
