//! Publishes messages to a stream, each once.
//!
//! A message's id is made of the sink's name and the outbox offset. Within its duplicate window a stream takes no id twice.
//! For what lies longer back, the log keeps the sequence behind the last confirmed message together with the outbox offset:
//! when the sink is opened, the stream's messages from there on are looked through for ids of ours. The first that is
//! missing is where the sink goes on: a stream may refuse a message and take the next.

use super::connection::{Connection, api_error};
use super::consumer::Consumer;
use super::frames::{Message, fits_header, is_subject};
use super::options::{STREAM, SUBJECT};
use super::stream::Stream;
use super::{ID, Server};
use crate::landed::Carried;
use crate::messages::{Done, Outcome, Publisher, Sent, ServerError, SinkParts, hashed, short_name};
use crate::positions::Position;
use base::ErrorKind;
use kafka_wire::records::Record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Names the message where its row has an id of its own.
const OFFSET: &str = "Eventwright-Offset";
const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
const NAME_LETTERS: usize = 24;
/// Of messages behind one that is missing, so many are known; others are sent again.
const LATER_MAX: usize = 100_000;
/// By which codes a stream refuses a message for what it is: it is too long, or its headers are. Others are about headers
/// that tell the server what to do, which we write none of.
const OF_MESSAGES: [u64; 2] = [10_054, 10_097];
/// By which codes a stream refuses every message for good: it is another, or it is sealed.
const OF_STREAMS: [u64; 2] = [10_060, 10_109];

pub(super) struct StreamPublisher {
    server: Server,
    subject: String,
    /// What ids begin with.
    name: String,
    stream: Option<Stream>,
    last_tag: u64,
    /// What is on its way, by tag: its outbox offset and its body.
    sent: BTreeMap<u64, (i64, Vec<u8>)>,
    ready: VecDeque<Outcome>,
}

impl StreamPublisher {
    pub(super) fn new(parts: &SinkParts) -> StreamPublisher {
        let options = parts.options.clone();
        let mut name = hashed(&parts.job);
        name.truncate(NAME_LETTERS);
        StreamPublisher {
            subject: options.text(SUBJECT).unwrap_or_default().to_string(),
            server: Server { access: parts.access.clone(), options, name: short_name(&parts.job) },
            name,
            stream: None,
            last_tag: 0,
            sent: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    fn id(&self, offset: i64) -> String {
        format!("{}-{offset}", self.name)
    }

    /// The outbox offset in an id of ours.
    fn offset_of(&self, message: &Message) -> Option<i64> {
        let own = |id: String| id.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok();
        message.header(OFFSET).and_then(own).or_else(|| message.header(ID).and_then(own))
    }

    /// Looks for what the stream has beyond what is known.
    fn find_last(&self, connection: &mut Connection, known: Position, stream: &Stream) -> Done<Position> {
        let Position { offset, mark } = known;
        let behind = stream.last + 1;
        // A sink that is new, or a stream that was made anew.
        if mark == 0 || mark > behind {
            return Ok(Position { offset, mark: behind });
        }
        if mark == behind {
            return Ok(known);
        }
        let start = ("by_start_sequence", Value::from(mark));
        let made = Consumer::make(connection, self.server.stream(), start, None, true);
        let mut consumer = match made {
            Ok(consumer) => consumer,
            // A work queue has no other consumers, and forgets what was taken from it: there is the window alone.
            Err(error) if error.kind == ErrorKind::Invalid => return Ok(known),
            Err(error) => return Err(error),
        };
        let timeout = self.server.access.timeout();
        let mut taken = Taken { next: offset, later: BTreeSet::new() };
        consumer.each_up_to(connection, stream.last, timeout, |message| {
            if let Some(found) = self.offset_of(message) {
                taken.add(found);
            }
        })?;
        // What lies behind a gap is sent again, and found by its id; until then it has to be looked for from here.
        let mark = if taken.later.is_empty() { behind } else { mark };
        Ok(Position { offset: taken.next, mark })
    }

    /// Why no stream takes a message.
    fn unfit(&self, connection: &Connection, subject: &str, bytes: usize) -> Option<String> {
        let stream = self.stream.as_ref()?;
        if !is_subject(subject) {
            return Some(format!("'{subject}' is no subject: it has to be tokens with dots between them"));
        }
        if !stream.takes(subject) {
            return Some(format!("the subject '{subject}' is none of stream={}", self.server.stream()));
        }
        let limit = stream.message_bytes_max.unwrap_or(usize::MAX).min(connection.payload_bytes_max);
        (bytes > limit)
            .then(|| format!("a message of bytes={bytes} is longer than the server takes (limit={limit})"))
    }
}

/// Which of our messages the stream has: one that it refused lies before others that it took.
struct Taken {
    /// All before it is there.
    next: i64,
    later: BTreeSet<i64>,
}

impl Taken {
    fn add(&mut self, offset: i64) {
        if offset >= self.next && self.later.len() < LATER_MAX {
            self.later.insert(offset);
        }
        while self.later.remove(&self.next) {
            self.next += 1;
        }
    }
}

impl Publisher for StreamPublisher {
    type Connection = Connection;

    /// A server holds back no more than 10,000 messages for a stream, of all who publish to it, and refuses the next (2.11).
    const AT_ONCE_MAX: i64 = 5_000;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        (self.sent, self.ready) = (BTreeMap::new(), VecDeque::new());
        let mut connection = self.server.connect()?;
        let stream = Stream::find(&mut connection, self.server.stream())?;
        if !stream.takes(&self.subject) {
            return Err(ServerError::invalid(format!(
                "the subject '{}' is none of stream={}; set '{SUBJECT}' to one of its own, or '{STREAM}' to another",
                self.subject,
                self.server.stream()
            )));
        }
        let found = self.find_last(&mut connection, known, &stream)?;
        self.stream = Some(stream);
        Ok((connection, found))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        let carried = Carried::of(record);
        let subject = carried.text("subject");
        let subject = subject.as_deref().unwrap_or(&self.subject);
        let own = self.id(record.offset);
        let mut headers: Vec<(String, Vec<u8>)> = match carried.text("message-id") {
            Some(id) => vec![(ID.into(), id.into_bytes()), (OFFSET.into(), own.into_bytes())],
            None => vec![(ID.into(), own.into_bytes())],
        };
        headers.push((EXPECTED_STREAM.into(), self.server.stream().as_bytes().to_vec()));
        for (name, value) in &carried.headers {
            headers.push((name.to_string(), value.unwrap_or_default().to_vec()));
        }
        if let Some((name, _)) = carried.headers.iter().find(|(name, _)| is_servers(name)) {
            return Ok(Sent::Refused(format!(
                "the header '{}' cannot be written: the server takes headers that begin with Nats- as commands",
                name.escape_debug()
            )));
        }
        if let Some((name, _)) = headers.iter().find(|(name, value)| !fits_header(name, value)) {
            return Ok(Sent::Refused(format!(
                "the header '{}' cannot be written: NATS has no line ends in headers, and no spaces and colons in their names",
                name.escape_debug()
            )));
        }
        let payload = record.value.unwrap_or_default();
        let headers_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if let Some(reason) = self.unfit(connection, subject, payload.len() + headers_bytes + 12) {
            return Ok(Sent::Refused(reason));
        }
        self.last_tag += 1;
        let reply = connection.reply_to(&self.last_tag.to_string());
        connection.put(subject, Some(&reply), &headers, payload)?;
        self.sent.insert(self.last_tag, (record.offset, payload.to_vec()));
        Ok(Sent::Tag(self.last_tag))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        loop {
            if let Some(outcome) = self.ready.pop_front() {
                return Ok(Some(outcome));
            }
            let Some(message) = connection.take(wait)? else { return Ok(None) };
            let Some(tag) = message.answered().and_then(|token| token.parse().ok()) else { continue };
            let sent = self.sent.remove(&tag);
            self.ready.extend(said(tag, sent, &message)?);
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}

/// Whether a header tells the server what to do.
fn is_servers(name: &str) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"))
}

/// What the stream says of a message, of which its outbox offset and its body are known.
fn said(tag: u64, sent: Option<(i64, Vec<u8>)>, message: &Message) -> Done<Vec<Outcome>> {
    if message.status.is_some() {
        let reason =
            "no stream has taken a message: the stream was deleted, or JetStream is away".to_string();
        return Ok(vec![Outcome::NotTaken { tag, multiple: false, reason }]);
    }
    let answer: Value = serde_json::from_slice(&message.payload)
        .map_err(|error| ServerError::malformed(&format!("its confirm is no JSON: {error}")))?;
    match (&answer["error"], answer["seq"].as_u64()) {
        (Value::Null, Some(sequence)) => {
            Ok(vec![Outcome::Confirmed { tag, multiple: false, mark: sequence.saturating_add(1) }])
        }
        (Value::Null, None) => Err(ServerError::malformed("a confirm without a sequence")),
        (error, _) => {
            let code = error["err_code"].as_u64().unwrap_or_default();
            let error = api_error(error);
            match sent {
                // No other try makes it right. The dead letter settles it.
                Some((offset, body)) if OF_MESSAGES.contains(&code) => {
                    let which = format!("outbox-offset={offset}");
                    let refused = Outcome::Refused { which, body, reason: error.message };
                    Ok(vec![refused, Outcome::Confirmed { tag, multiple: false, mark: 0 }])
                }
                _ if OF_STREAMS.contains(&code) => Err(ServerError::invalid(format!(
                    "the stream takes no messages: {}; name another in '{STREAM}', or make it take them",
                    error.message
                ))),
                _ => {
                    let reason = format!("the stream could not take a message: {}", error.message);
                    Ok(vec![Outcome::NotTaken { tag, multiple: false, reason }])
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_gap_is_not_taken_for_all() {
        let mut taken = Taken { next: 5, later: BTreeSet::new() };
        for offset in [3, 5, 7, 8] {
            taken.add(offset);
        }
        assert_eq!((taken.next, taken.later.len()), (6, 2));
        taken.add(6);
        assert_eq!((taken.next, taken.later.len()), (9, 0));
    }

    #[test]
    fn commands_to_the_server_are_none_of_a_rows_headers() {
        assert!(is_servers("Nats-Rollup") && is_servers("nats-expected-last-sequence"));
        assert!(!is_servers("nats") && !is_servers("trace") && !is_servers("gnats-"));
    }

    fn message(payload: &str) -> Message {
        Message { payload: payload.as_bytes().to_vec(), ..Message::default() }
    }

    #[test]
    fn what_a_stream_says_is_understood() {
        let said = |tag, text: &str| said(tag, Some((7, b"body".to_vec())), &message(text));
        let confirmed = said(3, r#"{"stream":"S","seq":41}"#).unwrap();
        assert_eq!(confirmed, [Outcome::Confirmed { tag: 3, multiple: false, mark: 42 }]);
        let again = said(3, r#"{"stream":"S","seq":41,"duplicate":true}"#).unwrap();
        assert_eq!(again, confirmed);
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        let [Outcome::NotTaken { tag: 3, reason, .. }] = &said(3, full).unwrap()[..] else {
            panic!("not taken")
        };
        assert!(reason.contains("maximum messages exceeded"), "{reason}");
        for wrong in ["", "{}", "[]"] {
            assert!(said(1, wrong).is_err(), "{wrong}");
        }
        for busy in [
            r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#,
            r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
            r#"{"error":{"code":400,"err_code":10002,"description":"resource limits exceeded for account"}}"#,
        ] {
            assert!(matches!(said(3, busy).unwrap()[..], [Outcome::NotTaken { tag: 3, .. }]), "{busy}");
        }
        let sealed = r#"{"error":{"code":400,"err_code":10109,"description":"stream is sealed"}}"#;
        let error = said(3, sealed).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains("stream is sealed"), "{error:?}");
        // What no other try makes right.
        let long = r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum"}}"#;
        let [Outcome::Refused { which, body, reason }, settled] = &said(3, long).unwrap()[..] else {
            panic!("refused")
        };
        assert_eq!((which.as_str(), body.as_slice()), ("outbox-offset=7", &b"body"[..]));
        assert!(reason.contains("size exceeds"), "{reason}");
        assert_eq!(*settled, Outcome::Confirmed { tag: 3, multiple: false, mark: 0 });
    }
}
