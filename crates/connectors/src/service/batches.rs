//! Sends the outbox's records to a service in calls of several entries, of which each is taken, passingly not taken, or refused.
//!
//! Such a service has nowhere to keep an offset together with what it takes, so the position lies in the log (see
//! `positions`), set after the service has taken what lies before it. What was taken and not yet noted when the node dies is
//! sent again.
//!
//! Calls that are under way at once may be taken in any order, and so may entries of one call where a service takes calls in
//! part, for what passingly failed is sent again behind the rest. Entries that say what they are ordered by are therefore never
//! sent together with another of the same: the one before has been taken then. A service that takes a call as a whole may have
//! many of the same in one call, and has no others in it.

use super::{Access, Call, Client, Done, ServiceError, sink_error};
use crate::messages::{MessageEncoder, RefusedMessages};
use crate::positions::{Position, Positions};
use crate::record_batches::each_outbox_record;
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use serde_json::{Map, Value};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// How often entries are sent again that passingly failed, one time behind the other.
const TRIES_MAX: u32 = 5;

/// Where a sink's entries go.
pub(crate) trait BatchTarget: Send {
    fn limits(&self) -> Limits;

    /// Asks for something of the target that changes nothing there.
    fn look(&self) -> Call;

    /// What becomes of a record, or why no target takes it.
    fn entry(&self, record: &Record<'_>) -> Result<Entry, String>;

    fn call(&self, entries: &[Entry]) -> Call;

    /// Why each of a call's entries was not taken; none where it was.
    fn failures(&self, answer: &[u8], entries: &[Entry]) -> Done<Vec<Option<Failure>>>;

    /// Whether a call was refused for what its entries are.
    fn is_of_entries(&self, error: &ServiceError) -> bool;

    /// What to do where there is no such target.
    fn hint(&self) -> &'static str;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of one call; an entry that is longer goes alone.
    pub entries: usize,
    pub bytes: usize,
    pub calls_in_flight: usize,
    /// So many calls wait at most to be filled and sent together, and so many bytes in all.
    pub calls_gathered: usize,
    pub gathered_bytes: usize,
    /// Whether a call is taken as a whole, and its entries are all ordered by the same.
    pub has_ordered_calls: bool,
    /// Whether what passingly fails fails the job.
    pub fails_at_once: bool,
}

impl Limits {
    /// Of a service that says of each entry what became of it.
    pub(crate) const fn of_entries(entries: usize, bytes: usize, calls_in_flight: usize) -> Limits {
        Limits {
            entries,
            bytes,
            calls_in_flight,
            calls_gathered: calls_in_flight,
            gathered_bytes: usize::MAX,
            has_ordered_calls: false,
            fails_at_once: false,
        }
    }
}

/// One message or record on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub offset: i64,
    pub timestamp_ms: i64,
    /// As the table's format wrote it, for the dead-letter topic.
    pub value: Vec<u8>,
    /// As the service's reference names them.
    pub fields: Map<String, Value>,
    /// What it takes of a call, about.
    pub bytes: usize,
    /// It is sent when the one before with the same has been taken, or behind it in one call.
    pub ordered_by: Option<String>,
}

impl Entry {
    pub(crate) fn of(record: &Record<'_>) -> Entry {
        let value = record.value.unwrap_or_default().to_vec();
        Entry { offset: record.offset, timestamp_ms: record.timestamp, value, ..Entry::default() }
    }

    /// Sets a field that has a value.
    pub(crate) fn set(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.fields.insert(name.into(), value.into());
        }
    }

    /// Its fields with its place in the call as its id.
    pub(crate) fn numbered(&self, index: usize) -> Value {
        let mut fields = self.fields.clone();
        fields.insert("Id".into(), index.to_string().into());
        Value::Object(fields)
    }
}

/// Why an entry was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub is_passing: bool,
    pub reason: String,
}

pub(crate) struct BatchSink<T> {
    table: Arc<TableDefinition>,
    access: Access,
    rows: MessageEncoder,
    positions: Positions,
    target: T,
    limits: Limits,
    open: Option<Open>,
    /// What no target takes, on its way to the dead-letter topic.
    refused: RefusedMessages,
}

struct Open {
    client: Client,
    /// Not sent yet, in the order of the outbox; the last call may grow.
    calls: Vec<EntryBatch>,
    /// By which the entries are ordered that are not sent yet.
    ordered_by: HashSet<String>,
    /// Behind what was taken from the outbox, what the target has, and what is noted.
    next: i64,
    sent: i64,
    stored: i64,
}

#[derive(Default)]
struct EntryBatch {
    entries: Vec<Entry>,
    bytes: usize,
}

impl<T: BatchTarget> BatchSink<T> {
    pub(crate) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        rows: MessageEncoder,
        positions: Positions,
        options: &Options,
        target: T,
    ) -> BatchSink<T> {
        let refused = RefusedMessages::new(&table, options, "");
        let limits = target.limits();
        BatchSink { table, access, rows, positions, target, limits, open: None, refused }
    }

    fn error(&self, error: ServiceError) -> SinkError {
        let message = match error.kind {
            ErrorKind::NotFound => format!("{}; {}", error.message, self.target.hint()),
            _ => error.message,
        };
        sink_error(&self.table, ServiceError::new(error.kind, message))
    }

    fn refuse(&mut self, entry: Entry, reason: String) -> Result<(), SinkError> {
        let which = format!("outbox-offset={}", entry.offset);
        let kept = self.refused.keep(which, entry.value, entry.timestamp_ms, reason);
        kept.map_err(|error| sink_error(&self.table, ServiceError::new(error.kind, error.message)))
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let entry = match self.target.entry(record) {
            Ok(entry) => entry,
            Err(reason) => return self.refuse(Entry::of(record), reason),
        };
        let limits = self.limits;
        let fits = |batch: &EntryBatch| {
            batch.entries.len() < limits.entries && batch.bytes + entry.bytes <= limits.bytes
        };
        let is_of_same = |batch: &EntryBatch| {
            let by = batch.entries.first().and_then(|entry| entry.ordered_by.as_ref());
            !limits.has_ordered_calls || by == entry.ordered_by.as_ref()
        };
        let Some(open) = &mut self.open else { return Ok(()) };
        let place = open.calls.iter().rposition(is_of_same).filter(|place| fits(&open.calls[*place]));
        let is_behind_another = entry.ordered_by.as_ref().is_some_and(|by| open.ordered_by.contains(by));
        let has_to_wait = is_behind_another && !(limits.has_ordered_calls && place.is_some());
        let is_full = place.is_none() && open.calls.len() >= limits.calls_gathered
            || open.gathered_bytes() + entry.bytes > limits.gathered_bytes;
        if has_to_wait || is_full {
            self.send()?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.ordered_by.extend(entry.ordered_by.clone());
        match place.and_then(|place| open.calls.get_mut(place)) {
            Some(batch) => batch.push(entry),
            None => {
                let mut batch = EntryBatch::default();
                batch.push(entry);
                open.calls.push(batch);
            }
        }
        Ok(())
    }

    /// Sends all calls, until the target has said of every entry what became of it.
    fn send(&mut self) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.ordered_by.clear();
        let calls = std::mem::take(&mut open.calls);
        let offsets = calls.iter().flat_map(|batch| &batch.entries).map(|entry| entry.offset);
        let Some(last) = offsets.max() else { return Ok(()) };
        // Of each chain one call is under way at once.
        let mut chains: Vec<VecDeque<Vec<Entry>>> =
            calls.into_iter().map(|batch| VecDeque::from([batch.entries])).collect();
        let mut tries = 0;
        while !chains.is_empty() {
            let Some(open) = &mut self.open else { return Ok(()) };
            let calls: Vec<Call> =
                chains.iter().filter_map(VecDeque::front).map(|entries| self.target.call(entries)).collect();
            let answers = open.client.call_all(&calls);
            let mut passing_reason = None;
            let mut alone = Vec::new();
            for (chain, answer) in chains.iter_mut().zip(answers) {
                let Some(entries) = chain.pop_front() else { continue };
                match answer {
                    Ok(answer) => {
                        let failures = self.target.failures(&answer.body, &entries);
                        let failures = failures.map_err(|error| self.lost(error))?;
                        let mut passing = Vec::new();
                        for (entry, failure) in entries.into_iter().zip(failures) {
                            match failure {
                                None => {}
                                Some(failure) if failure.is_passing => {
                                    passing_reason = Some(failure.reason);
                                    passing.push(entry);
                                }
                                Some(failure) => self.refuse(entry, failure.reason)?,
                            }
                        }
                        if !passing.is_empty() {
                            chain.push_front(passing);
                        }
                    }
                    // The whole is refused for one of its entries: each is sent alone, in order where that matters.
                    Err(error) if self.target.is_of_entries(&error) && entries.len() > 1 => {
                        let each = entries.into_iter().map(|entry| vec![entry]);
                        if self.limits.has_ordered_calls {
                            chain.extend(each);
                        } else {
                            alone.extend(each.map(|entries| VecDeque::from([entries])));
                        }
                    }
                    Err(error) if self.target.is_of_entries(&error) => {
                        for entry in entries {
                            self.refuse(entry, error.message.clone())?;
                        }
                    }
                    Err(error) => return Err(self.lost(error)),
                }
            }
            if let Some(reason) = passing_reason {
                tries += 1;
                if tries == TRIES_MAX || self.limits.fails_at_once {
                    let kind = if self.limits.fails_at_once { ErrorKind::Invalid } else { ErrorKind::Retry };
                    let message = format!("some of what was sent is not taken for now: {reason}");
                    return Err(self.lost(ServiceError::new(kind, message)));
                }
                if let Some(open) = &self.open {
                    open.client.pause(tries);
                }
            }
            chains.retain(|chain| !chain.is_empty());
            chains.extend(alone);
        }
        if let Some(open) = &mut self.open {
            open.sent = last + 1;
        }
        Ok(())
    }

    /// The target is to be opened anew: keeps as a position what it took before.
    fn lost(&mut self, error: ServiceError) -> SinkError {
        let error = self.error(error);
        if let Some(open) = self.open.take()
            && self.refused.is_empty()
            && open.sent > open.stored
            && let Err(unkept) = self.positions.set(at(open.sent))
        {
            return SinkError { message: format!("{}; {}", error.message, unkept.message), ..error };
        }
        error
    }
}

impl Open {
    fn gathered_bytes(&self) -> usize {
        self.calls.iter().map(|batch| batch.bytes).sum()
    }
}

impl EntryBatch {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes;
        self.entries.push(entry);
    }
}

/// A position by the outbox alone.
fn at(offset: i64) -> Position {
    Position { offset, mark: 0 }
}

impl<T: BatchTarget> OutboxSink for BatchSink<T> {
    fn carry(&mut self, carried: TraceHeaders) {
        self.rows.carry(carried);
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        self.refused.clear();
        let stored = self.positions.get()?.offset;
        let client = self.access.client(self.limits.calls_in_flight);
        let mut client = client.map_err(|error| self.error(error))?;
        // It is seen at once whether there is such a target; who may only send is not told.
        match client.call(&self.target.look()) {
            Err(error) if !error.is_denied() => return Err(self.error(error)),
            _ => {}
        }
        let (calls, ordered_by) = (Vec::new(), HashSet::new());
        self.open = Some(Open { client, calls, ordered_by, next: stored, sent: stored, stored });
        Ok(stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let Some(next) = self.open.as_ref().map(|open| open.next) else { return Ok(()) };
        let table = self.table.clone();
        let end = each_outbox_record(&table.name, batch, next, |record| self.take(record))?;
        if let Some(open) = &mut self.open {
            open.next = end;
        }
        Ok(())
    }

    fn commit(&mut self, _finish: bool, _clock_ms: i64) -> Result<i64, SinkError> {
        self.send()?;
        let Some(open) = &mut self.open else { return Ok(0) };
        // What was refused is in no topic yet, and may not be left behind.
        if open.next > open.stored && self.refused.is_empty() {
            self.positions.set(at(open.next))?;
            open.stored = open.next;
        }
        Ok(open.stored)
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause_ms()
    }
}
