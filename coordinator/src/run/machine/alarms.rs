//! Times at which something is due.

use std::collections::{BTreeMap, BTreeSet};

/// At most one time for each `T`.
#[derive(Debug, Clone)]
pub(super) struct Alarms<T> {
    times: BTreeMap<T, u64>,
    by_time: BTreeSet<(u64, T)>,
}

impl<T: Ord + Clone> Alarms<T> {
    pub(super) fn none() -> Self {
        Self { times: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// It is due at this time, and no longer at an earlier one.
    pub(super) fn set(&mut self, what: T, at_ms: u64) {
        self.cancel(&what);
        self.by_time.insert((at_ms, what.clone()));
        self.times.insert(what, at_ms);
    }

    pub(super) fn cancel(&mut self, what: &T) {
        if let Some(at_ms) = self.times.remove(what) {
            self.by_time.remove(&(at_ms, what.clone()));
        }
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes the first that is due by now.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<T> {
        let (_, what) = self.by_time.first().filter(|(at_ms, _)| *at_ms <= now_ms)?.clone();
        self.cancel(&what);
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_set_again_is_due_once_at_its_new_time() {
        let mut alarms = Alarms::none();
        alarms.set("overdue", 10);
        alarms.set("ask", 20);
        alarms.set("overdue", 30);
        assert_eq!((alarms.next(), alarms.take_due(19)), (Some(20), None));
        assert_eq!((alarms.take_due(30), alarms.take_due(30)), (Some("ask"), Some("overdue")));
        assert_eq!((alarms.next(), alarms.take_due(u64::MAX)), (None, None));
    }
}
