//! How far a feed has come: a place in the changes, and how much of the collection was read before it.
//!
//! The place is a token that the server has given, or a moment of its log where it has given none yet. While the documents are
//! read, it is the place at which reading began: all that changes meanwhile is told behind it.

use base::codec::{CodecError, FieldReader, FieldWriter};
use formats::bson::{Bson, Document};

const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// The server's own word for it.
    Token(Document),
    Moment {
        seconds: u32,
        increment: u32,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    /// The replica set, or nothing of a cluster's router.
    pub set: String,
    pub place: Place,
    /// None when all documents are read.
    pub reading: Option<Reading>,
}

/// Documents are read in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// The last that has landed.
    pub last: Option<Bson>,
    /// A moment of the server's log, seconds and a number within the second, that is not before `place`. What the server had
    /// written until then must be in what is read, since changes are told behind the place alone.
    pub after: Option<(u32, u32)>,
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(VERSION).text(&self.set);
        match &self.place {
            Place::Token(token) => out.u8(0).bytes(&token.to_bytes()),
            Place::Moment { seconds, increment } => out.u8(1).u32(*seconds).u32(*increment),
        };
        match &self.reading {
            None => {
                out.u8(0);
            }
            Some(Reading { last, after }) => {
                out.u8(1 + u8::from(last.is_some()) + 2 * u8::from(after.is_some()));
                if let Some((seconds, increment)) = after {
                    out.u32(*seconds).u32(*increment);
                }
                if let Some(id) = last {
                    out.bytes(&Document::new().with("_id", id.clone()).to_bytes());
                }
            }
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Position, CodecError> {
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(CodecError { what: "an unknown version" });
        }
        let document = |reader: &mut FieldReader<'_>| {
            Document::from_bytes(reader.bytes()?).map_err(|_| CodecError { what: "no document" })
        };
        let set = reader.text()?;
        let place = match reader.u8()? {
            0 => Place::Token(document(&mut reader)?),
            1 => Place::Moment { seconds: reader.u32()?, increment: reader.u32()? },
            _ => return Err(CodecError { what: "an unknown place" }),
        };
        let reading = match reader.u8()? {
            0 => None,
            kind @ 1..=4 => {
                let after = if kind > 2 { Some((reader.u32()?, reader.u32()?)) } else { None };
                let last = if kind % 2 == 0 { document(&mut reader)?.get("_id").cloned() } else { None };
                Some(Reading { last, after })
            }
            _ => return Err(CodecError { what: "an unknown way of reading" }),
        };
        reader.finish()?;
        Ok(Position { set, place, reading })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back() {
        let token = Place::Token(Document::new().with("_data", "8265"));
        let moment = Place::Moment { seconds: 5, increment: 6 };
        for place in [token, moment] {
            let last = Some(Bson::Int32(7));
            let after = Some((8, 9));
            let readings = [
                Reading::default(),
                Reading { last: last.clone(), after: None },
                Reading { last: None, after },
                Reading { last, after },
            ];
            for reading in readings.map(Some).into_iter().chain([None]) {
                let position = Position { set: "rs".into(), place: place.clone(), reading };
                let bytes = position.encode();
                assert_eq!(Position::decode(&bytes).as_ref(), Ok(&position));
                for length in 0..bytes.len() {
                    assert!(Position::decode(&bytes[..length]).is_err(), "{length}");
                }
            }
        }
    }
}
