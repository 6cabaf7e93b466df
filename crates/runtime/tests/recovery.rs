//! Jobs that are stopped, killed and cut off: the results are those of an undisturbed run, or a clear error.

mod world;

use os::Disk;
use os::sim::SimOs;
use runtime::{CommitPoint, Observer, RuntimeError, Submitted, Turn};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use world::{Input, Life, expected};

fn forked(world: &SimOs) -> SimOs {
    SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() }
}

#[test]
fn an_undisturbed_job_writes_what_it_should_and_only_once() {
    let world = SimOs::new(1);
    let input = Input::default();
    let life = Life::begin(&world, &input);
    life.run(life.request(None)).unwrap();
    assert_eq!(life.results(), expected(&input));
    life.end();
    let again = Life::begin(&world, &input);
    let submitted = again.runtime.submit(again.request(None)).unwrap();
    let Submitted::FinishedBefore(counts) = submitted else { panic!("the job had finished") };
    assert_eq!(counts.rows_in.values().sum::<u64>(), 1000);
    assert_eq!(again.results(), expected(&input));
    again.end();
}

#[test]
fn a_job_leaves_one_snapshot_while_it_lives_and_nothing_when_it_has_ended() {
    let world = SimOs::new(6);
    let input = Input::default();
    let life = Life::begin(&world, &input);
    let folder = PathBuf::from(format!("/data/state/sums-{:016x}", state::hash(b"sums")));
    let files = || world.disk.list(&folder).unwrap();
    let mut machine = life.runtime.machine(life.request(Some(Arc::new(|_, _| {})))).unwrap();
    let mut steps = 0;
    while machine.turn().unwrap() != Turn::Finished {
        steps += 1;
        let snapshots = files().iter().filter(|name| name.ends_with(".snapshot")).count();
        // The one before goes when the new one is known to be durable.
        assert!(snapshots <= 2, "step {steps}: {:?}", files());
        assert!(files().len() < 20, "step {steps}: {:?}", files());
    }
    assert!(steps > 20);
    drop(machine);
    assert_eq!(files(), [""; 0]);
    life.end();
}

/// The disk as it was each time the job passed a point of its commit path.
fn disks_at_commit_points(world: &SimOs, input: &Input) -> Vec<(CommitPoint, u64, SimOs)> {
    let seen: Arc<Mutex<Vec<(CommitPoint, u64, SimOs)>>> = Arc::default();
    let (disks, running) = (seen.clone(), world.clone());
    let observer: Observer =
        Arc::new(move |point, step| disks.lock().unwrap().push((point, step, forked(&running))));
    let life = Life::begin(world, input);
    life.run(life.request(Some(observer))).unwrap();
    assert_eq!(life.results(), expected(input));
    life.end();
    let mut seen = seen.lock().unwrap();
    std::mem::take(&mut *seen)
}

#[test]
fn a_power_cut_at_any_commit_point_loses_nothing_and_doubles_nothing() {
    let input = Input::default();
    let disks = disks_at_commit_points(&SimOs::new(2), &input);
    for (_, point) in CommitPoint::ALL {
        assert!(disks.iter().any(|(seen, ..)| *seen == point), "no step passed {point:?}");
    }
    for (number, (point, step, world)) in disks.iter().enumerate() {
        // Once as the process would leave the disk when killed, once with the power gone as well.
        for cut in [false, true] {
            let world = forked(world);
            if cut {
                world.disk.power_cut(number as u64);
            }
            let life = Life::begin(&world, &input);
            life.run(life.request(None)).unwrap();
            assert_eq!(life.results(), expected(&input), "{point:?} of step {step}, power cut: {cut}");
            life.end();
        }
    }
}

#[test]
fn a_job_that_is_stopped_goes_on_where_it_was() {
    let world = SimOs::new(3);
    let input = Input { rows: 20_000, ..Input::default() };
    let mut lives = 0;
    loop {
        lives += 1;
        let life = Life::begin(&world, &input);
        let Submitted::Running(handle) = life.runtime.submit(life.request(None)).unwrap() else { break };
        assert!(matches!(life.runtime.submit(life.request(None)), Err(RuntimeError::Running { .. })));
        if lives < 6 {
            // Some steps of this life's own, then the stop.
            let begun = handle.progress().steps;
            while handle.progress().steps < begun + 20 && !handle.wait_timeout(1) {}
            handle.stop();
        }
        handle.join().unwrap();
        life.end();
    }
    assert!(lives > 6);
    let life = Life::begin(&world, &input);
    assert_eq!(life.results(), expected(&input));
    life.end();
}

/// A world in which the job was begun and is not done.
fn unfinished() -> SimOs {
    let input = Input::default();
    let disks = disks_at_commit_points(&SimOs::new(4), &input);
    // Steps 5 to 7 are in the journal behind the snapshot of step 4.
    let (_, _, world) = disks
        .into_iter()
        .find(|(point, step, _)| *point == CommitPoint::AfterCommit && *step == 7)
        .expect("the job has more than seven steps");
    world
}

fn error_of(world: &SimOs, input: &Input, change: impl FnOnce(&mut runtime::JobRequest)) -> String {
    let life = Life::begin(world, input);
    let mut request = life.request(None);
    change(&mut request);
    let error = life.run(request).unwrap_err().to_string();
    life.end();
    error
}

#[test]
fn what_is_no_longer_the_same_stops_the_job_before_it_writes() {
    let world = unfinished();
    let before = {
        let life = Life::begin(&forked(&world), &Input::default());
        let rows = life.results();
        life.end();
        rows
    };
    let file = error_of(&forked(&world), &Input { fingerprint: "v2".into(), ..Input::default() }, |_| {});
    assert_eq!(
        file,
        "job 'sums': 'numbers' changed since the job began (was v1, is v2); put the old content back, or start anew \
         with another --data directory"
    );
    let other = forked(&world);
    let replay = error_of(&other, &Input { shift: 1, ..Input::default() }, |_| {});
    assert!(replay.starts_with("job 'sums': step 5 gave other results at replay (hash "), "{replay}");
    let life = Life::begin(&other, &Input::default());
    assert_eq!(life.results(), before);
    life.end();
}

#[test]
fn the_journal_keeps_the_steps_since_the_last_snapshot() {
    // The journal of a finished job keeps no steps, that of an unfinished one keeps those since its snapshot.
    let life = Life::begin(&unfinished(), &Input::default());
    let state = life.runtime.journal().job("sums").unwrap();
    assert_eq!(state.snapshot.as_ref().map(|snapshot| snapshot.step), Some(4));
    assert_eq!(state.steps.iter().map(|step| step.number).collect::<Vec<_>>(), [5, 6, 7]);
    life.run(life.request(None)).unwrap();
    let state = life.runtime.journal().job("sums").unwrap();
    assert!(state.finished && state.steps.is_empty() && state.snapshot.is_none());
    life.end();
}
