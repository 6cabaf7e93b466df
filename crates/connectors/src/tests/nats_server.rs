//! What a scripted NATS says of streams that are not what they were, and of messages that cannot be read.

use super::script::{Script, Texts, feed};
use super::*;
use base::ErrorKind;

const STREAM: &[(&str, &str)] =
    &[("connector", "nats"), ("url", "nats://server"), ("stream", "S"), ("dead-letter.topic", "dead")];
const HELLO: &str = "INFO {\"headers\":true,\"max_payload\":1048576}\r\nPONG\r\n";
const CONSUMER: &str = r#"{"name":"c"}"#;

fn answer(number: u64, text: &str) -> String {
    format!("MSG i.a.r{number} 1 {}\r\n{text}\r\n", text.len())
}

fn about(first: u64, last: u64, created: &str) -> String {
    format!(r#"{{"created":"{created}","config":{{}},"state":{{"first_seq":{first},"last_seq":{last}}}}}"#)
}

fn message(sequence: u64, consumed: u64, headers: &str) -> String {
    let (size, total) = (headers.len(), headers.len() + 2);
    format!(
        "HMSG a.b 2 $JS.ACK.S.c.1.{sequence}.{consumed}.1700000000000000000.0 {size} {total}\r\n{headers}{{}}\r\n"
    )
}

fn pieces(said: &[String]) -> Option<Vec<Vec<u8>>> {
    Some(said.iter().map(|said| said.clone().into_bytes()).collect())
}

/// The position behind the message 5 of a stream that was made on a day.
fn position(options: &[(&str, &str)]) -> Vec<u8> {
    let said = [HELLO.to_string(), answer(1, &about(1, 5, "monday")), answer(2, CONSUMER)].concat();
    let (_, os) = Script::new(pieces(&[said, message(5, 1, "NATS/1.0\r\n\r\n"), String::new()]));
    let mut feed = feed(os, options);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    feed.poll(0).unwrap().position.unwrap()
}

#[test]
fn a_stream_that_was_made_anew_is_noticed_however_much_it_has_grown() {
    let position = position(STREAM);
    let open = |options: &[(&str, &str)], stream: String| {
        let said = [HELLO.to_string(), answer(1, &stream), answer(2, CONSUMER)].concat();
        let (script, os) = Script::new(pieces(&[said]));
        let opened = feed(os, options).open(Some(&position));
        (opened, String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned())
    };
    let (opened, asked) = open(STREAM, about(1, 9, "monday"));
    opened.unwrap();
    assert!(asked.contains("\"opt_start_seq\":6"), "{asked}");
    let (opened, _) = open(STREAM, about(1, 9, "tuesday"));
    let error = opened.unwrap_err();
    assert!(
        error.message.contains("was made anew at tuesday") && error.kind == ErrorKind::Invalid,
        "{error}"
    );
    let (opened, asked) =
        open(&[STREAM, &[("auto.offset.reset", "earliest")]].concat(), about(2, 9, "tuesday"));
    opened.unwrap();
    assert!(asked.contains("\"opt_start_seq\":2"), "{asked}");
}

#[test]
fn messages_with_other_subjects_are_passed_over_and_missed_by_nobody() {
    let options = [STREAM, &[("subject", "a.*"), ("heartbeat", "0 s")]].concat();
    let position = position(&options);
    // Nothing comes for longer than the time between two looks.
    let said = [HELLO.to_string(), answer(1, &about(1, 5, "monday")), answer(2, CONSUMER)].concat();
    let looks = [
        answer(3, &about(1, 40, "monday")),
        answer(4, r#"{"num_pending":0,"delivered":{"consumer_seq":0}}"#),
    ];
    let (script, os) =
        Script::new(pieces(&[said.clone(), String::new(), looks[0].clone(), looks[1].clone()]));
    let mut first = feed(os, &options);
    first.open(Some(&position)).unwrap();
    let haul = first.poll(6_000).unwrap();
    let moved = haul.position.expect("a position without a message");
    assert!(haul.records.is_empty());
    drop(script);
    // All of those are deleted, which is no loss.
    let gone = [HELLO.to_string(), answer(1, &about(41, 41, "monday")), answer(2, CONSUMER)].concat();
    let (_, os) = Script::new(pieces(std::slice::from_ref(&gone)));
    feed(os, &options).open(Some(&moved)).unwrap();
    let (_, os) = Script::new(pieces(&[gone]));
    let error = feed(os, &options).open(Some(&position)).unwrap_err();
    assert!(error.message.contains("which may have had the subject 'a.*' or others"), "{error}");
    // While something is left to be delivered, nothing is passed over.
    let busy = answer(4, r#"{"num_pending":3,"delivered":{"consumer_seq":0}}"#);
    let (_, os) = Script::new(pieces(&[said, String::new(), looks[0].clone(), busy]));
    let mut second = feed(os, &options);
    second.open(Some(&position)).unwrap();
    assert!(second.poll(6_000).unwrap().position.is_none());
}

#[test]
fn a_message_whose_headers_cannot_be_read_is_a_dead_letter_and_does_not_stop_the_others() {
    let said = [HELLO.to_string(), answer(1, &about(1, 5, "monday")), answer(2, CONSUMER)].concat();
    let both = message(1, 1, "NATS/9.9\r\n\r\n") + &message(2, 2, "NATS/1.0\r\n\r\n");
    let (_, os) = Script::new(pieces(&[said, both, String::new()]));
    let mut feed = feed(os, STREAM);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    let records = feed.poll(0).unwrap().records;
    assert_eq!(records[0].value.as_deref(), Some(&b"NATS/9.9\r\n\r\n{}"[..]));
    assert!(records[0].headers.iter().any(|(name, _)| name == "u:"), "{:?}", records[0].headers);
    assert_eq!((records.len(), records[1].value.as_deref()), (2, Some(&b"{}"[..])));
    assert!(!records[1].headers.iter().any(|(name, _)| name == "u:"));
}

#[test]
fn what_a_stream_refuses_for_good_is_a_dead_letter_and_what_it_cannot_take_now_is_sent_again() {
    let node = Node::start();
    let confirm = |tag: u64, text: &str| format!("MSG i.a.{tag} 1 {}\r\n{text}\r\n", text.len());
    let long =
        r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
    let busy = r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#;
    let said = [
        [HELLO.to_string(), answer(1, &about(1, 5, "monday"))].concat(),
        String::new(),
        confirm(1, long) + &confirm(2, r#"{"stream":"S","seq":6}"#),
        String::new(),
        String::new(),
        confirm(3, busy),
    ];
    let (_, os) = Script::new(pieces(&said));
    let mut texts = Texts::new(os, &node, &[STREAM, &[("subject", "a")]].concat());
    texts.sink.open().unwrap();
    texts.apply(0, &["one", "two"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 0);
    let [rejected] = &texts.sink.take_rejected()[..] else { panic!("one is refused") };
    assert!(rejected.reason.contains("message size exceeds"), "{}", rejected.reason);
    assert_eq!(rejected.value.as_deref(), Some(&b"one"[..]));
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2);
    // A server that has too much to do takes it later.
    texts.apply(2, &["three"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("too many"), "{error}");
    assert!(texts.sink.take_rejected().is_empty());
}
