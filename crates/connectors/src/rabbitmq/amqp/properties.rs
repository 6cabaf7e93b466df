//! The properties of a message (class `basic`), in a content header.

use super::fields::{self, Reader, Table, put_short_text, put_table};
use crate::messages::Done;

/// What a message says of itself; all of it may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::rabbitmq) struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub headers: Table,
    /// 2 is persistent.
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    /// Milliseconds, as text.
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
}

/// The flag of each property, in the order in which they follow one another.
mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const TYPE: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
    pub(super) const CLUSTER_ID: u16 = 1 << 2;
    /// Another word of flags follows; no property needs one.
    pub(super) const MORE: u16 = 1;
}

impl Properties {
    pub(super) fn read(reader: &mut Reader<'_>) -> Done<Properties> {
        let flags = reader.u16()?;
        let mut more = flags & flag::MORE;
        while more != 0 {
            more = reader.u16()? & flag::MORE;
        }
        let has = |flag: u16| flags & flag != 0;
        let mut properties = Properties::default();
        let text = |reader: &mut Reader<'_>, flag| has(flag).then(|| reader.short_text()).transpose();
        properties.content_type = text(reader, flag::CONTENT_TYPE)?;
        properties.content_encoding = text(reader, flag::CONTENT_ENCODING)?;
        if has(flag::HEADERS) {
            properties.headers = reader.table()?;
        }
        properties.delivery_mode = has(flag::DELIVERY_MODE).then(|| reader.u8()).transpose()?;
        properties.priority = has(flag::PRIORITY).then(|| reader.u8()).transpose()?;
        properties.correlation_id = text(reader, flag::CORRELATION_ID)?;
        properties.reply_to = text(reader, flag::REPLY_TO)?;
        properties.expiration = text(reader, flag::EXPIRATION)?;
        properties.message_id = text(reader, flag::MESSAGE_ID)?;
        properties.timestamp = has(flag::TIMESTAMP).then(|| reader.u64()).transpose()?;
        properties.kind = text(reader, flag::TYPE)?;
        properties.user_id = text(reader, flag::USER_ID)?;
        properties.app_id = text(reader, flag::APP_ID)?;
        text(reader, flag::CLUSTER_ID)?;
        Ok(properties)
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.short_texts().into_iter().filter_map(|(_, text)| text).map(str::len);
        texts.sum::<usize>() + fields::bytes_of(&self.headers)
    }

    /// Those that are short texts, with the names of their metadata.
    pub(super) fn short_texts(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("content-type", self.content_type.as_deref()),
            ("content-encoding", self.content_encoding.as_deref()),
            ("correlation-id", self.correlation_id.as_deref()),
            ("reply-to", self.reply_to.as_deref()),
            ("expiration", self.expiration.as_deref()),
            ("message-id", self.message_id.as_deref()),
            ("type", self.kind.as_deref()),
            ("app-id", self.app_id.as_deref()),
        ]
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        let mut flags = 0;
        let mut text = |out: &mut Vec<u8>, flag, text: &Option<String>| {
            if let Some(text) = text {
                flags |= flag;
                put_short_text(out, text);
            }
        };
        text(out, flag::CONTENT_TYPE, &self.content_type);
        text(out, flag::CONTENT_ENCODING, &self.content_encoding);
        let mut others = 0;
        if !self.headers.is_empty() {
            others |= flag::HEADERS;
            put_table(out, &self.headers);
        }
        if let Some(mode) = self.delivery_mode {
            others |= flag::DELIVERY_MODE;
            out.push(mode);
        }
        if let Some(priority) = self.priority {
            others |= flag::PRIORITY;
            out.push(priority);
        }
        text(out, flag::CORRELATION_ID, &self.correlation_id);
        text(out, flag::REPLY_TO, &self.reply_to);
        text(out, flag::EXPIRATION, &self.expiration);
        text(out, flag::MESSAGE_ID, &self.message_id);
        if let Some(timestamp) = self.timestamp {
            others |= flag::TIMESTAMP;
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        text(out, flag::TYPE, &self.kind);
        text(out, flag::USER_ID, &self.user_id);
        text(out, flag::APP_ID, &self.app_id);
        out[start..start + 2].copy_from_slice(&(flags | others).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Value;
    use super::*;

    #[test]
    fn properties_are_read_as_they_were_written() {
        let text = |text: &str| Some(text.to_string());
        let all = Properties {
            content_type: text("application/json"),
            content_encoding: text("identity"),
            headers: vec![("x-delivery-count".into(), Value::Int(3))],
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: text("c"),
            reply_to: text("r"),
            expiration: text("60000"),
            message_id: text("m"),
            timestamp: Some(1_700_000_000),
            kind: text("t"),
            user_id: text("u"),
            app_id: text("a"),
        };
        let some = Properties { message_id: text("m"), timestamp: Some(7), ..Properties::default() };
        for properties in [all, some, Properties::default()] {
            let mut bytes = Vec::new();
            properties.write(&mut bytes);
            assert_eq!(Properties::read(&mut Reader(&bytes)).unwrap(), properties);
            for length in 0..bytes.len() {
                assert!(Properties::read(&mut Reader(&bytes[..length])).is_err(), "cut to {length} bytes");
            }
        }
    }
}
