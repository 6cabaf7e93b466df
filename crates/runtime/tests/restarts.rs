//! Jobs that fail are run again when the error may pass, and can be looked at all the while.

#[allow(dead_code, reason = "other tests use the rest of the fixture")]
mod pipe;
mod world;

use os::sim::SimOs;
use pipe::{AWAY, FAILS, GOOD, Pipe};
use runtime::restart::ExponentialDelay;
use runtime::{JobHandle, JobRequest, JobState, RestartStrategy, RuntimeError, Submitted};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use world::{Input, Life};

const QUICK: RestartStrategy = RestartStrategy::ExponentialDelay(ExponentialDelay {
    initial_ms: 20,
    max_ms: 200,
    multiplier: 2.0,
    reset_threshold_ms: 3_600_000,
    jitter: 0.1,
    attempts_max: None,
});

const SLOW: RestartStrategy = RestartStrategy::FixedDelay { attempts: 1000, delay_ms: 3_600_000 };

fn begin(world: &SimOs, bounded: bool) -> (Life, Pipe) {
    let life = Life::begin(world, &Input::default());
    let pipe = Pipe::new(world, &life.log, bounded);
    (life, pipe)
}

fn request(pipe: &Pipe, sinks: &[&str], restart: RestartStrategy) -> JobRequest {
    let mut request = pipe.request(pipe::plan(sinks));
    request.options.restart = restart;
    request
}

fn submit(life: &Life, request: JobRequest) -> JobHandle {
    match life.runtime.submit(request).expect("the job is taken") {
        Submitted::Running(handle) => handle,
        Submitted::FinishedBefore(_) => panic!("the job had not finished"),
    }
}

/// Lets the world's time pass until something has come about; a bound that is never reached unless it fails.
fn pass_until(world: &SimOs, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..4000 {
        if is_so() {
            return;
        }
        world.clock.advance_ms(5);
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    panic!("it never came to pass that {what}");
}

fn state(life: &Life) -> JobState {
    life.runtime.find(pipe::JOB).expect("the job is known").state
}

fn numbers() -> Vec<i64> {
    (0..200).collect()
}

#[test]
fn troubles_that_pass_cost_no_row_and_those_of_the_input_a_restart_each() {
    for background in [false, true] {
        for (troubles_of_source, troubles_of_outbox) in [(5, 0), (0, 4), (3, 3)] {
            let context = format!("background {background}: {troubles_of_source}, {troubles_of_outbox}");
            let world = SimOs::new(21);
            let (life, pipe) = begin(&world, true);
            pipe.feed(&numbers(), 3);
            pipe.source_trouble.left.store(troubles_of_source, Ordering::SeqCst);
            pipe.outbox_trouble.left.store(troubles_of_outbox, Ordering::SeqCst);
            let mut request = request(&pipe, &["topic", "outbox"], QUICK);
            request.options.background = background;
            let handle = submit(&life, request);
            pass_until(&world, "the job ends", || handle.wait_timeout(0));
            let watch = handle.watch();
            assert!(handle.join().unwrap(), "{context}");
            assert_eq!(pipe.topic("topic"), numbers(), "{context}");
            assert_eq!(pipe.target(), numbers(), "{context}");
            let status = watch.status();
            // A target that is away is tried again without the job.
            assert_eq!(status.restarts, u64::from(troubles_of_source), "{context}");
            if troubles_of_source == 0 {
                let outbox = &status.progress.sinks[1];
                assert_eq!(outbox.failures, u64::from(troubles_of_outbox), "{context}");
                assert_eq!((outbox.waiting_records, &outbox.failure), (0, &None), "{context}");
            }
            assert_eq!(status.failures.len() as u64, status.restarts, "{context}");
            for (index, failure) in status.failures.iter().enumerate() {
                assert_eq!(failure.number, index as u64 + 1);
                assert!(failure.reason.ends_with(" is away"), "{context}: {}", failure.reason);
                let delay_ms = failure.restart_after_ms.expect("it was run again");
                assert!((20..=200).contains(&delay_ms), "{context}: {delay_ms}");
            }
            assert_eq!(status.state, JobState::Finished);
            // The counters are those of one run.
            assert_eq!(status.progress.scans[0].rows, 200, "{context}");
            assert_eq!(status.progress.sinks[0].rows, 200, "{context}");
            assert_eq!(status.progress.rows_before, Some(0), "{context}");
            life.end();
        }
    }
}

#[test]
fn what_cannot_pass_fails_the_job_at_once_and_it_stays_listed() {
    let world = SimOs::new(22);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1, 2], 1);
    pipe.source.store(FAILS, Ordering::SeqCst);
    let error = submit(&life, request(&pipe, &["topic"], QUICK)).join().unwrap_err();
    assert_eq!(error.to_string(), "these are no numbers");
    let status = life.runtime.find(pipe::JOB).unwrap();
    assert_eq!((status.state, status.restarts), (JobState::Failed, 0));
    assert_eq!(status.failures.len(), 1);
    assert_eq!(status.failures[0].restart_after_ms, None);
    assert!(status.ended_ms.is_some());
    assert!(matches!(life.runtime.stop(pipe::JOB), Err(RuntimeError::NotRunning { .. })));
    let savepoint = life.runtime.savepoint(pipe::JOB, Path::new("/data/savepoints"));
    assert!(matches!(savepoint, Err(RuntimeError::NotRunning { .. })));
    // Mended, it goes on in the same process under the same id.
    pipe.source.store(GOOD, Ordering::SeqCst);
    let handle = submit(&life, request(&pipe, &["topic"], QUICK));
    pass_until(&world, "the rows are there", || pipe.topic("topic") == [1, 2]);
    let again = life.runtime.find(&status.id).expect("the id is the job's");
    assert_eq!((again.name.as_str(), again.state), (pipe::JOB, JobState::Running));
    assert!(again.failures.is_empty());
    life.runtime.stop(&status.id).unwrap();
    assert!(!handle.join().unwrap());
    assert_eq!(state(&life), JobState::Canceled);
    life.end();
}

#[test]
fn a_sink_that_cannot_be_asked_what_it_has_is_not_tried_again() {
    let world = SimOs::new(23);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1], 1);
    pipe.direct.store(FAILS, Ordering::SeqCst);
    let error = submit(&life, request(&pipe, &["direct"], QUICK)).join().unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Unavailable);
    assert_eq!(life.runtime.find(pipe::JOB).unwrap().restarts, 0);
    life.end();
}

#[test]
fn a_strategy_that_is_used_up_ends_the_job_with_the_last_failure() {
    let world = SimOs::new(24);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&numbers(), 10);
    pipe.outbox.store(FAILS, Ordering::SeqCst);
    let restart = RestartStrategy::FixedDelay { attempts: 2, delay_ms: 10 };
    let handle = submit(&life, request(&pipe, &["outbox"], restart));
    pass_until(&world, "the job ends", || handle.wait_timeout(0));
    assert_eq!(handle.join().unwrap_err().to_string(), "the target is gone");
    let status = life.runtime.find(pipe::JOB).unwrap();
    assert_eq!((status.state, status.restarts), (JobState::Failed, 2));
    let delays: Vec<_> = status.failures.iter().map(|failure| failure.restart_after_ms).collect();
    assert_eq!(delays, [Some(10), Some(10), None]);
    life.end();
}

#[test]
fn a_stop_ends_the_wait_for_the_next_attempt() {
    let world = SimOs::new(25);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1, 2, 3], 1);
    pipe.source.store(AWAY, Ordering::SeqCst);
    let handle = submit(&life, request(&pipe, &["outbox"], SLOW));
    pass_until(&world, "the job waits", || state(&life) == JobState::Restarting);
    // A savepoint that is asked for now cannot be taken any more once the job is stopped.
    let ticket = life.runtime.savepoint(pipe::JOB, Path::new("/data/savepoints")).unwrap();
    assert!(ticket.wait_timeout(0).is_none());
    // The world's clock stands still: only the stop can end the wait.
    handle.stop();
    assert!(!handle.join().unwrap());
    assert_eq!(state(&life), JobState::Canceled);
    let told = ticket.wait_timeout(0).expect("those who wait are told");
    assert!(told.unwrap_err().to_string().contains("the job ended before"));
    life.end();
}

#[test]
fn other_jobs_go_on_while_one_waits() {
    let world = SimOs::new(26);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1], 1);
    let mut away = pipe.clone();
    away.source = Arc::new(AWAY.into());
    let waiting = submit(&life, request(&away, &["outbox"], SLOW));
    let mut other = request(&pipe, &["topic"], QUICK);
    other.name = "other".into();
    let other = submit(&life, other);
    pass_until(&world, "the job waits", || state(&life) == JobState::Restarting);
    pipe.feed(&[2, 3], 1);
    pass_until(&world, "the other job has all rows", || pipe.topic("topic") == [1, 2, 3]);
    assert_eq!(state(&life), JobState::Restarting);
    assert!(pipe.target().is_empty());
    let states: Vec<_> = life.runtime.jobs().into_iter().map(|job| (job.name, job.state)).collect();
    assert_eq!(states, [("other".into(), JobState::Running), ("pipe".into(), JobState::Restarting)]);
    // Its input is back, and the time comes.
    away.source.store(GOOD, Ordering::SeqCst);
    world.clock.advance_ms(3_600_000);
    pass_until(&world, "the target has all rows", || pipe.target() == [1, 2, 3]);
    for handle in [waiting, other] {
        handle.stop();
        assert!(!handle.join().unwrap());
    }
    life.end();
}

#[test]
fn jobs_of_earlier_lives_are_listed_as_the_journal_knows_them() {
    let world = SimOs::new(27);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&numbers(), 10);
    let mut done = request(&pipe, &["topic"], QUICK);
    done.name = "done".into();
    assert!(submit(&life, done).join().unwrap());
    // It fails after some steps.
    pipe.source_trouble.left.store(1000, Ordering::SeqCst);
    let handle = submit(&life, request(&pipe, &["outbox"], SLOW));
    pass_until(&world, "the job waits", || state(&life) == JobState::Restarting);
    handle.stop();
    assert!(!handle.join().unwrap());
    let before = life.runtime.jobs();
    life.end();
    let (life, _) = begin(&world, true);
    let after = life.runtime.jobs();
    let states: Vec<_> = after.iter().map(|job| (job.name.as_str(), job.state)).collect();
    assert_eq!(states, [("done", JobState::Finished), ("pipe", JobState::Suspended)]);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.id, after.id);
        assert_eq!(before.id.len(), 32);
        assert_eq!(before.progress.steps, after.progress.steps);
        assert_eq!(before.progress.scans[0].rows, after.progress.scans[0].rows);
        assert_eq!(before.snapshot_step, after.snapshot_step);
    }
    life.end();
}
