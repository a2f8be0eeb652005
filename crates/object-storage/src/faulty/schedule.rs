//! A schedule of faults as text, so that a test can break the store of a real server from outside (`testing.storage-faults`).
//!
//! Rules are separated by `;`. A rule is `<operation> <key> <fault> [<when>]`, separated by spaces:
//!
//! | part | one of |
//! |---|---|
//! | operation | `get`, `put` (replaces), `create` (must not replace), `write` (both), `delete`, `list`, `any` |
//! | key | text that the key contains, `*` = any key |
//! | fault | `fail`, `lose-answer`, `conflict`, `out-of-space`, `hang`, `delay:<duration>`, `panic`, `abort-before`, `abort-after` |
//! | when | `nth:<n>` (only then, counted from 1), `every:<n>`, `chance:<percent>`; absent = always |

use std::time::Duration;

use flamelake_config::FromText;

use super::{Fault, Faults, Operation, Plan, When};

impl Faults {
    /// Reads a schedule; `seed` decides what happens by chance.
    pub fn parse(text: &str, seed: u64) -> Result<Self, String> {
        let faults = Self::with_seed(seed);
        for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
            let plan = parse_rule(rule).map_err(|what| format!("{rule:?}: {what}"))?;
            faults.add(plan);
        }
        Ok(faults)
    }
}

fn parse_rule(rule: &str) -> Result<Plan, String> {
    let parts: Vec<&str> = rule.split_whitespace().collect();
    let (operation, key, fault, when) = match parts[..] {
        [operation, key, fault] => (operation, key, fault, None),
        [operation, key, fault, when] => (operation, key, fault, Some(when)),
        _ => return Err("a rule is <operation> <key> <fault> [<when>]".to_owned()),
    };
    Ok(Plan {
        operations: operations(operation)?,
        key_part: if key == "*" { String::new() } else { key.to_owned() },
        fault: parse_fault(fault)?,
        when: when.map_or(Ok(When::Always), parse_when)?,
        met: 0,
    })
}

fn operations(name: &str) -> Result<Vec<Operation>, String> {
    use Operation::{Create, Delete, Get, List, Put};
    Ok(match name {
        "get" => vec![Get],
        "put" => vec![Put],
        "create" => vec![Create],
        "write" => vec![Put, Create],
        "delete" => vec![Delete],
        "list" => vec![List],
        "any" => vec![Get, Put, Create, Delete, List],
        _ => return Err(format!("unknown operation {name:?}")),
    })
}

fn parse_fault(name: &str) -> Result<Fault, String> {
    Ok(match name.split_once(':') {
        Some(("delay", time)) => Fault::Delay(Duration::from_text(time).ok_or_else(|| format!("{time:?} is no time"))?),
        None if name == "fail" => Fault::Fail,
        None if name == "lose-answer" => Fault::LoseAnswer,
        None if name == "conflict" => Fault::Conflict,
        None if name == "out-of-space" => Fault::OutOfSpace,
        None if name == "hang" => Fault::Hang,
        None if name == "panic" => Fault::Panic,
        None if name == "abort-before" => Fault::AbortBefore,
        None if name == "abort-after" => Fault::AbortAfter,
        _ => return Err(format!("unknown fault {name:?}")),
    })
}

fn parse_when(text: &str) -> Result<When, String> {
    let wrong = || format!("{text:?} is none of nth:<n>, every:<n>, chance:<percent>");
    let (name, number) = text.split_once(':').ok_or_else(wrong)?;
    match (name, number.parse::<u32>()) {
        ("nth", Ok(n @ 1..)) => Ok(When::Between { skip: n as usize - 1, times: 1 }),
        ("every", Ok(n @ 1..)) => Ok(When::Every(n as usize)),
        ("chance", Ok(percent @ 0..=100)) => Ok(When::Chance(f64::from(percent) / 100.0)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a schedule does to a sequence of operations on keys, one letter each: `.` nothing, `f` fail, `d` delay.
    fn check(schedule: &str, requests: &[(Operation, &str)], expected: &str) {
        let faults = Faults::parse(schedule, 7).unwrap();
        let met = requests.iter().map(|(operation, key)| match faults.take(*operation, key) {
            (Duration::ZERO, None) => '.',
            (Duration::ZERO, Some(Fault::Fail)) => 'f',
            (_, None) => 'd',
            (_, Some(_)) => 'D',
        });
        assert_eq!(met.collect::<String>(), expected, "{schedule}");
    }

    #[test]
    fn rules_meet_what_they_name() {
        use Operation::{Create, Get, Put};
        let puts = [(Put, "a/x"), (Put, "a/y"), (Get, "a/x"), (Put, "a/x"), (Create, "a/x"), (Put, "a/x")];
        check("", &puts, "......");
        check("put x fail", &puts, "f..f.f");
        check("put x fail nth:2", &puts, "...f..");
        check("write x fail every:2", &puts, "...f.f");
        check("any * fail chance:100", &puts, "ffffff");
        check("any * fail chance:0", &puts, "......");
        check(" put x fail nth:1 ; get * fail;", &puts, "f.f...");
        check("any x delay:5ms; put x fail nth:2", &puts, "d.dDdd");
    }

    #[test]
    fn a_seed_repeats_itself() {
        let run = |seed| {
            let faults = Faults::parse("any * fail chance:50", seed).unwrap();
            (0..64).map(|_| faults.take(Operation::Get, "k").1.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in ["put x", "push x fail", "put x explode", "put x fail nth:0", "put x delay:soon", "put x fail now"]
        {
            let error = Faults::parse(wrong, 0).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
