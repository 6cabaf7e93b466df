//! Redis: a stream for each trial, which jobs reach through the gate; the suite comes beside it, by Python's redis-py.

use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gate::Gate;
use super::nats::Reading;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::hex::hex;
use crate::process::Server;
use crate::redis;

pub struct Redis {
    /// By id, or by a group.
    reading: Reading,
    server: redis::Redis,
    gate: Gate,
}

impl Redis {
    pub fn new(reading: Reading) -> Result<Redis> {
        let server = redis::Redis::start(&[(USER, FIRST_PASSWORD)])?;
        let gate = Gate::to(server.port)?;
        Ok(Redis { reading, server, gate })
    }
}

impl Outside for Redis {
    fn name(&self) -> &'static str {
        match self.reading {
            Reading::Ordered => "redis-streams",
            Reading::Durable => "redis-streams-group",
        }
    }

    fn connector(&self) -> &'static str {
        "redis-streams"
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

    /// What a lost connection has asked for, and nobody has heard, is taken over when it has lain for a while.
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

    /// A stream that is not there is empty.
    fn prepare(&mut self, _place: &Place, _direction: Direction) -> Result<()> {
        Ok(())
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        let name = &place.name;
        let group = match self.reading {
            Reading::Ordered => String::new(),
            Reading::Durable => format!(", 'consumer-group' = 'g_{name}', 'claim-min-idle' = '2 s'"),
        };
        format!(
            "'connector' = 'redis-streams', 'url' = 'redis://127.0.0.1:{}', 'stream' = '{name}'{group}, 'format' = 'json', \
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
            let entry: Value = serde_json::from_str(line)?;
            number(entry["fields"]["body"].as_str().context("no body")?.as_bytes())
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
            // A stream has no columns; what does not fit is that the key holds something else.
            self.server.ask(&["set", &place.name, "something else"])?;
            return Ok("holds a string, and no stream".to_owned());
        }
        self.server.ask(&["put-raw", &place.name, &hex(b"{\"k\":1,\"n\":\"many\"}")])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
