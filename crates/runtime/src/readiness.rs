//! Is this process ready to be sent work? Named conditions, all of which must hold.

use std::collections::BTreeMap;

use parking_lot::RwLock;

/// See the module. Share it by `Arc`.
#[derive(Debug, Default)]
pub struct Readiness {
    conditions: RwLock<BTreeMap<&'static str, bool>>,
}

impl Readiness {
    /// Declares that a condition must hold, and whether it does.
    pub fn set(&self, condition: &'static str, holds: bool) {
        self.conditions.write().insert(condition, holds);
    }

    /// `Ok` when every declared condition holds, else the names of those that do not.
    pub fn check(&self) -> Result<(), Vec<&'static str>> {
        let conditions = self.conditions.read();
        let missing: Vec<_> = conditions.iter().filter(|(_, holds)| !**holds).map(|(name, _)| *name).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let readiness = Readiness::default();
        readiness.set("replay", false);
        assert_eq!(readiness.check(), Err(vec!["replay"]));
        readiness.set("replay", true);
        assert_eq!(readiness.check(), Ok(()));
    }
}
