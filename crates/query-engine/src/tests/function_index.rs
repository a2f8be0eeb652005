//! Functions by name: where they run, from partitions and from series.

use std::collections::BTreeMap;

use flamelake_model::function_index::{FunctionIndex, FunctionIndexQuery, FunctionPlace};
use flamelake_model::function_series::FunctionRegex;

use super::*;

fn found(selection: Selection, text: &str, limit: usize) -> FunctionIndex {
    let functions = FunctionRegex::containing(text).unwrap();
    let query = PartialQuery::Functions(FunctionIndexQuery { selection, functions, limit });
    match ask(&fleet(), &query).result {
        PartialResult::Functions(index) => index,
        other => panic!("no functions: {other:?}"),
    }
}

/// A line a function: its services, each with types and times in milliseconds.
fn lines(index: &FunctionIndex) -> Vec<String> {
    let place = |(service, place): (&String, &FunctionPlace)| {
        let types: Vec<&str> = place.profile_types.iter().map(|id| id.split(':').next().unwrap()).collect();
        let files: Vec<&str> = place.files.iter().map(String::as_str).collect();
        let (first, last) = (place.first.to_ms(), place.last.to_ms());
        format!(" {service} {} {} {first}..{last}", types.join("+"), files.join("+"))
    };
    let function = |(name, places): (&String, &BTreeMap<String, FunctionPlace>)| {
        format!("{name}:{}", places.iter().map(place).collect::<String>())
    };
    index.functions().iter().map(function).collect()
}

#[test]
fn functions_are_found_by_a_piece_of_their_names() {
    let index = found(untyped("{}", 0, 1000), "L", 10);
    assert_eq!(
        lines(&index),
        [
            "alloc: a memory+process_cpu f 100..300",
            "idle: a memory+process_cpu f 100..300",
            "inlined: a memory+process_cpu f 100..300",
            "leaf: a memory+process_cpu f 100..300"
        ]
    );
    let main = found(untyped("{}", 0, 1000), "MAIN", 10);
    assert_eq!(lines(&main), ["main: a memory+process_cpu f 100..300 b process_cpu f 200..200"]);
    assert_eq!(lines(&found(untyped("{}", 0, 1000), "nope", 10)), [""; 0]);
    assert_eq!(lines(&found(untyped("{}", 301, 1000), "", 10)), [""; 0]);
}

#[test]
fn selectors_choose_services_and_narrow_times_and_types() {
    let b = found(untyped("{service_name=\"b\"}", 0, 1000), "", 10);
    assert_eq!(lines(&b), ["main: b process_cpu f 200..200", "other: b process_cpu f 200..200"]);
    let pod = found(untyped("{pod=\"p2\"}", 0, 1000), "idle", 10);
    assert_eq!(lines(&pod), ["idle: a process_cpu f 200..200"], "as fine as partitions: the pod itself never idles");
    let typed = Selection { profile_type: Some(ProfileType::parse(HEAP).unwrap()), ..untyped("{}", 0, 1000) };
    assert_eq!(lines(&found(typed, "main", 10)), ["main: a memory f 300..300"]);
}

#[test]
fn more_functions_than_the_limit_are_told() {
    let some = found(untyped("{}", 0, 1000), "", 2);
    assert_eq!(some.functions().keys().collect::<Vec<_>>(), ["alloc", "idle"]);
    assert!(some.more && !found(untyped("{}", 0, 1000), "alloc", 2).more);
    assert!(!found(untyped("{}", 0, 1000), "alloc", 1).more, "names that do not match are not more");
}
