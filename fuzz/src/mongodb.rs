//! What a MongoDB server says to a lookup, to a sink, and to a feed of changes: who it is, documents, changes, what became of
//! writes.

use crate::stores::{positions, send};
use crate::tables::{all_columns, table};
use crate::{choice, script};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use connectors::Connectors;
use dataflow::connector::{ConnectorTable, Role};
use dataflow::feed::FeedRequest;
use dataflow::lookup::LookupRequest;
use dataflow::sink::Sink;
use formats::bson::{Bson, BsonColumns, Document};
use std::sync::Arc;

/// What an input for us begins with; no other server begins so.
pub const FIRST: u8 = b'G';
const HAULS_MAX: usize = 100;
const URI: [(&str, &str); 3] = [("uri", "mongodb://server"), ("database", "d"), ("collection", "things")];

/// The next byte chooses whom the server speaks to; what is behind it may also be a document.
pub fn answers(data: &[u8]) {
    let Some((who, said)) = choice(data) else { return };
    document(said);
    let connectors = connectors::table(Connectors { os: script::os(said), log: Some(positions().clone()) });
    match who % 5 {
        0 => look_up(&connectors),
        1 => write(&connectors, false),
        2 => write(&connectors, true),
        3 => follow(&connectors, "initial"),
        _ => follow(&connectors, "latest-offset"),
    }
}

/// What can be read can be written, shown, and perhaps be a row.
fn document(bytes: &[u8]) {
    let Ok((document, _)) = Document::first_of(bytes) else { return };
    assert!(Document::from_bytes(&document.to_bytes()).is_ok(), "a document that is not read again");
    document.to_json();
    let table = table(&[]);
    let mut columns = BsonColumns::new(&table.schema, &all_columns(&table)).expect("columns");
    let rows = usize::from(columns.push(&document, false).is_ok());
    assert_eq!(columns.finish().expect("rows").num_rows(), rows);
}

/// Reads the documents and the changes that the script has, to its end.
fn follow(connectors: &ConnectorTable, mode: &str) {
    let mut table = table(&[
        ("connector", "mongodb-cdc"),
        ("hosts", "server"),
        ("database", "d"),
        ("collection", "things"),
        ("scan.startup.mode", mode),
    ]);
    let definition = Arc::make_mut(&mut table);
    let mut fields = definition.schema.fields().to_vec();
    fields.push(Arc::new(Field::new("_id", DataType::Utf8, false)));
    definition.schema = Arc::new(Schema::new(fields));
    definition.primary_key = vec!["_id".into()];
    let cdc = connectors.find("mongodb-cdc").expect("a connector");
    let mut feed = cdc.feed(FeedRequest { table, identity: String::new() }).expect("a table of documents");
    let mut position = None;
    // The second time it goes on where the first one ended.
    for _ in 0..2 {
        if feed.open(position.as_deref()).is_err() {
            return;
        }
        for _ in 0..HAULS_MAX {
            let Ok(haul) = feed.poll(0) else { break };
            assert!(haul.records.is_empty() || haul.position.is_some(), "documents landed without a place");
            position = haul.position.or(position);
        }
    }
}

fn look_up(connectors: &ConnectorTable) {
    let table = table(&[&[("connector", "mongodb")], &URI[..]].concat());
    let projection = all_columns(&table);
    let request = LookupRequest { table, projection, keys: vec![0], timeout_ms: 1000 };
    let mongodb = connectors.find("mongodb").expect("a connector");
    let mut lookup = mongodb.lookup(request).expect("a table of documents");
    let key = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let keys = Arc::new(Int64Array::from(vec![1, 2]));
    let keys = RecordBatch::try_new(Arc::new(key), vec![keys]).expect("two keys");
    if let Ok(found) = lookup.find(&keys) {
        let rows: usize = found.counts.iter().map(|count| *count as usize).sum();
        assert_eq!((found.counts.len(), found.rows.num_rows()), (keys.num_rows(), rows));
    }
}

fn write(connectors: &ConnectorTable, has_key: bool) {
    let more = [("connector", "mongodb"), ("dead-letter.topic", "letters"), ("sink.max-retries", "0")];
    let mut table = table(&[&more[..], &URI[..]].concat());
    if has_key {
        Arc::make_mut(&mut table).primary_key = vec!["id".into()];
    }
    let mongodb = connectors.find("mongodb").expect("a connector");
    mongodb.probe(&table, Role::Sink, 1_000);
    let Ok(Sink::Outbox(mut sink)) = mongodb.sink(&table, "job") else { panic!("a table that is right") };
    let ids = Arc::new(Int64Array::from(vec![1, 2, 1]));
    let mut columns: Vec<arrow_array::ArrayRef> = vec![ids];
    let rest = table.schema.fields().iter().skip(1);
    columns.extend(rest.map(|field| arrow_array::new_null_array(field.data_type(), 3)));
    let rows = RecordBatch::try_new(table.schema.clone(), columns).expect("rows");
    send(&mut *sink, rows);
}

/// A message of the server.
fn message(to: i32, document: &Document) -> Vec<u8> {
    let mut out = vec![0; 4];
    for number in [0, to, 2013, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(0);
    document.write(&mut out);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// One input for each of those who hear the server.
pub fn seeds() -> Vec<Vec<u8>> {
    let ok = || Document::new().with("ok", 1.0);
    let hello = ok().with("isWritablePrimary", true).with("maxWireVersion", 21).with("setName", "rs");
    let cursor = |name: &str, documents: Vec<Bson>, id: i64| {
        let token = Document::new().with("_data", "82");
        let inside = Document::new().with(name, documents).with("id", id).with("postBatchResumeToken", token);
        ok().with("cursor", inside)
    };
    let thing = |id: i32| Document::new().with("_id", id).with("id", id).with("name", "a");
    let things = || vec![thing(1).into(), thing(2).into()];
    let token = || Document::new().with("_data", "83");
    let change = |kind: &str| Document::new().with("_id", token()).with("operationType", kind);
    let changes = || {
        vec![
            change("insert").with("fullDocument", thing(3)).into(),
            change("update").with("splitEvent", Document::new().with("fragment", 1).with("of", 2)).into(),
            change("update")
                .with("splitEvent", Document::new().with("fragment", 2).with("of", 2))
                .with("fullDocument", thing(1))
                .into(),
            change("delete").with("documentKey", Document::new().with("_id", 1)).into(),
            change("invalidate").into(),
        ]
    };
    let problem =
        |index: i32| Document::new().with("index", index).with("code", 11_000).with("errmsg", "index: n_1");
    let refused = |index: i32| ok().with("writeErrors", vec![problem(index).into()]);
    let said = |who: u8, answers: Vec<Document>| {
        let mut input = vec![FIRST, who];
        for (answer, number) in answers.iter().zip(1..) {
            input.extend(message(number, answer));
        }
        input
    };
    let look = || cursor("firstBatch", vec![Document::new().with("name", "things").into()], 0);
    vec![
        said(0, vec![hello.clone(), cursor("firstBatch", things(), 7), cursor("nextBatch", things(), 0)]),
        said(1, vec![hello.clone(), look(), refused(1).with("n", 2), cursor("firstBatch", things(), 0)]),
        said(2, vec![hello.clone(), look(), refused(0).with("n", 1), refused(0), ok().with("n", 1)]),
        said(
            3,
            vec![
                hello.clone(),
                look(),
                cursor("firstBatch", Vec::new(), 7),
                ok(),
                cursor("firstBatch", things(), 0),
                cursor("firstBatch", changes(), 9),
            ],
        ),
        said(
            4,
            vec![
                hello,
                look(),
                cursor("firstBatch", Vec::new(), 7),
                ok(),
                cursor("firstBatch", Vec::new(), 9),
                cursor("nextBatch", changes(), 9),
            ],
        ),
    ]
}
