//! The rules for a push: those that every tenant has, and his own (contract `ingest.md` section 3.6).

use flamelake_config::{Limits, RulesPosition};
use flamelake_model::label_name;
use flamelake_model::relabel::{RelabelConfig, RelabelError, RelabelRules};

const NAME_REPLACED: &str = "__name_replaced__";

/// What a tenant's profiles go through. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct PushRules {
    /// In the order in which they run.
    series: Vec<RelabelRules>,
    sample_types: RelabelRules,
}

impl PushRules {
    /// `default`: what [`default_rules`] gave.
    pub(crate) fn new(limits: &Limits, default: &RelabelRules) -> Self {
        let own = limits.ingestion_relabeling_rules.clone();
        let series = match limits.ingestion_relabeling_default_rules_position {
            RulesPosition::First => vec![default.clone(), own],
            RulesPosition::Last => vec![own, default.clone()],
            RulesPosition::Disabled => vec![own],
        };
        Self { series, sample_types: limits.sample_type_relabeling_rules.clone() }
    }

    /// Changes the labels of a series; false if it is dropped.
    pub(crate) fn series(&self, labels: &mut Vec<(String, String)>) -> bool {
        self.series.iter().all(|rules| rules.apply(labels))
    }

    /// Whether every type of values is stored.
    pub(crate) fn keeps_all_types(&self) -> bool {
        self.sample_types.is_empty()
    }

    /// Whether a type of values of a series is stored.
    pub(crate) fn keeps_type(&self, labels: &[(String, String)], kind: &str, unit: &str) -> bool {
        let mut labels = labels.to_vec();
        labels.retain(|(name, _)| name != label_name::TYPE && name != label_name::UNIT);
        labels.push((label_name::TYPE.to_owned(), kind.to_owned()));
        labels.push((label_name::UNIT.to_owned(), unit.to_owned()));
        self.sample_types.apply(&mut labels)
    }
}

/// `godeltaprof_X` is X, already a difference; and CPU time that came as a kind of wall time is `process_cpu`.
pub(crate) fn default_rules() -> Result<RelabelRules, RelabelError> {
    let replace = |sources: &[&str], regex: &str, target: &str, replacement: &str| RelabelConfig {
        source_labels: sources.iter().map(|name| (*name).to_owned()).collect(),
        separator: "/".to_owned(),
        regex: regex.to_owned(),
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        ..RelabelConfig::default()
    };
    let (name, kind) = (label_name::NAME, label_name::TYPE);
    let godeltaprof = "godeltaprof_(.+)";
    RelabelRules::new([
        replace(&[name], godeltaprof, label_name::DELTA, "false"),
        replace(&[name], godeltaprof, NAME_REPLACED, "$0"),
        replace(&[name], godeltaprof, name, "$1"),
        replace(&[name, kind], "wall/cpu", NAME_REPLACED, "wall"),
        replace(&[name, kind], "wall/cpu", name, "process_cpu"),
    ])
}

#[cfg(test)]
mod tests {
    use flamelake_config::FromText as _;

    use super::*;

    fn labels(text: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        text.split_whitespace().map(pair).collect()
    }

    fn rules(own: &str, position: RulesPosition) -> PushRules {
        let limits = Limits {
            ingestion_relabeling_rules: RelabelRules::from_text(own).unwrap(),
            ingestion_relabeling_default_rules_position: position,
            ..Limits::default()
        };
        PushRules::new(&limits, &default_rules().unwrap())
    }

    fn check(rules: &PushRules, before: &str, after: &str) {
        let mut changed = labels(before);
        let kept = rules.series(&mut changed);
        let text: Vec<String> = changed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(if kept { text.join(" ") } else { "dropped".to_owned() }, after);
    }

    #[test]
    fn everybody_has_the_rules_of_old_names() {
        let all = rules("", RulesPosition::First);
        check(
            &all,
            "__name__=godeltaprof_memory a=b",
            "__delta__=false __name__=memory __name_replaced__=godeltaprof_memory a=b",
        );
        check(&all, "__name__=wall __type__=cpu", "__name__=process_cpu __name_replaced__=wall __type__=cpu");
        check(&all, "__name__=wall __type__=wall", "__name__=wall __type__=wall");
        check(&rules("", RulesPosition::Disabled), "__name__=godeltaprof_memory", "__name__=godeltaprof_memory");
    }

    #[test]
    fn own_rules_run_before_or_after() {
        let own = "[{action: drop, source_labels: [__name__], regex: memory}]";
        check(&rules(own, RulesPosition::First), "__name__=godeltaprof_memory", "dropped");
        check(
            &rules(own, RulesPosition::Last),
            "__name__=godeltaprof_memory",
            "__delta__=false __name__=memory __name_replaced__=godeltaprof_memory",
        );
    }

    #[test]
    fn types_of_values_are_kept_or_dropped() {
        let text = "[{action: drop, source_labels: [service_name, __type__], regex: 'a;alloc_.*'}]";
        let limits =
            Limits { sample_type_relabeling_rules: RelabelRules::from_text(text).unwrap(), ..Limits::default() };
        let rules = PushRules::new(&limits, &RelabelRules::default());
        assert!(!rules.keeps_type(&labels("service_name=a"), "alloc_space", "bytes"));
        assert!(rules.keeps_type(&labels("service_name=a"), "inuse_space", "bytes"));
        assert!(rules.keeps_type(&labels("service_name=b"), "alloc_space", "bytes"));
        assert!(!rules.keeps_all_types() && PushRules::default().keeps_all_types());
    }
}
