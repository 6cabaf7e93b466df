//! The connection below a protocol: bytes in both directions, and the time since each was used.

use super::error::{Done, ServerError};
use auth::socket::{Secured, monotonic, told};
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
    /// Something has to come within this time, and something has to be sent within the other. Zero is none.
    heartbeat: Duration,
    beats_within: Duration,
    /// When something came last, and when something was sent, by the monotonic clock.
    heard: Duration,
    spoke: Duration,
}

impl Line {
    /// A call that takes longer than `timeout` fails.
    pub(crate) fn new(stream: Secured, clock: Arc<dyn Clock>, timeout: Duration) -> Line {
        let now = monotonic(&*clock);
        let (incoming, outgoing) = (Vec::new(), Vec::new());
        let (heartbeat, beats_within) = (Duration::ZERO, Duration::ZERO);
        Line { stream, clock, timeout, incoming, outgoing, heartbeat, beats_within, heard: now, spoke: now }
    }

    /// For another protocol below this one.
    pub(crate) fn into_stream(self) -> Secured {
        self.stream
    }

    pub(crate) fn set_heartbeat(&mut self, heartbeat: Duration) {
        self.set_heartbeats(heartbeat, heartbeat);
    }

    /// Where each side has an interval of its own: the other side's heartbeats, and ours.
    pub(crate) fn set_heartbeats(&mut self, theirs: Duration, ours: Duration) {
        (self.heartbeat, self.beats_within) = (theirs, ours);
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
        if left.is_zero() {
            return Err(ServerError::unavailable("the server has not answered in time"));
        }
        let beats = [self.heartbeat, self.beats_within].into_iter().filter(|interval| !interval.is_zero());
        Ok(beats.fold(left, |left, interval| left.min(interval / 4)))
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
        let now = self.now();
        if is_deaf {
            self.heard = now;
        }
        if !self.heartbeat.is_zero() && now.saturating_sub(self.heard) > self.heartbeat * 2 {
            return Err(ServerError::unavailable("the server has sent no heartbeat for two intervals"));
        }
        Ok(!self.beats_within.is_zero() && now.saturating_sub(self.spoke) >= self.beats_within / 2)
    }
}
