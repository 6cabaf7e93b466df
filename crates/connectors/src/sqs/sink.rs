//! Sends the outbox's records as messages, in batches.
//!
//! A queue has nowhere to keep an offset together with messages, so the position lies in the log (see `positions`), set after
//! the queue has taken what lies before it. What was taken and not yet noted when the node dies is sent again: to a FIFO queue
//! with the same deduplication id, of which it takes none twice within 5 minutes.

use super::message::{attributes, refused};
use super::options::{
    BATCH_SIZE, DEDUPLICATION_ID, DELAY, ENCODING, GROUP_ID, IN_FLIGHT, QUEUE_URL, is_fifo,
};
use crate::aws::{Access, AwsError, Call, Client, Done, passes, sink_error};
use crate::landed::Carried;
use crate::messages::{MessageEncoder, RefusedMessages, hashed};
use crate::positions::{Position, Positions};
use crate::record_batches::each_outbox_record;
use base::ErrorKind;
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Bytes of a batch that every server takes; a longer message goes alone.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// What an entry has besides its body and attributes, at most.
const ENTRY_BYTES: usize = 1 << 10;
/// How often entries are sent again that passingly failed.
const TRIES_MAX: u32 = 5;

pub(super) struct QueueSink {
    table: Arc<TableDefinition>,
    access: Access,
    rows: MessageEncoder,
    positions: Positions,
    settings: Settings,
    open: Option<Open>,
    /// What no queue takes, on its way to the dead-letter topic.
    refused: RefusedMessages,
}

struct Settings {
    url: String,
    is_fifo: bool,
    is_base64: bool,
    group_id: Option<String>,
    delay_seconds: Option<i64>,
    batch_max: usize,
    /// Deduplication ids begin with it.
    name: String,
}

struct Open {
    client: Client,
    /// Not sent yet, in the order of the outbox; the last batch may grow.
    batches: Vec<EntryBatch>,
    /// Behind what was taken from the outbox, what the queue has, and what is noted.
    next: i64,
    sent: i64,
    stored: i64,
}

#[derive(Default)]
struct EntryBatch {
    entries: Vec<Entry>,
    bytes: usize,
}

/// One message.
struct Entry {
    offset: i64,
    timestamp_ms: i64,
    /// As the table's format wrote it.
    value: Vec<u8>,
    fields: Map<String, Value>,
}

impl Settings {
    fn call(&self, entries: &[Entry]) -> Call {
        let entries: Vec<Value> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let mut fields = entry.fields.clone();
                fields.insert("Id".into(), index.to_string().into());
                Value::Object(fields)
            })
            .collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        Call::json("1.0", "AmazonSQS.SendMessageBatch", &body)
    }
}

impl QueueSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        rows: MessageEncoder,
        positions: Positions,
        options: &Options,
        identity: &str,
    ) -> QueueSink {
        let text = |key: &str| options.text(key).unwrap_or_default().to_string();
        let url = text(QUEUE_URL);
        let settings = Settings {
            is_fifo: is_fifo(&url),
            url,
            is_base64: options.text(ENCODING) == Some("base64"),
            group_id: options.text(GROUP_ID).map(str::to_string),
            delay_seconds: options.integer(DELAY),
            batch_max: options.integer(BATCH_SIZE).unwrap_or(10).clamp(1, 10) as usize,
            name: hashed(identity),
        };
        let refused = RefusedMessages::new(&table, options, "");
        QueueSink { table, access, rows, positions, settings, open: None, refused }
    }

    /// Batches that are sent at once.
    fn in_flight(&self) -> usize {
        if self.settings.is_fifo {
            return 1;
        }
        let wanted = self.table.options.get(IN_FLIGHT).and_then(|text| text.trim().parse().ok());
        wanted.unwrap_or(8)
    }

    fn error(&self, error: AwsError) -> SinkError {
        let error = match error.kind {
            ErrorKind::NotFound => AwsError {
                message: format!(
                    "{}; create the queue, or look at 'queue-url' and 'aws.region'",
                    error.message
                ),
                ..error
            },
            _ => error,
        };
        sink_error(&self.table, error)
    }

    fn refuse(&mut self, entry: Entry, reason: String) -> Result<(), SinkError> {
        let which = format!("outbox-offset={}", entry.offset);
        let kept = self.refused.keep(which, entry.value, entry.timestamp_ms, reason);
        kept.map_err(|error| sink_error(&self.table, AwsError::new(error.kind, error.message)))
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let settings = &self.settings;
        let carried = Carried::of(record);
        let value = record.value.unwrap_or_default().to_vec();
        let mut entry =
            Entry { offset: record.offset, timestamp_ms: record.timestamp, value, fields: Map::new() };
        let body = match std::str::from_utf8(&entry.value) {
            _ if settings.is_base64 => STANDARD.encode(&entry.value),
            Ok(text) => text.to_string(),
            Err(_) => {
                let reason =
                    "its body is no UTF-8, which a queue does not take; 'body-encoding' = 'base64' does";
                return self.refuse(entry, reason.into());
            }
        };
        if let Some(reason) = refused(&body, &carried.headers) {
            return self.refuse(entry, reason);
        }
        let attributes = attributes(&carried.headers);
        let bytes = body.len() + attributes.to_string().len() + ENTRY_BYTES;
        let mut field = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                entry.fields.insert(name.into(), value);
            }
        };
        field("MessageBody", Some(body.into()));
        field(
            "MessageAttributes",
            Some(attributes).filter(|all| all.as_object().is_some_and(|all| !all.is_empty())),
        );
        field(
            "MessageGroupId",
            carried.text(GROUP_ID).or_else(|| settings.group_id.clone()).map(Value::from),
        );
        let delay = carried.number(DELAY).or(settings.delay_seconds);
        field("DelaySeconds", delay.filter(|_| !settings.is_fifo).map(Value::from));
        if settings.is_fifo {
            let made = || format!("{}-{}", settings.name, record.offset);
            field("MessageDeduplicationId", Some(carried.text(DEDUPLICATION_ID).unwrap_or_else(made).into()));
        }
        if settings.is_fifo && !entry.fields.contains_key("MessageGroupId") {
            let reason = format!("its '{GROUP_ID}' is NULL, and messages of a FIFO queue have a group");
            return self.refuse(entry, reason);
        }
        let batch_max = settings.batch_max;
        let fits =
            |batch: &EntryBatch| batch.entries.len() < batch_max && batch.bytes + bytes <= BATCH_BYTES_MAX;
        let Some(open) = &mut self.open else { return Ok(()) };
        if !open.batches.last().is_some_and(fits) {
            if open.batches.len() >= open.client.lanes() {
                self.send()?;
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            open.batches.push(EntryBatch::default());
        }
        if let Some(batch) = self.open.as_mut().and_then(|open| open.batches.last_mut()) {
            batch.entries.push(entry);
            batch.bytes += bytes;
        }
        Ok(())
    }

    /// Sends all batches, until the queue has said of every message what became of it.
    fn send(&mut self) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut batches: Vec<Vec<Entry>> =
            std::mem::take(&mut open.batches).into_iter().map(|batch| batch.entries).collect();
        let Some(last) = batches.last().and_then(|entries| entries.last()).map(|entry| entry.offset) else {
            return Ok(());
        };
        let mut tries = 0;
        while !batches.is_empty() {
            let Some(open) = &mut self.open else { return Ok(()) };
            let calls: Vec<Call> = batches.iter().map(|entries| self.settings.call(entries)).collect();
            let answers = open.client.call_all(&calls);
            let mut again = Vec::new();
            let mut is_passing = false;
            for (entries, answer) in batches.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => {
                        let failed = failed(&answer.body, entries).map_err(|error| self.lost(error))?;
                        let (passing, refused): (Vec<_>, Vec<_>) =
                            failed.into_iter().partition(|(_, failure)| failure.is_passing);
                        for (entry, failure) in refused {
                            self.refuse(entry, failure.reason)?;
                        }
                        is_passing |= !passing.is_empty();
                        let passing: Vec<Entry> = passing.into_iter().map(|(entry, _)| entry).collect();
                        again.extend(Some(passing).filter(|entries| !entries.is_empty()));
                    }
                    // The whole is refused for one of its messages: each is sent alone, in order.
                    Err(error) if is_of_messages(&error) && entries.len() > 1 => {
                        again.extend(entries.into_iter().map(|entry| vec![entry]));
                    }
                    Err(error) if is_of_messages(&error) => {
                        for entry in entries {
                            self.refuse(entry, error.message.clone())?;
                        }
                    }
                    Err(error) => return Err(self.lost(error)),
                }
            }
            if is_passing {
                tries += 1;
                if tries == TRIES_MAX {
                    let message =
                        "the queue does not take some messages for now: it is asked too much, or fails";
                    return Err(self.lost(AwsError::new(ErrorKind::Retry, message)));
                }
                if let Some(open) = &self.open {
                    open.client.pause(tries);
                }
            }
            batches = again;
        }
        if let Some(open) = &mut self.open {
            open.sent = last + 1;
        }
        Ok(())
    }

    /// The target is to be opened anew: keeps as a position what it took before.
    fn lost(&mut self, error: AwsError) -> SinkError {
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

/// A position by the outbox alone.
fn at(offset: i64) -> Position {
    Position { offset, mark: 0 }
}

struct Failure {
    is_passing: bool,
    reason: String,
}

/// The entries of a batch that were not taken.
fn failed(answer: &[u8], entries: Vec<Entry>) -> Done<Vec<(Entry, Failure)>> {
    let malformed = || AwsError::malformed("what was sent is not said");
    let answer: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
    let said = |list: &str, index: usize| {
        let id = index.to_string();
        answer[list].as_array()?.iter().find(|entry| entry["Id"].as_str() == Some(&id))
    };
    let mut failed = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        if said("Successful", index).is_some() {
            continue;
        }
        let failure = said("Failed", index).ok_or_else(malformed)?;
        let text = |name: &str| failure[name].as_str().unwrap_or_default();
        let is_ours = failure["SenderFault"].as_bool().unwrap_or(false);
        let reason = format!("AWS says: {} (code {})", text("Message"), text("Code"));
        failed.push((entry, Failure { is_passing: !is_ours || passes(text("Code")), reason }));
    }
    Ok(failed)
}

/// Whether a call was refused for what its messages are.
fn is_of_messages(error: &AwsError) -> bool {
    const CODES: &[&str] = &[
        "BatchRequestTooLong",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "UnsupportedOperation",
    ];
    let code = error.code.rsplit('.').next().unwrap_or_default();
    CODES.contains(&code)
}

impl OutboxSink for QueueSink {
    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        self.refused.clear();
        let stored = self.positions.get()?.offset;
        let mut client = self.access.client(self.in_flight()).map_err(|error| self.error(error))?;
        // It is seen at once whether there is such a queue; who may only send is not told.
        match client.call(&super::attributes(&self.settings.url)) {
            Err(error) if !error.code.starts_with("AccessDenied") => return Err(self.error(error)),
            _ => {}
        }
        self.open = Some(Open { client, batches: Vec::new(), next: stored, sent: stored, stored });
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
}
