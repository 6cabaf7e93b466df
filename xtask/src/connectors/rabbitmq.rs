//! RabbitMQ: a server of Debian's package, which jobs reach through the gate; the suite comes beside it, by Python's pika.
//!
//! Numbers are put with ids, by which those are left out that come twice.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::hex::hex;
use crate::process::Server;
use crate::rabbitmq;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Queue,
    Stream,
}

pub struct RabbitMq {
    kind: Kind,
    server: rabbitmq::RabbitMq,
    gate: Gate,
    /// What was taken out of the queues of sinks, by place: reading takes a message away.
    taken: BTreeMap<String, Vec<u64>>,
    /// The ids of numbers by place: one that comes again must have the same, by which a reader may leave it out.
    ids: BTreeMap<(String, u64), String>,
}

impl RabbitMq {
    pub fn new(kind: Kind) -> Result<RabbitMq> {
        let server = rabbitmq::RabbitMq::start()?;
        server.control(&["add_user", USER, FIRST_PASSWORD])?;
        server.control(&["set_permissions", USER, ".*", ".*", ".*"])?;
        let gate = Gate::to(match kind {
            Kind::Queue => server.port,
            Kind::Stream => server.stream_port,
        })?;
        Ok(RabbitMq { kind, server, gate, taken: BTreeMap::new(), ids: BTreeMap::new() })
    }
}

impl Outside for RabbitMq {
    fn name(&self) -> &'static str {
        self.connector()
    }

    fn connector(&self) -> &'static str {
        match self.kind {
            Kind::Queue => "rabbitmq",
            Kind::Stream => "rabbitmq-stream",
        }
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => Some("a server refuses no message for what is in it"),
            _ => None,
        }
    }

    fn may_repeat(&self, direction: Direction) -> bool {
        self.kind == Kind::Queue && direction == Direction::Sink
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        // A server that is killed may forget queues that were made a moment ago.
        self.server.control(&["eval", "mnesia:sync_log()."])?;
        self.server.kill();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        let kind = match self.kind {
            // A quorum queue of one node that is asked while it elects its leader, after a crash, may never have one.
            Kind::Queue => "classic",
            Kind::Stream => "stream",
        };
        self.server.ask(&["make", &place.name, kind]).map(drop)
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        let port = self.gate.port;
        let of_kind = match self.kind {
            Kind::Queue => format!(
                "'url' = 'amqp://127.0.0.1:{port}', 'queue' = '{}', 'prefetch-count' = '200'",
                place.name
            ),
            Kind::Stream => {
                format!("'url' = 'rabbitmq-stream://127.0.0.1:{port}', 'stream' = '{}'", place.name)
            }
        };
        format!(
            "'connector' = '{}', {of_kind}, 'format' = 'json', 'username' = '{USER}', 'password' = '${{file:{}}}', \
             'timeout' = '10 s', 'heartbeat' = '1 s'",
            self.connector(),
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (begin, end) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask(&["put-json", &place.name, &begin, &end]).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        if self.kind == Kind::Stream {
            // It is read from its beginning.
            self.taken.remove(&place.name);
        }
        let command = if self.kind == Kind::Stream { "stream" } else { "drain" };
        let lines = self.server.ask(&[command, &place.name])?;
        let taken = self.taken.entry(place.name.clone()).or_default();
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line)?;
            let n = number(message["body"].as_str().context("no body")?.as_bytes())?;
            taken.push(n);
            if self.kind == Kind::Queue {
                let id = message["id"].as_str().context("no id")?;
                let first = self.ids.entry((place.name.clone(), n)).or_insert_with(|| id.to_owned());
                ensure!(first == id, "{n} came as {first} and as {id}");
            }
        }
        Ok(taken.clone())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.control(&["change_password", USER, password]).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = b"{\"k\":1,\"n\":\xff no number".to_vec();
        self.server.ask(&["put-raw", &place.name, &hex(&poison)])?;
        Ok(poison)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A queue has no columns; what does not fit is that it is not there.
            return Ok(
                if self.kind == Kind::Queue { "create the queue" } else { "create the stream" }.to_owned()
            );
        }
        self.prepare(place, direction)?;
        self.server.ask(&["put-raw", &place.name, &hex(b"{\"k\":1,\"n\":\"many\"}")])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
