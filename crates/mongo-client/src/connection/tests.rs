//! Servers that answer as they are told, whoever asks.

use super::*;
use crate::OptionNames;
use os::sim::SimOs;
use os::{Listener, Network, Stream};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// By place, what is answered to a command.
type Answers = BTreeMap<&'static str, fn(&Document) -> Document>;

struct Servers {
    answers: Answers,
    /// Who was asked what.
    asked: Arc<Mutex<Vec<String>>>,
}

struct Says {
    place: String,
    answer: fn(&Document) -> Document,
    asked: Arc<Mutex<Vec<String>>>,
    request: Mutex<Vec<u8>>,
    reply: Mutex<VecDeque<u8>>,
}

impl Network for Servers {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, place: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        let answer = self.answers.get(place).copied().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (place, asked) = (place.to_string(), self.asked.clone());
        let (request, reply) = (Mutex::default(), Mutex::default());
        Ok(Box::new(Says { place, answer, asked, request, reply }))
    }
}

impl Stream for Says {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut reply = self.reply.lock().unwrap();
        let count = reply.len().min(out.len());
        out.iter_mut().zip(reply.drain(..count)).for_each(|(byte, said)| *byte = said);
        Ok(count)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut request = self.request.lock().unwrap();
        request.extend_from_slice(bytes);
        let length = request.first_chunk::<4>().map_or(usize::MAX, |head| u32::from_le_bytes(*head) as usize);
        if request.len() < length {
            return Ok(());
        }
        let whole: Vec<u8> = request.drain(..length).collect();
        let (command, _) = Document::first_of(&whole[21..]).unwrap();
        self.asked.lock().unwrap().push(format!("{} {}", self.place, command.0[0].0));
        let mut answer = crate::message::request(0, &(self.answer)(&command), None);
        answer[8..12].copy_from_slice(&whole[4..8]);
        self.reply.lock().unwrap().extend(answer);
        Ok(())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn peer_address(&self) -> String {
        self.place.clone()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn address(uri: &str) -> Address {
    let names = OptionNames { password: "'password'", address: "'uri'" };
    Address::parse(uri, names).unwrap_or_else(|message| panic!("{message}")).address
}

fn open(uri: &str, answers: Answers) -> (Wired<Connection>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let network = Arc::new(Servers { answers, asked: asked.clone() });
    let os = Os { network, ..SimOs::new(1).os() };
    let opened = Connection::open(&os, &address(uri), Duration::from_secs(5));
    let asked = asked.lock().unwrap().clone();
    (opened, asked)
}

fn well() -> Document {
    Document::new().with("ok", 1.0).with("maxWireVersion", 13).with("setName", "rs")
}

fn secondary(_: &Document) -> Document {
    let hosts: Vec<Bson> = vec!["a:1".into(), "b:2".into(), "c:3".into()];
    well().with("isWritablePrimary", false).with("hosts", hosts).with("primary", "c:3")
}

fn primary(command: &Document) -> Document {
    match command.0[0].0.as_str() {
        "hello" => well().with("isWritablePrimary", true),
        "insert" => Document::new().with("ok", 0).with("code", 10_107).with("errmsg", "not primary"),
        _ => Document::new().with("ok", 0).with("code", 11_000).with("errmsg", "no"),
    }
}

/// A server of before the word `hello`.
fn old(command: &Document) -> Document {
    match command.0[0].0.as_str() {
        "isMaster" => well().with("ismaster", true),
        _ => Document::new().with("ok", 0).with("code", 59).with("errmsg", "no such command"),
    }
}

/// A member that has just begun, and does not know its set yet.
fn starting(_: &Document) -> Document {
    let hello = Document::new().with("ok", 1.0).with("maxWireVersion", 13);
    hello.with("isWritablePrimary", false).with("isreplicaset", true)
}

fn stranger(command: &Document) -> Document {
    let mut hello = primary(command);
    hello.0.retain(|(name, _)| name != "setName");
    hello.with("setName", "strangers")
}

/// More than a greeting can be.
fn talkative(command: &Document) -> Document {
    let long = Document::new().with("text", "x".repeat(100_000));
    match command.0[0].0.as_str() {
        "hello" => well().with("isWritablePrimary", true),
        "find" => long.with("ok", 1.0),
        _ => long,
    }
}

fn shouting(_: &Document) -> Document {
    well().with("isWritablePrimary", true).with("text", "x".repeat(100_000))
}

fn router(_: &Document) -> Document {
    well().with("isWritablePrimary", true).with("msg", "isdbgrid")
}

#[test]
fn the_server_that_takes_writes_is_found_by_those_that_do_not() {
    let (opened, asked) = open(
        "mongodb://a:1,x:9/?replicaSet=rs",
        BTreeMap::from([("a:1", secondary as fn(&Document) -> Document), ("c:3", primary)]),
    );
    let opened = opened.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(
        (asked.as_slice(), opened.replica_set()),
        (&["a:1 hello".into(), "c:3 hello".into()][..], Some("rs"))
    );
}

#[test]
fn without_one_it_is_said_who_was_asked_last() {
    let (opened, asked) =
        open("mongodb://a:1", BTreeMap::from([("a:1", secondary as fn(&Document) -> Document)]));
    let error = opened.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("cannot connect to b:2"), "{}", error.message);
    assert_eq!(asked, ["a:1 hello"]);
    let (opened, _) = open(
        "mongodb://a:1/?directConnection=true",
        BTreeMap::from([("a:1", secondary as fn(&Document) -> Document)]),
    );
    assert!(opened.is_ok());
}

#[test]
fn a_server_that_is_primary_no_more_is_left() {
    let (opened, _) = open("mongodb://a:1", BTreeMap::from([("a:1", primary as fn(&Document) -> Document)]));
    let mut opened = opened.unwrap_or_else(|error| panic!("{error:?}"));
    let error = opened.command("shop", Document::new().with("find", "c")).unwrap_err();
    assert_eq!((error.code, opened.is_broken()), (11_000, false));
    let error = opened.bulk("shop", Document::new().with("insert", "c"), "documents", &[]).unwrap_err();
    assert_eq!((error.kind, opened.is_broken()), (ErrorKind::Unavailable, true));
}

#[test]
fn old_servers_and_routers_are_known() {
    let (opened, asked) = open("mongodb://a:1", BTreeMap::from([("a:1", old as fn(&Document) -> Document)]));
    assert!(opened.is_ok());
    assert_eq!(asked, ["a:1 hello", "a:1 isMaster"]);
    let (opened, _) = open(
        "mongodb://a:1/?replicaSet=other",
        BTreeMap::from([("a:1", router as fn(&Document) -> Document)]),
    );
    assert!(opened.is_ok_and(|opened| opened.is_router()));
    let (opened, _) = open(
        "mongodb://a:1/?replicaSet=other",
        BTreeMap::from([("a:1", primary as fn(&Document) -> Document)]),
    );
    let error = opened.err().unwrap();
    assert_eq!(
        error.message,
        "the server a:1 is not in the replica set 'other' but in 'rs'; look at 'replicaSet' in 'uri'"
    );
}

#[test]
fn one_that_is_not_of_the_set_yet_or_any_more_does_not_hide_the_others() {
    type Answer = fn(&Document) -> Document;
    let uri = "mongodb://a:1,b:2/?replicaSet=rs";
    for first in [starting as Answer, stranger] {
        let (opened, asked) = open(uri, BTreeMap::from([("a:1", first), ("b:2", primary)]));
        assert!(opened.is_ok_and(|opened| opened.replica_set() == Some("rs")));
        assert_eq!(asked, ["a:1 hello", "b:2 hello"]);
    }
    let kind = |answers: Answers| open(uri, answers).0.err().map(|error| (error.kind, error.message));
    let (found, message) = kind(BTreeMap::from([("a:1", starting as Answer)])).unwrap();
    assert_eq!(found, ErrorKind::Unavailable, "{message}");
    // One may be of the set when it is there again.
    let (found, message) = kind(BTreeMap::from([("b:2", stranger as Answer)])).unwrap();
    assert!(found == ErrorKind::Unavailable && message.contains("'strangers'"), "{message}");
    let (found, message) = kind(BTreeMap::from([("a:1", stranger as Answer), ("b:2", stranger)])).unwrap();
    assert!(found == ErrorKind::Invalid && message.contains("'strangers'"), "{message}");
}

#[test]
fn before_the_log_in_an_answer_is_short() {
    let (opened, _) =
        open("mongodb://a:1", BTreeMap::from([("a:1", talkative as fn(&Document) -> Document)]));
    let mut opened = opened.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(opened.command("shop", Document::new().with("find", "c")).is_ok());
    assert!(opened.answer_bytes() > 100_000);
    let (opened, _) = open("mongodb://a:1", BTreeMap::from([("a:1", shouting as fn(&Document) -> Document)]));
    assert!(opened.is_err_and(|error| error.message.contains("does not speak MongoDB's protocol")));
}
