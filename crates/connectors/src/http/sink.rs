//! Sends the outbox's rows as requests, each with one row or with several, and waits for what the server says of each.
//!
//! A server of HTTP has nowhere to keep an offset together with what it takes, so the position lies in the log (see
//! `positions`), set after the server has taken what lies before it. What was taken and not yet noted when the node dies is
//! sent again with the same `Idempotency-Key`: the key is made of the job and the rows' offsets, and which rows are one
//! request depends on the outbox alone. The rows of a request are always of one batch of the outbox, counted from its
//! beginning, and the position never lies within a request.
//!
//! With one request at a time rows keep their order, whatever passingly fails.

use super::access::{self, Access, Head, header_problem, set, set_unless};
use super::codes::{Codes, Meaning};
use super::options::{BATCH_SIZE, ERROR_CODES, IN_FLIGHT, METHOD, MODE, TAKEN_CODES, is_json};
use crate::http_answers::{retry_after, words};
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost};
use crate::landed::Carried;
use crate::messages::{Done, MessageEncoder, RefusedMessages, ServerError, hashed, told};
use crate::positions::{Position, Positions};
use crate::record_batches::each_outbox_record;
use crate::table_format::Checked;
use base::ErrorKind;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use formats::FormatKind;
use kafka_wire::records::Record;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often what passingly fails is sent again before the sink is opened anew, by the job's restart strategy.
const TRIES_MAX: u32 = 4;
/// The pause before the second try; each is twice the one before, less a random part.
const PAUSE_MS: u64 = 100;
/// A longer pause that a server wants is not waited for in the sink.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Digits of a hash that tell a job's keys from all others.
const KEY_DIGITS: usize = 32;

pub(super) struct HttpSink {
    table: Arc<TableDefinition>,
    access: Access,
    rows: MessageEncoder,
    positions: Positions,
    requests: Requests,
    lanes: usize,
    refused: RefusedMessages,
    /// The server has taken something before: who we are was enough, and the place was there.
    was_let_in: bool,
    open: Option<Open>,
}

struct Open {
    host: Host,
    lanes: Vec<Lane>,
    /// Not sent yet, in order.
    waiting: VecDeque<Group>,
    /// The last of them is of the batch of the outbox that is applied now.
    may_grow: bool,
    /// Behind what was taken from the outbox, and what is noted.
    next: i64,
    stored: i64,
}

/// The rows of one request.
struct Group {
    rows: Vec<Row>,
    /// Where the request began of which these rows were a part.
    begin: i64,
}

struct Row {
    offset: i64,
    timestamp_ms: i64,
    value: Vec<u8>,
    headers: Head,
}

/// How rows become requests.
struct Requests {
    method: String,
    kind: FormatKind,
    /// Rows of a request, in the mode `batch`.
    batch: Option<usize>,
    refused: Codes,
    taken: Codes,
    /// What idempotency keys begin with.
    key: String,
}

/// What became of a request.
enum Judged {
    Taken,
    Refused(String),
    /// The same later, not before this time has passed.
    Again(ServerError, Duration),
    /// It is of no use to go on.
    Ended(ServerError),
}

impl Requests {
    fn new(checked: &Checked, identity: &str) -> Result<Requests, String> {
        let options = &checked.options;
        let number = |key: &str| options.integer(key).and_then(|number| usize::try_from(number).ok());
        let codes = |key: &str| Codes::parse(options.text(key).unwrap_or_default());
        let is_batch = options.text(MODE) == Some("batch");
        let mut key = hashed(identity);
        key.truncate(KEY_DIGITS);
        Ok(Requests {
            method: options.text(METHOD).unwrap_or("POST").to_string(),
            kind: checked.value.kind(),
            batch: is_batch.then(|| number(BATCH_SIZE).unwrap_or(500).max(1)),
            refused: codes(ERROR_CODES)?,
            taken: codes(TAKEN_CODES)?,
            key,
        })
    }

    /// A record as a row of a request, or why no server takes it.
    fn row(&self, record: &Record<'_>) -> Result<Row, String> {
        let carried = Carried::of(record);
        let mut headers = Head::new();
        for (name, value) in &carried.headers {
            let attribute = name.strip_prefix("ce_").filter(|_| self.kind == FormatKind::CloudEvents);
            let name = attribute.map_or_else(|| name.to_string(), |attribute| format!("ce-{attribute}"));
            if let Some(reason) = header_problem(&name) {
                return Err(format!("its header '{}': {reason}", name.escape_debug()));
            }
            let value = std::str::from_utf8(value.unwrap_or_default()).ok();
            let value = value.filter(|value| !value.contains(['\r', '\n', '\0']));
            let value = value.ok_or_else(|| format!("its header '{name}' is no text of one line"))?;
            let value = if attribute.is_some() { percent_encoded(value) } else { value.to_string() };
            set(&mut headers, &name, value);
        }
        let value = record.value.unwrap_or_default().to_vec();
        Ok(Row { offset: record.offset, timestamp_ms: record.timestamp, value, headers })
    }

    fn bytes(&self, access: &Access, head: &Head, group: &Group) -> Vec<u8> {
        let mut head = head.clone();
        let (Some(first), Some(last)) = (group.rows.first(), group.rows.last()) else { return Vec::new() };
        let key = match group.rows.len() {
            1 => format!("{}-{}", self.key, first.offset),
            _ => format!("{}-{}-{}", self.key, first.offset, last.offset),
        };
        set_unless(&mut head, "Idempotency-Key", &key);
        if self.batch.is_none() {
            for (name, value) in &first.headers {
                set(&mut head, name, value.clone());
            }
            set_unless(&mut head, "Content-Type", content_type(self.kind));
            return access::request(&self.method, &access.url().path, &head, &first.value);
        }
        let content_type = match self.kind {
            FormatKind::CloudEvents => "application/cloudevents-batch+json; charset=UTF-8",
            _ => "application/json",
        };
        set_unless(&mut head, "Content-Type", content_type);
        let values: Vec<&[u8]> = group.rows.iter().map(|row| row.value.as_slice()).collect();
        let body = [b"[", values.join(&b","[..]).as_slice(), b"]"].concat();
        access::request(&self.method, &access.url().path, &head, &body)
    }

    fn meaning(&self, status: u16) -> Meaning {
        match status {
            _ if self.taken.has(status) => Meaning::Done,
            _ if self.refused.has(status) => Meaning::Refused,
            _ => Meaning::of(status),
        }
    }
}

/// What a value is by its format alone.
fn content_type(kind: FormatKind) -> &'static str {
    match kind {
        kind if is_json(kind) => "application/json",
        FormatKind::Csv => "text/csv; charset=UTF-8",
        FormatKind::Raw => "application/octet-stream",
        FormatKind::Protobuf => "application/x-protobuf",
        _ => "application/octet-stream",
    }
}

/// An attribute of an event as a header (HTTP binding of CloudEvents, 3.1.3.2).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => encoded.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl Group {
    /// Each row alone.
    fn singles(self) -> impl DoubleEndedIterator<Item = Group> {
        let begin = self.begin;
        self.rows.into_iter().map(move |row| Group { rows: vec![row], begin })
    }
}

impl HttpSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        rows: MessageEncoder,
        positions: Positions,
        checked: &Checked,
        identity: &str,
    ) -> Result<HttpSink, String> {
        let lanes = checked.options.integer(IN_FLIGHT).and_then(|lanes| usize::try_from(lanes).ok());
        Ok(HttpSink {
            refused: RefusedMessages::new(&table, &checked.options, ""),
            requests: Requests::new(checked, identity)?,
            lanes: lanes.unwrap_or(1).max(1),
            table,
            access,
            rows,
            positions,
            was_let_in: false,
            open: None,
        })
    }

    fn error(&self, error: ServerError) -> SinkError {
        let (kind, message) = told(&self.table, error);
        SinkError { kind, message }
    }

    fn refuse(&mut self, row: Row, reason: String) -> Result<(), SinkError> {
        let which = format!("outbox-offset={}", row.offset);
        let kept = self.refused.keep(which, row.value, row.timestamp_ms, reason);
        kept.map_err(|error| self.error(error))
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let row = match self.requests.row(record) {
            Ok(row) => row,
            Err(reason) => {
                let value = record.value.unwrap_or_default().to_vec();
                let (offset, timestamp_ms) = (record.offset, record.timestamp);
                return self.refuse(Row { offset, timestamp_ms, value, headers: Head::new() }, reason);
            }
        };
        let rows_max = self.requests.batch.unwrap_or(1);
        let Some(open) = &mut self.open else { return Ok(()) };
        let last = open.waiting.back_mut().filter(|group| open.may_grow && group.rows.len() < rows_max);
        if let Some(group) = last {
            group.rows.push(row);
            return Ok(());
        }
        if open.waiting.len() >= open.lanes.len() {
            self.send()?;
        }
        if let Some(open) = &mut self.open {
            let begin = row.offset;
            open.waiting.push_back(Group { rows: vec![row], begin });
            open.may_grow = true;
        }
        Ok(())
    }

    /// Sends all that waits, until the server has said of each row what became of it.
    fn send(&mut self) -> Result<(), SinkError> {
        let mut tries = 0;
        while let Some(open) = self.open.as_mut().filter(|open| !open.waiting.is_empty()) {
            let count = open.waiting.len().min(open.lanes.len());
            let together: Vec<Group> = open.waiting.drain(..count).collect();
            let head = match self.access.head() {
                Ok(head) => head,
                Err(error) => return Err(self.lost(error, together)),
            };
            let Some(open) = &mut self.open else { return Ok(()) };
            let requests: Vec<Vec<u8>> =
                together.iter().map(|group| self.requests.bytes(&self.access, &head, group)).collect();
            let answers = open.host.exchange(&mut open.lanes, &requests);
            let (mut again, mut later, mut ended) = (Vec::new(), None, None);
            for (group, answer) in together.into_iter().zip(answers) {
                match self.judged(answer) {
                    Judged::Taken => self.was_let_in = true,
                    // The whole is refused for one of its rows.
                    Judged::Refused(_) if group.rows.len() > 1 => again.extend(group.singles()),
                    Judged::Refused(reason) => {
                        self.was_let_in = true;
                        for row in group.rows {
                            self.refuse(row, reason.clone())?;
                        }
                    }
                    Judged::Again(error, wait) => {
                        later = Some((error, wait));
                        again.push(group);
                    }
                    Judged::Ended(error) => {
                        ended = Some(error);
                        again.push(group);
                    }
                }
            }
            if let Some(error) = ended {
                return Err(self.lost(error, again));
            }
            tries = if later.is_some() { tries + 1 } else { 0 };
            match later {
                Some((error, wait)) if tries == TRIES_MAX || wait > WAIT_MAX => {
                    self.access.pause().begin(self.access.os(), wait);
                    return Err(self.lost(error, again));
                }
                Some((_, wait)) => self.pause(tries, wait),
                None => {}
            }
            if let Some(open) = &mut self.open {
                again.into_iter().rev().for_each(|group| open.waiting.push_front(group));
            }
        }
        Ok(())
    }

    fn judged(&self, answer: Result<HttpAnswer, Lost>) -> Judged {
        let answer = match answer {
            Ok(answer) => answer,
            Err(lost) => return Judged::Ended(self.access.lost(&lost)),
        };
        let told = |kind, hint: &str| {
            let place = self.access.url().address();
            ServerError::new(kind, format!("{place}: {}{hint}", words(&answer)))
        };
        match self.requests.meaning(answer.status) {
            Meaning::Done => Judged::Taken,
            Meaning::Refused => Judged::Refused(words(&answer)),
            Meaning::Passing => {
                let kind = if answer.status == 429 { ErrorKind::Retry } else { ErrorKind::Unavailable };
                let wait = retry_after(&answer, self.access.os().clock.now_ms());
                Judged::Again(told(kind, ""), wait.unwrap_or_default())
            }
            // A password is being changed where it was right before, and its file may follow.
            Meaning::NotLetIn if self.was_let_in => {
                Judged::Again(told(ErrorKind::Unavailable, ""), Duration::ZERO)
            }
            Meaning::NotLetIn => Judged::Ended(told(
                ErrorKind::Invalid,
                "; look at 'username' and 'password', 'token', or the headers",
            )),
            Meaning::NoSuchPlace => {
                let hint = "; look at 'url' and 'insert-method', or name the status in 'http.sink.error.code' where it is \
                            about a row";
                Judged::Ended(told(ErrorKind::NotFound, hint))
            }
        }
    }

    /// Waits before another try, the longer the more there were, and as long as the server wants.
    fn pause(&self, tries: u32, wait: Duration) {
        let longest_ms = PAUSE_MS << tries.min(8);
        let pause_ms = longest_ms / 2 + self.access.os().random.next_u64() % (longest_ms / 2);
        std::thread::sleep(Duration::from_millis(pause_ms).max(wait));
    }

    /// The server is to be asked anew: keeps as a position what it has taken before the rows that are `left`.
    fn lost(&mut self, error: ServerError, left: Vec<Group>) -> SinkError {
        let error = self.error(error);
        let Some(open) = self.open.take() else { return error };
        let sent = left.first().or(open.waiting.front()).map_or(open.next, |group| group.begin);
        if self.refused.is_empty()
            && sent > open.stored
            && let Err(unkept) = self.positions.set(at(sent))
        {
            return SinkError { message: format!("{}; {}", error.message, unkept.message), ..error };
        }
        error
    }

    fn connected(&self) -> Done<Open> {
        self.access.wait_pause(Duration::ZERO)?;
        let host = self.access.host()?;
        let mut lanes: Vec<Lane> = std::iter::repeat_with(Lane::default).take(self.lanes).collect();
        // It is seen at once whether there is such a server.
        host.connect(&mut lanes[0]).map_err(|lost| self.access.lost(&lost))?;
        Ok(Open { host, lanes, waiting: VecDeque::new(), may_grow: false, next: 0, stored: 0 })
    }
}

/// A position by the outbox alone.
fn at(offset: i64) -> Position {
    Position { offset, mark: 0 }
}

impl OutboxSink for HttpSink {
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
        let open = self.connected().map_err(|error| self.error(error))?;
        self.open = Some(Open { next: stored, stored, ..open });
        Ok(stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.may_grow = false;
        let (next, table) = (open.next, self.table.clone());
        let end = each_outbox_record(&table.name, batch, next, |record| {
            self.take(record)?;
            if let Some(open) = &mut self.open {
                open.next = record.offset + 1;
            }
            Ok(())
        })?;
        if let Some(open) = &mut self.open {
            open.next = end;
        }
        Ok(())
    }

    fn commit(&mut self, _finish: bool, _clock_ms: i64) -> Result<i64, SinkError> {
        self.send()?;
        let Some(open) = &mut self.open else {
            let error = ServerError::unavailable("the server is not connected");
            return Err(self.error(error));
        };
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
        self.access.pause().left_ms(self.access.os())
    }
}
