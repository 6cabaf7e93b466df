//! The entries of a tree between two bounds, in the order of the keys.

use super::{Entry, Node, Tree, child_of};
use std::ops::Bound;

pub(crate) struct Range<'a> {
    /// Children that were not looked into yet, the next one last.
    nodes: Vec<&'a Node>,
    entries: &'a [Entry],
    to: Bound<Vec<u8>>,
}

impl Tree {
    pub(crate) fn range(&self, from: Bound<&[u8]>, to: Bound<Vec<u8>>) -> Range<'_> {
        let mut range = Range { nodes: Vec::new(), entries: &[], to };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let start = match from {
                        Bound::Unbounded => 0,
                        Bound::Included(key) => entries.partition_point(|entry| *entry.key < *key),
                        Bound::Excluded(key) => entries.partition_point(|entry| *entry.key <= *key),
                    };
                    range.entries = &entries[start..];
                    return range;
                }
                Node::Inner { children, .. } => {
                    let place = match from {
                        Bound::Unbounded => 0,
                        Bound::Included(key) | Bound::Excluded(key) => child_of(children, key),
                    };
                    range.nodes.extend(children[place + 1..].iter().rev().map(|(_, child)| &**child));
                    node = &children[place].1;
                }
            }
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        while self.entries.is_empty() {
            match self.nodes.pop()? {
                Node::Leaf(entries) => self.entries = entries,
                Node::Inner { children, .. } => {
                    self.nodes.extend(children.iter().rev().map(|(_, child)| &**child));
                }
            }
        }
        let (first, rest) = self.entries.split_first()?;
        let within = match &self.to {
            Bound::Unbounded => true,
            Bound::Included(key) => *first.key <= **key,
            Bound::Excluded(key) => *first.key < **key,
        };
        if !within {
            self.entries = &[];
            self.nodes.clear();
            return None;
        }
        self.entries = rest;
        Some(first)
    }
}
