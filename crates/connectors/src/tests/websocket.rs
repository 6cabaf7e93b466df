//! Messages over WebSockets of a server on loopback: what lands of them, how they go on, and what ends a connection.

use super::streams::{Streams, header, say};
use super::*;
use base::ErrorKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::table::MetadataColumn;
use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn messages(address: &str, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let url = format!("ws://{address}/feed?of=shop");
    let own = [("connector", "websocket"), ("url", url.as_str()), ("format", "json"), ("timeout", "5 s")];
    let mut all: BTreeMap<&str, &str> = own.into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let table = table(schema(&[("id", DataType::Int64)]), &all);
    let column = MetadataColumn {
        name: "kind".into(),
        key: "message-type".into(),
        data_type: DataType::Utf8,
        is_virtual: true,
    };
    Arc::new(TableDefinition { metadata: vec![column], ..(*table).clone() })
}

fn feed(streams: &Streams, options: &[(&str, &str)]) -> Box<dyn Feed> {
    let table = messages(&streams.address, options);
    Node::start().connector("websocket").feed(FeedRequest { table, identity: "job".into() }).unwrap()
}

fn until(feed: &mut dyn Feed, count: usize) -> Haul {
    let mut all = Haul::default();
    for _ in 0..1200 {
        let haul = feed.poll(50).unwrap();
        all.position = haul.position.or(all.position);
        all.records.extend(haul.records);
        if all.records.len() >= count {
            return all;
        }
    }
    panic!("{} records instead of {count}", all.records.len());
}

fn fails(feed: &mut dyn Feed) -> dataflow::source::SourceError {
    (0..1200).find_map(|_| feed.poll(50).err()).expect("an error")
}

fn values(haul: &Haul) -> Vec<String> {
    haul.records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

/// The server's side of a connection.
struct Socket(TcpStream);

/// The first byte of a frame, and its payload.
type Frame = (u8, Vec<u8>);

fn frame(first: u8, payload: &str) -> Frame {
    (first, payload.as_bytes().to_vec())
}

impl Socket {
    fn opened(mut stream: TcpStream, head: &str) -> Socket {
        let key = header(head, "Sec-WebSocket-Key").unwrap();
        let digest = ring::digest::digest(
            &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
        );
        let protocol = header(head, "Sec-WebSocket-Protocol")
            .map_or_else(String::new, |protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        let accept = STANDARD.encode(digest);
        say(
            &mut stream,
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{protocol}\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            ),
        );
        Socket(stream)
    }

    fn send(&mut self, first: u8, payload: &str) {
        let length = match payload.len() {
            short @ 0..126 => vec![short as u8],
            longer => [&[126], &(longer as u16).to_be_bytes()[..]].concat(),
        };
        say(&mut self.0, [&[first], length.as_slice(), payload.as_bytes()].concat());
    }

    fn close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        say(&mut self.0, [&[CLOSE, payload.len() as u8], payload.as_slice()].concat());
    }

    /// The next frame of a client, short and masked.
    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 6];
        self.0.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0x80, "a client masks its frames");
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        self.0.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((head[0], payload))
    }
}

/// A server that does with the number of a connection and its WebSocket what the test says; what it reads then is told.
fn serve(mut with: impl FnMut(usize, &mut Socket) + Send + 'static) -> (Streams, Receiver<Frame>) {
    let (send, receive) = channel();
    let streams = Streams::start(move |number, stream, head| {
        let mut socket = Socket::opened(stream, head);
        with(number, &mut socket);
        let send = send.clone();
        std::thread::spawn(move || {
            while let Some(frame) = socket.read() {
                let _ = send.send(frame);
            }
        });
        None
    });
    (streams, receive)
}

#[test]
fn messages_land_and_behind_a_cursor_they_go_on() {
    let (streams, told) = serve(|number, socket| {
        if number == 0 {
            socket.send(PING, "p");
            socket.send(TEXT, "{\"id\":1,\"seq\":\"a\\\"b\"}");
            socket.send(BINARY, "{\"id\":2}");
        }
    });
    let options = [
        ("open-message", "{\"from\":\"{cursor}\"}"),
        ("cursor.pointer", "/seq"),
        ("cursor.parameter", "since"),
        ("cursor.initial", "0"),
        ("id.pointer", "/id"),
        ("subprotocol", "shop.v1"),
        ("http.source.header.X-Key", "k"),
    ];
    let mut first = feed(&streams, &options);
    first.open(None).unwrap();
    let haul = until(&mut *first, 2);
    assert_eq!(values(&haul), ["{\"id\":1,\"seq\":\"a\\\"b\"}", "{\"id\":2}"]);
    assert_eq!(haul.records[0].id.as_deref(), Some(&b"1"[..]));
    let kinds: Vec<_> = haul.records.iter().map(|record| record.headers[0].clone()).collect();
    let kind = |kind: &str| ("m:message-type".to_string(), Some(kind.as_bytes().to_vec()));
    assert_eq!(kinds, [kind("text"), kind("binary")]);
    assert_eq!(told.recv().unwrap(), frame(TEXT, "{\"from\":\"0\"}"));
    assert_eq!(told.recv().unwrap(), frame(PONG, "p"));
    let head = streams.heads().remove(0);
    assert!(head.starts_with("GET /feed?of=shop&since=0 HTTP/1.1\r\n"), "{head}");
    assert_eq!((header(&head, "Upgrade"), header(&head, "X-Key")), (Some("websocket"), Some("k")));
    drop(first);
    assert_eq!(told.recv().unwrap(), (CLOSE, 1000_u16.to_be_bytes().to_vec()), "it says farewell");
    // What the log holds is enough to go on.
    let mut again = feed(&streams, &options);
    again.open(haul.position.as_deref()).unwrap();
    assert_eq!(told.recv().unwrap(), frame(TEXT, "{\"from\":\"a\\\"b\"}"));
    assert!(streams.heads()[1].starts_with("GET /feed?of=shop&since=a%22b HTTP"), "{}", streams.heads()[1]);
}

#[test]
fn what_ends_a_connection_is_told_behind_what_came_before_it() {
    let (streams, _told) = serve(|number, socket| match number {
        0 => socket.close(1008, "who\nare you"),
        1 => {
            socket.send(TEXT, "{\"id\":1}");
            socket.close(1012, "");
        }
        2 => socket.close(3000, "a password is changed"),
        3 => socket.send(BINARY, &"x".repeat(2000)),
        _ => socket.send(0x83, "what"),
    });
    let mut feed = feed(&streams, &[("max-message-size", "1 kb")]);
    feed.open(None).unwrap();
    let error = fails(&mut *feed);
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("with 1008: who are you"), "{error}");
    feed.open(None).unwrap();
    assert_eq!(values(&until(&mut *feed, 1)), ["{\"id\":1}"]);
    let error = fails(&mut *feed);
    assert!(
        error.kind == ErrorKind::Unavailable && error.message.ends_with("closed the connection with 1012"),
        "{error}"
    );
    // We were let in before.
    feed.open(None).unwrap();
    assert_eq!(fails(&mut *feed).kind, ErrorKind::Unavailable);
    feed.open(None).unwrap();
    let error = fails(&mut *feed);
    assert!(
        error.kind == ErrorKind::Invalid && error.message.contains("raise 'max-message-size'"),
        "{error}"
    );
}

#[test]
fn who_was_let_in_before_is_so_again_when_the_password_has_followed() {
    let streams = Streams::start(|number, mut stream, head| {
        if number != 1 {
            return Some(Socket::opened(stream, head).0);
        }
        say(&mut stream, "HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n");
        Some(stream)
    });
    let mut feed = feed(&streams, &[]);
    feed.open(None).unwrap();
    assert_eq!(feed.open(None).unwrap_err().kind, ErrorKind::Unavailable);
    feed.open(None).unwrap();
}

#[test]
fn a_server_that_gives_no_sign_of_life_is_asked_for_one_and_then_lost() {
    let (streams, told) = serve(|_, _| ());
    let mut feed = feed(&streams, &[("idle-timeout", "200 ms")]);
    feed.open(None).unwrap();
    let error = fails(&mut *feed);
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("answers no ping"), "{error}");
    assert_eq!(told.recv().unwrap(), frame(PING, ""));
}

#[test]
fn while_the_job_is_behind_pings_are_answered_and_what_comes_is_held() {
    let (streams, told) = serve(|_, socket| {
        socket.send(TEXT, "{\"id\":1}");
        socket.send(PING, "p");
    });
    let mut feed = feed(&streams, &[]);
    feed.open(None).unwrap();
    let answered = (0..60_000).any(|_| {
        feed.keep_alive().unwrap();
        told.try_recv().is_ok_and(|found| found == frame(PONG, "p"))
    });
    assert!(answered, "no pong");
    assert_eq!(values(&feed.poll(0).unwrap()), ["{\"id\":1}"]);
}

#[test]
fn what_opens_no_websocket_says_so_and_passes_where_it_may() {
    let answers = [
        (
            "503 X\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy",
            ErrorKind::Unavailable,
            "answers 503: busy",
        ),
        ("401 X\r\nContent-Length: 3\r\n\r\nwho", ErrorKind::Invalid, "answers 401: who"),
        ("404 X\r\nContent-Length: 0\r\n\r\n", ErrorKind::NotFound, "answers 404"),
        ("200 X\r\nContent-Length: 2\r\n\r\nhi", ErrorKind::NotFound, "opens no WebSocket there"),
        (
            "101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            ErrorKind::Unavailable,
            "has not read the key",
        ),
        ("429 X\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n", ErrorKind::Retry, "answers 429"),
    ];
    let mut next = answers.into_iter();
    let streams = Streams::start(move |_, mut stream, _| {
        let (answer, ..) = next.next()?;
        say(&mut stream, format!("HTTP/1.1 {answer}"));
        Some(stream)
    });
    let mut feed = feed(&streams, &[]);
    for (answer, kind, words) in answers {
        let error = feed.open(None).unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{answer}: {error}");
    }
    // The last one wants to be left alone.
    let error = feed.open(None).unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("asked again in"), "{error}");
    assert_eq!(streams.heads().len(), answers.len());
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let cursor = ("cursor.pointer", "/seq");
    let filled = ("open-message", "{cursor}");
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], ""),
        (Role::Source, &[("url", "WSS://a/b"), cursor, ("cursor.parameter", "c")], ""),
        (Role::Source, &[filled, cursor, ("cursor.initial", "0")], ""),
        (Role::Sink, &[], "can be read, not written"),
        (Role::Source, &[("url", "http://a")], "ws://HOST:PORT/PATH"),
        (Role::Source, &[("url", "ws://u:pencil@a")], "a user and a password do not belong into it"),
        (Role::Source, &[cursor], "the server is not told the cursor"),
        (Role::Source, &[("cursor.parameter", "c")], "has to say where"),
        (Role::Source, &[filled, cursor], "needs 'cursor.initial'"),
        (Role::Source, &[("id.pointer", "id")], "no JSON pointer"),
        (Role::Source, &[("id.pointer", "/id"), ("format", "raw")], "messages of JSON"),
        (Role::Source, &[("max-message-size", "17 mb")], "from 1 byte to 16777216 bytes"),
        (Role::Source, &[("subprotocol", "a b")], "one name without blanks"),
        (Role::Source, &[("http.source.header.Sec-WebSocket-Key", "x")], "the connector sets it itself"),
        (Role::Source, &[("tls.root-cas-file", "ca.pem")], "write 'wss://…' in 'url'"),
    ];
    for (role, options, words) in cases {
        let checked = node.connector("websocket").check(&messages("a", options), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
        assert!(!told.contains("pencil"), "{told}");
    }
}

#[test]
fn a_probe_opens_a_websocket_and_says_nothing_over_it() {
    let (streams, told) = serve(|_, _| ());
    let table = messages(&streams.address, &[("open-message", "hello")]);
    let probed = Node::start().connector("websocket").probe(&table, Role::Source, 5_000);
    assert!(probed.len() == 2 && probed.iter().all(|probed| probed.found.is_ok()), "{probed:?}");
    assert_eq!(told.recv().unwrap().0, CLOSE);
}
