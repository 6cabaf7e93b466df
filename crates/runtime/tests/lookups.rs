//! Lookup joins in jobs: nothing is lost and nothing comes twice, whenever the process dies and whatever the outside does.

#[allow(dead_code, reason = "other tests use the rest of the fixture")]
mod pipe;
mod world;

use dataflow::plan::{LookupAsking, LookupCache, LookupRetry, Plan};
use os::sim::SimOs;
use pipe::{Outside, Pipe};
use runtime::{JobHandle, JobRequest, JobState, Machine, RuntimeError, Savepoint, Submitted, Turn};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use world::{Input, Life};

const COUNT: i64 = 40;

const CACHE: LookupCache = LookupCache {
    keys_max: Some(1000),
    expire_after_write_ms: None,
    expire_after_access_ms: None,
    caches_missing_keys: true,
};

const ASYNC: LookupAsking = LookupAsking { is_async: true, capacity: 12, ..LookupAsking::DEFAULT };

fn begin_in(world: &SimOs, data: &str) -> (Life, Pipe) {
    let life = Life::begin_in(world, &Input::default(), PathBuf::from(data));
    let pipe = Pipe::new(world, &life.log, true);
    (life, pipe)
}

fn begin(world: &SimOs) -> (Life, Pipe) {
    begin_in(world, "/data")
}

fn plan() -> Arc<Plan> {
    pipe::looked_up(true, None, LookupAsking::DEFAULT)
}

/// What the results say is the number, without what the outside said of it.
fn numbers(results: &[i64]) -> Vec<i64> {
    results.iter().map(|result| result / 1000).collect()
}

fn expected() -> Vec<i64> {
    (0..COUNT).flat_map(|number| std::iter::repeat_n(number, Outside::rows(number))).collect()
}

/// Turns until the end; answers become durable meanwhile.
fn finish(machine: &mut Machine) {
    for _ in 0..200_000 {
        if machine.turn().unwrap() == Turn::Finished {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the job does not end");
}

fn forked(world: &SimOs) -> SimOs {
    SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() }
}

#[test]
fn a_process_that_dies_between_question_answer_step_and_commit_loses_nothing_and_doubles_nothing() {
    for cache in [None, Some(CACHE)] {
        let world = SimOs::new(31);
        let (life, pipe) = begin(&world);
        pipe.feed(&(0..COUNT).collect::<Vec<i64>>(), 7);
        // The disk while a question is under way, at every point of a commit, and after every turn.
        let seen: Arc<Mutex<Vec<SimOs>>> = Arc::default();
        let look = {
            let (seen, world) = (seen.clone(), world.clone());
            move || seen.lock().unwrap().push(forked(&world))
        };
        *pipe.outside.watch.lock().unwrap() = Some(Box::new(look.clone()));
        let mut request = pipe.request(pipe::looked_up(true, cache, LookupAsking::DEFAULT));
        request.options.step_rows_max = 5;
        let at_commit = look.clone();
        request.observer = Some(Arc::new(move |_, _| at_commit()));
        let mut machine = life.runtime.machine(request).unwrap();
        let mut is_finished = false;
        let mut idle = 0;
        while !is_finished {
            match machine.turn().unwrap() {
                Turn::Finished => is_finished = true,
                Turn::Stepped => idle = 0,
                Turn::Idle => idle += 1,
            }
            // While nothing moves, the disk does not either.
            if idle < 3 {
                look();
            }
        }
        drop(machine);
        assert_eq!(numbers(&pipe.topic("topic")), expected());
        *pipe.outside.watch.lock().unwrap() = None;
        life.end();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.len() > 40, "{}", seen.len());
        for (number, world) in seen.iter().enumerate() {
            for cut in [false, true] {
                let world = forked(world);
                if cut {
                    world.disk.power_cut(number as u64);
                }
                let (life, pipe) = begin(&world);
                if pipe_is_empty(&life) {
                    continue;
                }
                let before = pipe.topic("topic");
                // The outside is not what it was.
                pipe.outside.asked.lock().unwrap().extend([-1; 300]);
                let mut request = pipe.request(pipe::looked_up(true, cache, LookupAsking::DEFAULT));
                request.options.step_rows_max = 5;
                match life.runtime.submit(request.clone()).unwrap() {
                    Submitted::FinishedBefore(_) => {}
                    Submitted::Running(handle) => assert!(handle.join().unwrap()),
                }
                let after = pipe.topic("topic");
                assert_eq!(numbers(&after), expected(), "disk {number}, power cut: {cut}");
                assert_eq!(after[..before.len()], before, "disk {number}, power cut: {cut}");
                // Its answers go with a job.
                assert!(life.log.topics().iter().all(|topic| !topic.name.starts_with("__lookup")));
                life.end();
            }
        }
    }
}

/// The disk is from before the input was durable.
fn pipe_is_empty(life: &Life) -> bool {
    life.log.topic(pipe::INPUT).is_none()
}

/// A job whose first rows have been read and asked for; they wait for the answers, which lie in the topic.
fn waiting(world: &SimOs) -> (Life, Pipe, JobRequest, Machine) {
    let (life, pipe) = begin(world);
    pipe.feed(&(0..COUNT).collect::<Vec<i64>>(), 7);
    let request = JobRequest { observer: Some(Arc::new(|_, _| {})), ..pipe.request(plan()) };
    let mut machine = life.runtime.machine(request.clone()).unwrap();
    assert_eq!(machine.turn().unwrap(), Turn::Stepped);
    (life, pipe, request, machine)
}

#[test]
fn an_answer_that_lies_in_the_topic_is_not_asked_for_again() {
    let world = SimOs::new(32);
    let (life, pipe, request, machine) = waiting(&world);
    drop(machine);
    let asked = pipe.outside.asked.lock().unwrap().clone();
    assert_eq!(asked, (0..16).collect::<Vec<i64>>());
    let mut machine = life.runtime.machine(request).unwrap();
    finish(&mut machine);
    let mut all = pipe.outside.asked.lock().unwrap().clone();
    all.sort_unstable();
    assert_eq!(all, (0..COUNT).collect::<Vec<i64>>());
    drop(machine);
    life.end();
}

#[test]
fn rows_that_wait_go_on_from_a_savepoint_elsewhere() {
    let world = SimOs::new(33);
    let (life, pipe, _, mut machine) = waiting(&world);
    let ticket = machine.savepoint(Path::new("/savepoints")).unwrap();
    let savepoint: Savepoint =
        ticket.wait_timeout(0).expect("it is written at once without threads").unwrap();
    assert_eq!(pipe.topic("topic"), [0; 0]);
    drop(machine);
    life.end();
    let (life, pipe) = begin_in(&world, "/other");
    pipe.feed(&(0..COUNT).collect::<Vec<i64>>(), 7);
    let mut request = pipe.request(plan());
    request.name = "another".into();
    request.from_savepoint = Some(savepoint.folder);
    let Submitted::Running(handle) = life.runtime.submit(request).unwrap() else { panic!("it is new") };
    assert!(handle.join().unwrap());
    assert_eq!(numbers(&pipe.topic("topic")), expected());
    life.end();
}

#[test]
fn a_changed_job_keeps_its_answers_and_a_lookup_is_not_made_anew() {
    let world = SimOs::new(30);
    let (life, pipe, request, machine) = waiting(&world);
    drop(machine);
    // The outside would say something else today.
    let of_answers = Pipe::changed(request.clone(), pipe::summed(&plan(), 3));
    let refused = life.runtime.machine(of_answers).err().expect("it is refused");
    assert!(matches!(refused, RuntimeError::ChangeImpossible { .. }), "{refused}");
    let of_numbers = Pipe::changed(request, pipe::summed(&plan(), 0));
    let mut machine = life.runtime.machine(of_numbers).unwrap();
    finish(&mut machine);
    assert_eq!(numbers(&pipe.topic("topic")), expected());
    assert_eq!(pipe.shown.lock().unwrap().last(), Some(&(0..COUNT).sum()));
    let mut asked = pipe.outside.asked.lock().unwrap().clone();
    asked.sort_unstable();
    assert_eq!(asked, (0..COUNT).collect::<Vec<i64>>(), "each is asked for once");
    drop(machine);
    life.end();
}

fn run(life: &Life, pipe: &Pipe, plan: Arc<Plan>) -> JobHandle {
    match life.runtime.submit(pipe.request(plan)).expect("the job is taken") {
        Submitted::Running(handle) => handle,
        Submitted::FinishedBefore(_) => panic!("the job had not finished"),
    }
}

/// Lets the world's time pass until the job has ended.
fn pass(world: &SimOs, handle: JobHandle) -> bool {
    for _ in 0..4000 {
        if handle.wait_timeout(2) {
            return handle.join().unwrap();
        }
        world.clock.advance_ms(50);
    }
    panic!("the job does not end");
}

#[test]
fn many_ask_at_once_and_troubles_pass() {
    for ordered in [true, false] {
        for troubles in [0, 4] {
            let world = SimOs::new(34);
            let (life, pipe) = begin(&world);
            pipe.feed(&(0..COUNT).collect::<Vec<i64>>(), 7);
            pipe.outside.trouble.left.store(troubles, Ordering::SeqCst);
            let handle = run(&life, &pipe, pipe::looked_up(ordered, None, ASYNC));
            let watch = handle.watch();
            assert!(pass(&world, handle));
            let mut results = numbers(&pipe.topic("topic"));
            if !ordered {
                results.sort_unstable();
            }
            assert_eq!(results, expected());
            // A call that fails is tried again; the job goes on.
            assert_eq!(watch.status().restarts, 0);
            // The answers are nobody's input.
            assert_eq!(watch.status().progress.scans.len(), 1);
            assert_eq!(watch.status().progress.scans[0].rows, COUNT as u64);
            life.end();
        }
    }
}

/// What a job ends with whose outside cannot do its work, while the world's time passes.
fn failure(world: &SimOs, handle: JobHandle) -> String {
    let watch = handle.watch();
    for _ in 0..4000 {
        if handle.wait_timeout(2) {
            let error = handle.join().unwrap_err().to_string();
            assert_eq!(watch.status().state, JobState::Failed);
            return error;
        }
        world.clock.advance_ms(50);
    }
    panic!("the job does not end");
}

#[test]
fn a_call_that_fails_to_the_last_fails_the_job() {
    let world = SimOs::new(35);
    let (life, pipe) = begin(&world);
    pipe.feed(&[1, 2, 3], 3);
    pipe.outside.is_away.store(true, Ordering::SeqCst);
    let error = failure(&world, run(&life, &pipe, plan()));
    assert!(error.contains("the outside is away"), "{error}");
    // Once, and as often again as a lookup is tried again by default.
    assert_eq!(pipe.outside.calls.load(Ordering::SeqCst), 4);
    life.end();
}

#[test]
fn a_driver_that_panics_fails_the_job() {
    let world = SimOs::new(37);
    let (life, pipe) = begin(&world);
    pipe.feed(&[1, 2, 3], 3);
    *pipe.outside.watch.lock().unwrap() = Some(Box::new(|| panic!("the driver has a bug")));
    let error = failure(&world, run(&life, &pipe, plan()));
    assert!(error.contains("the driver has a bug"), "{error}");
    life.end();
}

#[test]
fn an_answer_that_takes_too_long_fails_the_job() {
    for (taken_ms, is_late) in [(900, false), (1100, true)] {
        let world = SimOs::new(38);
        let (life, pipe) = begin(&world);
        pipe.feed(&[1, 2, 3], 3);
        let clock = world.clock.clone();
        *pipe.outside.watch.lock().unwrap() = Some(Box::new(move || clock.advance_ms(taken_ms)));
        let asking = LookupAsking { timeout_ms: 1000, ..LookupAsking::DEFAULT };
        let handle = run(&life, &pipe, pipe::looked_up(true, None, asking));
        match is_late {
            false => assert!(handle.join().unwrap()),
            true => {
                let error = handle.join().unwrap_err().to_string();
                assert!(
                    error.contains("a lookup took taken_ms=1100 and may take timeout_ms=1000"),
                    "{error}"
                );
            }
        }
        life.end();
    }
}

#[test]
fn jobs_whose_names_differ_in_what_a_topic_cannot_have_do_not_share_answers() {
    let world = SimOs::new(39);
    let (life, pipe) = begin(&world);
    pipe.feed(&(0..COUNT).collect::<Vec<i64>>(), 7);
    let machine = |name: &str| {
        let mut request = pipe.request(plan());
        request.name = name.into();
        request.observer = Some(Arc::new(|_, _| {}));
        life.runtime.machine(request).unwrap()
    };
    let names = ["a b", "a_b", "\u{4e16}", "\u{754c}"];
    let mut machines = names.map(machine);
    let topics = || life.log.topics().iter().filter(|topic| topic.name.starts_with("__lookup")).count();
    assert_eq!(topics(), names.len());
    for (ended, machine) in machines.iter_mut().enumerate() {
        finish(machine);
        // It takes its own with it.
        assert_eq!(topics(), names.len() - ended - 1);
    }
    let mut results = numbers(&pipe.topic("topic"));
    results.sort_unstable();
    let expected = expected();
    assert_eq!(results, expected.iter().flat_map(|number| [*number; 4]).collect::<Vec<i64>>());
    drop(machines);
    life.end();
}

#[test]
fn a_key_that_is_missed_is_asked_for_again_as_often_as_the_hint_says() {
    let retry = |attempts_max| Some(LookupRetry { delay_ms: 10, attempts_max });
    for (attempts_max, found) in [(3, true), (2, false)] {
        let world = SimOs::new(36);
        let (life, pipe) = begin(&world);
        pipe.feed(&[2, 3, 10], 3);
        pipe.outside.misses.store(2, Ordering::SeqCst);
        let asking = LookupAsking { retry: retry(attempts_max), ..ASYNC };
        assert!(pass(&world, run(&life, &pipe, pipe::looked_up(true, None, asking))));
        assert_eq!(numbers(&pipe.topic("topic")), if found { vec![2, 3] } else { vec![] });
        let mut asked = pipe.outside.asked.lock().unwrap().clone();
        asked.sort_unstable();
        let times = |number| std::iter::repeat_n(number, attempts_max as usize);
        assert_eq!(asked, times(2).chain(times(3)).chain(times(10)).collect::<Vec<i64>>());
        life.end();
    }
}
