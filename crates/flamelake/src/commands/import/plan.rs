//! What is imported, and how a merged profile becomes one that can be pushed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use flamelake_api::google::v1::{Profile, ValueType};
use flamelake_api::types::v1::{LabelPair, Labels};

/// The label that holds a series' profile type (contract `wire.md`).
const PROFILE_TYPE: &str = "__profile_type__";

/// One series and one of its types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    /// Five parts with colons.
    pub(super) profile_type: String,
    /// Labels that people see.
    labels: BTreeMap<String, String>,
    /// Names that other series of the type have and this one has not.
    absent: BTreeSet<String>,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.profile_type, labels.join(","))
    }
}

/// What the answer of `Series` holds, each once. Labels with `__` are the servers' own; series that differ only in them are one.
pub(super) fn units(sets: Vec<Labels>) -> anyhow::Result<Vec<Unit>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut found: BTreeSet<(String, BTreeMap<String, String>)> = BTreeSet::new();
    for set in sets {
        let profile_type = set.labels.iter().find(|label| label.name == PROFILE_TYPE);
        let profile_type =
            profile_type.context("the other server lists a series without a profile type")?.value.clone();
        let visible = set.labels.into_iter().filter(|label| !label.name.starts_with("__"));
        let labels: BTreeMap<String, String> = visible.map(|label| (label.name, label.value)).collect();
        names.entry(profile_type.clone()).or_default().extend(labels.keys().cloned());
        found.insert((profile_type, labels));
    }
    let unit = |(profile_type, labels): (String, BTreeMap<String, String>)| {
        let all = names.get(&profile_type).cloned().unwrap_or_default();
        let absent = all.into_iter().filter(|name| !labels.contains_key(name)).collect();
        Unit { profile_type, labels, absent }
    };
    Ok(found.into_iter().map(unit).collect())
}

/// Pieces of a grid of steps, each of at most so many points: first and last point.
pub(super) fn windows(start: i64, end: i64, step_ms: i64, points_max: usize) -> impl Iterator<Item = (i64, i64)> {
    let length = step_ms.saturating_mul(i64::try_from(points_max).unwrap_or(i64::MAX));
    let first = (0..).map(move |number: i64| start.saturating_add(number.saturating_mul(length)));
    // A step that is not over is left for the next run.
    let last = start + (end - start) / step_ms * step_ms;
    first
        .take_while(move |first| *first <= last)
        .map(move |first| (first, last.min(first.saturating_add(length - step_ms))))
}

impl Unit {
    /// Finds exactly this series.
    pub(super) fn selector(&self) -> String {
        let has = self.labels.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let has_not = self.absent.iter().map(|name| format!("{name}=\"\""));
        format!("{{{}}}", has.chain(has_not).collect::<Vec<_>>().join(","))
    }

    /// As a client sends them. The values are stored as they come: they are differences already.
    pub(super) fn push_labels(&self) -> Vec<LabelPair> {
        let name = self.profile_type.split(':').next().unwrap_or_default();
        let own = [("__name__", name), ("__delta__", "false")];
        let visible = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pair = |(name, value): (&str, &str)| LabelPair { name: name.to_owned(), value: value.to_owned() };
        own.into_iter().chain(visible).map(pair).collect()
    }

    /// The merged profile with the time and the type that it has to have.
    pub(super) fn restore(&self, mut profile: Profile, time_nanos: i64) -> anyhow::Result<Profile> {
        let parts: Vec<&str> = self.profile_type.split(':').collect();
        ensure!(parts.len() >= 5, "{} is no profile type", self.profile_type);
        ensure!(profile.sample_type.len() <= 1, "a merged profile of one type has {}", profile.sample_type.len());
        let mut intern = |text: &str| -> i64 {
            let known = profile.string_table.iter().position(|known| known == text);
            let at = known.unwrap_or_else(|| {
                if profile.string_table.is_empty() {
                    profile.string_table.push(String::new());
                }
                profile.string_table.push(text.to_owned());
                profile.string_table.len() - 1
            });
            at as i64
        };
        let sample = ValueType { r#type: intern(parts[1]), unit: intern(parts[2]) };
        let period = ValueType { r#type: intern(parts[3]), unit: intern(parts[4]) };
        profile.sample_type = vec![sample];
        profile.period_type = (!parts[3].is_empty() || !parts[4].is_empty()).then_some(period);
        profile.time_nanos = time_nanos;
        Ok(profile)
    }
}

fn quoted(value: &str) -> String {
    let mut out = String::from('"');
    for character in value.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

    fn set(labels: &[(&str, &str)]) -> Labels {
        let pair = |(name, value): &(&str, &str)| LabelPair { name: (*name).to_owned(), value: (*value).to_owned() };
        Labels { labels: labels.iter().map(pair).collect() }
    }

    #[test]
    fn a_series_is_found_by_what_it_has_and_has_not() {
        let sets = vec![
            set(&[(PROFILE_TYPE, CPU), ("service_name", "a"), ("__session_id__", "1")]),
            set(&[(PROFILE_TYPE, CPU), ("service_name", "a"), ("__session_id__", "2")]),
            set(&[(PROFILE_TYPE, CPU), ("service_name", "a"), ("pod", "x\"y")]),
        ];
        let selectors: Vec<String> = units(sets).unwrap().iter().map(Unit::selector).collect();
        assert_eq!(selectors, [r#"{pod="x\"y",service_name="a"}"#, r#"{service_name="a",pod=""}"#]);
        assert!(units(vec![set(&[("service_name", "a")])]).is_err());
    }

    #[test]
    fn windows_cover_every_step_once() {
        assert_eq!(windows(0, 0, 10, 3).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(windows(0, 60, 10, 3).collect::<Vec<_>>(), [(0, 20), (30, 50), (60, 60)]);
        assert_eq!(windows(0, 69, 10, 3).last(), Some((60, 60)), "the next step is not over");
    }

    #[test]
    fn a_merged_profile_gets_back_its_type_and_a_time() {
        let unit = units(vec![set(&[(PROFILE_TYPE, CPU), ("service_name", "a")])]).unwrap().remove(0);
        let string_table = ["", "main", "nanoseconds"].map(str::to_owned).into();
        let profile = unit.restore(Profile { string_table, ..Profile::default() }, 7).unwrap();
        assert_eq!(profile.string_table, ["", "main", "nanoseconds", "cpu"]);
        assert_eq!(profile.sample_type, [ValueType { r#type: 3, unit: 2 }]);
        assert_eq!((profile.period_type, profile.time_nanos), (Some(ValueType { r#type: 3, unit: 2 }), 7));
        let names: Vec<String> = unit.push_labels().into_iter().map(|label| label.name + "=" + &label.value).collect();
        assert_eq!(names, ["__name__=process_cpu", "__delta__=false", "service_name=a"]);
        let two = Profile { sample_type: vec![ValueType::default(); 2], ..Profile::default() };
        assert!(unit.restore(two, 7).is_err());
    }
}
