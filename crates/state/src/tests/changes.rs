//! What changed between two moments, wherever the entries lie.

use crate::{Change, Changes, Key, KeyedMap, Mark, Store, Table, TableId};

const TABLE: TableId = TableId { owner: 3, table: 1 };

fn map(store: &Store, ttl_ms: Option<u64>) -> KeyedMap {
    KeyedMap::new(store, TABLE, 0..crate::KEY_GROUPS, ttl_ms).unwrap()
}

fn change(entry: &str, before: Option<&str>, after: Option<&str>) -> Change {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Change { entry: bytes(entry), before: before.map(bytes), after: after.map(bytes) }
}

fn sorted(mut changes: Changes) -> Vec<Change> {
    assert!(changes.is_whole);
    changes.entries.sort_by(|one, other| one.entry.cmp(&other.entry));
    changes.entries
}

#[test]
fn entries_that_came_went_or_became_others_are_told_with_what_they_were() {
    let store = Store::volatile(usize::MAX);
    let mut table = map(&store, None);
    let key = |text: &'static str| Key::new(text.as_bytes());
    for (name, sub, value) in [("a", "1", "x"), ("a", "2", "y"), ("b", "1", "z"), ("c", "1", "w")] {
        table.put(key(name), sub.as_bytes(), value.as_bytes(), 0).unwrap();
    }
    // What was there lies in runs, and only a part of it is in memory again.
    table.freeze().unwrap();
    store.wait_idle();
    table.layers_mut().settle().unwrap();
    table.shrink(0).unwrap();
    let mark = Mark::new(&mut table).unwrap();
    table.put(key("a"), b"1", b"other", 0).unwrap();
    table.put(key("a"), b"2", b"y", 0).unwrap();
    table.put(key("d"), b"1", b"new", 0).unwrap();
    table.put(key("e"), b"1", b"short-lived", 0).unwrap();
    table.remove(key("e"), b"1").unwrap();
    table.remove(key("b"), b"1").unwrap();
    let wanted = [
        change("a1", Some("x"), Some("other")),
        change("b1", Some("z"), None),
        change("d1", None, Some("new")),
    ];
    assert_eq!(sorted(mark.changes(&mut table, 0, 10).unwrap()), wanted);
    // Once more, for looking takes nothing away; what is too much is counted.
    let some = mark.changes(&mut table, 0, 1).unwrap();
    assert_eq!((some.entries.len(), some.left_off), (1, 2));
    let later = Mark::new(&mut table).unwrap();
    assert_eq!(later.changes(&mut table, 0, 10).unwrap(), Changes { is_whole: true, ..Changes::default() });
}

#[test]
fn what_has_had_its_time_is_gone_and_what_lives_on_is_the_same() {
    let store = Store::volatile(usize::MAX);
    let mut table = map(&store, Some(100));
    let key = |text: &'static str| Key::new(text.as_bytes());
    table.put(key("old"), b"", b"1", 0).unwrap();
    table.put(key("kept"), b"", b"2", 50).unwrap();
    table.put(key("late"), b"", b"3", 0).unwrap();
    let mark = Mark::new(&mut table).unwrap();
    // The clock is at 120: two have expired, of which one comes again; the third is written anew as it was.
    table.put(key("kept"), b"", b"2", 120).unwrap();
    table.put(key("late"), b"", b"4", 120).unwrap();
    let wanted = [change("late", Some("3"), Some("4")), change("old", Some("1"), None)];
    assert_eq!(sorted(mark.changes(&mut table, 50, 10).unwrap()), wanted);
    // By the clock of the step, what it met again was not there any more.
    let again = mark.changes(&mut table, 120, 10).unwrap();
    assert!(sorted(again).contains(&change("late", None, Some("4"))));
}
