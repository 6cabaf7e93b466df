//! The tree against a map of the standard library.

use super::Tree;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn entries(tree: &Tree) -> Vec<(Vec<u8>, Vec<u8>)> {
    let range = tree.range(Bound::Unbounded, Bound::Unbounded);
    range.map(|entry| (entry.key.to_vec(), entry.row.to_vec())).collect()
}

fn change(tree: &mut Tree, model: &mut Model, (key, row): &(u16, Option<u8>)) {
    let key = key.to_be_bytes();
    match row {
        Some(row) => {
            let row = vec![*row; usize::from(*row % 7)];
            let replaced = tree.insert(&key, Arc::from(row.as_slice()));
            assert_eq!(replaced.map(|row| row.to_vec()), model.insert(key.to_vec(), row));
        }
        None => {
            let removed = tree.remove(&key);
            assert_eq!(removed.map(|row| row.to_vec()), model.remove(key.as_slice()));
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
    // Few enough keys that they meet, enough that there are several levels.
    prop::collection::vec((0..9000_u16, prop::option::weighted(0.6, any::<u8>())), 0..6000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn is_a_map_and_an_old_copy_stays_as_it_was(first in changes(), second in changes(), above in 0..9000_u16) {
        let (mut tree, mut model) = (Tree::default(), Model::new());
        first.iter().for_each(|one| change(&mut tree, &mut model, one));
        let (old, old_model) = (tree.clone(), model.clone());
        second.iter().for_each(|one| change(&mut tree, &mut model, one));

        let pairs = |model: &Model| model.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
        prop_assert_eq!(entries(&tree), pairs(&model));
        prop_assert_eq!(entries(&old), pairs(&old_model));
        prop_assert_eq!(tree.len(), model.len());
        let bytes: usize = model.iter().map(|(k, v)| k.len() + v.len() + super::ENTRY_OVERHEAD_BYTES).sum();
        prop_assert_eq!(tree.bytes(), bytes as u64);

        // Differences, applied to the old model, make the new one; none is idle.
        let mut patched = old_model.clone();
        let mut last: Option<Vec<u8>> = None;
        for difference in tree.diff(&old) {
            prop_assert_ne!(difference.before, difference.after);
            prop_assert!(last.as_deref().is_none_or(|last| *last < **difference.key));
            last = Some(difference.key.to_vec());
            let before = match difference.after {
                Some(row) => patched.insert(difference.key.to_vec(), row.to_vec()),
                None => patched.remove(&**difference.key),
            };
            prop_assert_eq!(before.as_deref(), difference.before);
        }
        prop_assert_eq!(patched, model);
        // From any key on they are the rest of them.
        let above = above.to_be_bytes();
        let keys = |diff: super::Diff<'_>| diff.map(|one| one.key.to_vec()).collect::<Vec<_>>();
        let mut wanted = keys(tree.diff(&old));
        wanted.retain(|key| key.as_slice() > above.as_slice());
        prop_assert_eq!(keys(tree.diff_above(&old, &above)), wanted);
    }

    #[test]
    fn ranges_are_those_of_a_map(all in changes(), from in 0..9000_u16, to in 0..9000_u16, open in any::<[bool; 2]>()) {
        let (mut tree, mut model) = (Tree::default(), Model::new());
        all.iter().for_each(|one| change(&mut tree, &mut model, one));
        let (from, to) = (from.min(to).to_be_bytes(), to.max(from).to_be_bytes());
        prop_assume!(from < to);
        let bound = |open: bool, key: [u8; 2]| if open { Bound::Excluded(key) } else { Bound::Included(key) };
        let (lower, upper) = (bound(open[0], from), bound(open[1], to));
        let found: Vec<Vec<u8>> = tree
            .range(lower.as_ref().map(|key| key.as_slice()), upper.map(|key| key.to_vec()))
            .map(|entry| entry.key.to_vec())
            .collect();
        let bounds = (lower.map(|key| key.to_vec()), upper.map(|key| key.to_vec()));
        let wanted: Vec<Vec<u8>> = model.range(bounds).map(|(key, _)| key.clone()).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_step_copies_only_the_path_to_what_it_changes() {
    let mut tree = Tree::default();
    for key in 0..100_000_u32 {
        tree.insert(&key.to_be_bytes(), Arc::from([1_u8].as_slice()));
    }
    let old = tree.clone();
    assert!(tree.is_same(&old));
    tree.insert(&77_777_u32.to_be_bytes(), Arc::from([2_u8].as_slice()));
    assert!(!tree.is_same(&old));
    let changed: Vec<_> = tree.diff(&old).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].before, Some([1_u8].as_slice()));
    assert_eq!(changed[0].after, Some([2_u8].as_slice()));
    tree.remove(&5_u32.to_be_bytes());
    tree.insert(&200_000_u32.to_be_bytes(), Arc::from([3_u8].as_slice()));
    assert_eq!(tree.diff(&old).count(), 3);
    assert_eq!(old.diff(&tree).count(), 3);
}

#[test]
fn all_can_be_removed_again() {
    let mut tree = Tree::default();
    for key in 0..5000_u32 {
        tree.insert(&key.to_be_bytes(), Arc::from([].as_slice()));
    }
    for key in (0..5000_u32).rev() {
        assert!(tree.remove(&key.to_be_bytes()).is_some());
    }
    assert_eq!((tree.len(), tree.bytes()), (0, 0));
    assert!(tree.remove(&[1]).is_none());
    assert_eq!(entries(&tree), []);
}
