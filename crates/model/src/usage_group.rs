//! Usage groups and sampling by them (contract `ingest.md` sections 3.4 and 3.5): who pays for a series, and how much of it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::StatusError;
use crate::selector::Selector;

/// Groups of one tenant.
const GROUPS_MAX: usize = 50;
/// What belongs to no group.
pub const OTHER_GROUP: &str = "other";

/// Groups by name, each with a selector. A name may hold `${labels.NAME}`, which the series fills. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageGroups {
    groups: Arc<[Group]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// As it is written.
    name: String,
    pieces: Vec<Piece>,
    selector: Selector,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Label(String),
}

/// A group that a series belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageGroup {
    /// Its name, labels filled in.
    pub name: String,
    /// As it is written, where labels were filled in.
    template: Option<String>,
}

impl UsageGroup {
    /// Whether its name holds values of labels.
    pub fn is_templated(&self) -> bool {
        self.template.is_some()
    }
}

impl UsageGroups {
    /// From names and selectors.
    ///
    /// # Errors
    /// `invalid_argument`: too many, an empty or reserved name, a placeholder that does not end, a selector that is none.
    pub fn new(groups: BTreeMap<String, String>) -> Result<Self, StatusError> {
        if groups.len() > GROUPS_MAX {
            let why = format!("{} usage groups are more than {GROUPS_MAX}", groups.len());
            return Err(StatusError::invalid_argument(why));
        }
        let group = |(name, selector): (String, String)| {
            let name = name.trim().to_owned();
            if name.is_empty() || name == OTHER_GROUP {
                let why = format!("a usage group cannot be called {name:?}");
                return Err(StatusError::invalid_argument(why));
            }
            Ok(Group { pieces: pieces(&name)?, name, selector: Selector::parse(&selector)? })
        };
        Ok(Self { groups: groups.into_iter().map(group).collect::<Result<_, _>>()? })
    }

    /// No groups?
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// As they are written.
    pub fn configs(&self) -> BTreeMap<String, String> {
        self.groups.iter().map(|group| (group.name.clone(), group.selector.to_string())).collect()
    }

    /// The groups that a series belongs to. A matcher on a label that it has not does not match.
    pub fn matching(&self, labels: &[(String, String)]) -> Vec<UsageGroup> {
        let value = |name: &str| labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let belongs = |group: &&Group| {
            group.selector.matchers().iter().all(|one| value(one.name()).is_some_and(|text| one.matches_value(text)))
        };
        let named = |group: &Group| {
            let filled = group.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Label(name) => value(name).filter(|value| !value.is_empty()),
            });
            let name = filled.collect::<Option<String>>()?;
            let is_templated = group.pieces.iter().any(|piece| matches!(piece, Piece::Label(_)));
            Some(UsageGroup { name, template: is_templated.then(|| group.name.clone()) })
        };
        self.groups.iter().filter(belongs).filter_map(named).collect()
    }
}

fn pieces(name: &str) -> Result<Vec<Piece>, StatusError> {
    const START: &str = "${labels.";
    let (mut out, mut rest) = (Vec::new(), name);
    while let Some((text, after)) = rest.split_once(START) {
        let ended = after.split_once('}').filter(|(label, _)| !label.is_empty());
        let Some((label, after)) = ended else {
            return Err(StatusError::invalid_argument(format!("usage group {name:?}: write ${{labels.NAME}}")));
        };
        out.extend([Piece::Text(text.to_owned()), Piece::Label(label.to_owned())]);
        rest = after;
    }
    out.push(Piece::Text(rest.to_owned()));
    Ok(out)
}

/// How much of the profiles of a group is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// By name of the group, as it is written or with labels filled in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub usage_groups: BTreeMap<String, GroupSampling>,
    /// The totals of profiles that are not kept are stored, without stacks and with the label `__sampled__="true"`.
    pub keep_stripped_profiles: bool,
}

/// See [`Sampling`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSampling {
    /// Share of the profiles that is kept, 0 to 1.
    pub probability: f64,
}

impl Sampling {
    /// Are all probabilities between 0 and 1?
    pub fn is_valid(&self) -> bool {
        self.usage_groups.values().all(|group| (0.0..=1.0).contains(&group.probability))
    }

    /// Keeps everything?
    pub fn is_empty(&self) -> bool {
        self.usage_groups.is_empty()
    }

    /// The share that is kept of a series of these groups, and which group says so: the lowest, of groups with plain names before all
    /// others. `None`: no rule is for them.
    pub fn rule<'a>(&self, groups: &'a [UsageGroup]) -> Option<(&'a UsageGroup, f64)> {
        let of = |group: &'a UsageGroup| {
            let known = self.usage_groups.get(&group.name);
            known.or_else(|| self.usage_groups.get(group.template.as_ref()?)).map(|known| (group, known.probability))
        };
        let lowest = |templated: bool| {
            let rules = groups.iter().filter(|group| group.is_templated() == templated).filter_map(of);
            rules.min_by(|(_, left), (_, right)| left.total_cmp(right))
        };
        lowest(false).or_else(|| lowest(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(rules: &[(&str, &str)]) -> Result<UsageGroups, StatusError> {
        UsageGroups::new(rules.iter().map(|(name, selector)| ((*name).to_owned(), (*selector).to_owned())).collect())
    }

    fn labels(text: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        text.split_whitespace().map(pair).collect()
    }

    #[test]
    fn series_belong_to_groups() {
        let groups = groups(&[
            ("shop", r#"{service_name=~"shop.*"}"#),
            ("not dev", r#"{env!="dev"}"#),
            ("team ${labels.team}", "{}"),
        ])
        .unwrap();
        let names = |text: &str| {
            groups.matching(&labels(text)).into_iter().map(|group| group.name).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(names("service_name=shop-web"), "shop");
        assert_eq!(names("service_name=x env=prod team=a"), "not dev, team a");
        assert_eq!(names("service_name=x env=dev"), "");
        assert_eq!(names("service_name=x"), "", "a label that is absent matches nothing, not even !=");
    }

    #[test]
    fn what_is_no_group_is_refused() {
        for (name, selector) in [("", "{}"), ("other", "{}"), ("a", "{"), ("${labels.}", "{}"), ("${labels.a", "{}")] {
            assert!(groups(&[(name, selector)]).is_err(), "{name} {selector}");
        }
        let many: BTreeMap<String, String> = (0..51).map(|at| (format!("g{at}"), "{}".to_owned())).collect();
        assert!(UsageGroups::new(many).is_err());
    }

    #[test]
    fn the_lowest_share_counts_and_plain_names_come_first() {
        let groups = groups(&[("a", "{}"), ("b", "{}"), ("t ${labels.team}", "{}")]).unwrap();
        let of = |rules: &[(&str, f64)]| {
            let rule =
                |(name, probability): &(&str, f64)| ((*name).to_owned(), GroupSampling { probability: *probability });
            let sampling = Sampling { usage_groups: rules.iter().map(rule).collect(), ..Sampling::default() };
            let groups = groups.matching(&labels("team=x"));
            sampling.rule(&groups).map(|(group, probability)| (group.name.clone(), probability))
        };
        let rule = |name: &str, probability| Some((name.to_owned(), probability));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("a", 0.5), ("b", 0.25), ("t x", 0.1)]), rule("b", 0.25));
        assert_eq!(of(&[("t x", 0.1), ("t ${labels.team}", 0.9)]), rule("t x", 0.1));
        assert_eq!(of(&[("t ${labels.team}", 0.9), ("nobody", 0.0)]), rule("t x", 0.9));
    }
}
