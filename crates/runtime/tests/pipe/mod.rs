//! A pipe for jobs: numbers from a topic, one record each, into a topic, an outbox and a direct sink.
//!
//! Negative numbers cannot be read and become dead letters. The outbox's target is a file of the same simulated disk,
//! replaced whole at each commit, so that a copy of the disk is a copy of the whole world.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::{ErrorKind, Offset, PartitionId};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, ConnectorTable, Role, SourceRequest};
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::plan::{
    Aggregate, AggregateFunction, Changelog, JoinKind, LookupAsking, LookupCache, LookupJoin, Node, NodeId,
    NodeKind, Plan, answers_schema,
};
use dataflow::sink::{DirectSink, OutboxSink, Sink, SinkError, TopicBatch, TopicSink};
use dataflow::source::{Idle, Position, Read, ReadLimits, Rejected, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use eventlog::{EventLog, LogError};
use os::sim::SimOs;
use os::{Disk, Os};
use runtime::{JobOptions, JobRequest, RestartStrategy};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

pub const INPUT: &str = "in";
pub const REJECTED: &str = "rejected";
pub const JOB: &str = "pipe";
const TARGET: &str = "/data/target";

/// Stands before the numbers of a batch: what the log patches.
const HEADER_BYTES: usize = 16;

fn schema(columns: usize) -> SchemaRef {
    let field = |index| Field::new(format!("n{index}"), DataType::Int64, true);
    Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>()))
}

fn table(name: &str, columns: usize) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema: schema(columns),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([("connector".to_string(), "pipe".to_string())]),
    })
}

fn scan(bounded: bool) -> Node {
    let kind = NodeKind::Scan { table: table(INPUT, 1), projection: vec![0], metadata: Vec::new(), bounded };
    Node::new(kind, Vec::new(), schema(1))
}

fn sink(input: usize, name: &str, columns: usize) -> Node {
    Node::new(NodeKind::Sink { table: table(name, columns) }, vec![NodeId(input)], schema(columns))
}

/// The numbers into each of `sinks`, which are named after their kind: `topic`, `outbox`, `direct`.
pub fn plan(sinks: &[&str]) -> Arc<Plan> {
    let sinks = sinks.iter().map(|name| sink(0, name, 1));
    Arc::new(Plan::new(std::iter::once(scan(true)).chain(sinks).collect()))
}

/// The same plan with the sum of what a node gives, which the sink `direct` shows whenever it changes.
pub fn summed(plan: &Plan, node: usize) -> Arc<Plan> {
    let sum = Aggregate {
        function: AggregateFunction::Sum,
        argument: Some(0),
        distinct: false,
        filter: None,
        options: Default::default(),
        data_type: DataType::Int64,
    };
    let kind = NodeKind::GroupAggregate { keys: Vec::new(), aggregates: vec![sum] };
    let mut nodes = plan.nodes.clone();
    let changelog = Changelog::Upsert;
    nodes.push(Node { changelog, ..Node::new(kind, vec![NodeId(node)], schema(1)) });
    nodes.push(Node { changelog, ..sink(nodes.len() - 1, "direct", 1) });
    Arc::new(Plan::new(nodes))
}

/// The numbers joined with themselves: the topic is scanned twice, the table's side first.
pub fn joined() -> Arc<Plan> {
    let kind = NodeKind::BoundedJoin {
        kind: JoinKind::Inner,
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: None,
    };
    let join = Node::new(kind, vec![NodeId(0), NodeId(1)], schema(2));
    Arc::new(Plan::new(vec![scan(true), scan(true), join, sink(2, "topic", 2)]))
}

/// The numbers joined with what an [`Outside`] table says of them, as `number * 1000 + answer`.
pub fn looked_up(ordered: bool, cache: Option<LookupCache>, asking: LookupAsking) -> Arc<Plan> {
    let join = LookupJoin {
        kind: JoinKind::Inner,
        table: table("outside", 2),
        projection: vec![1],
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: None,
        ordered,
        cache,
        asking,
    };
    let answers = Node::new(NodeKind::LookupAnswers, Vec::new(), answers_schema());
    let join = Node::new(NodeKind::LookupJoin(Box::new(join)), vec![NodeId(0), NodeId(1)], schema(2));
    let project =
        Node::new(NodeKind::Project { expressions: vec![Arc::new(Both)] }, vec![NodeId(2)], schema(1));
    Arc::new(Plan::new(vec![scan(true), answers, join, project, sink(3, "topic", 1)]))
}

#[derive(Debug)]
struct Both;

impl Expression for Both {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        let column = |index: usize| rows.column(index).as_primitive::<Int64Type>().values();
        let both = column(0).iter().zip(column(1)).map(|(number, answer)| number * 1000 + answer);
        Ok(Arc::new(Int64Array::from_iter_values(both)))
    }

    fn data_type(&self) -> &DataType {
        &DataType::Int64
    }

    fn describe(&self) -> String {
        "both".into()
    }
}

/// An outside table that says of every number how often it was asked by then, so that two answers differ. It holds
/// nothing for every tenth number, and two rows for the number after it.
#[derive(Default)]
pub struct Outside {
    /// All keys that it was asked for, in order.
    pub asked: Mutex<Vec<i64>>,
    /// It holds nothing of a key that was asked for less often.
    pub misses: AtomicU32,
    pub trouble: Trouble,
    /// Every call fails.
    pub is_away: AtomicBool,
    /// Calls, with those that fail.
    pub calls: AtomicU32,
    /// Called while a question is under way.
    pub watch: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Outside {
    /// How many rows it has in the end.
    pub fn rows(number: i64) -> usize {
        match number % 10 {
            0 => 0,
            1 => 2,
            _ => 1,
        }
    }
}

struct Asks(Arc<Outside>);

impl Lookup for Asks {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.trouble.comes() || self.0.is_away.load(Ordering::SeqCst) {
            return Err(SourceError { kind: ErrorKind::Unavailable, message: "the outside is away".into() });
        }
        if let Some(watch) = self.0.watch.lock().expect("nobody panics with it").as_ref() {
            watch();
        }
        let mut asked = self.0.asked.lock().expect("nobody panics with it");
        let (mut answers, mut counts) = (Vec::new(), Vec::new());
        for number in keys.column(0).as_primitive::<Int64Type>().values() {
            let times = asked.iter().filter(|before| *before == number).count();
            asked.push(*number);
            let is_there = times >= self.0.misses.load(Ordering::SeqCst) as usize;
            let rows = if is_there { Outside::rows(*number) } else { 0 };
            answers.extend(std::iter::repeat_n(asked.len() as i64, rows));
            counts.push(rows as u32);
        }
        let rows = RecordBatch::try_new(schema(1), vec![Arc::new(Int64Array::from(answers))])
            .map_err(|error| source_error(&error))?;
        Ok(Found { rows, counts })
    }
}

/// How a sink behaves.
pub const GOOD: u8 = 0;
pub const FAILS: u8 = 1;
pub const PANICS: u8 = 2;
/// Of a source: it fails, and may work later.
pub const AWAY: u8 = 3;

/// A trouble that comes with every third call and passes after a number of times.
#[derive(Default)]
pub struct Trouble {
    calls: AtomicU32,
    pub left: AtomicU32,
}

impl Trouble {
    fn comes(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        call % 3 == 2
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// The connector and what a test sees and does to it.
#[derive(Clone)]
pub struct Pipe {
    os: Os,
    log: EventLog,
    bounded: bool,
    pub outbox: Arc<AtomicU8>,
    pub direct: Arc<AtomicU8>,
    /// FAILS: the source says that its input is no input.
    pub source: Arc<AtomicU8>,
    pub source_trouble: Arc<Trouble>,
    pub outbox_trouble: Arc<Trouble>,
    pub shown: Arc<Mutex<Vec<i64>>>,
    pub outside: Arc<Outside>,
}

impl Pipe {
    pub fn new(world: &SimOs, log: &EventLog, bounded: bool) -> Pipe {
        Pipe {
            os: world.os(),
            log: log.clone(),
            bounded,
            outbox: Arc::default(),
            direct: Arc::default(),
            source: Arc::default(),
            source_trouble: Arc::default(),
            outbox_trouble: Arc::default(),
            shown: Arc::default(),
            outside: Arc::default(),
        }
    }

    /// The request of another statement.
    pub fn changed(request: JobRequest, plan: Arc<Plan>) -> JobRequest {
        JobRequest { fingerprint: format!("{:016x}", plan.fingerprint()), plan, ..request }
    }

    pub fn request(&self, plan: Arc<Plan>) -> JobRequest {
        JobRequest {
            name: JOB.into(),
            fingerprint: format!("{:016x}", plan.fingerprint()),
            plan,
            connectors: ConnectorTable::new(vec![Arc::new(self.clone())]),
            options: JobOptions {
                step_rows_max: 16,
                snapshot_steps_max: 3,
                background: false,
                restart: RestartStrategy::None,
                ..JobOptions::default()
            },
            from_savepoint: None,
            late_rows_topic: None,
            observer: None,
        }
    }

    /// Appends numbers to the input, `per_batch` to a batch; the topic is made when it is missing.
    pub fn feed(&self, numbers: &[i64], per_batch: usize) {
        let ((), lsn) = self
            .log
            .append(|frame| {
                if frame.topic(INPUT).is_none() {
                    let config = BTreeMap::from([("retention.ms".to_string(), "1".to_string())]);
                    frame.create_topic(INPUT, 1, config)?;
                }
                let partition = frame.topic(INPUT).expect("the topic is there").partitions[0];
                for numbers in numbers.chunks(per_batch) {
                    let batch = encode(numbers);
                    frame.batch(partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
                }
                Ok::<_, LogError>(())
            })
            .expect("the numbers are appended");
        self.log.wait_durable(lsn).expect("the numbers are durable");
    }

    pub fn input(&self) -> PartitionId {
        self.log.topic(INPUT).expect("the input is there").partitions[0]
    }

    /// Asks for the deletion of the input's records before an offset.
    pub fn delete_before(&self, offset: i64) -> Result<(), LogError> {
        self.log.append(|frame| frame.delete_records(self.input(), Offset(offset)).map(|_| ())).map(|_| ())
    }

    /// The numbers of a topic, in order.
    pub fn topic(&self, name: &str) -> Vec<i64> {
        let Some(topic) = self.log.topic(name) else { return Vec::new() };
        let read = read_numbers(&self.log, topic.partitions[0], 0, i64::MAX, usize::MAX);
        read.expect("the topic reads").into_iter().map(|(_, number)| number).collect()
    }

    /// The numbers that the outbox's target holds.
    pub fn target(&self) -> Vec<i64> {
        Target::load(&self.os).expect("the target reads").numbers
    }
}

fn encode(numbers: &[i64]) -> TopicBatch {
    let mut bytes = vec![0; HEADER_BYTES];
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    TopicBatch { partition: 0, records: numbers.len() as u32, max_timestamp_ms: 0, bytes }
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = i64> + '_ {
    bytes.chunks_exact(8).map(|n| i64::from_le_bytes(n.try_into().expect("8 bytes")))
}

/// Offsets and numbers of `[from, until)`, at most `count_max`.
fn read_numbers(
    log: &EventLog,
    partition: PartitionId,
    from: i64,
    until: i64,
    count_max: usize,
) -> Result<Vec<(i64, i64)>, LogError> {
    let until = until.min(log.bounds(partition)?.high_watermark.0);
    let mut numbers = Vec::new();
    let mut next = from;
    while next < until && numbers.len() < count_max {
        for slice in log.read(partition, Offset(next), 1 << 16)? {
            let mut bytes = Vec::new();
            slice.read(&mut bytes)?;
            let wanted = (slice.base_offset.0..).zip(decode(&bytes[HEADER_BYTES..]));
            numbers.extend(wanted.filter(|(offset, _)| (next..until).contains(offset)));
            next = slice.last_offset.0 + 1;
        }
    }
    numbers.truncate(count_max);
    Ok(numbers)
}

fn values(rows: &Batch) -> Vec<i64> {
    rows.rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "pipe",
    doc: "Numbers from a topic into sinks of each kind.",
    options: &[],
    formats: &[],
    reads: true,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "",
};

impl Connector for Pipe {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, _: &TableDefinition, _: Role) -> Result<(), Vec<ConnectorError>> {
        Ok(())
    }

    fn is_bounded(&self, _: &TableDefinition) -> bool {
        self.bounded
    }

    fn lookup(&self, _: LookupRequest) -> Result<Box<dyn Lookup>, ConnectorError> {
        Ok(Box::new(Asks(self.outside.clone())))
    }

    fn source(&self, _: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Ok(Box::new(Numbers {
            log: self.log.clone(),
            partition: self.input(),
            bounded: self.bounded,
            behaviour: self.source.clone(),
            trouble: self.source_trouble.clone(),
        }))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _: &str) -> Result<Sink, ConnectorError> {
        Ok(match table.name.as_str() {
            "topic" => Sink::Topic(Box::new(Topic)),
            "outbox" => Sink::Outbox(Box::new(Outbox {
                os: self.os.clone(),
                behaviour: self.outbox.clone(),
                trouble: self.outbox_trouble.clone(),
                target: Target::default(),
            })),
            _ => Sink::Direct(Box::new(Direct { behaviour: self.direct.clone(), shown: self.shown.clone() })),
        })
    }
}

struct Numbers {
    log: EventLog,
    partition: PartitionId,
    bounded: bool,
    behaviour: Arc<AtomicU8>,
    trouble: Arc<Trouble>,
}

fn source_error(error: &dyn std::fmt::Display) -> SourceError {
    SourceError { kind: ErrorKind::Internal, message: error.to_string() }
}

impl Source for Numbers {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let bounds = self.log.bounds(self.partition).map_err(|error| source_error(&error))?;
        let end = self.bounded.then_some(Position(bounds.high_watermark.0));
        let start = Position(bounds.log_start.0);
        Ok(vec![Split { id: "in/0".into(), start, end, fingerprint: String::new() }])
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        if self.behaviour.load(Ordering::SeqCst) == FAILS {
            return Err(SourceError { kind: ErrorKind::Invalid, message: "these are no numbers".into() });
        }
        if self.trouble.comes() || self.behaviour.load(Ordering::SeqCst) == AWAY {
            return Err(SourceError { kind: ErrorKind::Unavailable, message: "the input is away".into() });
        }
        let end = until.or(split.end).map_or(i64::MAX, |end| end.0);
        let read = read_numbers(&self.log, self.partition, from.0, end, limits.rows_max);
        let read = read.map_err(|error| source_error(&error))?;
        let next = Position(read.last().map_or(from.0, |(offset, _)| offset + 1));
        let rejected = read.iter().filter(|(_, number)| *number < 0).map(|(offset, number)| Rejected {
            origin: format!("{INPUT} partition=0 offset={offset}"),
            key: None,
            value: Some(number.to_le_bytes().to_vec()),
            timestamp_ms: 0,
            reason: "it is negative".into(),
            topic: REJECTED.into(),
        });
        let rejected = rejected.collect();
        let good = read.iter().map(|(_, number)| *number).filter(|number| *number >= 0);
        let rows = RecordBatch::try_new(schema(1), vec![Arc::new(Int64Array::from_iter_values(good))])
            .map_err(|error| source_error(&error))?;
        let finished = split.end.is_some_and(|end| next >= end);
        Ok(Read { rows, kinds: None, next, finished, skipped: 0, rejected, idle: Idle::UntilLogGrows })
    }

    fn log_partition(&self, _: &Split) -> Option<PartitionId> {
        Some(self.partition)
    }

    fn encode_rejected(&self, rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        let numbers: Vec<i64> =
            rejected.iter().filter_map(|one| one.value.as_deref()).flat_map(decode).collect();
        Ok(vec![encode(&numbers)])
    }
}

struct Topic;

impl TopicSink for Topic {
    fn topic(&self) -> &str {
        "topic"
    }

    fn encode(&mut self, rows: &Batch, _: u32, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
        Ok(vec![encode(&values(rows))])
    }
}

fn behave(behaviour: &AtomicU8, what: &str) -> Result<(), SinkError> {
    match behaviour.load(Ordering::SeqCst) {
        FAILS => Err(SinkError { kind: ErrorKind::Unavailable, message: format!("{what} is gone") }),
        PANICS => panic!("{what} has a bug"),
        _ => Ok(()),
    }
}

/// What the outbox's target holds: the offset up to which it has the outbox, and the numbers.
#[derive(Default)]
struct Target {
    next: i64,
    numbers: Vec<i64>,
}

impl Target {
    fn load(os: &Os) -> std::io::Result<Target> {
        if !os.disk.exists(Path::new(TARGET))? {
            return Ok(Target::default());
        }
        let file = os.disk.open(Path::new(TARGET))?;
        let mut bytes = vec![0; file.length()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut numbers = decode(&bytes);
        Ok(Target { next: numbers.next().unwrap_or(0), numbers: numbers.collect() })
    }

    /// Replaces the file in one step that survives a power cut.
    fn store(&self, disk: &Arc<dyn Disk>) -> std::io::Result<()> {
        let unfinished = Path::new("/data/target.unfinished");
        if disk.exists(unfinished)? {
            disk.remove(unfinished)?;
        }
        let numbers = std::iter::once(&self.next).chain(&self.numbers);
        let bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        let file = disk.create(unfinished, bytes.len() as u64)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        disk.rename(unfinished, Path::new(TARGET))?;
        disk.sync_directory(Path::new("/data"))
    }
}

struct Outbox {
    os: Os,
    behaviour: Arc<AtomicU8>,
    trouble: Arc<Trouble>,
    target: Target,
}

fn sink_error(error: &std::io::Error) -> SinkError {
    SinkError { kind: ErrorKind::Unavailable, message: error.to_string() }
}

impl OutboxSink for Outbox {
    fn encode(&mut self, rows: &Batch, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
        Ok(vec![encode(&values(rows))])
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.target = Target::load(&self.os).map_err(|error| sink_error(&error))?;
        Ok(self.target.next)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        behave(&self.behaviour, "the target")?;
        if self.trouble.comes() {
            return Err(SinkError { kind: ErrorKind::Unavailable, message: "the target is away".into() });
        }
        let before = self.target.numbers.len();
        self.target.numbers.extend(decode(&batch[HEADER_BYTES..]));
        self.target.next += (self.target.numbers.len() - before) as i64;
        Ok(())
    }

    fn commit(&mut self, _: bool, _: i64) -> Result<i64, SinkError> {
        self.target.store(&self.os.disk).map_err(|error| sink_error(&error))?;
        Ok(self.target.next)
    }
}

struct Direct {
    behaviour: Arc<AtomicU8>,
    shown: Arc<Mutex<Vec<i64>>>,
}

impl DirectSink for Direct {
    fn write(&mut self, rows: &Batch) -> Result<(), SinkError> {
        behave(&self.behaviour, "the screen")?;
        self.shown.lock().expect("nobody panics with it").extend(values(rows));
        Ok(())
    }
}
