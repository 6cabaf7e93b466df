//! Reads what a replication slot sends: the frames of the replication protocol, and in them the messages of pgoutput.
//!
//! pgoutput is PostgreSQL's own plugin of logical decoding, here in version 1: the changes of one transaction after the
//! other, in the order of their commits, values as texts. A message that ends too early, or counts more than it holds, is
//! no message.

use std::collections::BTreeSet;

/// What is between our epoch and PostgreSQL's, 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;

/// A frame of the replication protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A message of the plugin.
    Data(&'a [u8]),
    /// All that lies before `end` has been sent; a server that asks for an answer may hang up without one.
    KeepAlive { end: u64, wants_answer: bool },
}

/// A message of pgoutput.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    Begin {
        /// Where the record of the commit lies.
        commit_lsn: u64,
        commit_ms: i64,
        xid: u32,
    },
    Commit {
        /// Where the record of the commit ends.
        end_lsn: u64,
    },
    Relation(Relation),
    Insert {
        relation: u32,
        new: Vec<Value<'a>>,
    },
    Update {
        relation: u32,
        old: Option<Old<'a>>,
        new: Vec<Value<'a>>,
    },
    Delete {
        relation: u32,
        old: Old<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// What is of no interest: types, origins, messages of programs.
    Other,
}

/// The row that was there before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Old<'a> {
    /// All columns, as REPLICA IDENTITY FULL has it, and not those of the key alone.
    pub is_whole: bool,
    pub values: Vec<Value<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// It lies outside the row (TOAST), did not change, and was not sent.
    Unchanged,
    Text(&'a str),
}

/// A table as it is for the changes that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub id: u32,
    pub schema: String,
    pub table: String,
    /// `d`, `n`, `i` or `f`.
    pub identity: u8,
    pub columns: Vec<RelationColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RelationColumn {
    pub name: String,
    pub oid: u32,
}

pub(super) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = Rest(bytes);
    match rest.u8()? {
        b'w' => {
            rest.take(24)?;
            Some(Frame::Data(rest.0))
        }
        b'k' => {
            let end = rest.u64()?;
            rest.take(8)?;
            Some(Frame::KeepAlive { end, wants_answer: rest.u8()? != 0 })
        }
        _ => None,
    }
}

/// What tells the server how far its log is safe with us, and may ask it for a keep-alive.
pub(super) fn status(received: u64, safe: u64, now_ms: i64, wants_answer: bool) -> Vec<u8> {
    let mut out = vec![b'r'];
    for lsn in [received.max(safe), safe, safe] {
        out.extend_from_slice(&lsn.to_be_bytes());
    }
    out.extend_from_slice(&now_ms.saturating_mul(1000).saturating_sub(EPOCH_US).to_be_bytes());
    out.push(u8::from(wants_answer));
    out
}

pub(super) fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let mut rest = Rest(bytes);
    Some(match rest.u8()? {
        b'B' => {
            let commit_lsn = rest.u64()?;
            let commit_ms = rest.i64()?.saturating_add(EPOCH_US).div_euclid(1000);
            Message::Begin { commit_lsn, commit_ms, xid: rest.u32()? }
        }
        b'C' => {
            rest.take(9)?;
            Message::Commit { end_lsn: rest.u64()? }
        }
        b'R' => Message::Relation(relation(&mut rest)?),
        b'I' => {
            let relation = rest.u32()?;
            Message::Insert { relation, new: new_row(&mut rest)? }
        }
        b'U' => {
            let relation = rest.u32()?;
            let old = match rest.peek()? {
                b'N' => None,
                _ => Some(old_row(&mut rest)?),
            };
            Message::Update { relation, old, new: new_row(&mut rest)? }
        }
        b'D' => {
            let relation = rest.u32()?;
            Message::Delete { relation, old: old_row(&mut rest)? }
        }
        b'T' => {
            let count = rest.u32()?;
            rest.take(1)?;
            let relations = (0..count).map(|_| rest.u32()).collect::<Option<BTreeSet<u32>>>()?;
            Message::Truncate { relations: relations.into_iter().collect() }
        }
        _ => Message::Other,
    })
}

fn relation(rest: &mut Rest<'_>) -> Option<Relation> {
    let id = rest.u32()?;
    let (schema, table) = (rest.text()?.to_string(), rest.text()?.to_string());
    let identity = rest.u8()?;
    let count = rest.u16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        rest.take(1)?;
        let name = rest.text()?.to_string();
        let oid = rest.u32()?;
        rest.take(4)?;
        columns.push(RelationColumn { name, oid });
    }
    // An empty name is the schema of the system's own tables.
    let schema = if schema.is_empty() { "pg_catalog".into() } else { schema };
    Some(Relation { id, schema, table, identity, columns })
}

fn new_row<'a>(rest: &mut Rest<'a>) -> Option<Vec<Value<'a>>> {
    if rest.u8()? == b'N' { row(rest) } else { None }
}

fn old_row<'a>(rest: &mut Rest<'a>) -> Option<Old<'a>> {
    let is_whole = match rest.u8()? {
        b'O' => true,
        b'K' => false,
        _ => return None,
    };
    Some(Old { is_whole, values: row(rest)? })
}

fn row<'a>(rest: &mut Rest<'a>) -> Option<Vec<Value<'a>>> {
    let count = rest.u16()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match rest.u8()? {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            b't' => {
                let length = usize::try_from(rest.u32()?).ok()?;
                Value::Text(std::str::from_utf8(rest.take(length)?).ok()?)
            }
            _ => return None,
        });
    }
    Some(values)
}

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(end)?).ok()?;
        self.take(1)?;
        Some(text)
    }
}

/// A place in the server's log as it writes it: `16/B374D848`.
pub(super) fn shown_lsn(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

pub(super) fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from(u32::from_str_radix(high, 16).ok()?) << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update of a row under REPLICA IDENTITY FULL, as PostgreSQL 15 sends it.
    fn update() -> Vec<u8> {
        let mut bytes = b"U\0\0\x40\x01O\0\x03t\0\0\0\x017t\0\0\0\x02hin".to_vec();
        bytes.extend_from_slice(b"N\0\x03t\0\0\0\x017ut\0\0\0\x03new");
        bytes
    }

    #[test]
    fn an_update_has_both_rows() {
        let bytes = update();
        let Some(Message::Update { relation, old: Some(old), new }) = message(&bytes) else { panic!() };
        assert_eq!(relation, 0x4001);
        assert!(old.is_whole);
        assert_eq!(old.values, [Value::Text("7"), Value::Text("hi"), Value::Null]);
        assert_eq!(new, [Value::Text("7"), Value::Unchanged, Value::Text("new")]);
    }

    #[test]
    fn what_ends_too_early_is_no_message() {
        let mut relation = b"R\0\0\x40\x01public\0t\0d\0\x01\x01id\0".to_vec();
        relation.extend_from_slice(&[0, 0, 0, 23, 255, 255, 255, 255]);
        let begin = [&b"B"[..], &7u64.to_be_bytes(), &0i64.to_be_bytes(), &9u32.to_be_bytes()].concat();
        let commit = [&b"C\0"[..], &7u64.to_be_bytes(), &8u64.to_be_bytes(), &0i64.to_be_bytes()].concat();
        let truncate = b"T\0\0\0\x01\0\0\0\x40\x01".to_vec();
        let delete = b"D\0\0\x40\x01K\0\x01t\0\0\0\x017".to_vec();
        for whole in [update(), relation, begin, truncate, delete] {
            assert!(message(&whole).is_some());
            for length in 0..whole.len() {
                assert_eq!(message(&whole[..length]), None, "{length} of {whole:?}");
            }
        }
        assert_eq!(message(&commit), Some(Message::Commit { end_lsn: 8 }));
        assert_eq!(message(b"T\xff\xff\xff\xff\0\0\0\0\0"), None);
        let Some(Message::Begin { commit_ms, .. }) =
            message(&[&b"B"[..], &[0; 8], &1_500i64.to_be_bytes(), &[0; 4]].concat())
        else {
            panic!()
        };
        assert_eq!(commit_ms, 946_684_800_001);
    }

    #[test]
    fn frames_are_told_apart() {
        let data = [&b"w"[..], &[0; 24], b"xyz"].concat();
        assert_eq!(frame(&data), Some(Frame::Data(b"xyz")));
        let keep_alive = [&b"k"[..], &9u64.to_be_bytes(), &[0; 8], &[1]].concat();
        assert_eq!(frame(&keep_alive), Some(Frame::KeepAlive { end: 9, wants_answer: true }));
        assert_eq!(frame(&keep_alive[..17]), None);
        assert_eq!(frame(b"x"), None);
        let status = status(3, 5, 946_684_800_001, true);
        assert_eq!((status.len(), &status[25..33], status[33]), (34, &1_000i64.to_be_bytes()[..], 1));
    }

    #[test]
    fn places_of_the_log_are_shown_as_the_server_does() {
        for text in ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(lsn(text).map(shown_lsn).as_deref(), Some(text));
        }
        assert_eq!((lsn("16"), lsn("x/1"), lsn("100000000/1")), (None, None, None));
    }
}
