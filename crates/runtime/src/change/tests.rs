//! What becomes of operators, by what is known of the old plan and of the inputs.

mod families;
mod sinks;

use super::compare::{Again, Comparison, Fate, ScanFacts, compare};
use crate::journal::{Counts, JournalState};
use crate::operators;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use base::Zone;
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use dataflow::plan::{
    Aggregate, AggregateFunction, Changelog, JoinKind, Node, NodeId, NodeKind, Plan, WindowKind,
};
use dataflow::table::TableDefinition;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// A time column, by the name that its reader gives it.
#[derive(Debug)]
struct At;

impl Expression for At {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        Ok(rows.column(0).clone())
    }

    fn data_type(&self) -> &DataType {
        &TIME
    }

    fn describe(&self) -> String {
        "at".into()
    }

    fn describe_over(&self, name: &dyn Fn(usize) -> String) -> String {
        name(0)
    }
}

fn table(name: &str, schema: SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([
            ("connector".to_string(), "kafka".to_string()),
            ("topic".into(), name.into()),
        ]),
    })
}

fn rows() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![Field::new("at", TIME, true), number("key"), number("value")]))
}

/// Grows a plan.
#[derive(Default)]
struct Planned {
    nodes: Vec<Node>,
}

impl Planned {
    fn add(&mut self, kind: NodeKind, inputs: &[usize], schema: SchemaRef, changelog: Changelog) -> usize {
        let inputs = inputs.iter().map(|input| NodeId(*input)).collect();
        self.nodes.push(Node { changelog, ..Node::new(kind, inputs, schema) });
        self.nodes.len() - 1
    }

    fn scan(&mut self, topic: &str, bounded: bool) -> usize {
        let kind = NodeKind::Scan {
            table: table(topic, rows()),
            projection: vec![0, 1, 2],
            metadata: Vec::new(),
            bounded,
        };
        self.add(kind, &[], rows(), Changelog::Insert)
    }

    fn group(&mut self, input: usize, function: AggregateFunction) -> usize {
        self.groups(input, &[function])
    }

    fn groups(&mut self, input: usize, functions: &[AggregateFunction]) -> usize {
        let number = |name: String| Field::new(name, DataType::Int64, true);
        let all = (0..functions.len()).map(|place| number(format!("all {place}")));
        let schema =
            Arc::new(Schema::new(std::iter::once(number("key".into())).chain(all).collect::<Vec<_>>()));
        let aggregates = functions.iter().map(|function| call(*function)).collect();
        let kind = NodeKind::GroupAggregate { keys: vec![1], aggregates };
        self.add(kind, &[input], schema, Changelog::Upsert)
    }

    fn windows(&mut self, input: usize, idle_ms: Option<u64>) -> usize {
        let kind = NodeKind::Watermark { column: 0, watermark: Arc::new(At), idle_ms };
        let timed = self.add(kind, &[input], rows(), Changelog::Insert);
        self.windowed(timed)
    }

    fn windowed(&mut self, timed: usize) -> usize {
        let times = ["window_start", "window_end", "window_time"].map(|name| Field::new(name, TIME, true));
        let numbers = ["key", "all"].map(|name| Field::new(name, DataType::Int64, true));
        let schema = Arc::new(Schema::new(numbers.into_iter().chain(times).collect::<Vec<_>>()));
        let window = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
        let aggregates = vec![call(AggregateFunction::Sum)];
        let kind =
            NodeKind::WindowAggregate { time_column: 0, window, zone: Zone::UTC, keys: vec![1], aggregates };
        self.add(kind, &[timed], schema, Changelog::Insert)
    }

    fn sink(&mut self, input: usize, topic: &str) -> usize {
        let (schema, changelog) = (self.nodes[input].schema.clone(), self.nodes[input].changelog);
        self.add(NodeKind::Sink { table: table(topic, schema.clone()) }, &[input], schema, changelog)
    }

    fn plan(self) -> Plan {
        Plan::new(self.nodes)
    }
}

fn call(function: AggregateFunction) -> Aggregate {
    let options = Default::default();
    Aggregate {
        function,
        argument: Some(2),
        distinct: false,
        filter: None,
        options,
        data_type: DataType::Int64,
    }
}

/// A job that has run this plan.
fn job(plan: &Plan) -> JournalState {
    JournalState {
        instance: 1,
        engine_version: crate::ENGINE_VERSION,
        plan: 1,
        origin: 0,
        scans: Vec::new(),
        snapshot: None,
        steps: VecDeque::new(),
        last_step: 0,
        counts: Counts::default(),
        finished: false,
        feeds: BTreeMap::new(),
        operators: operators::of_plan(plan),
        next_tag: plan.nodes.len() as u32,
        changed_step: 0,
        former_scans: Vec::new(),
    }
}

fn compared(before: &Plan, after: &Plan, again: Again, finished: bool, outbox: bool) -> Comparison {
    let facts = |_, _| ScanFacts { again: again.clone(), finished };
    compare(&job(before), after, &facts, &|_| outbox)
}

fn whole(before: &Plan, after: &Plan) -> Comparison {
    compared(before, after, Again::Whole, false, false)
}

/// Kinds and fates; what needs consent with a mark.
fn told(comparison: &Comparison) -> Vec<String> {
    let operator = |operator: &super::OperatorChange| {
        let kind = operator.operator.split('(').next().unwrap_or_default();
        format!("{kind} {}{}", operator.fate.name(), if operator.needs_consent { "!" } else { "" })
    };
    comparison.operators.iter().map(operator).collect()
}

fn sums(function: AggregateFunction) -> Plan {
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let group = planned.group(scan, function);
    planned.sink(group, "sums");
    planned.plan()
}

#[test]
fn tags_stay_with_what_they_were_given_to() {
    let before = sums(AggregateFunction::Sum);
    let mut planned = Planned::default();
    let people = planned.scan("people", false);
    planned.sink(people, "copies");
    let scan = planned.scan("orders", false);
    let group = planned.group(scan, AggregateFunction::Sum);
    planned.sink(group, "sums");
    let after = planned.plan();
    let comparison = whole(&before, &after);
    assert_eq!(comparison.tags, [3, 4, 0, 1, 2]);
    assert_eq!((comparison.next_tag, comparison.new_scans), (5, vec![NodeId(0)]));
    assert_eq!((comparison.kept, comparison.rebuilt), (vec![NodeId(3)], vec![]));
}

#[test]
fn what_is_another_is_rebuilt_under_a_tag_of_its_own() {
    let (before, after) = (sums(AggregateFunction::Sum), sums(AggregateFunction::Max));
    let comparison = whole(&before, &after);
    assert_eq!(told(&comparison), ["Scan kept", "GroupAggregate rebuilt", "Sink kept"]);
    assert_eq!(comparison.tags, [0, 4, 2]);
    let partly = compared(&before, &after, Again::Partly("three records".into()), false, false);
    assert_eq!(told(&partly), ["Scan kept", "GroupAggregate rebuilt!", "Sink kept"]);
    assert!(partly.reasons(|operator| operator.needs_consent).contains("three records of 'orders'"));
    let never = compared(&before, &after, Again::No("is gone".into()), false, false);
    assert_eq!(told(&never), ["Scan kept", "GroupAggregate impossible", "Sink kept"]);
    assert!(!never.is_possible());
}

#[test]
fn state_that_nobody_takes_and_rows_that_wait_are_not_dropped_in_silence() {
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let group = planned.group(scan, AggregateFunction::Sum);
    planned.sink(group, "sums");
    planned.sink(scan, "copies");
    let before = planned.plan();
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    planned.sink(scan, "copies");
    let after = planned.plan();
    let expected = ["Scan kept", "Sink kept", "GroupAggregate dropped!", "Sink dropped"];
    assert_eq!(told(&whole(&before, &after)), expected);
    let outboxes = compared(&before, &after, Again::Whole, false, true);
    assert_eq!(told(&outboxes)[3], "Sink dropped!");
    // The same in front of another sink takes no place.
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let group = planned.group(scan, AggregateFunction::Max);
    planned.sink(group, "other");
    assert!(whole(&before, &planned.plan()).needs_consent());
}

#[test]
fn what_time_alone_tells_is_not_made_anew() {
    let before = sums(AggregateFunction::Sum);
    let with = |add: &dyn Fn(&mut Planned, usize) -> usize| {
        let mut planned = Planned::default();
        let scan = planned.scan("orders", false);
        let group = planned.group(scan, AggregateFunction::Sum);
        planned.sink(group, "sums");
        let added = add(&mut planned, scan);
        planned.sink(added, "windows");
        planned.plan()
    };
    let windows = with(&|planned, scan| planned.windows(scan, None));
    assert_eq!(
        told(&whole(&before, &windows))[3..],
        ["Watermark rebuilt", "WindowAggregate rebuilt", "Sink new"]
    );
    let idle = whole(&before, &with(&|planned, scan| planned.windows(scan, Some(1000))));
    assert!(!idle.is_possible());
    assert!(idle.reasons(|operator| operator.fate == Fate::Impossible).contains("fall idle"));
    let clock = whole(
        &before,
        &with(&|planned, scan| {
            let timed = planned.add(NodeKind::ProcessingTime, &[scan], rows(), Changelog::Insert);
            planned.windowed(timed)
        }),
    );
    assert!(clock.reasons(|operator| operator.fate == Fate::Impossible).contains("follows the clock"));
    // Where they are kept there is nothing to be made anew.
    assert!(whole(&idle_plan(), &idle_plan()).is_possible());
}

fn idle_plan() -> Plan {
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let windows = planned.windows(scan, Some(1000));
    planned.sink(windows, "windows");
    planned.plan()
}

#[test]
fn what_was_forgotten_would_come_back() {
    let before = Plan { state_ttl_ms: Some(5), ..sums(AggregateFunction::Sum) };
    let after = Plan { state_ttl_ms: Some(5), ..sums(AggregateFunction::Max) };
    assert_eq!(told(&whole(&before, &after))[1], "GroupAggregate rebuilt!");
    assert_eq!(told(&whole(&before, &before))[1], "GroupAggregate kept");
}

#[test]
fn a_table_that_is_read_first_must_have_been_read() {
    let before = sums(AggregateFunction::Sum);
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let names = planned.scan("names", true);
    let fields = rows().fields().iter().chain(rows().fields()).cloned().collect::<Vec<_>>();
    let kind = NodeKind::BoundedJoin {
        kind: JoinKind::Left,
        stream_keys: vec![1],
        table_keys: vec![1],
        residual: None,
    };
    let joined = planned.add(kind, &[scan, names], Arc::new(Schema::new(fields)), Changelog::Insert);
    let group = planned.group(joined, AggregateFunction::Sum);
    planned.sink(group, "sums");
    let comparison = whole(&before, &planned.plan());
    assert!(!comparison.is_possible());
    assert!(
        comparison.reasons(|operator| operator.fate == Fate::Impossible).contains("'names'"),
        "{comparison:?}"
    );
}
