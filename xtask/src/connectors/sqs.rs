//! Queues of Amazon SQS, standard and FIFO: ElasticMQ, and moto where it is about keys, for ElasticMQ asks for none.
//!
//! Neither keeps its messages over a restart, so a server that is away is one whose gate is shut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::gate::Gate;
use super::outside::{self, Direction, FIRST_PASSWORD, KEYS, Outside, Place, text};
use super::trial::number;
use crate::aws::{ElasticMq, KEY_ID, Moto, REGION};
use crate::process::Server;

const BATCH: usize = 10;

pub struct Sqs {
    is_fifo: bool,
    queues: ElasticMq,
    queues_gate: Gate,
    moto: Moto,
    moto_gate: Gate,
    /// Whether the case is about keys.
    is_of_keys: bool,
    taken: BTreeMap<String, Vec<u64>>,
}

impl Sqs {
    pub fn new(folder: &Path, is_fifo: bool) -> Result<Sqs> {
        let (queues, moto) = (ElasticMq::start(folder)?, Moto::start(folder, FIRST_PASSWORD)?);
        Ok(Sqs {
            is_fifo,
            queues_gate: Gate::to(queues.port)?,
            moto_gate: Gate::to(moto.port)?,
            queues,
            moto,
            is_of_keys: false,
            taken: BTreeMap::new(),
        })
    }

    fn queue(&self, place: &Place) -> String {
        let name = place.name.replace('_', "-");
        if self.is_fifo { format!("{name}.fifo") } else { name }
    }

    fn url(&self, place: &Place) -> String {
        self.queues.queue_url(&self.queue(place), self.queues.port)
    }

    fn send(&self, place: &Place, bodies: &[(u64, String)]) -> Result<()> {
        for batch in bodies.chunks(BATCH) {
            let entries: Vec<Value> = batch
                .iter()
                .map(|(n, body)| match self.is_fifo {
                    true => json!({"Id": n.to_string(), "MessageBody": body, "MessageGroupId": (n % KEYS).to_string(),
                                   "MessageDeduplicationId": n.to_string()}),
                    false => json!({"Id": n.to_string(), "MessageBody": body}),
                })
                .collect();
            let body = json!({"QueueUrl": self.url(place), "Entries": entries});
            let answer = self.queues.call("SendMessageBatch", &body)?;
            ensure!(answer["Failed"].as_array().is_none_or(Vec::is_empty), "not sent: {answer}");
        }
        Ok(())
    }
}

impl Outside for Sqs {
    fn name(&self) -> &'static str {
        if self.is_fifo { "sqs-fifo" } else { "sqs" }
    }

    fn connector(&self) -> &'static str {
        "sqs"
    }

    fn version(&self) -> Result<String> {
        let kind = if self.is_fifo { "FIFO queues" } else { "standard queues" };
        let (queues, moto) = (ElasticMq::version(), Moto::version());
        Ok(format!(
            "{kind} of {queues}, {moto} for keys; away is a shut gate, for neither keeps messages over a restart"
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        // What a standard queue gives, a FIFO queue gives in order.
        if self.is_fifo { &[Direction::Source, Direction::Sink] } else { &[Direction::Sink] }
    }

    fn begin(&mut self, case: &str) {
        self.is_of_keys = matches!(case, "credentials" | "rotated");
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => {
                Some("a queue refuses a message for its size or its characters, and numbers have neither")
            }
            _ => None,
        }
    }

    fn may_repeat(&self, direction: Direction) -> bool {
        !self.is_fifo && direction == Direction::Sink
    }

    fn keeps_order(&self, _direction: Direction) -> bool {
        self.is_fifo
    }

    fn refusal(&self) -> &'static str {
        "SignatureDoesNotMatch"
    }

    fn server(&self) -> Result<&Server> {
        Ok(&self.queues.server)
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(if self.is_of_keys { &self.moto_gate } else { &self.queues_gate })
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        let queue = self.queue(place);
        if self.is_of_keys {
            return self.moto.ask("queue", &[("name", &queue)], b"").map(drop);
        }
        let mut attributes = json!({});
        if self.is_fifo {
            attributes["FifoQueue"] = "true".into();
        }
        self.queues.call("CreateQueue", &json!({"QueueName": queue, "Attributes": attributes})).map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let port = if self.is_of_keys { self.moto_gate.port } else { self.queues_gate.port };
        let url = self.queues.queue_url(&self.queue(place), port);
        // The queues know one another by their own place.
        let own = if self.is_of_keys { self.moto.port } else { self.queues.port };
        let url = url.replace(&format!(":{port}/"), &format!(":{own}/"));
        let of_kind = match direction {
            Direction::Sink if self.is_fifo => ", 'message-group-id' = 'numbers'",
            Direction::Sink => "",
            Direction::Source => ", 'wait-time-seconds' = '1', 'message-timeout' = '2 s'",
        };
        format!(
            "'connector' = 'sqs', 'queue-url' = '{url}', 'aws.endpoint' = 'http://127.0.0.1:{port}', \
             'aws.region' = '{REGION}', 'format' = 'json', 'aws.credentials.provider' = 'BASIC', \
             'aws.credentials.basic.accesskeyid' = '{KEY_ID}', \
             'aws.credentials.basic.secretkey' = '${{file:{}}}', 'timeout' = '4 s'{of_kind}",
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        if self.is_of_keys {
            let (from, to) = (numbers.start.to_string(), numbers.end.to_string());
            let arguments = [("name", self.queue(place)), ("from", from), ("to", to)];
            let arguments: Vec<(&str, &str)> =
                arguments.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return self.moto.ask("send", &arguments, b"").map(drop);
        }
        let bodies: Vec<(u64, String)> = numbers.map(|n| (n, outside::json(n))).collect();
        self.send(place, &bodies)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        if self.is_of_keys {
            let bodies = self.moto.ask("drain", &[("name", &self.queue(place))], b"")?;
            for body in bodies.lines() {
                found.push(number(body.as_bytes())?);
            }
        } else {
            let url = self.url(place);
            loop {
                let body = json!({"QueueUrl": url, "MaxNumberOfMessages": BATCH});
                let answer = self.queues.call("ReceiveMessage", &body)?;
                let Some(messages) = answer["Messages"].as_array().filter(|messages| !messages.is_empty())
                else {
                    break;
                };
                let mut entries = Vec::new();
                for (index, message) in messages.iter().enumerate() {
                    found.push(number(message["Body"].as_str().context("no body")?.as_bytes())?);
                    entries.push(json!({"Id": index.to_string(), "ReceiptHandle": message["ReceiptHandle"]}));
                }
                self.queues.call("DeleteMessageBatch", &json!({"QueueUrl": url, "Entries": entries}))?;
            }
        }
        let taken = self.taken.entry(place.name.clone()).or_default();
        taken.extend(found);
        Ok(taken.clone())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.moto.ask("secret", &[], password.as_bytes()).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":no number";
        self.send(place, &[(1_000_000, poison.to_owned())])?;
        Ok(poison.as_bytes().to_vec())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A queue has no columns; what does not fit is that it is not there.
            return Ok("create the queue".to_owned());
        }
        self.prepare(place, direction)?;
        self.send(place, &[(0, "{\"k\":1,\"n\":\"many\"}".to_owned())])?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
