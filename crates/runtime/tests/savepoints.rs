//! Savepoints: a job goes on from one, elsewhere and under another engine, as if nothing had happened.

mod world;

use os::sim::SimOs;
use runtime::journal::{LAYER, Record};
use runtime::{Machine, RuntimeError, Savepoint, Turn};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use world::{Input, Life, expected};

const TARGET: &str = "/savepoints";

/// Turns until the end, or `turns` of them.
fn go_on(machine: &mut Machine, turns: usize) -> bool {
    (0..turns).any(|_| machine.turn().unwrap() == Turn::Finished)
}

/// Begins the job, takes a savepoint after ten steps, and leaves the job unfinished a few steps later.
fn begun(world: &SimOs) -> (Savepoint, Vec<Vec<i64>>) {
    let input = Input::default();
    let life = Life::begin(world, &input);
    // With an observer every step is durable, and so visible, when its turn is over.
    let mut machine = life.runtime.machine(life.request(Some(Arc::new(|_, _| {})))).unwrap();
    assert!(!go_on(&mut machine, 10));
    let ticket = machine.savepoint(Path::new(TARGET)).unwrap();
    let savepoint = ticket.wait_timeout(0).expect("it is written at once without threads").unwrap();
    assert_eq!((savepoint.info.job.as_str(), savepoint.info.step), ("sums", 10));
    let before = life.results();
    assert!(!go_on(&mut machine, 4));
    drop(machine);
    life.end();
    (savepoint, before)
}

fn finish(life: &Life, savepoint: &Savepoint) -> Result<(), RuntimeError> {
    let mut request = life.request(None);
    request.from_savepoint = Some(savepoint.folder.clone());
    let mut machine = life.runtime.machine(request)?;
    assert!(go_on(&mut machine, 1000), "the job comes to its end");
    Ok(())
}

#[test]
fn a_job_goes_on_in_another_data_directory() {
    let world = SimOs::new(21);
    let (savepoint, mut rows) = begun(&world);
    assert_eq!(Savepoint::list(&world.os(), Path::new(TARGET)).unwrap().len(), 1);
    let elsewhere = Life::begin_in(&world, &Input::default(), PathBuf::from("/other"));
    finish(&elsewhere, &savepoint).unwrap();
    // What was written before the savepoint lies in the first directory, the rest in the second.
    rows.extend(elsewhere.results());
    rows.sort();
    assert_eq!(rows, expected(&Input::default()));
    elsewhere.end();
}

#[test]
fn a_job_that_began_with_a_savepoint_is_resumed_where_it_was_and_not_begun_again() {
    let world = SimOs::new(22);
    let (savepoint, mut rows) = begun(&world);
    let data = PathBuf::from("/other");
    let live = |turns: usize| {
        let life = Life::begin_in(&world, &Input::default(), data.clone());
        let mut request = life.request(None);
        request.from_savepoint = Some(savepoint.folder.clone());
        let mut machine = life.runtime.machine(request).unwrap();
        let ended = go_on(&mut machine, turns);
        drop(machine);
        let rows = life.results();
        life.end();
        (ended, rows)
    };
    assert!(!live(3).0);
    assert!(!live(3).0);
    let (ended, later) = live(1000);
    assert!(ended);
    rows.extend(later);
    rows.sort();
    assert_eq!(rows, expected(&Input::default()));
}

#[test]
fn another_engine_takes_up_a_job_from_its_savepoint_only() {
    let world = SimOs::new(23);
    let (savepoint, before) = begun(&world);
    // The journal says that another version of the engine began the job.
    let life = Life::begin(&world, &Input::default());
    let state = life.runtime.journal().job("sums").unwrap();
    let started = Record::Started {
        job: "sums".into(),
        instance: state.instance,
        engine_version: runtime::ENGINE_VERSION - 1,
        plan: state.plan,
        origin: 0,
        scans: state.scans.clone(),
    };
    life.log.append(|frame| frame.layer(LAYER, &started.encode())).unwrap();
    life.end();
    let life = Life::begin(&world, &Input::default());
    let refused = life.runtime.machine(life.request(None)).err().expect("old steps are not replayed");
    assert!(matches!(refused, RuntimeError::EngineChanged { .. }), "{refused}");
    assert!(refused.to_string().contains("savepoint"), "{refused}");
    finish(&life, &savepoint).unwrap();
    // What the old engine wrote behind the savepoint is written again, as after any step back.
    let mut rows = life.results();
    rows.dedup();
    assert_eq!(rows, expected(&Input::default()));
    assert!(rows.len() > before.len());
    life.end();
}

#[test]
fn a_savepoint_of_another_job_is_not_mixed_into_one_that_is_under_way() {
    let world = SimOs::new(24);
    let (savepoint, _) = begun(&world);
    let other = SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() };
    let life = Life::begin_in(&other, &Input::default(), PathBuf::from("/third"));
    let mut machine = life.runtime.machine(life.request(None)).unwrap();
    assert!(!go_on(&mut machine, 3));
    drop(machine);
    let error = finish(&life, &savepoint).unwrap_err();
    assert!(matches!(error, RuntimeError::Known { .. }), "{error}");
    life.end();
}

#[test]
fn damaged_savepoints_are_refused() {
    let world = SimOs::new(25);
    let (savepoint, _) = begun(&world);
    for name in ["savepoint", "state"] {
        let damaged = SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() };
        damaged.disk.flip(&savepoint.folder.join(name), 40, 0x20).unwrap();
        let life = Life::begin_in(&damaged, &Input::default(), PathBuf::from("/other"));
        let error = finish(&life, &savepoint).unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::Corrupt, "{name}: {error}");
        assert!(life.runtime.journal().job("sums").is_none(), "{name}: nothing was begun");
        life.end();
    }
}
