//! Topics and subscriptions of Google Cloud Pub/Sub, with ordering keys and without: Google's own fake.
//!
//! Jobs are the service account of a key file; where it is about credentials, they show the token of the suite. The fake keeps
//! nothing over a restart, so a server that is away is one whose gate is shut.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::gate::Gate;
use super::outside::{self, Direction, FIRST_PASSWORD, KEYS, Outside, Place, text};
use super::trial::number;
use crate::kafka;
use crate::process::Server;
use crate::pubsub::{self, PROJECT};

pub struct PubSub {
    is_ordered: bool,
    server: pubsub::PubSub,
    gate: Gate,
    key_file: PathBuf,
    /// Whether the case is about credentials.
    is_of_tokens: bool,
    taken: BTreeMap<String, Vec<u64>>,
}

impl PubSub {
    pub fn new(folder: &Path, is_ordered: bool) -> Result<PubSub> {
        let port = kafka::lasting_port()?;
        let gate = Gate::between(TcpListener::bind("127.0.0.1:0")?, port)?;
        Ok(PubSub {
            is_ordered,
            server: pubsub::PubSub::start(folder, port, gate.port, FIRST_PASSWORD)?,
            gate,
            key_file: folder.join("key.json"),
            is_of_tokens: false,
            taken: BTreeMap::new(),
        })
    }

    fn publish(&self, place: &Place, bodies: &[(u64, String)]) -> Result<()> {
        let message = |(n, body): &(u64, String)| {
            let key = if self.is_ordered { (n % KEYS).to_string() } else { String::new() };
            json!({"data": STANDARD.encode(body), "orderingKey": key})
        };
        if !self.is_ordered {
            let messages: Vec<Value> = bodies.iter().map(message).collect();
            return self.server.publish(&place.name, &messages);
        }
        for key in 0..KEYS {
            let messages: Vec<Value> = bodies.iter().filter(|(n, _)| n % KEYS == key).map(message).collect();
            self.server.publish(&place.name, &messages)?;
        }
        Ok(())
    }
}

impl Outside for PubSub {
    fn name(&self) -> &'static str {
        if self.is_ordered { "pubsub-ordered" } else { "pubsub" }
    }

    fn connector(&self) -> &'static str {
        "pubsub"
    }

    fn version(&self) -> Result<String> {
        let kind = if self.is_ordered { "ordering keys" } else { "no keys" };
        let version = pubsub::PubSub::version();
        Ok(format!("{kind}, {version} behind REST; away is a shut gate, for it keeps nothing over a restart"))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn begin(&mut self, case: &str) {
        self.is_of_tokens = matches!(case, "credentials" | "rotated");
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => {
                Some("a topic refuses a message for its size or its attributes, and numbers have neither")
            }
            _ => None,
        }
    }

    fn may_repeat(&self, direction: Direction) -> bool {
        direction == Direction::Sink
    }

    fn keeps_order(&self, _direction: Direction) -> bool {
        self.is_ordered
    }

    fn refusal(&self) -> &'static str {
        "UNAUTHENTICATED"
    }

    fn server(&self) -> Result<&Server> {
        Ok(&self.server.server)
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.server.make_topic(&place.name)?;
        // It is the job's in one direction, and the suite's in the other.
        self.server.make_subscription(&place.name, &place.name, self.is_ordered)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let of_direction = match direction {
            Direction::Sink if self.is_ordered => format!("'topic' = '{}', 'key.fields' = 'k'", place.name),
            Direction::Sink => format!("'topic' = '{}'", place.name),
            Direction::Source => format!("'subscription' = '{}', 'scan.pull-timeout' = '1 s'", place.name),
        };
        let who = match self.is_of_tokens {
            true => format!("'access-token' = '${{file:{}}}'", text(&place.password_file())),
            false => format!("'service-account-key-file' = '{}'", text(&self.key_file)),
        };
        format!(
            "'connector' = 'pubsub', 'project' = '{PROJECT}', {of_direction}, 'format' = 'json', {who}, \
             'endpoint' = 'http://127.0.0.1:{}', 'timeout' = '4 s'",
            self.gate.port,
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let bodies: Vec<(u64, String)> = numbers.map(|n| (n, outside::json(n))).collect();
        self.publish(place, &bodies)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for message in self.server.take(&place.name)? {
            let data =
                STANDARD.decode(message["data"].as_str().context("no data")?).ok().context("no base64")?;
            found.push(number(&data)?);
        }
        let taken = self.taken.entry(place.name.clone()).or_default();
        taken.extend(found);
        Ok(taken.clone())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_token(password)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":no number";
        self.publish(place, &[(1_000_000, poison.to_owned())])?;
        Ok(poison.as_bytes().to_vec())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A topic has no columns; what does not fit is that it is not there.
            return Ok("create the topic".to_owned());
        }
        self.prepare(place, direction)?;
        self.publish(place, &[(0, "{\"k\":1,\"n\":\"many\"}".to_owned())])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
