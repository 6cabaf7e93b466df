//! What has changed between two trees, in the order of the keys.

use super::{Entry, Node, Tree, child_of};
use std::cmp::Ordering;
use std::sync::Arc;

/// A key whose row is not the same in both trees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference<'a> {
    pub key: &'a Arc<[u8]>,
    pub before: Option<&'a [u8]>,
    pub after: Option<&'a [u8]>,
}

pub(crate) struct Diff<'a> {
    before: Walk<'a>,
    after: Walk<'a>,
}

/// A way through a tree: nodes that were not looked into, the next one last, and the rest of the leaf that was.
struct Walk<'a> {
    nodes: Vec<&'a Arc<Node>>,
    entries: &'a [Entry],
}

impl<'a> Walk<'a> {
    /// Looks into the next node.
    fn open(&mut self) {
        match self.nodes.pop().map(|node| &**node) {
            Some(Node::Leaf(entries)) => self.entries = entries,
            Some(Node::Inner { children, .. }) => {
                self.nodes.extend(children.iter().rev().map(|(_, child)| child));
            }
            None => {}
        }
    }

    /// Whether there is a next entry, which is in `entries` then.
    fn reach(&mut self) -> bool {
        while self.entries.is_empty() && !self.nodes.is_empty() {
            self.open();
        }
        !self.entries.is_empty()
    }

    fn take(&mut self) -> &'a Entry {
        let (first, rest) = self.entries.split_first().expect("reached before");
        self.entries = rest;
        first
    }
}

impl Tree {
    /// What must change in `before` to make this tree of it.
    pub(crate) fn diff<'a>(&'a self, before: &'a Tree) -> Diff<'a> {
        Diff { before: before.walk(), after: self.walk() }
    }

    /// The same of the keys above one.
    pub(crate) fn diff_above<'a>(&'a self, before: &'a Tree, key: &[u8]) -> Diff<'a> {
        Diff { before: before.walk_above(key), after: self.walk_above(key) }
    }

    fn walk(&self) -> Walk<'_> {
        Walk { nodes: vec![&self.root], entries: &[] }
    }

    fn walk_above(&self, key: &[u8]) -> Walk<'_> {
        let mut walk = self.walk();
        while let Some(node) = walk.nodes.pop() {
            match &**node {
                Node::Leaf(entries) => {
                    walk.entries = &entries[entries.partition_point(|entry| *entry.key <= *key)..];
                    break;
                }
                Node::Inner { children, .. } => {
                    let place = child_of(children, key);
                    walk.nodes.extend(children[place..].iter().rev().map(|(_, child)| child));
                }
            }
        }
        walk
    }
}

impl Diff<'_> {
    /// Passes over nodes that both trees share.
    fn skip(&mut self) {
        let (before, after) = (&mut self.before, &mut self.after);
        while before.entries.is_empty() && after.entries.is_empty() {
            let (Some(one), Some(other)) = (before.nodes.last(), after.nodes.last()) else { return };
            if Arc::ptr_eq(one, other) {
                before.nodes.pop();
                after.nodes.pop();
                continue;
            }
            match one.height().cmp(&other.height()) {
                Ordering::Greater => before.open(),
                Ordering::Less => after.open(),
                Ordering::Equal => {
                    before.open();
                    after.open();
                }
            }
        }
    }
}

impl<'a> Iterator for Diff<'a> {
    type Item = Difference<'a>;

    fn next(&mut self) -> Option<Difference<'a>> {
        loop {
            self.skip();
            let order = match (self.before.reach(), self.after.reach()) {
                (false, false) => return None,
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (true, true) => self.before.entries[0].key.cmp(&self.after.entries[0].key),
            };
            match order {
                Ordering::Less => {
                    let gone = self.before.take();
                    return Some(Difference { key: &gone.key, before: Some(&gone.row), after: None });
                }
                Ordering::Greater => {
                    let new = self.after.take();
                    return Some(Difference { key: &new.key, before: None, after: Some(&new.row) });
                }
                Ordering::Equal => {
                    let (old, new) = (self.before.take(), self.after.take());
                    if !Arc::ptr_eq(&old.row, &new.row) && old.row != new.row {
                        return Some(Difference {
                            key: &new.key,
                            before: Some(&old.row),
                            after: Some(&new.row),
                        });
                    }
                }
            }
        }
    }
}
