//! Views that are filled by hand: look-ups, ranges, changes, snapshots, waits.

use crate::{Change, Fold, KeyRange, Scan, Snapshot, ViewDefinition, ViewError, ViewKey, Views};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use base::Lsn;
use os::Os;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

fn definition(name: &str, key: ViewKey) -> ViewDefinition {
    let fields = vec![
        Field::new("total", DataType::Int64, true),
        Field::new("city", DataType::Utf8, false),
        Field::new("day", DataType::Int64, false),
    ];
    ViewDefinition {
        name: name.into(),
        schema: Arc::new(Schema::new(fields)),
        types: vec!["BIGINT".into(), "STRING".into(), "BIGINT".into()],
        key,
        statement: String::new(),
        comment: None,
        job: "job".into(),
        topic: format!("__view.{name}"),
    }
}

fn by_city_and_day() -> Views {
    let mut fold = Fold::default();
    fold.define(definition("sales", ViewKey::Columns(vec![1, 2]))).unwrap();
    Views::new(Os::real(), fold)
}

fn rows(rows: &[(Option<i64>, &str, i64)]) -> RecordBatch {
    let schema = definition("", ViewKey::Place).schema;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

fn key(city: &[&str], day: &[i64]) -> Vec<ArrayRef> {
    let mut key: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(city))];
    if !day.is_empty() {
        key.push(Arc::new(Int64Array::from_iter_values(day.iter().copied())));
    }
    key
}

fn read(rows: impl Iterator<Item = Result<RecordBatch, ViewError>>) -> Vec<(Option<i64>, String, i64)> {
    let mut all = Vec::new();
    for batch in rows {
        let batch = batch.unwrap();
        let totals = batch.column(0).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let total = totals.iter().nth(row).flatten();
            let city = batch.column(1).as_string::<i32>().value(row).to_string();
            all.push((total, city, batch.column(2).as_primitive::<Int64Type>().value(row)));
        }
    }
    all
}

fn all(snapshot: &Snapshot) -> Vec<(Option<i64>, String, i64)> {
    read(snapshot.view("sales").unwrap().scan(&Scan::default(), 2).unwrap())
}

fn row(total: Option<i64>, city: &str, day: i64) -> (Option<i64>, String, i64) {
    (total, city.into(), day)
}

#[test]
fn the_last_row_of_a_key_stays_and_old_snapshots_do_too() {
    let views = by_city_and_day();
    let first = rows(&[(Some(1), "Rome", 2), (None, "Oslo", 1), (Some(3), "Rome", 1)]);
    views.commit(Lsn(1), |fold| fold.apply("sales", Lsn(1), &[Change::Upsert(first)]));
    let before = views.snapshot();
    let second = rows(&[(Some(4), "Rome", 1), (Some(5), "Bern", 9)]);
    let gone = Change::Delete { keys: key(&["Oslo"], &[1]), count: 1 };
    views.commit(Lsn(2), |fold| fold.apply("sales", Lsn(2), &[Change::Upsert(second), gone]));

    let old = vec![row(None, "Oslo", 1), row(Some(3), "Rome", 1), row(Some(1), "Rome", 2)];
    assert_eq!(all(&before), old);
    let now = views.snapshot();
    assert_eq!(all(&now), [row(Some(5), "Bern", 9), row(Some(4), "Rome", 1), row(Some(1), "Rome", 2)]);
    assert_eq!((before.lsn(), now.lsn()), (Lsn(1), Lsn(2)));
    assert_eq!(now.view("sales").unwrap().rows(), 3);

    let (new, old) = (now.view("sales").unwrap().clone(), before.view("sales").unwrap().clone());
    let mut changes = Vec::new();
    for batch in new.changes_since(&old, 3).unwrap() {
        let batch = batch.unwrap();
        let rows = read([Ok(batch.rows)].into_iter());
        changes.extend(batch.diffs.into_iter().zip(rows));
    }
    let wanted = [
        (1, row(Some(5), "Bern", 9)),
        (-1, row(None, "Oslo", 1)),
        (-1, row(Some(3), "Rome", 1)),
        (1, row(Some(4), "Rome", 1)),
    ];
    assert_eq!(changes, wanted);
    assert!(new.changes_since(&new, 3).unwrap().next().is_none());
}

#[test]
fn keys_and_ranges_of_keys() {
    let views = by_city_and_day();
    let batch = rows(&[
        (Some(1), "Bern", 1),
        (Some(2), "Bern", 2),
        (Some(3), "Bern", 3),
        (Some(4), "Bernau", 1),
        (Some(5), "Rome", -1),
    ]);
    views.commit(Lsn(1), |fold| fold.apply("sales", Lsn(1), &[Change::Upsert(batch)]));
    let snapshot = views.snapshot();
    let view = snapshot.view("sales").unwrap();

    let found = view.get(&key(&["Rome", "Rome", "Bern"], &[1, -1, 2]), None).unwrap();
    assert_eq!(read([Ok(found)].into_iter()), [row(Some(5), "Rome", -1), row(Some(2), "Bern", 2)]);
    let only = view.get(&key(&["Bern"], &[3]), Some(&[0])).unwrap();
    assert_eq!(only.num_columns(), 1);
    assert_eq!(only.column(0).as_primitive::<Int64Type>().value(0), 3);

    let totals = |from, to| -> Vec<i64> {
        let scan = Scan { range: KeyRange { from, to }, ..Scan::default() };
        read(view.scan(&scan, 2).unwrap()).into_iter().filter_map(|row| row.0).collect()
    };
    let bern = || key(&["Bern"], &[]);
    assert_eq!(totals(Bound::Included(bern()), Bound::Included(bern())), [1, 2, 3]);
    assert_eq!(totals(Bound::Excluded(bern()), Bound::Unbounded), [4, 5]);
    assert_eq!(totals(Bound::Unbounded, Bound::Excluded(key(&["Bernau"], &[]))), [1, 2, 3]);
    let days = (Bound::Excluded(key(&["Bern"], &[1])), Bound::Included(key(&["Bern"], &[3])));
    assert_eq!(totals(days.0, days.1), [2, 3]);

    let scan = Scan { projection: Some(vec![2, 0]), limit: Some(3), ..Scan::default() };
    let batches: Vec<RecordBatch> = view.scan(&scan, 2).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(batches[0].schema().field(0).name(), "day");
    let counted = Scan { projection: Some(Vec::new()), ..Scan::default() };
    assert_eq!(view.scan(&counted, 100).unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 5);

    let wrong = view.get(&key(&["Bern"], &[]), None).unwrap_err();
    assert_eq!(wrong.to_string(), "view 'sales' is asked by a key of 2 columns, not 1");
    let days: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let wrong = view.get(&[days.clone(), days], None).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "column 'city' of view 'sales' has the type Utf8, and the key's value Int64"
    );
}

#[test]
fn a_view_of_one_row_and_one_that_keeps_all() {
    let mut fold = Fold::default();
    fold.define(definition("one", ViewKey::Columns(Vec::new()))).unwrap();
    fold.define(definition("sales", ViewKey::Place)).unwrap();
    let views = Views::new(Os::real(), fold);
    views.commit(Lsn(1), |fold| {
        let batch = rows(&[(Some(1), "Rome", 1), (Some(2), "Rome", 1)]);
        fold.apply("one", Lsn(1), &[Change::Upsert(batch.clone())]);
        fold.apply("sales", Lsn(1), &[Change::Append { place: 255, rows: batch }]);
    });
    let snapshot = views.snapshot();
    let one = snapshot.view("one").unwrap();
    assert_eq!(read(one.scan(&Scan::default(), 9).unwrap()), [row(Some(2), "Rome", 1)]);
    assert_eq!(read([one.get(&[], None)].into_iter()), [row(Some(2), "Rome", 1)]);
    // The same again from an earlier place on: nothing is there twice.
    views.commit(Lsn(2), |fold| {
        let batch = rows(&[(Some(2), "Rome", 1), (Some(3), "Oslo", 1)]);
        fold.apply("sales", Lsn(2), &[Change::Append { place: 256, rows: batch }]);
    });
    let wanted = [row(Some(1), "Rome", 1), row(Some(2), "Rome", 1), row(Some(3), "Oslo", 1)];
    assert_eq!(all(&views.snapshot()), wanted);
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let error = by_city_and_day().snapshot().view("sale").unwrap_err();
    assert_eq!(error.to_string(), "there is no view 'sale'; did you mean 'sales'?");
    assert_eq!(error.kind(), base::ErrorKind::NotFound);
}

#[test]
fn a_view_above_the_limit_is_given_up_and_its_neighbour_is_not() {
    let mut fold = Fold::within(1 << 20);
    fold.define(definition("other", ViewKey::Place)).unwrap();
    fold.define(definition("sales", ViewKey::Place)).unwrap();
    let views = Views::new(Os::real(), fold);
    let batch = rows(&vec![(Some(1), "Rome", 1); 1000]);
    views.commit(Lsn(1), |fold| {
        fold.apply("other", Lsn(1), &[Change::Append { place: 0, rows: batch.clone() }]);
        for part in 0..10 {
            fold.apply("sales", Lsn(1), &[Change::Append { place: part * 1000, rows: batch.clone() }]);
        }
    });
    let snapshot = views.snapshot();
    let error = snapshot.view("sales").unwrap().scan(&Scan::default(), 1).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("view 'sales': all views together take more than 1 MB"), "{error}");
    let other = snapshot.view("other").unwrap();
    assert_eq!(other.rows(), 1000);
    assert!(other.bytes() < 1 << 20);
}

#[test]
fn a_wait_ends_when_its_place_is_reached_and_fails_when_it_is_not() {
    let views = by_city_and_day();
    let waiting = views.clone();
    let waiter = std::thread::spawn(move || waiting.wait_for(Lsn(7), &["sales"], Duration::from_secs(60)));
    (1..=7).for_each(|lsn| views.commit(Lsn(lsn), |_| ()));
    assert_eq!(waiter.join().unwrap().unwrap().lsn(), Lsn(7));
    let error = views.wait_for(Lsn(8), &[], Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Retry);
    assert!(error.to_string().contains("the views are at lsn=7, and lsn=8 was waited for"), "{error}");
    assert!(views.newer_than(Lsn(7), Duration::from_millis(1)).is_none());
    assert_eq!(views.newer_than(Lsn(3), Duration::ZERO).unwrap().lsn(), Lsn(7));
}
