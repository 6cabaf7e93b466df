//! Servers of AMQP 1.0: a queue for each trial, or a topic with a durable subscription, which jobs reach through the gate; the
//! suite comes beside it, by Qpid Proton.
//!
//! Numbers are put with ids, by which those are left out that come twice.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::amqp::{self, Kind};
use crate::hex::hex;
use crate::process::Server;

pub struct Amqp {
    kind: Kind,
    server: amqp::Amqp,
    gate: Gate,
    /// What was taken out of the queues of sinks, by place: reading takes a message away.
    taken: BTreeMap<String, Vec<u64>>,
}

impl Amqp {
    pub fn new(kind: Kind) -> Result<Amqp> {
        let server = amqp::Amqp::start(kind, &[(USER, FIRST_PASSWORD)])?;
        let gate = Gate::to(server.port)?;
        Ok(Amqp { kind, server, gate, taken: BTreeMap::new() })
    }

    fn put_raw(&self, place: &Place, bytes: &[u8]) -> Result<()> {
        self.server.ask(&["put-raw", &address(place), &hex(bytes)]).map(drop)
    }
}

fn address(place: &Place) -> String {
    format!("queue:{}", place.name)
}

impl Outside for Amqp {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Artemis => "artemis",
            Kind::ActiveMq => "activemq",
        }
    }

    fn connector(&self) -> &'static str {
        "amqp"
    }

    fn version(&self) -> Result<String> {
        Ok(self.server.version())
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case, self.kind) {
            (Direction::Sink, "poison", _) => Some("a server refuses no message for what is in it"),
            (Direction::Sink, "mismatch", Kind::ActiveMq) => {
                Some("a queue has no columns, and one that is not there is made")
            }
            _ => None,
        }
    }

    /// Artemis takes an id once.
    fn may_repeat(&self, direction: Direction) -> bool {
        self.kind == Kind::ActiveMq && direction == Direction::Sink
    }

    /// What a lost connection has left comes behind others in ActiveMQ Classic.
    fn keeps_order(&self, direction: Direction) -> bool {
        self.kind == Kind::Artemis || direction == Direction::Sink
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
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
        match self.kind {
            Kind::Artemis => self.server.ask(&["make", &address(place)]).map(drop),
            // It makes a queue that somebody writes or reads.
            Kind::ActiveMq => Ok(()),
        }
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'amqp', 'url' = 'amqp://127.0.0.1:{}', 'queue' = '{}', 'prefetch-count' = '200', 'format' = 'json', \
             'username' = '{USER}', 'password' = '${{file:{}}}', 'timeout' = '10 s', 'heartbeat' = '1 s'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (begin, end) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask(&["put-json", &address(place), &begin, &end]).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let lines = self.server.ask(&["drain", &address(place)])?;
        let taken = self.taken.entry(place.name.clone()).or_default();
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line)?;
            taken.push(number(message["body"].as_str().context("no body")?.as_bytes())?);
        }
        Ok(taken.clone())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = b"{\"k\":1,\"n\":\xff no number".to_vec();
        self.put_raw(place, &poison)?;
        Ok(poison)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A queue has no columns; what does not fit is that it is not there.
            return Ok("create the queue".to_owned());
        }
        self.prepare(place, direction)?;
        self.put_raw(place, b"{\"k\":1,\"n\":\"many\"}")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
