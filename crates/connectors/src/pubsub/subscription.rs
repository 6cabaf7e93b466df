//! A subscription as it is read: what its calls are, and what lands of its messages.
//!
//! Where messages have ordering keys, one pull is under way at a time: of several at once the answers have no order.

use super::message::{Message, received};
use super::options::{ID_ATTRIBUTE, OUTSTANDING, OUTSTANDING_BYTES, PULL_TIMEOUT, PULLS};
use super::read;
use crate::google::{INVALID_ACK_ID, Resource};
use crate::http_connection::HttpAnswer;
use crate::landed::Landing;
use crate::messages::keeps_headers;
use crate::service::{Call, Client, Done, LeaseLimits, Leased, Leases, ServiceError};
use base::options::Options;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Messages that one pull brings.
const PULL_MAX: usize = 1000;
/// A service that has more waiting brings no fewer, as a rule.
const MUCH: usize = 100;
/// Receipts have some 200 bytes, and a call takes 512 KB.
const RECEIPTS_MAX: usize = 1000;
/// The shortest lease that a subscription gives: what holds where we may not ask it.
const LEASE_SECONDS_MIN: u64 = 10;
const LEASE_SECONDS_MAX: u64 = 600;

/// What a subscription says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    name: String,
    topic: String,
    lease_seconds: u64,
    is_ordered: bool,
}

impl Facts {
    pub(super) fn ask(client: &mut Client, resource: &Resource) -> Done<Facts> {
        let answer = client.call(&resource.call(None, None))?;
        Facts::of(&answer.body)
    }

    fn of(answer: &[u8]) -> Done<Facts> {
        let malformed = || ServiceError::malformed("what a subscription is");
        let said: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let name = text(&said["name"]);
        if name.is_empty() {
            return Err(malformed());
        }
        let is_pushed = !text(&said["pushConfig"]["pushEndpoint"]).is_empty();
        let is_exported = ["bigqueryConfig", "cloudStorageConfig"].iter().any(|key| !said[key].is_null());
        if is_pushed || is_exported {
            let message = format!(
                "{name} delivers its messages to somebody else: only one that is pulled from can be read"
            );
            return Err(ServiceError::invalid(message));
        }
        let seconds = said["ackDeadlineSeconds"].as_u64().unwrap_or(LEASE_SECONDS_MIN);
        Ok(Facts {
            name,
            topic: text(&said["topic"]),
            lease_seconds: seconds.clamp(1, LEASE_SECONDS_MAX),
            is_ordered: said["enableMessageOrdering"].as_bool().unwrap_or(false),
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { name, topic, lease_seconds, is_ordered } = self;
        let order = if *is_ordered { ", in the order of keys" } else { "" };
        write!(out, "{name} of {topic}, messages are leased for {lease_seconds} s{order}")
    }
}

pub(super) struct Subscription {
    resource: Resource,
    limits: LeaseLimits,
    deduplicates: bool,
    id_attribute: Option<String>,
    keeps_headers: bool,
}

impl Subscription {
    pub(super) fn new(table: &TableDefinition, options: &Options) -> Subscription {
        let number = |key: &str, otherwise: i64| options.integer(key).unwrap_or(otherwise).max(1) as usize;
        let outstanding_max = number(OUTSTANDING, 4000);
        Subscription {
            resource: read(options),
            limits: LeaseLimits {
                messages_max: PULL_MAX.min(outstanding_max),
                much: MUCH.min(outstanding_max),
                calls_max: number(PULLS, 4),
                outstanding_max,
                outstanding_bytes_max: options
                    .bytes(OUTSTANDING_BYTES)
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .unwrap_or(64 << 20),
                lease: Duration::from_secs(LEASE_SECONDS_MIN),
                wait: Duration::from_millis(options.duration_ms(PULL_TIMEOUT).unwrap_or(60_000)),
            },
            deduplicates: options.boolean("deduplicate"),
            id_attribute: options.text(ID_ATTRIBUTE).map(str::to_string),
            keeps_headers: keeps_headers(table),
        }
    }

    fn keep_order(&mut self) {
        self.limits.calls_max = 1;
    }
}

impl Leases for Subscription {
    type Message = Message;

    const RECEIPTS_MAX: usize = RECEIPTS_MAX;
    const HINT: &'static str = "create the subscription, or look at 'subscription' and 'project'";

    fn look(&mut self, client: &mut Client) -> Done<()> {
        match Facts::ask(client, &self.resource) {
            Ok(facts) => {
                self.limits.lease = Duration::from_secs(facts.lease_seconds);
                if facts.is_ordered {
                    self.keep_order();
                }
                Ok(())
            }
            // Who may only pull is not told.
            Err(error) if error.is_denied() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn limits(&self) -> LeaseLimits {
        self.limits
    }

    fn receive(&self, messages_max: usize, waits: bool) -> Call {
        let mut body = json!({"maxMessages": messages_max});
        if !waits {
            body["returnImmediately"] = true.into();
        }
        self.resource.call(Some("pull"), Some(&body))
    }

    fn received(&mut self, answer: &[u8]) -> Done<Vec<Leased<Message>>> {
        let messages = received(answer)?;
        if messages.iter().any(|leased| leased.message.ordering_key.is_some()) {
            self.keep_order();
        }
        Ok(messages)
    }

    fn confirm(&self, receipts: &[&str]) -> Call {
        self.resource.call(Some("acknowledge"), Some(&json!({"ackIds": receipts})))
    }

    fn unconfirmed(&self, answer: Done<HttpAnswer>) -> Done<Vec<usize>> {
        still_there(answer).map(|()| Vec::new())
    }

    fn renew(&self, receipts: &[&str]) -> Call {
        let seconds = self.limits.lease.as_secs();
        let body = json!({"ackIds": receipts, "ackDeadlineSeconds": seconds});
        self.resource.call(Some("modifyAckDeadline"), Some(&body))
    }

    fn renewed(&self, answer: Done<HttpAnswer>) -> Done<()> {
        still_there(answer)
    }

    fn record(&self, table: &TableDefinition, message: Message, now_ms: i64) -> FeedRecord {
        let mut landing = Landing::new(table);
        landing.text("message-id", Some(&message.id));
        landing.number("publish-time", message.publish_ms);
        landing.text(super::options::ORDERING_KEY, message.ordering_key.as_deref());
        landing.number("delivery-attempt", message.delivery_attempt);
        let of_sender = self.id_attribute.as_ref().and_then(|name| message.attribute(name));
        // An empty one tells no message from another.
        let of_sender = of_sender.filter(|id| !id.is_empty());
        let id = of_sender.map_or_else(|| message.id.as_bytes().to_vec(), <[u8]>::to_vec);
        let value = match message.data {
            Ok(data) => landing.value("its data", data),
            Err(text) => {
                landing.unreadable("its data is no base64");
                landing.value("its data", text.into_bytes())
            }
        };
        landing.headers(message.attributes, self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms: message.publish_ms.unwrap_or(now_ms),
            key: message.ordering_key.map(String::into_bytes),
            value: Some(value),
            headers: landing.finish(),
            id: self.deduplicates.then_some(id),
        }
    }
}

/// Messages whose lease is over come again, and are left out then.
fn still_there(answer: Done<HttpAnswer>) -> Done<()> {
    match answer {
        Err(error) if error.is_one_of(&[INVALID_ACK_ID]) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_says_what_it_is() {
        let facts = |text: &str| Facts::of(text.as_bytes());
        let plain = facts(
            r#"{"name":"projects/p/subscriptions/s","topic":"projects/p/topics/t","pushConfig":{},"ackDeadlineSeconds":30}"#,
        );
        let plain = plain.unwrap();
        assert_eq!((plain.lease_seconds, plain.is_ordered), (30, false));
        assert_eq!(
            plain.to_string(),
            "projects/p/subscriptions/s of projects/p/topics/t, messages are leased for 30 s"
        );
        let ordered = facts(r#"{"name":"s","enableMessageOrdering":true}"#).unwrap();
        assert_eq!((ordered.lease_seconds, ordered.is_ordered), (10, true));
        for pushed in [r#""pushConfig":{"pushEndpoint":"https://x"}"#, r#""bigqueryConfig":{"table":"t"}"#] {
            let error = facts(&format!(r#"{{"name":"s",{pushed}}}"#)).unwrap_err();
            assert!(error.message.contains("somebody else"), "{}", error.message);
        }
        assert!(facts("{}").is_err() && facts("[").is_err());
    }
}
