//! Matches in the order of their first rows, and the order among those that begin with one row.
//!
//! That order decides which of several matches with the same first row is found, and with Flink it is the order of a
//! binary heap as Java's `PriorityQueue` keeps it: what it does on insertion, removal of the first and removal by a
//! condition is part of what a query means, and is done alike here.

/// The first row of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Its number in the partition.
    pub(crate) sequence: u64,
    pub(crate) time_ms: i64,
}

/// Rows mapped to the variables of a pattern, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartialMatch {
    pub(crate) state: usize,
    /// `None` before the first row.
    pub(crate) start: Option<Start>,
    /// The number of rows of each variable. They stand one behind the other from the first row on.
    pub(crate) counts: Box<[u32]>,
}

impl PartialMatch {
    fn rank(&self) -> u64 {
        self.start.map_or(u64::MAX, |start| start.sequence)
    }

    /// The number behind its last row.
    pub(crate) fn end(&self) -> u64 {
        let rows: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        self.rank().saturating_add(rows)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MatchQueue {
    /// A heap; the order is visible.
    items: Vec<PartialMatch>,
}

impl MatchQueue {
    pub(crate) fn items(&self) -> &[PartialMatch] {
        &self.items
    }

    pub(crate) fn into_items(self) -> Vec<PartialMatch> {
        self.items
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn first(&self) -> Option<&PartialMatch> {
        self.items.first()
    }

    /// As it was saved.
    pub(crate) fn restored(items: Vec<PartialMatch>) -> MatchQueue {
        MatchQueue { items }
    }

    pub(crate) fn push(&mut self, item: PartialMatch) {
        self.items.push(item);
        let mut place = self.items.len() - 1;
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.items[place].rank() >= self.items[parent].rank() {
                break;
            }
            self.items.swap(place, parent);
            place = parent;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<PartialMatch> {
        if self.items.is_empty() {
            return None;
        }
        let first = self.items.swap_remove(0);
        self.sift_down(0);
        Some(first)
    }

    pub(crate) fn remove_if(&mut self, goes: impl Fn(&PartialMatch) -> bool) {
        let before = self.items.len();
        self.items.retain(|item| !goes(item));
        if self.items.len() < before {
            for place in (0..self.items.len() / 2).rev() {
                self.sift_down(place);
            }
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let mut child = 2 * place + 1;
            if child >= self.items.len() {
                return;
            }
            if child + 1 < self.items.len() && self.items[child].rank() > self.items[child + 1].rank() {
                child += 1;
            }
            if self.items[place].rank() <= self.items[child].rank() {
                return;
            }
            self.items.swap(place, child);
            place = child;
        }
    }
}
