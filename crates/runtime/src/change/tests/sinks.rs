//! What sinks have been given decides which scan goes on where, and what is asked before they get it twice or never.

use super::*;
use crate::change::compare::is_at_its_tables;
use crate::change::switch::Pinned;
use crate::coordinates::ScanSplits;
use crate::journal::{Change, Journal, Record, SnapshotRecord};
use crate::operators::Role;
use dataflow::plan::Keep;
use dataflow::source::{Position, Split};
use eventlog::{Committer, Frame, LogError, LogOptions, Recovery};
use os::sim::SimOs;

fn topic(name: &str, topic: &str, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut of_topic = (*table(name, rows())).clone();
    let more = options.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    of_topic.options.extend([("topic".to_string(), topic.to_string()), ("format".into(), "json".into())]);
    of_topic.options.extend(more);
    Arc::new(of_topic)
}

fn orders(options: &[(&str, &str)]) -> Arc<TableDefinition> {
    topic("orders", "orders", options)
}

impl Planned {
    fn scan_of(&mut self, table: Arc<TableDefinition>, projection: &[usize]) -> usize {
        let schema = Arc::new(table.schema.project(projection).unwrap());
        let kind =
            NodeKind::Scan { table, projection: projection.to_vec(), metadata: Vec::new(), bounded: false };
        self.add(kind, &[], schema, Changelog::Insert)
    }

    fn first_of_keys(&mut self, input: usize) -> usize {
        let kind = NodeKind::Deduplicate { keys: vec![1], keep: Keep::First };
        self.add(kind, &[input], rows(), Changelog::Insert)
    }
}

/// Scans by table and columns, each with the sink that it writes.
fn copies(of: &[(Arc<TableDefinition>, &[usize], &str)]) -> Plan {
    let mut planned = Planned::default();
    for (table, projection, sink) in of {
        let scan = planned.scan_of(table.clone(), projection);
        planned.sink(scan, sink);
    }
    planned.plan()
}

/// The job whose scans have so many splits, which begin at these positions.
fn at(plan: &Plan, splits: u32, positions: &[i64]) -> JournalState {
    let mut state = job(plan);
    let scans = plan.scans().into_iter().zip(positions);
    let of_scan = |(scan, position): (NodeId, &i64)| {
        let split = |number| Split {
            id: format!("orders/{number}"),
            start: Position(*position),
            end: None,
            fingerprint: String::new(),
        };
        ScanSplits { scan: plan.tag(scan), splits: (0..splits).map(split).collect() }
    };
    state.scans = scans.map(of_scan).collect();
    state
}

fn compared_with(state: &JournalState, after: &Plan) -> Comparison {
    compare(state, after, &|_, _| ScanFacts { again: Again::Whole, finished: false }, &|_| false)
}

fn cautions(comparison: &Comparison) -> String {
    comparison.reasons(|operator| operator.needs_consent)
}

#[test]
fn a_scan_goes_on_for_the_sink_that_it_wrote() {
    let before = copies(&[(orders(&[]), &[1], "s1")]);
    let after = copies(&[(orders(&[]), &[1, 2], "s1"), (orders(&[]), &[1], "s2")]);
    let comparison = whole(&before, &after);
    assert_eq!((&comparison.tags[..2], &comparison.new_scans), ([0, 1].as_slice(), &vec![NodeId(2)]));
    assert!(!comparison.needs_consent(), "{comparison:?}");
}

#[test]
fn of_two_that_begin_elsewhere_the_one_that_is_left_stays_itself() {
    let all = topic("all_orders", "orders", &[("scan.startup.mode", "earliest-offset")]);
    let late = topic("late_orders", "orders", &[("scan.startup.mode", "latest-offset")]);
    let before = copies(&[(all, &[1], "s1"), (late.clone(), &[1], "s2")]);
    let comparison = whole(&before, &copies(&[(late, &[1], "s2")]));
    assert_eq!(comparison.tags, [2, 3]);
}

#[test]
fn a_scan_that_lags_goes_on_where_it_was() {
    let before = copies(&[(orders(&[]), &[1], "s1"), (orders(&[]), &[2], "s2")]);
    let after = copies(&[(orders(&[]), &[1, 2], "s2")]);
    let comparison = compared_with(&at(&before, 1, &[50, 5]), &after);
    assert_eq!(comparison.tags, [2, 3]);
    assert!(!comparison.needs_consent(), "{comparison:?}");
}

#[test]
fn which_of_two_a_scan_is_must_not_be_guessed() {
    let before = copies(&[(orders(&[]), &[1], "s1"), (orders(&[]), &[2], "s2")]);
    let after = copies(&[(orders(&[]), &[1, 2], "s3")]);
    let comparison = compared_with(&at(&before, 1, &[50, 5]), &after);
    assert_eq!(told(&comparison)[0], "Scan kept!");
    assert!(cautions(&comparison).contains("reads 'orders' more than once"), "{comparison:?}");
    // Where both are at one place, it does not matter.
    assert!(!compared_with(&at(&before, 1, &[5, 5]), &after).needs_consent());
}

#[test]
fn a_scan_that_begins_anew_does_not_give_a_sink_its_rows_twice() {
    let before = copies(&[(orders(&[]), &[1], "s1")]);
    let zoned = orders(&[("json.timestamp-format.standard", "ISO-8601")]);
    let comparison = whole(&before, &copies(&[(zoned.clone(), &[1], "s1")]));
    assert_eq!(told(&comparison)[0], "Scan new!");
    assert!(cautions(&comparison).contains("'s1' has been given"), "{comparison:?}");
    assert!(!whole(&before, &copies(&[(zoned, &[1], "s2")])).needs_consent());
    // The same with a branch beside the old one.
    let mut planned = Planned::default();
    let branches = [planned.scan_of(orders(&[]), &[1]), planned.scan_of(orders(&[]), &[2])];
    let both = planned.add(NodeKind::Union, &branches, planned.nodes[0].schema.clone(), Changelog::Insert);
    planned.sink(both, "s1");
    let comparison = whole(&before, &planned.plan());
    assert!(told(&comparison).contains(&"Scan new!".to_string()), "{comparison:?}");
}

#[test]
fn how_to_log_in_and_how_fast_make_no_other_table() {
    let before = copies(&[(orders(&[]), &[1], "s1")]);
    for key in [
        "scan.watermark.idle-timeout",
        "scan.startup.mode",
        "value.json.ignore-parse-errors",
        "csv.ignore-parse-errors",
        "avro-confluent.basic-auth.password",
        "bearer-auth.token",
        "aws.credentials.basic.secretkey",
    ] {
        let after = copies(&[(orders(&[(key, "other")]), &[1], "s1")]);
        assert_eq!(told(&whole(&before, &after)), ["Scan kept", "Sink kept"], "{key}");
    }
}

#[test]
fn columns_have_places_where_records_have_no_names() {
    let wider = |table: &Arc<TableDefinition>| {
        let number = Field::new("more", DataType::Int64, true);
        let rows = rows();
        let fields = std::iter::once(Arc::new(number)).chain(rows.fields().iter().cloned());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Arc::new(TableDefinition { schema, ..(**table).clone() })
    };
    for (format, expected) in [("csv", "Scan new!"), ("avro", "Scan new!"), ("json", "Scan kept")] {
        let table = orders(&[("format", format)]);
        let before = copies(&[(table.clone(), &[1], "s1")]);
        let after = copies(&[(wider(&table), &[2], "s1")]);
        assert_eq!(told(&whole(&before, &after))[0], expected, "{format}");
        assert_eq!(is_at_its_tables(&job(&before), &after), format == "json");
    }
    // What lands has no format of its own.
    let mut landed = (*orders(&[])).clone();
    landed.options.remove("format");
    let landed = Arc::new(landed);
    let before = copies(&[(landed.clone(), &[1], "s1")]);
    assert_eq!(told(&whole(&before, &copies(&[(wider(&landed), &[2], "s1")])))[0], "Scan new!");
}

#[test]
fn rows_that_wait_for_a_target_are_not_read_by_other_columns() {
    let before = copies(&[(orders(&[]), &[1], "s1")]);
    let mut after = before.clone();
    let NodeKind::Sink { table } = &mut after.nodes[1].kind else { panic!("a sink") };
    *table = Arc::new(TableDefinition { primary_key: vec!["key".into()], ..(**table).clone() });
    let outbox = compared(&before, &after, Again::Whole, false, true);
    assert_eq!(told(&outbox), ["Scan kept", "Sink new", "Sink dropped!"]);
    assert_eq!(outbox.tags, [0, 2]);
    assert!(cautions(&outbox).contains("columns or keys"), "{outbox:?}");
    assert_eq!(whole(&before, &after).tags, [0, 1], "nothing waits elsewhere");
    assert!(!is_at_its_tables(&job(&before), &after));
}

#[test]
fn results_that_fall_due_while_nobody_sees_them_are_not_passed_over() {
    let before = idle_free();
    let mut after = before.clone();
    for node in &mut after.nodes {
        if let NodeKind::WindowAggregate { window, .. } = &mut node.kind {
            *window = WindowKind::Tumble { size_ms: 5, offset_ms: 0 };
        }
    }
    let comparison = whole(&before, &after);
    assert_eq!(told(&comparison)[1..], ["WindowAggregate rebuilt!", "Sink kept"]);
    assert!(cautions(&comparison).contains("results are missing"), "{comparison:?}");
    let NodeKind::Sink { table: sink } = &mut after.nodes[3].kind else { panic!("a sink") };
    *sink = table("others", sink.schema.clone());
    assert!(!cautions(&whole(&before, &after)).contains("results are missing"));
}

fn idle_free() -> Plan {
    let mut planned = Planned::default();
    let scan = planned.scan("orders", false);
    let windows = planned.windows(scan, None);
    planned.sink(windows, "windows");
    planned.plan()
}

#[test]
fn what_depends_on_order_is_not_made_again_behind_a_sink() {
    let with = |reads_again: bool| {
        let mut planned = Planned::default();
        let scan = planned.scan("orders", false);
        let first = planned.first_of_keys(scan);
        planned.sink(first, "firsts");
        if reads_again {
            let group = planned.group(first, AggregateFunction::Sum);
            planned.sink(group, "sums");
        }
        planned.plan()
    };
    let (before, after) = (with(false), with(true));
    let one = compared_with(&at(&before, 1, &[0]), &after);
    assert_eq!(told(&one)[1], "Deduplicate rebuilt");
    let two = compared_with(&at(&before, 2, &[0]), &after);
    assert_eq!(told(&two)[1], "Deduplicate rebuilt!");
    assert!(cautions(&two).contains("'firsts'"), "{two:?}");
}

#[test]
fn a_table_that_lies_elsewhere_is_a_change_in_the_same_words() {
    let before = copies(&[(topic("orders", "o1", &[]), &[1], "s1")]);
    let other = |options: &[(&str, &str)], topic_of: &str| {
        is_at_its_tables(&job(&before), &copies(&[(topic("orders", topic_of, options), &[1], "s1")]))
    };
    assert!(other(&[], "o1"));
    assert!(other(&[("json.timestamp-format.standard", "ISO-8601")], "o1"));
    assert!(!other(&[], "o2"));
}

#[test]
fn a_job_that_goes_back_to_a_savepoint_has_been_changed_still() {
    let journal = Journal::restore(None).unwrap();
    let plan = copies(&[(orders(&[]), &[1], "s1")]);
    let started = Record::Started {
        job: "j".into(),
        instance: 1,
        engine_version: crate::ENGINE_VERSION,
        plan: 1,
        origin: 0,
        scans: at(&plan, 1, &[0]).scans,
    };
    let snapshot = SnapshotRecord { step: 7, clock_ms: 0, file: String::new(), cursors: Vec::new() };
    let change = Change {
        engine_version: crate::ENGINE_VERSION,
        plan: 2,
        scans: Vec::new(),
        operators: Vec::new(),
        next_tag: 9,
        snapshot,
    };
    journal.apply(&started);
    journal.apply(&Record::Altered { job: "j".into(), change });
    journal.apply(&started);
    let state = journal.job("j").unwrap();
    assert_eq!((state.changed_step, state.next_tag, state.former_scans.len()), (7, 9, 1));
    // Tags that a savepoint's job has had are given to nobody.
    let operators = operators::of_plan(&plan);
    journal.apply(&Record::Operators { job: "j".into(), operators: operators.clone(), next_tag: 12 });
    assert_eq!(journal.job("j").unwrap().next_tag, 12);
    let record = Record::Operators { job: "j".into(), operators, next_tag: 12 };
    assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    let Record::Started { job, engine_version, plan, origin, scans, .. } = started else { return };
    journal.apply(&Record::Started { job, instance: 2, engine_version, plan, origin, scans });
    assert_eq!(journal.job("j").unwrap().changed_step, 0, "another job of the name");
}

#[test]
fn only_a_sink_has_an_outbox_to_be_removed() {
    let topics = |role, is_alone| crate::change::switch::topics_of("a b", role, 3, is_alone);
    assert_eq!(topics(Role::Sink, true), ["__outbox.a_b.3"]);
    assert!(topics(Role::Sink, false).is_empty());
    for role in [Role::State, Role::Scan] {
        assert!(topics(role, true).iter().all(|topic| !topic.contains("outbox")));
    }
}

#[test]
fn what_is_read_again_stays_until_it_has_been() {
    let os = SimOs::new(1).os();
    let options =
        LogOptions { committer: Committer::Manual, retention_check_ms: 0, ..LogOptions::new("/log") };
    let log = Recovery::open(&os, options).unwrap().start(Vec::new()).unwrap();
    let create = |frame: &mut Frame<'_>| frame.create_topic("orders", 1, BTreeMap::new()).map(drop);
    log.append::<_, LogError>(create).unwrap();
    log.commit_pending().unwrap();
    let plan = copies(&[(orders(&[]), &[1], "s1")]);
    let delete = || log.append::<_, LogError>(|frame| frame.delete_topic("orders"));
    let pinned = Pinned::new(&log, "j", &at(&plan, 1, &[0]));
    let refused = delete().expect_err("it is held");
    assert!(refused.to_string().contains("the change of job j"), "{refused}");
    drop(pinned);
    delete().unwrap();
    log.shutdown().unwrap();
}
