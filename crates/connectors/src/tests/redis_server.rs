//! What a scripted Redis says: in both versions of its protocol, in pieces, cut off, too much, or at the wrong time.

use super::script::{Script, Texts, feed};
use super::*;
use base::ErrorKind;

const ORDERED: &[(&str, &str)] = &[
    ("connector", "redis-streams"),
    ("url", "redis://:secret-word@server"),
    ("stream", "s"),
    ("dead-letter.topic", "dead"),
];

fn text(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn list(values: &[String]) -> String {
    format!("*{}\r\n{}", values.len(), values.concat())
}

fn map(pairs: &[(&str, String)]) -> String {
    let all: String = pairs.iter().map(|(name, value)| text(name) + value).collect();
    format!("%{}\r\n{all}", pairs.len())
}

fn number(number: u64) -> String {
    format!(":{number}\r\n")
}

fn entry(id: &str, fields: &[&str]) -> String {
    list(&[text(id), list(&fields.iter().map(|field| text(field)).collect::<Vec<_>>())])
}

/// What a stream with entries from `first` to `last` says of itself.
fn about(first: u64, last: u64, added: u64) -> String {
    map(&[
        ("length", number(if first == 0 { 0 } else { last - first + 1 })),
        ("last-generated-id", text(&format!("{last}-0"))),
        ("entries-added", number(added)),
        (
            "first-entry",
            if first == 0 { "_\r\n".into() } else { entry(&format!("{first}-0"), &["body", "x"]) },
        ),
    ])
}

/// The answer to a transaction.
fn at_once(answers: &[String]) -> String {
    let queued = "+QUEUED\r\n".repeat(answers.len());
    format!("+OK\r\n{queued}{}", list(answers))
}

fn read(entries: &[String]) -> String {
    format!("%1\r\n{}{}", text("s"), list(entries))
}

const HELLO: &str = "%1\r\n+role\r\n+master\r\n+stream\r\n";

fn pieces(said: &[String]) -> Option<Vec<Vec<u8>>> {
    Some(said.iter().map(|said| said.clone().into_bytes()).collect())
}

#[test]
fn entries_are_read_and_one_without_a_row_is_a_dead_letter() {
    let entries = [entry("1-0", &["body", "one", "more", "m"]), entry("2-0", &["other", "two"])];
    let look = at_once(&[about(1, 2, 2), read(&entries)]);
    let said = format!("{HELLO}{}{look}", about(1, 2, 2));
    // The silence and the look for more come behind.
    for all in [pieces(std::slice::from_ref(&said)), Some(said.bytes().map(|byte| vec![byte]).collect())] {
        let (script, os) = Script::new(all);
        let mut feed = feed(os, ORDERED);
        feed.open(None).unwrap();
        assert!(feed.poll(0).unwrap().position.is_some());
        let haul = feed.poll(0);
        // The server is silent when it is asked for more, which is an error: the entries come again.
        assert_eq!(haul.unwrap_err().kind, ErrorKind::Unavailable);
        let heard = script.heard.lock().unwrap().clone();
        assert!(heard.starts_with(
            b"*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$11\r\nsecret-word\r\n"
        ));
    }
    let more = at_once(&[about(1, 2, 2), "_\r\n".into()]);
    let (_, os) = Script::new(pieces(&[said, more]));
    let mut feed = feed(os, ORDERED);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    let records = feed.poll(0).unwrap().records;
    assert_eq!((records[0].value.as_deref(), records[0].timestamp_ms), (Some(&b"one"[..]), 1));
    assert!(records[0].headers.is_empty());
    assert_eq!(records[1].value.as_deref(), Some(&b"{\"other\":\"two\"}"[..]));
    let [(name, reason)] = &records[1].headers[..] else { panic!("{:?}", records[1].headers) };
    let reason = String::from_utf8_lossy(reason.as_deref().unwrap()).into_owned();
    assert!(name == "u:" && reason.contains("id=2-0 has no field 'body'"), "{name} {reason}");
}

/// The position behind the entries 1 and 2, of two.
fn position() -> Vec<u8> {
    let entries = [entry("1-0", &["body", "one"]), entry("2-0", &["body", "two"])];
    let look = at_once(&[about(1, 2, 2), read(&entries)]);
    let more = at_once(&[about(1, 2, 2), "_\r\n".into()]);
    let (_, os) = Script::new(pieces(&[format!("{HELLO}{}{look}{more}", about(1, 2, 2))]));
    let mut feed = feed(os, ORDERED);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    feed.poll(0).unwrap().position.unwrap()
}

#[test]
fn what_was_trimmed_unread_ends_the_job_when_it_is_opened_and_when_it_reads() {
    let position = position();
    for (stream, words) in [
        (about(1, 9, 9), ""),
        (about(3, 9, 9), ""),
        (about(5, 9, 9), "entries=2 of stream=s behind id=2-0 were trimmed"),
        (about(0, 9, 9), "entries=7 of stream=s behind id=2-0 were trimmed"),
        (about(3, 9, 7), "stream=s was made anew"),
        (about(1, 1, 1), "stream=s ends at id=1-0"),
        ("-ERR no such key\r\n".into(), "stream=s ends at id=0-0"),
    ] {
        let expected = if words.is_empty() { Ok(()) } else { Err(()) };
        let (_, os) = Script::new(pieces(&[format!("{HELLO}{stream}")]));
        let opened = feed(os, ORDERED).open(Some(&position));
        let told = opened.as_ref().err().map(|error| error.message.clone()).unwrap_or_default();
        assert_eq!(opened.map_err(|_| ()), expected, "{stream}: {told}");
        assert!(told.contains(words), "{told}");
        // The same where it is seen when it is read, and where it is borne.
        let now = if stream.starts_with('-') { stream.clone() } else { stream };
        let look = at_once(&[now.clone(), "_\r\n".into()]);
        let bears = [ORDERED, &[("auto.offset.reset", "earliest")]].concat();
        for (options, expected) in [(ORDERED, expected), (&bears[..], Ok(()))] {
            let said = format!("{HELLO}{}{look}{look}{look}", about(1, 2, 2));
            let (_, os) = Script::new(pieces(&[said]));
            let mut feed = feed(os, options);
            feed.open(Some(&position)).unwrap();
            let polled = feed.poll(0);
            assert_eq!(polled.as_ref().map(drop).map_err(|_| ()), expected, "{now}");
            if let Err(error) = polled {
                assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
            }
        }
    }
    let old = about(1, 2, 2).replace("entries-added", "entries-noted");
    let (_, os) = Script::new(pieces(&[format!("{HELLO}{old}{}", at_once(&[old.clone(), "_\r\n".into()]))]));
    let mut feed = feed(os, ORDERED);
    feed.open(Some(&position)).unwrap();
    let error = feed.poll(0).unwrap_err();
    assert!(error.message.contains("Redis 7 does") && error.kind == ErrorKind::Invalid, "{error}");
}

#[test]
fn a_server_that_is_cut_off_or_says_too_much_is_left() {
    let entries = [entry("1-0", &["body", "one"])];
    let said = format!("{HELLO}{}{}", about(1, 2, 2), at_once(&[about(1, 2, 2), read(&entries)]));
    for length in 0..said.len() {
        let (_, os) = Script::new(pieces(&[said[..length].to_string()]));
        let mut feed = feed(os, ORDERED);
        let polled = feed.open(None).and_then(|()| feed.poll(0)).and_then(|_| feed.poll(0));
        assert_eq!(polled.unwrap_err().kind, ErrorKind::Unavailable, "cut to {length}");
    }
    for (said, words) in [
        ("$99999999999\r\n", "exceeds limit"),
        ("*2147483647\r\n", "exceeds limit"),
        ("%1\r\n+role\r\n+master\r\n$-1\r\n", "holds a value"),
        ("hello\r\n", "does not speak the protocol"),
        ("-WRONGPASS invalid username-password pair\r\n", "look at user and password"),
        ("-NOAUTH HELLO must be called\r\n", "look at user and password"),
        ("-LOADING Redis is loading\r\n", "LOADING"),
        ("-ERR unknown command\r\n-ERR invalid password\r\n", "look at user and password"),
        ("-ERR unknown command\r\n+OK\r\n+hash\r\n", "holds a hash, and no stream"),
    ] {
        let (_, os) = Script::new(pieces(&[said.to_string()]));
        let error = feed(os, ORDERED).open(None).unwrap_err();
        assert!(error.message.contains(words), "{said}: {error}");
        assert!(!error.message.contains("secret-word"), "{error}");
    }
}

#[test]
fn a_key_that_moves_for_ever_is_not_followed_for_ever() {
    let hello = HELLO.strip_suffix("+stream\r\n").unwrap();
    let moves = format!("{hello}-MOVED 1 other:7000\r\n");
    let said = vec![moves; 7];
    let (script, os) = Script::new(pieces(&said));
    let error = feed(os, ORDERED).open(None).unwrap_err();
    assert!(error.message.contains("moves the stream's key"), "{error}");
    let heard = script.heard.lock().unwrap().clone();
    assert_eq!(heard.windows(5).filter(|word| word == b"HELLO").count(), 6);
    // A node that has it is where it is read.
    let (_, os) = Script::new(pieces(&[said[0].clone(), format!("{HELLO}{}", about(1, 2, 2))]));
    feed(os, ORDERED).open(None).unwrap();
}

#[test]
fn a_group_brings_what_it_was_left_then_what_others_left_then_what_is_new() {
    let options = [ORDERED, &[("consumer-group", "g"), ("client-id", "c")]].concat();
    let is_read = |to: &str, count: u64| {
        let of_group = list(&[
            text("name"),
            text("g"),
            text("last-delivered-id"),
            text(to),
            text("entries-read"),
            number(count),
        ]);
        list(&[of_group])
    };
    let look = |found: String, to: &str, count| {
        let said = [about(1, 5, 5), is_read(to, count), found];
        at_once(&said[..2]) + &at_once(&said)
    };
    let said = [
        format!("{HELLO}{}-BUSYGROUP exists\r\n", about(1, 5, 5)),
        read(&[entry("1-0", &["body", "left"])]),
        read(&[]),
        list(&[
            text("0-0"),
            list(&[entry("2-0", &["body", "claimed"]), entry("1-0", &["body", "left"])]),
            list(&[]),
        ]),
        look(read(&[entry("4-0", &["body", "new"])]), "3-0", 3),
        look("_\r\n".into(), "4-0", 4),
        number(3),
    ];
    let (script, os) = Script::new(pieces(&said));
    let mut group = feed(os, &options);
    group.open(None).unwrap();
    let made = group.poll(0).unwrap().position.unwrap();
    let haul = group.poll(0).unwrap();
    let values: Vec<&[u8]> = haul.records.iter().map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!(values, [&b"left"[..], b"claimed", b"new"]);
    assert!(haul.records.iter().all(|record| record.id.is_some()) && haul.position.as_ref() == Some(&made));
    group.confirm(haul.ticket).unwrap();
    let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
    assert!(
        heard.ends_with("*6\r\n$4\r\nXACK\r\n$1\r\ns\r\n$1\r\ng\r\n$3\r\n1-0\r\n$3\r\n2-0\r\n$3\r\n4-0\r\n"),
        "{heard}"
    );

    // What was trimmed before the group has delivered it: nothing is read then, so it is told each time.
    let lost = at_once(&[about(4, 5, 5), is_read("1-0", 1)]);
    let none = list(&[text("0-0"), list(&[])]);
    let known = format!("{HELLO}{}{}", about(1, 5, 5), is_read("1-0", 1));
    let (script, os) = Script::new(pieces(&[known.clone(), read(&[]), none, lost]));
    let mut group = feed(os, &options);
    group.open(Some(&made)).unwrap();
    let error = group.poll(0).unwrap_err();
    assert!(error.message.contains("entries=2 of stream=s behind id=1-0 were trimmed"), "{error}");
    let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
    assert!(!heard.contains("$1\r\n>\r\n"), "{heard}");
    // What was delivered to us, and is deleted.
    let gone = read(&[list(&[text("1-0"), "_\r\n".into()])]);
    let (_, os) = Script::new(pieces(&[known, gone]));
    let mut group = feed(os, &options);
    group.open(Some(&made)).unwrap();
    let error = group.poll(0).unwrap_err();
    assert!(error.message.contains("delivered and not acknowledged"), "{error}");

    // A group that was there and is gone has left what it had not delivered.
    let missing = "-ERR no such key\r\n".to_string();
    let bears =
        [&options[..], &[("auto.offset.reset", "earliest"), ("scan.startup.mode", "latest-offset")]].concat();
    for (stream, groups) in [(about(1, 5, 5), list(&[])), (missing.clone(), missing)] {
        let said = format!("{HELLO}{stream}{groups}+OK\r\n");
        let (script, os) = Script::new(pieces(std::slice::from_ref(&said)));
        let error = feed(os, &options).open(Some(&made)).unwrap_err();
        assert!(error.message.contains("the consumer group 'g' of stream=s is gone"), "{error}");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(!String::from_utf8_lossy(&script.heard.lock().unwrap()).contains("CREATE"));
        let (script, os) = Script::new(pieces(&[said]));
        feed(os, &bears).open(Some(&made)).unwrap();
        let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
        assert!(heard.contains("CREATE\r\n$1\r\ns\r\n$1\r\ng\r\n$3\r\n0-0\r\n"), "{heard}");
    }
    // Another group is made.
    let mut other = options.clone();
    other.retain(|(key, _)| *key != "consumer-group");
    other.push(("consumer-group", "h"));
    let (_, os) = Script::new(pieces(&[format!("{HELLO}{}+OK\r\n", about(1, 5, 5))]));
    feed(os, &other).open(Some(&made)).unwrap();
}

/// What comes as JSON may be longer than the entry, and longer than a record.
#[test]
fn an_entry_that_is_too_long_is_a_short_dead_letter() {
    let long = "\u{1}".repeat(3 << 20);
    let entries = [entry("1-0", &["other", &long]), entry("2-0", &["body", "two"])];
    let look = at_once(&[about(1, 2, 2), read(&entries)]);
    let more = at_once(&[about(1, 2, 2), "_\r\n".into()]);
    let (_, os) = Script::new(pieces(&[format!("{HELLO}{}{look}", about(1, 2, 2)), more]));
    let mut feed = feed(os, ORDERED);
    feed.open(None).unwrap();
    feed.poll(0).unwrap();
    let records = feed.poll(0).unwrap().records;
    assert_eq!((records.len(), records[0].value.as_ref().unwrap().len()), (2, 1024));
    let told: Vec<String> = records[0]
        .headers
        .iter()
        .map(|(_, value)| String::from_utf8_lossy(value.as_deref().unwrap()).into())
        .collect();
    assert!(told.iter().any(|told| told.contains("id=1-0 has bytes=")), "{told:?}");
    assert_eq!(records[1].value.as_deref(), Some(&b"two"[..]));
}

/// Another stream is read from its beginning, however far the one before was read.
#[test]
fn a_stream_that_was_made_anew_is_read_from_its_beginning_where_losses_are_borne() {
    let position = position();
    let bears = [ORDERED, &[("auto.offset.reset", "earliest")]].concat();
    let anew = about(1, 3, 1);
    let all = [entry("1-0", &["body", "new"]), entry("3-0", &["body", "third"])];
    let first = at_once(&[anew.clone(), read(&all[1..])]);
    let again = at_once(&[about(1, 3, 3), read(&all)]);
    let more = at_once(&[about(1, 3, 3), "_\r\n".into()]);
    let said = format!("{HELLO}{}{first}{again}{more}", about(1, 2, 2));
    let (script, os) = Script::new(pieces(&[said]));
    let mut feed = feed(os, &bears);
    feed.open(Some(&position)).unwrap();
    let haul = feed.poll(0).unwrap();
    let values: Vec<&[u8]> = haul.records.iter().map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!(values, [&b"new"[..], b"third"]);
    let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
    assert!(heard.contains("STREAMS\r\n$1\r\ns\r\n$3\r\n0-0\r\n"), "{heard}");
}

#[test]
fn a_sink_goes_on_where_the_key_says_and_tells_what_the_server_did_not_take() {
    let node = Node::start();
    let silence = String::new;
    let (script, os) = Script::new(pieces(&[
        format!("{HELLO}{}", text("3")),
        silence(),
        text(""),
        silence(),
        text("OOM command not allowed when used memory > 'maxmemory'."),
        // Connected anew, to a server that has forgotten the key.
        format!("{HELLO}$-1\r\n+OK\r\n{}", text("5")),
    ]));
    let mut texts = Texts::new(os, &node, ORDERED);
    assert_eq!(texts.sink.open().unwrap(), 3);
    texts.apply(0, &["0", "1", "2", "3", "4"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 5);
    let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
    assert!(heard.contains("eventwright:{s}:") && heard.contains("local at = tonumber"), "{heard}");
    let begin =
        heard.rfind("$0\r\n\r\n$1\r\n3\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n2\r\n$4\r\nbody\r\n$1\r\n3\r\n");
    assert!(begin.is_some(), "{heard}");
    assert!(heard.ends_with("$1\r\n4\r\n$1\r\n5\r\n$1\r\n2\r\n$4\r\nbody\r\n$1\r\n4\r\n"), "{heard}");
    texts.apply(5, &["5"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("it is full"), "{error}");
    // The log knows what was confirmed.
    assert_eq!(texts.sink.open().unwrap(), 5);
}

/// Rows that are refused last have no entry that moves the key.
#[test]
fn the_key_goes_behind_rows_that_were_refused() {
    let node = Node::start();
    let silence = String::new;
    // An entry without fields is none.
    let options = [ORDERED, &[("body-key", "*"), ("format", "json")]].concat();
    let said = [format!("{HELLO}{}", text("0")), silence(), silence(), silence(), text("")];
    let (script, os) = Script::new(pieces(&said));
    let mut texts = Texts::new(os, &node, &options);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply_rows(0, &[None, None]);
    let mut stored = 0;
    for _ in 0..3 {
        stored = texts.sink.commit(false, 1).unwrap();
        texts.sink.take_rejected();
    }
    assert_eq!(stored, 2);
    let heard = String::from_utf8_lossy(&script.heard.lock().unwrap()).into_owned();
    assert!(heard.contains("SET") && heard.ends_with("$1\r\n0\r\n$1\r\n2\r\n"), "{heard}");
}

/// While a job takes nothing more, pings keep the connection, and a server that does not answer them is left.
#[test]
fn a_connection_is_kept_by_pings_while_nothing_is_read() {
    let options = [ORDERED, &[("heartbeat", "4 s")]].concat();
    let pong = "+PONG\r\n".to_string();
    let silence = String::new;
    let (script, os) = Script::new(pieces(&[
        format!("{HELLO}{}", about(1, 2, 2)),
        silence(),
        pong.clone(),
        silence(),
        pong,
        silence(),
    ]));
    let mut feed = feed(os, &options);
    feed.open(None).unwrap();
    let pings = |script: &Script| {
        let heard = script.heard.lock().unwrap();
        heard.windows(4).filter(|word| word == b"PING").count()
    };
    for expected in [1, 2, 2, 3] {
        script.pass(2_500);
        feed.keep_alive().unwrap();
        assert_eq!(pings(&script), expected);
    }
    script.pass(2_500);
    feed.keep_alive().unwrap();
    assert_eq!(pings(&script), 3);
    script.pass(9_000);
    let error = feed.keep_alive().unwrap_err();
    assert!(error.message.contains("no heartbeat"), "{error}");
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    use dataflow::connector::Role;
    let node = Node::start();
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], ""),
        (&[("body-key", "*")], ""),
        (&[("body-key", "*"), ("format", "csv")], "needs 'format' = 'json'"),
        (&[("stream", "")], "'stream' may not be empty"),
        (&[("client-id", "c")], "it needs 'consumer-group'"),
        (&[("scan.startup.mode", "timestamp")], "needs 'scan.startup.timestamp-millis'"),
        (&[("scan.startup.mode", "specific-offsets")], "needs 'scan.startup.id'"),
        (&[("scan.startup.mode", "specific-offsets"), ("scan.startup.id", "x")], "MILLISECONDS-SEQUENCE"),
        (&[("max-length", "0")], "'max-length'"),
        (&[("url", "http://server")], "or the same with rediss for TLS"),
    ];
    for (options, words) in cases {
        let mut all: BTreeMap<&str, &str> = ORDERED.iter().copied().collect();
        all.insert("format", "json");
        all.extend(options.iter().copied());
        let all: Vec<(&str, &str)> = all.into_iter().collect();
        let table = table(schema(&[("id", DataType::Int64)]), &all);
        let errors = node.connector("redis-streams").check(&table, Role::Source).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), usize::from(!words.is_empty()), "{options:?}: {told:?}");
        assert!(told.iter().all(|told| told.contains(words)), "{options:?}: {told:?}");
    }
}
