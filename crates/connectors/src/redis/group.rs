//! Brings the entries that a consumer group delivers: what its consumer left before, what others left for too long, and what
//! is new. They are acknowledged when they have landed.
//!
//! The position says that the group was made: one that is not there any more has left what it had not delivered.

use super::connection::{Connection, failure};
use super::entry::Records;
use super::options::{CLAIM, CONSUMER, GROUP};
use super::ordered::{Portion, wake_behind};
use super::resp::Value;
use super::stream::{Entry, Id, Read, Stream, entries, of_read};
use super::{Server, options};
use crate::messages::{Delivered, Done, ServerError, Subscriber, Tickets};
use base::ErrorKind;
use base::codec::FieldWriter;
use dataflow::table::TableDefinition;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Ids in one command.
const IDS_MAX: usize = 1000;

pub(super) struct Grouped {
    records: Records,
    server: Server,
    group: String,
    consumer: String,
    /// None takes nothing over.
    claim: Option<Duration>,
    tickets: Tickets<Id>,
    /// Delivered, and not acknowledged.
    held: BTreeSet<Id>,
    /// Delivered, and not taken.
    entries: VecDeque<Entry>,
    /// How far what this consumer was delivered before is read; none when it is at its end.
    left: Option<Id>,
    /// Where the look for what others left goes on, and when the last was through.
    claimed_to: Id,
    claimed: Option<Duration>,
    /// When the server was told last that entries are held.
    told: Duration,
    /// What the group has delivered last.
    delivered_to: Id,
    waits: bool,
    portion: Portion,
}

impl Grouped {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server) -> Grouped {
        let claim = server.options.duration_ms(CLAIM).filter(|ms| *ms > 0).map(Duration::from_millis);
        let consumer = server.text(CONSUMER).unwrap_or(&server.name).to_string();
        Grouped {
            records: Records::new(table, &server.options, server.access.os().clock.clone()),
            group: server.text(GROUP).unwrap_or_default().to_string(),
            consumer,
            server,
            claim,
            tickets: Tickets::default(),
            held: BTreeSet::new(),
            entries: VecDeque::new(),
            left: None,
            claimed_to: Id::default(),
            claimed: None,
            told: Duration::ZERO,
            delivered_to: Id::default(),
            waits: false,
            portion: Portion::default(),
        }
    }

    /// Which group of which stream was made.
    fn made(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.text(self.server.stream()).text(&self.group);
        out.finish()
    }

    /// Makes the group, and the stream if it is not there.
    fn make(&self, connection: &mut Connection, was_made: bool) -> Done<()> {
        let stream = self.server.stream().as_bytes();
        let about = Stream::of(&connection.ask(&[b"XINFO", b"STREAM", stream])?)?;
        let mut start = self.server.start(&about);
        if was_made {
            match connection.ask(&[b"XINFO", b"GROUPS", stream])? {
                Value::Error(words) if !words.contains("no such key") => return Err(failure(&words)),
                groups if self.own(&groups).is_some() => return Ok(()),
                _ if self.server.bears_losses() => start = Id::default(),
                _ => {
                    return Err(ServerError::invalid(format!(
                        "the consumer group '{}' of stream={} is gone, and with it how far it has read: it was deleted, or the \
                         stream was, or its server has lost what it had; with '{}' = 'earliest' the job makes it again and \
                         goes on with what is there",
                        self.group,
                        self.server.stream(),
                        options::LOST_ENTRIES
                    )));
                }
            }
        }
        let start = start.to_string();
        let made = connection.ask(&[
            b"XGROUP",
            b"CREATE",
            stream,
            self.group.as_bytes(),
            start.as_bytes(),
            b"MKSTREAM",
        ])?;
        match made {
            Value::Error(words) if !words.starts_with("BUSYGROUP") => Err(failure(&words)),
            _ => Ok(()),
        }
    }

    /// The next of what was delivered to this consumer before.
    fn look_back(&mut self, connection: &mut Connection, from: Id) -> Done<()> {
        let (count, from) = (self.portion.words(), from.to_string());
        let found = connection.call(&[
            b"XREADGROUP",
            b"GROUP",
            self.group.as_bytes(),
            self.consumer.as_bytes(),
            b"COUNT",
            &count,
            b"STREAMS",
            self.server.stream().as_bytes(),
            from.as_bytes(),
        ])?;
        let found = of_read(&found)?;
        self.portion.learn(found.len(), connection.answer_bytes);
        self.left = found.last().map(|entry| entry.id);
        let (there, gone): (Vec<Entry>, Vec<Entry>) =
            found.into_iter().partition(|entry| entry.fields.is_some());
        self.give_up(connection, &gone)?;
        self.hold(there);
        Ok(())
    }

    /// What was delivered before, and is deleted by now, may have been read or not.
    fn give_up(&self, connection: &mut Connection, gone: &[Entry]) -> Done<()> {
        let Some(first) = gone.first() else { return Ok(()) };
        if !self.server.bears_losses() {
            return Err(ServerError::invalid(format!(
                "entries={} of stream={} from id={} on were delivered and not acknowledged, and are trimmed or deleted, \
                 perhaps before they were read; with '{}' = 'earliest' the job goes on without them",
                gone.len(),
                self.server.stream(),
                first.id,
                options::LOST_ENTRIES
            )));
        }
        let ids: Vec<Id> = gone.iter().map(|entry| entry.id).collect();
        self.acknowledge(connection, &ids)
    }

    /// Takes over what others left for too long; one look, of several that go through all of it.
    fn claim(&mut self, connection: &mut Connection, idle: Duration) -> Done<()> {
        let (idle, from) = (idle.as_millis().to_string(), self.claimed_to.to_string());
        let count = self.portion.words();
        let answer = connection.ask(&[
            b"XAUTOCLAIM",
            self.server.stream().as_bytes(),
            self.group.as_bytes(),
            self.consumer.as_bytes(),
            idle.as_bytes(),
            from.as_bytes(),
            b"COUNT",
            &count,
        ])?;
        if let Value::Error(words) = &answer {
            let hint = if words.contains("unknown command") {
                format!(": Redis 6.2 has it; '{CLAIM}' = '0 s' does without")
            } else {
                String::new()
            };
            let error = failure(words);
            return Err(ServerError { message: format!("{}{hint}", error.message), ..error });
        }
        // What is deleted, which version 7 names behind, was read by whoever held it.
        let [next, found, ..] = answer.list().unwrap_or_default() else {
            return Err(ServerError::malformed("it does not say what was claimed"));
        };
        let next = next.text().and_then(Id::parse);
        self.claimed_to = next.ok_or_else(|| ServerError::malformed("it does not say where to go on"))?;
        if self.claimed_to == Id::default() {
            self.claimed = Some(connection.now());
        }
        let mut found = entries(found)?;
        found.retain(|entry| entry.fields.is_some() && !self.held.contains(&entry.id));
        self.hold(found);
        Ok(())
    }

    /// What is new, with what the server says of the stream and the group.
    fn look(&mut self, connection: &mut Connection) -> Done<()> {
        let (stream, group) = (self.server.stream().as_bytes(), self.group.as_bytes());
        let count = self.portion.words();
        let about: &[&[u8]] = &[b"XINFO", b"STREAM", stream];
        let groups: &[&[u8]] = &[b"XINFO", b"GROUPS", stream];
        let read: &[&[u8]] = &[
            b"XREADGROUP",
            b"GROUP",
            group,
            self.consumer.as_bytes(),
            b"COUNT",
            &count,
            b"STREAMS",
            stream,
            b">",
        ];
        // What is read is behind a gap that is told, and would not be told again: so it is looked for before.
        self.judge(&connection.at_once(&[about, groups])?)?;
        let answers = connection.at_once(&[about, groups, read])?;
        let [said @ .., found] = &answers[..] else {
            return Err(ServerError::malformed("it does not answer all of a transaction"));
        };
        if let Value::Error(words) = found {
            return Err(failure(words));
        }
        let to = self.judge(said)?;
        let found = of_read(found)?;
        self.portion.learn(found.len(), connection.answer_bytes);
        self.delivered_to = found.last().map_or(to, |entry| entry.id);
        self.hold(found);
        Ok(())
    }

    /// What the group has delivered last, by what the server says of the stream and its groups; an error where entries behind
    /// that are lost.
    fn judge(&self, said: &[Value]) -> Done<Id> {
        let [about, groups] = said else {
            return Err(ServerError::malformed("it does not answer all of a transaction"));
        };
        if let Value::Error(words) = groups {
            return Err(failure(words));
        }
        let stream = Stream::of(about)?;
        // It may have been deleted a moment ago, which is told when the job comes back.
        let own = self.own(groups).ok_or_else(|| ServerError::new(ErrorKind::Retry, "the group is gone"))?;
        let to = own.get("last-delivered-id").and_then(Value::text).and_then(Id::parse);
        let to = to.ok_or_else(|| ServerError::malformed("it does not say what the group has read"))?;
        let count = own.get("entries-read").and_then(Value::number);
        // A group that was made in the middle, or by a server before version 7, has not counted.
        if count.is_some() && stream.added.is_some() {
            self.server.lost(Read { to, count }.lost(&stream), to, &stream)?;
        }
        Ok(to)
    }

    /// What the server says of our group.
    fn own<'a>(&self, groups: &'a Value) -> Option<&'a Value> {
        let mut groups = groups.list().unwrap_or_default().iter();
        groups.find(|known| known.get("name").and_then(Value::text) == Some(&self.group))
    }

    fn hold(&mut self, found: Vec<Entry>) {
        self.held.extend(found.iter().map(|entry| entry.id));
        self.entries.extend(found);
    }

    fn next(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if let Some(from) = self.left {
                self.look_back(connection, from)?;
                continue;
            }
            if self.waits && connection.take(wait)?.is_none() {
                return Ok(None);
            }
            let has_waited = std::mem::take(&mut self.waits);
            if let Some(idle) = self.claim {
                let is_due = |claimed: Duration| connection.now().saturating_sub(claimed) >= idle / 2;
                if self.claimed_to != Id::default() || self.claimed.is_none_or(is_due) {
                    self.claim(connection, idle)?;
                    continue;
                }
            }
            self.look(connection)?;
            if self.entries.is_empty() {
                if wait.is_zero() || has_waited {
                    return Ok(None);
                }
                wake_behind(connection, self.server.stream(), self.delivered_to, wait)?;
                self.waits = true;
            }
        }
    }

    fn acknowledge(&self, connection: &mut Connection, ids: &[Id]) -> Done<()> {
        for ids in ids.chunks(IDS_MAX) {
            self.about(connection, &[b"XACK"], &[], ids, &[])?;
        }
        Ok(())
    }

    /// A command about entries of the group.
    fn about(
        &self,
        connection: &mut Connection,
        command: &[&[u8]],
        before: &[&[u8]],
        ids: &[Id],
        behind: &[&[u8]],
    ) -> Done<()> {
        let ids: Vec<String> = ids.iter().map(Id::to_string).collect();
        let place: [&[u8]; 2] = [self.server.stream().as_bytes(), self.group.as_bytes()];
        let ids: Vec<&[u8]> = ids.iter().map(String::as_bytes).collect();
        connection.call(&[command, &place, before, &ids, behind].concat()).map(drop)
    }
}

impl Subscriber for Grouped {
    type Connection = Connection;

    fn open(&mut self, position: Option<&[u8]>) -> Done<Connection> {
        let mut connection = self.server.connect(true)?;
        self.make(&mut connection, position == Some(&self.made()))?;
        (self.tickets, self.held, self.entries) = (Tickets::default(), BTreeSet::new(), VecDeque::new());
        (self.left, self.claimed_to, self.claimed) = (Some(Id::default()), Id::default(), None);
        (self.waits, self.told) = (false, connection.now());
        Ok(connection)
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        let next = self.next(connection, wait).inspect_err(|_| self.portion.shrink())?;
        let Some(entry) = next else { return Ok(None) };
        let ticket = self.tickets.give(entry.id);
        let id = identity(self.server.stream(), &entry);
        Ok(Some(self.records.delivered(entry, ticket, Some(id))))
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.made())
    }

    fn confirm(&mut self, connection: &mut Connection, ticket: u64) -> Done<()> {
        // The server answers in its order.
        if self.waits && connection.take(self.server.access.timeout())?.is_none() {
            return Err(ServerError::unavailable("the server has not answered in time"));
        }
        self.waits = false;
        let ids: Vec<Id> = self.tickets.settle(ticket).collect();
        self.acknowledge(connection, &ids)?;
        for id in ids {
            self.held.remove(&id);
        }
        Ok(())
    }

    /// What was delivered and is not in the log yet would be taken over by others: the server is told that it is held.
    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        if self.waits && connection.take(Duration::ZERO)?.is_some() {
            self.waits = false;
        }
        let idle = self.claim.unwrap_or(Duration::from_secs(60));
        if !self.waits && connection.now().saturating_sub(self.told) >= idle / 3 {
            self.told = connection.now();
            let held: Vec<Id> = self.held.iter().copied().collect();
            let consumer: &[&[u8]] = &[self.consumer.as_bytes(), b"0"];
            for ids in held.chunks(IDS_MAX) {
                self.about(connection, &[b"XCLAIM"], consumer, ids, &[b"JUSTID"])?;
            }
        }
        connection.tend()
    }
}

/// What tells an entry from all others. Of a stream that is made anew an entry may have the same id, and is another.
fn identity(stream: &str, entry: &Entry) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (name, value) in entry.fields.iter().flatten() {
        for part in [name, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    [format!("{stream}@{}:", entry.id).as_bytes(), &hash.finalize()].concat()
}
