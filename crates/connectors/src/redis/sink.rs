//! Adds rows to a stream, each once: a script adds the entries, and sets a key with the outbox offset behind them.
//!
//! The script looks at that key first and leaves out what lies before it. So what an older connection has sent, and the
//! server runs only when a newer one is there, is not added twice.

use super::connection::{Connection, failure};
use super::entry::Body;
use super::options::LENGTH;
use super::resp::Value;
use super::{Server, client_name};
use crate::landed::Carried;
use crate::messages::{Done, Outcome, Publisher, Sent, ServerError, SinkParts, hashed};
use crate::positions::Position;
use kafka_wire::records::Record;
use std::collections::VecDeque;
use std::time::Duration;

/// Arguments: the length to trim to, or nothing; the offset that the key must have at least, so that nothing is added
/// behind what was not taken; then of each entry the outbox offset, the offset behind it, how many names and values it has,
/// and these. Answers what the server said of an entry that it did not take.
const SCRIPT: &str = "\
local at = tonumber(redis.call('GET', KEYS[2]) or '0')
if at < tonumber(ARGV[2]) then
  return 'BEHIND what was sent before is not there'
end
local behind, i, failure = nil, 3, ''
while i <= #ARGV do
  local count = tonumber(ARGV[i + 2])
  if tonumber(ARGV[i]) >= at then
    local add = {'XADD', KEYS[1]}
    if ARGV[1] ~= '' then
      add[3], add[4], add[5] = 'MAXLEN', '~', ARGV[1]
    end
    add[#add + 1] = '*'
    for j = i + 3, i + 2 + count do
      add[#add + 1] = ARGV[j]
    end
    local added = redis.pcall(unpack(add))
    if type(added) == 'table' and added.err then
      failure = added.err
      break
    end
    behind = ARGV[i + 1]
  end
  i = i + 3 + count
end
if behind then
  redis.call('SET', KEYS[2], behind)
end
return failure
";

/// Raises the key from an offset that it must have at least.
const RAISE: &str = "\
local at = tonumber(redis.call('GET', KEYS[1]) or '0')
if at < tonumber(ARGV[1]) then
  return 'BEHIND what was sent before is not there'
end
if at < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[2])
end
return ''
";

/// What goes to the server at once.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_ENTRIES: usize = 500;
/// Letters of the sink's name in its key.
const NAME_LETTERS: usize = 24;

pub(super) struct StreamPublisher {
    server: Server,
    body: Body,
    /// The key with the offset.
    key: String,
    length: Vec<u8>,
    batch: Batch,
    /// The tag of the last entry of each batch on its way.
    sent: VecDeque<u64>,
    /// Behind the last entry that was sent, or where the connection went on.
    sent_to: i64,
}

/// Arguments that wait to be sent.
#[derive(Default)]
struct Batch {
    words: Vec<Vec<u8>>,
    bytes: usize,
    entries: usize,
    last_tag: u64,
}

impl StreamPublisher {
    pub(super) fn new(parts: &SinkParts) -> StreamPublisher {
        let options = parts.options.clone();
        let server = Server { access: parts.access.clone(), options, name: client_name(&parts.job) };
        let mut name = hashed(&parts.job);
        name.truncate(NAME_LETTERS);
        StreamPublisher {
            body: Body::of(&server.options),
            key: format!("eventwright:{{{}}}:{name}", slot_of(server.stream())),
            length: server.text(LENGTH).unwrap_or_default().as_bytes().to_vec(),
            server,
            batch: Batch::default(),
            sent: VecDeque::new(),
            sent_to: 0,
        }
    }

    fn send(&mut self, connection: &mut Connection) -> Done<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.entries == 0 {
            return Ok(());
        }
        let keys: [&[u8]; 2] = [self.server.stream().as_bytes(), self.key.as_bytes()];
        let words: Vec<&[u8]> = batch.words.iter().map(Vec::as_slice).collect();
        let begin: [&[u8]; 3] = [b"EVAL", SCRIPT.as_bytes(), b"2"];
        let sent_to = self.sent_to.to_string();
        connection.put(&[&begin[..], &keys, &[&self.length, sent_to.as_bytes()], &words].concat())?;
        self.sent.push_back(batch.last_tag);
        self.sent_to = batch.last_tag as i64 + 1;
        connection.flush()
    }
}

/// The part of a key that says in which slot of a cluster it lies.
fn slot_of(key: &str) -> &str {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

impl Publisher for StreamPublisher {
    type Connection = Connection;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        (self.batch, self.sent) = (Batch::default(), VecDeque::new());
        let mut connection = self.server.connect(true)?;
        let mut found = connection.call(&[b"GET", self.key.as_bytes()])?;
        if found == Value::Null {
            // A sink that is new, or a server that has forgotten the key: the log knows what was confirmed.
            let known = known.offset.to_string();
            connection.call(&[b"SET", self.key.as_bytes(), known.as_bytes(), b"NX"])?;
            found = connection.call(&[b"GET", self.key.as_bytes()])?;
        }
        let offset = found.number().and_then(|offset| i64::try_from(offset).ok());
        let offset = offset
            .ok_or_else(|| ServerError::invalid(format!("the key '{}' holds no offset of ours", self.key)))?;
        self.sent_to = offset;
        Ok((connection, Position { offset, mark: 0 }))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        let fields = self.body.fields(&Carried::of(record), record.value.unwrap_or_default());
        let fields = match fields {
            Ok(fields) => fields,
            Err(reason) => return Ok(Sent::Refused(reason)),
        };
        let tag = record.offset as u64;
        let batch = &mut self.batch;
        for number in [record.offset, record.offset + 1, fields.len() as i64 * 2] {
            batch.words.push(number.to_string().into_bytes());
        }
        for word in fields.into_iter().flat_map(|(name, value)| [name, value]) {
            batch.bytes += word.len();
            batch.words.push(word);
        }
        (batch.entries, batch.last_tag) = (batch.entries + 1, tag);
        if batch.bytes >= BATCH_BYTES || batch.entries >= BATCH_ENTRIES {
            self.send(connection)?;
        }
        Ok(Sent::Tag(tag))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        self.send(connection)?;
        let Some(answer) = connection.take(wait)? else { return Ok(None) };
        let tag = self.sent.pop_front();
        let tag = tag.ok_or_else(|| ServerError::malformed("it answers what nobody asked"))?;
        match answer {
            Value::Text(words) if words.is_empty() => {
                Ok(Some(Outcome::Confirmed { tag, multiple: true, mark: 0 }))
            }
            Value::Text(words) => Err(failure(&String::from_utf8_lossy(&words))),
            Value::Error(words) => Err(failure(&words)),
            _ => Err(ServerError::malformed("a script of ours answers otherwise")),
        }
    }

    /// The last rows were refused, and lie in their topic: the key goes behind them, or they would be refused again.
    fn kept(&mut self, connection: &mut Connection, offset: i64) -> Done<()> {
        if offset <= self.sent_to {
            return Ok(());
        }
        let (key, from, to) = (self.key.as_bytes(), self.sent_to.to_string(), offset.to_string());
        let command: [&[u8]; 6] = [b"EVAL", RAISE.as_bytes(), b"1", key, from.as_bytes(), to.as_bytes()];
        match connection.call(&command)?.text() {
            Some("") => {
                self.sent_to = offset;
                Ok(())
            }
            Some(words) => Err(failure(words)),
            None => Err(ServerError::malformed("a script of ours answers otherwise")),
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        if self.sent.is_empty() { connection.tend() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_with_the_offset_lies_in_the_slot_of_the_stream() {
        for (stream, slot) in [
            ("orders", "orders"),
            ("{shop}:orders", "shop"),
            ("a{}b", "a{}b"),
            ("a{b", "a{b"),
            ("{a}{b}", "a"),
        ] {
            assert_eq!(slot_of(stream), slot);
        }
    }
}
