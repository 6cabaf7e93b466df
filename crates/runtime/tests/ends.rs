//! What an unfinished job reads stays until it has come to its end, or somebody has ended it for good.

#[allow(dead_code, reason = "other tests use the rest of the fixture")]
mod pipe;
mod world;

use base::ErrorKind;
use eventlog::LogError;
use os::sim::SimOs;
use pipe::{INPUT, JOB, Pipe};
use runtime::{JobState, Submitted};
use world::{Input, Life};

fn delete(life: &Life, topic: &str) -> Result<(), LogError> {
    life.log.append::<_, LogError>(|frame| frame.delete_topic(topic)).map(|_| ())
}

/// A job that has begun, made some steps, and does not run any more; its outbox holds rows.
fn begin(world: &SimOs) -> (Life, Pipe) {
    let life = Life::begin(world, &Input::default());
    let pipe = Pipe::new(world, &life.log, false);
    pipe.feed(&(0..100).collect::<Vec<i64>>(), 5);
    let mut request = pipe.request(pipe::plan(&["topic", "outbox"]));
    request.options.step_rows_max = 10;
    let mut machine = life.runtime.machine(request).unwrap();
    // The log's own thread makes the steps durable.
    while pipe.topic("topic").is_empty() {
        machine.turn().unwrap();
        std::thread::yield_now();
    }
    (life, pipe)
}

#[test]
fn the_input_and_the_outbox_of_an_unfinished_job_cannot_be_deleted() {
    let world = SimOs::new(41);
    let (life, _) = begin(&world);
    let outbox = format!("__outbox.{JOB}.2");
    assert!(life.log.topic(&outbox).unwrap().internal);
    let refused = |life: &Life, owners: [&str; 2]| {
        for (topic, owner) in [INPUT, &outbox].into_iter().zip(owners) {
            match delete(life, topic) {
                Err(LogError::Pinned { owner: pinned_by, .. }) => assert_eq!(pinned_by, owner),
                other => panic!("{topic}: {other:?}"),
            }
        }
    };
    refused(&life, ["job pipe", "the outbox of job pipe"]);
    life.end();
    // Another process knows it from the journal.
    let life = Life::begin(&world, &Input::default());
    refused(&life, ["unfinished job pipe", "the outbox of job pipe"]);
    life.end();
}

#[test]
fn a_job_that_is_ended_gives_up_what_it_kept_and_is_not_taken_up_again() {
    for restarts in [false, true] {
        let world = SimOs::new(42);
        let (mut life, mut pipe) = begin(&world);
        if restarts {
            life.end();
            life = Life::begin(&world, &Input::default());
            pipe = Pipe::new(&world, &life.log, false);
        }
        assert_eq!(life.runtime.find(JOB).unwrap().state, JobState::Suspended);
        life.runtime.end(JOB).unwrap();
        assert_eq!(life.runtime.find(JOB).unwrap().state, JobState::Finished);
        delete(&life, INPUT).unwrap();
        delete(&life, &format!("__outbox.{JOB}.2")).unwrap();
        life.end();
        let life = Life::begin(&world, &Input::default());
        let request = pipe.request(pipe::plan(&["topic", "outbox"]));
        assert!(matches!(life.runtime.submit(request).unwrap(), Submitted::FinishedBefore(_)));
        assert_eq!(life.runtime.end("no such job").unwrap_err().kind(), ErrorKind::NotFound);
        life.end();
    }
}

#[test]
fn a_job_that_runs_is_stopped_before_it_is_ended() {
    let world = SimOs::new(43);
    let life = Life::begin(&world, &Input::default());
    let pipe = Pipe::new(&world, &life.log, false);
    pipe.feed(&[1, 2, 3], 3);
    let Submitted::Running(handle) = life.runtime.submit(pipe.request(pipe::plan(&["topic"]))).unwrap()
    else {
        panic!("the job is new");
    };
    let refused = life.runtime.end(JOB).unwrap_err();
    assert_eq!(refused.to_string(), "job 'pipe' runs; stop it first");
    life.runtime.stop(JOB).unwrap();
    assert!(!handle.join().unwrap());
    life.runtime.end(JOB).unwrap();
    delete(&life, INPUT).unwrap();
    life.end();
}
