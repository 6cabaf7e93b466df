//! What a scripted server of MQTT says: in pieces, cut off, twice, too much, or at the wrong time.

use super::script::{Script, Texts, feed};
use super::*;
use base::ErrorKind;

const SOURCE: &[(&str, &str)] = &[
    ("connector", "mqtt"),
    ("url", "mqtt://shop:secret-word@server"),
    ("topics", "a/#"),
    ("qos", "2"),
    ("client-id", "c"),
    ("dead-letter.topic", "dead"),
];
const SINK: &[(&str, &str)] = &[
    ("connector", "mqtt"),
    ("url", "mqtt://server"),
    ("topic", "a"),
    ("qos", "2"),
    ("dead-letter.topic", "dead"),
];
/// With a session that the server knows, or without; more are properties.
const KNOWN: &[u8] = &[0x20, 3, 1, 0, 0];
const NEW: &[u8] = &[0x20, 3, 0, 0, 0];
/// The same with a receive maximum of 2.
const NARROW_KNOWN: &[u8] = &[0x20, 6, 1, 0, 3, 0x21, 0, 2];
const NARROW_NEW: &[u8] = &[0x20, 6, 0, 0, 3, 0x21, 0, 2];
const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 2];

/// A message of QoS 2.
fn message(id: u8, text: &str, is_duplicate: bool) -> Vec<u8> {
    let first = if is_duplicate { 0x3c } else { 0x34 };
    [&[first, 6 + text.len() as u8, 0, 1, b'a', 0, id, 0][..], text.as_bytes()].concat()
}

fn ack(kind: u8, id: u8) -> Vec<u8> {
    vec![kind << 4 | if kind == 6 { 2 } else { 0 }, 2, 0, id]
}

const RECEIVED: u8 = 5;
const RELEASE: u8 = 6;
const COMPLETE: u8 = 7;

fn values(haul: &dataflow::feed::Haul) -> Vec<String> {
    let text = |record: &dataflow::feed::FeedRecord| {
        String::from_utf8_lossy(record.value.as_deref().unwrap()).into_owned()
    };
    haul.records.iter().map(text).collect()
}

/// Takes what was heard since the last time.
fn heard(script: &Script) -> Vec<u8> {
    std::mem::take(&mut *script.heard.lock().unwrap())
}

#[test]
fn a_message_of_qos_2_lands_once_whatever_dies_on_its_way() {
    let silence = Vec::new;
    let said = vec![
        [NEW, SUBSCRIBED].concat(),
        [message(1, "one", false), message(2, "two", false)].concat(),
        silence(),
        ack(RELEASE, 1),
        silence(),
        silence(),
    ];
    let (script, os) = Script::new(Some(said));
    let mut first = feed(os, SOURCE);
    first.open(None).unwrap();
    assert!(first.poll(0).unwrap().position.is_some());
    let landed = first.poll(0).unwrap();
    assert_eq!(values(&landed), ["one", "two"]);
    let with_both = landed.position.unwrap();
    heard(&script);
    first.confirm(landed.ticket).unwrap();
    assert_eq!(heard(&script), [ack(RECEIVED, 1), ack(RECEIVED, 2)].concat());
    // An id that is let go is completed when a position without it is durable.
    let released = first.poll(0).unwrap();
    assert!(released.records.is_empty() && released.ticket > landed.ticket);
    let with_second = released.position.unwrap();
    assert!(heard(&script).is_empty());
    first.confirm(released.ticket).unwrap();
    assert_eq!(heard(&script), ack(COMPLETE, 1));

    // The node dies before it has confirmed: what comes again under these ids has landed.
    let again = [message(1, "one", true), message(2, "two", true), message(3, "three", false)].concat();
    let (script, os) = Script::new(Some(vec![[KNOWN, SUBSCRIBED].concat(), again, silence()]));
    let mut second = feed(os, SOURCE);
    second.open(Some(&with_both)).unwrap();
    heard(&script);
    assert_eq!(values(&second.poll(0).unwrap()), ["three"]);
    assert_eq!(heard(&script), [ack(RECEIVED, 1), ack(RECEIVED, 2)].concat());
    // An id that the log has let go is another message's, and one that the server lets go twice is completed at once.
    let again = [ack(RELEASE, 1), message(1, "new", true), message(2, "two", true)].concat();
    let (script, os) = Script::new(Some(vec![[KNOWN, SUBSCRIBED].concat(), again, silence()]));
    let mut third = feed(os, SOURCE);
    third.open(Some(&with_second)).unwrap();
    heard(&script);
    assert_eq!(values(&third.poll(0).unwrap()), ["new"]);
    assert_eq!(heard(&script), [ack(COMPLETE, 1), ack(RECEIVED, 2)].concat());
    // A server may drop a message that has expired, and use its id again.
    let other = message(2, "other", false);
    let (script, os) = Script::new(Some(vec![[KNOWN, SUBSCRIBED].concat(), other, silence()]));
    let mut fourth = feed(os, SOURCE);
    fourth.open(Some(&with_second)).unwrap();
    heard(&script);
    let haul = fourth.poll(0).unwrap();
    assert_eq!(values(&haul), ["other"]);
    fourth.confirm(haul.ticket).unwrap();
    assert_eq!(heard(&script), ack(RECEIVED, 2));
}

const NEW_3: &[u8] = &[0x20, 2, 0, 0];
const KNOWN_3: &[u8] = &[0x20, 2, 1, 0];
const SUBSCRIBED_3: &[u8] = &[0x90, 3, 0, 1, 2];
const SUBSCRIBE: &str = "8";

/// The position behind the message "one" with the packet id 1.
fn position(options: &[(&str, &str)], begin: &[u8], first: Vec<u8>) -> Vec<u8> {
    let (_, os) = Script::new(Some(vec![begin.to_vec(), Vec::new(), first, Vec::new()]));
    let mut feed = feed(os, options);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    feed.poll(0).unwrap();
    feed.poll(0).unwrap().position.unwrap()
}

fn message_3(id: u8, text: &str) -> Vec<u8> {
    [&[0x34, 5 + text.len() as u8, 0, 1, b'a', 0, id][..], text.as_bytes()].concat()
}

/// A `CONNECT` makes the session whose loss it tells: it has to be gone again, or the next one finds it.
#[test]
fn a_session_that_is_lost_is_told_each_time_until_the_job_goes_on_without() {
    let three = [SOURCE, &[("protocol-version", "3.1.1")]].concat();
    for (options, new, known, subscribed, one) in [
        (SOURCE, NEW, KNOWN, SUBSCRIBED, message(1, "one", false)),
        (&three[..], NEW_3, KNOWN_3, SUBSCRIBED_3, message_3(1, "one")),
    ] {
        let position = position(options, &[new, subscribed].concat(), one.clone());
        let (script, os) = Script::new(Some(vec![new.to_vec(), new.to_vec()]));
        let error = feed(os, options).open(Some(&position)).unwrap_err();
        assert!(error.message.contains("does not know the session of the client id 'c'"), "{error}");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert_eq!(sent(&script), ["connect", "disconnect", "connect clean", "disconnect"]);

        // It goes on: the log knows first that the old session is gone.
        let goes_on = [options, &[("session-lost", "continue")]].concat();
        let said = vec![
            new.to_vec(),
            new.to_vec(),
            Vec::new(),
            [new, subscribed].concat(),
            Vec::new(),
            one.clone(),
            Vec::new(),
        ];
        let (script, os) = Script::new(Some(said));
        let mut first = feed(os, &goes_on);
        first.open(Some(&position)).unwrap();
        let gone = first.poll(0).unwrap();
        let without = gone.position.unwrap();
        assert!(gone.records.is_empty() && gone.ticket > 0);
        assert_eq!(sent(&script), ["connect", "disconnect", "connect clean"]);
        first.confirm(gone.ticket).unwrap();
        assert_eq!(sent(&script), ["connect", SUBSCRIBE]);
        let made = first.poll(0).unwrap();
        let with = made.position.unwrap();
        assert!(made.records.is_empty() && made.ticket > gone.ticket && with != without);
        first.confirm(made.ticket).unwrap();
        // An id of the old session is another message's.
        assert_eq!(values(&first.poll(0).unwrap()), ["one"]);

        // What dies before the new session is in the log subscribes again; later it does so in version 5 alone.
        for (position, said, asked) in [
            (&without, [known, subscribed].concat(), vec!["connect", SUBSCRIBE]),
            (&without, [new, subscribed].concat(), vec!["connect", SUBSCRIBE]),
            (
                &with,
                [known, subscribed].concat(),
                if new == NEW { vec!["connect", SUBSCRIBE] } else { vec!["connect"] },
            ),
        ] {
            let (script, os) = Script::new(Some(vec![said]));
            feed(os, options).open(Some(position)).unwrap();
            assert_eq!(sent(&script), asked);
        }
        // A session of another QoS is another.
        let mut lower = options.to_vec();
        lower.retain(|(key, _)| *key != "qos");
        lower.push(("qos", "1"));
        let (script, os) = Script::new(Some(vec![[known, subscribed].concat()]));
        feed(os, &lower).open(Some(&with)).unwrap();
        assert_eq!(sent(&script), ["connect", SUBSCRIBE]);
    }
}

#[test]
fn a_message_that_is_too_long_is_a_short_dead_letter_and_is_acknowledged() {
    let options = [SOURCE, &[("protocol-version", "3.1.1")]].concat();
    let of = |id: u8, bytes: usize| {
        let length = bytes + 5;
        let digits =
            [0, 7, 14, 21].map(|shift| (length >> shift & 0x7f) as u8 | if shift < 21 { 0x80 } else { 0 });
        [&[0x34][..], &digits, &[0, 1, b'a', 0, id], &vec![b'x'; bytes]].concat()
    };
    let said =
        vec![[NEW_3, SUBSCRIBED_3].concat(), Vec::new(), of(1, (16 << 20) + 1), Vec::new(), of(2, 16 << 20)];
    let (script, os) = Script::new(Some(said));
    let mut feed = feed(os, &options);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    feed.poll(0).unwrap();
    heard(&script);
    let mut found = Vec::new();
    for id in [1, 2] {
        let haul = (0..10_000).map(|_| feed.poll(0).unwrap()).find(|haul| !haul.records.is_empty()).unwrap();
        feed.confirm(haul.ticket).unwrap();
        assert_eq!(heard(&script), ack(RECEIVED, id));
        let is_refused = haul.records[0].headers.iter().any(|(name, _)| name == "u:");
        found.push((haul.records[0].value.as_ref().unwrap().len(), is_refused));
    }
    assert_eq!(found, [(1024, true), (16 << 20, false)]);
}

#[test]
fn a_server_that_is_cut_off_or_says_too_much_is_left() {
    let said = [NEW, SUBSCRIBED, &message(1, "one", false)].concat();
    for length in 0..said.len() {
        let (_, os) = Script::new(Some(vec![said[..length].to_vec()]));
        let mut feed = feed(os, SOURCE);
        let opened = feed.open(None);
        match length {
            0..11 => assert_eq!(opened.unwrap_err().kind, ErrorKind::Unavailable, "cut to {length}"),
            _ => {
                feed.poll(0).unwrap();
                assert!(feed.poll(0).unwrap().records.is_empty(), "cut to {length}");
            }
        }
    }
    for (said, words) in [
        (&[0x20, 3, 0, 0x87, 0][..], "look at user and password"),
        (&[0x20, 3, 0, 0x84, 0], "write another in 'protocol-version'"),
        (&[0x20, 3, 0, 0x88, 0], "server unavailable"),
        (&[0xe0, 2, 0x8e, 0], "another client has the same client id"),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], "exceeds limit"),
        (&[0x20, 0x80, 0x80, 0x80, 0x80], "does not speak the protocol"),
        (&[0x90, 3, 0, 1, 0], "does not begin with CONNACK"),
        (&[0x20, 3, 0, 0, 0, 0x90, 4, 0, 1, 0, 0x87], "refuses the subscription to 'a/#': not authorized"),
        (&[0x20, 3, 0, 0, 0, 0x90, 4, 0, 1, 0, 1], "with QoS 1 alone"),
        (&[0x20, 3, 0, 0, 0, 0x90, 5, 0, 1, 0, 2, 2], "does not answer all of a subscription"),
    ] {
        let (_, os) = Script::new(Some(vec![said.to_vec()]));
        let error = feed(os, SOURCE).open(None).unwrap_err();
        assert!(error.message.contains(words), "{said:x?}: {error}");
        assert!(!error.message.contains("secret-word"), "{error}");
    }
}

#[test]
fn a_message_whose_properties_are_odd_is_a_dead_letter_and_is_acknowledged() {
    let odd = [0x34, 9, 0, 1, b'a', 0, 7, 9, 0x26, 0, 1].to_vec();
    let said = vec![[NEW, SUBSCRIBED].concat(), odd, Vec::new()];
    let (script, os) = Script::new(Some(said));
    let mut feed = feed(os, SOURCE);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    let haul = feed.poll(0).unwrap();
    assert_eq!(haul.records[0].value.as_deref(), Some(&[9, 0x26, 0, 1][..]));
    assert!(haul.records[0].headers.iter().any(|(name, _)| name == "u:"), "{:?}", haul.records[0]);
    heard(&script);
    feed.confirm(haul.ticket).unwrap();
    assert_eq!(heard(&script), ack(RECEIVED, 7));
}

/// The packet ids of the messages and releases that were heard, and the texts.
fn sent(script: &Script) -> Vec<String> {
    let heard = heard(script);
    let (mut rest, mut all) = (&heard[..], Vec::new());
    while let [first, length, behind @ ..] = rest {
        let (body, behind) = behind.split_at(usize::from(*length));
        rest = behind;
        all.push(match first >> 4 {
            1 if body[7] & 2 == 0 => "connect".to_string(),
            1 => "connect clean".to_string(),
            3 => {
                let text = String::from_utf8_lossy(&body[6..]).into_owned();
                format!("{}{}{text}", body[4], if first & 8 != 0 { "again " } else { " " })
            }
            6 => format!("release {}", body[1]),
            14 => "disconnect".to_string(),
            other => format!("{other}"),
        });
    }
    all
}

/// A server that lets no more than two messages be under way: each two are kept in the log before they are let go.
#[test]
fn what_the_server_has_received_is_let_go_when_the_log_knows_it() {
    let node = Node::start();
    let silence = Vec::new;
    let both = |kind, from: u8| [ack(kind, from), ack(kind, from + 1)].concat();
    let said = vec![
        NARROW_NEW.to_vec(),
        NARROW_NEW.to_vec(),
        both(RECEIVED, 1),
        both(COMPLETE, 1),
        silence(),
        // The connection ends before the second message is received.
        ack(RECEIVED, 3),
        vec![0xe0, 2, 0x8b, 0],
        // The server says again what it has.
        NARROW_KNOWN.to_vec(),
        [ack(RECEIVED, 3), ack(COMPLETE, 3)].concat(),
        silence(),
        ack(RECEIVED, 4),
        ack(COMPLETE, 4),
    ];
    let (script, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, SINK);
    assert_eq!(texts.sink.open().unwrap(), 0);
    assert_eq!(sent(&script), ["connect clean", "disconnect", "connect"]);
    texts.apply(0, &["a", "b", "c", "d"]);
    assert_eq!(sent(&script), ["1 a", "2 b", "release 1", "release 2"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.message.contains("server shutting down"), "{error}");
    assert_eq!(sent(&script), ["3 c", "4 d"]);
    // It is known that the third was received, and it is let go; the fourth may have been.
    assert_eq!(texts.sink.open().unwrap(), 3);
    assert_eq!(sent(&script), ["connect", "release 3"]);
    texts.apply(0, &["a", "b", "c", "d"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 4);
    assert_eq!(sent(&script), ["4again d", "release 4"]);
}

#[test]
fn without_its_session_a_sink_sends_again_what_was_not_let_go() {
    let node = Node::start();
    let silence = Vec::new;
    let said = vec![
        NARROW_NEW.to_vec(),
        NARROW_NEW.to_vec(),
        silence(),
        ack(RECEIVED, 1),
        // It ends before it has let the first go.
        vec![0xe0, 2, 0x8b, 0],
        NARROW_NEW.to_vec(),
        NARROW_NEW.to_vec(),
        NARROW_NEW.to_vec(),
        Vec::new(),
        ack(RECEIVED, 1),
        ack(COMPLETE, 1),
    ];
    let (script, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, SINK);
    texts.sink.open().unwrap();
    texts.apply(0, &["a"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.message.contains("server shutting down"), "{error}");
    heard(&script);
    // No session is there until the log knows how far it goes back.
    assert_eq!(texts.sink.open().unwrap(), 0);
    assert_eq!(sent(&script), ["connect", "disconnect", "connect clean"]);
    texts.apply(0, &["a"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 1);
    assert_eq!(sent(&script), ["connect", "1 a", "release 1"]);
}

/// EMQX says of a message that is sent again, and was not let go, that its id is in use.
#[test]
fn an_id_that_is_in_use_is_a_message_that_the_server_has() {
    let node = Node::start();
    let in_use = |id: u8| vec![0x50, 4, 0, id, 0x91, 0];
    let said = vec![
        NARROW_NEW.to_vec(),
        NARROW_NEW.to_vec(),
        Vec::new(),
        vec![0xe0, 2, 0x8b, 0],
        NARROW_KNOWN.to_vec(),
        Vec::new(),
        in_use(1),
        ack(COMPLETE, 1),
        Vec::new(),
        ack(RECEIVED, 2),
        ack(COMPLETE, 2),
        Vec::new(),
        ack(RECEIVED, 3),
        ack(COMPLETE, 3),
        Vec::new(),
        in_use(4),
    ];
    let (script, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, SINK);
    texts.sink.open().unwrap();
    texts.apply(0, &["a"]);
    texts.sink.commit(false, 1).unwrap_err();
    assert_eq!(texts.sink.open().unwrap(), 0);
    heard(&script);
    texts.apply(0, &["a"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 1);
    assert_eq!(sent(&script), ["1again a", "release 1"]);
    // Of a message that was not sent before it is no such thing.
    for offset in [1, 2] {
        texts.apply(offset, &["b"]);
        assert_eq!(texts.sink.commit(false, 1).unwrap(), offset + 1);
    }
    texts.apply(3, &["d"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn a_lower_qos_forgets_the_session_and_sends_again_what_was_not_let_go() {
    let node = Node::start();
    let said =
        vec![NARROW_NEW.to_vec(), NARROW_NEW.to_vec(), Vec::new(), ack(RECEIVED, 1), vec![0xe0, 2, 0x8b, 0]];
    let (_, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, SINK);
    texts.sink.open().unwrap();
    texts.apply(0, &["a"]);
    texts.sink.commit(false, 1).unwrap_err();
    let lower: Vec<(&str, &str)> =
        SINK.iter().map(|(key, value)| if *key == "qos" { ("qos", "1") } else { (*key, *value) }).collect();
    let said = vec![NEW.to_vec(), Vec::new(), vec![0x40, 2, 0, 1]];
    let (script, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, &lower);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &["a"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 1);
    assert_eq!(sent(&script), ["connect clean", "1 a"]);
    // With QoS 2 again it begins anew, and does not go back to what QoS 2 knew.
    let said = vec![NARROW_NEW.to_vec(), NARROW_NEW.to_vec()];
    let (script, os) = Script::new(Some(said));
    let mut texts = Texts::new(os, &node, SINK);
    assert_eq!(texts.sink.open().unwrap(), 1);
    assert_eq!(sent(&script), ["connect clean", "disconnect", "connect"]);
}

#[test]
fn what_the_server_refuses_is_a_dead_letter_and_what_it_cannot_take_now_is_sent_again() {
    let node = Node::start();
    let silence = Vec::new;
    let refused = |id: u8, code: u8| vec![0x40, 4, 0, id, code, 0];
    let said = vec![
        NEW.to_vec(),
        silence(),
        [refused(1, 0x87), refused(2, 0x10)].concat(),
        silence(),
        silence(),
        refused(3, 0x97),
    ];
    let (_, os) = Script::new(Some(said));
    let options: Vec<(&str, &str)> =
        SINK.iter().map(|(key, value)| if *key == "qos" { ("qos", "1") } else { (*key, *value) }).collect();
    let mut texts = Texts::new(os, &node, &options);
    texts.sink.open().unwrap();
    texts.apply(0, &["a", "b"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 0);
    let [rejected] = &texts.sink.take_rejected()[..] else { panic!("one is refused") };
    assert_eq!((rejected.topic.as_str(), rejected.value.as_deref()), ("dead", Some(&b"a"[..])));
    assert!(rejected.reason.contains("not authorized (code 0x87)"), "{}", rejected.reason);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2);
    texts.apply(2, &["c"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("quota exceeded"), "{error}");
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    use dataflow::connector::Role;
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Source, &[("topics", "a/+;$share/g/b/#")], ""),
        (Role::Source, &[], "'topics' = 'sensors/#'"),
        (Role::Source, &[("topics", "a;b/#/c")], "'b/#/c' in 'topics' cannot be subscribed to"),
        (Role::Source, &[("topics", "a"), ("qos", "2"), ("clean-start", "true")], "leave 'clean-start' away"),
        (Role::Sink, &[("topic", "a")], ""),
        (Role::Sink, &[], "'topic' = 'sensors/alarms'"),
        (Role::Sink, &[("topic", "a/#")], "wildcards '+' and '#'"),
        (Role::Sink, &[("topic", "a"), ("qos", "3")], "'qos'"),
        (Role::Sink, &[("topic", "a"), ("tls.root-cas-file", "ca.pem")], "write 'mqtts://"),
    ];
    for (role, options, words) in cases {
        let all = [&[("connector", "mqtt"), ("url", "mqtt://server"), ("format", "json")], *options].concat();
        let table = table(schema(&[("id", DataType::Int64)]), &all);
        let errors = node.connector("mqtt").check(&table, *role).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), usize::from(!words.is_empty()), "{options:?}: {told:?}");
        assert!(told.iter().all(|told| told.contains(words)), "{options:?}: {told:?}");
    }
}
