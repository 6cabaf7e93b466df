//! NATS JetStream: a stream for each trial, which jobs reach through the gate; the suite comes beside it, by Python's nats-py.

use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::hex::hex;
use crate::nats;
use crate::process::Server;

/// How a source reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Ordered,
    Durable,
}

pub struct Nats {
    reading: Reading,
    server: nats::Nats,
    gate: Gate,
}

impl Nats {
    pub fn new(reading: Reading) -> Result<Nats> {
        let server = nats::Nats::start(&[(USER, FIRST_PASSWORD)])?;
        let gate = Gate::to(server.port)?;
        Ok(Nats { reading, server, gate })
    }
}

impl Outside for Nats {
    fn name(&self) -> &'static str {
        match self.reading {
            Reading::Ordered => "nats",
            Reading::Durable => "nats-durable",
        }
    }

    fn connector(&self) -> &'static str {
        "nats"
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        match self.reading {
            Reading::Ordered => &[Direction::Source, Direction::Sink],
            Reading::Durable => &[Direction::Source],
        }
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => Some("a server refuses no message for what is in it"),
            _ => None,
        }
    }

    /// What a connection has left to a durable consumer comes when its time to be acknowledged is over.
    fn keeps_order(&self, _direction: Direction) -> bool {
        self.reading == Reading::Ordered
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
        self.server.ask(&["make", &place.name]).map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let name = &place.name;
        let of_direction = match (direction, self.reading) {
            (Direction::Sink, _) => format!(", 'subject' = '{name}'"),
            (Direction::Source, Reading::Ordered) => String::new(),
            (Direction::Source, Reading::Durable) => format!(", 'durable' = 'd_{name}', 'ack-wait' = '2 s'"),
        };
        format!(
            "'connector' = 'nats', 'url' = 'nats://127.0.0.1:{}', 'stream' = '{name}'{of_direction}, 'format' = 'json', \
             'username' = '{USER}', 'password' = '${{file:{}}}', 'timeout' = '10 s', 'heartbeat' = '1 s'",
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (begin, end) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask(&["put-json", &place.name, &begin, &end]).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let lines = self.server.ask(&["read", &place.name])?;
        let body = |line: &str| {
            let message: Value = serde_json::from_str(line)?;
            number(message["body"].as_str().context("no body")?.as_bytes())
        };
        lines.lines().map(body).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = b"{\"k\":1,\"n\":\xff no number".to_vec();
        self.server.ask(&["put-raw", &place.name, &hex(&poison)])?;
        Ok(poison)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A stream has no columns; what does not fit is that it is not there.
            return Ok("create the stream".to_owned());
        }
        self.prepare(place, direction)?;
        self.server.ask(&["put-raw", &place.name, &hex(b"{\"k\":1,\"n\":\"many\"}")])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
