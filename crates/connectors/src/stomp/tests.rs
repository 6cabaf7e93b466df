//! What scripted servers of STOMP say in the wrong order, in pieces, too much of, or at the wrong time.

use super::frames::{self, Decoder, Frame};
use crate::Connectors;
use crate::tests::script::{Script, Texts, feed};
use crate::tests::{Node, schema, table};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest};
use dataflow::table::{MetadataColumn, TableDefinition};
use std::sync::Arc;

const TABLE: &[(&str, &str)] = &[("connector", "stomp"), ("url", "stomp://u:p@server"), ("queue", "q")];
const DEAD: (&str, &str) = ("dead-letter.topic", "dead");
const ARTEMIS: &str = "ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine";
const ACTIVEMQ: &str = "ActiveMQ/6.1.7";
const RABBITMQ: &str = "RabbitMQ/3.10.8";

fn frame(command: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frames::put(&mut out, command, headers, body);
    out
}

fn connected(server: &str) -> Vec<u8> {
    frame("CONNECTED", &[("version", "1.2"), ("server", server), ("heart-beat", "0,0")], b"")
}

fn receipt(id: &str) -> Vec<u8> {
    frame("RECEIPT", &[("receipt-id", id)], b"")
}

/// The log-in, and a subscription.
fn subscribed(server: &str) -> Vec<u8> {
    [connected(server), receipt("1")].concat()
}

fn message(id: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    frame("MESSAGE", &[("ack", &format!("a{id}")), ("message-id", id), ("content-length", &length)], body)
}

fn error(message: &str, body: &str) -> Vec<u8> {
    frame("ERROR", &[("message", message)], body.as_bytes())
}

fn source(pieces: Vec<Vec<u8>>, options: &[(&str, &str)]) -> (Script, Box<dyn Feed>) {
    let (script, os) = Script::new(Some(pieces));
    (script, feed(os, &[TABLE, options].concat()))
}

/// The frames that a server heard.
fn heard(script: &Script) -> Vec<Frame> {
    let heard = script.heard.lock().unwrap();
    // They are read as what a server says: the commands alone are others.
    let mut frames = Vec::new();
    for part in heard.split_inclusive(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(part);
        let (command, rest) = text.trim_start_matches('\n').split_once('\n').unwrap_or_default();
        if command.is_empty() {
            continue;
        }
        let (_, found) = Decoder::default().take(format!("MESSAGE\n{rest}").as_bytes()).unwrap();
        frames.push(Frame { command: command.to_string(), ..found.unwrap() });
    }
    frames
}

fn bodies(feed: &mut dyn Feed) -> Vec<String> {
    let records = feed.poll(0).unwrap().records;
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[test]
fn messages_are_acknowledged_when_they_have_landed() {
    let pieces =
        vec![subscribed(ACTIVEMQ), [message("1", b"a"), b"\n\n".to_vec(), message("2", b"\0b")].concat()];
    let (script, mut feed) = source(pieces, &[("prefetch-count", "7")]);
    feed.open(None).unwrap();
    let haul = feed.poll(0).unwrap();
    let ids: Vec<_> = haul.records.iter().map(|record| record.id.as_deref()).collect();
    assert_eq!(ids, [Some(&b"1"[..]), Some(&b"2"[..])]);
    assert_eq!(haul.records[1].value.as_deref(), Some(&b"\0b"[..]));
    assert!(heard(&script).iter().all(|frame| frame.command != "ACK"));
    feed.confirm(haul.ticket).unwrap();
    drop(feed);
    let heard = heard(&script);
    let commands: Vec<&str> = heard.iter().map(|frame| frame.command.as_str()).collect();
    assert_eq!(commands, ["CONNECT", "SUBSCRIBE", "ACK", "ACK", "DISCONNECT"]);
    let connect = &heard[0];
    assert_eq!((connect.header("login"), connect.header("passcode")), (Some("u"), Some("p")));
    assert_eq!((connect.header("host"), connect.header("client-id")), (Some("/"), None));
    let subscribe = &heard[1];
    assert_eq!(subscribe.header("destination"), Some("/queue/q"));
    assert_eq!(subscribe.header("ack"), Some("client-individual"));
    assert_eq!(subscribe.header("activemq.prefetchSize"), Some("7"));
    assert_eq!([heard[2].header("id"), heard[3].header("id")], [Some("a1"), Some("a2")]);
}

#[test]
fn messages_that_come_before_the_answer_are_kept() {
    let (_, mut feed) = source(vec![connected(ACTIVEMQ), message("1", b"a"), receipt("1")], &[]);
    feed.open(None).unwrap();
    assert_eq!(bodies(&mut *feed), ["a"]);
}

#[test]
fn a_topic_is_read_by_a_subscription_that_is_kept() {
    let options = [("queue", ""), ("topic", "t"), ("client-id", "c"), ("subscription", "s")];
    for (server, name, id) in [
        (ACTIVEMQ, "activemq.subscriptionName", "0"),
        (ARTEMIS, "durable-subscription-name", "0"),
        (RABBITMQ, "id", "s"),
    ] {
        let (script, mut feed) = source(vec![subscribed(server)], &options);
        feed.open(None).unwrap();
        let heard = heard(&script);
        assert_eq!(heard[0].header("client-id"), Some("c"));
        assert_eq!((heard[1].header(name), heard[1].header("id")), (Some("s"), Some(id)), "{server}");
        assert_eq!(heard[1].header("durable"), Some("true").filter(|_| server == RABBITMQ), "{server}");
    }
}

#[test]
fn what_copies_is_read_by_a_subscription_that_is_kept() {
    for (destination, options, is_kept) in [
        ("/topic/t", &[][..], true),
        ("/exchange/e/k", &[], true),
        ("/queue/q", &[], false),
        ("/amq/queue/q", &[], false),
        ("/other", &[("subscription", "s")], true),
    ] {
        let options = [&[("queue", ""), ("destination", destination)], options].concat();
        let (script, mut feed) = source(vec![subscribed(RABBITMQ)], &options);
        feed.open(None).unwrap();
        let subscribe = &heard(&script)[1];
        assert_eq!(subscribe.header("durable") == Some("true"), is_kept, "{destination}");
        assert_eq!(subscribe.header("id") != Some("0"), is_kept, "{destination}");
    }
    // What nobody knows to be kept is refused.
    let options = [("queue", ""), ("destination", "/topic/t")];
    let (_, mut feed) = source(vec![subscribed("Somebody/1")], &options);
    assert!(feed.open(None).unwrap_err().message.contains("how it keeps a subscription"));
}

#[test]
fn a_header_is_as_long_as_it_is_on_its_way() {
    for (colons, refused) in [(4_900, 0), (6_000, 1)] {
        let node = Node::start();
        let (script, os) = Script::new(Some(vec![connected(ACTIVEMQ), Vec::new(), receipt("1")]));
        let content_type = ":".repeat(colons);
        let options = [("content-type", content_type.as_str()), DEAD];
        let mut texts = Texts::new(os, &node, &[TABLE, &options].concat());
        texts.sink.open().unwrap();
        texts.apply(0, &["a"]);
        assert_eq!(texts.sink.take_rejected().len(), refused);
        texts.sink.commit(false, 1).unwrap();
        let sent = heard(&script).iter().filter(|frame| frame.command == "SEND").count();
        assert_eq!(sent, 1 - refused);
    }
}

#[test]
fn what_a_message_says_of_itself_is_in_its_columns() {
    let headers = [
        ("ack", "3,7"),
        ("message-id", "3,7"),
        ("timestamp", "1700000000123"),
        ("expires", "1700000060123"),
        ("_AMQ_GROUP_ID", "g"),
        ("type", "ty"),
        ("persistent", "true"),
        ("redelivered", "true"),
        ("a:b", "c\nd"),
    ];
    let (_, os) = Script::new(Some(vec![subscribed(ARTEMIS), frame("MESSAGE", &headers, b"x")]));
    let connectors = crate::table(Connectors { os, log: None });
    let connector = connectors.find("stomp").unwrap();
    let metadata = connector.metadata().into_iter().map(|spec| MetadataColumn {
        name: spec.key.into(),
        key: spec.key.into(),
        data_type: spec.data_type,
        is_virtual: true,
    });
    let table = table(schema(&[("text", DataType::Utf8)]), &[TABLE, &[("format", "raw")]].concat());
    let table = Arc::new(TableDefinition { metadata: metadata.collect(), ..(*table).clone() });
    let mut feed = connector.feed(FeedRequest { table, identity: "job".into() }).unwrap();
    feed.open(None).unwrap();
    let record = feed.poll(0).unwrap().records.remove(0);
    assert_eq!(
        (record.timestamp_ms, record.id.as_deref()),
        (1_700_000_000_123, Some(&b"7@1700000000123"[..]))
    );
    let found = |name: &str| {
        let header = record.headers.iter().find(|(known, _)| known == name)?;
        header.1.clone()
    };
    let text = |name: &str| found(name).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(text("m:message-id").as_deref(), Some("7@1700000000123"));
    assert_eq!((text("m:group-id").as_deref(), text("m:type").as_deref()), (Some("g"), Some("ty")));
    assert_eq!(found("m:ttl"), Some(60_000_i64.to_be_bytes().to_vec()));
    assert_eq!((found("m:persistent"), found("m:redelivered")), (Some(vec![1]), Some(vec![1])));
    assert_eq!(found("m:priority"), Some(4_i64.to_be_bytes().to_vec()));
    let own: Vec<&str> = record.headers.iter().filter_map(|(name, _)| name.strip_prefix("h:")).collect();
    assert_eq!((own, text("h:a:b").as_deref()), (vec!["a:b"], Some("c\nd")));
}

#[test]
fn an_id_of_the_senders_own_is_taken_where_the_table_says_so() {
    let sent = frame("MESSAGE", &[("ack", "1"), ("message-id", "T_0@@1"), ("order", "7")], b"x");
    for (options, id) in [
        (&[("id-header", "order")][..], Some(&b"7"[..])),
        (&[("id-header", "order"), ("deduplicate", "false")], None),
        (&[("id-header", "other")], None),
        // Of a server that nobody knows a message-id may be of one delivery.
        (&[], None),
    ] {
        let (_, mut feed) = source(vec![subscribed("Somebody/1"), sent.clone()], options);
        feed.open(None).unwrap();
        assert_eq!(feed.poll(0).unwrap().records[0].id.as_deref(), id, "{options:?}");
    }
}

#[test]
fn of_a_message_that_fits_into_no_record_the_beginning_lands_as_a_dead_letter() {
    let long = vec![b'x'; crate::messages::MESSAGE_BYTES_MAX + 1];
    let (_, mut feed) = source(vec![subscribed(ACTIVEMQ), message("1", &long), message("2", b"next")], &[]);
    feed.open(None).unwrap();
    let mut records = Vec::new();
    while records.len() < 2 {
        records.extend(feed.poll(0).unwrap().records);
    }
    let lengths: Vec<usize> = records.iter().map(|record| record.value.as_ref().unwrap().len()).collect();
    assert_eq!(lengths, [1024, 4]);
    let (_, reason) = records[0].headers.iter().find(|(name, _)| name == "u:").unwrap();
    let reason = String::from_utf8(reason.clone().unwrap()).unwrap();
    assert!(reason.contains("bytes=16777217, and limit=16777216"), "{reason}");
}

#[test]
fn a_server_that_says_what_it_may_not_ends_the_connection() {
    let cases = [
        (b"HELLO\n\n\0".to_vec(), "is it the right port", ErrorKind::Unavailable),
        (connected(ACTIVEMQ), "nobody asked for", ErrorKind::Unavailable),
        (frame("RECEIPT", &[], b""), "without receipt-id", ErrorKind::Unavailable),
        (frame("MESSAGE", &[("message-id", "1")], b""), "cannot be acknowledged", ErrorKind::Unavailable),
        (error("gone", "for now"), "gone: for now", ErrorKind::Unavailable),
    ];
    for (wrong, words, kind) in cases {
        let (_, mut feed) = source(vec![[subscribed(ACTIVEMQ), wrong].concat()], &[]);
        let error = feed.open(None).and_then(|()| feed.poll(0)).unwrap_err();
        assert!(error.message.contains(words) && error.kind == kind, "{words}: {error}");
    }
}

#[test]
fn whatever_a_log_in_ends_with_is_told() {
    let cases = [
        (b"HTTP/1.1 400 Bad\r\n\r\n".to_vec(), ErrorKind::Unavailable, "is it the right port"),
        (error("User name [u] or password is invalid.", ""), ErrorKind::Invalid, "look at user and password"),
        (
            error("Bad CONNECT", "Access refused for user 'u'\n"),
            ErrorKind::Invalid,
            "look at user and password",
        ),
        (error("Bad CONNECT", "Virtual host 'v' access denied"), ErrorKind::Invalid, "Virtual host 'v'"),
        (frame("CONNECTED", &[("version", "1.1")], b""), ErrorKind::Invalid, "speaks STOMP 1.1"),
        (
            [connected(ARTEMIS), error("AMQ339001 Destination does not exist q", "")].concat(),
            ErrorKind::NotFound,
            "create the queue 'q'",
        ),
        (connected(ARTEMIS), ErrorKind::Unavailable, "not answered in time"),
    ];
    for (said, kind, words) in cases {
        let (_, mut feed) = source(vec![said], &[]);
        let error = feed.open(None).unwrap_err();
        assert!(error.message.contains(words) && error.kind == kind, "{words}: {error:?}");
    }
    // However it is cut.
    let whole = subscribed(ARTEMIS);
    for length in 0..whole.len() {
        let (_, mut feed) = source(vec![whole[..length].to_vec()], &[]);
        assert_eq!(feed.open(None).unwrap_err().kind, ErrorKind::Unavailable, "{length}");
    }
}

#[test]
fn selectors_are_for_servers_that_have_them() {
    let wanted = [("selector", "a = 1")];
    let (script, mut feed) = source(vec![subscribed(ACTIVEMQ)], &wanted);
    feed.open(None).unwrap();
    assert_eq!(heard(&script)[1].header("selector"), Some("a = 1"));
    let (_, mut feed) = source(vec![subscribed(RABBITMQ)], &wanted);
    assert!(feed.open(None).unwrap_err().message.contains("RabbitMQ has no selectors"));
}

#[test]
fn messages_are_confirmed_by_their_receipts() {
    let node = Node::start();
    let pieces = vec![connected(ARTEMIS), Vec::new(), receipt("2"), [receipt("1"), receipt("3")].concat()];
    let (script, os) = Script::new(Some(pieces));
    let mut texts = Texts::new(os, &node, TABLE);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &["a", "b", "c"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 3);
    let sent: Vec<Frame> = heard(&script).into_iter().filter(|frame| frame.command == "SEND").collect();
    let ids: Vec<_> = sent.iter().map(|frame| frame.header("_AMQ_DUPL_ID").unwrap()).collect();
    assert_eq!(ids, ["job-0", "job-1", "job-2"]);
    let first = &sent[0];
    assert_eq!((first.header("destination"), first.header("destination-type")), (Some("q"), Some("ANYCAST")));
    assert_eq!((first.header("content-length"), first.body.as_slice()), (Some("1"), &b"a"[..]));
}

#[test]
fn what_was_not_confirmed_is_sent_again_with_the_same_id() {
    let node = Node::start();
    let pieces = vec![connected(RABBITMQ), Vec::new(), receipt("1"), error("gone", "")];
    let (script, os) = Script::new(Some(pieces));
    let mut texts = Texts::new(os, &node, TABLE);
    texts.sink.open().unwrap();
    texts.apply(0, &["a", "b"]);
    assert!(texts.sink.commit(false, 1).unwrap_err().message.contains("gone"));
    script.pieces.lock().unwrap().as_mut().unwrap().extend([connected(RABBITMQ), Vec::new(), receipt("1")]);
    assert_eq!(texts.sink.open().unwrap(), 1);
    texts.apply(0, &["a", "b"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2);
    let sent: Vec<Frame> = heard(&script).into_iter().filter(|frame| frame.command == "SEND").collect();
    let ids: Vec<_> = sent.iter().map(|frame| frame.header("amqp-message-id").unwrap()).collect();
    assert_eq!(ids, ["job-0", "job-1", "job-1"]);
}

#[test]
fn a_sink_is_told_what_its_server_would_not_say() {
    let node = Node::start();
    let (_, os) = Script::new(Some(vec![connected(RABBITMQ)]));
    let options = [("queue", ""), ("destination", "/amq/queue/q")];
    let mut texts = Texts::new(os, &node, &[TABLE, &options].concat());
    let error = texts.sink.open().unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("drops them"), "{error}");
    let (_, os) = Script::new(Some(vec![connected(ARTEMIS), Vec::new(), error_of_destination()]));
    let mut texts = Texts::new(os, &node, TABLE);
    texts.sink.open().unwrap();
    texts.apply(0, &["a"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.kind == ErrorKind::NotFound && error.message.contains("create the queue 'q'"), "{error}");
}

fn error_of_destination() -> Vec<u8> {
    error("AMQ339001 Destination does not exist q", "")
}

#[test]
fn a_text_goes_without_a_length_unless_a_zero_is_in_it() {
    let node = Node::start();
    let (script, os) = Script::new(Some(vec![connected(ACTIVEMQ), Vec::new(), receipt("1"), receipt("2")]));
    let mut texts = Texts::new(os, &node, &[TABLE, &[("message-type", "text"), DEAD]].concat());
    texts.sink.open().unwrap();
    texts.apply(0, &["a", "\0"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2);
    let said = String::from_utf8(script.heard.lock().unwrap().clone()).unwrap();
    let lengths: Vec<bool> =
        said.split("SEND\n").skip(1).map(|frame| frame.contains("content-length:1\n")).collect();
    assert_eq!(lengths, [false, true]);
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
        (Role::Source, (&[("url", "stomps://mq/vhost")], &[])),
        (Role::Source, (&[("topic", "t")], &["one of 'queue', 'topic' and 'destination'"])),
        (Role::Sink, (&[("queue", "")], &["one of 'queue', 'topic' and 'destination'"])),
        (Role::Source, (&[subscription], &["'subscription' is for tables that read a 'topic'"])),
        (Role::Sink, (&[topic[0], topic[1], ("client-id", "c")], &["'client-id' is for tables that read"])),
        (Role::Source, (&[topic[0], topic[1], ("client-id", "")], &["'client-id' is empty"])),
        (Role::Sink, (&[("selector", "a = 1")], &["'selector' is for tables that are read"])),
        (Role::Sink, (&[("id-header", "a")], &["'id-header' is for tables that are read"])),
        (Role::Source, (&[("tls.root-cas-file", "ca.pem")], &["write 'stomps://"])),
    ];
    for (role, (options, words)) in cases {
        let all = [TABLE, &[("format", "raw")], options].concat();
        let table = table(schema(&[("text", DataType::Utf8)]), &all);
        let errors = node.connector("stomp").check(&table, *role).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), words.len(), "{options:?}: {told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{options:?}: {told:?}");
    }
}
