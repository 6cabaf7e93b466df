//! Projection, filter, window assignment, union, join, sinks.

use super::fixtures::*;
use super::windows::{HOP, TUMBLE};
use crate::engine::{Dataflow, DataflowOptions};
use crate::plan::AggregateFunction::Count;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan};
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_schema::{DataType, Field, Schema};
use base::ErrorKind;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

fn out(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("out: {line}")).collect()
}

fn go(plan: &Arc<Plan>, dataflow: &mut Dataflow, reads: &[(NodeId, &str, bool)]) -> Vec<String> {
    let reads = reads
        .iter()
        .map(|(scan, text, finished)| read(*scan, 0, rows(&plan.node(*scan).schema, text), *finished));
    output_lines(plan, &step(dataflow, reads.collect()).unwrap())
}

#[test]
fn filter_drops_null_and_a_shared_node_feeds_all_its_readers() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let large = planner.filter(scan, greater(2, 5));
    let names = planner.project(large, &[("k", column(1, DataType::Utf8))]);
    planner.sink(names, "names");
    planner.sink(large, "rows");
    planner.sink(large, "again");
    let plan = planner.build();
    let lines = go(&plan, &mut dataflow(&plan), &[(scan, "1 a 5\n2 b -\n3 c 6\n4 d 9", false)]);
    let expected = ["names: c", "names: d", "rows: 3 c 6", "rows: 4 d 9", "again: 3 c 6", "again: 4 d 9"];
    assert_eq!(lines, expected);
    assert_eq!(go(&plan, &mut dataflow(&plan), &[(scan, "", false)]), Vec::<String>::new());
    assert_eq!(go(&plan, &mut dataflow(&plan), &[]), Vec::<String>::new());
}

#[test]
fn an_expression_that_fails_names_its_node() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let quotient = closure("(7 / `v`)", DataType::Int32, |rows| {
        let values = rows.column(2).as_primitive::<Int32Type>();
        let quotient = values
            .try_unary::<_, Int32Type, String>(|value| 7i32.checked_div(value).ok_or("/ by zero".into()));
        Ok(Arc::new(quotient?) as ArrayRef)
    });
    let project = planner.project(scan, &[("q", quotient)]);
    planner.sink(project, "out");
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    assert_eq!(go(&plan, &mut dataflow, &[(scan, "1 a 2", false)]), out(&["3"]));
    let rows = rows(&plan.node(scan).schema, "1 a 0");
    let error = step(&mut dataflow, vec![read(scan, 0, rows, false)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.node, Some(project));
    assert_eq!(error.to_string(), "Project((7 / `v`)): / by zero, in `(7 / `v`)`");
    assert_eq!(step(&mut dataflow, Vec::new()).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn window_assignment_appends_a_row_per_window_and_drops_nothing() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    let mut fields = planner.schema(scan).fields().to_vec();
    for name in ["window_start", "window_end", "window_time"] {
        fields.push(Arc::new(Field::new(name, TIMESTAMP, true)));
    }
    let schema = Arc::new(Schema::new(fields));
    let assign = |window| NodeKind::WindowAssign { time_column: 0, window, zone: base::Zone::UTC };
    let hop = planner.add(assign(HOP), &[watermark], schema.clone());
    let tumble = planner.add(assign(TUMBLE), &[watermark], schema);
    planner.sink(hop, "hop");
    planner.sink(tumble, "out");
    let plan = planner.build();
    let lines = go(&plan, &mut dataflow(&plan), &[(scan, "99 a 1\n-1 b 2", false)]);
    let expected = [
        "hop: 99 a 1 90 120 119",
        "hop: 99 a 1 80 110 109",
        "hop: 99 a 1 70 100 99",
        "hop: -1 b 2 -10 20 19",
        "hop: -1 b 2 -20 10 9",
        "hop: -1 b 2 -30 0 -1",
        "out: 99 a 1 90 100 99",
        "out: -1 b 2 -10 0 -1",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_window_above_a_union_goes_by_the_slower_input() {
    let mut planner = Planner::default();
    let left = planner.scan("left", COLUMNS, true);
    let right = planner.scan("right", COLUMNS, true);
    let inputs = [planner.watermark(left, 0, 0), planner.watermark(right, 0, 0)];
    let union = planner.union(&inputs);
    let windows = planner.aggregate(union, 0, TUMBLE, &[1], vec![call(Count, None, DataType::Int64)]);
    planner.sink(windows, "out");
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    assert_eq!(go(&plan, &mut dataflow, &[(left, "1 a 0\n95 a 0", false)]), out(&[]));
    // The left input is at 95; the row at 2 is on time, because the right input has not begun.
    let reads = [(right, "2 b 0\n12 b 0", false), (left, "3 a 0\n14 a 0", false), (right, "21 b 0", false)];
    // `3 a` is late behind `12 b`: the minimum is 12 by then.
    let expected = out(&["a 1 0 10 9", "b 1 0 10 9", "a 1 10 20 19", "b 1 10 20 19"]);
    assert_eq!(go(&plan, &mut dataflow, &reads), expected);
    let expected = out(&["b 1 20 30 29", "a 1 90 100 99"]);
    assert_eq!(go(&plan, &mut dataflow, &[(right, "", true), (left, "", true)]), expected);
}

fn join_plan(kind: JoinKind, with_residual: bool) -> (Arc<Plan>, NodeId, NodeId) {
    let mut planner = Planner::default();
    let stream = planner.scan("stream", COLUMNS, false);
    let table = planner.scan("table", &[("id", DataType::Utf8), ("n", DataType::Int32)], true);
    let residual = with_residual.then(|| {
        closure("(`v` < `n`)", DataType::Boolean, |rows| {
            let (v, n) =
                (rows.column(2).as_primitive::<Int32Type>(), rows.column(4).as_primitive::<Int32Type>());
            let less = v.iter().zip(n).map(|(v, n)| Some(v? < n?));
            Ok(Arc::new(less.collect::<arrow_array::BooleanArray>()))
        })
    });
    let join = planner.join([stream, table], kind, (1, 0), residual);
    planner.sink(join, "out");
    (planner.build(), stream, table)
}

#[test]
fn joins_match_in_the_order_of_input_and_never_on_null() {
    let stream_rows = "1 b 1\n2 - 2\n3 a 3\n4 z 4\n5 b 9";
    let table_rows = ["b 5\na 1\n- 7", "b 6"];
    let inner = ["1 b 1 b 5", "1 b 1 b 6", "3 a 3 a 1", "5 b 9 b 5", "5 b 9 b 6"];
    let left = ["1 b 1 b 5", "1 b 1 b 6", "2 - 2 - -", "3 a 3 a 1", "4 z 4 - -", "5 b 9 b 5", "5 b 9 b 6"];
    let inner_residual = ["1 b 1 b 5", "1 b 1 b 6"];
    let left_residual = ["1 b 1 b 5", "1 b 1 b 6", "2 - 2 - -", "3 a 3 - -", "4 z 4 - -", "5 b 9 - -"];
    let cases: [(JoinKind, bool, &[&str]); 4] = [
        (JoinKind::Inner, false, &inner),
        (JoinKind::Left, false, &left),
        (JoinKind::Inner, true, &inner_residual),
        (JoinKind::Left, true, &left_residual),
    ];
    for (kind, with_residual, expected) in cases {
        let (plan, stream, table) = join_plan(kind, with_residual);
        assert_eq!((plan.phase(table), plan.phase(stream)), (0, 1));
        let mut dataflow = dataflow(&plan);
        assert_eq!(go(&plan, &mut dataflow, &[(table, table_rows[0], false)]), out(&[]));
        assert_eq!(go(&plan, &mut dataflow, &[(table, table_rows[1], true)]), out(&[]));
        assert_eq!(go(&plan, &mut dataflow, &[(stream, stream_rows, false)]), out(expected), "{kind:?}");
    }
}

/// Over several blocks, the last of them not full, read in pieces that do not end where blocks do; and the same from a
/// snapshot.
#[test]
fn a_large_table_joins_row_by_row() {
    const ROWS: i32 = 150_000;
    const PIECE: i32 = 7_001;
    let text = |from: i32| {
        (from..ROWS.min(from + PIECE)).map(|n| format!("k{} {n}\n", n % 50_000)).collect::<String>()
    };
    for kind in [JoinKind::Inner, JoinKind::Left] {
        let (plan, stream, table) = join_plan(kind, false);
        let mut home = Home::new(usize::MAX);
        let (mut dataflow, store) = home.begin(&plan, DataflowOptions::default());
        for from in (0..ROWS).step_by(PIECE as usize) {
            go(&plan, &mut dataflow, &[(table, &text(from), from + PIECE >= ROWS)]);
        }
        let mut expected = vec!["1 k7 1 k7 7", "1 k7 1 k7 50007", "1 k7 1 k7 100007"];
        if kind == JoinKind::Left {
            expected.push("2 z 2 - -");
        }
        let last = ["3 k49999 3 k49999 49999", "3 k49999 3 k49999 99999", "3 k49999 3 k49999 149999"];
        expected.extend(last);
        let stream_rows = "1 k7 1\n2 z 2\n3 k49999 3";
        assert_eq!(go(&plan, &mut dataflow, &[(stream, stream_rows, false)]), out(&expected), "{kind:?}");
        let (mut dataflow, _store) = home.restore(&plan, DataflowOptions::default(), (dataflow, store));
        assert_eq!(go(&plan, &mut dataflow, &[(stream, stream_rows, false)]), out(&expected), "{kind:?}");
    }
}

#[test]
fn an_empty_table_joins_with_nothing() {
    for (kind, expected) in [(JoinKind::Inner, &[][..]), (JoinKind::Left, &["1 b 1 - -"][..])] {
        let (plan, stream, table) = join_plan(kind, true);
        let mut dataflow = dataflow(&plan);
        go(&plan, &mut dataflow, &[(table, "", true)]);
        assert_eq!(go(&plan, &mut dataflow, &[(stream, "1 b 1", false)]), out(expected));
    }
}

#[test]
fn the_stream_must_not_be_read_before_the_table_is_complete() {
    let (plan, stream, table) = join_plan(JoinKind::Inner, false);
    let reads = vec![
        read(table, 0, rows(&plan.node(table).schema, "b 5"), false),
        read(stream, 0, rows(&plan.node(stream).schema, "1 b 1"), false),
    ];
    let error = step(&mut dataflow(&plan), reads).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().starts_with("Scan(`stream`): rows were read before"), "{error}");
}

#[test]
fn sinks_hold_not_null_and_nothing_before_them_does() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", &[("v", DataType::Int32)], true);
    let strict = Arc::new(Schema::new(vec![Field::new("v", DataType::Int32, false)]));
    let project = NodeKind::Project { expressions: vec![column(0, DataType::Int32)] };
    let project = planner.add(project, &[scan], strict);
    let kept = planner.filter(project, greater(0, 3));
    planner.sink(kept, "out");
    planner.sink(project, "strict");
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    assert_eq!(go(&plan, &mut dataflow, &[(scan, "4", false)]), ["out: 4", "strict: 4"]);
    let bad = rows(&plan.node(scan).schema, "5\n-");
    let error = step(&mut dataflow, vec![read(scan, 0, bad, false)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "Sink(`strict`): column `v` is declared NOT NULL, but a NULL is to be written into it"
    );
}

#[test]
fn reads_that_no_scan_declared_are_errors() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let sink = planner.sink(scan, "out");
    let plan = planner.build();
    let one = rows(&plan.node(scan).schema, "1 a 1");
    let other = rows(&schema(&[("x", DataType::Int32)]), "1");
    let bad = [
        read(sink, 0, one.clone(), false),
        read(NodeId(99), 0, one.clone(), false),
        read(scan, 1, one.clone(), false),
        read(scan, 0, other, false),
    ];
    for input in bad {
        assert_eq!(step(&mut dataflow(&plan), vec![input]).unwrap_err().kind(), ErrorKind::Internal);
    }
    let mut dataflow = dataflow(&plan);
    step(&mut dataflow, vec![read(scan, 0, one.clone(), true)]).unwrap();
    assert!(step(&mut dataflow, vec![read(scan, 0, one, false)]).is_err());
}

#[test]
fn a_panic_on_a_worker_is_an_error() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let panicking = closure("boom", DataType::Int32, |rows| {
        let first = rows.column(2).as_primitive::<Int32Type>().value(0);
        assert_ne!(first, 7, "on purpose");
        Ok(rows.column(2).clone())
    });
    let project = planner.project(scan, &[("v", panicking)]);
    planner.sink(project, "out");
    let plan = planner.build();
    let options = DataflowOptions { workers: 2, parallel_rows_min: 1 };
    let mut dataflow = Dataflow::new(plan.clone(), options, &state::Store::volatile(usize::MAX)).unwrap();
    assert_eq!(go(&plan, &mut dataflow, &[(scan, "1 a 1\n1 a 2", false)]), out(&["1", "2"]));
    let rows = rows(&plan.node(scan).schema, "1 a 1\n1 a 7");
    let error = step(&mut dataflow, vec![read(scan, 0, rows, false)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}
