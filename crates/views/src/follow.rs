//! Follows the log: definitions and changes become the fold's, and each state is published with its place.
//!
//! After each sync the log's listener notes its place and where the topics of views end there, under the lock of whoever
//! commits, so that both belong together. The follower brings the fold up to the last such goal and publishes it: groups
//! of frames are passed over together when they come faster than it folds, but never cut.

use crate::ViewError;
use crate::definition::ViewDefinition;
use crate::fold::Fold;
use crate::rows::RecordReader;
use crate::store;
use crate::views::Views;
use base::{Lsn, Offset, PartitionId};
use bytes::Bytes;
use eventlog::{EventLog, LogError};
use kafka_wire::records::Batch;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of the log that are folded at once.
const READ_BYTES_MAX: usize = 4 << 20;
/// Definitions of one batch are decompressed up to this size.
const RECORDS_BYTES_MAX: usize = 64 << 20;

/// A place of the log, and where the topics of views end there.
#[derive(Debug, Clone)]
struct Goal {
    lsn: Lsn,
    ends: Arc<HashMap<PartitionId, i64>>,
}

/// What the log's listener tells the follower.
#[derive(Default)]
struct Goals {
    next: Option<Goal>,
    /// The topics as the listener saw them last.
    watched: Vec<PartitionId>,
    topics_version: Option<u64>,
    closed: bool,
}

#[derive(Clone, Default)]
struct Board {
    goals: Arc<Mutex<Goals>>,
    told: Arc<Condvar>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Goals> {
        self.goals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a place of the log; only the last one is kept.
    fn note(&self, log: &EventLog, lsn: Lsn, fenced: bool) {
        let mut goals = self.lock();
        let version = log.topics_version();
        if goals.topics_version != Some(version) {
            let is_ours = |name: &str| name == store::TOPIC || name.starts_with(store::TOPIC_PREFIX);
            let topics = log.topics();
            let ours = topics.iter().filter(|topic| is_ours(&topic.name));
            goals.watched = ours.flat_map(|topic| topic.partitions.iter().copied()).collect();
            goals.topics_version = Some(version);
        }
        let end = |partition: &PartitionId| Some((*partition, log.bounds(*partition).ok()?.high_watermark.0));
        let ends = Arc::new(goals.watched.iter().filter_map(end).collect());
        goals.next = Some(Goal { lsn, ends });
        goals.closed |= fenced;
        drop(goals);
        self.told.notify_all();
    }
}

/// What is known of the topic of a view.
struct Source {
    definition: ViewDefinition,
    partition: PartitionId,
    position: i64,
    reader: RecordReader,
}

/// Brings views up to date with the log. Whoever holds it gives it its turns, or a thread of its own.
pub struct Follower {
    log: EventLog,
    views: Views,
    board: Board,
    definitions: (Option<PartitionId>, i64),
    sources: BTreeMap<String, Source>,
}

impl Follower {
    /// Follows the log from now on, and folds all that is there. Nobody may append meanwhile.
    pub fn open(log: EventLog, views: Views) -> Result<Follower, ViewError> {
        let board = Board::default();
        let (noted, followed) = (board.clone(), log.clone());
        board.note(&log, log.durable(), false);
        log.subscribe(Arc::new(move |durable| noted.note(&followed, durable.lsn, durable.fenced)));
        let mut follower = Follower { log, views, board, definitions: (None, 0), sources: BTreeMap::new() };
        follower.turn()?;
        Ok(follower)
    }

    /// Folds and publishes what has become durable; answers whether there was anything.
    pub fn turn(&mut self) -> Result<bool, ViewError> {
        let Some(goal) = self.board.lock().next.take() else { return Ok(false) };
        self.reach(&goal)?;
        Ok(true)
    }

    /// Follows on a thread until the log is fenced or `stop` is called.
    pub fn run(mut self) -> Result<FollowerHandle, ViewError> {
        let board = self.board.clone();
        let thread = std::thread::Builder::new().name("views".into()).spawn(move || {
            loop {
                {
                    let mut goals = self.board.lock();
                    while goals.next.is_none() && !goals.closed {
                        goals = self.board.told.wait(goals).unwrap_or_else(PoisonError::into_inner);
                    }
                    if goals.next.is_none() {
                        return;
                    }
                }
                if let Err(error) = self.turn() {
                    // Every view is as it was last; who waits for more is told by a time-out, and the reason by this.
                    self.views.fail(error.to_string());
                    return;
                }
            }
        });
        match thread {
            Ok(thread) => Ok(FollowerHandle { board, thread: Some(thread) }),
            Err(error) => Err(ViewError::Internal(format!("no thread for the views: {error}"))),
        }
    }

    fn reach(&mut self, goal: &Goal) -> Result<(), ViewError> {
        let views = self.views.clone();
        views.try_commit(goal.lsn, |fold| {
            self.fold_definitions(fold, goal)?;
            for source in self.sources.values_mut() {
                source.fold(fold, &self.log, goal)?;
            }
            Ok(())
        })
    }

    fn fold_definitions(&mut self, fold: &mut Fold, goal: &Goal) -> Result<(), ViewError> {
        let topic = self.log.topic(store::TOPIC);
        let Some(partition) = topic.and_then(|topic| topic.partitions.first().copied()) else {
            return Ok(());
        };
        if self.definitions.0 != Some(partition) {
            self.definitions = (Some(partition), 0);
        }
        let Some(end) = goal.ends.get(&partition).copied() else { return Ok(()) };
        // Only the last word about a view counts: what it says before may name a topic that is gone.
        let mut last: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        read(&self.log, partition, &mut self.definitions.1, end, |batches, _| {
            for batch in batches {
                let records = Batch::parse(&batch).and_then(|batch| batch.records(RECORDS_BYTES_MAX));
                for record in &records.map_err(|error| error.to_string())? {
                    let record = record.map_err(|error| error.to_string())?;
                    let name = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
                    last.insert(name, record.value.map(<[u8]>::to_vec));
                }
            }
            Ok(())
        })?
        .map_err(|reason| ViewError::Internal(format!("the topic {}: {reason}", store::TOPIC)))?;
        for (name, value) in last {
            self.sources.remove(&name);
            fold.remove(&name);
            if let Some(value) = value {
                self.define(fold, &name, &value);
            }
        }
        Ok(())
    }

    /// A definition that cannot be followed leaves the others alone.
    fn define(&mut self, fold: &mut Fold, name: &str, value: &[u8]) {
        let definition = match store::decode(name, value) {
            Ok(definition) => definition,
            Err(reason) => {
                self.views
                    .tell(&format!("view '{name}' is left out: its definition is not understood: {reason}"));
                return;
            }
        };
        if let Err(error) = fold.define(definition.clone()) {
            self.views.tell(&format!("view '{name}' is left out: {error}"));
            return;
        }
        let topic = self.log.topic(&definition.topic);
        let Some(partition) = topic.and_then(|topic| topic.partitions.first().copied()) else {
            fold.break_off(name, format!("its topic '{}' is gone; create it anew", definition.topic));
            return;
        };
        match RecordReader::new(&definition) {
            Ok(reader) => {
                let source = Source { definition, partition, position: 0, reader };
                self.sources.insert(name.to_string(), source);
            }
            Err(reason) => fold.break_off(name, reason),
        }
    }
}

impl Source {
    fn fold(&mut self, fold: &mut Fold, log: &EventLog, goal: &Goal) -> Result<(), ViewError> {
        let Some(end) = goal.ends.get(&self.partition).copied() else { return Ok(()) };
        let (name, reader) = (&self.definition.name, &mut self.reader);
        let folded = read(log, self.partition, &mut self.position, end, |batches, from| {
            let changes = reader.read(&batches, from)?;
            fold.apply(name, goal.lsn, &changes);
            Ok(())
        });
        let topic = &self.definition.topic;
        match folded {
            Ok(Ok(())) => {
                fold.reached(name, self.position);
                Ok(())
            }
            Ok(Err(reason)) => {
                self.position = end;
                fold.break_off(name, format!("its topic '{topic}' cannot be read: {reason}"));
                Ok(())
            }
            // The topic goes, and the record that says so comes.
            Err(ViewError::Log(LogError::NotFound(_))) => Ok(()),
            Err(ViewError::Log(error @ LogError::Corrupt(_))) => {
                self.position = end;
                fold.break_off(name, format!("its topic '{topic}' cannot be read: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Hands over the batches of a partition up to `end`, in portions, with the offset that the first of them is read from;
/// the inner error is that of `each`.
fn read(
    log: &EventLog,
    partition: PartitionId,
    position: &mut i64,
    end: i64,
    mut each: impl FnMut(Vec<Bytes>, i64) -> Result<(), String>,
) -> Result<Result<(), String>, ViewError> {
    while *position < end {
        *position = (*position).max(log.bounds(partition)?.log_start.0);
        if *position >= end {
            break;
        }
        let slices = log.read(partition, Offset(*position), READ_BYTES_MAX)?;
        let from = *position;
        let mut batches = Vec::with_capacity(slices.len());
        for slice in slices.into_iter().filter(|slice| slice.last_offset.0 < end) {
            let mut bytes = Vec::with_capacity(slice.len as usize);
            slice.read(&mut bytes)?;
            *position = (*position).max(slice.last_offset.0 + 1);
            batches.push(Bytes::from(bytes));
        }
        if *position == from {
            break;
        }
        if let Err(reason) = each(batches, from) {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

/// Stops the thread when it goes.
pub struct FollowerHandle {
    board: Board,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for FollowerHandle {
    fn drop(&mut self) {
        {
            let mut goals = self.board.lock();
            goals.next = None;
            goals.closed = true;
        }
        self.board.told.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
