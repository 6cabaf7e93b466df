//! MongoDB without a server: what a table may say, and a sink and a lookup against a scripted one.

use super::mongodb_server::{Asked, Mongo, done, found, nothing, ok, problem};
use super::stores::{Stored, people_table, told};
use super::*;
use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use base::ErrorKind;
use dataflow::batch::RowKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest};
use dataflow::lookup::LookupRequest;
use dataflow::plan::Changelog;
use formats::bson::{Bson, Document};

fn options<'a>(uri: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: BTreeMap<&str, &str> =
        [("uri", uri), ("database", "shop"), ("collection", "people"), ("sink.retry.interval", "1 ms")]
            .into();
    all.extend(more.iter().copied());
    [("connector", "mongodb")].into_iter().chain(all).collect()
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Sink, &[("sink.delivery-guarantee", "at-least-once"), ("scan.fetch-size", "5")], ""),
        (Role::Lookup, &[("lookup.cache", "PARTIAL"), ("lookup.partial-cache.max-rows", "5")], ""),
        (Role::Source, &[], "can be written, not read"),
        (Role::Sink, &[("uri", "mongodb+srv://a")], "'mongodb+srv' is not supported"),
        (Role::Sink, &[("uri", "mongodb://me:se/cret@a")], "write '/'"),
        (Role::Sink, &[("username", "me")], "there is a user in 'uri' already"),
        (Role::Sink, &[("uri", "mongodb://a"), ("password", "secret")], "'password' needs 'username'"),
        (Role::Sink, &[("database", "a.b")], "'database' is the name of one database"),
        (Role::Sink, &[("collection", "$cmd")], "'collection' is the name of one collection"),
        (Role::Sink, &[("sink.bypass-document-validation", "true")], "can be false alone"),
        (Role::Lookup, &[("lookup.cache", "PARTIAL")], "a cache that never forgets"),
        (Role::Sink, &[("sink.buffer-flush.max-row", "1")], "did you mean 'sink.buffer-flush.max-rows'?"),
    ];
    for (role, more, words) in cases {
        let told = told(&node, &people_table(&options("mongodb://me:secret@a", more), false), *role);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{more:?}: {told}");
        assert!(!told.contains("cret@"), "{told}");
    }
    let with = |columns: &[(&str, DataType)], key: &[&str]| {
        let table = table(schema(columns), &options("mongodb://a", &[]));
        let primary_key = key.iter().map(ToString::to_string).collect();
        told(&node, &TableDefinition { primary_key, ..(*table).clone() }, Role::Sink)
    };
    assert_eq!(with(&[("_id", DataType::Utf8), ("a", DataType::Int64)], &["_id"]), "");
    assert!(with(&[("_id", DataType::Utf8)], &[]).contains("declare PRIMARY KEY (_id)"));
    assert!(
        with(&[("_id", DataType::Utf8), ("a", DataType::Utf8)], &["a"]).contains("is not the primary key")
    );
    assert!(with(&[("a.b", DataType::Utf8)], &[]).contains("no field can be set by"));
    assert!(with(&[("a", DataType::Date32)], &[]).contains("MongoDB has no DATE"));
    let within = |name: &str, data_type: DataType| {
        DataType::Struct(vec![arrow_schema::Field::new(name, data_type, true)].into())
    };
    let operator = within("a", within("$gt", DataType::Int64));
    assert_eq!(with(&[("k", within("a", DataType::Int64))], &["k"]), "");
    assert_eq!(with(&[("k", DataType::Int64), ("v", operator.clone())], &["k"]), "");
    assert!(with(&[("k", operator)], &["k"]).contains("would be read as an operator"));
    let entries = DataType::Struct(
        vec![
            arrow_schema::Field::new("key", DataType::Utf8, false),
            arrow_schema::Field::new("value", DataType::Int64, true),
        ]
        .into(),
    );
    let map = DataType::Map(Arc::new(arrow_schema::Field::new("entries", entries, false)), false);
    assert_eq!(with(&[("k", DataType::Int64), ("v", map.clone())], &["k"]), "");
    assert!(with(&[("k", map)], &["k"]).contains("would be read as an operator"));
}

const GIVEN: &[(&str, &str)] =
    &[("connector", "mongodb-cdc"), ("hosts", "a:27017,b"), ("database", "shop"), ("collection", "orders")];

fn changes(columns: &[(&str, DataType)], more: &[(&str, &str)]) -> Vec<String> {
    let mut options: BTreeMap<&str, &str> = GIVEN.iter().copied().collect();
    options.extend(more.iter().copied());
    let options: Vec<(&str, &str)> = options.into_iter().collect();
    let table = table(schema(columns), &options);
    let table = TableDefinition { primary_key: vec!["_id".into()], ..(*table).clone() };
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let cdc = connectors.find("mongodb-cdc").unwrap();
    assert_eq!(cdc.source_changelog(&table), Changelog::Upsert);
    assert!(cdc.check(&table, Role::Sink).is_err() && cdc.lands(&table) && !cdc.is_bounded(&table));
    let checked = cdc.check(&table, Role::Source);
    checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect()
}

#[test]
fn what_a_table_of_changes_says_is_looked_at() {
    let columns = [("_id", DataType::Utf8), ("n", DataType::Int64)];
    let right: &[&[(&str, &str)]] = &[
        &[],
        &[
            ("username", "me"),
            ("password", "secret"),
            ("connection.options", "replicaSet=rs&authSource=shop"),
        ],
        &[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1700000000000")],
        &[
            ("scan.full-changelog", "true"),
            ("scan.incremental.snapshot.enabled", "true"),
            ("scan.incremental.snapshot.chunk.size.mb", "64"),
            ("initial.snapshotting.max.threads", "2"),
            ("poll.await.time.ms", "1500"),
        ],
    ];
    for more in right {
        assert_eq!(changes(&columns, more), [""; 0], "{more:?}");
    }
    let wrong = [
        ("hosts", "me:secret@a", "it is a list of HOST:PORT"),
        ("scheme", "mongodb+srv", "'scheme' = 'mongodb+srv' is not supported: name the servers"),
        ("connection.options", "tlsInsecure=true", "the server must prove who it is"),
        ("collection", "shop.*", "regular expressions are not supported"),
        ("scan.startup.mode", "timestamp", "wants 'scan.startup.timestamp-millis'"),
        ("scan.startup.timestamp-millis", "5", "wants 'scan.startup.mode' = 'timestamp'"),
        ("scan.startup.mode", "snapshot", "is not supported"),
        ("initial.snapshotting.pipeline", "[]", "filter in the query"),
        ("debezium.poll", "1", "there is no Debezium here"),
        ("password", "secret", "'password' needs 'username'"),
    ];
    for (key, value, told) in wrong {
        let said = changes(&columns, &[(key, value)]);
        assert!(said.len() == 1 && said[0].contains(told), "{key}={value}: {said:?}");
        assert!(!said[0].contains("secret@"), "{said:?}");
    }
}

/// A feed of the changes of a server on loopback.
fn feed(port: u16) -> Box<dyn Feed> {
    let host = format!("127.0.0.1:{port}");
    let mut options: BTreeMap<&str, &str> = GIVEN.iter().copied().collect();
    options.insert("hosts", &host);
    let options: Vec<(&str, &str)> = options.into_iter().collect();
    let table = table(schema(&[("_id", DataType::Int32)]), &options);
    let table = Arc::new(TableDefinition { primary_key: vec!["_id".into()], ..(*table).clone() });
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let request = FeedRequest { table, identity: "job".into() };
    connectors.find("mongodb-cdc").unwrap().feed(request).unwrap()
}

#[test]
fn documents_are_read_as_they_are_behind_the_place_and_forgotten_cursors_are_opened_anew() {
    let commands: Arc<std::sync::Mutex<Vec<Document>>> = Arc::default();
    let noted = commands.clone();
    let mut is_known = false;
    let token = |data: &str| Document::new().with("_data", data);
    let mongo = Mongo::start(move |asked| {
        noted.lock().unwrap().push(asked.command.clone());
        let cursor = |name: &str, documents: Vec<Bson>, id: i64| {
            let cursor = Document::new().with(name, documents).with("id", id);
            ok().with("cursor", cursor.with("postBatchResumeToken", token("8")))
        };
        match (asked.name(), asked.command.number("getMore")) {
            ("ping", _) => ok().with("operationTime", Bson::Timestamp { seconds: 9, increment: 2 }),
            ("aggregate", _) => cursor("firstBatch", Vec::new(), 5),
            ("find", _) => cursor("firstBatch", vec![Document::new().with("_id", 1).into()], 11),
            (_, Some(11)) => cursor("nextBatch", Vec::new(), 0),
            // A rest was too long.
            (_, Some(5)) if !std::mem::replace(&mut is_known, true) => {
                Document::new().with("ok", 0.0).with("code", 43).with("errmsg", "cursor not found")
            }
            (_, Some(5)) => {
                let event = Document::new().with("_id", token("9")).with("operationType", "insert");
                let event = event.with("fullDocument", Document::new().with("_id", 2));
                cursor("nextBatch", vec![event.into()], 5)
            }
            _ => found(Vec::new()),
        }
    });
    let mut first = feed(mongo.port);
    first.open(None).unwrap();
    let begun = first.poll(1).unwrap().position.unwrap();
    drop(first);
    let named = |name: &str| {
        let commands = commands.lock().unwrap();
        commands.iter().filter(|command| command.0[0].0 == name).cloned().collect::<Vec<_>>()
    };
    assert_eq!(named("killCursors").last().unwrap().array("cursors"), Some(&[Bson::Int64(11)][..]));
    // One that goes on does not ask where the log ends now.
    let mut feed = feed(mongo.port);
    feed.open(Some(&begun)).unwrap();
    assert_eq!(named("ping").len(), 1);
    let found = named("find");
    assert_eq!(found.len(), 2);
    for find in found {
        let after = Bson::Timestamp { seconds: 9, increment: 2 };
        let concern = Document::new().with("level", "majority").with("afterClusterTime", after);
        assert_eq!(find.document("readConcern"), Some(&concern));
        assert_eq!(find.get("noCursorTimeout"), None);
    }
    assert_eq!(feed.poll(1).unwrap().records.len(), 1);
    // That all are read lands.
    let read = feed.poll(1).unwrap();
    assert!(read.records.is_empty() && read.position.is_some());
    assert!(feed.poll(1).unwrap().is_empty());
    assert_eq!(feed.poll(1).unwrap().records.len(), 1);
    let streams = named("aggregate");
    assert_eq!(streams.len(), 3);
    for stream in &streams[1..] {
        // It is answered before the server has looked through its log.
        assert_eq!(stream.document("cursor").and_then(|cursor| cursor.number("batchSize")), Some(0));
        assert!(stream.to_json().contains(r#""resumeAfter":{"_data":"8"}"#), "{}", stream.to_json());
    }
    drop(feed);
    assert_eq!(named("killCursors").last().unwrap().array("cursors"), Some(&[Bson::Int64(5)][..]));
}

/// A sink of people, and the server that it writes to.
fn sink(
    node: &Node,
    more: &[(&str, &str)],
    has_key: bool,
    say: impl FnMut(&Asked) -> Document + Send + 'static,
) -> (Mongo, Stored) {
    let mongo = Mongo::start(say);
    let uri = format!("mongodb://127.0.0.1:{}/?replicaSet=rs", mongo.port);
    let mut stored = Stored::new(node, &options(&uri, more), has_key);
    stored.open().unwrap();
    (mongo, stored)
}

fn well(asked: &Asked) -> Document {
    match asked.name() {
        "listCollections" | "find" => found(Vec::new()),
        _ => done(asked.documents.len()),
    }
}

#[test]
fn rows_with_a_key_set_fields_and_delete_documents() {
    let node = Node::start();
    let (mongo, mut stored) = sink(&node, &[], true, well);
    stored.apply(&[
        (RowKind::Insert, 1, "a"),
        (RowKind::Insert, 2, "b"),
        (RowKind::UpdateAfter, 1, "c"),
        (RowKind::Delete, 2, "b"),
        (RowKind::Insert, 3, "d"),
    ]);
    assert_eq!(stored.commit().unwrap(), 5);
    let update = |id: i64, name: &str| {
        format!(r#"{{"q":{{"_id":{id}}},"u":{{"$set":{{"id":{id},"name":"{name}"}}}},"upsert":true}}"#)
    };
    assert_eq!(
        mongo.asked(),
        [
            // What it held under a unique index may be another's then.
            r#"delete {"q":{"_id":2},"limit":1}"#.to_string(),
            format!("update {} {}", update(1, "c"), update(3, "d")),
        ]
    );
    assert_eq!(stored.open().unwrap(), 5);
}

#[test]
fn where_the_last_change_of_a_key_is_refused_the_one_before_it_goes() {
    let node = Node::start();
    let mut updates = 0;
    let (mongo, mut stored) = sink(&node, &[("dead-letter.topic", "letters")], true, move |asked| {
        updates += usize::from(asked.name() == "update");
        if asked.name() == "update" && updates == 1 {
            return problem(asked, 1, 121, "Document failed validation");
        }
        well(asked)
    });
    stored.apply(&[
        (RowKind::Insert, 1, "kept"),
        (RowKind::Insert, 2, "x"),
        (RowKind::UpdateAfter, 1, "bad"),
    ]);
    // What is refused has to lie in its topic first.
    assert_eq!(stored.commit().unwrap(), 0);
    let asked = mongo.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].contains("bad") && !asked[0].contains("kept"), "{asked:?}");
    assert!(asked[1].contains("kept") && !asked[1].contains(r#""x""#), "{asked:?}");
    let rejected = stored.sink.take_rejected();
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].reason.contains("Document failed validation (code 121)"), "{}", rejected[0].reason);
    assert_eq!(stored.commit().unwrap(), 3);
}

#[test]
fn without_a_dead_letter_topic_a_refused_row_fails_the_job() {
    let node = Node::start();
    let (_, mut stored) = sink(&node, &[], true, |asked| match asked.name() {
        "update" => {
            problem(asked, 0, 11_000, "E11000 duplicate key error collection: shop.people index: n_1 dup key")
        }
        _ => well(asked),
    });
    stored.apply(&[(RowKind::Insert, 1, "a")]);
    let error = stored.commit().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.message.contains("index: n_1") && error.message.contains("dead-letter.topic"),
        "{}",
        error.message
    );
}

#[test]
fn rows_without_a_key_have_ids_that_stay_and_what_is_there_is_taken() {
    let node = Node::start();
    let there: Arc<std::sync::Mutex<Vec<Document>>> = Arc::default();
    let documents = there.clone();
    let mut answers = 0;
    let id = |document: &Document| document.get("_id").cloned();
    let (mongo, mut stored) = sink(&node, &[("dead-letter.topic", "letters")], false, move |asked| {
        let mut documents = documents.lock().unwrap();
        let is_known = |new: &Document, all: &[Document]| all.iter().any(|old| id(old) == id(new));
        match asked.name() {
            "insert" => {
                let new = asked.documents.iter();
                let known: Vec<usize> = new
                    .enumerate()
                    .filter_map(|(place, new)| is_known(new, &documents).then_some(place))
                    .collect();
                let new: Vec<Document> =
                    asked.documents.iter().filter(|new| !is_known(new, &documents)).cloned().collect();
                documents.extend(new);
                answers += 1;
                // The first time it dies when it has them; later it does not say which index has complained.
                if answers == 1 { nothing() } else { asked.but_for(&known) }
            }
            "find" => {
                let wanted = asked.command.document("filter").and_then(|filter| filter.get("_id")).cloned();
                found(documents.iter().filter(|one| one.get("_id") == wanted.as_ref()).cloned().collect())
            }
            _ => well(asked),
        }
    });
    stored.add(&[7, 8]);
    assert_eq!(stored.commit().unwrap_err().kind, ErrorKind::Unavailable);
    let ids = || there.lock().unwrap().iter().filter_map(id).collect::<Vec<_>>();
    let first = ids();
    assert!(matches!(first[..], [Bson::ObjectId(_), Bson::ObjectId(_)]) && first[0] != first[1]);
    // A node that did not hear what was taken sends it again, also one that is started anew.
    mongo.asked();
    let uri = format!("mongodb://127.0.0.1:{}", mongo.port);
    let mut again = Stored::new(&node, &options(&uri, &[("dead-letter.topic", "letters")]), false);
    assert_eq!(again.open().unwrap(), 0);
    again.add(&[7, 8]);
    assert_eq!(again.commit().unwrap(), 2);
    assert!(again.sink.take_rejected().is_empty());
    assert_eq!(ids(), first);
    let asked = mongo.asked();
    assert!(
        asked[0].starts_with(r#"insert {"_id":{"$oid":""#) && asked[0].contains(r#""name":"x""#),
        "{asked:?}"
    );
    again.add(&[9]);
    assert_eq!(again.commit().unwrap(), 3);
    assert_eq!(ids().len(), 3);
}

#[test]
fn a_shard_that_cannot_be_reached_refuses_no_row() {
    let node = Node::start();
    let mut tries = 0;
    let (mongo, mut stored) = sink(&node, &[("dead-letter.topic", "letters")], true, move |asked| {
        tries += usize::from(asked.name() == "update");
        match tries {
            1 => problem(asked, 1, 6, "could not reach the host"),
            2 => problem(asked, 0, 10_107, "not primary"),
            _ => well(asked),
        }
    });
    stored.add(&[1, 2]);
    assert_eq!(stored.commit().unwrap(), 2);
    assert!(stored.sink.take_rejected().is_empty());
    let asked = mongo.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[1].contains("\"_id\":2") && !asked[1].contains("\"_id\":1"), "{asked:?}");
    assert_eq!(asked[1], asked[2]);
}

#[test]
fn a_write_concern_that_is_wrong_refuses_no_row() {
    let node = Node::start();
    let (mongo, mut stored) =
        sink(&node, &[("dead-letter.topic", "letters")], false, |asked| match asked.name() {
            "insert" | "delete" => {
                let answer = Document::new().with("ok", 0.0).with("code", 9);
                answer.with("errmsg", "unknown write concern mode")
            }
            _ => well(asked),
        });
    stored.add(&[1, 2, 3]);
    let error = stored.commit().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("unknown write concern mode") && error.message.contains("look at 'w'"));
    assert!(stored.sink.take_rejected().is_empty());
    assert_eq!(mongo.asked().len(), 2);
}

#[test]
fn a_command_has_no_more_writes_than_servers_take() {
    let node = Node::start();
    let more = [("sink.buffer-flush.max-rows", "0"), ("sink.buffer-flush.interval", "1 h")];
    let (mongo, mut stored) = sink(&node, &more, false, well);
    for from in 0..21 {
        stored.add(&(from * 5_000..(from + 1) * 5_000).collect::<Vec<i64>>());
    }
    assert_eq!(stored.commit().unwrap(), 105_000);
    let counts: Vec<usize> = mongo.asked().iter().map(|line| line.matches("$oid").count()).collect();
    assert_eq!(counts, [100_000, 5_000]);
}

#[test]
fn what_the_server_does_not_take_for_now_is_sent_again() {
    let node = Node::start();
    let mut tries = 0;
    let (mongo, mut stored) = sink(&node, &[], false, move |asked| match asked.name() {
        "insert" => {
            tries += 1;
            match tries {
                1 => Document::new().with("ok", 0.0).with("code", 10_107).with("errmsg", "not primary"),
                2 => Document::new()
                    .with("ok", 0.0)
                    .with("code", 50)
                    .with("errmsg", "operation exceeded time limit"),
                _ => done(1),
            }
        }
        _ => well(asked),
    });
    stored.add(&[1]);
    assert_eq!(stored.commit().unwrap(), 1);
    let asked = mongo.asked();
    assert_eq!(asked.len(), 3);
    // It is the same document each time.
    assert!(asked.iter().all(|line| line == &asked[0]), "{asked:?}");
}

#[test]
fn a_command_that_is_refused_for_one_document_is_sent_in_halves() {
    let node = Node::start();
    let (mongo, mut stored) = sink(&node, &[("dead-letter.topic", "letters")], true, |asked| {
        let is_bad = |document: &Document| document.to_json().contains("\"_id\":3");
        match asked.name() {
            "update" if asked.documents.iter().any(is_bad) => {
                Document::new().with("ok", 0.0).with("code", 2).with("errmsg", "no such value")
            }
            _ => well(asked),
        }
    });
    stored.add(&[1, 2, 3, 4]);
    stored.commit().unwrap();
    // It is asked once whether it takes writes at all.
    let asked = mongo.asked();
    assert_eq!(asked.len(), 6);
    assert_eq!(asked[1], r#"delete {"q":{"_id":{"$in":[]}},"limit":0}"#);
    let rejected = stored.sink.take_rejected();
    assert_eq!(rejected.len(), 1);
    let letter = String::from_utf8(rejected[0].value.clone().unwrap()).unwrap();
    assert_eq!(letter, r#"{"_id":3,"id":3,"name":"x"}"#);
    assert_eq!(stored.commit().unwrap(), 4);
}

#[test]
fn documents_are_found_by_what_their_fields_hold() {
    let hex = "0102030405060708090a0b0c";
    let id = Bson::ObjectId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let documents = vec![
        Document::new().with("_id", id).with("n", 5),
        Document::new().with("_id", hex).with("n", 4),
        Document::new().with("_id", "b").with("n", 6i64),
        Document::new().with("_id", "b").with("n", Bson::Double(7.0)),
        // An array is found by its items, and is no text.
        Document::new().with("_id", vec!["c".into()]).with("n", 8),
    ];
    let mongo = Mongo::start(move |asked| match asked.name() {
        "find" => {
            let oid = format!(r#"{{"$oid":"{hex}"}}"#);
            let upper = hex.to_uppercase();
            let expected = format!(r#"{{"_id":{{"$in":["{hex}",{oid},"b","c","{upper}",{oid}]}}}}"#);
            assert_eq!(asked.command.document("filter").unwrap().to_json(), expected);
            assert_eq!(asked.command.document("projection").unwrap().to_json(), r#"{"n":1,"_id":1}"#);
            found(documents.clone())
        }
        _ => ok(),
    });
    let uri = format!("mongodb://127.0.0.1:{}", mongo.port);
    let table = table(schema(&[("_id", DataType::Utf8), ("n", DataType::Int64)]), &options(&uri, &[]));
    let request = LookupRequest { table, projection: vec![1], keys: vec![0], timeout_ms: 5_000 };
    let node = Node::start();
    let mut lookup = node.connector("mongodb").lookup(request).unwrap();
    let keys = StringArray::from(vec![hex, "b", "c", &hex.to_uppercase()]);
    let keys = RecordBatch::try_new(schema(&[("_id", DataType::Utf8)]), vec![Arc::new(keys)]).unwrap();
    let found = lookup.find(&keys).unwrap();
    // However the digits are written they mean the ObjectId; a text is as it is written.
    assert_eq!(found.counts, [2, 2, 0, 1]);
    assert_eq!(found.rows.column(0).as_primitive::<Int64Type>().values(), &[5, 4, 6, 7, 5]);
    let nothing = keys.slice(0, 0);
    assert_eq!(lookup.find(&nothing).unwrap().rows.num_rows(), 0);
}

#[test]
fn a_lookup_ends_where_its_documents_are_too_large() {
    let large = "x".repeat(15 << 20);
    let mongo = Mongo::start(move |asked| {
        let document: Bson = Document::new().with("_id", "a").with("t", large.as_str()).into();
        let name = if asked.name() == "find" { "firstBatch" } else { "nextBatch" };
        match asked.name() {
            "find" | "getMore" => {
                ok().with("cursor", Document::new().with(name, vec![document]).with("id", 7i64))
            }
            _ => ok(),
        }
    });
    let uri = format!("mongodb://127.0.0.1:{}", mongo.port);
    let columns = schema(&[("_id", DataType::Utf8), ("t", DataType::Utf8)]);
    let request = LookupRequest {
        table: table(columns, &options(&uri, &[])),
        projection: vec![1],
        keys: vec![0],
        timeout_ms: 60_000,
    };
    let node = Node::start();
    let mut lookup = node.connector("mongodb").lookup(request).unwrap();
    let keys = Arc::new(StringArray::from(vec!["a"]));
    let keys = RecordBatch::try_new(schema(&[("_id", DataType::Utf8)]), vec![keys]).unwrap();
    let error = lookup.find(&keys).unwrap_err();
    assert!(error.message.contains("more than 67108864 bytes"), "{}", error.message);
    assert_eq!(mongo.asked().len(), 5);
}

#[test]
fn what_a_server_has_left_out_behind_a_refused_row_is_sent_again() {
    let node = Node::start();
    let (mongo, mut stored) = sink(&node, &[("dead-letter.topic", "letters")], true, |asked| {
        let is_bad = |document: &Document| document.to_json().contains("\"_id\":2");
        match asked.documents.iter().position(is_bad) {
            // It says neither how many were done, nor that it has stopped there.
            Some(place) => {
                let problem = problem(
                    asked,
                    place as i32,
                    11_000,
                    "E11000 duplicate key error collection: shop.people",
                );
                Document(problem.0.into_iter().filter(|(name, _)| name != "n").collect())
            }
            None => well(asked),
        }
    });
    stored.add(&[1, 2, 3]);
    stored.commit().unwrap();
    let asked = mongo.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].contains("\"_id\":1") && asked[1].contains("\"_id\":3"), "{asked:?}");
    assert_eq!(stored.sink.take_rejected().len(), 1);
    assert_eq!(stored.commit().unwrap(), 3);
}

#[test]
fn a_server_that_does_less_than_it_is_sent_is_not_believed() {
    let node = Node::start();
    let (_, mut stored) = sink(&node, &[], false, |asked| match asked.name() {
        "insert" => done(0),
        _ => well(asked),
    });
    stored.add(&[1]);
    let error = stored.commit().unwrap_err();
    assert!(
        error.kind == ErrorKind::Unavailable && error.message.contains("fewer writes"),
        "{}",
        error.message
    );
}
