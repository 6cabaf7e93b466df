//! What S3 tells of new objects: messages of an SQS queue, which name them so that nobody has to list the bucket.
//!
//! A message is deleted when all objects that it names lie in the log and are noted. Until then its lease is renewed; one that
//! comes again names objects that are known.

use crate::aws::{access, region_of_host};
use crate::objects::bucket::Object;
use crate::percent::percent_decoded;
use crate::service::{Access, Call, Cause, Client, Done, Leases};
use crate::sqs::{Message, ReadQueue};
use auth::https::Url;
use base::options::Options;
use chrono::DateTime;
use dataflow::connector::Role;
use os::Os;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

pub(super) const QUEUE_URL: &str = "source.notifications.queue-url";

/// Messages whose objects are not all in the log.
const PENDING_MAX: usize = 100;
/// Messages of one call.
const MESSAGES_MAX: usize = 10;
/// Bodies in bodies: SNS may stand between S3 and the queue.
const WRAPPED_MAX: usize = 2;

pub(super) struct Notices {
    client: Client,
    queue: ReadQueue,
    pending: Vec<Pending>,
    /// What has come and nobody has asked for, and since when it is ours.
    arrived: Vec<(Message, Duration)>,
    /// Messages of which nothing is left to do.
    done: Vec<String>,
    /// When the call that waits had not been answered yet: its messages are leased since then.
    unanswered: Duration,
}

struct Pending {
    receipt: String,
    since: Duration,
    /// What is not in the log.
    keys: HashSet<String>,
}

/// A message that came: who it is, since when it is ours, and the objects that it names.
pub(super) struct Notice {
    receipt: String,
    since: Duration,
    pub objects: Vec<Object>,
}

/// What is wrong with the queue of a table.
pub(super) fn problem(options: &Options, role: Role) -> Option<String> {
    match options.text(QUEUE_URL) {
        Some(_) if role == Role::Sink => Some(format!("'{QUEUE_URL}' is for tables that are read")),
        Some(text) => parse(text).err(),
        None => None,
    }
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("'{QUEUE_URL}': {error}"))?;
    match url.path.trim_matches('/').is_empty() {
        true => Err(format!("'{QUEUE_URL}' names no queue: it ends in /ACCOUNT/NAME")),
        false => Ok(url),
    }
}

/// How the queue of a table is reached, if it has one.
pub(super) fn queue(os: &Os, options: &Options) -> Result<Option<(Access, String)>, String> {
    let Some(text) = options.text(QUEUE_URL) else { return Ok(None) };
    let url = parse(text)?;
    let mut access = access(os, options, "sqs", region_of_host(&url.host), Some(&url))?;
    // Buckets may be elsewhere.
    access.url = Url { path: "/".into(), ..url };
    Ok(Some((access, text.to_string())))
}

impl Notices {
    pub(super) fn open(access: &Access, queue_url: &str, now: Duration) -> Done<Notices> {
        let mut client = access.client(1)?;
        let mut queue = ReadQueue::plain(queue_url);
        // It is seen at once whether there is such a queue and we are let in.
        let answer = client.call(&queue.receive(MESSAGES_MAX, false))?;
        let arrived = queue.received(&answer.body)?.into_iter().map(|leased| (leased.message, now)).collect();
        Ok(Notices { client, queue, pending: Vec::new(), arrived, done: Vec::new(), unanswered: now })
    }

    /// What has come, after waiting for it for so long at most. Of each notice the caller says what becomes of it.
    pub(super) fn receive(&mut self, bucket: &str, wait: Duration, now: Duration) -> Done<Vec<Notice>> {
        self.renew(now)?;
        if self.arrived.is_empty() && self.pending.len() < PENDING_MAX {
            self.take(wait, now)?;
        }
        // What is no notice stays in the queue, whose own dead letters it becomes.
        let notice = |(message, since): (Message, Duration)| {
            let objects = objects(&message.body, bucket, WRAPPED_MAX)?;
            Some(Notice { receipt: message.receipt, since, objects })
        };
        Ok(std::mem::take(&mut self.arrived).into_iter().filter_map(notice).collect())
    }

    /// Keeps what is ours while other things are done: what the call has brought that waits in the service too.
    pub(super) fn tend(&mut self, now: Duration) -> Done<()> {
        if self.client.is_long_under_way() {
            self.take(Duration::ZERO, now)?;
        }
        self.renew(now)
    }

    fn take(&mut self, wait: Duration, now: Duration) -> Done<()> {
        let came = self.came(wait, now)?;
        self.arrived.extend(came.into_iter().map(|message| (message, self.unanswered)));
        self.unanswered = now;
        Ok(())
    }

    /// What the call brought that waits in the service, if it is back within `wait`.
    fn came(&mut self, wait: Duration, now: Duration) -> Done<Vec<Message>> {
        if !self.client.is_long_under_way() {
            self.unanswered = now;
            let call = self.queue.receive(MESSAGES_MAX, true);
            self.client.begin_long(&call, self.queue.limits().wait)?;
        }
        let answer = match self.client.end_long(wait) {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(answer)) => answer,
            // A call that does not wait is made again by itself, with other keys if there are.
            Err(error) if error.cause != Cause::Other => {
                self.client.call(&self.queue.receive(MESSAGES_MAX, false))?
            }
            Err(error) => return Err(error),
        };
        Ok(self.queue.received(&answer.body)?.into_iter().map(|leased| leased.message).collect())
    }

    /// Keeps a notice until these keys are in the log.
    pub(super) fn keep(&mut self, notice: Notice, keys: HashSet<String>) {
        if keys.is_empty() {
            self.done.push(notice.receipt);
        } else {
            self.pending.push(Pending { receipt: notice.receipt, since: notice.since, keys });
        }
    }

    /// Whether an object is named by a notice that is kept.
    pub(super) fn waits_for(&self, key: &str) -> bool {
        self.pending.iter().any(|pending| pending.keys.contains(key))
    }

    /// These lie in the log, and that is noted.
    pub(super) fn landed<'a>(&mut self, keys: impl Iterator<Item = &'a String>) {
        for key in keys {
            for pending in &mut self.pending {
                pending.keys.remove(key);
            }
        }
        let done = self.pending.extract_if(.., |pending| pending.keys.is_empty());
        self.done.extend(done.map(|pending| pending.receipt));
    }

    /// Deletes the messages that are done. One that cannot be deleted now comes again, and is done then.
    pub(super) fn delete(&mut self) -> Done<()> {
        let receipts: Vec<&str> = self.done.iter().map(String::as_str).collect();
        let calls: Vec<Call> =
            receipts.chunks(ReadQueue::RECEIPTS_MAX).map(|receipts| self.queue.confirm(receipts)).collect();
        for answer in self.client.call_all(&calls) {
            self.queue.unconfirmed(answer)?;
        }
        self.done.clear();
        Ok(())
    }

    /// Renews the leases of which half is over.
    fn renew(&mut self, now: Duration) -> Done<()> {
        let half = self.queue.limits().lease / 2;
        let pending = self.pending.iter_mut().map(|pending| (&pending.receipt, &mut pending.since));
        let arrived = self.arrived.iter_mut().map(|(message, since)| (&message.receipt, since));
        let due = pending.chain(arrived).filter(|(_, since)| now.saturating_sub(**since) >= half);
        let (receipts, since): (Vec<&str>, Vec<&mut Duration>) =
            due.map(|(receipt, since)| (receipt.as_str(), since)).unzip();
        let calls: Vec<Call> =
            receipts.chunks(ReadQueue::RECEIPTS_MAX).map(|receipts| self.queue.renew(receipts)).collect();
        for answer in self.client.call_all(&calls) {
            self.queue.renewed(answer)?;
        }
        for since in since {
            *since = now;
        }
        Ok(())
    }
}

/// The objects of a bucket that a message names as new; none if it is no message of S3. It comes from S3 itself, or by way of
/// SNS or EventBridge.
fn objects(body: &str, bucket: &str, wrapped_max: usize) -> Option<Vec<Object>> {
    let message: Value = serde_json::from_str(body).ok()?;
    if let Some(records) = message["Records"].as_array() {
        return records.iter().map(|record| of_record(record, bucket)).collect::<Option<Vec<_>>>().map(flat);
    }
    if message["Event"] == "s3:TestEvent" {
        return Some(Vec::new());
    }
    if message["source"] == "aws.s3" {
        return of_event(&message, bucket).map(|object| flat(vec![object]));
    }
    let inner =
        message["Message"].as_str().filter(|_| wrapped_max > 0 && message["Type"] == "Notification")?;
    objects(inner, bucket, wrapped_max - 1)
}

fn flat(objects: Vec<Option<Object>>) -> Vec<Object> {
    objects.into_iter().flatten().collect()
}

/// A record of an event notification, version 2: its object if it is new in the bucket, or that it is another event; none if it
/// is no record.
fn of_record(record: &Value, bucket: &str) -> Option<Option<Object>> {
    let event = record["eventName"].as_str()?;
    let event = event.strip_prefix("s3:").unwrap_or(event);
    let (found, object) = (record["s3"]["bucket"]["name"].as_str()?, &record["s3"]["object"]);
    if !event.starts_with("ObjectCreated:") || found != bucket {
        return Some(None);
    }
    let key = percent_decoded(&object["key"].as_str()?.replace('+', " "))?;
    of_object(key, object, "eTag", record["eventTime"].as_str()?).map(Some)
}

/// An event of EventBridge.
fn of_event(event: &Value, bucket: &str) -> Option<Option<Object>> {
    let kind = event["detail-type"].as_str()?;
    let detail = &event["detail"];
    if kind != "Object Created" || detail["bucket"]["name"].as_str()? != bucket {
        return Some(None);
    }
    let object = &detail["object"];
    of_object(object["key"].as_str()?.to_string(), object, "etag", event["time"].as_str()?).map(Some)
}

fn of_object(key: String, object: &Value, tag: &str, time: &str) -> Option<Object> {
    let tag = object[tag].as_str()?.trim_matches('"');
    let modified_ms = DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis();
    // An object that has no size here is empty.
    let bytes = object["size"].as_u64().unwrap_or(0);
    Some(Object { key, tag: format!("\"{tag}\""), bytes, modified_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(event: &str, bucket: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1",
            "eventTime": "2026-11-29T12:00:00.123Z", "eventName": event,
            "s3": {
                "s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": "arn:aws:s3:::b"},
                "object": {"key": key, "size": 7, "eTag": "d41d", "sequencer": "0055AED6DCD90281E5"},
            },
        })
    }

    fn found(message: &Value) -> Option<Vec<String>> {
        let found = objects(&message.to_string(), "b", WRAPPED_MAX)?;
        Some(found.into_iter().map(|object| object.key).collect())
    }

    #[test]
    fn messages_of_s3_are_read_by_whatever_way_they_come() {
        let plain = json!({"Records": [
            record("ObjectCreated:Put", "b", "in/a+b%2Fc%C3%BC.json"),
            record("s3:ObjectCreated:CompleteMultipartUpload", "b", "in/2"),
            record("ObjectCreated:Copy", "other", "in/3"),
            record("ObjectRemoved:Delete", "b", "in/4"),
        ]});
        let keys = Some(vec!["in/a b/cü.json".to_string(), "in/2".to_string()]);
        assert_eq!(found(&plain), keys);
        let of_sns = json!({"Type": "Notification", "TopicArn": "arn", "Message": plain.to_string()});
        assert_eq!(found(&of_sns), keys);
        let event = json!({
            "version": "0", "detail-type": "Object Created", "source": "aws.s3", "time": "2026-11-29T12:00:00Z",
            "detail": {"bucket": {"name": "b"}, "object": {"key": "in/a+b.json", "size": 7, "etag": "d41d"}},
        });
        assert_eq!(found(&event), Some(vec!["in/a+b.json".into()]));
        let object = objects(&plain.to_string(), "b", 0).unwrap().remove(0);
        assert_eq!(
            (object.tag.as_str(), object.bytes, object.modified_ms),
            ("\"d41d\"", 7, 1_795_953_600_123)
        );
        assert_eq!(found(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})), Some(vec![]));
    }

    #[test]
    fn what_is_no_message_of_s3_is_none() {
        let mut nested = json!({"Records": []});
        for _ in 0..=WRAPPED_MAX {
            nested = json!({"Type": "Notification", "Message": nested.to_string()});
        }
        let mut nameless = record("ObjectCreated:Put", "b", "k");
        nameless["s3"]["object"]["key"].take();
        for message in [
            json!({}),
            json!([]),
            json!({"Records": [{}]}),
            json!({"Records": [nameless]}),
            json!({"Records": [record("ObjectCreated:Put", "b", "%zz")]}),
            json!({"Type": "Notification", "Message": "no json"}),
            json!({"source": "aws.s3", "detail-type": "Object Created"}),
            nested,
        ] {
            assert_eq!(found(&message), None, "{message}");
        }
        assert!(objects("no json", "b", 1).is_none());
    }
}
