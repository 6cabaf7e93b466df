//! A connection: which server of a replica set takes writes, the log-in, commands in both directions, and how long they take.
//!
//! The servers that are known are asked one after the other who they are. One that takes writes is kept; one that does not
//! names the others, and the one among them that does. A call as a whole has a timeout, however slowly the server sends.

use crate::answers::checked;
use crate::message::{GREETING_BYTES_MAX, MESSAGE_BYTES_MAX, length, reply, request};
use crate::place::{host_and_port, place};
use crate::{Address, WireError, Wired, broken, code, login, wrong};
use auth::socket::{Secured, monotonic, told};
use auth::tls::ClientConfig;
use base::ErrorKind;
use formats::bson::{Bson, Document};
use os::Os;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// More servers in one replica set there cannot be.
const ASKED_MAX: usize = 50;
/// OP_MSG came with 3.6.
const WIRE_VERSION_MIN: i64 = 6;
/// What a router says of itself.
const ROUTER: &str = "isdbgrid";

/// A session on a server that takes writes.
pub struct Connection {
    stream: BufReader<Secured>,
    number: i32,
    is_broken: bool,
    /// How long an answer may be.
    bytes_max: usize,
    /// How long the last one was.
    bytes: usize,
    /// What the server says of itself.
    hello: Document,
    place: String,
}

impl Connection {
    /// Finds the server that takes writes, and logs in; all of it within the timeout, which then holds for each call.
    pub fn open(os: &Os, address: &Address, timeout: Duration) -> Wired<Connection> {
        let tls = address.authorities.as_ref().map(|authorities| auth::tls::client_of_web(authorities));
        let tls = tls.transpose().map_err(wrong)?.map(Arc::new);
        let until = monotonic(&*os.clock).saturating_add(timeout);
        let mut waiting: VecDeque<(String, u16)> = address.hosts.iter().cloned().collect();
        let mut asked: Vec<(String, u16)> = Vec::new();
        let mut last = None;
        while let Some(next) = waiting.pop_front() {
            let left = until.saturating_sub(monotonic(&*os.clock));
            if asked.contains(&next) || asked.len() >= ASKED_MAX || left.is_zero() {
                continue;
            }
            // So that one server that keeps silent does not keep us from the next one.
            let share = if waiting.is_empty() { left } else { left / 2 };
            asked.push(next.clone());
            let greeted = Connection::greet(os, address, &next, share, tls.clone());
            match greeted.and_then(|connection| connection.checked(address)) {
                Ok(mut connection) if address.is_direct || connection.takes_writes() => {
                    let hello = connection.hello.clone();
                    login::log_in(&mut connection, os, address, &hello)?;
                    connection.set_timeout(timeout);
                    connection.bytes_max = MESSAGE_BYTES_MAX;
                    return Ok(connection);
                }
                Ok(connection) => {
                    last = Some(broken(format!(
                        "the server {} does not take writes, and names none that does; wait for the election of another one",
                        connection.place
                    )));
                    let others = connection.hello.array("hosts").unwrap_or_default();
                    let others = others.iter().filter_map(Bson::to_text);
                    waiting.extend(others.filter_map(|text| host_and_port(&text).ok()).take(ASKED_MAX));
                    let primary = connection.hello.text("primary").and_then(|text| host_and_port(text).ok());
                    primary.into_iter().for_each(|primary| waiting.push_front(primary));
                }
                // As long as one of them may be right later, it is not given up.
                Err(error) => {
                    let lasts = last.as_ref().is_none_or(|last: &WireError| last.kind == ErrorKind::Invalid);
                    let kind = if lasts { error.kind } else { ErrorKind::Unavailable };
                    last = Some(WireError { kind, ..error });
                }
            }
        }
        Err(last.unwrap_or_else(|| broken("no server could be asked in time")))
    }

    /// Connects to one server, and hears what it is.
    fn greet(
        os: &Os,
        address: &Address,
        (host, port): &(String, u16),
        timeout: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> Wired<Connection> {
        let place = place(host, *port);
        let stream = Secured::connect(os, (host, *port), timeout, tls.clone()).map_err(|error| {
            let message = format!("cannot connect to {place}: {}", told(&error));
            match error.kind() {
                // An address that nothing connects to, or a server that does not prove who it is.
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData => wrong(message),
                _ => broken(format!("{message}; look whether the server runs there")),
            }
        })?;
        let mut connection = Connection {
            stream: BufReader::new(stream),
            number: 0,
            is_broken: false,
            bytes_max: GREETING_BYTES_MAX,
            bytes: 0,
            hello: Document::new(),
            place,
        };
        let mut hello = connection.command("admin", hello_command("hello", address));
        // The word is younger than the protocol.
        if hello.as_ref().is_err_and(|error| error.code == code::COMMAND_NOT_FOUND) {
            hello = connection.command("admin", hello_command("isMaster", address));
        }
        connection.hello = hello?;
        Ok(connection)
    }

    /// The same, if it is a server of those that are wanted.
    fn checked(self, address: &Address) -> Wired<Connection> {
        let place = &self.place;
        if self.wire_version() < WIRE_VERSION_MIN {
            return Err(wrong(format!("the server {place} is too old; it must be a MongoDB 3.6 or younger")));
        }
        let found = self.replica_set();
        // It knows that it is a member, and has not yet read of which set; or it was never told.
        if found.is_none() && self.hello.is_true("isreplicaset") {
            return Err(broken(format!(
                "the server {place} does not know its replica set yet; wait until it has started, or call rs.initiate()"
            )));
        }
        if let Some(wanted) = &address.replica_set
            && found != Some(wanted)
            && !self.is_router()
        {
            return Err(wrong(format!(
                "the server {place} is not in the replica set '{wanted}' but in {}; look at 'replicaSet' in {}",
                found.map_or("none".into(), |name| format!("'{name}'")),
                address.options.address
            )));
        }
        Ok(self)
    }

    fn takes_writes(&self) -> bool {
        self.hello.is_true("isWritablePrimary") || self.hello.is_true("ismaster")
    }

    /// The server's version in the protocol: 21 is MongoDB 7.0.
    pub fn wire_version(&self) -> i64 {
        self.hello.number("maxWireVersion").unwrap_or(0)
    }

    /// The replica set, if the server is in one.
    pub fn replica_set(&self) -> Option<&str> {
        self.hello.text("setName")
    }

    pub fn is_router(&self) -> bool {
        self.hello.text("msg") == Some(ROUTER)
    }

    /// How long each call may take from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream.get_mut().limited().timeout = timeout;
    }

    /// How many bytes the last answer had.
    pub fn answer_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it cannot be used any more.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Runs a command; what the server says no to is an error.
    pub fn command(&mut self, database: &str, command: Document) -> Wired<Document> {
        self.ask(&command.with("$db", database), None)
    }

    /// The same with many documents under a name of the command, as bytes.
    pub fn bulk(
        &mut self,
        database: &str,
        command: Document,
        name: &str,
        documents: &[Vec<u8>],
    ) -> Wired<Document> {
        self.ask(&command.with("$db", database), Some((name, documents)))
    }

    fn ask(&mut self, command: &Document, documents: Option<(&str, &[Vec<u8>])>) -> Wired<Document> {
        self.stream.get_mut().begin_call();
        self.number = self.number.wrapping_add(1);
        let bytes = request(self.number, command, documents);
        let answered = self.exchange(&bytes);
        self.is_broken |= answered.is_err();
        let answer = checked(answered?);
        // Another server is to be looked for.
        self.is_broken |= answer.as_ref().is_err_and(|error| code::NOT_PRIMARY.contains(&error.code));
        answer
    }

    fn exchange(&mut self, bytes: &[u8]) -> Wired<Document> {
        let stream = self.stream.get_mut();
        let sent = stream.write_all(bytes).and_then(|()| stream.flush());
        sent.map_err(|error| broken(format!("cannot write to the server: {}", told(&error))))?;
        let failed = |error: io::Error| broken(format!("cannot read from the server: {}", told(&error)));
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).map_err(failed)?;
        self.bytes = length(head, self.bytes_max)?;
        let rest = self.bytes - head.len();
        // As much as comes is kept, never as much as is announced.
        let mut body = Vec::new();
        let read = self.stream.by_ref().take(rest as u64).read_to_end(&mut body).map_err(failed)?;
        if read < rest {
            return Err(broken("the server has closed the connection"));
        }
        reply(self.number, &body)
    }

    /// Another server is to be looked for, though this one has answered.
    pub fn leave(&mut self) {
        self.is_broken = true;
    }

    /// An error of what the server wrote in spite of an answer of 1: another server is to be looked for.
    pub fn distrust(&mut self, error: WireError) -> WireError {
        self.is_broken = true;
        error
    }
}

fn hello_command(word: &str, address: &Address) -> Document {
    let client = Document::new()
        .with(
            "driver",
            Document::new().with("name", "eventwright").with("version", env!("CARGO_PKG_VERSION")),
        )
        .with("os", Document::new().with("type", std::env::consts::OS));
    let mut command = Document::new().with(word, 1).with("client", client);
    if let Some(user) = &address.user {
        command.push("saslSupportedMechs", format!("{}.{user}", address.auth_database));
    }
    command
}

#[cfg(test)]
mod tests;
