//! What a base names of the log's files: which parts the store has in one, and which are only there in objects.

use crate::claim::Head;
use crate::object::{Base, Stretch};
use eventlog::ShippedFile;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A part of a log file that is to be put in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merge {
    pub file: u64,
    pub generation: u64,
    pub from: u64,
    pub to: u64,
    /// The first object behind it; of a file that is sealed there is none.
    pub next: Option<u64>,
}

/// Shared by who ships and who merges.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    stretches: BTreeMap<u64, Vec<Stretch>>,
    pub(crate) in_objects: BTreeMap<u64, u64>,
    pub(crate) epochs: Vec<u64>,
    /// Which bases there are, and when they were put, as far as it is known.
    pub(crate) known: VecDeque<(u64, Option<i64>)>,
    pub(crate) to_merge: VecDeque<Merge>,
    /// Something was merged since the last base.
    pub(crate) is_wanted: bool,
    /// Stretches that larger ones replace.
    replaced: Vec<Stretch>,
}

impl Bases {
    pub(crate) fn of(head: &Head) -> Bases {
        let mut bases = Bases {
            in_objects: head.in_objects.clone(),
            epochs: head.epochs.clone(),
            known: head.bases.iter().map(|number| (*number, None)).collect(),
            ..Bases::default()
        };
        for stretch in head.base.iter().flat_map(|(_, base)| &base.stretches) {
            bases.stretches.entry(stretch.file).or_default().push(stretch.clone());
        }
        bases
    }

    /// How much of a file from its beginning on is in stretches.
    pub(crate) fn covered(&self, file: u64) -> u64 {
        let stretches = self.stretches.get(&file).into_iter().flatten();
        stretches.map(|stretch| stretch.position + stretch.bytes).max().unwrap_or(0)
    }

    pub(crate) fn is_whole(&self, file: u64) -> bool {
        !self.in_objects.contains_key(&file) && self.stretches.contains_key(&file)
    }

    /// The merges of a file come last; among themselves their order stays.
    pub(crate) fn put_off(&mut self, file: u64) {
        let (others, of_file): (Vec<_>, Vec<_>) =
            self.to_merge.drain(..).partition(|merge| merge.file != file);
        self.to_merge.extend(others.into_iter().chain(of_file));
    }

    pub(crate) fn merged(&mut self, merge: Merge, stretch: Stretch) {
        let stretches = self.stretches.entry(merge.file).or_default();
        if merge.from == 0 {
            self.replaced.extend(stretches.drain(..).filter(|before| *before != stretch));
        }
        stretches.push(stretch);
        match merge.next {
            Some(next) => {
                self.in_objects.insert(merge.file, next);
            }
            None => {
                self.in_objects.remove(&merge.file);
            }
        }
        self.is_wanted = true;
    }

    /// The files that are not there any more; their stretches are given up.
    pub(crate) fn drop_gone(&mut self, there: &[ShippedFile]) -> Vec<Stretch> {
        let there: BTreeSet<u64> = there.iter().map(|file| file.file).collect();
        let newest = there.last().copied().unwrap_or(0);
        // What is being merged may still come.
        self.to_merge.retain(|merge| there.contains(&merge.file));
        self.in_objects.retain(|file, _| there.contains(file) || *file > newest);
        let gone: Vec<u64> = self.stretches.keys().copied().filter(|file| !there.contains(file)).collect();
        gone.into_iter().filter_map(|file| self.stretches.remove(&file)).flatten().collect()
    }

    pub(crate) fn take_replaced(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.replaced)
    }

    /// The base that an object is which begins a file, or follows others of it.
    pub(crate) fn base(&self, leaving: impl Iterator<Item = Stretch>) -> Base {
        let mut stretches: Vec<Stretch> = leaving.collect();
        stretches.extend(self.stretches.values().flatten().cloned());
        Base {
            in_objects: self.in_objects.iter().map(|(file, number)| (*file, *number)).collect(),
            stretches,
            epochs: self.epochs.clone(),
            ..Base::default()
        }
    }
}
