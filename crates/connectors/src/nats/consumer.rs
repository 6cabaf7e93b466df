//! A consumer of a stream, and the messages that are pulled from it.

use super::connection::{Connection, PLACED};
use super::frames::Message;
use crate::messages::{Done, MESSAGE_BYTES_MAX, ServerError};
use base::ErrorKind;
use serde_json::{Value, json};
use std::time::Duration;

/// Messages and bytes of one pull.
const BATCH: u64 = 1000;
const BATCH_BYTES: usize = 8 << 20;
/// What a message may have around it in a pull.
const ENVELOPE_BYTES: usize = 64 << 10;
/// How long a pull waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
const PULLED: &str = "p";
/// So long the server keeps a consumer of ours that nobody pulls from.
const INACTIVE: Duration = Duration::from_secs(60);

pub(super) struct Consumer {
    stream: String,
    name: String,
    pull: Option<Pull>,
    pulls: u64,
    /// Messages that came of the pull before, and a word that the next would have been too long.
    too_long: bool,
}

struct Pull {
    token: String,
    left: u64,
    came: u64,
    /// When the server must have ended it.
    until: Duration,
}

/// What stands in the subject by which a message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub deliveries: u64,
    pub sequence: u64,
    /// In the order of the consumer, without gaps.
    pub consumed: u64,
    pub timestamp_ns: u64,
    /// Messages that follow.
    pub pending: u64,
}

impl Place {
    /// `$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.CONSUMED.TIMESTAMP.PENDING`, or the same with domain and account in
    /// front and more behind (ADR-15 of NATS).
    pub(super) fn parse(subject: &str) -> Option<Place> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let tokens = match tokens.len() {
            9 => &tokens[4..],
            11.. => &tokens[6..],
            _ => return None,
        };
        let number = |index: usize| tokens.get(index)?.parse().ok();
        let place = Place {
            deliveries: number(0)?,
            sequence: number(1)?,
            consumed: number(2)?,
            timestamp_ns: number(3)?,
            pending: number(4)?,
        };
        subject.starts_with(PLACED).then_some(place)
    }
}

impl Consumer {
    /// One that nobody else has, which acknowledges nothing.
    pub(super) fn make(
        connection: &mut Connection,
        stream: &str,
        start: (&str, Value),
        filter: Option<&str>,
        headers_only: bool,
    ) -> Done<Consumer> {
        let (policy, from) = start;
        let mut config = json!({
            "deliver_policy": policy, "ack_policy": "none", "replay_policy": "instant", "max_deliver": -1,
            "inactive_threshold": nanoseconds(INACTIVE), "mem_storage": true, "num_replicas": 1,
            "headers_only": headers_only,
        });
        if let Some(filter) = filter {
            config["filter_subject"] = filter.into();
        }
        match policy {
            "by_start_sequence" => config["opt_start_seq"] = from,
            "by_start_time" => config["opt_start_time"] = from,
            _ => {}
        }
        let request = json!({"stream_name": stream, "config": config});
        let answer = connection.ask(&format!("CONSUMER.CREATE.{stream}"), &request)?;
        let name =
            answer["name"].as_str().ok_or_else(|| ServerError::malformed("a consumer without a name"))?;
        Ok(Consumer::of(stream, name))
    }

    pub(super) fn of(stream: &str, name: &str) -> Consumer {
        Consumer { stream: stream.into(), name: name.into(), pull: None, pulls: 0, too_long: false }
    }

    /// The next message, and where it lies.
    pub(super) fn take(
        &mut self,
        connection: &mut Connection,
        wait: Duration,
    ) -> Done<Option<(Place, Message)>> {
        loop {
            let now = connection.now();
            if self.pull.as_ref().is_none_or(|pull| pull.left == 0 || pull.until < now) {
                self.pull(connection, false)?;
            }
            let Some(message) = connection.take(wait)? else { return Ok(None) };
            if let Some(taken) = self.of_pull(message)? {
                return Ok(Some(taken));
            }
        }
    }

    /// Shows all messages that are there now, up to a sequence.
    pub(super) fn each_up_to(
        &mut self,
        connection: &mut Connection,
        last: u64,
        timeout: Duration,
        mut each: impl FnMut(&Message),
    ) -> Done<()> {
        loop {
            self.pull(connection, true)?;
            while self.pull.as_ref().is_some_and(|pull| pull.left > 0) {
                let Some(message) = connection.take(timeout)? else {
                    return Err(ServerError::unavailable("the server has not answered in time"));
                };
                if let Some((place, message)) = self.of_pull(message)? {
                    each(&message);
                    if place.sequence >= last || place.pending == 0 {
                        return Ok(());
                    }
                }
            }
            // A pull that ends early has met the end.
            if self.pull.as_ref().is_none_or(|pull| pull.came < BATCH) {
                return Ok(());
            }
        }
    }

    /// Whether everything that there is for it has come, which is so many messages.
    pub(super) fn has_delivered(&self, connection: &mut Connection, count: u64) -> Done<bool> {
        let about = connection.ask(&format!("CONSUMER.INFO.{}.{}", self.stream, self.name), &Value::Null)?;
        Ok(about["num_pending"] == 0 && about["delivered"]["consumer_seq"] == count)
    }

    fn pull(&mut self, connection: &mut Connection, at_once: bool) -> Done<()> {
        self.pulls += 1;
        let token = format!("{PULLED}{}", self.pulls);
        let bytes = BATCH_BYTES.max(connection.payload_bytes_max + ENVELOPE_BYTES);
        let request = if at_once {
            json!({"batch": BATCH, "no_wait": true})
        } else {
            json!({"batch": BATCH, "max_bytes": bytes, "expires": nanoseconds(EXPIRES)})
        };
        connection.pull(&self.stream, &self.name, &token, &request)?;
        let until = connection.now() + EXPIRES + EXPIRES / 2;
        self.pull = Some(Pull { token, left: BATCH, came: 0, until });
        Ok(())
    }

    /// A message of the pull; what the server says of the pull itself is noted.
    fn of_pull(&mut self, message: Message) -> Done<Option<(Place, Message)>> {
        let Some(token) = message.pulled() else { return Ok(None) };
        let Some(pull) = &mut self.pull else { return Ok(None) };
        let Some((code, words)) = message.status.as_ref().filter(|_| message.is_word()) else {
            pull.left = pull.left.saturating_sub(1);
            pull.came += 1;
            self.too_long = false;
            return placed(message).map(Some);
        };
        if token != pull.token {
            // The end of an older one.
            return Ok(None);
        }
        match code {
            100 => {}
            404 | 408 => pull.left = 0,
            409 if words.contains("MaxBytes") => {
                if self.too_long && pull.came == 0 {
                    let message = format!(
                        "the next message of stream={} is longer than the server takes now",
                        self.stream
                    );
                    return Err(ServerError::invalid(message));
                }
                (self.too_long, pull.left) = (true, 0);
            }
            409 if words.contains("Batch Completed") => pull.left = 0,
            _ => {
                let message = format!("the server ends the pull: {words} (code {code})");
                return Err(ServerError::new(ErrorKind::Retry, message));
            }
        }
        Ok(None)
    }
}

fn placed(message: Message) -> Done<(Place, Message)> {
    let place = message.reply.as_deref().and_then(Place::parse);
    let place = place.ok_or_else(|| ServerError::malformed("a message does not say where it lies"))?;
    if message.payload.len() > MESSAGE_BYTES_MAX {
        let bytes = message.payload.len();
        let message = format!(
            "the message sequence={} of bytes={bytes} exceeds limit={MESSAGE_BYTES_MAX}",
            place.sequence
        );
        return Err(ServerError::invalid(message));
    }
    Ok((place, message))
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_both_forms() {
        let place = Place { deliveries: 1, sequence: 20, consumed: 3, timestamp_ns: 4, pending: 5 };
        assert_eq!(Place::parse("$JS.ACK.S.C.1.20.3.4.5"), Some(place));
        assert_eq!(Place::parse("$JS.ACK.hub.hash.S.C.1.20.3.4.5"), Some(place));
        assert_eq!(Place::parse("$JS.ACK.hub.hash.S.C.1.20.3.4.5.random"), Some(place));
        for wrong in ["", "$JS.ACK.S.C.1.20.3.4", "$JS.ACK.S.C.1.x.3.4.5", "a.b.S.C.1.20.3.4.5"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
