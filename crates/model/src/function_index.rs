//! Which services run a function: the question, what holders of profiles answer, and how answers become one.
//!
//! Answers are as fine as partitions and series, whose times and profile types stand for the functions in them: since no sample is read,
//! a function counts for all of the time of the rows that it lies with.

use std::collections::{BTreeMap, BTreeSet};

use crate::TimestampNs;
use crate::function_series::FunctionRegex;
use crate::query::Selection;

/// Most pairs of function and service in one answer.
pub const FUNCTION_PLACES_MAX: usize = 100_000;
/// Most source files told of one function in one service.
const FILES_MAX: usize = 8;

/// A question for functions by their names, after its checks.
#[derive(Clone, Debug)]
pub struct FunctionIndexQuery {
    /// Where to look.
    pub selection: Selection,
    /// Which names.
    pub functions: FunctionRegex,
    /// Most functions told, in order of their names.
    pub limit: usize,
}

/// A function in the profiles of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPlace {
    /// Ids of the types that the service's profiles have.
    pub profile_types: BTreeSet<String>,
    /// Source files; the first eight in order.
    pub files: BTreeSet<String>,
    /// Earliest profile of what the function lies with.
    pub first: TimestampNs,
    /// Latest profile of the same.
    pub last: TimestampNs,
}

impl FunctionPlace {
    fn merge(&mut self, other: Self) {
        self.profile_types.extend(other.profile_types);
        other.files.into_iter().for_each(|file| self.add_file(file));
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// Notes a source file; an empty name is none.
    pub fn add_file(&mut self, file: String) {
        if !file.is_empty() {
            self.files.insert(file);
        }
        while self.files.len() > FILES_MAX {
            self.files.pop_last();
        }
    }
}

/// Functions by name, and of each its places by service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionIndex {
    functions: BTreeMap<String, BTreeMap<String, FunctionPlace>>,
    limit: usize,
    /// There are functions beyond the limit.
    pub more: bool,
}

impl FunctionIndex {
    /// Nothing found yet.
    pub fn new(limit: usize) -> Self {
        Self { functions: BTreeMap::new(), limit, more: false }
    }

    /// Functions in order of their names.
    pub fn functions(&self) -> &BTreeMap<String, BTreeMap<String, FunctionPlace>> {
        &self.functions
    }

    /// Most functions that it holds.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Would a function of this name be kept?
    pub fn admits(&mut self, name: &str) -> bool {
        let is_beyond = self.functions.len() >= self.limit
            && self.functions.last_key_value().is_none_or(|(last, _)| last.as_str() < name);
        self.more |= is_beyond;
        !is_beyond
    }

    /// Adds a place of a function.
    pub fn add(&mut self, name: &str, service: &str, place: FunctionPlace) {
        if !self.admits(name) {
            return;
        }
        let places = self.functions.entry(name.to_owned()).or_default();
        match places.get_mut(service) {
            Some(known) => known.merge(place),
            None => drop(places.insert(service.to_owned(), place)),
        }
        while self.functions.len() > self.limit {
            self.functions.pop_last();
            self.more = true;
        }
    }

    /// Adds the answer over further rows. The order of the parts does not matter: what is among the first names of all is among the
    /// first of each part that has it.
    pub fn merge(&mut self, part: Self) {
        self.more |= part.more;
        for (name, places) in part.functions {
            for (service, place) in places {
                self.add(&name, &service, place);
            }
        }
    }

    /// Pairs of function and service.
    pub fn count_places(&self) -> usize {
        self.functions.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(limit: usize, places: &[(&str, &str, i64)]) -> FunctionIndex {
        let mut index = FunctionIndex::new(limit);
        for (name, service, at) in places {
            let place = FunctionPlace {
                profile_types: BTreeSet::from([format!("type{at}")]),
                files: BTreeSet::from([format!("file{at}")]),
                first: TimestampNs(*at),
                last: TimestampNs(*at),
            };
            index.add(name, service, place);
        }
        index
    }

    fn text(index: &FunctionIndex) -> String {
        let place = |(service, place): (&String, &FunctionPlace)| {
            format!("{service} {}..{} {} types", place.first.0, place.last.0, place.profile_types.len())
        };
        let function = |(name, places): (&String, &BTreeMap<String, FunctionPlace>)| {
            format!("{name}: {}", places.iter().map(place).collect::<Vec<_>>().join(", "))
        };
        let lines: Vec<String> = index.functions().iter().map(function).collect();
        lines.join("; ") + if index.more { "; more" } else { "" }
    }

    #[test]
    fn the_first_names_are_kept_with_all_their_places_in_any_order() {
        let parts = [
            part(2, &[("d", "s", 1), ("b", "s", 5)]),
            part(2, &[("c", "s", 2), ("b", "t", 3)]),
            part(2, &[("b", "s", 4), ("a", "s", 9)]),
        ];
        let expected = "a: s 9..9 1 types; b: s 4..5 2 types, t 3..3 1 types; more";
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut all = FunctionIndex::new(2);
            order.into_iter().for_each(|at| all.merge(parts[at].clone()));
            assert_eq!(text(&all), expected);
            assert_eq!(all.count_places(), 3);
        }
        assert_eq!(text(&part(2, &[("b", "s", 1), ("a", "s", 2)])), "a: s 2..2 1 types; b: s 1..1 1 types");
    }

    #[test]
    fn files_are_bounded() {
        let mut place = part(1, &[("a", "s", 0)]).functions["a"]["s"].clone();
        (1..20).for_each(|at| place.add_file(format!("file{}", at % 10)));
        place.add_file(String::new());
        assert_eq!((place.files.len(), place.files.last().map(String::as_str)), (8, Some("file7")));
    }
}
