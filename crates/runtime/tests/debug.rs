//! Time travel: any step that is still covered runs again beside the job, gives what it gave, and harms nobody.

mod world;

use os::sim::SimOs;
use runtime::{
    Base, DebuggedStep, JobRequest, Machine, ProbedField, RuntimeError, StepWanted, Submitted, Turn,
};
use std::path::Path;
use std::sync::Arc;
use world::{Input, Life, TOPIC, expected};

const TARGET: &str = "/savepoints";

fn wanted(step: u64) -> StepWanted {
    StepWanted { step, rows_max: 5, entries_max: 1000, savepoint: None }
}

/// With an observer every step is durable when its turn is over.
fn request(life: &Life, retained: usize) -> JobRequest {
    let mut request = life.request(Some(Arc::new(|_, _| {})));
    request.options.snapshots_retained = retained;
    request
}

fn go_on(machine: &mut Machine, turns: usize) -> bool {
    (0..turns).any(|_| machine.turn().unwrap() == Turn::Finished)
}

fn shown(fields: &[ProbedField]) -> String {
    let text = |field: &ProbedField| format!("{}={:?}", field.name, field.value);
    fields.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The sums that a step left, by key and window.
fn after(step: &DebuggedStep) -> Vec<(String, Option<String>)> {
    let entries = step.operators[2].probed.state.entries.iter();
    entries.map(|entry| (shown(&entry.key), entry.after.as_deref().map(shown))).collect()
}

/// Looks at all steps of a job that has not gone further than `last`, one after the other.
fn look_at_all(life: &Life, request: &JobRequest, last: u64) {
    let mut sums = std::collections::BTreeMap::new();
    let mut records = 0;
    for number in 1..=last {
        let step = life.runtime.debug_step_of(request, &wanted(number)).unwrap();
        assert_eq!((step.step, step.hash), (number, step.stored_hash));
        assert_eq!(step.base.step() + step.replayed + 1, number);
        // 40 rows in each step; of the sums each that changed was what the step before had left.
        assert_eq!((step.inputs.len(), step.inputs[0].rows, step.inputs[0].shown.len()), (1, 40, 5));
        assert_eq!((step.inputs[0].from, step.inputs[0].to), (number as i64 * 40 - 40, number as i64 * 40));
        for entry in &step.operators[2].probed.state.entries {
            assert_eq!(sums.get(&shown(&entry.key)), entry.before.as_deref().map(shown).as_ref());
        }
        for (key, sum) in after(&step) {
            match sum {
                Some(sum) => sums.insert(key, sum),
                None => sums.remove(&key),
            };
        }
        // What went out lies where the step says.
        let sink = &step.operators[3].probed;
        for written in &step.written {
            assert_eq!((written.from, written.to), (records, records + sink.run.rows_out as i64));
            records = written.to;
        }
        assert!(step.lsn.is_some());
        let watermark = step.operators[1].probed.run.watermark;
        assert_eq!(watermark, Some(number as i64 * 40 - 1));
        assert_eq!(step.operators[1].probed.watermark_before, (number > 1).then(|| number as i64 * 40 - 41));
    }
    let topic = life.log.topic(TOPIC).unwrap();
    assert_eq!(records, life.log.bounds(topic.partitions[0]).unwrap().high_watermark.0);
    assert!(records > 0);
}

#[test]
fn every_step_can_be_looked_at_while_the_job_is_under_way_after_a_restart_and_when_it_has_ended() {
    let world = SimOs::new(31);
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 11));
    look_at_all(&life, &request(&life, 1), 11);
    drop(machine);
    life.end();

    let life = Life::begin(&world, &Input::default());
    look_at_all(&life, &request(&life, 1), 11);
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 3));
    look_at_all(&life, &request(&life, 1), 14);
    assert!(go_on(&mut machine, 1000));
    assert_eq!(life.results(), expected(&Input::default()), "nobody has noticed");
    drop(machine);
    // Its state is gone, and the log has all of its steps.
    let known = life.runtime.known_steps("sums", None).unwrap();
    assert_eq!((known.last_step, known.covered.len()), (25, 1));
    assert_eq!((&known.covered[0].base, known.covered[0].last), (&Base::Begin, 25));
    let last = life.runtime.debug_step_of(&request(&life, 1), &wanted(25)).unwrap();
    assert!(last.inputs[0].finished && last.hash == last.stored_hash);
    assert_eq!(last.watermark_ms, Some(i64::MAX));
    assert_eq!(world.os().disk.list(Path::new("/data/debug")).unwrap(), Vec::<String>::new());
    life.end();
}

#[test]
fn as_many_snapshots_are_kept_as_are_wanted_and_their_steps_begin_there() {
    let world = SimOs::new(32);
    let bases = |life: &Life| -> Vec<(Base, u64, u64)> {
        let known = life.runtime.known_steps("sums", None).unwrap().covered;
        known.into_iter().map(|covered| (covered.base, covered.first, covered.last)).collect()
    };
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(request(&life, 3)).unwrap();
    // A snapshot after every four steps.
    assert!(!go_on(&mut machine, 6));
    assert_eq!(bases(&life), [(Base::Begin, 1, 4), (Base::Snapshot(4), 5, 6)]);
    assert!(!go_on(&mut machine, 8));
    let snapshots = [(Base::Snapshot(4), 5, 8), (Base::Snapshot(8), 9, 12), (Base::Snapshot(12), 13, 14)];
    let found = bases(&life);
    // The log has the steps from the begin too.
    assert_eq!(found[0], (Base::Begin, 1, 14));
    assert_eq!(found[1..], snapshots);
    let step = life.runtime.debug_step_of(&request(&life, 3), &wanted(11)).unwrap();
    assert_eq!((step.base, step.replayed), (Base::Snapshot(8), 2));
    drop(machine);
    life.end();

    let life = Life::begin(&world, &Input::default());
    assert_eq!(bases(&life)[1..], snapshots, "they are there after a restart");
    look_at_all(&life, &request(&life, 3), 14);
    let mut machine = life.runtime.machine(request(&life, 3)).unwrap();
    assert!(!go_on(&mut machine, 3));
    let later = [(Base::Snapshot(8), 9, 12), (Base::Snapshot(12), 13, 16), (Base::Snapshot(16), 17, 17)];
    assert_eq!(bases(&life)[1..], later, "and the oldest goes for a new one");
    drop(machine);
    life.end();

    // Whoever wants fewer has fewer, and the runs of the others go with them.
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 4));
    assert_eq!(bases(&life)[1..], [(Base::Snapshot(20), 21, 21)]);
    let folder = Path::new("/data/state");
    let disk = &world.os().disk;
    let state = folder.join(&disk.list(folder).unwrap()[0]);
    let names = disk.list(&state).unwrap();
    assert_eq!(names.iter().filter(|name| name.contains("snapshot")).count(), 1, "{names:?}");
    assert!(!names.iter().any(|name| name.contains("steps")), "{names:?}");
    assert!(go_on(&mut machine, 1000));
    assert_eq!(life.results(), expected(&Input::default()));
    assert_eq!(disk.list(&state).unwrap(), Vec::<String>::new(), "an ended job leaves nothing");
    drop(machine);
    life.end();
}

#[test]
fn a_savepoint_is_a_state_to_begin_with_and_another_jobs_is_not() {
    let world = SimOs::new(33);
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 5));
    let ticket = machine.savepoint(Path::new(TARGET)).unwrap();
    let savepoint = ticket.wait_timeout(0).unwrap().unwrap();
    assert!(!go_on(&mut machine, 5));
    let with = StepWanted { savepoint: Some(savepoint.folder.clone()), ..wanted(7) };
    let step = life.runtime.debug_step_of(&request(&life, 1), &with).unwrap();
    assert_eq!((step.base, step.replayed, step.hash), (Base::Savepoint(5), 1, step.stored_hash));
    // The nearest state counts.
    let with = StepWanted { step: 9, ..with };
    let step = life.runtime.debug_step_of(&request(&life, 1), &with).unwrap();
    assert_eq!((step.base, step.replayed), (Base::Snapshot(8), 0));
    drop(machine);
    life.end();
    let other = SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() };
    let life = Life::begin_in(&other, &Input::default(), "/other".into());
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 7));
    let with = StepWanted { step: 7, ..with };
    let error = life.runtime.debug_step_of(&request(&life, 1), &with).unwrap_err();
    assert!(matches!(error, RuntimeError::Savepoint { .. }), "{error}");
    drop(machine);
    life.end();
}

#[test]
fn what_cannot_be_run_again_says_why() {
    let world = SimOs::new(34);
    let life = Life::begin(&world, &Input::default());
    let mut machine = life.runtime.machine(request(&life, 1)).unwrap();
    assert!(!go_on(&mut machine, 6));
    let failure = |request: &JobRequest, step| {
        life.runtime.debug_step_of(request, &wanted(step)).unwrap_err().to_string()
    };
    let own = request(&life, 1);
    for step in [0, 7] {
        let words = failure(&own, step);
        assert!(words.contains(&format!("step {step} of job 'sums' cannot be run again")), "{words}");
        assert!(words.contains("steps that can: 1 to 6, 5 to 6"), "{words}");
    }
    let other = JobRequest { fingerprint: "another statement".into(), ..request(&life, 1) };
    assert!(failure(&other, 1).contains("another form of this statement"));
    let stranger = JobRequest { name: "stranger".into(), ..request(&life, 1) };
    assert!(failure(&stranger, 1).contains("there is no job 'stranger'"));
    assert!(matches!(life.runtime.debug_step("sums", &wanted(1)), Err(RuntimeError::NoPlan { .. })));
    drop(machine);
    life.end();
    // The source gives other rows than it gave: what was noticed in a recovery is noticed here.
    let shifted = Input { shift: 1, ..Input::default() };
    let life = Life::begin(&world, &shifted);
    let error = life.runtime.debug_step_of(&request(&life, 1), &wanted(4)).unwrap_err();
    assert!(matches!(error, RuntimeError::RerunDiffers { step: 2, .. }), "{error}");
    life.end();
}

#[test]
fn a_job_is_looked_at_while_it_runs_and_its_snapshots_come_and_go() {
    let world = SimOs::new(35);
    let input = Input { rows: 20_000, ..Input::default() };
    let life = Life::begin(&world, &input);
    let mut own = life.request(None);
    (own.options.snapshot_steps_max, own.options.background) = (1, true);
    let Submitted::Running(handle) = life.runtime.submit(own).unwrap() else { panic!("it is new") };
    let mut looked = 0;
    while !handle.wait_timeout(0) || looked == 0 {
        let last = life.runtime.journal().job("sums").map_or(0, |state| state.last_step);
        if last == 0 {
            continue;
        }
        match life.runtime.debug_step("sums", &wanted(last)) {
            Ok(step) => {
                assert_eq!((step.step, step.hash), (last, step.stored_hash));
                looked += 1;
            }
            // A snapshot of this very step has come, and the log is not durable up to it yet.
            Err(RuntimeError::NotCovered { .. }) => {}
            Err(error) => panic!("step {last}: {error}"),
        }
    }
    assert!(handle.join().unwrap());
    assert_eq!(life.results(), expected(&input), "nobody has noticed");
    life.end();
}
