//! A connection: the handshake, packets in both directions, and how long they may take.
//!
//! A packet holds up to 16 MB; a longer message goes on in the next one. A call as a whole has a timeout, however slowly
//! the server sends. With TLS the server proves its name before anything but its greeting is heeded.

use crate::message::{Greeting, capability, greeting, server_error};
use crate::{Address, Wired, broken, login, wrong};
use auth::socket::{Limited, Secured, has_timed_out, told};
use os::Os;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// A longer message is a mistake.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// A packet of so many bytes is followed by another one of the same message.
const PACKET_BYTES_MAX: usize = (1 << 24) - 1;
/// `utf8mb4_general_ci`, which all servers know.
const COLLATION: u8 = 45;
/// A server asks for another way to log in once; more rounds are a mistake.
const LOGIN_ROUNDS_MAX: usize = 8;

const WANTED: u32 = capability::LONG_PASSWORD
    | capability::FOUND_ROWS
    | capability::LONG_FLAG
    | capability::PROTOCOL_41
    | capability::TRANSACTIONS
    | capability::SECURE_CONNECTION
    | capability::MULTI_STATEMENTS
    | capability::MULTI_RESULTS
    | capability::PLUGIN_AUTH;

/// What every session is told: texts in UTF-8, times in UTC, nothing that does not fit is cut off, a backslash is one, and a
/// zero is no wish for the next number.
const SETTINGS: &str = "SET character_set_client = utf8mb4, character_set_connection = utf8mb4, \
     character_set_results = utf8mb4, time_zone = '+00:00', autocommit = 1, \
     sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION,\
     NO_AUTO_VALUE_ON_ZERO'";

/// A session on a server.
pub struct Connection {
    stream: BufReader<Secured>,
    /// Of the next packet.
    sequence: u8,
    is_broken: bool,
    version: String,
}

impl Connection {
    pub fn open(os: &Os, address: &Address, timeout: Duration) -> Wired<Connection> {
        let mut connection = Connection::reach(os, address, timeout)?;
        connection.query(SETTINGS)?;
        Ok(connection)
    }

    /// Connects and logs in.
    fn reach(os: &Os, address: &Address, timeout: Duration) -> Wired<Connection> {
        let Address { host, port, .. } = address;
        let stream = Limited::connect(os, (host, *port), timeout).map_err(|error| {
            let message = format!("cannot connect to {host}:{port}: {error}");
            match error.kind() {
                // An address that nothing connects to.
                io::ErrorKind::PermissionDenied => wrong(message),
                _ => broken(format!("{message}; look whether the server runs there")),
            }
        })?;
        let mut stream = Secured::Plain(stream);
        // Without a buffer: what an attacker sends behind the greeting must not count as the server's.
        let mut sequence = 0;
        let body = receive(&mut stream, &mut sequence, MESSAGE_BYTES_MAX)?;
        if body.first() == Some(&0xff) {
            return Err(server_error(&body));
        }
        let greeted = greeting(&body).ok_or_else(|| broken("the server does not speak MySQL's protocol"))?;
        let wanted = capabilities(address, &greeted)?;
        if let Some(authorities) = &address.authorities {
            send(&mut stream, &mut sequence, &head(wanted))?;
            let config = auth::tls::client_of_web(authorities).map_err(wrong)?;
            stream = stream.secured(Arc::new(config), host).map_err(|error| match error.kind() {
                // Trying again does not help.
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    wrong(format!("TLS with the server failed: {error}"))
                }
                _ => broken(format!("TLS with the server failed: {}", told(&error))),
            })?;
        }
        let version = greeted.version.clone();
        let mut connection =
            Connection { stream: BufReader::new(stream), sequence, is_broken: false, version };
        connection.log_in(address, greeted, wanted)?;
        Ok(connection)
    }

    fn log_in(&mut self, address: &Address, greeted: Greeting, wanted: u32) -> Wired<()> {
        let is_secured = address.authorities.is_some();
        let password = login::password(address)?;
        let password = password.as_bytes();
        let (mut plugin, mut nonce) = (greeted.plugin, greeted.nonce);
        let first = login::proof(&plugin, password, &nonce, is_secured);
        // With a way that we do not know, or that may not be gone, the server is told another, and asks again.
        let first = match first {
            Some(proof) if plugin != login::CLEAR => proof,
            _ => {
                plugin = login::NATIVE.into();
                login::proof(&plugin, password, &nonce, is_secured).unwrap_or_default()
            }
        };
        let mut body = head(wanted);
        body.extend_from_slice(address.user.as_bytes());
        body.push(0);
        body.push(first.len() as u8);
        body.extend_from_slice(&first);
        if let Some(database) = &address.database {
            body.extend_from_slice(database.as_bytes());
            body.push(0);
        }
        body.extend_from_slice(plugin.as_bytes());
        body.push(0);
        self.send(&body)?;
        for _ in 0..LOGIN_ROUNDS_MAX {
            let body = self.receive()?;
            match body.split_first() {
                Some((0, _)) => return Ok(()),
                Some((0xff, _)) => return Err(server_error(&body)),
                Some((0xfe, asked)) => {
                    let end = asked.iter().position(|byte| *byte == 0).unwrap_or(asked.len());
                    plugin = String::from_utf8_lossy(&asked[..end]).into_owned();
                    let given = asked.get(end + 1..).unwrap_or_default();
                    nonce = given.strip_suffix(&[0]).unwrap_or(given).to_vec();
                    let proof = login::proof(&plugin, password, &nonce, is_secured);
                    self.send(&proof.ok_or_else(|| login::unknown(&plugin, address))?)?;
                }
                // The server remembers the password, and will say that all is well.
                Some((1, [3])) if plugin == login::CACHING => {}
                Some((1, [4])) if plugin == login::CACHING => {
                    if !is_secured {
                        return Err(wrong(format!(
                            "the server does not remember the password of this user, and wants it in clear, which needs {}",
                            address.options.tls
                        )));
                    }
                    self.send(&login::clear(password))?;
                }
                _ => return Err(broken("the server does not speak MySQL's protocol")),
            }
        }
        Err(broken("the server goes on asking who we are"))
    }

    /// As the server says it, without what MariaDB puts before it for the sake of old replicas.
    pub fn version(&self) -> &str {
        self.version.strip_prefix("5.5.5-").unwrap_or(&self.version)
    }

    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// How long each call may take from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream.get_mut().limited().timeout = timeout;
    }

    /// What follows may take the whole timeout.
    pub fn begin_call(&mut self) {
        self.stream.get_mut().begin_call();
    }

    /// Whether it cannot be used any more.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether the server has said anything, after waiting for it for so long at most. What it has said stays unread.
    pub fn has_come(&mut self, wait: Duration) -> Wired<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        self.stream.get_mut().limited().begin_wait(wait);
        let come = match self.stream.fill_buf() {
            Ok([]) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            // A signal says nothing of the server; a read with a time-out does not go on after one by itself.
            Err(error) if has_timed_out(&error) || error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        };
        come.map_err(|error| {
            self.is_broken = true;
            broken(format!("cannot read from the server: {}", told(&error)))
        })
    }

    /// Begins a command, which takes the whole timeout.
    pub fn command(&mut self, kind: u8, body: &[u8]) -> Wired<()> {
        self.begin_call();
        self.sequence = 0;
        self.send(&[&[kind], body].concat())
    }

    pub(crate) fn send(&mut self, body: &[u8]) -> Wired<()> {
        let sent = send(self.stream.get_mut(), &mut self.sequence, body);
        self.is_broken |= sent.is_err();
        sent
    }

    /// The next message.
    pub fn receive(&mut self) -> Wired<Vec<u8>> {
        let received = receive(&mut self.stream, &mut self.sequence, MESSAGE_BYTES_MAX);
        self.is_broken |= received.is_err();
        received
    }

    pub(crate) fn unreadable(&mut self, what: &str) -> crate::WireError {
        self.is_broken = true;
        broken(format!("{what} of the server cannot be read"))
    }
}

/// What we ask for, if the server has it.
fn capabilities(address: &Address, greeted: &Greeting) -> Wired<u32> {
    let needed = capability::PROTOCOL_41 | capability::PLUGIN_AUTH | capability::SECURE_CONNECTION;
    if greeted.capabilities & needed != needed {
        return Err(wrong(format!(
            "the server {} is too old; it must be a MySQL 5.6 or a MariaDB 10, or younger",
            greeted.version
        )));
    }
    let mut wanted = WANTED;
    if address.database.is_some() {
        wanted |= capability::CONNECT_WITH_DB;
    }
    if address.authorities.is_some() {
        if greeted.capabilities & capability::SSL == 0 {
            return Err(wrong(format!("the server speaks no TLS, and {}", address.options.tls)));
        }
        wanted |= capability::SSL;
    }
    Ok(wanted)
}

/// How an answer to the greeting begins; under TLS it is said alone before.
fn head(capabilities: u32) -> Vec<u8> {
    let mut body = capabilities.to_le_bytes().to_vec();
    body.extend_from_slice(&(1u32 << 30).to_le_bytes());
    body.push(COLLATION);
    body.extend_from_slice(&[0; 23]);
    body
}

fn send(stream: &mut impl Write, sequence: &mut u8, body: &[u8]) -> Wired<()> {
    let mut out = Vec::with_capacity(body.len() + 4);
    let mut rest = body;
    loop {
        let (packet, left) = rest.split_at(rest.len().min(PACKET_BYTES_MAX));
        out.extend_from_slice(&(packet.len() as u32).to_le_bytes()[..3]);
        out.push(*sequence);
        out.extend_from_slice(packet);
        *sequence = sequence.wrapping_add(1);
        rest = left;
        if packet.len() < PACKET_BYTES_MAX {
            break;
        }
    }
    let sent = stream.write_all(&out).and_then(|()| stream.flush());
    sent.map_err(|error| broken(format!("cannot write to the server: {}", told(&error))))
}

fn receive(stream: &mut impl Read, sequence: &mut u8, bytes_max: usize) -> Wired<Vec<u8>> {
    let failed = |error: io::Error| broken(format!("cannot read from the server: {}", told(&error)));
    let mut body = Vec::new();
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head).map_err(failed)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        if head[3] != *sequence {
            return Err(broken("the server does not speak MySQL's protocol"));
        }
        if body.len() + length > bytes_max {
            // It would be as large the next time.
            return Err(wrong(format!(
                "the server sends a message of more than {bytes_max} bytes, which is the most that is read; make rows smaller"
            )));
        }
        *sequence = sequence.wrapping_add(1);
        // As much as comes is kept, never as much as is announced.
        let read = stream.by_ref().take(length as u64).read_to_end(&mut body).map_err(failed)?;
        if read < length {
            return Err(broken("the server has closed the connection"));
        }
        if length < PACKET_BYTES_MAX {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests;
