//! Which usage groups a profile belongs to, and whether sampling keeps it (contract `ingest.md` sections 3.4 and 3.5).

use flamelake_config::Limits;
use flamelake_model::usage_group::{Sampling, UsageGroup, UsageGroups};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::labels;

/// What a tenant's profiles are counted under and thinned out by. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsageRules {
    groups: UsageGroups,
    sampling: Sampling,
}

/// What becomes of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is stored, as all like it.
    Kept,
    /// It is stored, and others like it are not: what its annotation `pyroscope.ingest.sampled` says.
    Sampled(String),
    /// Its totals are stored.
    Stripped,
    /// Nothing is stored, and that is a success.
    Dropped,
}

impl UsageRules {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { groups: limits.distributor_usage_groups.clone(), sampling: limits.distributor_sampling.clone() }
    }

    /// `None`: the tenant has no groups.
    pub(crate) fn groups(&self, labels: &[(String, String)]) -> Option<Vec<UsageGroup>> {
        (!self.groups.is_empty()).then(|| self.groups.matching(labels))
    }

    /// Decided by what the profile is, not by a die: a push that is tried again ends as before.
    pub(crate) fn fate(&self, groups: &[UsageGroup], labels: &[(String, String)], content: u128) -> Fate {
        let Some((group, probability)) = self.sampling.rule(groups).filter(|(_, probability)| *probability < 1.0)
        else {
            return Fate::Kept;
        };
        // 53 bits are what a double holds.
        let drawn =
            (xxh3_64_with_seed(&content.to_le_bytes(), labels::hash(labels)) >> 11) as f64 / (1_u64 << 53) as f64;
        match drawn < probability {
            true => Fate::Sampled(annotation(&group.name, probability)),
            false if self.sampling.keep_stripped_profiles => Fate::Stripped,
            false => Fate::Dropped,
        }
    }
}

fn annotation(group: &str, probability: f64) -> String {
    json!({"body": {"source": {"usageGroup": group, "probability": probability}}}).to_string()
}

#[cfg(test)]
mod tests {
    use flamelake_config::FromText as _;

    use super::*;

    #[test]
    fn about_the_share_is_kept_and_always_the_same() {
        let limits = Limits {
            distributor_usage_groups: UsageGroups::from_text("{a: '{service_name=\"a\"}'}").unwrap(),
            distributor_sampling: Sampling::from_text("{usage_groups: {a: {probability: 0.3}}}").unwrap(),
            ..Limits::default()
        };
        let rules = UsageRules::new(&limits);
        let labels = |service: &str| vec![("service_name".to_owned(), service.to_owned())];
        let kept = |service: &str| {
            let (labels, profiles) = (labels(service), 0..10_000_u32);
            let groups = rules.groups(&labels).unwrap();
            profiles.filter(|at| rules.fate(&groups, &labels, u128::from(*at)) != Fate::Dropped).count()
        };
        assert!((2_800..3_200).contains(&kept("a")), "{}", kept("a"));
        assert_eq!(kept("a"), kept("a"));
        assert_eq!(kept("b"), 10_000);
        assert_eq!(annotation("a \"b\"", 0.3), r#"{"body":{"source":{"probability":0.3,"usageGroup":"a \"b\""}}}"#);
    }
}
