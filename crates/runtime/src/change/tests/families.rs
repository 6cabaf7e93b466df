//! Which of several operators of one family goes on as which, and what times to live have to do with it.

use super::*;
use dataflow::plan::AggregateFunction::{Count, Max, Min, Sum};
use dataflow::plan::SortKey;

const DAY_MS: u64 = 86_400_000;

/// Groups of the same rows, each with what it adds up, its time to live and its sink.
fn groups(of: &[(&[AggregateFunction], Option<u64>, &str)]) -> Plan {
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    for (functions, ttl_ms, sink) in of {
        let group = planned.groups(scan, functions);
        planned.nodes[group].hinted_ttls_ms = [*ttl_ms, None];
        planned.sink(group, sink);
    }
    planned.plan()
}

/// The fate of each group, with the sink of the old one that it goes on as.
fn fates(old: &Plan, new: &Plan) -> Vec<(Fate, Option<String>)> {
    let state = job(old);
    let comparison = whole(old, new);
    assert!(!comparison.needs_consent(), "{comparison:?}");
    let groups = (0..new.nodes.len())
        .filter(|index| matches!(new.nodes[*index].kind, NodeKind::GroupAggregate { .. }));
    let fate = |index: usize| {
        let told = comparison.operators.iter().find(|operator| operator.node == Some(index as u32)).unwrap();
        let was = state.operators.iter().find(|known| known.tag == comparison.tags[index]);
        let sink = was.and_then(|known| {
            let sink = |tag: &u32| state.operators.iter().find(|known| known.tag == *tag);
            known.sinks.first().and_then(sink).map(|sink| sink.table.clone())
        });
        (told.fate, sink)
    };
    groups.map(fate).collect()
}

fn named(fate: Fate, sink: &str) -> (Fate, Option<String>) {
    (fate, (!sink.is_empty()).then(|| sink.to_string()))
}

#[test]
fn the_operator_before_the_same_sink_goes_first() {
    let old = groups(&[(&[Sum, Count], None, "a"), (&[Sum, Max], None, "b")]);
    let new = groups(&[(&[Sum, Min], None, "a"), (&[Sum], None, "b")]);
    assert_eq!(fates(&old, &new), [named(Fate::Rebuilt, ""), named(Fate::Migrated, "b")]);
    let new = groups(&[(&[Sum], None, "b"), (&[Sum], None, "a")]);
    assert_eq!(fates(&old, &new), [named(Fate::Migrated, "b"), named(Fate::Migrated, "a")]);
    // What another sink was given is no less than what is there, if only it lived as long.
    let old = groups(&[(&[Sum, Max], Some(DAY_MS), "a"), (&[Sum, Max], None, "b")]);
    let new = groups(&[(&[Max], None, "c"), (&[Max], Some(DAY_MS), "d")]);
    assert_eq!(fates(&old, &new), [named(Fate::Migrated, "b"), named(Fate::Migrated, "a")]);
}

#[test]
fn an_operator_behind_one_that_lives_for_another_time_stays_with_its_sink() {
    let ranked = |of: &[(u64, &str)]| {
        let mut planned = Planned::default();
        let scan = planned.scan("orders", false);
        for (ttl_ms, sink) in of {
            let group = planned.groups(scan, &[Sum]);
            planned.nodes[group].hinted_ttls_ms = [Some(*ttl_ms), None];
            planned.nodes[group].changelog = Changelog::Retract;
            let schema = planned.nodes[group].schema.clone();
            let order = vec![SortKey { column: 1, descending: true, nulls_first: false }];
            let (partition, first, last) = (Vec::new(), 1, 3);
            let kind =
                NodeKind::Rank { partition, order, first, last, with_number: false, latest_first: false };
            let rank = planned.add(kind, &[group], schema, Changelog::Retract);
            planned.sink(rank, sink);
        }
        planned.plan()
    };
    let comparison = whole(&ranked(&[(DAY_MS, "a"), (0, "b")]), &ranked(&[(0, "b"), (DAY_MS, "a")]));
    assert!(comparison.operators.iter().all(|operator| operator.fate == Fate::Kept), "{comparison:?}");
    // Scan, group, rank, sink, group, rank, sink.
    assert_eq!(comparison.tags, [0, 4, 5, 6, 1, 2, 3]);
    // The times change their places: what was forgotten before a sink stays so.
    let comparison = whole(&ranked(&[(DAY_MS, "a"), (0, "b")]), &ranked(&[(0, "a"), (DAY_MS, "b")]));
    assert_eq!(comparison.tags, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(comparison.migrated.keys().collect::<Vec<_>>(), [&NodeId(1), &NodeId(4)]);
}

/// Windows forget by the watermark, whatever the time to live is.
#[test]
fn a_time_to_live_is_nothing_to_whom_it_does_not_touch() {
    let windows = |state_ttl_ms: Option<u64>| {
        let mut planned = Planned::default();
        let scan = planned.scan("orders", false);
        let windows = planned.windows(scan, None);
        planned.sink(windows, "all");
        Plan { state_ttl_ms, ..planned.plan() }
    };
    for (before, now) in [(None, Some(DAY_MS)), (Some(DAY_MS), None), (Some(DAY_MS), Some(2 * DAY_MS))] {
        let comparison = whole(&windows(before), &windows(now));
        assert!(comparison.operators.iter().all(|operator| operator.fate == Fate::Kept), "{comparison:?}");
    }
}
