//! Messages to inputs and gaps to headers.

use flamelake_model::query::GoPgo;

use super::*;

#[test]
fn gaps_are_told_in_plain_text_and_bounded() {
    assert_eq!(partial_header(&[]), None);
    let header = partial_header(&["block A: é\n".to_owned(), "block B: y".to_owned()]).unwrap();
    assert_eq!(header, "block A: ??; block B: y");
    let long = partial_header(&["x".repeat(PARTIAL_HEADER_BYTES_MAX * 2)]).unwrap();
    assert_eq!(long.len(), PARTIAL_HEADER_BYTES_MAX);
}

#[test]
fn every_selector_of_stack_traces_is_read() {
    let selector = types::StackTraceSelector {
        call_site: ["main", "work"].map(|name| types::Location { name: name.to_owned() }).to_vec(),
        go_pgo: Some(types::GoPgo { keep_locations: 5, aggregate_callees: true }),
    };
    let input = stacktraces_input(v1::SelectMergeStacktracesRequest {
        profile_type_id: "t".to_owned(),
        label_selector: "{}".to_owned(),
        start: 1,
        end: 2,
        max_nodes: Some(3),
        stack_trace_selector: Some(selector),
        profile_id_selector: vec!["p".to_owned()],
        trace_id_selector: vec!["t".to_owned()],
        span_selector: vec!["s".to_owned()],
        ..v1::SelectMergeStacktracesRequest::default()
    });
    assert_eq!((input.start, input.end, input.max_nodes), (1, 2, 3));
    assert_eq!(input.filter.call_site, ["main", "work"]);
    assert_eq!(input.filter.go_pgo, Some(GoPgo { keep_locations: 5, aggregate_callees: true }));
    assert_eq!(
        (input.filter.profile_ids, input.filter.trace_ids, input.filter.span_ids),
        (vec!["p".to_owned()], vec!["t".to_owned()], vec!["s".to_owned()])
    );
}
