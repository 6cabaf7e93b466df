//! Messages as the service's JSON has them.

use crate::landed::Headers;
use crate::messages::is_time;
use crate::service::{Done, Leased, ServiceError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub id: String,
    /// Or why it cannot be read, with what came.
    pub data: Result<Vec<u8>, String>,
    pub attributes: Headers,
    pub publish_ms: Option<i64>,
    pub ordering_key: Option<String>,
    pub delivery_attempt: Option<i64>,
}

impl Message {
    pub(super) fn attribute(&self, wanted: &str) -> Option<&[u8]> {
        self.attributes.iter().find(|(name, _)| name == wanted)?.1.as_deref()
    }

    fn bytes(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.data.as_ref().map_or_else(String::len, Vec::len) + attributes
    }
}

/// The messages of an answer to `pull`.
pub(super) fn received(body: &[u8]) -> Done<Vec<Leased<Message>>> {
    let answer: Value =
        serde_json::from_slice(body).map_err(|_| ServiceError::malformed("messages are no JSON"))?;
    let Some(Value::Array(messages)) = answer.get("receivedMessages") else { return Ok(Vec::new()) };
    messages
        .iter()
        .map(|message| one(message).ok_or_else(|| ServiceError::malformed("a message lacks a part")))
        .collect()
}

fn one(received: &Value) -> Option<Leased<Message>> {
    let said = received.get("message")?;
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    // What is empty is left out of the service's JSON.
    let data = text("data").unwrap_or_default();
    let attributes = said.get("attributes").and_then(Value::as_object).into_iter().flatten();
    let attributes = attributes.map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        (name.clone(), Some(value.into_bytes()))
    });
    let publish_ms = text("publishTime").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let message = Message {
        id: text("messageId")?.to_string(),
        data: STANDARD.decode(data).map_err(|_| data.to_string()),
        attributes: attributes.collect(),
        publish_ms: publish_ms.map(|time| time.timestamp_millis()).filter(is_time),
        ordering_key: text("orderingKey").filter(|key| !key.is_empty()).map(str::to_string),
        delivery_attempt: received.get("deliveryAttempt").and_then(Value::as_i64),
    };
    let receipt = received.get("ackId")?.as_str()?.to_string();
    Some(Leased { receipt, bytes: message.bytes(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_taken_out_of_an_answer() {
        let answer = json!({"receivedMessages": [
            {"ackId": "r", "deliveryAttempt": 3, "message": {
                "messageId": "7", "data": "/wA=", "attributes": {"a": "x"}, "orderingKey": "k",
                "publishTime": "2026-11-29T12:00:00.123456789Z"}},
            {"ackId": "s", "message": {"messageId": "8", "orderingKey": ""}},
            {"ackId": "t", "message": {"messageId": "9", "data": "?"}},
        ]});
        let messages = received(answer.to_string().as_bytes()).unwrap();
        let whole = Message {
            id: "7".into(),
            data: Ok(vec![0xff, 0]),
            attributes: vec![("a".into(), Some(b"x".to_vec()))],
            publish_ms: Some(1_795_953_600_123),
            ordering_key: Some("k".into()),
            delivery_attempt: Some(3),
        };
        assert_eq!((messages[0].receipt.as_str(), messages[0].bytes), ("r", 4));
        assert_eq!(messages[0].message, whole);
        assert_eq!(whole.attribute("a"), Some(&b"x"[..]));
        assert_eq!((&messages[1].message.data, &messages[1].message.ordering_key), (&Ok(Vec::new()), &None));
        assert_eq!(messages[2].message.data, Err("?".to_string()));
        assert!(received(b"{}").unwrap().is_empty());
        for wrong in [
            "",
            "[",
            r#"{"receivedMessages":[{}]}"#,
            r#"{"receivedMessages":[{"message":{"messageId":"1"}}]}"#,
        ] {
            assert!(received(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
