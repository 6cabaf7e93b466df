//! The part of PostgreSQL's protocol (3.0) that we need: connect, prepare a statement, run it for many keys.
//!
//! All values travel as text, in the forms of the ISO date style, UTC and UTF-8, which are asked for when the connection
//! begins. A call as a whole has a timeout, however slowly the server sends. With TLS the server proves its name before
//! anything is said.

use super::Address;
use super::scram::{self, Scram};
use crate::socket::{Limited, Secured, has_timed_out, told};
use auth::tls::ClientStream;
use base::ErrorKind;
use md5::{Digest, Md5};
use os::Os;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const VERSION: i32 = 3 << 16;
/// A longer message is a mistake.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Requests that are on their way at once: they fit into the buffers of a connection, so that neither side waits for the
/// other to read.
const REQUEST_BYTES_MAX: usize = 32 << 10;
const STATEMENT: &str = "q";

/// Why the server does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireError {
    pub kind: ErrorKind,
    pub message: String,
    /// The server's SQLSTATE; empty where it is not the server who complains. Then the connection is of no more use.
    pub state: String,
}

impl WireError {
    /// A value is none of the type that it is compared with.
    pub(crate) fn is_of_value(&self) -> bool {
        self.state.starts_with("22")
    }

    /// The row that is written is to blame, and not the table, the user, the server or others who write.
    pub(crate) fn is_of_row(&self) -> bool {
        const OTHERS: &[&str] = &[
            "08", "0A", "25", "26", "28", "2B", "2D", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58",
            "F0", "XX",
        ];
        self.state.len() == 5 && !OTHERS.iter().any(|class| self.state.starts_with(class))
    }
}

pub(crate) type Wired<T> = Result<T, WireError>;

/// Gets the number of the parameters that a row was found for, and its values.
type Each<'a> = &'a mut dyn FnMut(usize, &[Option<&str>]) -> Result<(), String>;

/// A column of a statement's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub name: String,
    /// The number of its type in `pg_type`.
    pub oid: u32,
}

/// The request for TLS, which the server answers with one byte.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

pub(crate) struct Connection {
    stream: BufReader<Secured>,
    request: Vec<u8>,
    is_broken: bool,
}

pub(crate) fn broken(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Unavailable, message: message.to_string(), state: String::new() }
}

pub(crate) fn wrong(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Invalid, message: message.to_string(), state: String::new() }
}

/// The stream under TLS, if the server speaks it and is who it should be.
fn secured(mut stream: Limited, authorities: &Path, host: &str) -> Wired<Secured> {
    let failed = |error: std::io::Error| broken(format!("TLS with the server failed: {}", told(&error)));
    let config = auth::tls::client_of_web(authorities).map_err(wrong)?;
    stream.write_all(&TLS_REQUEST).map_err(failed)?;
    // One byte and no more: what an attacker sends behind it must not count as the server's (CVE-2021-23222).
    let mut answer = [0];
    stream.read_exact(&mut answer).map_err(failed)?;
    match answer {
        [b'S'] => {}
        [b'N'] => return Err(wrong("the server speaks no TLS, and 'url' has sslmode=verify-full")),
        _ => return Err(broken("the server does not speak PostgreSQL's protocol")),
    }
    let stream = ClientStream::begin(Arc::new(config), host, stream).map_err(|error| match error.kind() {
        // Trying again does not help.
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
            wrong(format!("TLS with the server failed: {error}"))
        }
        _ => failed(error),
    })?;
    Ok(Secured::Tls(Box::new(stream)))
}

impl Connection {
    /// `settings` are those of the session.
    pub(crate) fn open(
        os: &Os,
        address: &Address,
        timeout: Duration,
        settings: &[(&str, &str)],
    ) -> Wired<Connection> {
        let Address { host, port, .. } = address;
        let failed = |error: std::io::Error| {
            let message = format!("cannot connect to {host}:{port}: {error}");
            match error.kind() {
                // An address that nothing connects to.
                std::io::ErrorKind::PermissionDenied => wrong(message),
                _ => broken(format!("{message}; look whether the server runs there")),
            }
        };
        let stream = Limited::connect(os, (host, *port), timeout).map_err(failed)?;
        let stream = match &address.authorities {
            None => Secured::Plain(stream),
            Some(authorities) => secured(stream, authorities, host)?,
        };
        let mut connection =
            Connection { stream: BufReader::new(stream), request: Vec::new(), is_broken: false };
        connection.start(address, settings)?;
        connection.log_in(os, address)?;
        Ok(connection)
    }

    fn start(&mut self, address: &Address, settings: &[(&str, &str)]) -> Wired<()> {
        let mut body = VERSION.to_be_bytes().to_vec();
        let always = [
            ("user", address.user.as_str()),
            ("database", &address.database),
            ("application_name", "eventwright"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, YMD"),
            ("TimeZone", "UTC"),
            ("bytea_output", "hex"),
            ("extra_float_digits", "3"),
        ];
        for (key, value) in always.iter().chain(settings) {
            body.extend_from_slice(key.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        self.request.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        self.request.extend_from_slice(&body);
        self.send()
    }

    fn log_in(&mut self, os: &Os, address: &Address) -> Wired<()> {
        let password = || {
            let missing = || wrong("the server wants a password: set 'password'");
            let given = address.password.as_deref().ok_or_else(missing)?;
            auth::secrets::resolved(given).map_err(|error| wrong(format!("'password': {error}")))
        };
        let mut scram: Option<(Scram, Option<scram::Proof>)> = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'R' => {}
                b'E' => return Err(server_error(&body)),
                b'Z' => return Ok(()),
                // Settings, the key for cancelling, notices.
                _ => continue,
            }
            let code = body.first_chunk::<4>().map(|code| i32::from_be_bytes(*code));
            let rest = body.get(4..).unwrap_or_default();
            match code {
                Some(0) => {}
                Some(3) => self.password(password()?.as_bytes(), true)?,
                Some(5) => {
                    let hex = |parts: [&[u8]; 2]| {
                        let mut hash = Md5::new();
                        parts.iter().for_each(|part| hash.update(part));
                        hash.finalize().iter().fold(String::new(), |mut text, byte| {
                            let _ = write!(text, "{byte:02x}");
                            text
                        })
                    };
                    let inner = hex([password()?.as_bytes(), address.user.as_bytes()]);
                    let answer = format!("md5{}", hex([inner.as_bytes(), rest]));
                    self.password(answer.as_bytes(), true)?;
                }
                Some(10) => {
                    let offered = String::from_utf8_lossy(rest);
                    if !offered.split('\0').any(|name| name == scram::MECHANISM) {
                        return Err(wrong("the server offers no SCRAM-SHA-256"));
                    }
                    let mut nonce = [0; 18];
                    os.random.fill(&mut nonce);
                    let nonce = nonce.iter().fold(String::new(), |mut text, byte| {
                        let _ = write!(text, "{byte:02x}");
                        text
                    });
                    let begun = Scram::new(&password()?, &nonce);
                    let first = begun.first();
                    let mut answer = scram::MECHANISM.as_bytes().to_vec();
                    answer.push(0);
                    answer.extend_from_slice(&(first.len() as i32).to_be_bytes());
                    answer.extend_from_slice(first.as_bytes());
                    self.password(&answer, false)?;
                    scram = Some((begun, None));
                }
                Some(11) => {
                    let challenge = String::from_utf8_lossy(rest);
                    let Some((begun, proof)) = &mut scram else {
                        return Err(wrong("the server goes on with a log-in that was not begun"));
                    };
                    let answer = begun.answer(&challenge).map_err(wrong)?;
                    let message = answer.message.clone();
                    *proof = Some(answer);
                    self.password(message.as_bytes(), false)?;
                }
                Some(12) => {
                    let Some((_, Some(proof))) = &scram else {
                        return Err(wrong("the server ends a log-in that was not begun"));
                    };
                    proof.check(&String::from_utf8_lossy(rest)).map_err(wrong)?;
                }
                other => {
                    return Err(wrong(format!(
                        "the server wants a way to log in that is not supported (code {}); SCRAM-SHA-256, MD5 and plain \
                         passwords are",
                        other.unwrap_or(-1)
                    )));
                }
            }
        }
    }

    fn password(&mut self, answer: &[u8], ends_with_zero: bool) -> Wired<()> {
        let mut body = answer.to_vec();
        if ends_with_zero {
            body.push(0);
        }
        self.push(b'p', &body);
        self.send()
    }

    /// How long each call may take from now on.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.stream.get_mut().limited().timeout = timeout;
    }

    /// What follows may take the whole timeout.
    pub(crate) fn begin_call(&mut self) {
        self.stream.get_mut().begin_call();
    }

    /// Whether the server has said anything, after waiting for it for so long at most. What it has said stays unread.
    pub(crate) fn has_come(&mut self, wait: Duration) -> Wired<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        self.stream.get_mut().limited().begin_wait(wait);
        let come = match self.stream.fill_buf() {
            Ok([]) => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
            Ok(_) => Ok(true),
            Err(error) if has_timed_out(&error) => Ok(false),
            Err(error) => Err(error),
        };
        come.map_err(|error| {
            self.is_broken = true;
            broken(format!("cannot read from the server: {}", told(&error)))
        })
    }

    /// Prepares the statement that runs from now on; answers the columns of its rows.
    pub(crate) fn prepare(&mut self, sql: &str) -> Wired<Vec<Described>> {
        self.push(b'C', format!("S{STATEMENT}\0").as_bytes());
        self.push(b'P', format!("{STATEMENT}\0{sql}\0\0\0").as_bytes());
        self.push(b'D', format!("S{STATEMENT}\0").as_bytes());
        self.push(b'S', &[]);
        self.send()?;
        let mut columns = Vec::new();
        self.until_ready(&mut |kind, body| {
            if kind == b'T' {
                columns = described(body).ok_or_else(|| broken("a description of columns cannot be read"))?;
            }
            Ok(())
        })?;
        Ok(columns)
    }

    /// Runs the statement once for each list of parameters. `each` gets the number of the list and a row's values.
    pub(crate) fn run(&mut self, parameters: &[Vec<Option<String>>], each: Each<'_>) -> Wired<()> {
        let mut done = 0;
        while done < parameters.len() {
            let first = done;
            while done < parameters.len() && (done == first || self.request.len() < REQUEST_BYTES_MAX) {
                self.push(b'B', &bind(&parameters[done]));
                self.push(b'E', b"\0\0\0\0\0");
                done += 1;
            }
            self.push(b'S', &[]);
            self.send()?;
            let mut number = first;
            self.until_ready(&mut |kind, body| {
                match kind {
                    b'D' => {
                        let values = row(body).ok_or_else(|| broken("a row cannot be read"))?;
                        each(number, &values).map_err(wrong)?;
                    }
                    b'C' => number += 1,
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads until the server is ready for the next request; the first error is the answer.
    pub(crate) fn until_ready(&mut self, each: &mut dyn FnMut(u8, &[u8]) -> Wired<()>) -> Wired<()> {
        let mut result = Ok(());
        loop {
            let (kind, body) = match self.receive() {
                Ok(received) => received,
                // A server that closes the connection has said why.
                Err(error) => return result.and(Err(error)),
            };
            match kind {
                b'Z' => return result,
                b'E' => result = result.and(Err(server_error(&body))),
                _ if result.is_ok() => result = each(kind, &body),
                _ => {}
            }
        }
    }

    pub(crate) fn push(&mut self, kind: u8, body: &[u8]) {
        self.push_head(kind, body.len());
        self.request.extend_from_slice(body);
    }

    /// The beginning of a message whose body is put into the request next.
    pub(crate) fn push_head(&mut self, kind: u8, body_bytes: usize) {
        self.request.push(kind);
        self.request.extend_from_slice(&(body_bytes as i32 + 4).to_be_bytes());
    }

    /// What is sent next.
    pub(crate) fn request(&mut self) -> &mut Vec<u8> {
        &mut self.request
    }

    pub(crate) fn send(&mut self) -> Wired<()> {
        let stream = self.stream.get_mut();
        let sent = stream.write_all(&self.request).and_then(|()| stream.flush());
        self.request.clear();
        sent.map_err(|error| {
            self.is_broken = true;
            broken(format!("cannot write to the server: {}", told(&error)))
        })
    }

    /// Whether it cannot be used any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(super) fn receive(&mut self) -> Wired<(u8, Vec<u8>)> {
        let received = self.receive_message();
        self.is_broken |= received.is_err();
        received
    }

    fn receive_message(&mut self) -> Wired<(u8, Vec<u8>)> {
        let failed = |error: std::io::Error| broken(format!("cannot read from the server: {}", told(&error)));
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).map_err(failed)?;
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let Some(length) = length.filter(|length| *length <= MESSAGE_BYTES_MAX) else {
            return Err(broken("the server does not speak PostgreSQL's protocol"));
        };
        let mut body = Vec::new();
        // As much as comes is kept, never as much as is announced.
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut body).map_err(failed)?;
        if read < length {
            return Err(broken("the server has closed the connection"));
        }
        Ok((head[0], body))
    }
}

fn bind(parameters: &[Option<String>]) -> Vec<u8> {
    let mut body = format!("\0{STATEMENT}\0\0\0").into_bytes();
    body.extend_from_slice(&(parameters.len() as i16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(text) => {
                body.extend_from_slice(&(text.len() as i32).to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
        }
    }
    body.extend_from_slice(&[0, 0]);
    body
}

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(end)?).ok()?;
        self.take(1)?;
        Some(text)
    }
}

fn described(body: &[u8]) -> Option<Vec<Described>> {
    let mut rest = Rest(body);
    let count = rest.i16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let name = rest.text()?.to_string();
        rest.take(6)?;
        let oid = rest.i32()? as u32;
        rest.take(8)?;
        columns.push(Described { name, oid });
    }
    Some(columns)
}

pub(crate) fn row(body: &[u8]) -> Option<Vec<Option<&str>>> {
    let mut rest = Rest(body);
    let count = rest.i16()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match usize::try_from(rest.i32()?) {
            Ok(length) => Some(std::str::from_utf8(rest.take(length)?).ok()?),
            Err(_) => None,
        });
    }
    Some(values)
}

/// What a statement says of itself when it is done.
pub(crate) fn command_tag(body: &[u8]) -> String {
    Rest(body).text().unwrap_or_default().to_string()
}

/// What the server says, with the kind that tells the caller what to do.
pub(super) fn server_error(body: &[u8]) -> WireError {
    let mut rest = Rest(body);
    let (mut state, mut message) = (String::new(), String::new());
    while let Some([field]) = rest.take(1) {
        let Some(text) = rest.text() else { break };
        match field {
            b'C' => state = text.into(),
            b'M' => message = text.into(),
            _ => {}
        }
    }
    let kind = match (state.as_str(), state.get(..2)) {
        // We have sent what is no message.
        ("08P01", _) => ErrorKind::Internal,
        // Another transaction was first, or holds a lock.
        ("55P03", _) | (_, Some("40")) => ErrorKind::Retry,
        // A server that others have made read-only, say because another one is the first now.
        ("25006", _) => ErrorKind::Unavailable,
        // Connections, resources, objects in use, operators who intervene, the server's disks.
        ("55006", _) | (_, Some("08" | "53" | "57" | "58")) => ErrorKind::Unavailable,
        ("42P01" | "42703", _) | (_, Some("3D" | "3F")) => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    };
    WireError { kind, message: format!("{message} (SQLSTATE {state})"), state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_end_too_early_are_no_rows() {
        let whole = [0, 2, 0, 0, 0, 1, b'x', 255, 255, 255, 255];
        assert_eq!(row(&whole), Some(vec![Some("x"), None]));
        for length in 0..whole.len() {
            assert_eq!(row(&whole[..length]), None, "{length}");
        }
        assert_eq!(row(&[0, 1, 127, 255, 255, 255]), None);
        assert_eq!(described(&[127, 255]), None);
        let error = server_error(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.message, "the database system is starting up (SQLSTATE 57P03)");
        assert_eq!(server_error(b"C").message, " (SQLSTATE )");
    }
}
