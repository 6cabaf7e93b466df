//! Each kind of sink gets each row once, whatever ends the process, and a sink that fails stops its job and says why.

#[allow(dead_code, reason = "other tests use the rest of the fixture")]
mod pipe;
mod world;

use os::sim::{SimOs, SplitMix};
use pipe::{FAILS, GOOD, PANICS, Pipe, REJECTED};
use runtime::{CommitPoint, JobHandle, JobRequest, Observer, RuntimeError, Submitted};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use world::{Input, Life};

const ALL: [&str; 3] = ["topic", "outbox", "direct"];

fn forked(world: &SimOs) -> SimOs {
    SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() }
}

fn begin(world: &SimOs, bounded: bool) -> (Life, Pipe) {
    let life = Life::begin(world, &Input::default());
    let pipe = Pipe::new(world, &life.log, bounded);
    (life, pipe)
}

fn submit(life: &Life, request: JobRequest) -> JobHandle {
    match life.runtime.submit(request).expect("the job is taken") {
        Submitted::Running(handle) => handle,
        Submitted::FinishedBefore(_) => panic!("the job had not finished"),
    }
}

/// Waits for something that another thread does; a bound that is never reached unless it fails.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    panic!("it never came to pass that {what}");
}

/// 0 to 199; every tenth record cannot be read.
fn input() -> Vec<i64> {
    (0..200).map(|number| if number % 10 == 9 { -number } else { number }).collect()
}

/// Numbers that can be read, and those that cannot.
fn expected() -> (Vec<i64>, Vec<i64>) {
    input().into_iter().partition(|number| *number >= 0)
}

fn assert_complete(pipe: &Pipe, context: &str) {
    let (good, bad) = expected();
    assert_eq!(pipe.topic("topic"), good, "{context}: topic");
    assert_eq!(pipe.target(), good, "{context}: outbox");
    assert_eq!(pipe.topic(REJECTED), bad, "{context}: dead letters");
}

type Deaths = Arc<Mutex<Vec<(CommitPoint, u64, SimOs, Vec<i64>)>>>;

/// Runs the job to its end; the disk and what had been shown, each time a commit point was passed.
fn deaths(world: &SimOs) -> Vec<(CommitPoint, u64, SimOs, Vec<i64>)> {
    let (life, pipe) = begin(world, true);
    pipe.feed(&input(), 7);
    let seen = Deaths::default();
    let mut request = pipe.request(pipe::plan(&ALL));
    let (deaths, running, shown) = (seen.clone(), world.clone(), pipe.shown.clone());
    request.observer = Some(Arc::new(move |point, step| {
        // First the screen, then the disk: what is shown later than the disk would be no loss of the disk's.
        let shown = shown.lock().unwrap().clone();
        deaths.lock().unwrap().push((point, step, forked(&running), shown));
    }));
    assert!(submit(&life, request).join().unwrap());
    assert_complete(&pipe, "undisturbed");
    assert_eq!(*pipe.shown.lock().unwrap(), expected().0);
    life.end();
    let mut seen = seen.lock().unwrap();
    std::mem::take(&mut *seen)
}

#[test]
fn every_sink_has_every_row_once_after_a_death_at_any_commit_point() {
    let deaths = deaths(&SimOs::new(11));
    for (_, point) in CommitPoint::ALL {
        assert!(deaths.iter().any(|(seen, ..)| *seen == point), "no step passed {point:?}");
    }
    for (number, (point, step, world, shown_before)) in deaths.iter().enumerate() {
        for cut in [false, true] {
            let world = forked(world);
            if cut {
                world.disk.power_cut(number as u64);
            }
            let context = format!("{point:?} of step {step}, power cut: {cut}");
            let (life, pipe) = begin(&world, true);
            let handle = submit(&life, pipe.request(pipe::plan(&ALL)));
            let watch = handle.watch();
            assert!(handle.join().unwrap(), "{context}");
            assert_complete(&pipe, &context);
            assert_eq!(watch.read().dead_letters, 20, "{context}");
            // A direct sink never shows a row twice, and what follows the last durable step is shown.
            let shown = pipe.shown.lock().unwrap().clone();
            assert!(expected().0.ends_with(&shown), "{context}: {shown:?}");
            assert!(shown.iter().all(|row| !shown_before.contains(row)), "{context}: {shown:?}");
            life.end();
        }
    }
}

#[test]
fn a_job_that_dies_again_and_again_comes_to_the_same_end() {
    for seed in 0..12 {
        let mut random = SplitMix(seed);
        let mut world = SimOs::new(100 + seed);
        {
            let (life, pipe) = begin(&world, true);
            pipe.feed(&input(), 1 + random.below(20) as usize);
            life.end();
        }
        let mut lives = 0;
        loop {
            lives += 1;
            let (life, pipe) = begin(&world, true);
            let mut request = pipe.request(pipe::plan(&ALL));
            request.options.step_rows_max = 1 + random.below(30) as usize;
            request.options.snapshot_steps_max = 1 + random.below(5);
            request.options.workers = 1 + random.below(3) as usize;
            // The life goes on behind its death, which nobody sees: the next one begins with the copy.
            let death = random.below(12);
            let copy: Arc<Mutex<Option<SimOs>>> = Arc::default();
            let (passed, taken, running) = (AtomicU64::new(0), copy.clone(), world.clone());
            request.observer = Some(Arc::new(move |_, _| {
                if passed.fetch_add(1, Ordering::SeqCst) == death {
                    *taken.lock().unwrap() = Some(forked(&running));
                }
            }));
            assert!(submit(&life, request).join().unwrap(), "seed {seed}, life {lives}");
            let next = copy.lock().unwrap().take();
            match next {
                Some(next) if lives < 40 => {
                    life.end();
                    world = next;
                    if random.one_in(2) {
                        world.disk.power_cut(random.next_u64());
                    }
                }
                _ => {
                    assert_complete(&pipe, &format!("seed {seed}, life {lives}"));
                    life.end();
                    break;
                }
            }
        }
        assert!(lives > 1, "seed {seed}: the job never died");
    }
}

#[test]
fn a_target_that_fails_stops_a_live_job_which_loses_nothing() {
    let world = SimOs::new(12);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1, 2, 3], 3);
    pipe.outbox.store(FAILS, Ordering::SeqCst);
    // Nobody stops the job and no record follows: it ends by itself.
    let handle = submit(&life, pipe.request(pipe::plan(&ALL)));
    let error = handle.join().unwrap_err();
    assert_eq!(error.to_string(), "the target is gone");
    assert_eq!(error.kind(), base::ErrorKind::Unavailable);
    assert!(pipe.target().is_empty());
    // The target is back; the job goes on in the same process.
    pipe.outbox.store(GOOD, Ordering::SeqCst);
    let handle = submit(&life, pipe.request(pipe::plan(&ALL)));
    pipe.feed(&[4], 1);
    eventually("the target has all", || pipe.target() == [1, 2, 3, 4]);
    handle.stop();
    assert!(!handle.join().unwrap());
    assert_eq!(pipe.topic("topic"), [1, 2, 3, 4]);
    life.end();
}

#[test]
fn a_job_whose_outboxes_would_be_those_of_another_is_refused() {
    let world = SimOs::new(18);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&[1, 2, 3], 3);
    let named = |name: &str, sinks: &[&str]| {
        let mut request = pipe.request(pipe::plan(sinks));
        request.name = name.into();
        submit(&life, request).join()
    };
    assert!(named("a_b", &["outbox"]).unwrap());
    let error = named("a b", &["outbox"]).unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Alike { job, other } if job == "a b" && other == "a_b"),
        "{error}"
    );
    assert_eq!(pipe.target(), [1, 2, 3]);
    assert!(named("a b", &["topic"]).unwrap());
    life.end();
}

#[test]
fn a_direct_sink_that_fails_stops_a_live_job() {
    let world = SimOs::new(13);
    let (life, pipe) = begin(&world, false);
    pipe.feed(&[1], 1);
    pipe.direct.store(FAILS, Ordering::SeqCst);
    let error = submit(&life, pipe.request(pipe::plan(&ALL))).join().unwrap_err();
    assert!(matches!(error, RuntimeError::Direct(_)), "{error}");
    assert_eq!(error.to_string(), "the screen is gone");
    life.end();
}

#[test]
fn a_sink_with_a_bug_fails_its_job_and_the_job_is_not_taken_for_finished() {
    for kind in ["outbox", "direct"] {
        for bounded in [true, false] {
            let world = SimOs::new(14);
            let (life, pipe) = begin(&world, bounded);
            pipe.feed(&input(), 7);
            let behaviour = if kind == "outbox" { &pipe.outbox } else { &pipe.direct };
            behaviour.store(PANICS, Ordering::SeqCst);
            let error = submit(&life, pipe.request(pipe::plan(&ALL))).join().unwrap_err();
            assert!(matches!(error, RuntimeError::Internal { .. }), "{kind}: {error}");
            assert!(error.to_string().contains("has a bug"), "{kind}: {error}");
            assert!(!life.runtime.journal().job(pipe::JOB).unwrap().finished, "{kind}");
            life.end();
        }
    }
}

#[test]
fn a_job_of_another_engine_version_is_not_taken_up() {
    let world = SimOs::new(15);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&input(), 7);
    let plan = pipe::plan(&["topic"]);
    let request = pipe.request(plan);
    let begun = runtime::journal::Record::Started {
        job: pipe::JOB.into(),
        instance: 1,
        engine_version: runtime::ENGINE_VERSION + 1,
        plan: state::hash(request.fingerprint.as_bytes()),
        origin: 0,
        scans: Vec::new(),
    };
    let append = |frame: &mut eventlog::Frame<'_>| frame.layer(runtime::journal::LAYER, &begun.encode());
    life.log.append(append).unwrap();
    life.end();
    let (life, pipe) = begin(&world, true);
    let error = submit(&life, pipe.request(pipe::plan(&["topic"]))).join().unwrap_err();
    assert!(matches!(error, RuntimeError::EngineChanged { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "job 'pipe' was begun by engine version {}, this is version {}; take a savepoint with the program that \
             began it and go on from there (--from-savepoint), or start anew with another --data directory",
            runtime::ENGINE_VERSION + 1,
            runtime::ENGINE_VERSION
        )
    );
    assert!(pipe.topic("topic").is_empty());
    life.end();
}

/// Runs the bounded plan with a look at every step before it is committed.
fn run_with(life: &Life, mut request: JobRequest, look: impl Fn(u64) + Send + Sync + 'static) {
    let observer: Observer = Arc::new(move |point, step| {
        if point == CommitPoint::BeforeCommit {
            look(step);
        }
    });
    request.observer = Some(observer);
    assert!(submit(life, request).join().unwrap());
}

#[test]
fn retention_keeps_what_a_recovery_would_read_and_no_more() {
    let world = SimOs::new(16);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&input(), 1);
    let starts: Arc<Mutex<Vec<(u64, i64)>>> = Arc::default();
    let (seen, looking, log) = (starts.clone(), pipe.clone(), life.log.clone());
    run_with(&life, pipe.request(pipe::plan(&["topic"])), move |step| {
        // All records are older than their topic keeps them; the results' topic keeps its own for longer.
        log.enforce_retention(1_000).unwrap();
        let start = log.bounds(looking.input()).unwrap().log_start.0;
        let error = looking.delete_before(start + 1).unwrap_err();
        assert!(error.to_string().contains("job pipe still needs"), "{error}");
        seen.lock().unwrap().push((step, start));
    });
    // A step takes 16 records, a snapshot covers 3 steps: what it covers may go once its record is
    // known to be durable, which is a step later at most.
    let starts = starts.lock().unwrap().clone();
    assert_eq!(starts.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
    for (step, start) in starts {
        let (known, covered) = ((step as i64 - 2).max(0) / 3 * 48, (step as i64 - 1) / 3 * 48);
        assert!(start == known || start == covered, "step {step}: the log starts at {start}");
    }
    assert_eq!(pipe.topic("topic"), self::expected().0);
    // The job has ended: nothing is needed any more.
    life.log.enforce_retention(1_000).unwrap();
    assert_eq!(life.log.bounds(pipe.input()).unwrap().log_start.0, 200);
    life.end();
}

#[test]
fn a_topic_that_is_scanned_twice_is_kept_for_the_scan_that_is_behind() {
    let world = SimOs::new(17);
    let (life, pipe) = begin(&world, true);
    pipe.feed(&(0..48).collect::<Vec<_>>(), 1);
    let mut request = pipe.request(pipe::joined());
    request.options.snapshot_steps_max = 1;
    let (looking, steps) = (pipe.clone(), Arc::new(AtomicU64::new(0)));
    let counted = steps.clone();
    // Steps 1 to 3 read the table's side; the stream's side stands at the start until step 4 is covered
    // by a snapshot that is known to be durable, which is a step later at most.
    run_with(&life, request, move |step| {
        counted.fetch_add(1, Ordering::SeqCst);
        let deleted = looking.delete_before(1);
        if step != 5 {
            assert_eq!(deleted.is_err(), step < 5, "step {step}: {deleted:?}");
        }
    });
    assert_eq!(steps.load(Ordering::SeqCst), 6);
    assert_eq!(pipe.topic("topic"), (0..48).collect::<Vec<_>>());
    life.end();
}
