//! What a server says of a stream: ids, entries, how many there were, and whether some are gone that were not read.

use super::resp::Value;
use crate::messages::{Done, ServerError};

/// `MILLISECONDS-SEQUENCE`, of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub ms: u64,
    pub sequence: u64,
}

impl Id {
    pub(super) fn parse(text: &str) -> Option<Id> {
        let (ms, sequence) = text.split_once('-').unwrap_or((text, "0"));
        Some(Id { ms: ms.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    fn of(value: &Value) -> Option<Id> {
        Id::parse(value.text()?)
    }

    /// The last id before it: what lies behind that one begins with this one.
    pub(super) fn before(self) -> Id {
        match (self.ms, self.sequence) {
            (0, 0) => self,
            (ms, 0) => Id { ms: ms - 1, sequence: u64::MAX },
            (ms, sequence) => Id { ms, sequence: sequence - 1 },
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.ms, self.sequence)
    }
}

pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub id: Id,
    /// None of an entry that a group has delivered, and that is deleted by now.
    pub fields: Option<Fields>,
}

impl Entry {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let fields = self.fields.iter().flatten().map(|(name, value)| name.len() + value.len() + 48);
        fields.sum::<usize>() + 64
    }
}

/// The entries in a list of them.
pub(super) fn entries(value: &Value) -> Done<Vec<Entry>> {
    let wrong = || ServerError::malformed("an entry is not understood");
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        value => value.list().ok_or_else(wrong)?,
    };
    // Version 6 says of a claimed entry that is deleted that there is nothing.
    let entry = |value: &Value| {
        let [id, fields] = value.list().ok_or_else(wrong)? else { return Err(wrong()) };
        let id = Id::of(id).ok_or_else(wrong)?;
        let fields = match fields {
            Value::Null => None,
            fields => {
                let (pairs, []) = fields.list().ok_or_else(wrong)?.as_chunks::<2>() else {
                    return Err(wrong());
                };
                let pair =
                    |[name, value]: &[Value; 2]| Some((name.bytes()?.to_vec(), value.bytes()?.to_vec()));
                Some(pairs.iter().map(pair).collect::<Option<Fields>>().ok_or_else(wrong)?)
            }
        };
        Ok(Entry { id, fields })
    };
    list.iter().filter(|value| **value != Value::Null).map(entry).collect()
}

/// The entries of the only stream that was read: a pair of key and entries, in a list or in a map.
pub(super) fn of_read(value: &Value) -> Done<Vec<Entry>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::List(values) => match &values[..] {
            [Value::List(pair)] if pair.len() == 2 => entries(&pair[1]),
            [_, found] => entries(found),
            _ => Err(ServerError::malformed("it answers with other streams")),
        },
        _ => Err(ServerError::malformed("it does not answer with entries")),
    }
}

/// A stream as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// None of an empty one.
    pub first: Option<Id>,
    pub last: Id,
    pub length: u64,
    /// Entries that there ever were; servers before version 7 do not say.
    pub added: Option<u64>,
}

impl Stream {
    /// From the answer to `XINFO STREAM`; a stream that is not there is empty.
    pub(super) fn of(answer: &Value) -> Done<Stream> {
        if let Value::Error(words) = answer {
            return match words.contains("no such key") {
                true => Ok(Stream { added: Some(0), ..Stream::default() }),
                false => Err(super::connection::failure(words)),
            };
        }
        let wrong = |what: &str| ServerError::malformed(&format!("it does not say the stream's {what}"));
        let first = match answer.get("first-entry") {
            None | Some(Value::Null) => None,
            Some(entry) => {
                let id = entry.list().and_then(|entry| Id::of(entry.first()?));
                Some(id.ok_or_else(|| wrong("first entry"))?)
            }
        };
        Ok(Stream {
            first,
            last: answer.get("last-generated-id").and_then(Id::of).ok_or_else(|| wrong("last id"))?,
            length: answer.get("length").and_then(Value::number).ok_or_else(|| wrong("length"))?,
            added: answer.get("entries-added").and_then(Value::number),
        })
    }

    /// How many entries there were before the first that is left.
    pub(super) fn before(&self) -> Option<u64> {
        self.added.map(|added| added.saturating_sub(self.length))
    }
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub to: Id,
    /// How many entries there were up to that one, if it is known.
    pub count: Option<u64>,
}

/// What a stream has lost of what was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Nothing,
    /// It ends before what was read.
    End,
    /// It is not the stream that was read.
    All,
    /// So many entries; none if it cannot be known how many, or whether any.
    Entries(Option<u64>),
}

impl Read {
    /// Entries are trimmed from the beginning. So while the last that was read is there, or is the last of all, nothing is
    /// gone behind it; and else there must have been as many before the first as were read.
    pub(super) fn lost(self, stream: &Stream) -> Lost {
        let known = self.count.zip(stream.before()).zip(stream.added);
        if let Some(((count, _), added)) = known {
            if added < count {
                return if stream.last < self.to { Lost::End } else { Lost::All };
            }
            if stream.last < self.to {
                return Lost::End;
            }
        }
        if stream.last <= self.to || stream.first.is_some_and(|first| first <= self.to) {
            return Lost::Nothing;
        }
        match known {
            Some(((count, before), _)) if before < count => Lost::All,
            Some(((count, before), _)) if before > count => Lost::Entries(Some(before - count)),
            Some(_) => Lost::Nothing,
            None => Lost::Entries(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> Id {
        Id { ms, sequence: 0 }
    }

    #[test]
    fn ids_are_read_written_and_have_a_predecessor() {
        for text in ["0-0", "5-3", "18446744073709551615-18446744073709551615"] {
            assert_eq!(Id::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Id::parse("7"), Some(id(7)));
        for wrong in ["", "-", "1-", "x-1", "18446744073709551616-0"] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Id { ms: 7, sequence: 2 }.before(), Id { ms: 7, sequence: 1 });
        assert_eq!((id(7).before().to_string(), id(0).before()), ("6-18446744073709551615".into(), id(0)));
    }

    #[test]
    fn what_a_stream_has_lost_is_known_by_how_many_entries_there_were() {
        let stream = |first: Option<u64>, last, length, added| Stream {
            first: first.map(id),
            last: id(last),
            length,
            added: Some(added),
        };
        let read = |to, count| Read { to: id(to), count: Some(count) };
        let cases = [
            ("nothing was read", read(0, 0), stream(Some(1), 9, 9, 9), Lost::Nothing),
            ("the last is there", read(5, 5), stream(Some(5), 9, 5, 9), Lost::Nothing),
            ("what was read is trimmed", read(5, 5), stream(Some(6), 9, 4, 9), Lost::Nothing),
            ("all was read and trimmed", read(9, 9), stream(None, 9, 0, 9), Lost::Nothing),
            ("two more were trimmed", read(5, 5), stream(Some(8), 9, 2, 9), Lost::Entries(Some(2))),
            ("all is trimmed", read(5, 5), stream(None, 9, 0, 9), Lost::Entries(Some(4))),
            ("it ends before", read(9, 9), stream(Some(1), 5, 5, 5), Lost::End),
            ("it is gone", read(9, 9), stream(None, 0, 0, 0), Lost::End),
            ("it was made anew", read(5, 5), stream(Some(6), 7, 2, 2), Lost::All),
            ("made anew, and has grown", read(5, 5), stream(Some(6), 20, 14, 14), Lost::All),
            ("made anew, grown and trimmed", read(5, 5), stream(Some(12), 20, 10, 14), Lost::All),
        ];
        for (name, read, stream, lost) in cases {
            assert_eq!(read.lost(&stream), lost, "{name}");
        }
        let unknown = Read { to: id(5), count: None };
        assert_eq!(unknown.lost(&stream(Some(8), 9, 2, 9)), Lost::Entries(None));
        assert_eq!(unknown.lost(&stream(Some(1), 9, 9, 9)), Lost::Nothing);
        assert_eq!(unknown.lost(&stream(Some(1), 4, 4, 4)), Lost::Nothing);
    }

    fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn entries_are_read_from_both_versions_of_an_answer() {
        let fields = Value::List(vec![text("body"), text("{}")]);
        let found = Value::List(vec![
            Value::List(vec![text("5-1"), fields]),
            Value::List(vec![text("5-2"), Value::Null]),
        ]);
        let expected = [
            Entry { id: Id { ms: 5, sequence: 1 }, fields: Some(vec![(b"body".to_vec(), b"{}".to_vec())]) },
            Entry { id: Id { ms: 5, sequence: 2 }, fields: None },
        ];
        let second = Value::List(vec![Value::List(vec![text("s"), found.clone()])]);
        let third = Value::List(vec![text("s"), found]);
        assert_eq!(of_read(&second).unwrap(), expected);
        assert_eq!(of_read(&third).unwrap(), expected);
        assert_eq!(of_read(&Value::Null).unwrap(), []);
        let odd = Value::List(vec![text("5-1"), Value::List(vec![text("alone")])]);
        for wrong in [text("x"), Value::List(vec![text("x")]), Value::List(vec![Value::List(vec![odd])])] {
            assert!(entries(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_server_says_of_a_stream_is_understood() {
        let entry = |id: &str| Value::List(vec![text(id), Value::List(vec![text("a"), text("b")])]);
        let mut answer = vec![
            text("length"),
            Value::Integer(2),
            text("last-generated-id"),
            text("9-0"),
            text("entries-added"),
            Value::Integer(7),
            text("first-entry"),
            entry("8-0"),
        ];
        let stream = Stream::of(&Value::List(answer.clone())).unwrap();
        assert_eq!(stream, Stream { first: Some(id(8)), last: id(9), length: 2, added: Some(7) });
        assert_eq!(stream.before(), Some(5));
        answer.drain(4..6);
        assert_eq!(Stream::of(&Value::List(answer)).unwrap().before(), None);
        let missing = Stream::of(&Value::Error("ERR no such key".into())).unwrap();
        assert_eq!(missing, Stream { added: Some(0), ..Stream::default() });
        assert!(Stream::of(&Value::Error("WRONGTYPE".into())).is_err());
        assert!(Stream::of(&Value::List(Vec::new())).is_err());
    }
}
