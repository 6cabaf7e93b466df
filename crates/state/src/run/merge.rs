//! Several sorted sources as one: of equal keys the newest counts.

use crate::error::StateError;

/// Entries in the order of their keys.
pub trait SortedSource {
    /// Goes to the next entry (at first to the first); false at the end.
    fn advance(&mut self) -> Result<bool, StateError>;

    /// The key of the current entry; the same holds for all of these.
    fn key(&self) -> &[u8];

    fn hash(&self) -> u64;

    /// Nothing is a tombstone.
    fn value(&self) -> Option<&[u8]>;

    fn expires(&self) -> i64;
}

/// An entry of a merge; without a value it is a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedEntry<'a> {
    pub hash: u64,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
    pub expires: i64,
}

pub struct Merge {
    /// Newest first; those at their end are gone.
    sources: Vec<Source>,
}

struct Source {
    entries: Box<dyn SortedSource + Send>,
    /// The current entry was shown, or covered by a newer one.
    used: bool,
}

impl Merge {
    /// Newest first.
    pub fn new(sources: Vec<Box<dyn SortedSource + Send>>) -> Merge {
        Merge { sources: sources.into_iter().map(|entries| Source { entries, used: true }).collect() }
    }

    #[expect(clippy::should_implement_trait, reason = "an entry borrows the merge, and reading may fail")]
    pub fn next(&mut self) -> Result<Option<MergedEntry<'_>>, StateError> {
        let mut place = 0;
        while place < self.sources.len() {
            let source = &mut self.sources[place];
            if source.used && !source.entries.advance()? {
                self.sources.remove(place);
                continue;
            }
            source.used = false;
            place += 1;
        }
        let Some(mut newest) = (!self.sources.is_empty()).then_some(0) else { return Ok(None) };
        for place in 1..self.sources.len() {
            if self.sources[place].entries.key() < self.sources[newest].entries.key() {
                newest = place;
            }
        }
        let (before, rest) = self.sources.split_at_mut(newest + 1);
        let source = &mut before[newest];
        source.used = true;
        for other in rest {
            other.used = other.entries.key() == source.entries.key();
        }
        let entries = &source.entries;
        Ok(Some(MergedEntry {
            hash: entries.hash(),
            key: entries.key(),
            value: entries.value(),
            expires: entries.expires(),
        }))
    }
}
