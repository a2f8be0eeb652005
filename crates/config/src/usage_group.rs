//! Usage groups and sampling as values of the configuration: YAML in a file, JSON in a flag.

use flamelake_model::usage_group::{Sampling, UsageGroups};

use crate::FromText;

impl FromText for UsageGroups {
    const KIND: &'static str = "groups";
    const EXPECTED: &'static str = "names and selectors such as {shop: '{service_name=~\"shop.*\"}'}";

    fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        Self::new(serde_yaml_ng::from_str(text).ok()?).ok()
    }

    fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        serde_json::to_string(&self.configs()).expect("texts are JSON")
    }
}

impl FromText for Sampling {
    const KIND: &'static str = "sampling";
    const EXPECTED: &'static str =
        "shares between 0 and 1 such as {usage_groups: {shop: {probability: 0.1}}, keep_stripped_profiles: true}";

    fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        serde_yaml_ng::from_str(text).ok().filter(Self::is_valid)
    }

    fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        serde_json::to_string(self).expect("texts and finite numbers are JSON")
    }
}
