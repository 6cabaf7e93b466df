//! When transactions time out, in monotonic time: a clock that jumps must not end one.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_id: BTreeMap<String, i64>,
    by_time: BTreeSet<(i64, String)>,
}

impl Deadlines {
    /// The time-out of a transaction that has just begun; false if it runs already.
    pub(crate) fn begin(&mut self, id: &str, at_ms: i64) -> bool {
        if self.by_id.contains_key(id) {
            return false;
        }
        self.by_id.insert(id.to_string(), at_ms);
        self.by_time.insert((at_ms, id.to_string()));
        true
    }

    pub(crate) fn end(&mut self, id: &str) {
        if let Some(at_ms) = self.by_id.remove(id) {
            self.by_time.remove(&(at_ms, id.to_string()));
        }
    }

    pub(crate) fn postpone(&mut self, id: &str, at_ms: i64) {
        if self.by_id.contains_key(id) {
            self.end(id);
            self.begin(id, at_ms);
        }
    }

    pub(crate) fn is_due(&self, id: &str, now_ms: i64) -> bool {
        self.by_id.get(id).is_some_and(|at_ms| *at_ms <= now_ms)
    }

    /// The transactions whose time is up.
    pub(crate) fn due(&self, now_ms: i64) -> Vec<String> {
        self.by_time.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).map(|(_, id)| id.clone()).collect()
    }

    /// When there is something to do next.
    pub(crate) fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }
}
