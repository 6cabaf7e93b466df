//! A topic as a target: the outbox's records become messages.
//!
//! What is sent again, because it was taken and not yet noted when the node died, has the same deduplication id, of which a
//! FIFO topic takes none twice within 5 minutes.

use super::options::{
    ARN, BATCH_SIZE, DEDUPLICATION_ID, ENCODING, GROUP_ID, HINT, IN_FLIGHT, SUBJECT, is_fifo,
};
use super::{attributes, call};
use crate::aws::passes;
use crate::http_answers::shown;
use crate::landed::Carried;
use crate::messages::hashed;
use crate::service::{BatchTarget, Call, Done, Entry, Failure, Limits, ServiceError};
use crate::sqs::message::{self, Taken};
use crate::xml;
use base::options::Options;
use kafka_wire::records::Record;
use serde_json::Value;

/// Of a batch, and so of a message.
const BYTES_MAX: usize = 256 << 10;
/// What an entry has besides its body and attributes, at most.
const ENTRY_BYTES: usize = 1 << 10;
const SUBJECT_CHARACTERS_MAX: usize = 100;

pub(crate) struct Topic {
    arn: String,
    is_fifo: bool,
    is_base64: bool,
    subject: Option<String>,
    group_id: Option<String>,
    limits: Limits,
    /// Deduplication ids begin with it.
    name: String,
}

impl Topic {
    pub(super) fn new(options: &Options, identity: &str) -> Topic {
        let number = |key: &str, otherwise: i64| options.integer(key).unwrap_or(otherwise).max(1) as usize;
        let text = |key: &str| options.text(key).map(str::to_string);
        let arn = text(ARN).unwrap_or_default();
        let is_fifo = is_fifo(&arn);
        Topic {
            arn,
            is_base64: options.text(ENCODING) == Some("base64"),
            subject: text(SUBJECT),
            group_id: text(GROUP_ID),
            limits: Limits::of_entries(
                number(BATCH_SIZE, 10).min(10),
                BYTES_MAX,
                if is_fifo { 1 } else { number(IN_FLIGHT, 8) },
            ),
            name: hashed(identity),
            is_fifo,
        }
    }
}

/// A value in the query protocol: what it is in has its name in front.
fn flatten(name: String, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => out.push((name, text.clone())),
        Value::Object(fields) if name.ends_with("MessageAttributes") => {
            for (index, (attribute, value)) in fields.iter().enumerate() {
                let entry = format!("{name}.entry.{}", index + 1);
                out.push((format!("{entry}.Name"), attribute.clone()));
                flatten(format!("{entry}.Value"), value, out);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(format!("{name}.{field}"), value, out);
            }
        }
        other => out.push((name, other.to_string())),
    }
}

impl BatchTarget for Topic {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn look(&self) -> Call {
        attributes(&self.arn)
    }

    fn entry(&self, record: &Record<'_>) -> Result<Entry, String> {
        let mut carried = Carried::of(record);
        let mut entry = Entry::of(record);
        let taken = Taken { by: "a topic", bytes: BYTES_MAX - ENTRY_BYTES };
        let body = taken.body(&entry.value, self.is_base64)?;
        taken.fit(&body, &mut carried)?;
        let attributes = message::attributes(&carried.headers);
        entry.bytes = body.len() + attributes.to_string().len() + ENTRY_BYTES;
        entry.set("Message", Some(body));
        let has_some = attributes.as_object().is_some_and(|all| !all.is_empty());
        entry.set("MessageAttributes", Some(attributes).filter(|_| has_some));
        let subject = carried.text(SUBJECT).or_else(|| self.subject.clone());
        if let Some(subject) = &subject {
            let is_taken = |character: char| character.is_ascii() && !character.is_ascii_control();
            let count = subject.chars().count();
            if !(1..=SUBJECT_CHARACTERS_MAX).contains(&count) || !subject.chars().all(is_taken) {
                return Err(format!(
                    "its subject is not of 1 to {SUBJECT_CHARACTERS_MAX} characters of ASCII"
                ));
            }
        }
        entry.set("Subject", subject);
        // Standard topics have groups too, which queues use for fairness.
        entry.set("MessageGroupId", carried.text(GROUP_ID).or_else(|| self.group_id.clone()));
        if self.is_fifo {
            let made = || format!("{}-{}", self.name, record.offset);
            entry.set("MessageDeduplicationId", Some(carried.text(DEDUPLICATION_ID).unwrap_or_else(made)));
            if !entry.fields.contains_key("MessageGroupId") {
                return Err(format!("its '{GROUP_ID}' is NULL, and messages of a FIFO topic have a group"));
            }
        }
        Ok(entry)
    }

    fn call(&self, entries: &[Entry]) -> Call {
        let mut fields = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = format!("PublishBatchRequestEntries.member.{}", index + 1);
            flatten(name, &entry.numbered(index), &mut fields);
        }
        call("PublishBatch", &self.arn, fields)
    }

    fn failures(&self, answer: &[u8], entries: &[Entry]) -> Done<Vec<Option<Failure>>> {
        let malformed = || ServiceError::malformed("what was published is not said");
        let answer = std::str::from_utf8(answer).ok().and_then(|text| xml::parse(text).ok());
        let answer = answer.ok_or_else(malformed)?;
        let said = |list: &str, index: usize| {
            let id = index.to_string();
            let list = answer.find_deep(list)?;
            list.children.iter().find(|member| member.text_of("Id") == Some(&id))
        };
        let one = |index: usize| {
            if said("Successful", index).is_some() {
                return Ok(None);
            }
            let failure = said("Failed", index).ok_or_else(malformed)?;
            let text = |name: &str| failure.text_of(name).unwrap_or_default();
            let reason = shown(&format!("AWS says: {} (code {})", text("Message"), text("Code")));
            let is_ours = text("SenderFault") == "true";
            Ok(Some(Failure { is_passing: !is_ours || passes(text("Code")), reason }))
        };
        (0..entries.len()).map(one).collect()
    }

    fn is_of_entries(&self, error: &ServiceError) -> bool {
        error.is_one_of(&[
            "BatchRequestTooLong",
            "InvalidParameter",
            "InvalidParameterValue",
            "ParameterValueInvalid",
        ])
    }

    fn hint(&self) -> &'static str {
        HINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_flat_in_the_query_protocol() {
        let entry = json!({"Id": "0", "Message": "m", "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x"}}});
        let mut fields = Vec::new();
        flatten("E.member.1".into(), &entry, &mut fields);
        let expected = [
            ("E.member.1.Id", "0"),
            ("E.member.1.Message", "m"),
            ("E.member.1.MessageAttributes.entry.1.Name", "a"),
            ("E.member.1.MessageAttributes.entry.1.Value.DataType", "String"),
            ("E.member.1.MessageAttributes.entry.1.Value.StringValue", "x"),
        ];
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, expected);
    }
}
