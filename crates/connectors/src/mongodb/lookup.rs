//! Looks documents up by fields: one question for all keys of a group, whose answers are told apart by what they hold.

use super::options::ID;
use super::session::{Session, server_error};
use super::store::read_object_id;
use crate::lookup_options;
use crate::messages::told;
use arrow_array::RecordBatch;
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use formats::bson::{Bson, BsonColumns, Document, bson_value};
use formats::print::value_text;
use mongo_client::{Wired, batch, broken, wrong};
use std::collections::HashMap;
use std::time::Duration;

/// Keys of one question.
const KEYS_MAX: usize = 1000;
/// Documents of one group of keys; more are no answer that a join could want.
const FOUND_MAX: usize = 1_000_000;
/// Bytes of all answers for one group of keys; in memory they are some times as many.
const FOUND_BYTES_MAX: usize = 64 << 20;

/// What the columns of a key have, as texts.
type Texts = Vec<Option<String>>;

pub(super) struct MongoLookup {
    request: LookupRequest,
    /// Names of the keys' columns.
    names: Vec<String>,
    session: Session,
    retries_max: u32,
}

impl MongoLookup {
    pub(super) fn new(request: LookupRequest, options: &Options, session: Session) -> MongoLookup {
        let fields = request.table.schema.fields();
        let names = request.keys.iter().filter_map(|column| fields.get(*column));
        let names = names.map(|field| field.name().clone()).collect();
        MongoLookup { names, session, retries_max: lookup_options::retries_max(options), request }
    }

    /// The fields that are wanted of a document; nothing asks for all of them.
    fn projection(&self) -> Document {
        let mut projection = Document::new();
        let schema = &self.request.table.schema;
        for column in self.request.projection.iter().chain(&self.request.keys) {
            let name = schema.field(*column).name();
            // It would be read as a way into a document.
            if name.contains('.') || name.starts_with('$') {
                return Document::new();
            }
            if projection.get(name).is_none() {
                projection.push(name, 1);
            }
        }
        if projection.get(ID).is_none() {
            projection.push(ID, 0);
        }
        projection
    }

    /// The documents of some keys; `bytes` counts what the answers have.
    fn ask(&mut self, keys: &RecordBatch, bytes: &mut usize) -> Wired<Vec<Document>> {
        let command = Document::new()
            .with("find", self.session.collection.as_str())
            .with("filter", filter(&self.names, keys).map_err(wrong)?)
            .with("projection", self.projection())
            .with("maxTimeMS", i64::try_from(self.request.timeout_ms.max(1)).unwrap_or(i64::MAX));
        let until = self.session.now().saturating_add(Duration::from_millis(self.request.timeout_ms));
        let mut answer = batch(self.session.command(command)?)?;
        let mut found = std::mem::take(&mut answer.documents);
        self.count(bytes)?;
        while answer.cursor != 0 {
            let more = Document::new()
                .with("getMore", answer.cursor)
                .with("collection", self.session.collection.as_str());
            answer = batch(self.session.command(more)?)?;
            found.append(&mut answer.documents);
            self.count(bytes)?;
            if self.session.now() > until {
                return Err(broken("the server takes too long to give all documents of some keys"));
            }
            if found.len() > FOUND_MAX {
                return Err(wrong(format!("more than {FOUND_MAX} documents are found for some keys")));
            }
        }
        Ok(found)
    }

    fn count(&self, bytes: &mut usize) -> Wired<()> {
        *bytes = bytes.saturating_add(self.session.answer_bytes());
        match *bytes > FOUND_BYTES_MAX {
            true => Err(wrong(format!(
                "the documents that are found for some keys have more than {FOUND_BYTES_MAX} bytes; declare fewer of their fields"
            ))),
            false => Ok(()),
        }
    }

    fn find_in(&mut self, keys: &RecordBatch) -> Wired<Found> {
        let LookupRequest { table, projection, keys: columns, .. } = self.request.clone();
        let mut rows = BsonColumns::new(&table.schema, &projection).map_err(wrong)?;
        let mut counts = Vec::with_capacity(keys.num_rows());
        let mut bytes = 0;
        for from in (0..keys.num_rows()).step_by(KEYS_MAX) {
            let keys = keys.slice(from, KEYS_MAX.min(keys.num_rows() - from));
            let found = self.ask(&keys, &mut bytes)?;
            // What a document holds in the keys' columns is compared as the columns' types have it.
            let mut held = BsonColumns::new(&table.schema, &columns).map_err(wrong)?;
            // An array is found by each of its items, and has no place in such a column.
            let fits: Vec<&Document> =
                found.iter().filter(|document| held.push(document, false).is_ok()).collect();
            let mut by_key: HashMap<Texts, Vec<(Texts, &Document)>> = HashMap::new();
            let held = held.finish().map_err(wrong)?;
            for (row, document) in fits.into_iter().enumerate() {
                let texts = texts(&held, row);
                by_key.entry(folded(&texts)).or_default().push((texts, document));
            }
            for key in 0..keys.num_rows() {
                let key = texts(&keys, key);
                let found = by_key.get(&folded(&key)).map(Vec::as_slice).unwrap_or_default();
                let mut count = 0;
                for (_, document) in found.iter().filter(|(held, document)| self.is_of(document, held, &key))
                {
                    rows.push(document, false).map_err(wrong)?;
                    count += 1;
                }
                counts.push(count);
            }
        }
        Ok(Found { rows: rows.finish().map_err(wrong)?, counts })
    }
}

/// In one form where they are equal, or only the digits of an ObjectId are written otherwise.
fn folded(texts: &[Option<String>]) -> Texts {
    let one = |text: &String| match read_object_id(text) {
        Some(_) => text.to_ascii_lowercase(),
        None => text.clone(),
    };
    texts.iter().map(|text| text.as_ref().map(one)).collect()
}

fn texts(rows: &RecordBatch, row: usize) -> Texts {
    rows.columns().iter().map(|column| value_text(column, row)).collect()
}

/// What a field may hold where a column has a value: a text is an ObjectId, too, if it reads as one.
fn values(value: Bson) -> Vec<Bson> {
    match &value {
        Bson::String(text) => match read_object_id(text) {
            Some(id) => vec![value, Bson::ObjectId(id)],
            None => vec![value],
        },
        _ => vec![value],
    }
}

fn filter(names: &[String], keys: &RecordBatch) -> Result<Document, String> {
    let any = |values: Vec<Bson>| Document::new().with("$in", values);
    if let ([name], [column]) = (names, keys.columns()) {
        let mut all = Vec::with_capacity(keys.num_rows());
        for row in 0..keys.num_rows() {
            all.extend(values(bson_value(column.as_ref(), row)?));
        }
        return Ok(Document::new().with(name, any(all)));
    }
    let mut cases: Vec<Bson> = Vec::with_capacity(keys.num_rows());
    for row in 0..keys.num_rows() {
        let mut case = Document::new();
        for (name, column) in names.iter().zip(keys.columns()) {
            case.push(name, any(values(bson_value(column.as_ref(), row)?)));
        }
        cases.push(case.into());
    }
    Ok(Document::new().with("$or", cases))
}

impl Lookup for MongoLookup {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        if keys.num_rows() == 0 {
            let nothing = BsonColumns::new(&self.request.table.schema, &self.request.projection);
            let rows = nothing.and_then(|mut rows| rows.finish());
            let rows = rows.map_err(|message| self.error(wrong(message)))?;
            return Ok(Found { rows, counts: Vec::new() });
        }
        self.find_in(keys).map_err(|error| self.error(error))
    }

    fn retries_max(&self) -> u32 {
        self.retries_max
    }
}

impl MongoLookup {
    /// Whether a document is one of a key that is as good as equal: letters of digits count in texts, and not in ObjectIds.
    fn is_of(&self, document: &Document, held: &[Option<String>], key: &[Option<String>]) -> bool {
        self.names
            .iter()
            .zip(held.iter().zip(key))
            .all(|(name, (held, key))| held == key || matches!(document.get(name), Some(Bson::ObjectId(_))))
    }

    fn error(&self, error: mongo_client::WireError) -> SourceError {
        let (kind, message) = told(&self.request.table, server_error(error));
        SourceError { kind, message }
    }
}
