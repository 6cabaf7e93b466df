//! Messages as the service's JSON has them.

use crate::landed::{Carried, Headers};
use crate::service::{Done, ServiceError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The size of a message with its attributes at most, since 2025.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Attributes of a message at most.
const ATTRIBUTES_MAX: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
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
        serde_json::from_slice(body).map_err(|_| ServiceError::malformed("messages are no JSON"))?;
    let Some(Value::Array(messages)) = answer.get("Messages") else { return Ok(Vec::new()) };
    messages
        .iter()
        .map(|message| one(message).ok_or_else(|| ServiceError::malformed("a message lacks a part")))
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
pub(crate) fn attributes(headers: &[(&str, Option<&[u8]>)]) -> Value {
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

/// What a service takes of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// For messages: `a queue`.
    pub by: &'static str,
    /// Of a message with its attributes, at most.
    pub bytes: usize,
}

impl Taken {
    pub(super) const BY_QUEUES: Taken = Taken { by: "a queue", bytes: MESSAGE_BYTES_MAX };

    /// The text that bytes become.
    pub(crate) fn body(self, value: &[u8], is_base64: bool) -> Result<String, String> {
        match std::str::from_utf8(value) {
            _ if is_base64 => Ok(STANDARD.encode(value)),
            Ok(text) => Ok(text.to_string()),
            Err(_) => Err(format!(
                "its body is no UTF-8, which {} does not take; 'body-encoding' = 'base64' does",
                self.by
            )),
        }
    }

    /// Why a message is not taken, if it is not; its trace is left out where it would not fit with it.
    pub(crate) fn fit(self, body: &str, carried: &mut Carried<'_>) -> Result<(), String> {
        if carried.traced > 0 && self.check(body, &carried.headers).is_err() {
            carried.leave_trace_out();
        }
        self.check(body, &carried.headers)
    }

    fn check(self, body: &str, headers: &[(&str, Option<&[u8]>)]) -> Result<(), String> {
        let Taken { by, bytes } = self;
        if body.is_empty() {
            return Err("its body is empty".into());
        }
        if let Some(character) = body.chars().find(|character| !is_allowed(*character)) {
            return Err(format!(
                "its body has the character U+{:04X}, which {by} does not take; 'body-encoding' = 'base64' does",
                u32::from(character)
            ));
        }
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        if body.len() + size > bytes {
            return Err(format!("it has {} bytes, and {by} takes {bytes}", body.len() + size));
        }
        if headers.len() > ATTRIBUTES_MAX {
            return Err(format!("it has {} attributes, and {by} takes {ATTRIBUTES_MAX}", headers.len()));
        }
        let is_named = |name: &str| {
            let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.len() <= 256 && name.bytes().all(is_taken)
        };
        let is_wrong =
            |name: &str, value: Option<&[u8]>| !is_named(name) || value.is_some_and(<[u8]>::is_empty);
        match headers.iter().find(|(name, value)| is_wrong(name, *value)) {
            Some((name, _)) => Err(format!(
                "its attribute '{}' has no value, or a name that {by} does not take",
                name.escape_debug()
            )),
            None => Ok(()),
        }
    }
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
            let told = Taken::BY_QUEUES.check(body, headers);
            assert!(told.is_err_and(|reason| reason.contains(words)), "{words}");
        }
        let mut traced = Carried { metadata: Vec::new(), headers: many[..10].to_vec(), traced: 0 };
        traced.headers.push((traces::TRACEPARENT, Some(b"00-")));
        assert!(Taken::BY_QUEUES.fit("x", &mut traced).is_err());
        traced.traced = 1;
        assert_eq!((Taken::BY_QUEUES.fit("x", &mut traced), traced.headers.len()), (Ok(()), 10));
        let mut traced = Carried { metadata: Vec::new(), headers: many[..10].to_vec(), traced: 1 };
        assert_eq!((Taken::BY_QUEUES.fit("x", &mut traced), traced.headers.len()), (Ok(()), 10));
        assert_eq!(Taken::BY_QUEUES.check("ü\n", &[("ce_id", Some(b"7"))]), Ok(()));
        assert!(Taken::BY_QUEUES.body(&[0xff], false).is_err_and(|reason| reason.contains("no UTF-8")));
        assert_eq!(Taken::BY_QUEUES.body(&[0xff], true).as_deref(), Ok("/w=="));
    }
}
