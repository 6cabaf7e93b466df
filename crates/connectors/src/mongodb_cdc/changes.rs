//! The changes of a collection as the server tells them: a stream that begins behind a place, and events that become records.

use super::options::ID;
use super::position::Place;
use super::record::{self, Origin};
use crate::mongodb::{Session, server_error};
use dataflow::connector::{Probed, Role};
use dataflow::feed::FeedRecord;
use formats::ChangeKind;
use formats::bson::{Bson, Document};
use mongo_client::{Batch, Wired, batch, broken, wrong};
use std::collections::VecDeque;
use std::time::Duration;

/// Servers from 7.0 on tell in parts what is larger than a document may be.
const SPLITS_WIRE_VERSION: i64 = 21;
/// What is told of one change at most, in parts.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// For the first answer behind a place: the server looks through all of its log since then, of other collections, too.
const SCAN_TIMEOUT: Duration = Duration::from_secs(300);

/// A stream of changes, and what it has told and nobody has taken.
pub(super) struct Changes {
    cursor: i64,
    waiting: VecDeque<Document>,
    /// Behind all that was told, once nothing waits any more.
    behind: Option<Document>,
    /// The parts so far of a change that is told in parts.
    parts: Option<Document>,
    /// The server has not come to the end of its log yet.
    is_first: bool,
}

/// What an event is to us.
enum Event {
    Change(ChangeKind, Document),
    /// It changes no document, or one that is gone again: its deletion follows.
    Nothing,
}

impl Changes {
    /// Begins to listen behind a place, or now. With a batch size of 0 the server answers before it looks for changes.
    pub(super) fn open(
        session: &mut Session,
        place: Option<&Place>,
        batch_size: i32,
    ) -> Wired<(Changes, Batch)> {
        let mut stream = Document::new().with("fullDocument", "updateLookup");
        match place {
            None => {}
            Some(Place::Token(token)) => stream.push("resumeAfter", token.clone()),
            Some(Place::Moment { seconds, increment }) => {
                let moment = Bson::Timestamp { seconds: *seconds, increment: *increment };
                stream.push("startAtOperationTime", moment);
            }
        }
        let mut pipeline: Vec<Bson> = vec![Document::new().with("$changeStream", stream).into()];
        if session.connection()?.wire_version() >= SPLITS_WIRE_VERSION {
            pipeline.push(Document::new().with("$changeStreamSplitLargeEvent", Document::new()).into());
        }
        let command = Document::new()
            .with("aggregate", session.collection.as_str())
            .with("pipeline", pipeline)
            .with("cursor", Document::new().with("batchSize", batch_size))
            .with("readConcern", Document::new().with("level", "majority"));
        let mut answer = batch(session.command(command)?)?;
        let waiting = std::mem::take(&mut answer.documents).into();
        let behind = answer.resume_token.clone();
        Ok((Changes { cursor: answer.cursor, waiting, behind, parts: None, is_first: true }, answer))
    }

    /// Ends the stream; a server that is gone has ended it.
    pub(super) fn close(self, session: &mut Session) -> Wired<()> {
        let command = Document::new()
            .with("killCursors", session.collection.as_str())
            .with("cursors", vec![Bson::Int64(self.cursor)]);
        session.command(command).map(drop)
    }

    /// By which the server knows it; 0 where it has ended.
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Waits for changes, if none wait already.
    pub(super) fn listen(&mut self, session: &mut Session, batch_size: i32, wait: Duration) -> Wired<()> {
        if !self.waiting.is_empty() {
            return Ok(());
        }
        if self.cursor == 0 {
            return Err(broken("the server has ended the stream of changes"));
        }
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
        let command = Document::new()
            .with("getMore", self.cursor)
            .with("collection", session.collection.as_str())
            .with("batchSize", batch_size)
            .with("maxTimeMS", wait_ms);
        let timeout = session.timeout();
        let timeout = if self.is_first { timeout.max(SCAN_TIMEOUT) } else { timeout };
        let answer = batch(session.command_within(command, timeout)?)?;
        self.is_first = false;
        self.cursor = answer.cursor;
        self.waiting = answer.documents.into();
        self.behind = answer.resume_token;
        Ok(())
    }

    /// The next changes up to a number of bytes, with the declared fields alone, or all if none is named; `place` moves behind
    /// them. What is wrong with one comes when those before it
    /// have been taken.
    pub(super) fn take(
        &mut self,
        session: &Session,
        place: &mut Place,
        declared: &Document,
        bytes_wanted: usize,
    ) -> (Vec<FeedRecord>, Wired<()>) {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_wanted
            && let Some(event) = self.waiting.pop_front()
        {
            let taken = self.whole(event).and_then(|whole| {
                let Some(event) = whole else { return Ok(None) };
                let token = event.document(ID).cloned();
                let token = token.ok_or_else(|| broken("the server tells a change without its token"))?;
                Ok(Some((record(session, &event, declared)?, token)))
            });
            match taken {
                Ok(None) => {}
                Ok(Some((record, token))) => {
                    *place = Place::Token(token);
                    bytes += record.as_ref().and_then(|record| record.value.as_ref()).map_or(0, Vec::len);
                    records.extend(record);
                }
                Err(error) => return (records, Err(error)),
            }
        }
        // The server knows how far it has looked, also where nothing concerned us.
        if self.waiting.is_empty()
            && self.parts.is_none()
            && let Some(behind) = self.behind.take()
        {
            *place = Place::Token(behind);
        }
        (records, Ok(()))
    }

    /// An event, once all of its parts have come.
    fn whole(&mut self, event: Document) -> Wired<Option<Document>> {
        let Some(part) = event.document("splitEvent") else { return Ok(Some(event)) };
        let is_last = part.number("fragment") == part.number("of");
        let mut whole = self.parts.take().unwrap_or_default();
        for (name, value) in event.0 {
            match whole.0.iter_mut().find(|(known, _)| *known == name) {
                // The last part's token is that of the whole.
                Some((_, known)) => *known = value,
                None => whole.0.push((name, value)),
            }
        }
        if is_last {
            return Ok(Some(whole));
        }
        if whole.to_bytes().len() > EVENT_BYTES_MAX {
            return Err(broken("the server tells a change in more parts than a document can have"));
        }
        self.parts = Some(whole);
        Ok(None)
    }
}

fn record(session: &Session, event: &Document, declared: &Document) -> Wired<Option<FeedRecord>> {
    let Event::Change(kind, mut document) = read(session, event)? else { return Ok(None) };
    // An event has all fields, whatever is wanted of them.
    document.0.retain(|(name, _)| declared.is_empty() || declared.get(name).is_some());
    let time_ms = match (event.get("wallTime"), event.get("clusterTime")) {
        (Some(Bson::DateTime(ms)), _) => *ms,
        (_, Some(Bson::Timestamp { seconds, .. })) => i64::from(*seconds) * 1000,
        _ => 0,
    };
    let place = event.document("ns");
    let named = |key: &str| place.and_then(|place| place.text(key));
    let origin = Origin {
        database: named("db").unwrap_or(&session.database),
        collection: named("coll").unwrap_or(&session.collection),
        time_ms,
    };
    let value = record::encode(kind, origin, &document);
    Ok(Some(FeedRecord { timestamp_ms: time_ms, value: Some(value), ..FeedRecord::default() }))
}

fn read(session: &Session, event: &Document) -> Wired<Event> {
    let kind = match event.text("operationType") {
        Some("insert") => ChangeKind::Insert,
        Some("update" | "replace") => ChangeKind::UpdateAfter,
        Some("delete") => {
            let key = event.document("documentKey").and_then(|key| key.get(ID));
            let id = key.ok_or_else(|| broken("the server tells a deletion without its _id"))?;
            return Ok(Event::Change(ChangeKind::Delete, Document::new().with(ID, id.clone())));
        }
        Some(gone @ ("drop" | "rename" | "dropDatabase" | "invalidate")) => {
            return Err(wrong(format!(
                "the collection {}.{} was dropped or renamed ({gone}), and the server does not say which documents were in it; \
                 begin with a new job",
                session.database, session.collection
            )));
        }
        // An index, options of the collection, its shards.
        _ => return Ok(Event::Nothing),
    };
    Ok(match event.document("fullDocument").filter(|document| document.get(ID).is_some()) {
        Some(document) => Event::Change(kind, document.clone()),
        None => Event::Nothing,
    })
}

/// What `connector test` asks.
pub(super) fn probe(mut session: Session, role: Role) -> Vec<Probed> {
    // A stream that is opened and ended tells whether there will be one.
    let listened = Changes::open(&mut session, None, 1).and_then(|(changes, _)| changes.close(&mut session));
    if listened.as_ref().is_err_and(|error| error.code == 0) {
        return session.probe(role);
    }
    let listened = match listened {
        Ok(()) => Probed::well("changes", "the server tells them"),
        Err(error) => Probed::failed("changes", server_error(error).message),
    };
    let mut probed = session.probe(role);
    probed.push(listened);
    probed
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongo_client::{Address, OptionNames};
    use os::sim::SimOs;

    fn session() -> Session {
        let names = OptionNames { password: "'password'", address: "'hosts'" };
        let address =
            Address::parse("mongodb://a", names).unwrap_or_else(|message| panic!("{message}")).address;
        Session::new(&SimOs::new(1).os(), address, "shop", "orders", Duration::from_secs(1))
    }

    fn token(data: &str) -> Document {
        Document::new().with("_data", data)
    }

    fn event(data: &str, kind: &str) -> Document {
        Document::new()
            .with(ID, token(data))
            .with("operationType", kind)
            .with("clusterTime", Bson::Timestamp { seconds: 7, increment: 1 })
    }

    fn insert(data: &str, id: i32) -> Document {
        let document = Document::new().with(ID, id).with("a", id).with("undeclared", id);
        event(data, "insert").with("fullDocument", document)
    }

    fn told(events: Vec<Document>, behind: Option<&str>) -> Changes {
        Changes { cursor: 1, waiting: events.into(), behind: behind.map(token), parts: None, is_first: false }
    }

    fn take(changes: &mut Changes, bytes: usize) -> (Vec<String>, Place, Wired<()>) {
        let mut place = Place::Token(token("before"));
        let declared = Document::new().with(ID, 1).with("a", 1);
        let (records, result) = changes.take(&session(), &mut place, &declared, bytes);
        let shown = records.iter().map(|one| {
            let json = record::as_json(one.value.as_deref().unwrap_or_default()).unwrap();
            String::from_utf8(json).unwrap()
        });
        (shown.collect(), place, result)
    }

    #[test]
    fn events_become_records_and_the_place_moves_behind_them() {
        let key = Document::new().with(ID, 3).with("shard", 9);
        let events = vec![
            insert("1", 1),
            event("2", "update").with("fullDocument", Document::new().with(ID, 2)),
            // It is gone again.
            event("3", "update").with("fullDocument", Bson::Null),
            event("4", "delete").with("documentKey", key),
            event("5", "createIndexes"),
        ];
        let mut changes = told(events, Some("9"));
        let (records, place, result) = take(&mut changes, 1 << 20);
        let line = |kind: &str, document: &str| {
            format!(
                r#"{{"kind":"{kind}","database":"shop","collection":"orders","ts_ms":7000,"document":{document}}}"#
            )
        };
        assert_eq!(
            records,
            [line("+I", r#"{"_id":1,"a":1}"#), line("+U", r#"{"_id":2}"#), line("-D", r#"{"_id":3}"#)]
        );
        assert_eq!((place, result), (Place::Token(token("9")), Ok(())));
    }

    #[test]
    fn a_haul_ends_where_it_is_large_enough() {
        let mut changes = told(vec![insert("1", 1), insert("2", 2)], Some("9"));
        let (records, place, _) = take(&mut changes, 1);
        assert_eq!((records.len(), place), (1, Place::Token(token("1"))));
        let (records, place, _) = take(&mut changes, 1);
        assert_eq!((records.len(), place), (1, Place::Token(token("9"))));
    }

    #[test]
    fn what_comes_before_a_drop_is_taken() {
        let mut changes = told(vec![insert("1", 1), event("2", "drop"), event("3", "invalidate")], None);
        let (records, place, result) = take(&mut changes, 1 << 20);
        assert_eq!((records.len(), place), (1, Place::Token(token("1"))));
        assert!(result.unwrap_err().message.contains("shop.orders was dropped or renamed (drop)"));
    }

    #[test]
    fn parts_of_a_change_are_put_together() {
        let part = |number: i32, data: &str| {
            let split = Document::new().with("fragment", number).with("of", 2);
            Document::new().with(ID, token(data)).with("splitEvent", split)
        };
        let first = part(1, "1").with("operationType", "replace");
        let second = part(2, "2").with("fullDocument", Document::new().with(ID, 5));
        let mut changes = told(vec![first], Some("1"));
        let (records, place, _) = take(&mut changes, 1 << 20);
        // A job that is started again must hear the first part again.
        assert_eq!((records.len(), place), (0, Place::Token(token("before"))));
        changes.waiting.push_back(second);
        changes.behind = Some(token("2"));
        let (records, place, _) = take(&mut changes, 1 << 20);
        assert!(records[0].contains(r#""kind":"+U""#) && records[0].contains(r#"{"_id":5}"#), "{records:?}");
        assert_eq!(place, Place::Token(token("2")));
    }
}
