//! Brings the entries of a stream in its order: the position is the id of the last, with how many there were up to it.
//!
//! What is read is asked for together with what the server says of the stream, as one, so that nothing is trimmed between
//! the two. A wait for more only wakes us up; what has come is then asked for in the same way.

use super::connection::{Connection, failure};
use super::entry::Records;
use super::resp::Value;
use super::stream::{Entry, Id, Lost, Read, Stream, of_read};
use super::{Server, options};
use crate::messages::{Delivered, Done, HAUL_BYTES_MAX, ServerError, Subscriber};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::table::TableDefinition;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const COUNT_FIRST: u64 = 100;
const COUNT_MAX: u64 = 1000;
/// How long one wait at the server takes at most, so that others are not kept waiting.
const BLOCK_MAX: Duration = Duration::from_secs(1);

/// How many entries to ask for: the server counts them, and looks at no bytes.
#[derive(Debug)]
pub(super) struct Portion(u64);

impl Default for Portion {
    fn default() -> Portion {
        Portion(COUNT_FIRST)
    }
}

impl Portion {
    pub(super) fn words(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// An answer with so many entries had so many bytes.
    pub(super) fn learn(&mut self, entries: usize, bytes: usize) {
        if let Some(of_one) = bytes.checked_div(entries) {
            self.0 = ((HAUL_BYTES_MAX / of_one.max(1)) as u64).clamp(1, COUNT_MAX);
        }
    }

    /// It failed: the answer may have been too long.
    pub(super) fn shrink(&mut self) {
        self.0 = (self.0 / 10).max(1);
    }
}

/// Asks the server to answer when there is something behind an id, or after the wait.
pub(super) fn wake_behind(connection: &mut Connection, stream: &str, id: Id, wait: Duration) -> Done<()> {
    let block = wait.min(BLOCK_MAX).as_millis().max(1).to_string();
    let id = id.to_string();
    connection.put(&[
        b"XREAD",
        b"COUNT",
        b"1",
        b"BLOCK",
        block.as_bytes(),
        b"STREAMS",
        stream.as_bytes(),
        id.as_bytes(),
    ])?;
    connection.flush()
}

fn encode(read: Read, has_begun: bool) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u8(u8::from(has_begun)).u64(read.to.ms).u64(read.to.sequence);
    match read.count {
        Some(count) => out.u8(1).u64(count),
        None => out.u8(0),
    };
    out.finish()
}

fn decode(bytes: &[u8]) -> Result<(Read, bool), CodecError> {
    let mut reader = FieldReader::new(bytes);
    let has_begun = reader.u8()? != 0;
    let to = Id { ms: reader.u64()?, sequence: reader.u64()? };
    let count = if reader.u8()? != 0 { Some(reader.u64()?) } else { None };
    reader.finish()?;
    Ok((Read { to, count }, has_begun))
}

pub(super) struct Ordered {
    records: Records,
    server: Server,
    /// Up to what was taken.
    read: Read,
    /// Whether an entry was taken: until then nothing is lost where it is not known how many there were.
    has_begun: bool,
    /// What was read and is not taken, each with how many there were up to it.
    entries: VecDeque<(Entry, Option<u64>)>,
    /// The server will say when there is more.
    waits: bool,
    portion: Portion,
}

impl Ordered {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server) -> Ordered {
        Ordered {
            records: Records::new(table, &server.options, server.access.os().clock.clone()),
            server,
            read: Read::default(),
            has_begun: false,
            entries: VecDeque::new(),
            waits: false,
            portion: Portion::default(),
        }
    }

    /// Behind what is to be read, and how many there were up to it.
    fn begin(&mut self, stream: &Stream) {
        let to = self.server.start(stream);
        let count = match stream.first {
            // What is gone already is none of what was to be read.
            Some(first) if to < first => stream.before(),
            _ if to == stream.last || (stream.first.is_none() && to < stream.last) => stream.added,
            _ => None,
        };
        (self.read, self.has_begun) = (Read { to, count }, false);
    }

    /// Reads what there is behind what was taken.
    fn look(&mut self, connection: &mut Connection) -> Done<()> {
        let (stream, from) = (self.server.stream().as_bytes(), self.read.to.to_string());
        let count = self.portion.words();
        let about: &[&[u8]] = &[b"XINFO", b"STREAM", stream];
        let read: &[&[u8]] = &[b"XREAD", b"COUNT", &count, b"STREAMS", stream, from.as_bytes()];
        let [about, found] = &connection.at_once(&[about, read])?[..] else {
            return Err(ServerError::malformed("it does not answer all of a transaction"));
        };
        let stream = Stream::of(about)?;
        if stream.added.is_none() {
            return Err(ServerError::invalid(format!(
                "the server does not say how many entries there were (Redis 7 does): without that nobody notices what is \
                 trimmed; read with '{}' = '…'",
                options::GROUP
            )));
        }
        if let Value::Error(words) = found {
            return Err(failure(words));
        }
        if self.read.count.is_some() || self.has_begun {
            let before = self.read.to;
            self.judge(&stream)?;
            if self.read.to != before {
                // What was found lies behind where the other stream was read to.
                return Ok(());
            }
        }
        let entries = of_read(found)?;
        self.portion.learn(entries.len(), connection.answer_bytes);
        // From the end of the stream it is known how many there were, and else from what was read before.
        let is_end = entries.last().is_some_and(|entry| entry.id == stream.last);
        let first = match (is_end, stream.added, self.read.count) {
            (true, Some(added), _) => added.checked_sub(entries.len() as u64),
            (_, _, count) => count,
        };
        if entries.is_empty() && self.read.to == stream.last {
            self.read.count = stream.added;
        }
        let counted = |(index, entry)| (entry, first.map(|first| first + index));
        self.entries.extend((1..).zip(entries).map(counted));
        Ok(())
    }

    fn judge(&mut self, stream: &Stream) -> Done<()> {
        let lost = self.read.lost(stream);
        self.server.lost(lost, self.read.to, stream)?;
        match lost {
            Lost::Nothing => {}
            // Another stream is read from its beginning.
            Lost::End | Lost::All => self.read = Read { to: Id::default(), count: stream.before() },
            Lost::Entries(_) => self.read.count = stream.before(),
        }
        Ok(())
    }

    fn next(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Entry>> {
        loop {
            if let Some((entry, count)) = self.entries.pop_front() {
                (self.read, self.has_begun) = (Read { to: entry.id, count }, true);
                return Ok(Some(entry));
            }
            if self.waits && connection.take(wait)?.is_none() {
                return Ok(None);
            }
            let has_waited = std::mem::take(&mut self.waits);
            let before = self.read;
            self.look(connection)?;
            // With losses that are borne it is looked for again.
            if self.entries.is_empty() && self.read.to == before.to {
                if wait.is_zero() || has_waited {
                    return Ok(None);
                }
                wake_behind(connection, self.server.stream(), self.read.to, wait)?;
                self.waits = true;
            }
        }
    }
}

impl Subscriber for Ordered {
    type Connection = Connection;

    fn open(&mut self, position: Option<&[u8]>) -> Done<Connection> {
        (self.waits, self.entries) = (false, VecDeque::new());
        let mut connection = self.server.connect(false)?;
        let about = connection.ask(&[b"XINFO", b"STREAM", self.server.stream().as_bytes()])?;
        let stream = Stream::of(&about)?;
        match position.map(decode) {
            None => self.begin(&stream),
            Some(Ok((read, has_begun))) => {
                (self.read, self.has_begun) = (read, has_begun);
                if read.count.is_some() || has_begun {
                    self.judge(&stream)?;
                }
            }
            Some(Err(error)) => return Err(ServerError::new(ErrorKind::Corrupt, error.to_string())),
        }
        Ok(connection)
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        let next = self.next(connection, wait).inspect_err(|_| self.portion.shrink())?;
        Ok(next.map(|entry| self.records.delivered(entry, 0, None)))
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(encode(self.read, self.has_begun))
    }

    /// The position says it.
    fn confirm(&mut self, _connection: &mut Connection, _ticket: u64) -> Done<()> {
        Ok(())
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        if self.waits && connection.take(Duration::ZERO)?.is_some() {
            self.waits = false;
        }
        connection.tend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for (count, has_begun) in [(None, false), (Some(7), true), (None, true)] {
            let read = Read { to: Id { ms: 5, sequence: 6 }, count };
            let bytes = encode(read, has_begun);
            assert_eq!(decode(&bytes), Ok((read, has_begun)));
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "cut to {length} bytes");
            }
        }
    }

    #[test]
    fn what_is_asked_for_follows_what_entries_need() {
        let mut portion = Portion::default();
        portion.learn(100, 100 * (1 << 20));
        assert_eq!(portion.words(), b"4");
        portion.learn(4, 400);
        assert_eq!(portion.words(), b"1000");
        portion.learn(0, 9);
        portion.shrink();
        assert_eq!(portion.words(), b"100");
        portion.learn(1, HAUL_BYTES_MAX * 3);
        portion.shrink();
        assert_eq!(portion.words(), b"1");
    }
}
