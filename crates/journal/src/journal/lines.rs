//! Who is next: pushes wait in a line for each tenant, and the lines share the log by bytes.
//!
//! Start-time fair queueing: each tenant's next push bears the number of bytes that the tenant has had since lines last stood empty, but
//! never less than what was served last; the least goes first. A tenant with a thousand pushes waiting delays another's by one push of its
//! own, nobody saves up for later, and pushes of one tenant keep their order.

use std::collections::{BTreeSet, HashMap, VecDeque};

use flamelake_model::TenantId;

/// Pushes of `T` that wait.
#[derive(Debug)]
pub(super) struct Lines<T> {
    lines: HashMap<TenantId, Line<T>>,
    /// Of the lines that are not empty: the tag of the first in line.
    order: BTreeSet<(u64, TenantId)>,
    /// Tag of what was served last.
    now: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Line<T> {
    /// With their bytes.
    waiting: VecDeque<(T, usize)>,
    /// Tag of the first, or of the one that comes next.
    start: u64,
}

impl<T> Lines<T> {
    pub(super) fn new() -> Self {
        Self { lines: HashMap::new(), order: BTreeSet::new(), now: 0, bytes: 0 }
    }

    /// Of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn push(&mut self, tenant: &TenantId, bytes: usize, push: T) {
        let line = self.lines.entry(tenant.clone()).or_insert_with(|| Line { waiting: VecDeque::new(), start: 0 });
        if line.waiting.is_empty() {
            line.start = line.start.max(self.now);
            self.order.insert((line.start, tenant.clone()));
        }
        line.waiting.push_back((push, bytes));
        self.bytes += bytes;
    }

    /// Those whose turn it is: as many as fit, and the one that passes the bound.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<T> {
        let (mut taken, mut sum) = (Vec::new(), 0);
        while sum < bytes_max
            && let Some((push, bytes)) = self.pop()
        {
            taken.push(push);
            sum += bytes;
        }
        if self.order.is_empty() {
            (self.now, self.lines) = (0, HashMap::new());
        }
        taken
    }

    fn pop(&mut self) -> Option<(T, usize)> {
        let (start, tenant) = self.order.pop_first()?;
        let line = self.lines.get_mut(&tenant)?;
        let (push, bytes) = line.waiting.pop_front()?;
        self.now = start;
        // Empty pushes take a place too.
        line.start = start.saturating_add(bytes.max(1) as u64);
        if !line.waiting.is_empty() {
            self.order.insert((line.start, tenant));
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        Some((push, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_flood_delays_others_by_one_push() {
        let (mut lines, loud, quiet) = (Lines::new(), tenant("loud"), tenant("quiet"));
        (0..5).for_each(|at| lines.push(&loud, 10, ("loud", at)));
        assert_eq!(lines.take(15), [("loud", 0), ("loud", 1)], "alone it has everything");
        lines.push(&quiet, 1, ("quiet", 0));
        lines.push(&quiet, 1, ("quiet", 1));
        assert_eq!(lines.take(1), [("quiet", 0)]);
        assert_eq!(lines.take(12), [("quiet", 1), ("loud", 2), ("loud", 3)]);
        assert_eq!((lines.bytes(), lines.is_empty()), (10, false));
        assert_eq!(lines.take(usize::MAX), [("loud", 4)]);
        assert_eq!((lines.bytes(), lines.is_empty(), lines.take(1)), (0, true, vec![]));
    }

    #[test]
    fn who_was_away_has_nothing_saved() {
        let (mut lines, old, new) = (Lines::new(), tenant("old"), tenant("new"));
        (0..100).for_each(|_| lines.push(&old, 10, "old"));
        assert_eq!(lines.take(500).len(), 50);
        (0..100).for_each(|_| lines.push(&new, 10, "new"));
        let taken = lines.take(200);
        assert_eq!(
            taken.iter().filter(|name| **name == "new").count(),
            11,
            "it begins where the other was served last: {taken:?}"
        );
    }

    #[test]
    fn large_pushes_count_for_more() {
        let (mut lines, large, small) = (Lines::new(), tenant("large"), tenant("small"));
        (0..10).for_each(|_| lines.push(&large, 1000, "large"));
        (0..100).for_each(|_| lines.push(&small, 100, "small"));
        let taken = lines.take(4000);
        assert_eq!(taken.iter().filter(|name| **name == "large").count(), 2, "{taken:?}");
        assert_eq!(taken.iter().filter(|name| **name == "small").count(), 20);
    }
}
