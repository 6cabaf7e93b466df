//! What the console's page asks for, over a real socket: the rights, the sessions, pages of records, searches, and what
//! changes something.

#[allow(dead_code, reason = "the tests of events use the rest of the fixture")]
#[path = "../site/mod.rs"]
mod site;

mod letters;
mod page;
mod records;
mod search;
mod users;

use kafka_client::Client;
use kafka_wire::records::{BatchBuilder, Compression};
use serde_json::Value;
use site::Site;
use std::io::Read;

const OWN: (&str, &str) = ("X-Eventwright-Console", "1");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const API: &str = "/console/api";

impl Site {
    /// The whole answer: status, headers in small letters, body.
    fn whole(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let mut answer = self.connect(&format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
        let mut text = Vec::new();
        answer.read_to_end(&mut text).expect("an answer");
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_string())
    }

    fn api(&self, path: &str) -> Value {
        self.get(&format!("{API}/{path}"))
    }

    fn change(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", &format!("{API}/{path}"), &[OWN, JSON], &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A topic whose record `number` lies in partition `number % partitions` and has that time.
    fn filled(&self, topic: &str, partitions: i64, count: i64) -> Client {
        let kafka = self.broker.within(
            &self
                .broker
                .admit(&broker::security::Proof::Nothing, [127, 0, 0, 1].into())
                .unwrap_or_else(|_| panic!("all may come in")),
            kafka_client::WITHIN,
        );
        let mut client =
            Client::within(Box::new(kafka), kafka_client::ClientOptions::new("test")).expect("a client");
        client.create_topic(topic, partitions as i32, 1, &[]).expect("a new topic");
        for partition in 0..partitions.min(count) {
            let mut batch = BatchBuilder::new(Compression::None);
            for number in (partition..count).step_by(partitions as usize) {
                let value = format!("{{\"number\": {number}, \"said\": \"Hello {number}\"}}");
                let key = format!("k{number}");
                batch
                    .append(
                        1_000_000 + number,
                        Some(key.as_bytes()),
                        Some(value.as_bytes()),
                        &[("h", Some(b"v"))],
                    )
                    .expect("it fits");
            }
            client
                .produce(topic, partition as i32, batch.build().expect("a batch"), -1)
                .expect("it is taken");
        }
        client
    }
}

/// Appends records whose number is their time to partition 0, each in a batch of its own.
fn append(client: &mut Client, topic: &str, count: i64, value: &[u8], headers: &[(&str, Option<&[u8]>)]) {
    for number in 0..count {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(1_000_000 + number, None, Some(value), headers).expect("it fits");
        client.produce(topic, 0, batch.build().expect("a batch"), -1).expect("it is taken");
    }
}

fn numbers(page: &Value) -> Vec<i64> {
    let records = page["records"].as_array().expect("records");
    records.iter().map(|record| record["timestamp"].as_i64().expect("a time") - 1_000_000).collect()
}
