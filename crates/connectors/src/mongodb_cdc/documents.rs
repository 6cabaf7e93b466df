//! Reads the documents that are there, in the order of their ids, so that reading goes on behind the last that has landed.

use super::options::ID;
use super::position::Reading;
use super::record::{self, Origin};
use crate::mongodb::Session;
use base::ErrorKind;
use dataflow::feed::FeedRecord;
use formats::ChangeKind;
use formats::bson::{Bson, Document};
use mongo_client::{WireError, Wired, batch, broken, code};
use std::collections::VecDeque;

/// A haul is no larger, but for its last document.
const HAUL_BYTES_WANTED: usize = 1 << 20;

/// Kinds of ids in the order in which the server sorts them; those of a line are as one.
const ORDER: &[&[&str]] = &[
    &["minKey"],
    &["undefined"],
    &["null"],
    &["double", "int", "long", "decimal"],
    &["string", "symbol"],
    &["object"],
    &["array"],
    &["binData"],
    &["objectId"],
    &["bool"],
    &["date"],
    &["timestamp"],
    &["regex"],
    &["dbPointer"],
    &["javascript"],
    &["javascriptWithScope"],
    &["maxKey"],
];

/// A cursor over the documents, and what it has given and nobody has taken.
pub(super) struct Documents {
    cursor: i64,
    waiting: VecDeque<Document>,
}

/// The fields that are wanted of a document, its id first: some servers keep this order.
pub(super) fn projection(names: &[String]) -> Document {
    let mut projection = Document::new().with(ID, 1);
    for name in names.iter().filter(|name| *name != ID) {
        projection.push(name, 1);
    }
    projection
}

/// Only those behind an id. A comparison is among ids of its kind alone, so those of later kinds are named.
fn behind(last: &Bson) -> Document {
    let id = |condition: Document| Document::new().with(ID, condition);
    let kind = last.kind();
    let later = ORDER.iter().skip_while(|kinds| !kinds.contains(&kind)).skip(1);
    let later: Vec<Bson> = later.flat_map(|kinds| kinds.iter().map(|kind| Bson::from(*kind))).collect();
    let greater = id(Document::new().with("$gt", last.clone()));
    if later.is_empty() {
        return greater;
    }
    Document::new().with("$or", vec![greater.into(), id(Document::new().with("$type", later)).into()])
}

impl Documents {
    /// Begins to read behind what has landed.
    pub(super) fn open(
        session: &mut Session,
        reading: &Reading,
        projection: &Document,
        batch_size: i32,
    ) -> Wired<Documents> {
        // What may be taken back is not read; nor is it missed, if it was written before the place from which changes are told and
        // is on most servers only later.
        let mut concern = Document::new().with("level", "majority");
        if let Some((seconds, increment)) = reading.after {
            concern.push("afterClusterTime", Bson::Timestamp { seconds, increment });
        }
        let mut command = Document::new()
            .with("find", session.collection.as_str())
            .with("filter", reading.last.as_ref().map(behind).unwrap_or_default())
            .with("sort", Document::new().with(ID, 1))
            .with("batchSize", batch_size)
            .with("readConcern", concern);
        if !projection.is_empty() {
            command.push("projection", projection.clone());
        }
        let answer = session.command(command).map_err(|error| match reading.after {
            // A server that has just been elected may not have come so far.
            Some(_) if error.code == code::INVALID_OPTIONS => {
                WireError { kind: ErrorKind::Unavailable, ..error }
            }
            _ => error,
        });
        let answer = batch(answer?)?;
        Ok(Documents { cursor: answer.cursor, waiting: answer.documents.into() })
    }

    /// By which the server knows it; 0 where there is no more.
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    pub(super) fn are_read(&self) -> bool {
        self.cursor == 0 && self.waiting.is_empty()
    }

    /// Some more documents, or none yet; what is read lies in front of `reading`.
    pub(super) fn next(
        &mut self,
        session: &mut Session,
        reading: &mut Reading,
        batch_size: i32,
        now_ms: i64,
    ) -> Wired<Vec<FeedRecord>> {
        if self.waiting.is_empty() && self.cursor != 0 {
            let command = Document::new()
                .with("getMore", self.cursor)
                .with("collection", session.collection.as_str())
                .with("batchSize", batch_size);
            let answer = batch(session.command(command)?)?;
            self.cursor = answer.cursor;
            self.waiting.extend(answer.documents);
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        let (database, collection) = (session.database.as_str(), session.collection.as_str());
        while bytes < HAUL_BYTES_WANTED
            && let Some(document) = self.waiting.pop_front()
        {
            let id = document.get(ID).ok_or_else(|| broken("the server gives a document without its _id"))?;
            reading.last = Some(id.clone());
            let origin = Origin { database, collection, time_ms: 0 };
            let value = record::encode(ChangeKind::Insert, origin, &document);
            bytes += value.len();
            records.push(FeedRecord { timestamp_ms: now_ms, value: Some(value), ..FeedRecord::default() });
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_behind_an_id_of_any_kind() {
        let json = |id: Bson| behind(&id).to_json();
        assert_eq!(
            json(Bson::Int32(5)),
            r#"{"$or":[{"_id":{"$gt":5}},{"_id":{"$type":["string","symbol","object","array","binData","objectId","bool","date","timestamp","regex","dbPointer","javascript","javascriptWithScope","maxKey"]}}]}"#
        );
        assert_eq!(json(Bson::MaxKey), r#"{"_id":{"$gt":{"$maxKey":1}}}"#);
        // Each kind has its place.
        let all = [Bson::MinKey, Bson::Undefined, Bson::Null, 1.0.into(), "a".into(), Document::new().into()];
        assert!(all.iter().all(|one| ORDER.iter().any(|kinds| kinds.contains(&one.kind()))));
        assert_eq!(projection(&["a".into()]).to_json(), r#"{"_id":1,"a":1}"#);
    }
}
