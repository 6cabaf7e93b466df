//! MQTT: a topic for each trial at a Mosquitto, which jobs reach through the gate; the suite comes beside it, by Paho.
//!
//! A topic keeps nothing for who is not there: the sessions of the job and of the suite's reader begin with the place.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::hex::hex;
use crate::mqtt::Mosquitto;
use crate::process::Server;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// QoS 2 by version 5.
    Exactly,
    /// QoS 1 by version 3.1.1.
    AtLeast,
}

pub struct Mqtt {
    quality: Quality,
    server: Mosquitto,
    gate: Gate,
    /// What the reader has taken, by place: reading takes a message away.
    taken: BTreeMap<String, Vec<u64>>,
    /// The server was ended in this case. A Mosquitto 2.0.11 that is started anew publishes again what it had released.
    has_ended: bool,
}

impl Mqtt {
    pub fn new(quality: Quality) -> Result<Mqtt> {
        let server = Mosquitto::start(&[(USER, FIRST_PASSWORD)])?;
        let gate = Gate::to(server.port)?;
        Ok(Mqtt { quality, server, gate, taken: BTreeMap::new(), has_ended: false })
    }
}

impl Outside for Mqtt {
    fn name(&self) -> &'static str {
        match self.quality {
            Quality::Exactly => "mqtt",
            Quality::AtLeast => "mqtt-qos1",
        }
    }

    fn connector(&self) -> &'static str {
        "mqtt"
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
            (Direction::Sink, "mismatch") => Some("a topic has no columns, and need not be there"),
            _ => None,
        }
    }

    fn begin(&mut self, _case: &str) {
        self.has_ended = false;
    }

    fn may_repeat(&self, direction: Direction) -> bool {
        self.quality == Quality::AtLeast || (direction == Direction::Source && self.has_ended)
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.has_ended = true;
        self.server.end()
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, direction: Direction) -> Result<()> {
        let (client, qos) = match direction {
            Direction::Source => (format!("job_{}", place.name), "2"),
            Direction::Sink => (format!("reader_{}", place.name), "1"),
        };
        self.server.ask(&["subscribe", &client, &place.name, qos]).map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let name = &place.name;
        let (qos, version) = match self.quality {
            Quality::Exactly => (2, "5"),
            Quality::AtLeast => (1, "3.1.1"),
        };
        let of_direction = match direction {
            Direction::Source => format!("'topics' = '{name}', 'client-id' = 'job_{name}'"),
            Direction::Sink => format!("'topic' = '{name}'"),
        };
        format!(
            "'connector' = 'mqtt', 'url' = 'mqtt://127.0.0.1:{}', {of_direction}, 'qos' = '{qos}', \
             'protocol-version' = '{version}', 'format' = 'json', 'username' = '{USER}', 'password' = '${{file:{}}}', \
             'timeout' = '10 s', 'heartbeat' = '1 s'",
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (begin, end) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask(&["put-json", &place.name, &begin, &end]).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let lines = self.server.ask(&["drain", &format!("reader_{}", place.name), &place.name])?;
        let taken = self.taken.entry(place.name.clone()).or_default();
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line)?;
            let number = number(message["body"].as_str().context("no body")?.as_bytes())?;
            // What the reader has taken, and the server did not hear of, comes to the reader again, and says so.
            if message["again"] != true || !taken.contains(&number) {
                taken.push(number);
            }
        }
        Ok(taken.clone())
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
        self.prepare(place, direction)?;
        self.server.ask(&["put-raw", &place.name, &hex(b"{\"k\":1,\"n\":\"many\"}")])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
