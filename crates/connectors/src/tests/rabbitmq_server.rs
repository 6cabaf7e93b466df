//! What a scripted RabbitMQ says in the wrong order, in pieces, or at the wrong time.

use super::script::{Script, Texts, feed};
use super::*;
use base::ErrorKind;
use base::codec::FieldWriter;

/// The ids of what was published to a stream.
fn published(script: &Script) -> Vec<u64> {
    const PUBLISH: &[u8] = &[0, 2];
    let heard = script.heard.lock().unwrap();
    let (mut rest, mut ids) = (&heard[..], Vec::new());
    while let Some((frame, behind)) = rest
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize))
    {
        rest = behind;
        // Key, version, publisher and count stand before the messages.
        let mut messages = if frame.starts_with(PUBLISH) { &frame[9..] } else { &[] };
        while let Some((id, message)) = messages.split_first_chunk::<8>() {
            ids.push(u64::from_be_bytes(*id));
            let (length, message) = message.split_first_chunk::<4>().unwrap();
            messages = &message[u32::from_be_bytes(*length) as usize..];
        }
    }
    ids
}

const STREAM: &[(&str, &str)] = &[
    ("connector", "rabbitmq-stream"),
    ("url", "rabbitmq-stream://server"),
    ("stream", "s"),
    ("dead-letter.topic", "dead"),
];
const QUEUE: &[(&str, &str)] = &[("connector", "rabbitmq"), ("url", "amqp://server"), ("queue", "q")];

/// A frame of the stream protocol.
fn command(key: u16, content: &[u8]) -> Vec<u8> {
    let body = [&key.to_be_bytes()[..], &1_u16.to_be_bytes(), content].concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn answer(key: u16, correlation: u32, content: &[u8]) -> Vec<u8> {
    let content = [&correlation.to_be_bytes()[..], &1_u16.to_be_bytes(), content].concat();
    command(key | 0x8000, &content)
}

/// Answers with the correlations 1 to 4.
fn stream_log_in() -> Vec<u8> {
    let tune = [&4096_u32.to_be_bytes()[..], &60_u32.to_be_bytes()].concat();
    [
        answer(17, 1, &0_u32.to_be_bytes()),
        answer(18, 2, &[&1_u32.to_be_bytes()[..], b"\0\x05PLAIN"].concat()),
        answer(19, 3, b""),
        command(20, &tune),
        answer(21, 4, &0_u32.to_be_bytes()),
    ]
    .concat()
}

fn subscribed(correlation: u32) -> Vec<u8> {
    answer(7, correlation, b"")
}

fn heartbeat() -> Vec<u8> {
    command(23, b"")
}

const WRITTEN_MS: i64 = 1_700_000_000_000;

fn chunk(first_offset: u64, messages: &[&[u8]]) -> Vec<u8> {
    let entry = |message: &&[u8]| [&(message.len() as u32).to_be_bytes()[..], message].concat();
    let data = messages.iter().flat_map(entry).collect::<Vec<u8>>();
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    let chunk = [
        &[1, 0x50, 0][..],
        &(messages.len() as u16).to_be_bytes(),
        &(messages.len() as u32).to_be_bytes(),
        &WRITTEN_MS.to_be_bytes(),
        &1_u64.to_be_bytes(),
        &first_offset.to_be_bytes(),
        &crc.sum().to_be_bytes(),
        &(data.len() as u32).to_be_bytes(),
        &[0; 8],
        &data,
    ];
    command(8, &chunk.concat())
}

/// A position of a stream: the next offset.
fn position(offset: i64) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u8(1).i64(offset);
    out.finish()
}

#[test]
fn deleted_offsets_are_noticed_however_late_the_first_chunk_comes() {
    let mut whole = chunk(5, &[b"five"]);
    let rest = whole.split_off(whole.len() / 2);
    let silence = Vec::new;
    let log_in = [stream_log_in(), subscribed(5)].concat();
    let unsubscribed = answer(12, 6, b"");
    for pieces in [
        vec![log_in.clone(), heartbeat(), [&whole[..], &rest].concat(), unsubscribed.clone()],
        vec![log_in.clone(), whole.clone(), silence(), silence(), rest.clone(), unsubscribed.clone()],
    ] {
        let (_, os) = Script::new(Some(pieces));
        let error = feed(os, STREAM).open(Some(&position(2))).unwrap_err();
        assert!(error.message.contains("offset=2 is not on the server any more"), "{error}");
        assert_eq!(error.kind, ErrorKind::Invalid);
    }
    let (_, os) = Script::new(Some(vec![log_in.clone(), whole]));
    let error = feed(os, STREAM).open(Some(&position(2))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // Of an empty stream no chunk comes: not in all of the time, and not when it is looked for a last time.
    let unsubscribed = [unsubscribed, subscribed(7)].concat();
    let (_, os) = Script::new(Some(vec![log_in, heartbeat(), silence(), silence(), unsubscribed]));
    feed(os, STREAM).open(Some(&position(2))).unwrap();
}

#[test]
fn a_message_of_a_stream_that_is_odd_does_not_stop_the_others() {
    /// Properties with a creation time alone, and data.
    fn timed(ms: i64) -> Vec<u8> {
        let list = [&[0; 0][..], b"\0\x53\x73\xc0\x13\x0a", &[0x40; 9], &[0x83], &ms.to_be_bytes()];
        [&list.concat()[..], b"\0\x53\x75\xa0\x02{}"].concat()
    }
    let messages = [b"plain".to_vec(), timed(i64::MIN), timed(i64::MAX), timed(-1), timed(7)];
    let said = chunk(0, &messages.each_ref().map(Vec::as_slice));
    let (_, os) = Script::new(Some(vec![[stream_log_in(), subscribed(5), said].concat()]));
    let mut feed = feed(os, STREAM);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    let records = feed.poll(0).unwrap().records;
    assert_eq!(records[0].value.as_deref(), Some(&b"plain"[..]));
    assert!(records[1..].iter().all(|record| record.value.as_deref() == Some(b"{}")), "{records:?}");
    let times: Vec<i64> = records.iter().map(|record| record.timestamp_ms).collect();
    assert_eq!(times, [WRITTEN_MS, WRITTEN_MS, WRITTEN_MS, WRITTEN_MS, 7]);
}

/// A stream that has a later id would not be asked for the refused record any more after a crash.
#[test]
fn nothing_is_published_behind_a_refused_record_before_that_is_kept() {
    let node = Node::start();
    let declared = [answer(1, 5, b""), answer(5, 6, &0_u64.to_be_bytes())].concat();
    let confirmed = |ids: &[u64]| {
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        command(3, &[&[1][..], &((ids.len() / 8) as u32).to_be_bytes(), &ids].concat())
    };
    // Nothing has come when a commit looks first: confirms come when it waits.
    let silence = Vec::new;
    let pieces = vec![
        [stream_log_in(), declared].concat(),
        silence(),
        confirmed(&[1]),
        silence(),
        confirmed(&[3]),
        silence(),
        confirmed(&[5, 6]),
    ];
    let (script, os) = Script::new(Some(pieces));
    let mut texts = Texts::new(os, &node, STREAM);
    let long = "x".repeat(5000);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &["a", &long, "b"]);
    texts.apply(3, &[&long, "c", "d"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 0);
    assert_eq!(published(&script), [1]);
    let [rejected] = &texts.sink.take_rejected()[..] else { panic!("one is refused") };
    assert_eq!((rejected.topic.as_str(), rejected.origin.as_str()), ("dead", "t outbox-offset=1"));
    assert_eq!(rejected.value.as_deref(), Some(long.as_bytes()));
    // The next is refused in what was held.
    texts.sink.commit(false, 1).unwrap();
    assert_eq!(published(&script), [1, 3]);
    assert_eq!(texts.sink.take_rejected().len(), 1);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 6);
    assert_eq!(published(&script), [1, 3, 5, 6]);
    assert!(texts.sink.take_rejected().is_empty());
}

/// Ids that the stream has taken for good, and one that it has not.
fn confirmed(ids: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
    command(3, &[&[1][..], &(ids.len() as u32).to_be_bytes(), &bytes].concat())
}

fn refused(id: u64) -> Vec<u8> {
    command(4, &[&[1][..], &1_u32.to_be_bytes(), &id.to_be_bytes(), &13_u16.to_be_bytes()].concat())
}

/// The log-in of a publisher whose highest id the stream knows.
fn publisher(highest: u64) -> Vec<u8> {
    [stream_log_in(), answer(1, 5, b""), answer(5, 6, &highest.to_be_bytes())].concat()
}

/// A server that refuses one message and takes later ones takes the id of the first no more.
#[test]
fn a_message_that_was_refused_among_others_is_a_dead_letter_also_after_a_crash() {
    let silence = Vec::new;
    for first in [1, 2] {
        let node = Node::start();
        let taken: Vec<u64> = (1..=3).filter(|id| *id != first).collect();
        let pieces = vec![publisher(0), silence(), [refused(first), confirmed(&taken)].concat()];
        let (script, os) = Script::new(Some(pieces));
        let mut texts = Texts::new(os, &node, STREAM);
        texts.sink.open().unwrap();
        texts.apply(0, &["a", "b", "c"]);
        let error = texts.sink.commit(false, 1).unwrap_err();
        assert!(error.message.contains(&format!("publishing id {first} was not taken")), "{error}");
        assert_eq!(published(&script), [1, 2, 3]);
        // The node comes back without what it had in memory.
        drop(texts);
        let pieces = vec![
            publisher(3),
            silence(),
            silence(),
            confirmed(&[2, 3].map(|id: u64| id)[usize::from(first == 2)..]),
        ];
        let (script, os) = Script::new(Some(pieces));
        let mut texts = Texts::new(os, &node, STREAM);
        let offset = first as i64 - 1;
        assert_eq!(texts.sink.open().unwrap(), offset);
        texts.apply(0, &["a", "b", "c"]);
        let [rejected] = &texts.sink.take_rejected()[..] else { panic!("one is refused") };
        assert!(rejected.reason.contains("has refused it and taken later ones"), "{}", rejected.reason);
        assert_eq!(rejected.origin, format!("t outbox-offset={offset}"));
        assert_eq!(texts.sink.commit(false, 1).unwrap(), 3);
        assert_eq!(published(&script), (first + 1..=3).collect::<Vec<u64>>());
    }
}

/// What was refused is known until it lies among the dead letters, through broken connections too.
#[test]
fn messages_that_were_refused_together_are_all_dead_letters() {
    let node = Node::start();
    let silence = Vec::new;
    let pieces = vec![publisher(0), silence(), [refused(1), refused(3), confirmed(&[2, 4])].concat()];
    let (script, os) = Script::new(Some(pieces));
    let mut texts = Texts::new(os, &node, STREAM);
    let all = ["a", "b", "c", "d"];
    texts.sink.open().unwrap();
    texts.apply(0, &all);
    texts.sink.commit(false, 1).unwrap_err();
    let rejected = |texts: &mut Texts| -> Vec<String> {
        texts.sink.take_rejected().into_iter().map(|rejected| rejected.origin).collect()
    };
    let says = |pieces: Vec<Vec<u8>>| script.pieces.lock().unwrap().as_mut().unwrap().extend(pieces);
    // The third is found out, and nothing is confirmed any more.
    says(vec![publisher(4)]);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &all);
    assert_eq!(rejected(&mut texts), ["t outbox-offset=0"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.message.contains("has not confirmed in time"), "{error}");
    says(vec![publisher(4), silence(), silence(), confirmed(&[2]), silence(), silence(), confirmed(&[4])]);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &all);
    assert_eq!(rejected(&mut texts), ["t outbox-offset=0"]);
    texts.sink.commit(false, 1).unwrap();
    assert_eq!(rejected(&mut texts), ["t outbox-offset=2"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 4);
    assert!(!published(&script)[4..].contains(&3));
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[kind], &channel.to_be_bytes()[..], &length, payload, &[0xce]].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat())
}

fn queue_log_in() -> Vec<u8> {
    let start = [b"\0\x09\0\0\0\0", &5_u32.to_be_bytes()[..], b"PLAIN", &5_u32.to_be_bytes(), b"en_US"];
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

/// A message with an empty body and one header.
fn delivery(header_bytes: usize) -> Vec<u8> {
    let value = vec![b'x'; header_bytes];
    let table = [&b"\x01hS"[..], &(header_bytes as u32).to_be_bytes(), &value].concat();
    let flags = (1_u16 << 13).to_be_bytes();
    let header = [&60_u16.to_be_bytes()[..], &[0; 10], &flags, &(table.len() as u32).to_be_bytes(), &table];
    let arguments = [b"\x01c", &1_u64.to_be_bytes()[..], b"\0", b"\x01e\x01k"].concat();
    [method(1, 60, 60, &arguments), frame(2, 1, &header.concat())].concat()
}

#[test]
fn headers_count_in_what_is_taken_at_once() {
    const MESSAGES: usize = 640;
    let said = [queue_log_in(), delivery(10_000).repeat(MESSAGES)].concat();
    let (_, os) = Script::new(Some(vec![said]));
    let mut feed = feed(os, QUEUE);
    feed.open(None).unwrap();
    let first = feed.poll(0).unwrap().records.len();
    assert!((400..440).contains(&first), "{first} messages in 4 MiB");
    assert_eq!(feed.poll(0).unwrap().records.len(), MESSAGES - first);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let queue = [queue_log_in(), method(1, 60, 11, b""), delivery(1)].concat();
    let stream = [stream_log_in(), subscribed(5), subscribed(6), chunk(0, &[b"zero"])].concat();
    for (options, said) in [(QUEUE, queue), (STREAM, stream)] {
        let (_, os) = Script::new(Some(vec![said]));
        let mut feed = feed(os, options);
        feed.open(None).unwrap();
        let error = feed.poll(0).and_then(|_| feed.poll(0)).unwrap_err();
        assert!(error.message.contains("does not speak the protocol"), "{error}");
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
}

#[test]
fn an_address_that_nothing_connects_to_is_not_tried_again() {
    for options in [QUEUE, STREAM] {
        let (_, os) = Script::new(None);
        let error = feed(os, options).open(None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
}
