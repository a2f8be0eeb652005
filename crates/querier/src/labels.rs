//! Answers about labels: what clients without the UTF-8 capability see, and types from their ids.

use std::collections::BTreeSet;

use flamelake_model::{Labels, ProfileType};

/// `[a-zA-Z_][a-zA-Z0-9_]*`: what every client can read.
pub(crate) fn is_legacy_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Names for a client, sorted.
pub(crate) fn names_for_client(names: BTreeSet<String>, utf8: bool) -> Vec<String> {
    names.into_iter().filter(|name| utf8 || is_legacy_name(name)).collect()
}

/// Label sets for a client, sorted and distinct; sets that become empty are left out.
pub(crate) fn sets_for_client(sets: BTreeSet<Labels>, utf8: bool) -> BTreeSet<Labels> {
    if utf8 || sets.iter().flatten().all(|label| is_legacy_name(&label.name)) {
        return sets;
    }
    sets.iter().map(without_utf8).filter(|set| !set.is_empty()).collect()
}

fn without_utf8(labels: &Labels) -> Labels {
    let legacy = labels.iter().filter(|label| is_legacy_name(&label.name));
    Labels::from_pairs(legacy.map(|label| (&label.name, &label.value)))
}

/// Types by id, bytewise; values that are no type ids are skipped.
pub(crate) fn profile_types(ids: &BTreeSet<String>) -> Vec<ProfileType> {
    ids.iter().filter_map(|id| ProfileType::parse(id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(utf8: bool) -> Vec<String> {
        names_for_client(["__name__", "1a", "a b", "a.b", "pod", "_", "é"].map(str::to_owned).into(), utf8)
    }

    #[test]
    fn odd_names_need_the_capability() {
        assert_eq!(names(false), ["_", "__name__", "pod"]);
        assert_eq!(names(true).len(), 7);
    }

    #[test]
    fn sets_that_become_equal_are_one() {
        let sets = [[("pod", "1"), ("a.b", "1")], [("pod", "1"), ("a.b", "2")]].map(Labels::from_pairs);
        let seen = sets_for_client(sets.into(), false);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [Labels::from_pairs([("pod", "1")])]);
    }

    #[test]
    fn values_that_are_no_types_are_skipped() {
        let ids = ["a:b:c:d:e", "x"].map(str::to_owned).into();
        assert_eq!(profile_types(&ids).iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:b:c:d:e"]);
    }
}
