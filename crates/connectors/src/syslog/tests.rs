//! What comes over real sockets of this machine.

use super::feed::SyslogFeed;
use super::options::{self, Settings};
use crate::Connectors;
use crate::table_format::{self, Formats};
use crate::tests::{Node, schema, table};
use arrow_schema::DataType;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRecord, FeedRequest};
use dataflow::table::{MetadataColumn, TableDefinition};
use os::{Os, Permits};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;

const TABLE: &[(&str, &str)] = &[
    ("connector", "syslog"),
    ("listen", "tcp://127.0.0.1:0, udp://127.0.0.1:0"),
    ("format", "raw"),
    ("max-message-size", "1kb"),
];

fn open(options: &[(&str, &str)]) -> SyslogFeed {
    let node = Node::start();
    let metadata = node.connector("syslog").metadata().into_iter().map(|spec| MetadataColumn {
        name: spec.key.into(),
        key: spec.key.into(),
        data_type: spec.data_type,
        is_virtual: true,
    });
    let plain = table(schema(&[("message", DataType::Utf8)]), &[TABLE, options].concat());
    let table = Arc::new(TableDefinition { metadata: metadata.collect(), ..(*plain).clone() });
    let checked = table_format::check(&table, options::OPTIONS, Formats::Message).unwrap();
    let mut feed = SyslogFeed::new(table, Os::real(), Settings::new(&checked.options).unwrap());
    feed.open(None).unwrap();
    feed
}

fn polled(feed: &mut SyslogFeed, count: usize) -> Vec<FeedRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(feed.poll(60_000).unwrap().records);
    }
    records
}

fn text(record: &FeedRecord) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

fn carried(record: &FeedRecord, name: &str) -> Option<Vec<u8>> {
    record.headers.iter().find(|(known, _)| known == name)?.1.clone()
}

#[test]
fn connections_and_datagrams_are_heard() {
    let mut feed = open(&[]);
    let addresses = feed.addresses();
    let mut connection = TcpStream::connect(&addresses[0]).unwrap();
    connection
        .write_all(b"<165>1 2003-10-11T22:14:15.003Z host app 7 id [a b=\"c\"] one\n7 <2>t: 2")
        .unwrap();
    drop(connection);
    let records = polled(&mut feed, 2);
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["one", "2"]);
    let first = &records[0];
    assert_eq!((first.timestamp_ms, first.id.as_deref()), (1_065_910_455_003, None));
    assert_eq!(carried(first, "m:facility"), Some(20_i64.to_be_bytes().to_vec()));
    assert_eq!(carried(first, "m:severity"), Some(5_i64.to_be_bytes().to_vec()));
    for (name, value) in [
        ("m:hostname", "host"),
        ("m:app-name", "app"),
        ("m:proc-id", "7"),
        ("m:msg-id", "id"),
        ("m:transport", "tcp"),
        ("h:a.b", "c"),
    ] {
        assert_eq!(carried(first, name), Some(value.as_bytes().to_vec()), "{name}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<13>app[1]: \xc3\xbc\n", &addresses[1]).unwrap();
    let record = polled(&mut feed, 1).remove(0);
    assert_eq!(text(&record), "ü");
    let peer = socket.local_addr().unwrap().to_string();
    assert_eq!(carried(&record, "m:peer"), Some(peer.into_bytes()));
    assert_eq!(feed.lost(), 0);
}

#[test]
fn what_is_no_message_is_a_dead_letter_with_its_bytes() {
    let mut feed = open(&[]);
    let addresses = feed.addresses();
    let mut connection = TcpStream::connect(&addresses[0]).unwrap();
    let long = "x".repeat(5000);
    connection.write_all(format!("no priority\n<1>{long}\n<2>c").as_bytes()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let records = polled(&mut feed, 2);
    let reason = |record: &FeedRecord| String::from_utf8(carried(record, "u:").unwrap_or_default()).unwrap();
    assert_eq!(text(&records[0]), "no priority");
    assert!(reason(&records[0]).contains("does not begin with a priority"), "{}", reason(&records[0]));
    assert_eq!(text(&records[1]).len(), 1024);
    assert!(reason(&records[1]).contains("bytes=5003, and limit=1024"), "{}", reason(&records[1]));
    // A line that has no end ends with its connection.
    drop(connection);
    let last = polled(&mut feed, 1).remove(0);
    assert_eq!((text(&last).as_str(), reason(&last).as_str()), ("c", ""));
    socket.send_to(format!("<1>{long}").as_bytes(), &addresses[1]).unwrap();
    let record = polled(&mut feed, 1).remove(0);
    assert!(text(&record).len() == 1024 && reason(&record).contains("bytes=5003"), "{}", reason(&record));
}

#[test]
fn more_connections_than_may_be_open_are_closed() {
    let mut feed = open(&[("max-connections", "1")]);
    let address = feed.addresses().remove(0);
    let mut first = TcpStream::connect(&address).unwrap();
    first.write_all(b"<1>a\n").unwrap();
    assert_eq!(polled(&mut feed, 1).len(), 1);
    let mut second = TcpStream::connect(&address).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap(), 0, "it is closed");
    first.write_all(b"<1>b\n").unwrap();
    assert_eq!(text(&polled(&mut feed, 1)[0]), "b");
}

#[test]
fn who_does_not_go_on_is_not_waited_for() {
    let mut feed = open(&[("timeout", "1 ms"), ("idle-timeout", "1 ms")]);
    let address = feed.addresses().remove(0);
    let mut connection = TcpStream::connect(&address).unwrap();
    connection.write_all(b"99 <1>half of").unwrap();
    let record = polled(&mut feed, 1).remove(0);
    assert_eq!(text(&record), "<1>half of");
    assert_eq!(connection.read(&mut [0]).unwrap(), 0, "it is closed");
    let mut connection = TcpStream::connect(&address).unwrap();
    connection.write_all(b"<1>no line").unwrap();
    let record = polled(&mut feed, 1).remove(0);
    let reason = String::from_utf8(carried(&record, "u:").unwrap()).unwrap();
    assert!(text(&record) == "<1>no line" && reason.contains("broke before its end"), "{reason}");
    let mut idle = TcpStream::connect(&address).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "it is closed");
}

#[test]
fn what_has_come_stays_when_the_feed_is_opened_anew_and_a_place_is_taken_once() {
    let mut feed = open(&[]);
    let address = feed.addresses().remove(0);
    let mut connection = TcpStream::connect(&address).unwrap();
    connection.write_all(b"<1>a\n").unwrap();
    feed.open(None).unwrap();
    assert_eq!(text(&polled(&mut feed, 1)[0]), "a");
    let listen = format!("tcp://{address}");
    let other = table(schema(&[("message", DataType::Utf8)]), &[TABLE, &[("listen", &listen)]].concat());
    let node = Node::start();
    let probed = node.connector("syslog").probe(&other, Role::Source, 1000);
    assert!(probed[0].found.as_ref().is_err_and(|reason| reason.contains("listens there")), "{probed:?}");
    drop(feed);
    assert!(TcpStream::connect(&address).is_err(), "nobody listens there any more");
    let probed = node.connector("syslog").probe(&other, Role::Source, 1000);
    assert_eq!(probed[0].found, Ok(address));
}

/// Who says nothing holds up nobody.
#[test]
fn a_stop_does_not_wait_for_a_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("cert", made.cert.pem()), file("key", made.signing_key.serialize_pem()));
    let options = [
        ("listen", "tls://127.0.0.1:0"),
        ("tls.cert-file", cert.as_str()),
        ("tls.key-file", key.as_str()),
        ("timeout", "10 min"),
        ("max-connections", "1"),
    ];
    let feed = open(&options);
    let address = feed.addresses().remove(0);
    let mut first = TcpStream::connect(&address).unwrap();
    // When the second is turned away, the first is being heard.
    assert_eq!(TcpStream::connect(&address).unwrap().read(&mut [0]).unwrap(), 0);
    let (stopped, told) = std::sync::mpsc::channel();
    let stopping = std::thread::spawn(move || {
        drop(feed);
        stopped.send(()).unwrap();
    });
    told.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    stopping.join().unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "it is closed");
}

#[test]
fn datagrams_without_room_are_lost_and_counted() {
    let mut feed = open(&[("max-message-size", "60kb")]);
    let address = feed.addresses().remove(1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = [b"<1>".to_vec(), vec![b'x'; 50_000]].concat();
    while feed.lost() == 0 {
        socket.send_to(&datagram, &address).unwrap();
    }
    // What had room is there.
    assert!(polled(&mut feed, 300).iter().all(|record| record.value.as_ref().unwrap().len() == 50_000));
}

/// Options, and what has to be told of them.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let cases: &[Wrong<'_>] = &[
        (&[], ""),
        (&[("listen", "localhost:514")], "it has no ://"),
        (&[("listen", "tls://127.0.0.1:0")], "needs 'tls.cert-file' and 'tls.key-file'"),
        (&[("tls.cert-file", "c")], "'tls.cert-file' is for TLS"),
        (&[("time-zone", "Mars")], "'Mars' is no time zone"),
        (&[("max-message-size", "2mb")], "from 480 bytes to 1 MB"),
    ];
    for (options, words) in cases {
        let table = table(schema(&[("message", DataType::Utf8)]), &[TABLE, options].concat());
        let errors = node.connector("syslog").check(&table, Role::Source).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.is_empty(), words.is_empty(), "{options:?}: {told:?}");
        assert!(told.first().is_none_or(|first| first.contains(words)), "{options:?}: {told:?}");
    }
    let table = table(schema(&[("message", DataType::Utf8)]), TABLE);
    let errors = node.connector("syslog").check(&table, Role::Sink).unwrap_err();
    assert!(errors[0].message.contains("can be read, not written"));
}

#[test]
fn who_is_not_known_is_heard_on_this_machine_alone() {
    let node = Node::start();
    let tls = [("listen", "tls://0.0.0.0:0"), ("tls.cert-file", "c"), ("tls.key-file", "k")];
    let cases: &[Wrong<'_>] = &[
        (&[], ""),
        (&[tls[0], tls[1], tls[2], ("tls.client-ca-file", "ca")], ""),
        (&[("listen", "udp://0.0.0.0:5514")], "start the node with --insecure-syslog"),
        (&[("listen", "tcp://logs.example:5514")], "is not a loopback address"),
        (&tls, "senders do not say who they are"),
    ];
    for (options, words) in cases {
        let table = table(schema(&[("message", DataType::Utf8)]), &[TABLE, options].concat());
        let request = FeedRequest { table: table.clone(), identity: "job".into() };
        let refused = node.connector("syslog").feed(request).err().map(|error| error.message);
        assert_eq!(refused.is_none(), words.is_empty(), "{options:?}: {refused:?}");
        assert!(refused.is_none_or(|message| message.contains(words)), "{options:?}");
        // Where the node may, it is let be.
        let permits = Permits { open_syslog: true, ..Permits::default() };
        let connectors = crate::table(Connectors { os: Os { permits, ..Os::real() }, log: None });
        let request = FeedRequest { table, identity: "job".into() };
        assert!(connectors.find("syslog").unwrap().feed(request).is_ok(), "{options:?}");
    }
}
