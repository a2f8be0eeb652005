//! Recording rules as a value of the configuration: a list in YAML, JSON in a flag.

use std::collections::BTreeMap;

use flamelake_model::recording_rule::{RuleSpec, StaticRules};
use serde::{Deserialize, Serialize};

use crate::FromText;

/// A rule as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    metric_name: String,
    matchers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    external_labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<String>,
}

impl From<Written> for RuleSpec {
    fn from(written: Written) -> Self {
        let Written { metric_name, matchers, group_by, external_labels, function } = written;
        Self { metric_name, matchers, group_by, external_labels, function }
    }
}

impl From<&RuleSpec> for Written {
    fn from(rule: &RuleSpec) -> Self {
        let RuleSpec { metric_name, matchers, group_by, external_labels, function } = rule.clone();
        Self { metric_name, matchers, group_by, external_labels, function }
    }
}

impl FromText for StaticRules {
    const KIND: &'static str = "recording rules";
    const EXPECTED: &'static str = "recording rules such as [{metric_name: profiles_cpu, matchers: \
        ['{__profile_type__=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"}'], group_by: [service_name]}]";

    fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let written: Vec<Written> = serde_yaml_ng::from_str(text).ok()?;
        Self::new(written.into_iter().map(RuleSpec::from)).ok()
    }

    fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let written: Vec<Written> = self.iter().map(|(_, rule)| Written::from(rule)).collect();
        serde_json::to_string(&written).expect("texts are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = r#"{__profile_type__=\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"}"#;

    #[test]
    fn rules_are_written_as_they_are_read() {
        let full = format!(
            r#"[{{"metric_name":"m","matchers":["{CPU}"],"group_by":["pod"],"external_labels":{{"team":"a"}},"function":"main.work"}}]"#
        );
        assert_eq!(StaticRules::from_text(&full).unwrap().to_text(), full);
        let short = format!(r#"[{{metric_name: m, matchers: ["{CPU}"]}}]"#);
        assert_eq!(
            StaticRules::from_text(&short).unwrap().to_text(),
            format!(r#"[{{"metric_name":"m","matchers":["{CPU}"]}}]"#)
        );
        assert_eq!(StaticRules::from_text(" ").unwrap().to_text(), "");
        for bad in [
            "x",
            "[{metric_name: m}]",
            &short.replace("metric_name: m", "metric_name: a-b"),
            &short.replace("}]", ", id: x}]"),
        ] {
            assert!(StaticRules::from_text(bad).is_none(), "{bad}");
        }
    }
}
