//! An ordered map of byte strings whose copies share what is equal: the rows of a view, by key.
//!
//! 1. A B+ tree of reference-counted nodes. A copy is one count; the first change of a node that somebody else holds
//!    copies that node and those above it. So a reader keeps what it has for as long as it likes, and never waits.
//! 2. `diff` walks two trees and passes over the nodes that they share: it costs what has changed, not what there is.
//! 3. Leaves that have become small are joined with a neighbour.

mod diff;
mod range;
#[cfg(test)]
mod tests;

pub(crate) use diff::Diff;
pub(crate) use range::Range;

use std::sync::Arc;

/// Entries of a leaf, children of an inner node.
const NODE_ITEMS_MAX: usize = 64;
/// Below this a node is joined with its neighbour where both fit into one.
const NODE_ITEMS_MIN: usize = 16;

/// What an entry takes beside its bytes: two pointers with lengths in the leaf, two counts each in their allocations.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A key and its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: Arc<[u8]>,
    pub row: Arc<[u8]>,
}

impl Entry {
    fn bytes(&self) -> u64 {
        (self.key.len() + self.row.len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Vec<Entry>),
    Inner {
        /// Above the leaves.
        height: usize,
        /// Children, each with a key that is not above its own keys and above all before it.
        children: Vec<(Arc<[u8]>, Arc<Node>)>,
    },
}

impl Node {
    fn height(&self) -> usize {
        match self {
            Node::Leaf(_) => 0,
            Node::Inner { height, .. } => *height,
        }
    }

    fn items(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner { children, .. } => children.len(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: Arc<Node>,
    rows: usize,
    bytes: u64,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { root: Arc::new(Node::Leaf(Vec::new())), rows: 0, bytes: 0 }
    }
}

impl Tree {
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// About what the entries take in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Arc<[u8]>> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(entries) => {
                    let place = entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
                    return Some(&entries[place].row);
                }
                Node::Inner { children, .. } => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// Sets the row of a key; answers the one that it replaces.
    pub(crate) fn insert(&mut self, key: &[u8], row: Arc<[u8]>) -> Option<Arc<[u8]>> {
        let added = (key.len() + row.len() + ENTRY_OVERHEAD_BYTES) as u64;
        let (replaced, split) = insert(Arc::make_mut(&mut self.root), key, row);
        if let Some((first, right)) = split {
            let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
            let height = left.height() + 1;
            // The first child takes every key below the second's.
            let children = vec![(Arc::from([].as_slice()), left), (first, right)];
            self.root = Arc::new(Node::Inner { height, children });
        }
        self.bytes += added;
        match &replaced {
            Some(old) => self.bytes -= (key.len() + old.len() + ENTRY_OVERHEAD_BYTES) as u64,
            None => self.rows += 1,
        }
        replaced
    }

    /// Removes the row of a key; answers it.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Arc<[u8]>> {
        // A key that is not there copies nothing.
        self.get(key)?;
        let removed = remove(Arc::make_mut(&mut self.root), key)?;
        self.rows -= 1;
        self.bytes -= removed.bytes();
        loop {
            let only = match &*self.root {
                Node::Inner { children, .. } if children.len() == 1 => children[0].1.clone(),
                _ => break,
            };
            self.root = only;
        }
        Some(removed.row)
    }

    /// Whether both are the same tree, unchanged.
    pub(crate) fn is_same(&self, other: &Tree) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }
}

/// The child that a key belongs to.
fn child_of(children: &[(Arc<[u8]>, Arc<Node>)], key: &[u8]) -> usize {
    children.partition_point(|(first, _)| **first <= *key).max(1) - 1
}

/// What a full node leaves to a new right neighbour, with the first key of it.
type Split = Option<(Arc<[u8]>, Arc<Node>)>;

fn insert(node: &mut Node, key: &[u8], row: Arc<[u8]>) -> (Option<Arc<[u8]>>, Split) {
    match node {
        Node::Leaf(entries) => match entries.binary_search_by(|entry| (*entry.key).cmp(key)) {
            Ok(place) => (Some(std::mem::replace(&mut entries[place].row, row)), None),
            Err(place) => {
                entries.insert(place, Entry { key: key.into(), row });
                if entries.len() <= NODE_ITEMS_MAX {
                    return (None, None);
                }
                // Keys that come in order fill their leaves.
                let at = if place + 1 == entries.len() { NODE_ITEMS_MAX } else { entries.len() / 2 };
                let right = entries.split_off(at);
                let first = right[0].key.clone();
                (None, Some((first, Arc::new(Node::Leaf(right)))))
            }
        },
        Node::Inner { height, children } => {
            let place = child_of(children, key);
            let (replaced, split) = insert(Arc::make_mut(&mut children[place].1), key, row);
            let Some(right) = split else { return (replaced, None) };
            children.insert(place + 1, right);
            if children.len() <= NODE_ITEMS_MAX {
                return (replaced, None);
            }
            let at = if place + 2 == children.len() { NODE_ITEMS_MAX } else { children.len() / 2 };
            let right = children.split_off(at);
            let first = right[0].0.clone();
            (replaced, Some((first, Arc::new(Node::Inner { height: *height, children: right }))))
        }
    }
}

fn remove(node: &mut Node, key: &[u8]) -> Option<Entry> {
    match node {
        Node::Leaf(entries) => {
            let place = entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
            Some(entries.remove(place))
        }
        Node::Inner { children, .. } => {
            let place = child_of(children, key);
            let removed = remove(Arc::make_mut(&mut children[place].1), key)?;
            if children[place].1.items() < NODE_ITEMS_MIN && children.len() > 1 {
                let left = place.min(children.len() - 2);
                if children[left].1.items() + children[left + 1].1.items() <= NODE_ITEMS_MAX {
                    let (_, right) = children.remove(left + 1);
                    join(Arc::make_mut(&mut children[left].1), &right);
                }
            }
            Some(removed)
        }
    }
}

/// Adds the items of a right neighbour of the same height.
fn join(left: &mut Node, right: &Node) {
    match (left, right) {
        (Node::Leaf(entries), Node::Leaf(more)) => entries.extend_from_slice(more),
        (Node::Inner { children, .. }, Node::Inner { children: more, .. }) => {
            children.extend_from_slice(more);
        }
        _ => unreachable!("neighbours have one height"),
    }
}
