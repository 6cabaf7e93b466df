//! The text of plans, their fingerprints and phases, and the plans that are refused.

use super::fixtures::*;
use super::windows::{HOP, TUMBLE};
use crate::engine::{Dataflow, DataflowOptions};
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{Aggregate, JoinKind, NodeId, NodeKind, Plan, WindowKind};
use arrow_schema::DataType;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

fn example() -> Planner {
    let mut planner = Planner::default();
    let events = planner.scan("events", COLUMNS, false);
    let names = planner.scan("names", &[("id", DataType::Utf8)], true);
    let watermark = planner.watermark(events, 0, 5);
    let join = planner.join([watermark, names], JoinKind::Left, (1, 0), None);
    let distinct = Aggregate { distinct: true, ..call(Sum, Some(2), DataType::Int32) };
    let windows = planner.aggregate(join, 0, HOP, &[3], vec![call(Count, None, DataType::Int64), distinct]);
    planner.sink(windows, "out");
    planner.sink(join, "copy");
    planner
}

#[test]
fn a_plan_is_described_line_by_line() {
    let plan = example().build();
    let expected = "\
#5 Sink(`out`) -> [`id` STRING, `a0` BIGINT, `a1` INT, `window_start` TIMESTAMP(3), `window_end` TIMESTAMP(3), `window_time` TIMESTAMP(3)]
+- #4 WindowAggregate(HOP(`t`, slide=10ms, size=30ms), keys=[`id`], aggregates=[COUNT(*), SUM(DISTINCT `v`)]) -> [`id` STRING, `a0` BIGINT, `a1` INT, `window_start` TIMESTAMP(3), `window_end` TIMESTAMP(3), `window_time` TIMESTAMP(3)]
   +- #3 BoundedJoin(LEFT, stream=[`k`], table=[`id`]) -> [`t` TIMESTAMP(3), `k` STRING, `v` INT, `id` STRING]
      +- #2 Watermark(`t` AS $0 - 5ms) -> [`t` TIMESTAMP(3), `k` STRING, `v` INT]
         +- #0 Scan(`events`) -> [`t` TIMESTAMP(3), `k` STRING, `v` INT]
      +- #1 Scan(`names`, bounded) -> [`id` STRING]
#6 Sink(`copy`) -> [`t` TIMESTAMP(3), `k` STRING, `v` INT, `id` STRING]
+- #3 (see above)
";
    assert_eq!(plan.describe(), expected);
    let mut other = example();
    other.sink(NodeId(2), "more");
    assert_ne!(plan.fingerprint(), other.build().fingerprint());
    assert_eq!(plan.fingerprint(), example().build().fingerprint());
    assert_eq!(plan.watermark_nodes(), [NodeId(2)]);
}

#[test]
fn tables_of_tables_are_read_first() {
    let mut planner = Planner::default();
    let ids: &[(&str, DataType)] = &[("id", DataType::Utf8)];
    let stream = planner.scan("stream", ids, false);
    let middle = planner.scan("middle", ids, true);
    let inner = planner.scan("inner", ids, true);
    let other = planner.scan("other", ids, false);
    let table = planner.join([middle, inner], JoinKind::Inner, (0, 0), None);
    let join = planner.join([stream, table], JoinKind::Inner, (0, 0), None);
    planner.sink(join, "out");
    planner.sink(other, "other");
    let plan = planner.build();
    plan.validate().unwrap();
    let phases = [inner, middle, stream, other].map(|scan| plan.phase(scan));
    assert_eq!(phases, [0, 1, 2, 2]);
    let mut planner = Planner::default();
    let alone = planner.scan("alone", ids, false);
    planner.sink(alone, "out");
    assert_eq!(planner.build().phase(alone), 1);
}

fn refused(plan: Arc<Plan>) -> String {
    let error = Dataflow::new(plan, DataflowOptions::default(), &state::Store::volatile(usize::MAX))
        .err()
        .expect("the plan is refused");
    assert_eq!(error.kind(), base::ErrorKind::Invalid);
    error.to_string()
}

#[test]
fn plans_that_cannot_run_are_refused_with_a_reason() {
    let count = || vec![call(Count, None, DataType::Int64)];
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    planner.aggregate(scan, 0, TUMBLE, &[1], count());
    assert!(refused(planner.build()).contains("a window needs a watermark"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    planner.aggregate(
        watermark,
        0,
        WindowKind::Hop { size_ms: 10, slide_ms: 3, offset_ms: 0 },
        &[1],
        count(),
    );
    assert!(refused(planner.build()).contains("integral multiple of slide"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    planner.aggregate(watermark, 1, TUMBLE, &[1], count());
    assert!(refused(planner.build()).contains("a time attribute is a TIMESTAMP"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    let windows = planner.aggregate(watermark, 0, TUMBLE, &[1], count());
    if let NodeKind::WindowAggregate { keys, .. } = &mut planner.plan.nodes[windows.0].kind {
        keys[0] = 9;
    }
    assert!(refused(planner.build()).contains("which is not there"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    planner.aggregate(watermark, 0, TUMBLE, &[1], vec![call(Sum, Some(1), DataType::Utf8)]);
    assert!(refused(planner.build()).contains("Sum over STRING cannot give STRING"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    planner.join([scan, scan], JoinKind::Inner, (1, 1), None);
    assert!(refused(planner.build()).contains("scan the table a second time"));

    let mut planner = Planner::default();
    let stream = planner.scan("events", COLUMNS, true);
    let table = planner.scan("endless", COLUMNS, false);
    planner.join([stream, table], JoinKind::Inner, (1, 1), None);
    assert!(refused(planner.build()).contains("`endless`, which has no end"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    planner.filter(scan, column(2, DataType::Int32));
    assert!(refused(planner.build()).contains("a condition is not INT"));

    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    planner.filter(scan, greater(2, 0));
    planner.plan.nodes[1].inputs = vec![NodeId(1)];
    assert!(refused(planner.build()).contains("does not come before it"));
}
