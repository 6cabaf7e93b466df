//! The part of PostgreSQL's protocol (3.0) that we need: connect, prepare a statement, run it for many keys.
//!
//! All values travel as text, in the forms of the ISO date style, UTC and UTF-8, which are asked for when the connection
//! begins. A call as a whole has a timeout, however slowly the server sends. With TLS the server proves its name before
//! anything is said.

use crate::message::{Described, Rest, described, row, server_error};
use crate::scram::{self, Scram};
use crate::{Address, Wired, broken, wrong};
use auth::socket::{Limited, Secured, has_timed_out, told};
use auth::tls::ClientStream;
use md5::{Digest, Md5};
use os::Os;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const VERSION: i32 = 3 << 16;
/// In place of a version: a statement of another connection is to end.
const CANCEL: i32 = 80_877_102;
/// A longer message is a mistake.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Requests that are on their way at once: they fit into the buffers of a connection, so that neither side waits for the
/// other to read.
const REQUEST_BYTES_MAX: usize = 32 << 10;
const STATEMENT: &str = "q";

/// Gets the number of the parameters that a row was found for, and its values.
type Each<'a> = &'a mut dyn FnMut(usize, &[Option<&str>]) -> Result<(), String>;

/// The request for TLS, which the server answers with one byte.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A session on a server.
pub struct Connection {
    stream: BufReader<Secured>,
    request: Vec<u8>,
    is_broken: bool,
    cancel_key: Option<CancelKey>,
}

/// The stream under TLS, if the server speaks it and is who it should be.
fn secured(mut stream: Limited, authorities: &Path, address: &Address) -> Wired<Secured> {
    let host = address.host.as_str();
    let failed = |error: std::io::Error| broken(format!("TLS with the server failed: {}", told(&error)));
    let config = auth::tls::client_of_web(authorities).map_err(wrong)?;
    stream.write_all(&TLS_REQUEST).map_err(failed)?;
    // One byte and no more: what an attacker sends behind it must not count as the server's (CVE-2021-23222).
    let mut answer = [0];
    stream.read_exact(&mut answer).map_err(failed)?;
    match answer {
        [b'S'] => {}
        [b'N'] => return Err(wrong(format!("the server speaks no TLS, and {}", address.options.tls))),
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

/// A stream to the server, under TLS where the address wants it.
fn reached(os: &Os, address: &Address, timeout: Duration) -> Wired<Secured> {
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
    match &address.authorities {
        None => Ok(Secured::Plain(stream)),
        Some(authorities) => secured(stream, authorities, address),
    }
}

/// What the server knows a session by, for whoever wants to cancel its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelKey {
    process: u32,
    secret: u32,
}

/// Asks the server to end the statement that the session of this key runs. It says nothing to that.
pub fn cancel(os: &Os, address: &Address, key: CancelKey, timeout: Duration) -> Wired<()> {
    let mut stream = reached(os, address, timeout)?;
    let mut packet = vec![0, 0, 0, 16];
    packet.extend_from_slice(&CANCEL.to_be_bytes());
    packet.extend_from_slice(&key.process.to_be_bytes());
    packet.extend_from_slice(&key.secret.to_be_bytes());
    let sent = stream.write_all(&packet).and_then(|()| stream.flush());
    sent.map_err(|error| broken(format!("cannot write to the server: {}", told(&error))))?;
    // The server closes the connection when it has done it: what follows is not cancelled by mistake.
    match stream.read(&mut [0]) {
        Err(error) if has_timed_out(&error) => Err(broken("the server does not say that it has cancelled")),
        _ => Ok(()),
    }
}

impl Connection {
    /// `settings` are those of the session.
    pub fn open(
        os: &Os,
        address: &Address,
        timeout: Duration,
        settings: &[(&str, &str)],
    ) -> Wired<Connection> {
        let stream = reached(os, address, timeout)?;
        let mut connection = Connection {
            stream: BufReader::new(stream),
            request: Vec::new(),
            is_broken: false,
            cancel_key: None,
        };
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
            let missing = || wrong(format!("the server wants a password: set {}", address.options.password));
            let given = address.password.as_deref().ok_or_else(missing)?;
            auth::secrets::resolved(given)
                .map_err(|error| wrong(format!("{}: {error}", address.options.password)))
        };
        let mut scram: Option<(Scram, Option<scram::Proof>)> = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'R' => {}
                b'E' => return Err(server_error(&body)),
                b'Z' => return Ok(()),
                b'K' => {
                    let mut rest = Rest(&body);
                    let (process, secret) = (rest.i32(), rest.i32());
                    self.cancel_key = process.zip(secret).map(|(process, secret)| CancelKey {
                        process: process as u32,
                        secret: secret as u32,
                    });
                    continue;
                }
                // Settings, notices.
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
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream.get_mut().limited().timeout = timeout;
    }

    /// What follows may take the whole timeout.
    pub fn begin_call(&mut self) {
        self.stream.get_mut().begin_call();
    }

    /// Whether the server has said anything, after waiting for it for so long at most. What it has said stays unread.
    pub fn has_come(&mut self, wait: Duration) -> Wired<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        self.stream.get_mut().limited().begin_wait(wait);
        let come = match self.stream.fill_buf() {
            Ok([]) => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
            Ok(_) => Ok(true),
            // A signal says nothing of the server; a read with a time-out does not go on after one by itself.
            Err(error) if has_timed_out(&error) || error.kind() == std::io::ErrorKind::Interrupted => {
                Ok(false)
            }
            Err(error) => Err(error),
        };
        come.map_err(|error| {
            self.is_broken = true;
            broken(format!("cannot read from the server: {}", told(&error)))
        })
    }

    /// Prepares the statement that runs from now on; answers the columns of its rows.
    pub fn prepare(&mut self, sql: &str) -> Wired<Vec<Described>> {
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
    pub fn run(&mut self, parameters: &[Vec<Option<String>>], each: Each<'_>) -> Wired<()> {
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
    pub fn until_ready(&mut self, each: &mut dyn FnMut(u8, &[u8]) -> Wired<()>) -> Wired<()> {
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

    pub fn push(&mut self, kind: u8, body: &[u8]) {
        self.push_head(kind, body.len());
        self.request.extend_from_slice(body);
    }

    /// The beginning of a message whose body is put into the request next.
    pub fn push_head(&mut self, kind: u8, body_bytes: usize) {
        self.request.push(kind);
        self.request.extend_from_slice(&(body_bytes as i32 + 4).to_be_bytes());
    }

    /// What is sent next.
    pub fn request(&mut self) -> &mut Vec<u8> {
        &mut self.request
    }

    pub fn send(&mut self) -> Wired<()> {
        let stream = self.stream.get_mut();
        let sent = stream.write_all(&self.request).and_then(|()| stream.flush());
        self.request.clear();
        sent.map_err(|error| {
            self.is_broken = true;
            broken(format!("cannot write to the server: {}", told(&error)))
        })
    }

    /// What [`cancel`] takes; none of a server that cannot do it.
    pub fn cancel_key(&self) -> Option<CancelKey> {
        self.cancel_key
    }

    /// Whether it cannot be used any more.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The next message: its kind and its body.
    pub fn receive(&mut self) -> Wired<(u8, Vec<u8>)> {
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
