//! What servers of messages say to a source: a RabbitMQ over AMQP 0-9-1 the log-in and deliveries, over its stream protocol
//! the log-in and chunks of messages; a NATS the log-in, what JetStream answers, and messages that were pulled.

use crate::{choice, script, tables};
use connectors::Connectors;
use dataflow::feed::FeedRequest;
use dataflow::table::{MetadataColumn, TableDefinition};
use std::sync::Arc;

const POLLS_MAX: usize = 4;

type Options = &'static [(&'static str, &'static str)];

const TABLES: [(&str, Options); 4] = [
    ("rabbitmq", &[("url", "amqp://server"), ("queue", "q")]),
    ("rabbitmq-stream", &[("url", "rabbitmq-stream://server"), ("stream", "s")]),
    ("nats", &[("url", "nats://server"), ("stream", "S")]),
    ("nats", &[("url", "nats://server"), ("stream", "S"), ("durable", "d")]),
];
const STREAM: u8 = 1;

/// The first byte chooses the protocol.
pub fn read(data: &[u8]) {
    let Some((first, said)) = choice(data) else { return };
    let (name, options) = TABLES[usize::from(first) % TABLES.len()];
    let connectors = connectors::table(Connectors { os: script::os(said), log: None });
    let connector = connectors.find(name).expect("a connector");
    let table = tables::table(&[&[("connector", name), ("format", "json")], options].concat());
    let metadata = connector.metadata().into_iter().map(|spec| MetadataColumn {
        name: spec.key.into(),
        key: spec.key.into(),
        data_type: spec.data_type,
        is_virtual: true,
    });
    let table = Arc::new(TableDefinition { metadata: metadata.collect(), ..(*table).clone() });
    let request = FeedRequest { table, identity: "job".into() };
    let mut feed = connector.feed(request).expect("a table that is right");
    if feed.open(None).is_err() {
        return;
    }
    for _ in 0..POLLS_MAX {
        let Ok(haul) = feed.poll(0) else { return };
        let bytes: usize = haul.records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
        // Batches of a stream may be compressed.
        assert!(first % 4 == STREAM || bytes <= said.len(), "{bytes} bytes of {}", said.len());
        if haul.ticket > 0 && feed.confirm(haul.ticket).is_err() {
            return;
        }
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[kind], &channel.to_be_bytes()[..], &length, payload, &[0xce]].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat())
}

fn delivery() -> Vec<u8> {
    let headers =
        b"\x01tt\x01\x01ll\0\0\0\0\0\0\0\x07\x01SS\0\0\0\x01x\x01AA\0\0\0\x02b\xff\x01FF\0\0\0\x03\x01vV";
    // content-type, headers, message-id, timestamp
    let flags = 0b1010_0000_1100_0000_u16.to_be_bytes();
    let header = [&60_u16.to_be_bytes()[..], &[0; 2], &2_u64.to_be_bytes(), &flags].concat();
    let table_length = (headers.len() as u32).to_be_bytes();
    let content =
        [b"\x04json", &table_length[..], headers, b"\x02id", &1_700_000_000_u64.to_be_bytes()].concat();
    let header = [header, content].concat();
    [
        method(1, 60, 60, &[b"\x01c", &1_u64.to_be_bytes()[..], b"\0", b"\x01e\x01k"].concat()),
        frame(2, 1, &header),
        frame(3, 1, b"{}"),
        frame(8, 0, b""),
    ]
    .concat()
}

fn log_in() -> Vec<u8> {
    let start =
        [b"\0\x09\0\0\0\0", &14_u32.to_be_bytes()[..], b"PLAIN EXTERNAL", &5_u32.to_be_bytes(), b"en_US"];
    let tune = [&2047_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &60_u16.to_be_bytes()].concat();
    [
        method(0, 10, 10, &start.concat()),
        method(0, 10, 30, &tune),
        method(0, 10, 41, b"\0"),
        method(1, 20, 11, &[0; 4]),
        method(1, 50, 11, b"\x01q\0\0\0\x01\0\0\0\0"),
        method(1, 60, 11, b""),
        method(1, 60, 21, b"\x01c"),
    ]
    .concat()
}

/// A frame of the stream protocol.
fn command(key: u16, content: &[u8]) -> Vec<u8> {
    let body = [&key.to_be_bytes()[..], &1_u16.to_be_bytes(), content].concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn answer(key: u16, correlation: u32, content: &[u8]) -> Vec<u8> {
    let content = [&correlation.to_be_bytes()[..], &1_u16.to_be_bytes(), content].concat();
    command(key | 0x8000, &content)
}

/// Properties with an id, an application property, data.
const MESSAGE: &[u8] =
    b"\0\x53\x73\xc0\x07\x01\xa1\x04id-1\0\x53\x74\xc1\x07\x02\xa1\x01k\xa1\x01v\0\x53\x75\xa0\x02{}";
/// An array of four billion values that take no room.
const ENDLESS: &[u8] = b"\0\x53\x77\xf0\0\0\0\x06\xff\xff\xff\xff\x41\0";

fn chunk(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let data = [&length[..], message].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    [
        &[0x50, 0][..],
        &1_u16.to_be_bytes(),
        &1_u32.to_be_bytes(),
        &1_700_000_000_000_u64.to_be_bytes(),
        &1_u64.to_be_bytes(),
        &5_u64.to_be_bytes(),
        &crc.sum().to_be_bytes(),
        &(data.len() as u32).to_be_bytes(),
        &[0; 8],
        &data,
    ]
    .concat()
}

fn stream(message: &[u8]) -> Vec<u8> {
    let tune = [&(1_u32 << 20).to_be_bytes()[..], &60_u32.to_be_bytes()].concat();
    [
        answer(17, 1, &0_u32.to_be_bytes()),
        answer(18, 2, &[&1_u32.to_be_bytes()[..], b"\0\x05PLAIN"].concat()),
        answer(19, 3, b""),
        command(20, &tune),
        answer(21, 4, &0_u32.to_be_bytes()),
        answer(7, 5, b""),
        command(8, &[&[1][..], &chunk(message)].concat()),
        command(23, b""),
    ]
    .concat()
}

/// Of a NATS: who it is, the answer to our first ping, and an answer of JetStream to each request of a source.
fn nats(answers: &[&str], behind: &str) -> Vec<u8> {
    let mut said = "INFO {\"headers\":true,\"max_payload\":1048576}\r\nPONG\r\n".to_string();
    for (number, answer) in (1..).zip(answers) {
        said.push_str(&format!("MSG i.a.r{number} 1 {}\r\n{answer}\r\n", answer.len()));
    }
    (said + behind).into_bytes()
}

const STREAM_INFO: &str = r#"{"config":{"subjects":["a.>"]},"state":{"first_seq":1,"last_seq":2}}"#;
const CONSUMER: &str = r#"{"name":"c","config":{"ack_policy":"explicit","ack_wait":30000000000}}"#;
const PULLED: &str =
    "HMSG a.b 2 $JS.ACK.S.c.1.1.1.1700000000000000000.1 18 20\r\nNATS/1.0\r\nk: v\r\n\r\n{}\r\n";
const PULL_ENDS: &str = "PING\r\nHMSG i.p.p1 2 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n";

pub fn seeds() -> Vec<Vec<u8>> {
    let queue = |parts: &[Vec<u8>]| [&[0][..], &parts.concat()].concat();
    let closed = method(1, 20, 40, &[&404_u16.to_be_bytes()[..], b"\x09NOT_FOUND\0\0\0\0"].concat());
    vec![
        queue(&[log_in(), delivery(), delivery()]),
        queue(&[log_in(), delivery(), method(1, 60, 30, b"\x01c\x01")]),
        queue(&[log_in(), closed]),
        [&[2][..], &nats(&[STREAM_INFO, CONSUMER], PULLED)].concat(),
        [&[2][..], &nats(&[STREAM_INFO, CONSUMER], &format!("{PULL_ENDS}{PULLED}"))].concat(),
        [&[2][..], &nats(&[r#"{"error":{"code":404,"description":"stream not found"}}"#], "")].concat(),
        [&[3][..], &nats(&[CONSUMER, STREAM_INFO], PULLED)].concat(),
        [&[3][..], &nats(&[CONSUMER, STREAM_INFO], "-ERR 'Stale Connection'\r\n")].concat(),
        [&[1][..], &stream(MESSAGE)].concat(),
        [&[1][..], &stream(MESSAGE), &command(16, b"\0\x06\0\x01s")].concat(),
        [&[1][..], &stream(ENDLESS)].concat(),
        [&[1][..], &stream(MESSAGE), &answer(7, 6, b""), &command(23, b"")].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are not understood would try nothing.
    #[test]
    fn seeds_are_messages() {
        let said = [
            [log_in(), delivery()].concat(),
            stream(MESSAGE),
            nats(&[STREAM_INFO, CONSUMER], &format!("{PULL_ENDS}{PULLED}")),
            nats(&[CONSUMER, STREAM_INFO], PULLED),
        ];
        for ((name, options), said) in TABLES.into_iter().zip(said) {
            let connectors = connectors::table(Connectors { os: script::os(&said), log: None });
            let table = tables::table(&[&[("connector", name), ("format", "json")], options].concat());
            let request = FeedRequest { table, identity: "job".into() };
            let mut feed = connectors.find(name).unwrap().feed(request).unwrap();
            feed.open(None).unwrap();
            // A stream's first haul is its position alone.
            let hauls = [feed.poll(0).unwrap(), feed.poll(0).unwrap()];
            let records: Vec<_> = hauls.into_iter().flat_map(|haul| haul.records).collect();
            assert_eq!(records.len(), 1, "{name}");
            assert_eq!(records[0].value.as_deref(), Some(&b"{}"[..]), "{name}");
        }
    }
}
