//! Messages: a head of 16 bytes, flags, and a document; documents of a bulk stand behind it, without names of their own.

use crate::{WireError, Wired, broken};
use formats::bson::Document;

const OP_MSG: i32 = 2013;
const HEAD_BYTES: usize = 16;
/// A sum of four bytes stands behind the message.
const HAS_SUM: u32 = 1;
/// The lower half of the flags must be understood.
const NEEDED: u32 = 0xffff;

/// Servers send and take no more.
pub(crate) const MESSAGE_BYTES_MAX: usize = 48_000_000;
/// What a server says of itself and of a user, before both are proven.
pub(crate) const GREETING_BYTES_MAX: usize = 64 << 10;

/// What goes to the server: a command, and documents under a name of it.
pub(crate) fn request(number: i32, command: &Document, documents: Option<(&str, &[Vec<u8>])>) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&0i32.to_le_bytes());
    out.extend_from_slice(&OP_MSG.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.push(0);
    command.write(&mut out);
    if let Some((name, documents)) = documents {
        out.push(1);
        let length = 4 + name.len() + 1 + documents.iter().map(Vec::len).sum::<usize>();
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        documents.iter().for_each(|document| out.extend_from_slice(document));
    }
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// How long a message is as a whole, from its first four bytes.
pub(crate) fn length(head: [u8; 4], bytes_max: usize) -> Wired<usize> {
    usize::try_from(i32::from_le_bytes(head))
        .ok()
        .filter(|length| (HEAD_BYTES + 5..=bytes_max).contains(length))
        .ok_or_else(unreadable)
}

/// The document in an answer to a request; `body` is a message without its length.
pub fn reply(number: i32, body: &[u8]) -> Wired<Document> {
    let word = |at: usize| {
        let bytes = body.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map(i32::from_le_bytes).ok_or_else(unreadable)
    };
    let flags = word(12)? as u32;
    if word(4)? != number || word(8)? != OP_MSG || flags & NEEDED & !HAS_SUM != 0 {
        return Err(unreadable());
    }
    let rest = body.get(16..).unwrap_or_default();
    let sum_bytes = if flags & HAS_SUM == 0 { 0 } else { 4 };
    let rest = rest.len().checked_sub(sum_bytes).and_then(|length| rest.get(..length));
    match rest.and_then(<[u8]>::split_first) {
        Some((0, document)) => Document::from_bytes(document)
            .map_err(|error| broken(format!("an answer of the server cannot be read: {error}"))),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> WireError {
    broken("the server does not speak MongoDB's protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_the_specification_has_it() {
        let command = Document::new().with("insert", "c");
        let document = Document::new().with("a", 1).to_bytes();
        let bytes = request(7, &command, Some(("documents", std::slice::from_ref(&document))));
        let mut expected = (bytes.len() as u32).to_le_bytes().to_vec();
        expected.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&command.to_bytes());
        expected.push(1);
        expected.extend_from_slice(&[26, 0, 0, 0]);
        expected.extend_from_slice(b"documents\0");
        expected.extend_from_slice(&document);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_answer_is_to_its_request() {
        let document = Document::new().with("ok", 1.0);
        let mut bytes = request(3, &document, None);
        bytes[8..12].copy_from_slice(&9i32.to_le_bytes());
        let length = |head| length(head, MESSAGE_BYTES_MAX);
        assert_eq!(length([bytes[0], bytes[1], bytes[2], bytes[3]]), Ok(bytes.len()));
        assert_eq!(reply(9, &bytes[4..]), Ok(document.clone()));
        assert!(reply(8, &bytes[4..]).is_err());
        for end in 4..bytes.len() {
            assert!(reply(9, &bytes[4..end]).is_err(), "{end}");
        }
        // With a sum, which TLS makes needless.
        bytes[16] = 1;
        bytes.extend_from_slice(&[1, 2, 3, 4]);
        assert_eq!(reply(9, &bytes[4..]), Ok(document));
        bytes[16] = 2;
        assert!(reply(9, &bytes[4..]).is_err());
        assert!(length([255; 4]).is_err() && length([20, 0, 0, 0]).is_err() && length([0, 0, 0, 4]).is_err());
        assert!(length([1, 0, 1, 0]).is_ok() && super::length([1, 0, 1, 0], GREETING_BYTES_MAX).is_err());
    }
}
