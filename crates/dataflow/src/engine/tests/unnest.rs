//! Collections taken apart: arrays, maps, multisets and rows; empty ones; kinds; steps and workers.

use super::changelogs::{Random, retracting_feed};
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{Dataflow, DataflowOptions, StepInput};
use crate::expression::Expression;
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{Changelog, Elements, NodeId, NodeKind, Plan, Unnest};
use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int8Array, Int32Array, ListArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("k", DataType::Utf8), ("v", DataType::Int32)];

fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// Of `v` the array [1, …, v] with NULL for 3; NULL of NULL, and of a negative number an empty one.
fn counted() -> Arc<dyn Expression> {
    closure("counted", list_type(DataType::Int32), |rows| {
        let mut lists = ListBuilder::new(Int32Builder::new());
        for value in rows.column(1).as_primitive::<Int32Type>() {
            (1..=value.unwrap_or(0)).for_each(|n| lists.values().append_option((n != 3).then_some(n)));
            lists.append(value.is_some());
        }
        Ok(Arc::new(lists.finish()))
    })
}

/// Of `v` a map of the texts `a`, `b`, … to 1, 2, …
fn lettered() -> Arc<dyn Expression> {
    let make = |rows: &arrow_array::RecordBatch| {
        let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
        let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
        for value in rows.column(1).as_primitive::<Int32Type>() {
            for n in 1..=value.unwrap_or(0) {
                maps.keys().append_value(char::from(b'`' + n as u8).to_string());
                maps.values().append_value(n);
            }
            maps.append(value.is_some()).unwrap();
        }
        Arc::new(maps.finish()) as ArrayRef
    };
    let empty = arrow_array::RecordBatch::new_empty(schema(COLUMNS));
    let data_type = make(&empty).data_type().clone();
    closure("lettered", data_type, move |rows| Ok(make(rows)))
}

fn node(planner: &mut Planner, input: NodeId, unnest: Unnest, added: &[(&str, DataType)]) -> NodeId {
    let from = planner.schema(input);
    let kept = unnest.kept.iter().map(|column| from.field(*column).clone());
    let added = added.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    let schema = arrow_schema::Schema::new(kept.chain(added).collect::<Vec<_>>());
    planner.add(NodeKind::Unnest(unnest), &[input], Arc::new(schema))
}

fn array_of(
    collection: Arc<dyn Expression>,
    keeps_empty: bool,
    with_ordinality: bool,
    kept: &[usize],
) -> Unnest {
    Unnest { collection, elements: Elements::OfArray, keeps_empty, with_ordinality, kept: kept.to_vec() }
}

fn run(plan: &Arc<Plan>, scan: NodeId, text: &str) -> Vec<String> {
    let rows = rows(&plan.node(scan).schema, text);
    output_lines(plan, &step(&mut dataflow(plan), vec![read(scan, 0, rows, false)]).unwrap())
}

#[test]
fn elements_in_their_order_beside_the_kept_columns() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", COLUMNS, true);
    let inner = array_of(counted(), false, true, &[0]);
    let inner = node(&mut planner, scan, inner, &[("x", DataType::Int32), ("n", DataType::Int32)]);
    planner.sink(inner, "inner");
    let left = array_of(counted(), true, true, &[1, 0]);
    let left = node(&mut planner, scan, left, &[("x", DataType::Int32), ("n", DataType::Int32)]);
    planner.sink(left, "left");
    let none = node(&mut planner, scan, array_of(counted(), false, false, &[]), &[("x", DataType::Int32)]);
    planner.sink(none, "none");
    let lines = run(&planner.build(), scan, "a 3\nb -\nc 0\nd 1");
    let expected = [
        "inner: a 1 1",
        "inner: a 2 2",
        "inner: a - 3",
        "inner: d 1 1",
        "left: 3 a 1 1",
        "left: 3 a 2 2",
        "left: 3 a - 3",
        "left: - b - -",
        "left: 0 c - -",
        "left: 1 d 1 1",
        "none: 1",
        "none: 2",
        "none: -",
        "none: 1",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn maps_give_entries_and_multisets_occurrences() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", COLUMNS, true);
    let of =
        |elements, with_ordinality| Unnest { elements, ..array_of(lettered(), false, with_ordinality, &[0]) };
    let map = of(Elements::OfMap, false);
    let map = node(&mut planner, scan, map, &[("key", DataType::Utf8), ("value", DataType::Int32)]);
    planner.sink(map, "map");
    let multiset = of(Elements::OfMultiset, true);
    let multiset = node(&mut planner, scan, multiset, &[("x", DataType::Utf8), ("n", DataType::Int32)]);
    planner.sink(multiset, "multiset");
    let lines = run(&planner.build(), scan, "k 2\nl -");
    let expected = ["map: k a 1", "map: k b 2", "multiset: k a 1", "multiset: k b 2", "multiset: k b 3"];
    assert_eq!(lines, expected);
}

/// A row that is NULL is no element.
#[test]
fn rows_become_columns_and_null_rows_nothing() {
    let fields: Fields =
        vec![Field::new("p", DataType::Int32, true), Field::new("q", DataType::Utf8, true)].into();
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
    let data_type = DataType::List(item.clone());
    let collection = closure("rows", data_type, move |rows| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
            Arc::new(StringArray::from(vec![Some("x"), Some("y"), Some("z")])),
        ];
        let structs =
            StructArray::new(fields.clone(), columns, Some(NullBuffer::from(vec![true, false, true])));
        // The first row has the first two, the second row the NULL alone, the last row the last.
        let offsets = OffsetBuffer::<i32>::from_lengths([2, 0, 1].into_iter().take(rows.num_rows()));
        Ok(Arc::new(ListArray::new(item.clone(), offsets, Arc::new(structs), None)))
    });
    let mut planner = Planner::default();
    let scan = planner.scan("t", COLUMNS, true);
    let left = array_of(collection, true, false, &[0]);
    let left = node(&mut planner, scan, left, &[("p", DataType::Int32), ("q", DataType::Utf8)]);
    planner.sink(left, "out");
    let lines = run(&planner.build(), scan, "a 1\nb 2\nc 3");
    assert_eq!(lines, ["out: a 1 x", "out: b - -", "out: c - z"]);
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let validate = |unnest: Unnest, added: &[(&str, DataType)]| {
        let mut planner = Planner::default();
        let scan = planner.scan("t", COLUMNS, true);
        let unnest = node(&mut planner, scan, unnest, added);
        planner.sink(unnest, "out");
        planner.build().validate()
    };
    let int = ("x", DataType::Int32);
    assert!(validate(array_of(counted(), false, false, &[0]), std::slice::from_ref(&int)).is_ok());
    assert!(validate(array_of(counted(), false, true, &[0]), std::slice::from_ref(&int)).is_err());
    assert!(validate(array_of(counted(), false, false, &[0]), &[("x", DataType::Utf8)]).is_err());
    assert!(
        validate(array_of(column(1, DataType::Int32), false, false, &[0]), std::slice::from_ref(&int))
            .is_err()
    );
    let map = Unnest { elements: Elements::OfMap, ..array_of(counted(), false, false, &[]) };
    assert!(validate(map, &[int]).is_err());
}

/// A changelog through UNNEST into an aggregate that takes rows back, whatever the steps and the workers.
#[test]
fn changes_pass_and_results_do_not_depend_on_the_cut() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", COLUMNS, false);
    planner.plan.nodes[scan.0].changelog = Changelog::Retract;
    let taken = array_of(counted(), true, true, &[0]);
    let taken = node(&mut planner, scan, taken, &[("x", DataType::Int32), ("n", DataType::Int32)]);
    planner.plan.nodes[taken.0].changelog = Changelog::Retract;
    let aggregates = vec![
        call(Count, None, DataType::Int64),
        call(Sum, Some(1), DataType::Int32),
        call(Count, Some(2), DataType::Int64),
    ];
    let columns =
        [("k", DataType::Utf8), ("c", DataType::Int64), ("s", DataType::Int32), ("n", DataType::Int64)];
    let group =
        planner.add(NodeKind::GroupAggregate { keys: vec![0], aggregates }, &[taken], schema(&columns));
    planner.plan.nodes[group.0].changelog = Changelog::Retract;
    let sink = planner.sink(group, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let plan = planner.build();
    for seed in 1..=4 {
        let mut make = |random: &mut Random| {
            let value = random.below(7) as i64 - 1;
            let value = if value < 0 { "-".into() } else { value.to_string() };
            format!("k{} {value}", random.below(4))
        };
        let feed = retracting_feed(&mut Random(seed), 160, &mut make);
        let mut whole = None;
        for (workers, rows_max) in [(1, 1_000), (1, 1), (2, 9), (4, 40)] {
            let options = DataflowOptions { workers, parallel_rows_min: 1 };
            let mut dataflow =
                Dataflow::new(plan.clone(), options, &state::Store::volatile(usize::MAX)).unwrap();
            let mut rows_by_key: BTreeMap<String, String> = BTreeMap::new();
            for part in feed.chunks(rows_max) {
                let text: Vec<&str> = part.iter().map(|(_, row)| row.as_str()).collect();
                let kinds = Int8Array::from_iter_values(part.iter().map(|(kind, _)| *kind as i8));
                let mut read = read(scan, 0, rows(&plan.node(scan).schema, &text.join("\n")), false);
                read.kinds = Some(kinds);
                let output = dataflow.step(StepInput { clock_ms: 0, reads: vec![read] }).unwrap();
                for output in &output.outputs {
                    for (row, line) in lines(&output.rows).into_iter().enumerate() {
                        let key = line.split(' ').next().unwrap().to_string();
                        match output.rows.kind(row) {
                            RowKind::Insert | RowKind::UpdateAfter => drop(rows_by_key.insert(key, line)),
                            RowKind::UpdateBefore | RowKind::Delete => {
                                assert_eq!(rows_by_key.remove(&key), Some(line), "seed {seed}");
                            }
                        }
                    }
                }
            }
            assert!(!rows_by_key.is_empty());
            let expected = whole.get_or_insert_with(|| rows_by_key.clone());
            assert_eq!(*expected, rows_by_key, "seed {seed}, {workers} workers, steps of {rows_max} rows");
            // What the feed leaves, computed by hand.
            let mut live: Vec<&str> = Vec::new();
            for (kind, row) in &feed {
                match kind {
                    RowKind::Insert | RowKind::UpdateAfter => live.push(row),
                    _ => drop(live.swap_remove(live.iter().position(|own| own == row).unwrap())),
                }
            }
            for (key, line) in &rows_by_key {
                let (mut count, mut sum, mut numbers) = (0, None, 0);
                for row in live.iter().filter_map(|row| row.strip_prefix(&format!("{key} "))) {
                    let value: i32 = row.parse().unwrap_or(0);
                    count += value.max(1);
                    numbers += value;
                    let elements = (1..=value).filter(|n| *n != 3);
                    sum = elements.fold(sum, |sum, n| Some(sum.unwrap_or(0) + n));
                }
                let sum = sum.map_or("-".into(), |sum: i32| sum.to_string());
                assert_eq!(*line, format!("{key} {count} {sum} {numbers}"), "seed {seed}");
            }
        }
    }
}
