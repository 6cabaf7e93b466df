//! A job whose statement changes: what fits of its state goes on, the rest is made from the input, and whatever happens
//! on the way there is the old job or the new one.

mod world;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::plan::{Aggregate, AggregateFunction, Changelog, Node, NodeId, NodeKind, Plan};
use dataflow::table::TableDefinition;
use os::sim::SimOs;
use runtime::{Cause, CommitPoint, Fate, JobRequest, Machine, Observer, RuntimeError, Submitted, Turn, why};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use world::{Input, Life, OnRead};

const KEYS: i64 = 7;

/// What a statement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Statement {
    /// Nodes before those of the sums, so that all numbers are others.
    first: bool,
    /// The sums by key, with the largest value or the least.
    sums: Option<AggregateFunction>,
    /// Which of the four calls these have, in this order.
    calls: &'static [usize],
    /// How long (ms) sums stay that no row is added to.
    ttl_ms: Option<u64>,
    /// A sum over the counts of the sums.
    of_sums: bool,
}

const SUMS: Statement = Statement {
    first: false,
    sums: Some(AggregateFunction::Max),
    calls: &[0, 1, 2, 3],
    ttl_ms: None,
    of_sums: false,
};

fn numbers(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>(),
    ))
}

fn table(name: &str, schema: SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([("connector".to_string(), "world".to_string())]),
    })
}

fn call(function: AggregateFunction, argument: Option<usize>) -> Aggregate {
    let options = Default::default();
    Aggregate { function, argument, distinct: false, filter: None, options, data_type: DataType::Int64 }
}

impl Statement {
    fn plan(&self) -> Plan {
        use AggregateFunction::{Count, Sum};
        let mut nodes: Vec<Node> = Vec::new();
        let mut add = |kind, inputs: &[usize], schema: &SchemaRef, changelog| {
            let inputs = inputs.iter().map(|input| NodeId(*input)).collect();
            nodes.push(Node { changelog, ..Node::new(kind, inputs, schema.clone()) });
            nodes.len() - 1
        };
        let input = Arc::new(Schema::new(vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("key", DataType::Int64, true),
            Field::new("value", DataType::Int64, true),
        ]));
        let kind = NodeKind::Scan {
            table: table("numbers", input.clone()),
            projection: vec![0, 1, 2],
            metadata: vec![],
            bounded: true,
        };
        let scan = add(kind, &[], &input, Changelog::Insert);
        if self.first {
            let schema = numbers(&["value", "count", "sum", "least", "sum of keys"]);
            let aggregates = vec![
                call(Count, None),
                call(Sum, Some(2)),
                call(AggregateFunction::Min, Some(2)),
                call(Sum, Some(1)),
            ];
            let kind = NodeKind::GroupAggregate { keys: vec![1], aggregates };
            let grouped = add(kind, &[scan], &schema, Changelog::Upsert);
            add(
                NodeKind::Sink { table: table("first", schema.clone()) },
                &[grouped],
                &schema,
                Changelog::Upsert,
            );
        }
        if let Some(last) = self.sums {
            let names = ["count", "sum", "last", "sum of keys"];
            let all = [call(Count, None), call(Sum, Some(2)), call(last, Some(2)), call(Sum, Some(1))];
            let picked = self.calls.iter().map(|place| names[*place]);
            let schema = numbers(&std::iter::once("key").chain(picked).collect::<Vec<_>>());
            let aggregates = self.calls.iter().map(|place| all[*place].clone()).collect();
            let changelog = if self.of_sums { Changelog::Retract } else { Changelog::Upsert };
            let kind = NodeKind::GroupAggregate { keys: vec![1], aggregates };
            let grouped = add(kind, &[scan], &schema, changelog);
            add(NodeKind::Sink { table: table("sums", schema.clone()) }, &[grouped], &schema, changelog);
            if self.of_sums {
                let schema = numbers(&["all"]);
                let kind = NodeKind::GroupAggregate { keys: vec![], aggregates: vec![call(Sum, Some(1))] };
                let all = add(kind, &[grouped], &schema, Changelog::Upsert);
                add(
                    NodeKind::Sink { table: table("all", schema.clone()) },
                    &[all],
                    &schema,
                    Changelog::Upsert,
                );
            }
        }
        Plan { state_ttl_ms: self.ttl_ms, ..Plan::new(nodes) }
    }

    fn request(&self, life: &Life) -> JobRequest {
        JobRequest { plan: Arc::new(self.plan()), fingerprint: format!("{self:?}"), ..life.request(None) }
    }

    /// The last row of each key once all input is there, of the sums that are kept by key.
    fn expected(&self, input: &Input) -> BTreeMap<i64, Vec<i64>> {
        let mut rows: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in 0..input.rows {
            let key = row % KEYS;
            let known = rows.entry(key).or_insert_with(|| vec![key, 0, 0, row, 0]);
            (known[1], known[2], known[4]) = (known[1] + 1, known[2] + row, known[4] + key);
            known[3] =
                if self.sums == Some(AggregateFunction::Min) { known[3].min(row) } else { known[3].max(row) };
        }
        for row in rows.values_mut() {
            let picked = self.calls.iter().map(|place| row[place + 1]);
            *row = std::iter::once(row[0]).chain(picked).collect();
        }
        rows
    }
}

/// The request of a plan whose scan has an option that its text does not show.
fn with_option(mut request: JobRequest) -> JobRequest {
    let mut plan = (*request.plan).clone();
    for node in &mut plan.nodes {
        if let NodeKind::Scan { table, .. } = &mut node.kind {
            let mut other = (**table).clone();
            other.options.insert("color".into(), "red".into());
            *table = Arc::new(other);
        }
    }
    request.plan = Arc::new(plan);
    request
}

fn turns(machine: &mut Machine, count: usize) -> Result<bool, RuntimeError> {
    for _ in 0..count {
        if machine.turn()? == Turn::Finished {
            return Ok(true);
        }
    }
    Ok(false)
}

fn finish(life: &Life, request: JobRequest) -> Result<(), RuntimeError> {
    let mut machine = life.runtime.machine(request)?;
    assert!(turns(&mut machine, 1000)?, "the job comes to its end");
    Ok(())
}

/// The last row of each key; sums of sums have none.
fn latest(life: &Life) -> BTreeMap<i64, Vec<i64>> {
    life.rows().into_iter().filter(|row| row.len() > 1).map(|row| (row[0], row)).collect()
}

/// Ten steps of the sums, of which two lie behind the last snapshot.
fn begun(world: &SimOs, statement: Statement) -> Life {
    let life = Life::begin(world, &Input::default());
    // With an observer every step is durable when its turn is over.
    let request = JobRequest { observer: Some(Arc::new(|_, _| {})), ..statement.request(&life) };
    let mut machine = life.runtime.machine(request).unwrap();
    assert!(!turns(&mut machine, 10).unwrap());
    let state = life.runtime.journal().job("sums").unwrap();
    assert!(!state.steps.is_empty() && state.snapshot.is_some());
    life
}

fn fates(life: &Life, statement: Statement) -> Vec<(String, Fate, bool)> {
    let comparison =
        life.runtime.compare_job(&statement.request(life)).unwrap().expect("it is another statement");
    let operators = comparison.operators.iter().map(|operator| {
        let name = operator.operator.split('(').next().unwrap_or_default().to_string();
        (name, operator.fate, operator.needs_consent)
    });
    operators.collect()
}

fn named(fates: &[(&str, Fate)]) -> Vec<(String, Fate, bool)> {
    fates.iter().map(|(name, fate)| (name.to_string(), *fate, false)).collect()
}

#[test]
fn state_that_fits_goes_on_under_other_numbers() {
    let world = SimOs::new(31);
    let life = begun(&world, SUMS);
    let changed = Statement { of_sums: false, ..SUMS };
    assert_eq!(life.runtime.compare_job(&changed.request(&life)).unwrap(), None);
    let same = JobRequest { fingerprint: "the same in other words".into(), ..SUMS.request(&life) };
    let before = life.rows().len();
    let mut machine = life.runtime.machine(same).unwrap();
    let state = life.runtime.journal().job("sums").unwrap();
    assert_eq!((state.last_step, state.changed_step), (11, 11), "the change is a step");
    assert_eq!(life.rows().len(), before, "a change gives nothing out");
    assert!(turns(&mut machine, 1000).unwrap());
    assert_eq!(latest(&life), SUMS.expected(&Input::default()));
    drop(machine);
    life.end();
}

#[test]
fn a_job_is_known_by_the_options_that_it_has_today() {
    let world = SimOs::new(38);
    let life = begun(&world, SUMS);
    let mut machine = life.runtime.machine(with_option(SUMS.request(&life))).unwrap();
    assert!(!turns(&mut machine, 1).unwrap());
    drop(machine);
    let state = life.runtime.journal().job("sums").unwrap();
    assert_eq!((state.changed_step, state.operators[0].tag), (0, 0), "an option is no change");
    // A change later does not take the scan for another.
    let changed = Statement { first: true, ..SUMS };
    let request = with_option(changed.request(&life));
    let comparison = life.runtime.compare_job(&request).unwrap().unwrap();
    assert_eq!(comparison.operators[0].fate, Fate::Kept, "{comparison:?}");
    assert!(!comparison.needs_consent());
    finish(&life, request).unwrap();
    life.end();
}

#[test]
fn what_is_added_is_made_from_all_rows_and_what_was_there_goes_on() {
    let world = SimOs::new(32);
    let life = begun(&world, SUMS);
    let changed = Statement { first: true, ..SUMS };
    let expected = [
        ("Scan", Fate::Kept),
        ("GroupAggregate", Fate::Rebuilt),
        ("Sink", Fate::New),
        ("GroupAggregate", Fate::Kept),
        ("Sink", Fate::Kept),
    ];
    assert_eq!(fates(&life, changed), named(&expected));
    finish(&life, changed.request(&life)).unwrap();
    // Both sinks write the same topic, and both count all rows.
    for row in life.rows().into_iter().rev().take(2 * KEYS as usize) {
        let expected = &SUMS.expected(&Input::default())[&row[0]];
        assert_eq!((row[1], row[2]), (expected[1], expected[2]));
    }
    life.end();
}

#[test]
fn a_change_shows_how_far_it_is() {
    let world = SimOs::new(49);
    let input = Input { rows: 30_000, ..Input::default() };
    let life = Life::begin(&world, &input);
    let mut request = JobRequest { observer: Some(Arc::new(|_, _| {})), ..SUMS.request(&life) };
    request.options.step_rows_max = 2_000;
    let mut machine = life.runtime.machine(request).unwrap();
    assert!(!turns(&mut machine, 10).unwrap());
    drop(machine);
    let changed = Statement { sums: Some(AggregateFunction::Min), ..SUMS };
    for stops in [true, false] {
        // The job stands still at every read until it has been looked at.
        let (ask, asked) = sync_channel(0);
        let (go, gone) = channel();
        let gone = Mutex::new(gone);
        let on_read = OnRead(Arc::new(move || {
            if ask.send(()).is_ok() {
                let _ = gone.lock().unwrap().recv();
            }
        }));
        let connectors = world::connectors(&Input { on_read: Some(on_read), ..input.clone() });
        let request = JobRequest { connectors, ..changed.request(&life) };
        let Submitted::Running(handle) = life.runtime.submit(request).unwrap() else { panic!("it goes on") };
        let mut seen = Vec::new();
        loop {
            asked.recv().unwrap();
            match handle.progress().rebuild {
                Some(rebuild) => seen.push((rebuild.rows, rebuild.percent())),
                None if !seen.is_empty() => break,
                None => {}
            }
            if !seen.is_empty() {
                let job = life.runtime.find("sums").unwrap();
                assert_eq!(why(&job)[0].cause, Cause::Rebuilding);
                if stops {
                    handle.stop();
                    break;
                }
            }
            go.send(()).unwrap();
        }
        drop((asked, go));
        assert_eq!(handle.join().unwrap(), !stops);
        assert_eq!(life.runtime.find("sums").unwrap().progress.rebuild, None);
        // The last read goes over the job's position, and is made once more.
        seen.dedup();
        let all = [(0, 0), (8_192, 40), (16_384, 81)];
        assert_eq!(seen, if stops { &all[..1] } else { &all[..] });
    }
    assert_eq!(latest(&life), changed.expected(&input));
    life.end();
}

#[test]
fn a_changed_operator_is_made_from_all_rows() {
    let world = SimOs::new(33);
    let life = begun(&world, SUMS);
    let changed = Statement { sums: Some(AggregateFunction::Min), ..SUMS };
    let expected = [("Scan", Fate::Kept), ("GroupAggregate", Fate::Rebuilt), ("Sink", Fate::Kept)];
    assert_eq!(fates(&life, changed), named(&expected), "nothing is lost, so nobody is asked");
    finish(&life, changed.request(&life)).unwrap();
    assert_eq!(latest(&life), changed.expected(&Input::default()));
    life.end();
}

#[test]
fn what_reads_an_operator_that_is_there_makes_it_run_again() {
    let world = SimOs::new(34);
    let life = begun(&world, SUMS);
    let changed = Statement { of_sums: true, ..SUMS };
    let expected = [
        ("Scan", Fate::Kept),
        ("GroupAggregate", Fate::Rebuilt),
        ("Sink", Fate::Kept),
        ("GroupAggregate", Fate::Rebuilt),
        ("Sink", Fate::New),
    ];
    assert_eq!(fates(&life, changed), named(&expected));
    let mut machine = life.runtime.machine(changed.request(&life)).unwrap();
    assert!(!turns(&mut machine, 4).unwrap());
    drop(machine);
    // And back again: what is not in the statement any more is lost, if its owner agrees.
    let gone = fates(&life, SUMS);
    assert_eq!(gone.last().map(|(_, fate, _)| *fate), Some(Fate::Dropped));
    assert!(gone.iter().any(|(name, _, needs_consent)| name == "GroupAggregate" && *needs_consent));
    let error = life.runtime.machine(SUMS.request(&life)).err().expect("nobody has agreed");
    assert!(matches!(error, RuntimeError::ChangeLoses { .. }), "{error}");
    assert!(error.to_string().contains("--allow-non-restored-state"), "{error}");
    // Refused is not changed.
    let mut machine = life.runtime.machine(changed.request(&life)).unwrap();
    assert!(!turns(&mut machine, 2).unwrap());
    drop(machine);
    let mut request = SUMS.request(&life);
    request.options.allows_non_restored = true;
    finish(&life, request).unwrap();
    assert_eq!(latest(&life), SUMS.expected(&Input::default()));
    life.end();
}

const MIGRATED: [(&str, Fate); 3] =
    [("Scan", Fate::Kept), ("GroupAggregate", Fate::Migrated), ("Sink", Fate::Kept)];

/// Each of these is made of the state of the one before, whatever has become of the input.
#[test]
fn fewer_aggregates_and_another_time_to_live_go_on_with_the_state_that_is_there() {
    const HOUR_MS: u64 = 3_600_000;
    let input = Input::default();
    let changes = [
        Statement { calls: &[3, 0, 2], ..SUMS },
        Statement { calls: &[3, 2], ttl_ms: Some(HOUR_MS), ..SUMS },
        Statement { calls: &[2], ttl_ms: Some(2 * HOUR_MS), ..SUMS },
        Statement { calls: &[2, 2], ..SUMS },
        Statement { calls: &[], ..SUMS },
    ];
    for last in 1..=changes.len() {
        let world = SimOs::new(41);
        let life = begun(&world, SUMS);
        for changed in &changes[..last] {
            assert_eq!(fates(&life, *changed), named(&MIGRATED), "{changed:?}");
            let mut machine = life.runtime.machine(changed.request(&life)).unwrap();
            assert!(!turns(&mut machine, 2).unwrap());
        }
        let statement = changes[last - 1];
        finish(&life, statement.request(&life)).unwrap();
        if statement.calls.is_empty() {
            assert!(life.rows().iter().all(|row| row.len() > 1), "all keys have been there");
        } else {
            assert_eq!(latest(&life), statement.expected(&input), "{statement:?}");
        }
        life.end();
    }
}

#[test]
fn what_a_change_begins_to_forget_lives_from_then_on() {
    const HOUR_MS: u64 = 3_600_000;
    for (passes_ms, is_forgotten) in [(HOUR_MS - 1, false), (HOUR_MS, true)] {
        let world = SimOs::new(42);
        let life = begun(&world, SUMS);
        let before: u64 = life.runtime.journal().job("sums").unwrap().counts.rows_in.values().sum();
        // The job stands still for longer than anything is to live.
        world.clock.advance_ms(5 * HOUR_MS);
        let changed = Statement { ttl_ms: Some(HOUR_MS), calls: &[0], ..SUMS };
        drop(life.runtime.machine(changed.request(&life)).unwrap());
        world.clock.advance_ms(passes_ms);
        finish(&life, changed.request(&life)).unwrap();
        let mut expected = changed.expected(&Input::default());
        if is_forgotten {
            expected.values_mut().for_each(|row| row[1] = 0);
            (before as i64..Input::default().rows).for_each(|row| {
                expected.get_mut(&(row % KEYS)).unwrap()[1] += 1;
            });
        }
        assert_eq!(latest(&life), expected, "{passes_ms}");
        life.end();
    }
}

#[test]
fn steps_behind_the_snapshot_forget_what_they_had_forgotten_and_no_more() {
    const HOUR_MS: u64 = 3_600_000;
    let input = Input::default();
    // The last steps come after so long, and the change after so long; what lived for a day is to live for so long.
    for (steps_ms, change_ms, ttl_ms, is_forgotten) in [
        (2 * HOUR_MS, 0, Some(HOUR_MS), false),
        (2 * HOUR_MS, 0, None, false),
        (24 * HOUR_MS, 0, Some(48 * HOUR_MS), true),
        (24 * HOUR_MS, 0, None, true),
        // No step has forgotten what the job has had while it stood still.
        (0, 30 * HOUR_MS, Some(48 * HOUR_MS), false),
        (0, 30 * HOUR_MS, None, false),
        (24 * HOUR_MS, 30 * HOUR_MS, None, true),
    ] {
        let world = SimOs::new(44);
        let life = Life::begin(&world, &input);
        let old = Statement { ttl_ms: Some(24 * HOUR_MS), ..SUMS };
        let request = JobRequest { observer: Some(Arc::new(|_, _| {})), ..old.request(&life) };
        let mut machine = life.runtime.machine(request).unwrap();
        assert!(!turns(&mut machine, 8).unwrap());
        let known = || life.runtime.journal().job("sums").unwrap();
        let before: u64 = known().counts.rows_in.values().sum();
        world.clock.advance_ms(steps_ms);
        assert!(!turns(&mut machine, 2).unwrap());
        assert!(known().snapshot.is_some_and(|snapshot| snapshot.step == 8) && known().steps.len() == 2);
        drop(machine);
        world.clock.advance_ms(change_ms);
        let changed = Statement { ttl_ms, ..SUMS };
        assert_eq!(fates(&life, changed), named(&MIGRATED));
        finish(&life, changed.request(&life)).unwrap();
        let mut expected = changed.expected(&input);
        if is_forgotten {
            let rows = |key: i64| (before as i64..input.rows).filter(move |row| row % KEYS == key);
            for (key, row) in &mut expected {
                (row[1], row[2]) = (rows(*key).count() as i64, rows(*key).sum());
                row[4] = row[1] * key;
            }
        }
        assert_eq!(latest(&life), expected, "{steps_ms} {change_ms} {ttl_ms:?}");
        life.end();
    }
}

#[test]
fn what_is_read_by_another_operator_goes_on_beneath_it() {
    let world = SimOs::new(43);
    let both = Statement { of_sums: true, ..SUMS };
    let life = begun(&world, both);
    let fewer = Statement { calls: &[0, 3], ..both };
    let expected = [
        ("Scan", Fate::Kept),
        ("GroupAggregate", Fate::Migrated),
        ("Sink", Fate::Kept),
        // It sums up the counts, and these are still there.
        ("GroupAggregate", Fate::Kept),
        ("Sink", Fate::Kept),
    ];
    assert_eq!(fates(&life, fewer), named(&expected));
    finish(&life, fewer.request(&life)).unwrap();
    let all = life.rows().into_iter().rev().find(|row| row.len() == 1).unwrap();
    assert_eq!(all, [Input::default().rows], "all rows are counted");
    life.end();
}

#[test]
fn wherever_a_change_is_killed_there_is_the_old_job_or_the_new_one() {
    let input = Input::default();
    let rebuilt = Statement { first: true, sums: Some(AggregateFunction::Min), ..SUMS };
    let migrated = Statement { calls: &[0, 1], ttl_ms: Some(1 << 40), ..SUMS };
    let points = CommitPoint::OF_CHANGES.iter();
    for ((name, point), changed) in points.flat_map(|at| [(*at, rebuilt), (*at, migrated)]) {
        let world = SimOs::new(35);
        let life = begun(&world, SUMS);
        let seen: Arc<Mutex<Option<SimOs>>> = Arc::default();
        let (disk, kept) = (world.disk.clone(), seen.clone());
        let of_world = world.clone();
        let observer: Observer = Arc::new(move |at, _| {
            if at == point {
                let fork = SimOs { disk: Arc::new(disk.fork()), ..of_world.clone() };
                *kept.lock().unwrap() = Some(fork);
            }
        });
        let request = JobRequest { observer: Some(observer), ..changed.request(&life) };
        drop(life.runtime.machine(request).unwrap());
        life.end();
        let killed = seen.lock().unwrap().take().unwrap_or_else(|| panic!("{name} is passed"));
        // With the new statement the change is made, or has been.
        let again = SimOs { disk: Arc::new(killed.disk.fork()), ..killed.clone() };
        let life = Life::begin(&again, &input);
        finish(&life, changed.request(&life)).unwrap();
        assert_eq!(latest(&life).len(), KEYS as usize, "{name}");
        let sinks = if changed.first { 2 } else { 1 };
        for row in life.rows().into_iter().rev().take(sinks * KEYS as usize) {
            let expected = &SUMS.expected(&input)[&row[0]];
            assert_eq!((row[1], row[2]), (expected[1], expected[2]), "{name}");
        }
        life.end();
        // With the old one the job goes on, or is changed back.
        let life = Life::begin(&killed, &input);
        let state = life.runtime.journal().job("sums").unwrap();
        assert_eq!(state.changed_step > 0, point == CommitPoint::AfterChange, "{name}");
        let mut request = SUMS.request(&life);
        request.options.allows_non_restored = true;
        finish(&life, request).unwrap();
        assert_eq!(latest(&life), SUMS.expected(&input), "{name}");
        life.end();
    }
}

#[test]
fn whatever_fails_on_the_disk_the_change_is_made_once_or_not_at_all() {
    let input = Input::default();
    for changed in [
        Statement { sums: Some(AggregateFunction::Min), ..SUMS },
        Statement { calls: &[2, 1], ttl_ms: Some(1 << 40), ..SUMS },
    ] {
        change_on_a_failing_disk(&input, changed);
    }
}

fn change_on_a_failing_disk(input: &Input, changed: Statement) {
    let (mut operation, mut failed) = (1, 0);
    loop {
        let world = SimOs::new(36);
        begun(&world, SUMS).end();
        let life = Life::begin_without_threads(&world, input);
        world.disk.stop_at_operation(Some(world.disk.operations() + operation));
        let opened = life.runtime.machine(changed.request(&life)).map(drop);
        let is_over = opened.is_ok();
        failed += u32::from(!is_over);
        drop(life);
        // As another process finds it.
        let world = SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() };
        if operation % 2 == 0 {
            world.disk.power_cut(operation);
        }
        world.disk.stop_at_operation(None);
        let life = Life::begin_without_threads(&world, input);
        let statement = if operation % 3 == 0 { SUMS } else { changed };
        finish(&life, statement.request(&life)).unwrap();
        assert_eq!(latest(&life), statement.expected(input), "operation {operation}");
        life.end();
        if is_over {
            break;
        }
        operation += 1;
    }
    assert!(failed > 5, "{failed} operations failed");
}

#[test]
fn steps_before_a_change_are_not_shown_by_the_statement_of_today() {
    let world = SimOs::new(37);
    let life = begun(&world, SUMS);
    let changed = Statement { first: true, ..SUMS };
    let mut machine = life.runtime.machine(changed.request(&life)).unwrap();
    assert!(!turns(&mut machine, 3).unwrap());
    let wanted = |step| runtime::StepWanted { step, rows_max: 5, entries_max: 5, savepoint: None };
    let request = changed.request(&life);
    for step in [3, 10, 11] {
        let error = life.runtime.debug_step_of(&request, &wanted(step)).unwrap_err();
        assert!(matches!(error, RuntimeError::BeforeChange { change: 11, .. }), "{step}: {error}");
    }
    let shown = life.runtime.debug_step_of(&request, &wanted(13)).unwrap();
    assert_eq!((shown.stored_hash, shown.replayed), (shown.hash, 1));
    drop(machine);
    life.end();
}

#[test]
fn a_savepoint_is_restored_into_a_changed_statement() {
    let world = SimOs::new(38);
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(SUMS.request(&life)).unwrap();
    assert!(!turns(&mut machine, 10).unwrap());
    let savepoint = machine.savepoint(Path::new("/savepoints")).unwrap().wait_timeout(0).unwrap().unwrap();
    drop(machine);
    life.end();
    let changed = Statement { first: true, sums: Some(AggregateFunction::Min), ..SUMS };
    let life = Life::begin_in(&world, &Input::default(), "/other".into());
    let request = JobRequest { from_savepoint: Some(savepoint.folder.clone()), ..changed.request(&life) };
    let mut machine = life.runtime.machine(request).unwrap();
    assert!(turns(&mut machine, 1000).unwrap());
    for row in life.rows().into_iter().rev().take(2 * KEYS as usize) {
        let expected = &SUMS.expected(&Input::default())[&row[0]];
        assert_eq!((row[1], row[2]), (expected[1], expected[2]));
    }
    drop(machine);
    life.end();
    // What would be lost is found out before anything of the job is begun.
    let life = Life::begin_in(&world, &Input::default(), "/third".into());
    let nothing = Statement { first: true, sums: None, ..SUMS };
    let request = JobRequest { from_savepoint: Some(savepoint.folder), ..nothing.request(&life) };
    let error = life.runtime.machine(request).err().expect("nobody has agreed");
    assert!(matches!(error, RuntimeError::ChangeLoses { .. }), "{error}");
    assert_eq!(life.runtime.journal().job("sums"), None);
    life.end();
}
