//! A topic as a target: the outbox's records become messages.
//!
//! A call has messages of one ordering key, or of none, as the service wants it, and is taken as a whole. What is published again,
//! because it was taken and not yet noted when the node died, is another message to the service; `id-attribute` has the same id.

use super::checked;
use super::options::{
    BATCH_BYTES, BATCH_SIZE, CALL_BYTES_MAX, ID_ATTRIBUTE, IN_FLIGHT, ORDERING_KEY, RESERVED,
};
use crate::google::Resource;
use crate::landed::Carried;
use crate::messages::hashed;
use crate::service::{BatchTarget, Call, Done, Entry, Failure, Limits, ServiceError};
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::Role;
use kafka_wire::records::Record;
use serde_json::{Map, Value, json};

const ATTRIBUTES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 1024;
const KEY_BYTES_MAX: usize = 1024;
/// What an entry has besides its data and attributes, at most.
const ENTRY_BYTES: usize = 100;
/// So many keys' messages wait to be published together, and so many bytes of them.
const CALLS_GATHERED: usize = 256;
const GATHERED_BYTES: usize = 32 << 20;

pub(crate) struct Topic {
    resource: Resource,
    limits: Limits,
    id_attribute: Option<String>,
    /// The ids begin with it.
    job: String,
}

impl Topic {
    pub(super) fn new(options: &Options, identity: &str) -> Topic {
        let number = |key: &str, otherwise: i64| options.integer(key).unwrap_or(otherwise).max(1) as usize;
        let bytes = options.bytes(BATCH_BYTES).and_then(|bytes| usize::try_from(bytes).ok());
        Topic {
            resource: checked(options, Role::Sink),
            limits: Limits {
                entries: number(BATCH_SIZE, 1000).min(1000),
                bytes: bytes.unwrap_or(4 << 20).min(CALL_BYTES_MAX),
                calls_in_flight: number(IN_FLIGHT, 8),
                calls_gathered: CALLS_GATHERED,
                gathered_bytes: GATHERED_BYTES,
                has_ordered_calls: true,
                fails_at_once: false,
            },
            id_attribute: options.text(ID_ATTRIBUTE).map(str::to_string),
            job: hashed(identity),
        }
    }

    pub(super) fn name(&self) -> String {
        let Resource { project, collection, name } = &self.resource;
        format!("projects/{project}/{collection}/{name}")
    }

    /// What it is, which changes nothing there.
    pub(super) fn asked(&self) -> Call {
        self.resource.call(None, None)
    }
}

type Attributes<'a> = [(&'a str, Option<&'a [u8]>)];

/// Why no topic takes a message, if none does.
fn check(data: &[u8], attributes: &Attributes<'_>, key: &str) -> Result<(), String> {
    let given = || attributes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    if data.is_empty() && given().next().is_none() {
        return Err("it has neither data nor attributes".into());
    }
    let bytes: usize = given().map(|(name, value)| name.len() + value.len()).sum();
    let bytes = data.len() + bytes + key.len();
    if bytes > CALL_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, and a topic takes {CALL_BYTES_MAX}"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(format!("its ordering key has {} bytes, and a topic takes {KEY_BYTES_MAX}", key.len()));
    }
    let count = given().count();
    if count > ATTRIBUTES_MAX {
        return Err(format!("it has {count} attributes, and a topic takes {ATTRIBUTES_MAX}"));
    }
    for (name, value) in given() {
        let wrong = |what: &str| Err(format!("its attribute '{}' {what}", name.escape_debug()));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with(RESERVED) {
            return wrong("has a name that a topic does not take");
        }
        if value.len() > VALUE_BYTES_MAX {
            return wrong(&format!("has {} bytes, and a topic takes {VALUE_BYTES_MAX}", value.len()));
        }
        if std::str::from_utf8(value).is_err() {
            return wrong("is no UTF-8, and attributes are texts");
        }
    }
    Ok(())
}

impl BatchTarget for Topic {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn look(&self) -> Call {
        self.asked()
    }

    fn entry(&self, record: &Record<'_>) -> Result<Entry, String> {
        let mut carried = Carried::of(record);
        let mut entry = Entry::of(record);
        let of_columns = || record.key.map(|key| String::from_utf8_lossy(key).into_owned());
        let key = carried.text(ORDERING_KEY).or_else(of_columns).unwrap_or_default();
        let id = self.id_attribute.as_ref().map(|name| (name, format!("{}-{}", self.job, record.offset)));
        if let Some((name, id)) = &id
            && !carried.own_headers().iter().any(|(known, _)| known == name)
        {
            carried.headers.insert(0, (name, Some(id.as_bytes())));
        }
        if carried.traced > 0 && check(&entry.value, &carried.headers, &key).is_err() {
            carried.leave_trace_out();
        }
        check(&entry.value, &carried.headers, &key)?;
        let mut attributes = Map::new();
        for (name, value) in &carried.headers {
            let Some(value) = value else { continue };
            attributes.insert(name.to_string(), String::from_utf8_lossy(value).into());
        }
        let data = STANDARD.encode(&entry.value);
        let attributes = Some(Value::Object(attributes)).filter(|all| *all != json!({}));
        let attribute_bytes = attributes.as_ref().map_or(0, |all| all.to_string().len());
        entry.bytes = data.len() + attribute_bytes + key.len() + ENTRY_BYTES;
        entry.set("data", Some(data));
        entry.set("attributes", attributes);
        if !key.is_empty() {
            entry.set("orderingKey", Some(key.clone()));
            entry.ordered_by = Some(key);
        }
        Ok(entry)
    }

    fn call(&self, entries: &[Entry]) -> Call {
        let messages: Vec<&Map<String, Value>> = entries.iter().map(|entry| &entry.fields).collect();
        self.resource.call(Some("publish"), Some(&json!({"messages": messages})))
    }

    fn failures(&self, answer: &[u8], entries: &[Entry]) -> Done<Vec<Option<Failure>>> {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        match answer["messageIds"].as_array() {
            Some(ids) if ids.len() == entries.len() => Ok(vec![None; entries.len()]),
            _ => Err(ServiceError::malformed("what was published is not said")),
        }
    }

    fn is_of_entries(&self, error: &ServiceError) -> bool {
        error.is_one_of(&["INVALID_ARGUMENT", "413"])
    }

    fn hint(&self) -> &'static str {
        "create the topic, or look at 'topic' and 'project'"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_topic_takes_is_known_before() {
        let long = vec![b'x'; CALL_BYTES_MAX];
        let names: Vec<String> = (0..=ATTRIBUTES_MAX).map(|n| format!("a{n}")).collect();
        let many: Vec<(&str, Option<&[u8]>)> =
            names.iter().map(|name| (name.as_str(), Some(&b"x"[..]))).collect();
        let (long_key, long_value) = ("k".repeat(KEY_BYTES_MAX + 1), vec![b'x'; VALUE_BYTES_MAX + 1]);
        type Case<'a> = (&'a [u8], &'a Attributes<'a>, &'a str, &'a str);
        let cases: [Case<'_>; 9] = [
            (b"", &[("a", None)], "", "neither data nor attributes"),
            (&long, &[], "k", "10000001 bytes"),
            (b"x", &many, "", "101 attributes"),
            (b"x", &[("", Some(b"x"))], "", "''"),
            (b"x", &[("goog-x", Some(b"x"))], "", "'goog-x' has a name"),
            (b"x", &[("a", Some(&long_value))], "", "1025 bytes"),
            (b"x", &[("a", Some(&[0xff]))], "", "no UTF-8"),
            (b"x", &[], &long_key, "ordering key has 1025"),
            (b"", &[("a", Some(b""))], "k", ""),
        ];
        for (data, attributes, key, words) in cases {
            let told = check(data, attributes, key).err().unwrap_or_default();
            assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{words}: {told}");
        }
    }
}
