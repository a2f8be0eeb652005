//! Relabelling rules as a value of the configuration: a list in YAML, JSON in a flag.

use flamelake_model::relabel::{RelabelConfig, RelabelRules};

use crate::FromText;

impl FromText for RelabelRules {
    const KIND: &'static str = "rules";
    const EXPECTED: &'static str =
        "Prometheus relabel rules such as [{action: drop, source_labels: [namespace], regex: dev}]";

    fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        Self::new(serde_yaml_ng::from_str::<Vec<RelabelConfig>>(text).ok()?).ok()
    }

    fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        serde_json::to_string(&self.configs().collect::<Vec<_>>()).expect("texts and numbers are JSON")
    }
}

/// Where the rules that every tenant has stand beside a tenant's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RulesPosition {
    /// Before them.
    #[default]
    First,
    /// After them.
    Last,
    /// Nowhere.
    Disabled,
}

impl FromText for RulesPosition {
    const KIND: &'static str = "position";
    const EXPECTED: &'static str = "first, last or disabled";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "first" => Some(Self::First),
            "last" => Some(Self::Last),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Disabled => "disabled",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        let text = r#"[{"source_labels":["a","b"],"separator":";","regex":"x.*","replacement":"$1","action":"drop"}]"#;
        let rules = RelabelRules::from_text("[{action: drop, source_labels: [a, b], regex: 'x.*'}]").unwrap();
        assert_eq!(rules.to_text(), text);
        assert_eq!(RelabelRules::from_text(text).unwrap(), rules);
        assert_eq!(RelabelRules::from_text(" ").unwrap().to_text(), "");
        for bad in ["[{action: explode}]", "[{regex: '('}]", "x", "[{unknown: 1}]"] {
            assert!(RelabelRules::from_text(bad).is_none(), "{bad}");
        }
    }
}
