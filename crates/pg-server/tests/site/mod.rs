//! A node with topics and views on a simulated disk, its PostgreSQL port, and a client that says what it got.

#![allow(dead_code, reason = "each test takes what it needs")]

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use auth::scram::ClientExchange;
use auth::{Credential, Mechanism};
use base::Lsn;
use broker::security::RulesChange;
use broker::{Broker, BrokerConfig, Recovered};
use eventlog::{LogOptions, Recovery};
use kafka_wire::records::{BatchBuilder, Compression};
use os::sim::SimOs;
use pg_server::{Counters, ServerConfig, ServerHandle};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use views::{Change, Fold, ViewDefinition, ViewKey, Views};

/// Nothing takes so long unless it never ends.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Site {
    pub broker: Arc<Broker>,
    pub views: Views,
    pub server: ServerHandle,
    pub counters: Arc<Counters>,
}

fn definition() -> ViewDefinition {
    let fields = vec![
        Field::new("city", DataType::Utf8, false),
        Field::new("day", DataType::Int64, false),
        Field::new("total", DataType::Int64, true),
    ];
    ViewDefinition {
        name: "sales".into(),
        schema: Arc::new(Schema::new(fields)),
        types: vec!["STRING".into(), "BIGINT".into(), "BIGINT".into()],
        key: ViewKey::Columns(vec![0, 1]),
        statement: String::new(),
        comment: None,
        job: "job".into(),
        topic: "__view.sales".into(),
    }
}

impl Site {
    pub fn new() -> Site {
        Site::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Site {
        Site::with_memory(settings, 256 << 20)
    }

    pub fn with_memory(settings: &[(&str, &str)], memory_bytes: usize) -> Site {
        let os = SimOs::new(5).os();
        let options =
            LogOptions { file_bytes: 4 << 20, first_file_bytes: 64 << 10, ..LogOptions::new("/data/log") };
        let given = settings.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string()));
        let config = BrokerConfig::check(&given.collect::<BTreeMap<_, _>>()).expect("good settings");
        let recovery = Recovery::open(&os, options).expect("the log opens");
        let recovered = Recovered::from_checkpoint(&recovery).expect("the broker's state reads");
        let log = recovery.start(recovered.folds()).expect("the log starts");
        let broker = Arc::new(Broker::new(log.clone(), recovered, config, os.clone()).expect("a broker"));
        let mut fold = Fold::default();
        fold.define(definition()).expect("a view");
        let views = Views::new(os.clone(), fold);
        let config = ServerConfig {
            views: Some(views.clone()),
            memory_bytes,
            ..ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        let counters = Arc::new(Counters::default());
        let server = pg_server::start(config, broker.clone(), os, counters.clone()).expect("a port is free");
        Site { broker, views, server, counters }
    }

    pub fn topic(&self, name: &str, partitions: u32) {
        let log = self.broker.log();
        let created = log.append(|frame| frame.create_topic(name, partitions, BTreeMap::new()).map(drop));
        let ((), lsn) = created.expect("a new topic");
        log.wait_durable(lsn).expect("it is durable");
    }

    /// Produces values with numbers as keys, a millisecond apart from the 1st of January 2013 on; where they are in the log.
    pub fn produce(&self, topic: &str, partition: i32, values: &[&str]) -> Lsn {
        let mut batch = BatchBuilder::new(Compression::Lz4);
        for (number, value) in values.iter().enumerate() {
            let (key, time) = (number.to_string(), 1_356_998_400_000 + number as i64);
            batch.append(time, Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("a record");
        }
        let topic = self.broker.topic_for_records(topic, false).expect("the topic is there");
        let taken =
            self.broker.take_in(&topic, vec![(partition, batch.build().expect("a batch"))], |_| Ok(()));
        let lsn = taken.unwrap_or_else(|_| panic!("it is taken")).lsn.expect("a place");
        self.broker.log().wait_durable(lsn).expect("it is durable");
        lsn
    }

    /// Puts rows into the view `sales`, as of a place of the log.
    pub fn sell(&self, lsn: u64, rows: &[(&str, i64, Option<i64>)]) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        let batch = RecordBatch::try_new(definition().schema, columns).expect("rows");
        self.views.commit(Lsn(lsn), |fold| {
            fold.apply("sales", Lsn(lsn), &[Change::Upsert(batch)]);
        });
    }

    /// Puts an empty view `sales` with another key in the place of the old one.
    pub fn rebuild(&self, lsn: u64, key: ViewKey) {
        self.views.commit(Lsn(lsn), |fold| {
            fold.remove("sales");
            fold.define(ViewDefinition { key, ..definition() }).expect("a view");
        });
    }

    pub fn user(&self, name: &str, password: &str) {
        let credential = Credential::from_password(Mechanism::Sha256, b"salt", 4_096, password);
        let set = RulesChange::CredentialSet { user: name.into(), credential };
        self.broker.change_rules(vec![set]).unwrap_or_else(|_| panic!("the user is set"));
    }

    /// Waits until the server has ended all connections; fails if it never does.
    pub fn wait_until_nobody_is_there(&self) {
        let clock = os::Os::real().clock;
        let begun_ns = clock.monotonic_ns();
        loop {
            let mut page = metrics::Page::new(metrics::Format::Prometheus, 100);
            self.counters.write_metrics(&mut page);
            if page.finish().contains("eventwright_postgresql_connections 0\n") {
                return;
            }
            assert!(clock.monotonic_ns() - begun_ns < LIMIT.as_nanos() as u64, "a connection is still open");
            std::thread::yield_now();
        }
    }

    pub fn client(&self) -> Client {
        Client::log_in(self.server.local_addr(), "ada", None).expect("it lets in")
    }
}

/// What came for one statement or message.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Got {
    pub columns: Vec<(String, u32)>,
    pub rows: Vec<Vec<Option<String>>>,
    pub tags: Vec<String>,
    /// Code, message, hint, position.
    pub errors: Vec<(String, String, String, String)>,
    pub notices: Vec<String>,
    pub copied: Vec<u8>,
    pub parameters: Vec<u32>,
    /// The letters of all messages.
    pub kinds: String,
    pub status: char,
}

impl Got {
    pub fn texts(&self) -> Vec<Vec<&str>> {
        self.rows
            .iter()
            .map(|row| row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect())
            .collect()
    }

    pub fn one(&self) -> &str {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self.rows[0][0].as_deref().unwrap_or("NULL")
    }

    pub fn code(&self) -> &str {
        &self.errors.first().unwrap_or_else(|| panic!("no error: {self:?}")).0
    }
}

pub struct Client {
    pub stream: TcpStream,
    pub process: u32,
    pub secret: u32,
    pub told: BTreeMap<String, String>,
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

/// A Bind of the statement to the portal without a name.
pub fn bound(name: &str, values: &[Option<&[u8]>], format: u16, results: u16) -> Vec<u8> {
    let mut body = [text(""), text(name)].concat();
    body.extend([0, 1]);
    body.extend(format.to_be_bytes());
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                body.extend((value.len() as i32).to_be_bytes());
                body.extend(*value);
            }
        }
    }
    body.extend([0, 1]);
    body.extend(results.to_be_bytes());
    message(b'B', &body)
}

/// The code of an error's message.
pub fn code_of(body: &[u8]) -> String {
    fields(body).remove(&'C').unwrap_or_default()
}

impl Client {
    pub fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        // Messages go out one by one, and must not wait for one another.
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// The error if it is not let in.
    pub fn log_in(address: SocketAddr, user: &str, password: Option<&str>) -> Result<Client, String> {
        let mut stream = Client::connect(address);
        stream.write_all(&startup(&[("user", user), ("database", "shop")])).expect("it reads");
        let mut client = Client { stream, process: 0, secret: 0, told: BTreeMap::new() };
        let mut exchange = None;
        loop {
            let (kind, body) = client.next();
            match kind {
                b'R' => match u32::from_be_bytes(body[..4].try_into().unwrap()) {
                    0 => {}
                    10 => {
                        assert_eq!(&body[4..], b"SCRAM-SHA-256\0\0");
                        // As libpq does, without the name.
                        let (begun, first) =
                            ClientExchange::begin(Mechanism::Sha256, "", password.unwrap_or(""), "nonce");
                        exchange = Some(begun);
                        let head =
                            [text("SCRAM-SHA-256"), (first.len() as u32).to_be_bytes().to_vec(), first]
                                .concat();
                        client.stream.write_all(&message(b'p', &head)).unwrap();
                    }
                    11 => {
                        let proof = exchange.as_mut().unwrap().respond(&body[4..]).expect("a challenge");
                        client.stream.write_all(&message(b'p', &proof)).unwrap();
                    }
                    12 => exchange.as_ref().unwrap().verify(&body[4..]).expect("the server knows it"),
                    other => panic!("authentication {other}"),
                },
                b'S' => {
                    let mut parts =
                        body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
                    client.told.insert(parts.next().unwrap(), parts.next().unwrap());
                }
                b'K' => {
                    client.process = u32::from_be_bytes(body[..4].try_into().unwrap());
                    client.secret = u32::from_be_bytes(body[4..8].try_into().unwrap());
                }
                b'Z' => return Ok(client),
                b'E' => return Err(fields(&body).remove(&'M').unwrap_or_default()),
                other => panic!("message {}", char::from(other)),
            }
        }
    }

    pub fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).expect("a message comes");
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the message is whole");
        (head[0], body)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// The same to a server that may hang up on the way.
    pub fn send_what_is_taken(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next message that is not of these kinds.
    pub fn next_but(&mut self, kinds: &str) -> (u8, Vec<u8>) {
        loop {
            let next = self.next();
            if !kinds.contains(char::from(next.0)) {
                return next;
            }
        }
    }

    pub fn query(&mut self, statement: &str) -> Got {
        self.send(&message(b'Q', &text(statement)));
        self.got()
    }

    pub fn one(&mut self, statement: &str) -> String {
        let got = self.query(statement);
        assert!(got.errors.is_empty(), "{statement}: {:?}", got.errors);
        got.one().to_string()
    }

    pub fn parse(&mut self, name: &str, statement: &str, types: &[u32]) {
        let types: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
        let count = (types.len() as u16 / 4).to_be_bytes();
        self.send(&message(b'P', &[text(name), text(statement), count.to_vec(), types].concat()));
    }

    pub fn bind(&mut self, name: &str, values: &[Option<&[u8]>], format: u16, results: u16) {
        self.send(&bound(name, values, format, results));
    }

    pub fn execute(&mut self, rows: i32) {
        self.send(&message(b'E', &[text(""), rows.to_be_bytes().to_vec()].concat()));
    }

    pub fn describe(&mut self, name: &str) {
        self.send(&message(b'D', &[b"S".to_vec(), text(name)].concat()));
    }

    pub fn sync(&mut self) -> Got {
        self.send(&message(b'S', b""));
        self.got()
    }

    /// Everything up to the next ReadyForQuery.
    pub fn got(&mut self) -> Got {
        let mut got = Got::default();
        loop {
            let (kind, body) = self.next();
            got.kinds.push(char::from(kind));
            match kind {
                b'T' => got.columns = columns(&body),
                b'D' => got.rows.push(values(&body)),
                b'd' => got.copied.extend(&body),
                b'C' => got.tags.push(String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()),
                b't' => {
                    got.parameters =
                        body[2..].chunks(4).map(|oid| u32::from_be_bytes(oid.try_into().unwrap())).collect();
                }
                b'E' => {
                    let fields = fields(&body);
                    let of = |code: char| fields.get(&code).cloned().unwrap_or_default();
                    got.errors.push((of('C'), of('M'), of('H'), of('P')));
                }
                b'N' => got.notices.push(fields(&body).remove(&'M').unwrap_or_default()),
                b'Z' => {
                    got.status = char::from(body[0]);
                    return got;
                }
                _ => {}
            }
        }
    }
}

fn fields(body: &[u8]) -> BTreeMap<char, String> {
    let parts = body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| (char::from(part[0]), String::from_utf8_lossy(&part[1..]).into_owned())).collect()
}

fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        columns.push((name, u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap())));
        rest = &rest[end + 19..];
    }
    columns
}

pub fn values(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        values.push(usize::try_from(length).ok().map(|length| {
            let (value, after) = rest.split_at(length);
            rest = after;
            match std::str::from_utf8(value) {
                Ok(text) if !value.contains(&0) => text.to_string(),
                _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        }));
    }
    values
}
