//! What was pushed and what queries said of it: the judge of the promises P1 to P4.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Frames by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    frames: BTreeMap<String, BTreeMap<String, Standing>>,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Some push of it was acknowledged.
    acknowledged: bool,
    /// Some answer showed it.
    seen: bool,
}

/// What an answer must show: all that was acknowledged or seen before the question was asked.
pub(crate) type Must = BTreeSet<String>;

impl Ledger {
    pub(crate) fn pushed(&mut self, tenant: &str, frame: &str) {
        self.frames.entry(tenant.to_owned()).or_default().entry(frame.to_owned()).or_default();
    }

    pub(crate) fn told(&mut self, tenant: &str, frame: &str, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
            if let Some(standing) = self.frames.get_mut(tenant).and_then(|frames| frames.get_mut(frame)) {
                standing.acknowledged = true;
            }
        } else {
            self.refused += 1;
        }
    }

    pub(crate) fn must(&self, tenant: &str) -> Must {
        let frames = self.frames.get(tenant).into_iter().flatten();
        frames.filter(|(_, standing)| standing.acknowledged || standing.seen).map(|(name, _)| name.clone()).collect()
    }

    /// What is wrong with an answer; nothing, usually.
    pub(crate) fn judge(&mut self, tenant: &str, must: &Must, answer: &[u8]) -> Vec<String> {
        self.answered += 1;
        let found = match counts(answer) {
            Ok(found) => found,
            Err(reason) => return vec![format!("an answer to {tenant} cannot be read: {reason}")],
        };
        let mut wrong = Vec::new();
        for name in must.iter().filter(|name| !found.contains_key(*name)) {
            let standing = self.frames.get(tenant).and_then(|frames| frames.get(name)).copied().unwrap_or_default();
            let was = if standing.acknowledged { "was acknowledged" } else { "was seen" };
            wrong.push(format!("P1: {name} of {tenant} {was} and is missing"));
        }
        for (name, count) in &found {
            match self.frames.get_mut(tenant).and_then(|frames| frames.get_mut(name)) {
                None => wrong.push(format!("P4: {tenant} was answered with {name}")),
                Some(_) if *count != 1 => wrong.push(format!("P2: {name} of {tenant} counts {count} times")),
                Some(standing) => standing.seen = true,
            }
        }
        wrong
    }
}

#[derive(Deserialize)]
struct Document {
    flamebearer: Bars,
}

#[derive(Deserialize)]
struct Bars {
    names: Vec<String>,
    levels: Vec<Vec<i64>>,
}

/// Own values by name. Every frame is one leaf of value 1.
fn counts(answer: &[u8]) -> Result<BTreeMap<String, i64>, String> {
    let Document { flamebearer } = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let mut counts = BTreeMap::new();
    for bar in flamebearer.levels.iter().flat_map(|level| level.chunks(4)) {
        let &[_, _, own, name] = bar else { return Err("a bar has four numbers".to_owned()) };
        if own != 0 {
            let name = usize::try_from(name).ok().and_then(|name| flamebearer.names.get(name));
            *counts.entry(name.ok_or("a name is missing")?.clone()).or_default() += own;
        }
    }
    Ok(counts)
}
