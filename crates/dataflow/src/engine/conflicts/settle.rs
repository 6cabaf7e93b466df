//! What the changes of one primary key between two watermarks leave of it.
//!
//! 1. A row that comes and one that goes take each other away where they are equal, whichever was first: changes of two
//!    keys of the query may overtake each other.
//! 2. What is left of them is done, in its order, to the row that the sink has: a row takes the place of the one with the
//!    same key of the query, and one that goes takes that away. One that is not there goes without effect.

use std::collections::{HashMap, VecDeque};

/// A row of the query: what tells it apart from others, and all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The query's own key; empty where it has none, and whole rows tell it.
    pub(super) own_key: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

impl Row {
    fn identity(&self) -> &[u8] {
        if self.own_key.is_empty() { &self.bytes } else { &self.own_key }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) adds: bool,
    pub(super) row: Row,
}

/// The rows that are left, in order.
pub(super) fn settle(shown: Option<&Row>, changes: Vec<Change>) -> Vec<Row> {
    let changes = without_pairs(changes);
    let mut rows: Vec<Option<Row>> = shown.cloned().into_iter().map(Some).collect();
    let mut places: HashMap<Vec<u8>, VecDeque<usize>> = HashMap::new();
    if let Some(row) = shown {
        places.entry(row.identity().to_vec()).or_default().push_back(0);
    }
    for Change { adds, row } in changes {
        let own = places.entry(row.identity().to_vec()).or_default();
        match (adds, own.front()) {
            (true, Some(place)) if !row.own_key.is_empty() => rows[*place] = Some(row),
            (true, _) => {
                own.push_back(rows.len());
                rows.push(Some(row));
            }
            (false, _) => {
                if let Some(place) = own.pop_front() {
                    rows[place] = None;
                }
            }
        }
    }
    rows.into_iter().flatten().collect()
}

fn without_pairs(changes: Vec<Change>) -> Vec<Change> {
    let mut left: Vec<Option<Change>> = Vec::with_capacity(changes.len());
    // Of each row the places of those that come, or of those that go: never both.
    let mut places: HashMap<Vec<u8>, VecDeque<usize>> = HashMap::new();
    for change in changes {
        let own = places.entry(change.row.bytes.clone()).or_default();
        let opposite =
            own.front().copied().filter(|place| left[*place].as_ref().is_some_and(|o| o.adds != change.adds));
        match opposite {
            Some(place) => {
                own.pop_front();
                left[place] = None;
            }
            None => {
                own.push_back(left.len());
                left.push(Some(change));
            }
        }
    }
    left.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        let (own_key, _) = text.split_once(':').unwrap_or(("", text));
        Row { own_key: own_key.into(), bytes: text.into() }
    }

    /// `+a:1 -b:2` by the key of the query in front of the colon; without a colon there is none.
    fn left(shown: &str, changes: &str) -> String {
        let shown = (!shown.is_empty()).then(|| row(shown));
        let change = |text: &str| Change { adds: text.starts_with('+'), row: row(&text[1..]) };
        let rows = settle(shown.as_ref(), changes.split_whitespace().map(change).collect());
        let rows: Vec<String> = rows.into_iter().map(|row| String::from_utf8(row.bytes).unwrap()).collect();
        rows.join(" ")
    }

    #[test]
    fn changes_that_overtake_each_other_take_each_other_away() {
        assert_eq!(left("", "+b:2 -a:1 +a:1"), "b:2");
        assert_eq!(left("a:1", "+b:2 -a:1"), "b:2");
        assert_eq!(left("a:1", "-a:1 +a:1"), "a:1");
        assert_eq!(left("", "+a:1 -a:1 -a:1 +a:1 +a:1"), "a:1");
    }

    #[test]
    fn a_row_takes_the_place_of_that_of_its_own_key() {
        assert_eq!(left("a:1", "+a:2"), "a:2");
        assert_eq!(left("a:1", "+b:1 +a:2"), "a:2 b:1");
        assert_eq!(left("a:1", "-a:7"), "", "the key tells it, not the value");
        assert_eq!(left("a:1", "-c:1"), "a:1");
    }

    #[test]
    fn without_a_key_of_its_own_equal_rows_are_two() {
        assert_eq!(left("", "+x +x"), "x x");
        assert_eq!(left("x", "+x"), "x x");
        assert_eq!(left("x", "+x -x"), "x");
        assert_eq!(left("x", "+y -x"), "y");
    }
}
