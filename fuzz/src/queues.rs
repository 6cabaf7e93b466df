//! What servers of messages say to a source: a RabbitMQ over AMQP 0-9-1 the log-in and deliveries, over its stream protocol
//! the log-in and chunks of messages; a NATS the log-in, what JetStream answers, and messages that were pulled; a Redis what it
//! knows of a stream, and entries; a server of MQTT a session, and messages in both versions; a server of AMQP 1.0 the log-in,
//! a session, a link and deliveries; an ActiveMQ over STOMP the log-in, a receipt and messages; a Pub/Sub over HTTP what a subscription is, and messages that were pulled.

use crate::{choice, script, tables};
use connectors::Connectors;
use dataflow::feed::FeedRequest;
use dataflow::table::{MetadataColumn, TableDefinition};
use std::sync::Arc;

const POLLS_MAX: usize = 4;

type Options = &'static [(&'static str, &'static str)];

const TABLES: [(&str, Options); 11] = [
    ("rabbitmq", &[("url", "amqp://server"), ("queue", "q")]),
    ("rabbitmq-stream", &[("url", "rabbitmq-stream://server"), ("stream", "s")]),
    ("nats", &[("url", "nats://server"), ("stream", "S")]),
    ("nats", &[("url", "nats://server"), ("stream", "S"), ("durable", "d")]),
    ("redis-streams", &[("url", "redis://server"), ("stream", "s")]),
    ("redis-streams", &[("url", "redis://server"), ("stream", "s"), ("consumer-group", "g")]),
    ("mqtt", &[("url", "mqtt://server"), ("topics", "a/#"), ("qos", "2")]),
    ("mqtt", &[("url", "mqtt://server"), ("topics", "a/#"), ("protocol-version", "3.1.1")]),
    ("amqp", &[("url", "amqp://u:p@server"), ("queue", "q")]),
    (
        "pubsub",
        &[
            ("emulator-endpoint", "server"),
            ("subscription", "projects/p/subscriptions/sub"),
            ("scan.flow-control.max-outstanding-element-count", "1"),
        ],
    ),
    ("stomp", &[("url", "stomp://u:p@server"), ("queue", "q")]),
];

/// Data that begins with a smaller byte is a queue's.
pub const PROTOCOLS: u8 = TABLES.len() as u8;

/// The first byte chooses the protocol.
pub fn read(data: &[u8]) {
    let Some((first, said)) = choice(data) else { return };
    let (name, options) = TABLES[usize::from(first) % TABLES.len()];
    follow(name, options, said);
}

/// Polls the feed of a table whose server says this; how many records have come.
pub fn follow(name: &str, options: &[(&str, &str)], said: &[u8]) -> usize {
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
    let mut count = 0;
    if feed.open(None).is_err() {
        return count;
    }
    for _ in 0..POLLS_MAX {
        let Ok(haul) = feed.poll(0) else { return count };
        count += haul.records.len();
        let bytes: usize = haul.records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
        let bytes_max = match name {
            // Its batches may be compressed.
            "rabbitmq-stream" => usize::MAX,
            // What is shown as JSON may need six letters for a byte.
            "amqp" | "redis-streams" => said.len() * 8,
            _ => said.len(),
        };
        assert!(bytes <= bytes_max, "{bytes} bytes of {}", said.len());
        if haul.ticket > 0 && feed.confirm(haul.ticket).is_err() {
            return count;
        }
    }
    count
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

/// A Redis that knows a stream of two entries, of which the first was read before.
const REDIS_HELLO: &str = "%1\r\n+role\r\n+master\r\n+stream\r\n";
const REDIS_STREAM: &str = "%4\r\n$6\r\nlength\r\n:2\r\n$17\r\nlast-generated-id\r\n$3\r\n2-0\r\n$13\r\nentries-added\r\n\
                            :2\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
const REDIS_GROUPS: &str = "*1\r\n*6\r\n$4\r\nname\r\n$1\r\ng\r\n$17\r\nlast-delivered-id\r\n$3\r\n0-0\r\n$12\r\nentries-read\r\n\
                            :0\r\n";
const REDIS_ENTRY: &str =
    "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$4\r\nbody\r\n$2\r\n{}\r\n$1\r\nk\r\n$1\r\nv\r\n";
/// RESP2 has lists in place of maps.
const REDIS_ENTRY_2: &str =
    "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$4\r\nbody\r\n$2\r\n{}\r\n";

/// The answer to a transaction.
fn redis_once(answers: &[&str]) -> String {
    let queued = "+QUEUED\r\n".repeat(answers.len());
    format!("+OK\r\n{queued}*{}\r\n{}", answers.len(), answers.concat())
}

/// An entry is new, and then no more.
fn redis(entry: &str) -> Vec<u8> {
    let looks: String = [entry, "_\r\n"].map(|found| redis_once(&[REDIS_STREAM, found])).concat();
    format!("{REDIS_HELLO}{REDIS_STREAM}{looks}").into_bytes()
}

/// Nothing was left to the group, and one entry is new.
fn redis_group(entry: &str) -> Vec<u8> {
    let look =
        |found| redis_once(&[REDIS_STREAM, REDIS_GROUPS]) + &redis_once(&[REDIS_STREAM, REDIS_GROUPS, found]);
    let looks: String = [entry, "_\r\n", "_\r\n"].map(look).concat();
    format!("{REDIS_HELLO}{REDIS_STREAM}+OK\r\n_\r\n*2\r\n$3\r\n0-0\r\n*0\r\n{looks}").into_bytes()
}

/// A session, a subscription, a message with properties, and what is let go.
const MQTT_5: &[u8] = b"\x20\x06\0\0\x03\x21\0\x02\x90\x04\0\x01\0\x02\
                        \x34\x0f\0\x01a\0\x07\x07\x26\0\x01k\0\x01v{}\x62\x02\0\x07";
const MQTT_4: &[u8] = b"\x20\x02\x01\0\x90\x03\0\x01\x01\x32\x07\0\x01a\0\x07{}\xd0\0";
/// A frame of AMQP 1.0: a performative with its fields, and what stands behind it.
fn performative(kind: u8, code: u8, fields: &[&[u8]], behind: &[u8]) -> Vec<u8> {
    let content = fields.concat();
    let list = [&[0xc0, content.len() as u8 + 1, fields.len() as u8][..], &content].concat();
    let body = [&[0, 0x53, code][..], &list, behind].concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, kind, 0, 0], &body].concat()
}

const ZERO: &[u8] = b"\x43";
const NULL: &[u8] = b"\x40";

/// The log-in, a session, and a link that begins.
fn amqp() -> Vec<u8> {
    [
        b"AMQP\x03\x01\0\0".to_vec(),
        performative(1, 0x40, &[b"\xe0\x08\x01\xa3\x05PLAIN"], b""),
        performative(1, 0x44, &[b"\x50\0"], b""),
        b"AMQP\0\x01\0\0".to_vec(),
        performative(0, 0x10, &[b"\xa1\x01s", NULL, b"\x70\0\x01\0\0", NULL, b"\x70\0\0\x75\x30"], b""),
        performative(0, 0x11, &[b"\x60\0\0", ZERO, b"\x52\x64", b"\x52\x64"], b""),
        performative(
            0,
            0x12,
            &[b"\xa1\x01l", ZERO, b"\x42", NULL, NULL, b"\0\x53\x28\xc0\x04\x01\xa1\x01q"],
            b"",
        ),
    ]
    .concat()
}

fn transfer(id: u8, more: bool, message: &[u8]) -> Vec<u8> {
    let more: &[u8] = if more { b"\x41" } else { b"\x42" };
    performative(0, 0x14, &[ZERO, &[0x52, id], b"\xa0\x01t", ZERO, b"\x42", more], message)
}

/// A header, annotations, and the sections of [`MESSAGE`].
fn amqp_message() -> Vec<u8> {
    let said = b"\0\x53\x70\xc0\x04\x02\x41\x50\x07\0\x53\x72\xc1\x08\x02\xa3\x03x-o\x54\x05";
    [&said[..], MESSAGE].concat()
}

/// A log-in, and the answer to a subscription.
const STOMP: &str =
    "CONNECTED\nversion:1.2\nserver:ActiveMQ/6.1.7\nheart-beat:0,0\n\n\0\nRECEIPT\nreceipt-id:1\n\n\0";
const STOMP_MESSAGE: &str =
    "MESSAGE\nack:1\nmessage-id:m\\c1\ntimestamp:1700000000000\ncontent-length:2\n\n{}\0\n";
/// Without a length.
const STOMP_TEXT: &str = "MESSAGE\r\nack:2\r\nmessage-id:2\r\nk:v\\n\r\n\r\n{}\0";

/// What a subscription is and what is pulled from it in one: each call has a connection of its own, and is told the same.
const SUBSCRIPTION: &str = r#"{"name":"projects/p/subscriptions/sub","ackDeadlineSeconds":10,"receivedMessages":[{"ackId":"r","deliveryAttempt":1,"message":{"data":"e30=","attributes":{"a":"x"},"messageId":"1","publishTime":"2026-11-29T12:00:00.1Z","orderingKey":"k"}}]}"#;
const GONE: &str = r#"{"error":{"code":400,"message":"some","status":"INVALID_ARGUMENT","details":[{"metadata":{"r":"PERMANENT_FAILURE_INVALID_ACK_ID"}}]}}"#;

fn http(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let queue = |parts: &[Vec<u8>]| [&[0][..], &parts.concat()].concat();
    let amqp = |parts: &[Vec<u8>]| [&[8][..], &amqp(), &parts.concat()].concat();
    let message = amqp_message();
    let (one, two) = message.split_at(20);
    let map = b"\0\x53\x77\xc1\x06\x02\xa1\x01a\x54\x05";
    let detached = [ZERO, b"\x41", b"\0\x53\x1d\xc0\x12\x01\xa3\x0famqp:not-found"];
    let flow = [ZERO, b"\x52\x64", ZERO, b"\x52\x64", ZERO, ZERO, ZERO, NULL, NULL, b"\x41"];
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
        [&[4][..], &redis(REDIS_ENTRY)].concat(),
        [&[4][..], &redis(REDIS_ENTRY_2)].concat(),
        [&[4][..], b"-MOVED 1 other:7000\r\n"].concat(),
        [&[5][..], &redis_group(REDIS_ENTRY)].concat(),
        [&[6][..], MQTT_5].concat(),
        [&[6][..], b"\x20\x03\0\x87\0"].concat(),
        [&[7][..], MQTT_4].concat(),
        [&[1][..], &stream(MESSAGE)].concat(),
        [&[1][..], &stream(MESSAGE), &command(16, b"\0\x06\0\x01s")].concat(),
        [&[1][..], &stream(ENDLESS)].concat(),
        amqp(&[transfer(0, false, &message), performative(0, 0x13, &flow, b""), transfer(1, false, map)]),
        amqp(&[transfer(0, true, one), transfer(0, false, two), vec![0, 0, 0, 8, 2, 0, 0, 0]]),
        amqp(&[transfer(0, false, ENDLESS), performative(0, 0x16, &detached, b"")]),
        [&[1][..], &stream(MESSAGE), &answer(7, 6, b""), &command(23, b"")].concat(),
        [&[9][..], &http(200, SUBSCRIPTION)].concat(),
        [&[9][..], &http(400, GONE)].concat(),
        [&[10][..], STOMP.as_bytes(), STOMP_MESSAGE.as_bytes(), STOMP_TEXT.as_bytes()].concat(),
        [&[10][..], STOMP.as_bytes(), b"ERROR\nmessage:gone\ncontent-length:3\n\nfor\0"].concat(),
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
            redis(REDIS_ENTRY),
            redis_group(REDIS_ENTRY_2),
            MQTT_5.to_vec(),
            MQTT_4.to_vec(),
            [amqp(), transfer(0, false, &amqp_message())].concat(),
            http(200, SUBSCRIPTION),
            [STOMP, STOMP_MESSAGE].concat().into_bytes(),
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
