//! One request on its way through the broker, and what can become of it.
//!
//! A handler answers at once, or says what it waits for and how to go on. It reads no clock and
//! blocks on nothing but the log's append: the edge (a socket server, or a test) waits, and resumes
//! with the time of then.

use crate::broker::Broker;
use crate::group::Reply;
use crate::quotas::{Meter, Mute};
use crate::security::{Access, Session};
use crate::share::bell::Bell;
use crate::tickets::Awaited;
use base::{Lsn, PartitionId};
use bytes::Bytes;
use eventlog::Seen;
use kafka_wire::header::{ResponseFrame, encode_response};
use kafka_wire::{ApiKey, Message};
use std::sync::Arc;

/// The two times of a request. Records are stamped with the wall clock, which may jump; time-outs run
/// on the monotonic one, which may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub wall_ms: i64,
    pub monotonic_ms: i64,
}

impl Now {
    pub fn of(clock: &dyn os::Clock) -> Now {
        let monotonic_ms = i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX);
        Now { wall_ms: clock.now_ms(), monotonic_ms }
    }
}

/// The connection a request came over, as far as answers depend on it.
#[derive(Clone)]
pub struct Peer {
    /// What Metadata gives back as the node's address: `advertised.listeners`, or where the client reached us.
    pub advertised_host: String,
    pub advertised_port: u16,
    /// The client's address.
    pub host: String,
    /// Who the client is.
    pub session: Arc<Session>,
    /// Until when no request is taken from it.
    pub mute: Arc<Mute>,
}

impl Peer {
    /// Tells the connection from all others that are open.
    pub fn connection(&self) -> u64 {
        // Every connection has a session of its own, which lives as long as it does.
        Arc::as_ptr(&self.session).addr() as u64
    }
}

/// What a handler knows about the request besides its body.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub broker: &'a Broker,
    pub peer: &'a Peer,
    pub(crate) access: &'a Access,
    pub client_id: &'a str,
    /// What counts for the client's quotas; `None` where nobody has any.
    pub(crate) meter: Option<&'a Meter>,
    pub reply_to: ReplyTo,
    pub now: Now,
}

impl Call<'_> {
    pub fn version(&self) -> i16 {
        self.reply_to.version
    }

    /// Goes on among those who append: a request of an API that otherwise waits for nothing.
    pub(crate) fn appending(&self, go_on: impl FnOnce(&Call<'_>) -> Outcome + Send + 'static) -> Outcome {
        let Call { reply_to, now, .. } = *self;
        let (peer, access, client_id) = (self.peer.clone(), self.access.clone(), self.client_id.to_string());
        let meter = self.meter.cloned();
        Outcome::wait(Until::Append, None, move |broker, _, _| {
            let (peer, access, client_id, meter) = (&peer, &access, &*client_id, meter.as_ref());
            go_on(&Call { broker, peer, access, client_id, meter, reply_to, now })
        })
    }

    /// The finished answer.
    pub fn reply<M: Message>(&self, message: &M) -> Outcome {
        self.reply_to.encode(self.broker, message)
    }
}

/// All that an answer's frame takes from its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
}

impl ReplyTo {
    pub fn encode<M: Message>(&self, broker: &Broker, message: &M) -> Outcome {
        message.errors(&mut |code| broker.counters.told(self.api, code));
        match encode_response(message, self.api, self.version, self.correlation_id) {
            Ok(frame) => Outcome::Reply(frame),
            Err(error) => Outcome::Close(format!("cannot encode {}: {error}", M::NAME)),
        }
    }
}

pub enum Outcome {
    Reply(ResponseFrame),
    /// Nothing is sent (acks=0).
    Silent,
    /// Not yet.
    Wait(Wait),
    /// The connection cannot go on; why, for the log.
    Close(String),
    /// The last answer of the connection, which is closed then.
    Last(Vec<Bytes>, String),
}

/// An answer that has to wait.
pub struct Wait {
    pub until: Until,
    /// When to resume at the latest, in monotonic time; `None` = wait as long as it takes.
    pub deadline_ms: Option<i64>,
    pub resume: Resume,
}

/// Goes on with the request; the time is the monotonic one of the resumption.
pub type Resume = Box<dyn FnOnce(&Broker, i64, Woken) -> Outcome + Send>;

/// Why a waiting request goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// What it waited for has come about (or may have).
    Ready,
    /// The coordinator's answer.
    Reply(Reply),
    Deadline,
}

pub enum Until {
    /// Nothing but the deadline.
    Deadline,
    /// The answer's turn to be sent has come: work whose result is large is put off until then.
    Turn,
    /// A place among those who append: what need not append has been done.
    Append,
    /// The memory for answers has room for so many bytes of records.
    Room(usize),
    /// The log is durable up to here, or fenced.
    Durable(Lsn),
    /// The log is shipped up to here, or fenced.
    Shipped(Lsn),
    /// The log can be seen beyond `seen`, and that moved one of these partitions.
    Data { seen: Seen, partitions: Vec<PartitionId> },
    /// The same, or the bell of a share group rings: records have become ready again.
    Ready { seen: Seen, partitions: Vec<PartitionId>, bell: Bell, rung: u64 },
    /// The group coordinator's answer.
    Answer(Awaited),
}

impl Outcome {
    /// Closes the connection behind the answer.
    pub(crate) fn then_close(self, reason: String) -> Outcome {
        match self {
            Outcome::Reply(frame) => Outcome::Last(frame.chunks, reason),
            other => other,
        }
    }

    pub fn wait(
        until: Until,
        deadline_ms: Option<i64>,
        resume: impl FnOnce(&Broker, i64, Woken) -> Outcome + Send + 'static,
    ) -> Outcome {
        Outcome::Wait(Wait { until, deadline_ms, resume: Box::new(resume) })
    }
}
