//! A server that says what it is told to say, in pieces, to whoever connects.

use super::{Node, batch, schema, table};
use crate::Connectors;
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::DataType;
use dataflow::feed::{Feed, FeedRequest};
use dataflow::sink::{OutboxSink, Sink};
use dataflow::table::TableDefinition;
use os::sim::{SimClock, SimOs};
use os::{Listener, Network, Os, Stream};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is read at once; without bytes nothing comes for as long as somebody waits.
pub(crate) type Pieces = VecDeque<Vec<u8>>;

/// A server that says its pieces to the only client, whatever that asks.
#[derive(Clone)]
pub(crate) struct Script {
    clock: Arc<SimClock>,
    /// None refuses to connect.
    pub(crate) pieces: Arc<Mutex<Option<Pieces>>>,
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
    wait: Arc<Mutex<Duration>>,
}

impl Script {
    pub(crate) fn new(pieces: Option<Vec<Vec<u8>>>) -> (Script, Os) {
        let sim = SimOs::new(1);
        let script = Script {
            clock: sim.clock.clone(),
            pieces: Arc::new(Mutex::new(pieces.map(Pieces::from))),
            heard: Arc::default(),
            wait: Arc::default(),
        };
        let os = Os { network: Arc::new(script.clone()), ..sim.os() };
        (script, os)
    }

    /// Time passes.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }
}

impl Network for Script {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        match *self.pieces.lock().unwrap() {
            Some(_) => Ok(Box::new(self.clone())),
            None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl Stream for Script {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut pieces = self.pieces.lock().unwrap();
        let mut piece = pieces.as_mut().and_then(VecDeque::pop_front).unwrap_or_default();
        if piece.is_empty() {
            self.clock.advance_ms(self.wait.lock().unwrap().as_millis() as u64);
            return Err(io::ErrorKind::TimedOut.into());
        }
        let rest = piece.split_off(piece.len().min(out.len()));
        out[..piece.len()].copy_from_slice(&piece);
        if let Some(pieces) = pieces.as_mut().filter(|_| !rest.is_empty()) {
            pieces.push_front(rest);
        }
        Ok(piece.len())
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.heard.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        *self.wait.lock().unwrap() = wait.unwrap_or_default();
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn peer_address(&self) -> String {
        "server".into()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn texts(options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let has_format = options.iter().any(|(key, _)| *key == "format");
    let format: &[(&str, &str)] = if has_format { &[] } else { &[("format", "raw")] };
    table(schema(&[("text", DataType::Utf8)]), &[options, format].concat())
}

/// The feed of a table of texts; the first option names the connector.
pub(crate) fn feed(os: Os, options: &[(&str, &str)]) -> Box<dyn Feed> {
    let connectors = crate::table(Connectors { os, log: None });
    let connector = connectors.find(options[0].1).unwrap();
    connector.feed(FeedRequest { table: texts(options), identity: "job".into() }).unwrap()
}

/// The same for a sink, whose positions lie in the node's log.
pub(crate) struct Texts {
    pub sink: Box<dyn OutboxSink>,
    table: Arc<TableDefinition>,
}

impl Texts {
    pub(crate) fn new(os: Os, node: &Node, options: &[(&str, &str)]) -> Texts {
        let connectors = crate::table(Connectors { os, log: Some(node.log.clone()) });
        let table = texts(options);
        let Sink::Outbox(sink) = connectors.find(options[0].1).unwrap().sink(&table, "job").unwrap() else {
            panic!("an outbox sink")
        };
        Texts { sink, table }
    }

    /// Applies a batch of the outbox that begins with this offset.
    pub(crate) fn apply(&mut self, base_offset: i64, texts: &[&str]) {
        self.apply_rows(base_offset, &texts.iter().copied().map(Some).collect::<Vec<_>>());
    }

    /// The same with rows whose text may be NULL.
    pub(crate) fn apply_rows(&mut self, base_offset: i64, texts: &[Option<&str>]) {
        let bytes = self.encoded_rows(base_offset, texts);
        self.sink.apply(&bytes).unwrap();
    }

    /// A batch of the outbox that begins with this offset.
    pub(crate) fn encoded(&mut self, base_offset: i64, texts: &[&str]) -> Vec<u8> {
        self.encoded_rows(base_offset, &texts.iter().copied().map(Some).collect::<Vec<_>>())
    }

    fn encoded_rows(&mut self, base_offset: i64, texts: &[Option<&str>]) -> Vec<u8> {
        let rows = RecordBatch::try_new(
            self.table.schema.clone(),
            vec![Arc::new(StringArray::from(texts.to_vec()))],
        );
        let mut bytes = self.sink.encode(&batch(rows.unwrap()), 1).unwrap().remove(0).bytes;
        // A batch begins with its offset.
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes.to_vec()
    }
}
