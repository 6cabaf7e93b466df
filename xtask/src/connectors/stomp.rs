//! Servers of STOMP: a queue for each trial, which jobs reach through the gate; the suite comes beside it, by stomp.py.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use super::trial::number;
use crate::hex::hex;
use crate::process::Server;
use crate::stomp;

pub use crate::stomp::Brand;

pub struct Stomp {
    server: stomp::Stomp,
    gate: Gate,
    /// What was taken out of the queues of sinks, by place: reading takes a message away.
    taken: BTreeMap<String, Vec<u64>>,
    /// The ids of numbers by place: one that comes again must have the same, by which a reader may leave it out.
    ids: BTreeMap<(String, u64), String>,
}

impl Stomp {
    pub fn new(brand: Brand) -> Result<Stomp> {
        let server = stomp::Stomp::start(brand, &[(USER, FIRST_PASSWORD)])?;
        let gate = Gate::to(server.port())?;
        Ok(Stomp { server, gate, taken: BTreeMap::new(), ids: BTreeMap::new() })
    }

    fn put_raw(&self, place: &Place, bytes: &[u8]) -> Result<()> {
        self.server.ask(&["put-raw", &address(place), &hex(bytes)]).map(drop)
    }
}

fn address(place: &Place) -> String {
    format!("queue:{}", place.name)
}

impl Outside for Stomp {
    fn name(&self) -> &'static str {
        match self.server.brand {
            Brand::Artemis => "stomp-artemis",
            Brand::ActiveMq => "stomp-activemq",
            Brand::RabbitMq => "stomp-rabbitmq",
        }
    }

    fn connector(&self) -> &'static str {
        "stomp"
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case, self.server.brand) {
            (Direction::Sink, "poison", _) => Some("a server refuses no message for what is in it"),
            (Direction::Sink, "mismatch", Brand::ActiveMq | Brand::RabbitMq) => {
                Some("a queue has no columns, and one that is not there is made")
            }
            _ => None,
        }
    }

    /// Artemis takes an id once.
    fn may_repeat(&self, direction: Direction) -> bool {
        self.server.brand != Brand::Artemis && direction == Direction::Sink
    }

    /// What a lost connection has left comes behind others in ActiveMQ Classic.
    fn keeps_order(&self, direction: Direction) -> bool {
        self.server.brand != Brand::ActiveMq || direction == Direction::Sink
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.server.make(&[&address(place)])
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'stomp', 'url' = 'stomp://127.0.0.1:{}', 'queue' = '{}', 'prefetch-count' = '200', \
             'format' = 'json', 'username' = '{USER}', 'password' = '${{file:{}}}', 'timeout' = '10 s', 'heartbeat' = '1 s'",
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
        let id_header = match self.server.brand {
            Brand::Artemis => "_AMQ_DUPL_ID",
            Brand::ActiveMq => "eventwright-id",
            Brand::RabbitMq => "amqp-message-id",
        };
        let lines = self.server.ask(&["drain", &address(place)])?;
        let taken = self.taken.entry(place.name.clone()).or_default();
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line)?;
            let n = number(message["body"].as_str().context("no body")?.as_bytes())?;
            taken.push(n);
            let id = message["headers"][id_header].as_str().context("no id")?;
            let first = self.ids.entry((place.name.clone(), n)).or_insert_with(|| id.to_owned());
            ensure!(first == id, "{n} came as {first} and as {id}");
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
