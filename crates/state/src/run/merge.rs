//! Several sorted sources as one, in which the newest entry of a key wins.
//!
//! A tournament tree of losers: the leaves are the sources, each inner node remembers who lost there,
//! and after the winner has advanced only the matches on its own path are played again. A source that
//! loses to an equal key is older and its entry is hidden: it is marked, and passed over once it wins.
//! Nothing is copied; an entry is read where its source holds it.

use crate::error::StateError;
use std::cmp::Ordering;

/// Entries in ascending order of their keys, before the first one at the beginning.
pub trait SortedSource {
    /// Goes to the next entry; false at the end, and from then on.
    fn advance(&mut self) -> Result<bool, StateError>;
    fn key(&self) -> &[u8];
    fn hash(&self) -> u64;
    /// `None` is a tombstone.
    fn value(&self) -> Option<&[u8]>;
    fn expires(&self) -> i64;
}

/// The newest entry of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedEntry<'a> {
    pub hash: u64,
    pub key: &'a [u8],
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub expires: i64,
}

pub struct Merge {
    sources: Vec<Contestant>,
    /// Who lost at each inner node, the root at 1; the winner of all at 0.
    nodes: Vec<usize>,
    is_begun: bool,
    /// A source failed, so nobody knows what is next.
    failure: Option<StateError>,
}

struct Contestant {
    source: Box<dyn SortedSource + Send>,
    is_at_end: bool,
    /// A newer source has, or had, an entry of the same key.
    is_hidden: bool,
}

impl Merge {
    /// Merges sources, the newest first.
    pub fn new(sources: Vec<Box<dyn SortedSource + Send>>) -> Merge {
        let contestant = |source| Contestant { source, is_at_end: false, is_hidden: false };
        Merge {
            nodes: vec![0; sources.len()],
            sources: sources.into_iter().map(contestant).collect(),
            is_begun: false,
            failure: None,
        }
    }

    /// The next key's newest entry, tombstones included. After an error it answers with that error.
    #[allow(clippy::should_implement_trait, reason = "what it gives is borrowed from it")]
    pub fn next(&mut self) -> Result<Option<MergedEntry<'_>>, StateError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        match self.find_next() {
            Ok(true) => {
                let source = &self.sources[self.nodes[0]].source;
                let (key, value) = (source.key(), source.value());
                Ok(Some(MergedEntry { hash: source.hash(), key, value, expires: source.expires() }))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Lets the source win that has the next entry to be shown.
    fn find_next(&mut self) -> Result<bool, StateError> {
        if self.sources.is_empty() {
            return Ok(false);
        }
        if !self.is_begun {
            for source in &mut self.sources {
                source.advance()?;
            }
            self.nodes[0] = self.play_all(1);
            self.is_begun = true;
        } else if !self.sources[self.nodes[0]].is_at_end {
            self.advance_winner()?;
        }
        while self.sources[self.nodes[0]].is_hidden {
            self.advance_winner()?;
        }
        Ok(!self.sources[self.nodes[0]].is_at_end)
    }

    /// Plays all matches below a node for the first time; leaves are the nodes from `sources.len()` on.
    fn play_all(&mut self, node: usize) -> usize {
        let leaves = self.sources.len();
        if node >= leaves {
            return node - leaves;
        }
        let left = self.play_all(node * 2);
        let right = self.play_all(node * 2 + 1);
        let (winner, loser) = self.play(left, right);
        self.nodes[node] = loser;
        winner
    }

    fn advance_winner(&mut self) -> Result<(), StateError> {
        let mut winner = self.nodes[0];
        self.sources[winner].advance()?;
        let mut node = (winner + self.sources.len()) / 2;
        while node > 0 {
            let (better, worse) = self.play(winner, self.nodes[node]);
            self.nodes[node] = worse;
            winner = better;
            node /= 2;
        }
        self.nodes[0] = winner;
        Ok(())
    }

    /// Who of two comes first, and who second.
    #[inline]
    fn play(&mut self, one: usize, other: usize) -> (usize, usize) {
        let (left, right) = (&self.sources[one], &self.sources[other]);
        if left.is_at_end {
            return (other, one);
        }
        if right.is_at_end {
            return (one, other);
        }
        match left.source.key().cmp(right.source.key()) {
            Ordering::Less => (one, other),
            Ordering::Greater => (other, one),
            Ordering::Equal => {
                let (newer, older) = (one.min(other), one.max(other));
                self.sources[older].is_hidden = true;
                (newer, older)
            }
        }
    }
}

impl Contestant {
    fn advance(&mut self) -> Result<(), StateError> {
        self.is_hidden = false;
        self.is_at_end = !self.source.advance()?;
        Ok(())
    }
}
