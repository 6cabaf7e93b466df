//! How a connection begins: the log-in by SASL, what both sides agree on, and a session.

use super::{Connection, FRAME_BYTES_MAX};
use crate::amqp::frames;
use crate::amqp::performatives::{self as performative, WINDOW};
use crate::amqp::values::Writer;
use crate::messages::{Credentials, Done, ServerError};
use std::time::Duration;

const HEADER_BYTES: usize = 8;
/// What a protocol header begins with; then come the protocol and its version.
const NAME: &[u8] = b"AMQP";
const PROTOCOL: [u8; 4] = [0, 1, 0, 0];
const SASL_PROTOCOL: [u8; 4] = [3, 1, 0, 0];
/// Of RabbitMQ's first protocol.
const OLD_PROTOCOL: [u8; 4] = [0, 0, 9, 1];

/// The least that the specification allows.
const FRAME_BYTES_MIN: usize = 512;

/// How somebody logs in.
pub(in crate::amqp) struct Login<'a> {
    pub mechanism: &'a str,
    /// What the connection is called; a server may take it for the name of a client whose subscriptions it keeps.
    pub container: &'a str,
    /// Zero is none.
    pub heartbeat: Duration,
}

impl Connection {
    pub(super) fn log_in(&mut self, credentials: &Credentials<'_>, login: &Login<'_>) -> Done<()> {
        self.agree(SASL_PROTOCOL)?;
        let offered = self.answer(performative::SASL_MECHANISMS)?;
        let offered = offered.texts(0);
        if !offered.contains(&login.mechanism) {
            return Err(ServerError::invalid(format!(
                "the server does not offer to log in by {}; it offers {}: see 'auth-mechanism'",
                login.mechanism,
                offered.join(", ")
            )));
        }
        let (user, password) = (credentials.user.unwrap_or(""), credentials.password.unwrap_or(""));
        let response = match login.mechanism {
            "PLAIN" => format!("\0{user}\0{password}").into_bytes(),
            "ANONYMOUS" => login.container.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        self.put(frames::SASL, performative::SASL_INIT, |out| {
            out.symbol(login.mechanism).binary(&response).string(credentials.host);
        });
        self.flush()?;
        let (code, outcome) = self.answer_of(&[performative::SASL_OUTCOME, performative::SASL_CHALLENGE])?;
        if code == performative::SASL_CHALLENGE {
            return Err(ServerError::invalid("the server wants a second step to log in"));
        }
        match outcome.u32(0) {
            Some(0) => self.agree(PROTOCOL),
            Some(1) => Err(credentials.refused(format!("SASL {} failed", login.mechanism))),
            Some(2 | 3) => {
                Err(ServerError::invalid("the server cannot log anybody in: it says a system error"))
            }
            _ => Err(ServerError::unavailable("the server could not log us in now")),
        }
    }

    /// Says which protocol comes now, and hears the same.
    fn agree(&mut self, protocol: [u8; 4]) -> Done<()> {
        self.line.outgoing.extend_from_slice(&[NAME, &protocol].concat());
        self.flush()?;
        let until = self.line.answer_until();
        while self.line.incoming.len() < HEADER_BYTES {
            let left = self.line.left(until)?;
            self.line.receive(left)?;
        }
        let header: Vec<u8> = self.line.incoming.drain(..HEADER_BYTES).collect();
        match header.strip_prefix(NAME) {
            Some(answer) if *answer == protocol => Ok(()),
            Some(answer) if *answer == OLD_PROTOCOL => Err(ServerError::invalid(
                "the server speaks AMQP 0-9-1 and not 1.0; the queues of a RabbitMQ are tables with 'connector' = 'rabbitmq'",
            )),
            Some(_) => {
                Err(ServerError::malformed("it wants another version of AMQP, or another way to log in"))
            }
            None => Err(ServerError::malformed("its first bytes are not AMQP; is it the right port?")),
        }
    }

    /// Opens the connection, and begins its session.
    pub(super) fn begin(&mut self, credentials: &Credentials<'_>, login: &Login<'_>) -> Done<()> {
        let heartbeat_ms = u32::try_from(login.heartbeat.as_millis()).unwrap_or(u32::MAX);
        let heartbeat_ms = Some(heartbeat_ms).filter(|ms| *ms > 0);
        self.put(frames::AMQP, performative::OPEN, |out| {
            out.string(login.container).string(credentials.host).uint(FRAME_BYTES_MAX as u32).ushort(0);
            out.or_null(heartbeat_ms, Writer::uint).null().null().null().null();
            out.map(|properties| {
                properties.symbol("product").string("eventwright");
                properties.symbol("version").string(env!("CARGO_PKG_VERSION"));
            });
        });
        self.flush()?;
        self.is_open = true;
        let open = self.answer(performative::OPEN)?;
        let wanted = open.u32(2).map_or(usize::MAX, |bytes| bytes as usize);
        self.frame_bytes_max = wanted.clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX);
        let theirs = Duration::from_millis(open.u32(4).unwrap_or(0).into());
        self.line.set_heartbeats(login.heartbeat, theirs);
        let property = |name: &str| open.property(9, name).unwrap_or_default().to_string();
        self.product = property("product");
        (self.queue_prefix, self.topic_prefix) = (property("queue-prefix"), property("topic-prefix"));
        self.put(frames::AMQP, performative::BEGIN, |out| {
            out.null().uint(0).uint(WINDOW).uint(WINDOW).uint(0);
        });
        self.flush()?;
        let begin = self.answer(performative::BEGIN)?;
        self.next_incoming_id = begin.wanted_u32(1)?;
        self.remote_window = begin.wanted_u32(2)?;
        Ok(())
    }
}
