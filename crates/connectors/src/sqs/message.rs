//! Messages as the service's JSON has them.

use crate::aws::{AwsError, Done};
use crate::landed::Headers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The size of a message with its attributes at most, since 2025.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Attributes of a message at most.
const ATTRIBUTES_MAX: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub id: String,
    pub receipt: String,
    pub body: String,
    /// What the service says of it.
    pub facts: Map<String, Value>,
    pub attributes: Headers,
}

impl Message {
    pub(super) fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.fact(name)?.parse().ok()
    }

    pub(super) fn bytes(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.body.len() + attributes
    }
}

/// The messages of an answer to `ReceiveMessage`.
pub(super) fn received(body: &[u8]) -> Done<Vec<Message>> {
    let answer: Value =
        serde_json::from_slice(body).map_err(|_| AwsError::malformed("messages are no JSON"))?;
    let Some(Value::Array(messages)) = answer.get("Messages") else { return Ok(Vec::new()) };
    messages
        .iter()
        .map(|message| one(message).ok_or_else(|| AwsError::malformed("a message lacks a part")))
        .collect()
}

fn one(message: &Value) -> Option<Message> {
    let text = |name: &str| message.get(name)?.as_str().map(str::to_string);
    let facts = message.get("Attributes").and_then(Value::as_object).cloned().unwrap_or_default();
    let attributes = message.get("MessageAttributes").and_then(Value::as_object);
    let attributes = attributes.into_iter().flatten().map(|(name, value)| (name.clone(), attribute(value)));
    Some(Message {
        id: text("MessageId")?,
        receipt: text("ReceiptHandle")?,
        body: text("Body")?,
        facts,
        attributes: attributes.collect(),
    })
}

fn attribute(value: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match (text("BinaryValue"), text("StringValue")) {
        (Some(binary), _) => STANDARD.decode(binary).ok(),
        (None, Some(text)) => Some(text.as_bytes().to_vec()),
        (None, None) => None,
    }
}

/// Attributes as `SendMessage` wants them: texts, or bytes.
pub(super) fn attributes(headers: &[(&str, Option<&[u8]>)]) -> Value {
    let one = |value: &[u8]| match std::str::from_utf8(value) {
        Ok(text) if text.chars().all(is_allowed) => json!({"DataType": "String", "StringValue": text}),
        _ => json!({"DataType": "Binary", "BinaryValue": STANDARD.encode(value)}),
    };
    let all = headers.iter().filter_map(|(name, value)| Some((name.to_string(), one((*value)?))));
    Value::Object(all.collect())
}

/// Whether a character may stand in a body: those of XML 1.0.
fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}'
    )
}

/// Why no queue takes a message, if none does.
pub(super) fn refused(body: &str, headers: &[(&str, Option<&[u8]>)]) -> Option<String> {
    if body.is_empty() {
        return Some("its body is empty".into());
    }
    if let Some(character) = body.chars().find(|character| !is_allowed(*character)) {
        return Some(format!(
            "its body has the character U+{:04X}, which a queue does not take; 'body-encoding' = 'base64' does",
            u32::from(character)
        ));
    }
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    if body.len() + size > MESSAGE_BYTES_MAX {
        return Some(format!("it has {} bytes, and a queue takes {MESSAGE_BYTES_MAX}", body.len() + size));
    }
    if headers.len() > ATTRIBUTES_MAX {
        return Some(format!("it has {} attributes, and a queue takes {ATTRIBUTES_MAX}", headers.len()));
    }
    let is_named = |name: &str| {
        !name.is_empty()
            && name.len() <= 256
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let wrong = headers.iter().find(|(name, value)| !is_named(name) || value.is_some_and(<[u8]>::is_empty));
    wrong.map(|(name, _)| {
        format!("its attribute '{}' has no value, or a name that a queue does not take", name.escape_debug())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_out_of_an_answer() {
        let answer = json!({"Messages": [{
            "MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "Attributes": {"SentTimestamp": "7", "SenderId": "me"},
            "MessageAttributes": {
                "a": {"DataType": "String", "StringValue": "x"},
                "b": {"DataType": "Binary", "BinaryValue": "/wA="},
            },
        }]});
        let messages = received(answer.to_string().as_bytes()).unwrap();
        let message = &messages[0];
        assert_eq!((message.number("SentTimestamp"), message.fact("SenderId")), (Some(7), Some("me")));
        let both = vec![("a".to_string(), Some(b"x".to_vec())), ("b".to_string(), Some(vec![0xff, 0]))];
        assert_eq!(message.attributes, both);
        assert_eq!(received(b"{}").unwrap(), []);
        for wrong in ["", "[", "{\"Messages\":[{}]}", "{\"Messages\":[7]}"] {
            assert!(received(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"x")), ("b", Some(&[0xff, 0])), ("c", None)];
        let message = json!({"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "MessageAttributes": attributes(headers)});
        let read = one(&message).unwrap().attributes;
        assert_eq!(read, [("a".to_string(), Some(b"x".to_vec())), ("b".to_string(), Some(vec![0xff, 0]))]);
    }

    #[test]
    fn what_no_queue_takes_is_known_before() {
        let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
        let many: Vec<(String, Option<&[u8]>)> = (0..11).map(|n| (n.to_string(), Some(&b"x"[..]))).collect();
        let many: Vec<(&str, Option<&[u8]>)> =
            many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        type Case<'a> = (&'a str, &'a [(&'a str, Option<&'a [u8]>)], &'a str);
        let cases: [Case<'_>; 6] = [
            ("", &[], "empty"),
            ("a\u{1}", &[], "U+0001"),
            (&long, &[], "1048576"),
            ("x", &many, "11 attributes"),
            ("x", &[("a b", Some(b"x"))], "'a b'"),
            ("x", &[("a", Some(b""))], "'a'"),
        ];
        for (body, headers, words) in cases {
            assert!(refused(body, headers).is_some_and(|reason| reason.contains(words)), "{words}");
        }
        assert_eq!(refused("ü\n", &[("ce_id", Some(b"7"))]), None);
    }
}
