//! What a scripted server of AMQP 1.0 says in the wrong order, in pieces, too much of, or at the wrong time.

use super::frames;
use super::message::Message;
use super::performatives::{self as performative, Fields};
use super::values::{Value, Writer};
use crate::Connectors;
use crate::tests::script::Script;
use crate::tests::{Node, batch, schema, table};
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest};
use dataflow::sink::{OutboxSink, Sink};
use os::Os;
use std::sync::Arc;

const TABLE: &[(&str, &str)] = &[
    ("connector", "amqp"),
    ("url", "amqp://u:p@server"),
    ("queue", "q"),
    ("format", "raw"),
    ("prefetch-count", "4"),
];
const DEAD: (&str, &str) = ("dead-letter.topic", "dead");

const ACCEPTED: u64 = 0x24;
const REJECTED: u64 = 0x25;
const RELEASED: u64 = 0x26;

fn frame(kind: u8, code: u64, payload: &[u8], fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    frames::put(&mut out, kind, |out| {
        Writer::new(out).described(code, |value| {
            value.list(fill);
        });
        out.extend_from_slice(payload);
    });
    out
}

fn said(code: u64, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    frame(frames::AMQP, code, &[], fill)
}

fn sasl(outcome: u8) -> Vec<u8> {
    let mechanisms = frame(frames::SASL, performative::SASL_MECHANISMS, &[], |out| {
        out.symbols(&["PLAIN"]);
    });
    let outcome = frame(frames::SASL, performative::SASL_OUTCOME, &[], |out| {
        out.ubyte(outcome);
    });
    [b"AMQP\x03\x01\x00\x00".to_vec(), mechanisms, outcome].concat()
}

/// The log-in, a session and the frames that it takes.
fn begun(product: &str, frame_bytes_max: u32, window: u32) -> Vec<u8> {
    let open = said(performative::OPEN, |out| {
        out.string("server").null().uint(frame_bytes_max).null().null().null().null().null().null();
        out.map(|map| {
            map.symbol("product").string(product);
        });
    });
    let begin = said(performative::BEGIN, |out| {
        out.ushort(0).uint(1).uint(window).uint(100);
    });
    [sasl(0), b"AMQP\x00\x01\x00\x00".to_vec(), open, begin].concat()
}

/// What a source hears until it may take messages.
fn source() -> Vec<u8> {
    let attach = said(performative::ATTACH, |out| {
        out.string("l").uint(0).bool(false).ubyte(0).ubyte(0);
        out.described(0x28, |source| {
            source.list(|fields| {
                fields.string("q");
            });
        });
        out.described(0x29, |target| {
            target.list(|_| {});
        })
        .null()
        .null()
        .uint(0);
    });
    [begun("test", 4096, 100), attach].concat()
}

/// What a sink hears until it may send so many messages.
fn target(product: &str, window: u32, credit: u32) -> Vec<u8> {
    let attach = said(performative::ATTACH, |out| {
        out.string("l").uint(0).bool(true).ubyte(0).ubyte(0);
        out.described(0x28, |source| {
            source.list(|_| {});
        });
        out.described(0x29, |target| {
            target.list(|fields| {
                fields.string("q");
            });
        });
        out.null().null().null().ulong(5000);
    });
    [begun(product, 512, window), attach, flow(0, window, 0, credit)].concat()
}

fn flow(next_incoming_id: u32, window: u32, delivery_count: u32, credit: u32) -> Vec<u8> {
    said(performative::FLOW, |out| {
        out.uint(next_incoming_id).uint(window).uint(1).uint(100).uint(0).uint(delivery_count).uint(credit);
    })
}

fn transfer(id: u32, is_settled: bool, more: bool, is_aborted: bool, payload: &[u8]) -> Vec<u8> {
    frame(frames::AMQP, performative::TRANSFER, payload, |out| {
        out.uint(0).uint(id).binary(&id.to_be_bytes()).uint(0).bool(is_settled).bool(more);
        out.null().null().null().bool(is_aborted);
    })
}

fn message(body: &str) -> Vec<u8> {
    let message =
        Message { body: body.as_bytes().to_vec(), message_id: Some(body.into()), ..Message::default() };
    message.encode()
}

fn delivery(id: u32, body: &str) -> Vec<u8> {
    transfer(id, false, false, false, &message(body))
}

fn error(out: &mut Writer<'_>, name: &str, description: &str) {
    out.described(0x1d, |error| {
        error.list(|fields| {
            fields.symbol(name).string(description);
        });
    });
}

fn disposition(first: u32, last: u32, state: u64, reason: &str) -> Vec<u8> {
    said(performative::DISPOSITION, |out| {
        out.bool(true).uint(first).uint(last).bool(true);
        out.described(state, |state| {
            state.list(|fields| {
                if !reason.is_empty() {
                    error(fields, reason, "because");
                }
            });
        });
    })
}

fn detached(name: &str) -> Vec<u8> {
    said(performative::DETACH, |out| error(out.uint(0).bool(true), name, "no more"))
}

fn feed(pieces: Vec<Vec<u8>>) -> (Script, Box<dyn Feed>) {
    let (script, os) = Script::new(Some(pieces));
    let connectors = crate::table(Connectors { os, log: None });
    let table = table(schema(&[("text", DataType::Utf8)]), TABLE);
    let request = FeedRequest { table, identity: "job".into() };
    (script, connectors.find("amqp").unwrap().feed(request).unwrap())
}

/// The performatives that a server heard, without the log-in.
fn heard(script: &Script, code: u64) -> Vec<Fields> {
    let heard = script.heard.lock().unwrap();
    let mut rest = &heard[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        if rest.starts_with(b"AMQP") {
            rest = &rest[8..];
            continue;
        }
        let (frame, length) = frames::parse(rest, usize::MAX).unwrap().unwrap();
        if !frame.body.is_empty() {
            let (of, fields, _) = Fields::read(frame.body).unwrap();
            if of == code {
                found.push(fields);
            }
        }
        rest = &rest[length..];
    }
    found
}

/// First, last, and what was said of them.
fn settled(script: &Script) -> Vec<(u32, u32, i64)> {
    let state = |fields: &Fields| match fields.get(4) {
        Some(Value::Described(state)) => state.0.number(),
        _ => None,
    };
    let all = heard(script, performative::DISPOSITION);
    all.iter()
        .map(|fields| (fields.u32(1).unwrap(), fields.u32(2).unwrap(), state(fields).unwrap()))
        .collect()
}

fn bodies(feed: &mut dyn Feed) -> Vec<String> {
    let records = feed.poll(0).unwrap().records;
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[test]
fn messages_are_accepted_when_they_have_landed() {
    let long = message(&"x".repeat(3000));
    let (one, two) = long.split_at(1000);
    let said = [
        source(),
        delivery(7, "a"),
        transfer(8, false, true, false, one),
        frame(frames::AMQP, performative::TRANSFER, two, |out| {
            out.uint(0);
        }),
        transfer(9, false, true, false, b"half of"),
        transfer(9, false, false, true, b""),
        transfer(10, true, false, false, &message("settled")),
        transfer(11, false, false, false, b"no message"),
    ];
    let (script, mut feed) = feed(vec![said.concat()]);
    feed.open(None).unwrap();
    let haul = feed.poll(0).unwrap();
    let ids: Vec<_> = haul.records.iter().map(|record| record.id.as_deref()).collect();
    let x = "x".repeat(3000);
    assert_eq!(ids, [Some(&b"a"[..]), Some(x.as_bytes()), Some(b"settled"), None]);
    assert_eq!(haul.records[3].value.as_deref(), Some(&b"no message"[..]));
    assert!(settled(&script).is_empty());
    feed.confirm(haul.ticket).unwrap();
    assert_eq!(settled(&script), [(7, 8, ACCEPTED as i64), (11, 11, ACCEPTED as i64)]);
    // Four at a time: what is settled is granted anew.
    let flows: Vec<_> =
        heard(&script, performative::FLOW).iter().map(|flow| (flow.u32(5), flow.u32(6))).collect();
    assert_eq!(flows.first(), Some(&(Some(0), Some(4))));
    assert_eq!(flows.last(), Some(&(Some(5), Some(4))), "{flows:?}");
}

/// Where the server's messages are counted to, how many more it may send, and whether it is to use that up.
fn granted(script: &Script) -> Vec<(u32, u32, bool)> {
    let flows = heard(script, performative::FLOW);
    flows.iter().map(|flow| (flow.u32(5).unwrap(), flow.u32(6).unwrap(), flow.is_true(8))).collect()
}

#[test]
fn what_a_job_that_is_behind_does_not_take_goes_back_when_nothing_more_is_on_its_way() {
    let settled_before = transfer(2, true, false, false, &message("s"));
    let behind = [delivery(1, "a"), settled_before, delivery(3, "b")].concat();
    let on_its_way = delivery(4, "c");
    let again = [delivery(5, "b"), delivery(6, "c")].concat();
    let pieces = vec![source(), Vec::new(), behind, on_its_way, Vec::new(), again];
    let (script, mut feed) = feed(pieces);
    feed.open(None).unwrap();
    assert!(bodies(&mut *feed).is_empty());
    // One more may come: it would be taken before those that come again.
    feed.keep_alive().unwrap();
    feed.keep_alive().unwrap();
    assert_eq!(settled(&script), []);
    feed.keep_alive().unwrap();
    let released = RELEASED as i64;
    assert_eq!(settled(&script), [(4, 4, released), (3, 3, released)], "the last first");
    // What nobody would send again has stayed, and what came before it.
    let taken: Vec<String> = std::iter::repeat_with(|| bodies(&mut *feed)).take(2).flatten().collect();
    assert_eq!(taken, ["a", "s", "b", "c"]);
    assert_eq!(granted(&script), [(0, 4, false), (0, 4, true), (4, 3, false)]);
}

#[test]
fn a_server_with_nothing_more_says_so_and_gets_back_what_was_not_taken() {
    let has_no_more = flow(0, 100, 4, 0);
    let pieces = vec![source(), Vec::new(), delivery(1, "a"), has_no_more, Vec::new(), delivery(2, "a")];
    let (script, mut feed) = feed(pieces);
    feed.open(None).unwrap();
    assert!(bodies(&mut *feed).is_empty());
    for _ in 0..3 {
        assert_eq!(settled(&script), []);
        feed.keep_alive().unwrap();
    }
    assert_eq!(settled(&script), [(1, 1, RELEASED as i64)]);
    assert_eq!(bodies(&mut *feed), ["a"]);
    assert_eq!(granted(&script), [(0, 4, false), (0, 4, true), (4, 4, false)]);
}

#[test]
fn what_a_server_that_does_not_end_its_credit_has_delivered_stays() {
    let beyond = flow(0, 100, 9, 0);
    let pieces = vec![source(), Vec::new(), delivery(1, "a"), beyond, Vec::new(), delivery(2, "b")];
    let (script, mut feed) = feed(pieces);
    feed.open(None).unwrap();
    assert!(bodies(&mut *feed).is_empty());
    for _ in 0..4 {
        feed.keep_alive().unwrap();
    }
    assert_eq!(bodies(&mut *feed), ["a", "b"]);
    assert_eq!(settled(&script), []);
}

#[test]
fn a_message_without_end_is_rejected_and_not_kept() {
    let part = vec![b'x'; 4000];
    let parts = crate::messages::MESSAGE_BYTES_MAX / part.len() + 1;
    let mut said = source();
    for _ in 0..parts {
        said.extend(transfer(1, false, true, false, &part));
    }
    said.extend(transfer(1, false, false, false, &part));
    said.extend(delivery(2, "next"));
    let (script, mut feed) = feed(vec![said]);
    feed.open(None).unwrap();
    assert_eq!(
        std::iter::repeat_with(|| bodies(&mut *feed)).find(|bodies| !bodies.is_empty()).unwrap(),
        ["next"]
    );
    feed.keep_alive().unwrap();
    assert_eq!(settled(&script), [(1, 1, REJECTED as i64)]);
}

#[test]
fn a_value_whose_json_is_too_long_is_rejected() {
    let text = vec![1; crate::messages::MESSAGE_BYTES_MAX / 5];
    // A list of one text.
    let mut value = vec![0, 0x53, 0x77, 0xd0];
    value.extend((text.len() as u32 + 9).to_be_bytes());
    value.extend([0, 0, 0, 1, 0xb1]);
    value.extend((text.len() as u32).to_be_bytes());
    value.extend(text);
    let mut said = source();
    for part in value.chunks(4000) {
        said.extend(transfer(1, false, true, false, part));
    }
    said.extend(transfer(1, false, false, false, &[]));
    said.extend(delivery(2, "next"));
    let (script, mut feed) = feed(vec![said]);
    feed.open(None).unwrap();
    let taken = std::iter::repeat_with(|| bodies(&mut *feed)).find(|bodies| !bodies.is_empty());
    let lengths: Vec<usize> = taken.unwrap().iter().map(String::len).collect();
    assert_eq!(lengths, ["next".len()]);
    feed.keep_alive().unwrap();
    assert_eq!(settled(&script), [(1, 1, REJECTED as i64)]);
}

#[test]
fn a_server_that_says_what_it_may_not_ends_the_connection() {
    let many: Vec<u8> = (0..40).flat_map(|id| delivery(id, "m")).collect();
    let mut endless = vec![0xd0, 0, 0, 0, 9, 255, 255, 255, 255];
    endless.extend([0x40; 5]);
    let mut hostile = Vec::new();
    frames::put(&mut hostile, frames::AMQP, |out| {
        out.extend([0, 0x53, performative::TRANSFER as u8]);
        out.extend(&endless);
    });
    let cases = [
        (many, "delivers more than it may"),
        (said(performative::BEGIN, |_| {}), "which nobody asked for"),
        (frame(frames::SASL, performative::SASL_OUTCOME, &[], |_| {}), "which nobody asked for"),
        (
            said(performative::TRANSFER, |out| {
                out.uint(0);
            }),
            "lacks a number",
        ),
        (
            [transfer(1, false, true, false, b"a"), transfer(2, false, false, false, b"b")].concat(),
            "begins in another one",
        ),
        (hostile, "ends too early"),
        (vec![255, 255, 255, 255, 2, 0, 0, 0], "longer than was agreed on"),
        (vec![0, 0, 0, 8, 1, 0, 0, 0], "lies outside of it"),
        (vec![0, 0, 0, 9, 2, 0, 0, 0, 0x40], "no descriptor"),
        (detached("amqp:resource-deleted"), "amqp:resource-deleted"),
        (said(performative::CLOSE, |out| error(out, "amqp:connection:forced", "bye")), "bye"),
    ];
    for (wrong, words) in cases {
        let (_, mut feed) = feed(vec![[source(), wrong].concat()]);
        let error = feed.open(None).and_then(|()| feed.poll(0)).and_then(|_| feed.poll(0)).unwrap_err();
        assert!(error.message.contains(words), "{words}: {error}");
        assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Retry), "{error:?}");
    }
}

#[test]
fn whatever_a_log_in_ends_with_is_told() {
    let null_source = said(performative::ATTACH, |out| {
        out.string("l").uint(0).bool(false);
    });
    let refused = |name: &str| [begun("test", 4096, 100), null_source.clone(), detached(name)].concat();
    let cases = [
        (b"AMQP\x00\x00\x09\x01".to_vec(), ErrorKind::Invalid, "'connector' = 'rabbitmq'"),
        (b"HTTP/1.1 400 Bad".to_vec(), ErrorKind::Unavailable, "is it the right port"),
        (sasl(1), ErrorKind::Invalid, "look at user and password"),
        (sasl(4), ErrorKind::Unavailable, "could not log us in now"),
        (refused("amqp:not-found"), ErrorKind::NotFound, "create the queue 'q'"),
        (refused("amqp:unauthorized-access"), ErrorKind::Invalid, "no more (amqp:unauthorized-access)"),
        (begun("test", 4096, 100), ErrorKind::Unavailable, "not answered in time"),
    ];
    for (said, kind, words) in cases {
        let (_, mut feed) = feed(vec![said]);
        let error = feed.open(None).unwrap_err();
        assert!(error.message.contains(words), "{words}: {error}");
        assert_eq!(error.kind, kind, "{error}");
    }
    // However it is cut.
    let whole = source();
    for length in (0..whole.len()).step_by(3) {
        let (_, mut feed) = feed(vec![whole[..length].to_vec()]);
        assert_eq!(feed.open(None).unwrap_err().kind, ErrorKind::Unavailable, "{length}");
    }
}

fn sink(node: &Node, os: Os, options: &[(&str, &str)]) -> Box<dyn OutboxSink> {
    let connectors = crate::table(Connectors { os, log: Some(node.log.clone()) });
    let table = table(schema(&[("text", DataType::Utf8)]), &[TABLE, options].concat());
    match connectors.find("amqp").unwrap().sink(&table, "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("an outbox sink"),
    }
}

fn apply(sink: &mut dyn OutboxSink, base_offset: i64, texts: &[&str]) -> Result<(), String> {
    let rows = StringArray::from(texts.to_vec());
    let rows = RecordBatch::try_new(schema(&[("text", DataType::Utf8)]), vec![Arc::new(rows)]);
    let mut bytes = sink.encode(&batch(rows.unwrap()), 1).unwrap().remove(0).bytes;
    // A batch begins with its offset.
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    sink.apply(&bytes).map_err(|error| error.message)
}

#[test]
fn what_the_server_says_of_each_message_counts() {
    let node = Node::start();
    let pieces = vec![
        target("apache-activemq-artemis", 100, 10),
        // A commit looks first, and then waits.
        Vec::new(),
        disposition(0, 1, ACCEPTED, ""),
        disposition(2, 2, REJECTED, "amqp:decode-error"),
        Vec::new(),
        disposition(3, 3, RELEASED, ""),
    ];
    let (script, os) = Script::new(Some(pieces));
    let mut sink = sink(&node, os, &[DEAD]);
    assert_eq!(sink.open().unwrap(), 0);
    apply(&mut *sink, 0, &["a", "b", "c"]).unwrap();
    // The last is not in its topic.
    assert_eq!(sink.commit(false, 1).unwrap(), 0);
    let [rejected] = &sink.take_rejected()[..] else { panic!("one is refused") };
    assert_eq!((rejected.value.as_deref(), rejected.topic.as_str()), (Some(&b"c"[..]), "dead"));
    assert!(rejected.reason.contains("because (amqp:decode-error)"), "{}", rejected.reason);
    apply(&mut *sink, 3, &["d"]).unwrap();
    let error = sink.commit(false, 1).unwrap_err();
    assert!(error.message.contains("gave it back") && error.kind == ErrorKind::Unavailable, "{error}");
    // What was accepted, and what lies in the topic, is not sent again.
    script.pieces.lock().unwrap().as_mut().unwrap().extend([target("other", 100, 10)]);
    assert_eq!(sink.open().unwrap(), 3);
    let sent: Vec<u8> = script.heard.lock().unwrap().clone();
    let duplicate_ids = sent.windows(12).filter(|bytes| *bytes == b"_AMQ_DUPL_ID").count();
    assert_eq!(duplicate_ids, 4, "Artemis gets ids");
}

#[test]
fn a_message_goes_in_frames_that_the_server_takes_when_it_takes_one() {
    let node = Node::start();
    let long = "x".repeat(1000);
    // Two frames fit at first, and no message is taken but one.
    let pieces = vec![target("test", 2, 1), flow(2, 9, 0, 1), flow(3, 9, 1, 1)];
    let (script, os) = Script::new(Some(pieces));
    let mut sink = sink(&node, os, &[DEAD]);
    sink.open().unwrap();
    let error = apply(&mut *sink, 0, &[&long, "b", "c"]).unwrap_err();
    assert!(error.contains("it gives no credit"), "{error}");
    let transfers = heard(&script, performative::TRANSFER);
    let ids: Vec<(Option<u32>, bool)> = transfers.iter().map(|part| (part.u32(1), part.is_true(5))).collect();
    assert_eq!(ids, [(Some(0), true), (None, true), (None, false), (Some(1), false)]);
    // What is longer than the target takes goes nowhere.
    let (_, os) = Script::new(Some(vec![target("test", 100, 10)]));
    let mut other = self::sink(&node, os, &[DEAD]);
    other.open().unwrap();
    apply(&mut *other, 0, &[&"x".repeat(5000)]).unwrap();
    assert!(other.take_rejected()[0].reason.contains("longer than the server takes (limit=5000)"));
}

#[test]
fn a_server_that_settles_what_was_not_sent_ends_the_connection() {
    for (first, last) in [(1, 1), (0, u32::MAX), (u32::MAX, u32::MAX), (5, 2)] {
        let node = Node::start();
        let said = vec![target("test", 100, 10), disposition(first, last, ACCEPTED, "")];
        let (_, os) = Script::new(Some(said));
        let mut sink = sink(&node, os, &[]);
        sink.open().unwrap();
        apply(&mut *sink, 0, &["a"]).unwrap();
        let error = sink.commit(false, 1).unwrap_err();
        assert!(error.message.contains("were not sent"), "{first} to {last}: {error}");
    }
}

#[test]
fn so_many_messages_are_sent_behind_the_position_that_artemis_knows_their_ids() {
    let node = Node::start();
    let texts = vec!["m"; 6_000];
    let pieces = vec![target("test", 10_000, 10_000), disposition(0, 4_999, ACCEPTED, "")];
    let (_, os) = Script::new(Some(pieces));
    let mut one = sink(&node, os, &[]);
    one.open().unwrap();
    apply(&mut *one, 0, &texts).unwrap();
    // The node dies.
    drop(one);
    let (_, os) = Script::new(Some(vec![target("test", 100, 10)]));
    assert_eq!(sink(&node, os, &[]).open().unwrap(), 5_000);
}

/// Options, and what has to be told of them.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let topic = [("queue", ""), ("topic", "t")];
    let subscription = ("subscription", "s");
    let cases: &[(Role, Wrong<'_>)] = &[
        (Role::Source, (&[], &[])),
        (Role::Source, (&[topic[0], topic[1], subscription, ("client-id", "c")], &[])),
        (Role::Source, (&[("topic", "t")], &["one of 'queue' and 'topic'"])),
        (Role::Sink, (&[("queue", "")], &["one of 'queue' and 'topic'"])),
        (Role::Source, (&[subscription], &["'subscription' is for tables that read a 'topic'"])),
        (Role::Sink, (&[topic[0], topic[1], ("client-id", "c")], &["'client-id' is for tables that read"])),
        (Role::Source, (&[topic[0], topic[1], ("client-id", "")], &["'client-id' is empty"])),
        (Role::Source, (&[("auth-mechanism", "EXTERNAL")], &["logs in with a certificate"])),
        (Role::Sink, (&[("selector", "a = 1")], &["'selector' is for tables that are read"])),
        (Role::Source, (&[("url", "amqp://mq/vhost")], &["nothing may stand behind the port"])),
        (Role::Source, (&[("tls.root-cas-file", "ca.pem")], &["write 'amqps://"])),
    ];
    for (role, (options, words)) in cases {
        let table = table(schema(&[("text", DataType::Utf8)]), &[TABLE, options].concat());
        let errors = node.connector("amqp").check(&table, *role).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), words.len(), "{options:?}: {told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{options:?}: {told:?}");
    }
}
