//! A connection to a server of Redis: it logs in, asks and is answered, one after the other.
//!
//! Nothing runs in the background: whoever holds it calls it often enough for pings to go both ways.

use super::resp::{self, Scan, Value};
use crate::messages::{Credentials, Done, Line, ServerError};
use auth::socket::Secured;
use base::ErrorKind;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;
/// An answer may take the time-out again for each piece that comes, but no more than so many times.
const PIECES_MAX: u32 = 20;

pub(super) struct Connection {
    line: Line,
    scan: Scan,
    /// Of the answers that are to come, in their order: whether nobody waits for it.
    expected: VecDeque<bool>,
    /// It takes no writes.
    pub(super) is_replica: bool,
    /// How long the last answer was.
    pub(super) answer_bytes: usize,
}

impl Connection {
    pub(super) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        credentials: &Credentials<'_>,
        heartbeat: Duration,
        name: &str,
    ) -> Done<Connection> {
        let mut line = Line::new(stream, clock, timeout);
        line.set_heartbeat(heartbeat);
        let (scan, expected) = (Scan::default(), VecDeque::new());
        let mut connection = Connection { line, scan, expected, is_replica: false, answer_bytes: 0 };
        connection.log_in(credentials, name)?;
        if let Some(database) = credentials.path {
            connection.call(&[b"SELECT", database.as_bytes()])?;
        }
        Ok(connection)
    }

    fn log_in(&mut self, credentials: &Credentials<'_>, name: &str) -> Done<()> {
        // In a URL a password may stand without a user.
        let user = credentials.user.filter(|user| !user.is_empty());
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = credentials.password {
            hello.extend([&b"AUTH"[..], user.unwrap_or("default").as_bytes(), password.as_bytes()]);
        }
        hello.extend([&b"SETNAME"[..], name.as_bytes()]);
        let words = match self.ask(&hello)? {
            Value::Error(words) => words,
            about => {
                self.is_replica =
                    about.get("role").and_then(Value::text).is_some_and(|role| role != "master");
                return Ok(());
            }
        };
        if is_refusal(&words) {
            return Err(credentials.refused(&words));
        }
        if kind_of(&words) == ErrorKind::Unavailable {
            return Err(failure(&words));
        }
        // A server before version 6, or a user who may not say hello: RESP2, which needs none.
        let Some(password) = credentials.password else { return Ok(()) };
        let answer = match user {
            Some(user) => self.ask(&[b"AUTH", user.as_bytes(), password.as_bytes()])?,
            None => self.ask(&[b"AUTH", password.as_bytes()])?,
        };
        match answer {
            Value::Error(words) if kind_of(&words) == ErrorKind::Unavailable => Err(failure(&words)),
            Value::Error(words) => Err(credentials.refused(&words)),
            _ => Ok(()),
        }
    }

    /// Puts a command on its way. [`Connection::flush`] sends what is left.
    pub(super) fn put(&mut self, command: &[&[u8]]) -> Done<()> {
        resp::put(&mut self.line.outgoing, command);
        self.expected.push_back(false);
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Done<()> {
        self.line.send()
    }

    /// Asks, and waits for the answer, which may be an error. Nothing else may be under way.
    pub(super) fn ask(&mut self, command: &[&[u8]]) -> Done<Value> {
        self.put(command)?;
        self.answer()
    }

    /// The same where an error is one.
    pub(super) fn call(&mut self, command: &[&[u8]]) -> Done<Value> {
        match self.ask(command)? {
            Value::Error(words) => Err(failure(&words)),
            value => Ok(value),
        }
    }

    /// Asks for several things that are done as one; what is answered may hold errors.
    pub(super) fn at_once(&mut self, commands: &[&[&[u8]]]) -> Done<Vec<Value>> {
        self.put(&[b"MULTI"])?;
        for command in commands {
            self.put(command)?;
        }
        self.put(&[b"EXEC"])?;
        let mut refused = None;
        for _ in 0..=commands.len() {
            if let Value::Error(words) = self.answer()? {
                refused.get_or_insert(words);
            }
        }
        match (refused, self.answer()?) {
            (Some(words), _) | (None, Value::Error(words)) => Err(failure(&words)),
            (None, Value::List(values)) if values.len() == commands.len() => Ok(values),
            _ => Err(ServerError::malformed("it does not answer all of a transaction")),
        }
    }

    /// The next answer, which has to come in time.
    fn answer(&mut self) -> Done<Value> {
        self.flush()?;
        let mut until = self.line.answer_until();
        let last = until + (until.saturating_sub(self.line.now())) * PIECES_MAX;
        loop {
            if let Some(value) = self.next()? {
                return Ok(value);
            }
            let left = self.line.left(until)?;
            if self.line.receive(left)? {
                until = self.line.answer_until().min(last);
            }
        }
    }

    /// The next answer, after waiting for it for so long at most.
    pub(super) fn take(&mut self, wait: Duration) -> Done<Option<Value>> {
        self.flush()?;
        loop {
            let next = self.next()?;
            if next.is_some() {
                return Ok(next);
            }
            if !self.line.receive(wait)? {
                self.beat()?;
                return Ok(None);
            }
        }
    }

    fn next(&mut self) -> Done<Option<Value>> {
        while let Some((value, bytes)) = self.scan.take(&mut self.line.incoming)? {
            if matches!(value, Value::Push(_)) {
                continue;
            }
            match self.expected.pop_front() {
                Some(true) => {}
                Some(false) => {
                    self.answer_bytes = bytes;
                    return Ok(Some(value));
                }
                None => {
                    return match value {
                        // What the server says before it closes the connection.
                        Value::Error(words) => Err(failure(&words)),
                        _ => Err(ServerError::malformed("it answers what nobody asked")),
                    };
                }
            }
        }
        Ok(None)
    }

    /// Keeps the connection alive.
    pub(super) fn tend(&mut self) -> Done<()> {
        self.flush()?;
        // An answer that somebody waits for is theirs.
        if self.expected.iter().all(|is_ping| *is_ping) && self.line.receive(Duration::ZERO)? {
            self.next()?;
        }
        self.beat()
    }

    fn beat(&mut self) -> Done<()> {
        // A server says nothing unless it is asked.
        let is_silent = self.expected.is_empty();
        if self.line.beat(is_silent)? && is_silent {
            resp::put(&mut self.line.outgoing, &[b"PING"]);
            self.expected.push_back(true);
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Duration {
        self.line.now()
    }
}

fn is_refusal(words: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "ERR invalid password", "ERR Client sent AUTH"]
        .iter()
        .any(|begin| words.starts_with(begin))
}

/// What the server says of a command.
pub(super) fn failure(words: &str) -> ServerError {
    let hint = match words.split(' ').next() {
        Some("NOAUTH") => "; give 'username' and 'password'",
        Some("CROSSSLOT") => {
            "; in a cluster the name of a stream that is written may have a '}' only behind a '{'"
        }
        Some("OOM") => "; it is full",
        _ => "",
    };
    ServerError::new(kind_of(words), format!("the server says: {words}{hint}"))
}

fn kind_of(words: &str) -> ErrorKind {
    match words.split(' ').next().unwrap_or_default() {
        // The group was deleted, or the stream with it: who connects anew says so.
        "NOGROUP" | "UNBLOCKED" => ErrorKind::Retry,
        // Of our own script.
        "BEHIND" => ErrorKind::Unavailable,
        "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "BUSY" | "MASTERDOWN" | "READONLY"
        | "OOM" | "MISCONF" | "NOREPLICAS" | "UNKILLABLE" | "EXECABORT" => ErrorKind::Unavailable,
        _ if words.contains("max number of clients") || words.contains("Protocol error") => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Invalid,
    }
}

/// Where a cluster says that the key lies: a host, which may be the one that was asked, and a port.
pub(super) fn moved(words: &str) -> Option<(&str, u16)> {
    let place = words.strip_prefix("MOVED ")?.split(' ').nth(1)?;
    let (host, port) = place.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        for (words, kind) in [
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable),
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Unavailable),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("NOGROUP No such key 's' or consumer group 'g'", ErrorKind::Retry),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", ErrorKind::Invalid),
            ("NOPERM this user has no permissions to run the 'xread' command", ErrorKind::Invalid),
        ] {
            assert_eq!(failure(words).kind, kind, "{words}");
        }
    }

    #[test]
    fn where_a_key_has_moved_is_understood() {
        assert_eq!(moved("MOVED 3999 127.0.0.1:6381"), Some(("127.0.0.1", 6381)));
        assert_eq!(moved("MOVED 3999 [::1]:6381"), Some(("::1", 6381)));
        assert_eq!(moved("MOVED 3999 :6381"), Some(("", 6381)));
        for other in ["MOVED 3999", "ASK 3999 a:1", "MOVED 1 a:x", "ERR"] {
            assert_eq!(moved(other), None, "{other}");
        }
    }
}
