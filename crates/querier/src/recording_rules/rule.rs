//! A rule: what a request may ask for, what is kept of it, and how clients read it.

use std::collections::BTreeMap;

use flamelake_api::settings::v1;
use flamelake_api::types::v1::LabelPair;
use flamelake_model::StatusError;
use flamelake_model::recording_rule::RuleSpec;
use serde::{Deserialize, Serialize};

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) spec: RuleSpec,
    pub(super) generation: i64,
    pub(super) created_at_ms: i64,
    /// Of the configuration, and never kept.
    #[serde(skip)]
    pub(super) provisioned: bool,
}

impl Rule {
    /// The rule that a request asks for; `id`, generation and time of creation are the caller's to set.
    pub(super) fn parse(request: v1::UpsertRecordingRuleRequest) -> Result<Self, StatusError> {
        let spec = RuleSpec {
            metric_name: request.metric_name,
            matchers: request.matchers,
            group_by: request.group_by,
            external_labels: external_labels(request.external_labels)?,
            function: function(request.stacktrace_filter)?,
        };
        spec.check().map_err(|error| StatusError::from_coded(&error))?;
        Ok(Self { id: request.id, spec, generation: request.generation, created_at_ms: 0, provisioned: false })
    }

    /// One of the configuration.
    pub(super) fn provisioned(id: &str, spec: &RuleSpec, created_at_ms: i64) -> Self {
        Self { id: id.to_owned(), spec: spec.clone(), generation: 1, created_at_ms, provisioned: true }
    }

    /// As clients read it.
    pub(super) fn message(&self) -> v1::RecordingRule {
        let pair = |(name, value): (&String, &String)| LabelPair { name: name.clone(), value: value.clone() };
        let spec = &self.spec;
        v1::RecordingRule {
            id: self.id.clone(),
            metric_name: spec.metric_name.clone(),
            // Checked before it was kept.
            profile_type: spec.asked().map(|asked| asked.profile_type.to_string()).unwrap_or_default(),
            matchers: spec.matchers.clone(),
            group_by: spec.group_by.clone(),
            external_labels: spec.external_labels.iter().map(pair).collect(),
            generation: self.generation,
            stacktrace_filter: spec.function.clone().map(|function_name| v1::StacktraceFilter {
                function_name: Some(v1::StacktraceFilterFunctionName {
                    function_name,
                    metric_type: v1::MetricType::Total as i32,
                }),
            }),
            provisioned: self.provisioned,
        }
    }
}

fn external_labels(given: Vec<LabelPair>) -> Result<BTreeMap<String, String>, StatusError> {
    let mut labels = BTreeMap::new();
    for LabelPair { name, value } in given {
        if labels.insert(name.clone(), value).is_some() {
            return Err(wrong(format!("external label {name:?} is given twice")));
        }
    }
    Ok(labels)
}

fn function(filter: Option<v1::StacktraceFilter>) -> Result<Option<String>, StatusError> {
    let Some(function) = filter.and_then(|filter| filter.function_name) else { return Ok(None) };
    if function.metric_type != v1::MetricType::Total as i32 {
        return Err(wrong(format!("metric_type {} is not known: use TOTAL", function.metric_type)));
    }
    Ok(Some(function.function_name))
}

fn wrong(why: String) -> StatusError {
    StatusError::invalid_argument(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = r#"{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}"#;

    fn request() -> v1::UpsertRecordingRuleRequest {
        v1::UpsertRecordingRuleRequest {
            metric_name: "profiles_recorded_cpu".to_owned(),
            matchers: vec![r#"{ service_name="x", }"#.to_owned(), CPU.to_owned()],
            group_by: vec!["k8s.pod".to_owned(), "region".to_owned()],
            external_labels: vec![LabelPair { name: "team".to_owned(), value: "a".to_owned() }],
            ..v1::UpsertRecordingRuleRequest::default()
        }
    }

    #[test]
    fn a_rule_asks_what_it_was_given() {
        let rule = Rule::parse(request()).unwrap();
        let asked = rule.spec.asked().unwrap();
        assert_eq!(asked.profile_type.to_string(), "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
        assert_eq!(asked.selector.to_string(), r#"{service_name="x"}"#);
        let labels = rule.spec.labels(&[Some("p".to_owned()), None], Some(("tenant", "t")));
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["__name__=profiles_recorded_cpu", "k8s_pod=p", "team=a", "tenant=t"]);
        let message = rule.message();
        assert_eq!(message.matchers, request().matchers);
        assert_eq!(message.profile_type, "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
        assert_eq!(message.stacktrace_filter, None);
    }

    #[test]
    fn what_no_rule_can_be_is_refused() {
        let label = |name: &str, value: &str| LabelPair { name: name.to_owned(), value: value.to_owned() };
        let filter = |name: &str, metric_type| v1::StacktraceFilter {
            function_name: Some(v1::StacktraceFilterFunctionName { function_name: name.to_owned(), metric_type }),
        };
        type Change = Box<dyn Fn(&mut v1::UpsertRecordingRuleRequest)>;
        let wrong: Vec<(&str, Change)> = vec![
            ("metric_name", Box::new(|r| r.metric_name = String::new())),
            ("metric_name", Box::new(|r| r.metric_name = "1a".to_owned())),
            ("metric_name", Box::new(|r| r.metric_name = "a-b".to_owned())),
            ("metric_name", Box::new(|r| r.metric_name = "a".repeat(257))),
            ("profile type", Box::new(|r| r.matchers.clear())),
            ("profile type", Box::new(|r| r.matchers.push("{__profile_type__=\"a:b:c:d:e\"}".to_owned()))),
            ("profile-type", Box::new(|r| r.matchers = vec!["{__profile_type__=\"a\"}".to_owned()])),
            ("profile type", Box::new(|r| r.matchers = vec!["{__profile_type__=~\"a.*\"}".to_owned()])),
            ("matcher", Box::new(|r| r.matchers.push("{a=".to_owned()))),
            ("matchers", Box::new(|r| r.matchers = vec![CPU.to_owned(); 65])),
            ("group_by", Box::new(|r| r.group_by = vec![String::new()])),
            ("group_by", Box::new(|r| r.group_by = vec!["__name__".to_owned()])),
            ("two places", Box::new(|r| r.group_by = vec!["a.b".to_owned(), "a_b".to_owned()])),
            ("two places", Box::new(|r| r.group_by = vec!["team".to_owned()])),
            ("group_by", Box::new(|r| r.group_by = (0..17).map(|n| format!("l{n}")).collect())),
            ("external", Box::new(move |r| r.external_labels.push(label("a.b", "x")))),
            ("external", Box::new(move |r| r.external_labels.push(label("__name__", "x")))),
            ("external", Box::new(move |r| r.external_labels.push(label("a", "")))),
            ("twice", Box::new(move |r| r.external_labels.push(label("team", "b")))),
            ("function_name", Box::new(move |r| r.stacktrace_filter = Some(filter("", 0)))),
            ("metric_type", Box::new(move |r| r.stacktrace_filter = Some(filter("f", 1)))),
        ];
        for (number, (part, change)) in wrong.into_iter().enumerate() {
            let mut request = request();
            change(&mut request);
            let error = Rule::parse(request).unwrap_err();
            assert!(error.message.contains(part), "{number}: {error}");
        }
    }
}
