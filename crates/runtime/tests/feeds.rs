//! Feeds in jobs: what comes from outside lands once and is confirmed only when it is durable, whenever the process dies.

#[allow(dead_code, reason = "other tests use the rest of the fixture")]
mod pipe;
mod world;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use base::{ErrorKind, Offset};
use bytes::Bytes;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, ConnectorTable, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRecord, FeedRequest, Haul};
use dataflow::sink::Sink;
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use eventlog::{EventLog, LogError};
use kafka_wire::records::Batch;
use os::sim::SimOs;
use pipe::Pipe;
use runtime::{JobRequest, Machine, RestartStrategy, RuntimeError, Submitted, Turn};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use world::{Input, Life};

const COUNT: i64 = 150;
const PARTITIONS: i64 = 2;

/// How the outside system delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything that was not confirmed comes again after each connection.
    Queue,
    /// Whoever reads says from where.
    Replayable,
}

/// What the outside system is after all that happened to it.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// Of a queue: what is confirmed, and what was delivered on this connection.
    confirmed: i64,
    delivered: i64,
    /// The positions with which it was opened.
    positions: Vec<i64>,
}

type Watch = Box<dyn Fn(&Memory) + Send>;

struct Outside {
    kind: Kind,
    memory: Mutex<Memory>,
    /// How many numbers there are by now.
    there: AtomicI64,
    /// Calls that fail from now on.
    troubles: AtomicU32,
    opened: AtomicU32,
    watch: Mutex<Option<Watch>>,
}

impl Outside {
    fn new(kind: Kind, memory: Memory) -> Arc<Outside> {
        let (troubles, opened, watch) = Default::default();
        let (memory, there) = (Mutex::new(memory), AtomicI64::new(COUNT));
        Arc::new(Outside { kind, memory, there, troubles, opened, watch })
    }

    fn call<R>(&self, act: impl FnOnce(&mut Memory) -> R) -> Result<R, SourceError> {
        let left = |left: u32| left.checked_sub(1);
        if self.troubles.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Err(SourceError { kind: ErrorKind::Unavailable, message: "the outside is away".into() });
        }
        let mut memory = self.memory.lock().unwrap();
        let result = act(&mut memory);
        if let Some(watch) = self.watch.lock().unwrap().as_ref() {
            watch(&memory);
        }
        Ok(result)
    }
}

struct Polls {
    outside: Arc<Outside>,
    next: i64,
}

impl Feed for Polls {
    fn partitions(&mut self) -> Result<u32, SourceError> {
        self.outside.call(|_| PARTITIONS as u32)
    }

    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.outside.opened.fetch_add(1, Ordering::SeqCst);
        let stored = position.map_or(0, |bytes| i64::from_le_bytes(bytes.try_into().unwrap()));
        self.next = self.outside.call(|memory| {
            memory.positions.push(stored);
            memory.delivered = memory.confirmed;
            if self.outside.kind == Kind::Queue { memory.confirmed } else { stored }
        })?;
        Ok(())
    }

    fn poll(&mut self, _wait_ms: u64) -> Result<Haul, SourceError> {
        let is_queue = self.outside.kind == Kind::Queue;
        let from = self.next;
        let until = (from + 7).min(self.outside.there.load(Ordering::SeqCst));
        self.outside.call(|memory| memory.delivered = until)?;
        self.next = until;
        let record = |number: i64| FeedRecord {
            partition: (number % PARTITIONS) as u32,
            // Long ago, or in a far future.
            timestamp_ms: if number % 2 == 0 { number } else { 1 << 50 },
            value: Some(number.to_le_bytes().to_vec()),
            headers: vec![("number".into(), Some(number.to_string().into_bytes()))],
            id: is_queue.then(|| number.to_string().into_bytes()),
            ..FeedRecord::default()
        };
        Ok(Haul {
            records: (from..until).map(record).collect(),
            position: (!is_queue && from < until).then(|| until.to_le_bytes().to_vec()),
            ticket: until as u64,
            ended: until == COUNT,
            ..Haul::default()
        })
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.outside.call(|memory| {
            assert!(ticket as i64 <= memory.delivered, "what was not delivered is not confirmed");
            memory.confirmed = memory.confirmed.max(ticket as i64);
        })
    }
}

/// Reads the numbers of the topic that a feed fills.
struct Landed(EventLog);

impl Source for Landed {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        panic!("the splits of what lands are the runtime's")
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let (topic, index) = split.id.rsplit_once('/').unwrap();
        let partition = self.0.topic(topic).unwrap().partitions[index.parse::<usize>().unwrap()];
        let end = until.map_or(i64::MAX, |until| until.0);
        let mut numbers = Vec::new();
        let mut next = from.0;
        'log: while next < end {
            let slices = self.0.read(partition, Offset(next), 1 << 16).unwrap();
            if slices.is_empty() {
                break;
            }
            for slice in slices {
                let mut bytes = Vec::new();
                slice.read(&mut bytes).unwrap();
                let records = Batch::parse(&Bytes::from(bytes)).unwrap().records(1 << 20).unwrap();
                for record in &records {
                    let record = record.unwrap();
                    if record.offset < next {
                        continue;
                    }
                    if record.offset >= end || numbers.len() >= limits.rows_max {
                        break 'log;
                    }
                    numbers.push(i64::from_le_bytes(record.value.unwrap().try_into().unwrap()));
                    next = record.offset + 1;
                }
            }
        }
        let schema = Arc::new(Schema::new(vec![Field::new("n0", DataType::Int64, true)]));
        Ok(Read {
            rows: RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers))]).unwrap(),
            kinds: None,
            next: Position(next),
            finished: false,
            skipped: 0,
            rejected: Vec::new(),
            idle: Idle::UntilLogGrows,
        })
    }
}

/// The pipe's sinks behind a feed.
struct Fed {
    pipe: Pipe,
    log: EventLog,
    outside: Arc<Outside>,
}

impl Connector for Fed {
    fn spec(&self) -> &'static ConnectorSpec {
        self.pipe.spec()
    }

    fn check(&self, _: &TableDefinition, _: Role) -> Result<(), Vec<ConnectorError>> {
        Ok(())
    }

    fn is_bounded(&self, _: &TableDefinition) -> bool {
        true
    }

    fn lands(&self, table: &TableDefinition) -> bool {
        table.name == pipe::INPUT
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        assert!(request.identity.contains(pipe::JOB));
        Ok(Box::new(Polls { outside: self.outside.clone(), next: 0 }))
    }

    fn source(&self, _: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Ok(Box::new(Landed(self.log.clone())))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        self.pipe.sink(table, job)
    }
}

fn begin(world: &SimOs, outside: &Arc<Outside>) -> (Life, Pipe, JobRequest) {
    let life = Life::begin(world, &Input::default());
    let (pipe, request) = request(world, &life, outside);
    (life, pipe, request)
}

fn request(world: &SimOs, life: &Life, outside: &Arc<Outside>) -> (Pipe, JobRequest) {
    let pipe = Pipe::new(world, &life.log, true);
    let fed = Fed { pipe: pipe.clone(), log: life.log.clone(), outside: outside.clone() };
    let mut request = pipe.request(pipe::plan(&["topic", "outbox"]));
    request.connectors = ConnectorTable::new(vec![Arc::new(fed)]);
    request.options.step_rows_max = 5;
    (pipe, request)
}

fn forked(world: &SimOs) -> SimOs {
    SimOs { disk: Arc::new(world.disk.fork()), ..world.clone() }
}

/// Each number once, and those of a partition in order.
fn assert_complete(numbers: &[i64], context: &str) {
    let mut sorted = numbers.to_vec();
    sorted.sort();
    assert_eq!(sorted, (0..COUNT).collect::<Vec<_>>(), "{context}");
    for partition in 0..PARTITIONS {
        let own = numbers.iter().filter(|number| *number % PARTITIONS == partition);
        assert!(own.is_sorted(), "{context}: {numbers:?}");
    }
}

fn finish(machine: &mut Machine, mut each: impl FnMut()) {
    for _ in 0..20_000 {
        if machine.turn().unwrap() == Turn::Finished {
            return;
        }
        each();
        std::thread::yield_now();
    }
    panic!("the job does not end");
}

#[test]
fn a_process_that_dies_anywhere_between_poll_and_confirmation_loses_nothing_and_doubles_nothing() {
    for kind in [Kind::Queue, Kind::Replayable] {
        let world = SimOs::new(41);
        let outside = Outside::new(kind, Memory::default());
        let (life, pipe, mut request) = begin(&world, &outside);
        let seen: Arc<Mutex<Vec<(SimOs, Memory)>>> = Arc::default();
        let look = {
            let (seen, world) = (seen.clone(), world.clone());
            move |memory: &Memory| seen.lock().unwrap().push((forked(&world), memory.clone()))
        };
        *outside.watch.lock().unwrap() = Some(Box::new(look.clone()));
        let (at_commit, of) = (look.clone(), outside.clone());
        request.observer = Some(Arc::new(move |_, _| at_commit(&of.memory.lock().unwrap())));
        let mut machine = life.runtime.machine(request).unwrap();
        let mut turns = 0;
        finish(&mut machine, || {
            turns += 1;
            if turns < 40 {
                look(&outside.memory.lock().unwrap());
            }
        });
        drop(machine);
        assert_complete(&pipe.topic("topic"), "undisturbed");
        assert_complete(&pipe.target(), "undisturbed");
        assert_eq!(outside.memory.lock().unwrap().confirmed, COUNT, "{kind:?}");
        *outside.watch.lock().unwrap() = None;
        life.end();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.len() > 60, "{}", seen.len());
        for (number, (world, memory)) in seen.iter().enumerate() {
            for cut in [false, true] {
                let context = format!("{kind:?}, disk {number}, power cut: {cut}");
                let world = forked(world);
                if cut {
                    world.disk.power_cut(number as u64);
                }
                let outside = Outside::new(kind, memory.clone());
                let (life, pipe, request) = begin(&world, &outside);
                let before = pipe.topic("topic");
                match life.runtime.submit(request).unwrap() {
                    Submitted::FinishedBefore(_) => {}
                    Submitted::Running(handle) => assert!(handle.join().unwrap(), "{context}"),
                }
                let after = pipe.topic("topic");
                assert_complete(&after, &context);
                assert_complete(&pipe.target(), &context);
                assert_eq!(after[..before.len()], before, "{context}");
                // What has landed goes with a job.
                let internal = |name: &str| name.starts_with("__source") || name.starts_with("__ids");
                assert!(life.log.topics().iter().all(|topic| !internal(&topic.name)), "{context}");
                life.end();
            }
        }
    }
}

#[test]
fn a_changed_job_has_what_landed_and_asks_the_outside_for_the_rest_alone() {
    for kind in [Kind::Queue, Kind::Replayable] {
        let world = SimOs::new(47);
        let outside = Outside::new(kind, Memory::default());
        // However far the feed runs ahead, something is left to ask for.
        outside.there.store(COUNT - 30, Ordering::SeqCst);
        let (life, pipe, mut first) = begin(&world, &outside);
        first.observer = Some(Arc::new(|_, _| {}));
        let mut machine = life.runtime.machine(first).unwrap();
        while pipe.topic("topic").len() < 60 {
            assert_ne!(machine.turn().unwrap(), Turn::Finished);
            std::thread::yield_now();
        }
        drop(machine);
        let before = pipe.topic("topic");
        let asked_again = outside.memory.lock().unwrap().delivered;
        outside.there.store(COUNT, Ordering::SeqCst);
        let (pipe, other) = request(&world, &life, &outside);
        let plan = pipe::summed(&other.plan, 0);
        let mut machine = life.runtime.machine(Pipe::changed(other, plan)).unwrap();
        finish(&mut machine, || {});
        let after = pipe.topic("topic");
        assert_complete(&after, &format!("{kind:?}"));
        assert_eq!(after[..before.len()], before, "{kind:?}");
        assert_complete(&pipe.target(), &format!("{kind:?}"));
        // The sum has what came before it was asked for, which the outside no longer gives.
        assert_eq!(pipe.shown.lock().unwrap().last(), Some(&(0..COUNT).sum()), "{kind:?}");
        let memory = outside.memory.lock().unwrap().clone();
        let went_on = memory.positions.last().copied().unwrap();
        assert!(kind == Kind::Queue || went_on > 0 && went_on <= asked_again, "{memory:?}");
        drop(machine);
        life.end();
    }
}

#[test]
fn an_outside_that_fails_again_and_again_is_opened_again_and_costs_no_record_and_no_restart_of_the_job() {
    for kind in [Kind::Queue, Kind::Replayable] {
        let world = SimOs::new(42);
        let outside = Outside::new(kind, Memory::default());
        let (life, pipe, mut request) = begin(&world, &outside);
        request.options.restart = RestartStrategy::FixedDelay { attempts: 1000, delay_ms: 10 };
        let mut machine = life.runtime.machine(request).unwrap();
        let mut turns = 0;
        let mut doubles = 0;
        finish(&mut machine, || {
            turns += 1;
            if turns % 5 == 0 {
                outside.troubles.store(1, Ordering::SeqCst);
            }
            world.clock.advance_ms(5);
        });
        let progress = machine.progress();
        let feed = &progress.feeds[0];
        doubles += feed.doubles;
        assert!(feed.failures > 3, "{kind:?}: {feed:?}");
        assert_eq!((feed.records, feed.failure.as_deref()), (COUNT as u64, None), "{kind:?}");
        assert!(outside.opened.load(Ordering::SeqCst) > 3, "{kind:?}");
        assert_eq!(
            doubles > 0,
            kind == Kind::Queue,
            "{kind:?}: a queue delivers again what was not confirmed"
        );
        drop(machine);
        assert_complete(&pipe.topic("topic"), &format!("{kind:?}"));
        life.end();
    }
}

/// How many records of the feed lie in the log.
fn landed(log: &EventLog) -> i64 {
    let topics = log.topics();
    let Some(source) = topics.iter().find(|topic| topic.name.starts_with("__source")) else { return 0 };
    source.partitions.iter().map(|partition| log.bounds(*partition).unwrap().high_watermark.0).sum()
}

#[test]
fn a_feed_is_opened_with_no_position_that_a_power_cut_takes_back() {
    let world = SimOs::new(46);
    let outside = Outside::new(Kind::Replayable, Memory::default());
    let seen: Arc<Mutex<Vec<(SimOs, i64)>>> = Arc::default();
    let (looks, running) = (seen.clone(), world.clone());
    *outside.watch.lock().unwrap() = Some(Box::new(move |memory| {
        let mut seen = looks.lock().unwrap();
        if memory.positions.len() > seen.len() {
            seen.push((forked(&running), *memory.positions.last().unwrap()));
        }
    }));
    let life = Life::begin_without_threads(&world, &Input::default());
    let (pipe, mut job) = request(&world, &life, &outside);
    job.options.restart = RestartStrategy::FixedDelay { attempts: 1000, delay_ms: 10 };
    // The job may be opened again as a whole, too.
    let mut restarts = 0;
    let mut machine = life.runtime.machine(job.clone()).unwrap();
    let mut turns = 0;
    while machine.turn().unwrap() != Turn::Finished {
        turns += 1;
        assert!(turns < 1000, "the job does not end");
        match turns % 6 {
            // The haul of this turn is in the log's memory only when the next call fails.
            0 | 3 => outside.troubles.store(1, Ordering::SeqCst),
            4 if restarts < 3 => {
                restarts += 1;
                drop(machine);
                machine = life.runtime.machine(job.clone()).unwrap();
            }
            5 => drop(life.log.commit_pending().unwrap()),
            _ => {}
        }
        world.clock.advance_ms(20);
    }
    drop(machine);
    assert_complete(&pipe.topic("topic"), "undisturbed");
    *outside.watch.lock().unwrap() = None;
    life.end();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.iter().filter(|(_, position)| *position > 0).count() > 5, "{}", seen.len());
    for (number, (world, position)) in seen.iter().enumerate() {
        world.disk.power_cut(number as u64);
        let life = Life::begin(world, &Input::default());
        let landed = landed(&life.log);
        assert!(landed >= *position, "opened at {position}, and {landed} are left");
        life.end();
    }
}

#[test]
fn what_landed_goes_when_no_recovery_needs_it_and_not_before() {
    let world = SimOs::new(45);
    let outside = Outside::new(Kind::Replayable, Memory::default());
    let (life, pipe, request) = begin(&world, &outside);
    let mut machine = life.runtime.machine(request.clone()).unwrap();
    let topics = life.log.topics();
    let source = topics.iter().find(|topic| topic.name.starts_with("__source")).unwrap();
    let has_gone =
        || source.partitions.iter().all(|partition| life.log.bounds(*partition).unwrap().log_start.0 > 0);
    while !has_gone() {
        assert_ne!(machine.turn().unwrap(), Turn::Finished, "snapshots pass some of it before");
        let ((), last) = life.log.append(|_| Ok::<_, LogError>(())).unwrap();
        life.log.wait_durable(last).unwrap();
        world.clock.advance_ms(100_000);
        life.log.enforce_retention(world.os().clock.now_ms()).unwrap();
    }
    drop(machine);
    life.end();
    let (life, again, request) = begin(&world, &outside);
    life.log.enforce_retention(world.os().clock.now_ms() + 1_000_000).unwrap();
    let mut machine = life.runtime.machine(request).unwrap();
    finish(&mut machine, || {});
    drop((machine, pipe));
    assert_complete(&again.target(), "after the restart");
    life.end();
}

#[test]
fn an_outside_that_is_away_fails_the_job_where_its_strategy_says_so() {
    let world = SimOs::new(43);
    let outside = Outside::new(Kind::Replayable, Memory::default());
    let (life, _pipe, request) = begin(&world, &outside);
    let mut machine = life.runtime.machine(request).unwrap();
    outside.troubles.store(u32::MAX, Ordering::SeqCst);
    let error = (0..100).find_map(|_| machine.turn().err()).expect("it fails");
    assert!(
        matches!(&error, RuntimeError::Source(source) if source.message == "the outside is away"),
        "{error}"
    );
    drop(machine);
    life.end();
}

#[test]
fn a_savepoint_of_what_came_from_outside_is_of_use_only_where_that_lies() {
    let world = SimOs::new(44);
    let outside = Outside::new(Kind::Replayable, Memory::default());
    let (life, pipe, request) = begin(&world, &outside);
    let mut machine = life.runtime.machine(request.clone()).unwrap();
    let mut ticket = None;
    for turn in 0..30 {
        machine.turn().unwrap();
        if turn == 5 {
            ticket = Some(machine.savepoint(std::path::Path::new("/savepoints")).unwrap());
        }
        if ticket.as_ref().is_some_and(|ticket| ticket.wait_timeout(0).is_some()) && turn > 8 {
            break;
        }
    }
    let folder = ticket.unwrap().wait_timeout(0).expect("it is written").unwrap().folder;
    drop(machine);
    // Back to it in the same data directory: what had landed is still there, and is not read from outside again.
    let mut back = request.clone();
    back.from_savepoint = Some(folder.clone());
    let mut machine = life.runtime.machine(back).unwrap();
    finish(&mut machine, || {});
    drop(machine);
    let mut numbers: Vec<i64> = pipe.topic("topic");
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
    life.end();
    // Elsewhere it is not.
    let elsewhere = Life::begin_in(&world, &Input::default(), "/elsewhere".into());
    let pipe = Pipe::new(&world, &elsewhere.log, true);
    let fed = Fed { pipe, log: elsewhere.log.clone(), outside };
    let mut request = request;
    request.connectors = ConnectorTable::new(vec![Arc::new(fed)]);
    request.from_savepoint = Some(folder);
    let Err(error) = elsewhere.runtime.machine(request) else { panic!("the savepoint is taken") };
    assert!(error.to_string().contains("only there can a job go on from it"), "{error}");
    elsewhere.end();
}
