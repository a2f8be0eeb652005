//! Two trees beside each other: which functions' own share of the total grew or shrank. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::output::Rows;
use super::tree::Tree;

/// A function before and after; shares are percent of the total of their side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) function: String,
    /// Own cost.
    pub(super) own: [f64; 2],
    /// Cost with everything called.
    pub(super) all: [f64; 2],
}

impl Change {
    /// Percentage points that the own share grew by.
    pub(super) fn grew(&self) -> f64 {
        self.own[1] - self.own[0]
    }
}

/// Every function of either side, the largest change of its own share first.
pub(super) fn changes(before: &Tree, after: &Tree) -> Vec<Change> {
    let mut functions: BTreeMap<&str, Change> = BTreeMap::new();
    for (side, tree) in [before, after].into_iter().enumerate() {
        let total = tree.total().max(1) as f64;
        for (name, (own, all)) in tree.functions() {
            let new = || Change { function: name.to_owned(), own: [0.0; 2], all: [0.0; 2] };
            let change = functions.entry(name).or_insert_with(new);
            change.own[side] = own as f64 * 100.0 / total;
            change.all[side] = all as f64 * 100.0 / total;
        }
    }
    let mut changes: Vec<Change> = functions.into_values().collect();
    // Ties stay in order of names.
    changes.sort_by(|one, other| other.grew().abs().total_cmp(&one.grew().abs()));
    changes
}

/// For programs.
pub(super) fn rows(changes: &[Change]) -> Rows {
    let mut rows = Rows::new(&[
        "function",
        "self_percent_before",
        "self_percent_after",
        "self_change",
        "total_percent_before",
        "total_percent_after",
    ]);
    for change in changes {
        rows.push(vec![
            json!(change.function),
            json!(change.own[0]),
            json!(change.own[1]),
            json!(change.grew()),
            json!(change.all[0]),
            json!(change.all[1]),
        ]);
    }
    rows
}

/// For a person.
pub(super) fn table(changes: &[Change], rows: usize) -> String {
    let mut out = format!("{:>8} {:>8} {:>8}  {:>8} {:>8}  FUNCTION\n", "SELF", "BEFORE", "AFTER", "TOTAL", "AFTER");
    for change in changes.iter().take(rows) {
        let Change { function, own, all } = change;
        let _ = writeln!(
            out,
            "{:>+7.2}% {:>7.2}% {:>7.2}%  {:>7.2}% {:>7.2}%  {function}",
            change.grew(),
            own[0],
            own[1],
            all[0],
            all[1]
        );
    }
    if changes.len() > rows {
        let _ = writeln!(out, "… and {} more", changes.len() - rows);
    }
    out
}

#[cfg(test)]
mod tests {
    use flamelake_api::querier::v1::{FlameGraph, Level};

    use super::*;

    fn tree(bars: &[(&str, i64)]) -> Tree {
        let total = bars.iter().map(|(_, value)| value).sum();
        let mut names = vec!["total".to_owned()];
        names.extend(bars.iter().map(|(name, _)| (*name).to_owned()));
        let level = bars.iter().enumerate().flat_map(|(at, (_, value))| [0, *value, *value, at as i64 + 1]).collect();
        let levels = vec![Level { values: vec![0, total, 0, 0] }, Level { values: level }];
        Tree::of(&FlameGraph { names, levels, total, max_self: 0 }).unwrap()
    }

    #[test]
    fn shares_are_compared_not_sums() {
        let changes = changes(&tree(&[("a", 50), ("b", 50)]), &tree(&[("a", 300), ("b", 600), ("c", 100)]));
        let told: Vec<String> =
            changes.iter().map(|change| format!("{} {:+.0}", change.function, change.grew())).collect();
        assert_eq!(told, ["a -20", "b +10", "c +10"]);
        assert_eq!(
            table(&changes, 1),
            "    SELF   BEFORE    AFTER     TOTAL    AFTER  FUNCTION
 -20.00%   50.00%   30.00%    50.00%   30.00%  a
… and 2 more
"
        );
        assert!(super::changes(&Tree::default(), &Tree::default()).is_empty());
    }
}
