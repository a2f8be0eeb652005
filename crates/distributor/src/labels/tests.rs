//! What labels become, and which are refused.

use super::*;

const LIMITS: LabelLimits =
    LabelLimits { names_max: 30, name_bytes_max: 1024, value_bytes_max: 2048, sanitizes: false };

const BASE: [(&str, &str); 2] = [("__name__", "process_cpu"), ("service_name", "s")];

fn with(more: &[(&str, &str)]) -> Pairs {
    let mut labels = own(&[&BASE[..], more].concat());
    labels.sort();
    labels
}

#[track_caller]
fn refused(labels: &[(String, String)], reason: Reason, text: &str) {
    let error = check(labels, LIMITS).unwrap_err();
    assert_eq!(error.reason(), Some(reason));
    assert_eq!(error.to_string(), text);
}

#[test]
fn no_labels() {
    refused(&[], Reason::MissingLabels, "error at least one label pair is required per profile");
}

#[test]
fn thirty_labels_pass_and_one_more_fails() {
    let names: Vec<String> = (0..29).map(|i| format!("l{i:02}")).collect();
    let more: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "v")).collect();
    check(&with(&more[..28]), LIMITS).unwrap();
    let labels = with(&more);
    let text = format!("profile series '{}' has 31 label names; limit 30", show(&labels));
    refused(&labels, Reason::MaxLabelNamesPerSeries, &text);
}

#[test]
fn zero_labels_allowed_is_not_unlimited() {
    let none = LabelLimits { names_max: 0, ..LIMITS };
    assert_eq!(check(&own(&BASE), none).unwrap_err().reason(), Some(Reason::MaxLabelNamesPerSeries));
}

#[test]
fn the_name_is_mandatory() {
    let text = r#"invalid labels '{service_name="s"}' with error: invalid metric name"#;
    refused(&own(&[("service_name", "s")]), Reason::InvalidLabels, text);
}

#[test]
fn the_service_name_is_mandatory() {
    let text = r#"invalid labels '{__name__="cpu"}' with error: service name is not provided"#;
    refused(&own(&[("__name__", "cpu")]), Reason::MissingLabels, text);
}

#[test]
fn name_length() {
    let (fits, too_long) = ("n".repeat(1024), "n".repeat(1025));
    check(&with(&[(&fits, "v")]), LIMITS).unwrap();
    let labels = with(&[(&too_long, "v")]);
    let text = format!("profile with labels '{}' has label name too long: '{too_long}'", show(&labels));
    refused(&labels, Reason::LabelNameTooLong, &text);
}

#[test]
fn value_length() {
    let (fits, too_long) = ("v".repeat(2048), "v".repeat(2049));
    check(&with(&[("n", &fits)]), LIMITS).unwrap();
    let labels = with(&[("n", &too_long)]);
    let text = format!("profile with labels '{}' has label value too long: '{too_long}'", show(&labels));
    refused(&labels, Reason::LabelValueTooLong, &text);
}

#[test]
fn an_empty_name() {
    let labels = with(&[("", "v")]);
    assert_eq!(check(&labels, LIMITS).unwrap_err().reason(), Some(Reason::InvalidLabels));
}

#[test]
fn equal_names_even_with_equal_values() {
    let text = r#"profile with labels '{__name__="process_cpu", a="1", a="1", service_name="s"}' has duplicate label name: 'a'"#;
    refused(&with(&[("a", "1"), ("a", "1")]), Reason::DuplicateLabelNames, text);
}

#[test]
fn the_first_bad_label_in_sort_order_decides() {
    let long = "v".repeat(2049);
    let long_name = "b".repeat(1025);
    let labels = with(&[("a", &long), (&long_name, "v")]);
    assert_eq!(check(&labels, LIMITS).unwrap_err().reason(), Some(Reason::LabelValueTooLong));
    let labels = with(&[("a", "1"), ("a", "1"), ("b", &long)]);
    assert_eq!(check(&labels, LIMITS).unwrap_err().reason(), Some(Reason::DuplicateLabelNames));
}

#[test]
fn dots_and_other_alphabets_are_names() {
    check(&with(&[("otel.scope.name", "x"), ("größe", "1"), ("a b", "c\nd")]), LIMITS).unwrap();
}

#[test]
fn values_are_escaped_in_texts() {
    assert_eq!(show(&own(&[("a", "q\"\n")])), r#"{a="q\"\n"}"#);
}

#[test]
fn texts_stay_short() {
    let huge = "x".repeat(1 << 20);
    let error = check(&with(&[(&huge, "v")]), LIMITS).unwrap_err();
    assert!(error.to_string().len() < 10_000);
}

fn own(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_service_name_is_set_if_absent_or_empty() {
    let expected = own(&[("__name__", "cpu"), ("service_name", "unknown_service")]);
    assert_eq!(prepare(own(&[("__name__", "cpu")]), 0), expected);
    assert_eq!(prepare(own(&[("service_name", ""), ("__name__", "cpu")]), 0), expected);
    assert_eq!(prepare(own(&[("service_name", "mine")]), 0), own(&[("service_name", "mine")]));
}

#[test]
fn empty_values_take_their_name_with_them() {
    let labels = own(&[("a", "1"), ("a", ""), ("b", "2"), ("service_name", "s")]);
    assert_eq!(prepare(labels, 0), own(&[("b", "2"), ("service_name", "s")]));
}

#[test]
fn session_ids_are_dropped_or_capped() {
    let session = |value: &str, max| get(&prepare(own(&[("__session_id__", value)]), max), "__session_id__").to_owned();
    assert_eq!(session("0b00000000000000", 0), "");
    assert_eq!(session("0b00000000000000", 4), "0300000000000000");
    assert_eq!(session("0b00000000000000", 400), "0b00000000000000");
    assert_eq!(session("no hex at all ..", 4), "");
    assert_eq!(session("0b", 4), "");
}

#[test]
fn names_are_made_as_prometheus_of_old_wants_them() {
    let sanitized = |more: &[(&str, &str)]| {
        let mut labels = with(more);
        let changed = sanitize(&mut labels)?;
        check(&labels, LIMITS)?;
        let text: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok::<_, PushError>(format!("{changed} {}", text.join(" ")))
    };
    let base = "__name__=process_cpu";
    assert_eq!(sanitized(&[("a", "1")]).unwrap(), format!("0 {base} a=1 service_name=s"));
    assert_eq!(sanitized(&[("k8s.pod.name", "1")]).unwrap(), format!("1 {base} k8s_pod_name=1 service_name=s"));
    assert_eq!(sanitized(&[("a.b", "1"), ("a_b", "1")]).unwrap(), format!("1 {base} a_b=1 service_name=s"));
    let reason = |more: &[(&str, &str)]| sanitized(more).unwrap_err().reason();
    assert_eq!(reason(&[("a.b", "1"), ("a_b", "2")]), Some(Reason::DuplicateLabelNames));
    for bad in ["ä", "a b", "0a", "a-b"] {
        assert_eq!(reason(&[(bad, "1")]), Some(Reason::InvalidLabels), "{bad}");
    }
}
