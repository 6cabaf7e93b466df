//! The connection below a protocol: bytes in both directions, and the time since each was used.

use super::error::{Done, ServerError};
use crate::socket::{Secured, monotonic, told};
use os::Clock;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

const READ_BYTES: usize = 64 << 10;

pub(crate) struct Line {
    stream: Secured,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    /// What has come and was not taken.
    pub(crate) incoming: Vec<u8>,
    /// What is sent next.
    pub(crate) outgoing: Vec<u8>,
    /// Zero is none.
    heartbeat: Duration,
    /// When something came last, and when something was sent, by the monotonic clock.
    heard: Duration,
    spoke: Duration,
}

impl Line {
    /// A call that takes longer than `timeout` fails.
    pub(crate) fn new(stream: Secured, clock: Arc<dyn Clock>, timeout: Duration) -> Line {
        let now = monotonic(&*clock);
        let (incoming, outgoing) = (Vec::new(), Vec::new());
        Line { stream, clock, timeout, incoming, outgoing, heartbeat: Duration::ZERO, heard: now, spoke: now }
    }

    /// For another protocol below this one.
    pub(crate) fn into_stream(self) -> Secured {
        self.stream
    }

    pub(crate) fn set_heartbeat(&mut self, heartbeat: Duration) {
        self.heartbeat = heartbeat;
    }

    pub(crate) fn now(&self) -> Duration {
        monotonic(&*self.clock)
    }

    /// Until when an answer has to be there.
    pub(crate) fn answer_until(&self) -> Duration {
        self.now().saturating_add(self.timeout)
    }

    /// How long to wait for it at once, so that heartbeats go on meanwhile; an error when the time is over.
    pub(crate) fn left(&self, until: Duration) -> Done<Duration> {
        let left = until.saturating_sub(self.now());
        match self.heartbeat / 4 {
            _ if left.is_zero() => Err(ServerError::unavailable("the server has not answered in time")),
            Duration::ZERO => Ok(left),
            piece => Ok(left.min(piece)),
        }
    }

    /// Reads once; whether something came within the wait.
    pub(crate) fn receive(&mut self, wait: Duration) -> Done<bool> {
        let before = self.incoming.len();
        self.incoming.resize(before + READ_BYTES, 0);
        let read = self.stream.read_within(&mut self.incoming[before..], wait);
        self.incoming.truncate(before + read.as_ref().map_or(0, |count| count.unwrap_or(0)));
        match read {
            Ok(None) => Ok(false),
            Ok(Some(0)) => Err(ServerError::unavailable("the server has closed the connection")),
            Ok(Some(_)) => {
                self.heard = self.now();
                Ok(true)
            }
            Err(error) => {
                Err(ServerError::unavailable(format!("cannot read from the server: {}", told(&error))))
            }
        }
    }

    /// Sends all that is on its way.
    pub(crate) fn send(&mut self) -> Done<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        self.stream.begin_call();
        let sent = self.stream.write_all(&self.outgoing).and_then(|()| self.stream.flush());
        self.outgoing.clear();
        sent.map_err(|error| {
            ServerError::unavailable(format!("cannot write to the server: {}", told(&error)))
        })?;
        self.spoke = self.now();
        Ok(())
    }

    /// Whether it is time to send a heartbeat; an error when none has come for too long. While nothing is read (`is_deaf`),
    /// nothing can be heard.
    pub(crate) fn beat(&mut self, is_deaf: bool) -> Done<bool> {
        if self.heartbeat.is_zero() {
            return Ok(false);
        }
        let now = self.now();
        if is_deaf {
            self.heard = now;
        }
        if now.saturating_sub(self.heard) > self.heartbeat * 2 {
            return Err(ServerError::unavailable("the server has sent no heartbeat for two intervals"));
        }
        Ok(now.saturating_sub(self.spoke) >= self.heartbeat / 2)
    }
}
