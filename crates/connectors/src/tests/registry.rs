//! Topics whose records carry the number of a schema: asked once, kept in the log, read again without the registry.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use base::ErrorKind;
use dataflow::connector::{ConnectorError, Role, SourceRequest};
use dataflow::sink::Sink;
use os::Listener;
use os::network::{Network, real::RealNetwork};
use serde_json::{Value, json};
use std::sync::Mutex;

/// So late that no record is too old to be kept.
const WRITTEN_MS: i64 = 4_000_000_000_000;

/// A registry of Confluent's protocol in a thread: the number of a schema is its place, from 1.
struct FakeRegistry {
    url: String,
    listener: Arc<dyn Listener>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeRegistry {
    fn start() -> FakeRegistry {
        let listener: Arc<dyn Listener> = RealNetwork::default().listen("127.0.0.1:0").unwrap().into();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (accepting, noted) = (listener.clone(), requests.clone());
        std::thread::spawn(move || {
            let mut schemas: Vec<Value> = Vec::new();
            while let Ok(stream) = accepting.accept() {
                let mut bytes = vec![0; 1 << 16];
                let mut length = 0;
                while !is_whole(&bytes[..length]) {
                    match stream.read(&mut bytes[length..]) {
                        Ok(count @ 1..) => length += count,
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let (status, body) = answer(&text, &mut schemas);
                noted.lock().unwrap().push(text);
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        FakeRegistry { url: format!("http://{}", listener.address()), listener, requests }
    }

    /// What was asked since the last time: the first line of each request.
    fn asked(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.iter().map(|request| request.lines().next().unwrap().to_string()).collect()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.listener.close();
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    body.len() >= length.parse::<usize>().unwrap()
}

fn answer(request: &str, schemas: &mut Vec<Value>) -> (u16, Value) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut line = head.split(' ');
    let (method, path) = (line.next().unwrap(), line.next().unwrap());
    if head.contains("Authorization: Basic d3Jvbmc6d3Jvbmc=") {
        return (401, json!({"error_code": 401, "message": "Unauthorized"}));
    }
    match method {
        "POST" if path.contains("refused") => {
            (409, json!({"error_code": 409, "message": "Schema being registered is incompatible"}))
        }
        "POST" => {
            let schema: Value = serde_json::from_str(body).unwrap();
            let place = schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
                schemas.push(schema);
                schemas.len() - 1
            });
            (200, json!({"id": place + 1}))
        }
        _ => {
            let id: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            match schemas.get(id - 1) {
                Some(schema) => (200, schema.clone()),
                None => (404, json!({"error_code": 40403, "message": "Schema not found"})),
            }
        }
    }
}

fn orders(registry: &FakeRegistry, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut all = vec![
        ("connector", "kafka"),
        ("topic", "orders"),
        ("format", "avro-confluent"),
        ("avro-confluent.url", &registry.url),
        ("scan.startup.mode", "earliest-offset"),
    ];
    all.extend_from_slice(options);
    table(schema(&[("id", DataType::Int64), ("city", DataType::Utf8)]), &all)
}

fn write(node: &Node, table: &Arc<TableDefinition>, ids: &[i64]) -> Result<(), ConnectorError> {
    let cities = StringArray::from(vec!["Bern"; ids.len()]);
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(cities)];
    let rows = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    let Sink::Topic(mut sink) = node.connector("kafka").sink(table, "job")? else { panic!("a topic sink") };
    node.append("orders", sink.encode(&batch(rows), 1, WRITTEN_MS).unwrap());
    Ok(())
}

fn source(node: &Node, table: &Arc<TableDefinition>) -> Box<dyn Source> {
    let request = SourceRequest { table: table.clone(), projection: vec![0, 1], metadata: Vec::new() };
    node.connector("kafka").source(request).unwrap()
}

fn ids(reads: &[Read]) -> Vec<i64> {
    reads.iter().flat_map(|read| read.rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn read(node: &Node, table: &Arc<TableDefinition>) -> Vec<Read> {
    let mut source = source(node, table);
    let split = source.splits().unwrap().remove(0);
    read_all(source.as_mut(), &split, Position(0), 10)
}

#[test]
fn a_schema_is_asked_for_once_and_then_needs_no_registry() {
    let registry = FakeRegistry::start();
    let mut node = Node::start();
    node.create_topic("orders", 1);
    let table = orders(&registry, &[]);
    write(&node, &table, &[1, 2]).unwrap();
    assert_eq!(registry.asked(), ["POST /subjects/orders-value/versions HTTP/1.1"]);
    assert_eq!(ids(&read(&node, &table)), [1, 2]);
    assert_eq!(registry.asked(), ["GET /schemas/ids/1 HTTP/1.1"]);
    // As after a restart: whoever asks now finds the answers in the log, and the registry has gone.
    drop(registry);
    node.connectors = crate::table(Connectors { os: Os::real(), log: Some(node.log.clone()) });
    write(&node, &table, &[3]).unwrap();
    assert_eq!(ids(&read(&node, &table)), [1, 2, 3]);
}

#[test]
fn a_registry_that_is_away_stops_the_job_for_now_and_harms_no_record() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let registry = FakeRegistry::start();
    let lenient = orders(&registry, &[("dead-letter.topic", "rejected")]);
    write(&node, &lenient, &[1]).unwrap();
    let away = orders(&FakeRegistry::start(), &[("dead-letter.topic", "rejected")]);
    let failed = write(&node, &away, &[1]).unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Unavailable);
    assert!(failed.message.contains("the schema registry at http://127.0.0.1:"), "{failed}");
    let mut source = source(&node, &away);
    let split = source.splits().unwrap().remove(0);
    let failed = source.read(&split, Position(0), None, limits(10)).unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Unavailable);
    assert!(failed.message.contains("topic=orders partition=0 offset=0 waits to be read"), "{failed}");
}

#[test]
fn an_unknown_id_stays_unknown_where_the_record_was_passed_over() {
    let registry = FakeRegistry::start();
    let mut node = Node::start();
    node.create_topic("orders", 1);
    let raw = table(
        schema(&[("bytes", DataType::Binary)]),
        &[("connector", "kafka"), ("topic", "orders"), ("format", "raw")],
    );
    let bytes: arrow_array::ArrayRef =
        Arc::new(arrow_array::BinaryArray::from(vec![&b"\0\0\0\0\x01\x02\x02\x02\x02a"[..]]));
    let rows = RecordBatch::try_new(raw.schema.clone(), vec![bytes]).unwrap();
    let Sink::Topic(mut sink) = node.connector("kafka").sink(&raw, "job").unwrap() else {
        panic!("a topic sink")
    };
    node.append("orders", sink.encode(&batch(rows), 1, WRITTEN_MS).unwrap());

    let strict = orders(&registry, &[]);
    let mut source = source(&node, &strict);
    let split = source.splits().unwrap().remove(0);
    let failed = source.read(&split, Position(0), None, limits(10)).unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Invalid);
    assert!(
        failed.message.contains("answers GET /schemas/ids/1 with status 404: Schema not found"),
        "{failed}"
    );
    let lenient = orders(&registry, &[("avro-confluent.ignore-parse-errors", "true")]);
    assert_eq!(read(&node, &lenient).iter().map(|read| read.skipped).sum::<u64>(), 1);
    // It becomes known, and what was passed over once is passed over again.
    write(&node, &strict, &[2]).unwrap();
    node.connectors = crate::table(Connectors { os: Os::real(), log: Some(node.log.clone()) });
    assert_eq!(ids(&read(&node, &lenient)), Vec::<i64>::new());
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let registry = FakeRegistry::start();
    let node = Node::start();
    node.create_topic("orders", 1);
    let basic = [
        ("avro-confluent.basic-auth.credentials-source", "USER_INFO"),
        ("avro-confluent.basic-auth.user-info", "user:secret"),
    ];
    write(&node, &orders(&registry, &basic), &[1]).unwrap();
    let bearer = [
        ("avro-confluent.bearer-auth.credentials-source", "STATIC_TOKEN"),
        ("avro-confluent.bearer-auth.token", "tok3n"),
        ("avro-confluent.subject", "other"),
    ];
    write(&node, &orders(&registry, &bearer), &[1]).unwrap();
    let requests = std::mem::take(&mut *registry.requests.lock().unwrap());
    assert!(requests[0].contains("Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"));
    assert!(requests[1].contains("Authorization: Bearer tok3n\r\n"));
    let wrong = [
        ("avro-confluent.basic-auth.credentials-source", "USER_INFO"),
        ("avro-confluent.basic-auth.user-info", "wrong:wrong"),
        ("avro-confluent.subject", "third"),
    ];
    let failed = write(&node, &orders(&registry, &wrong), &[1]).unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Invalid);
    assert!(
        failed
            .message
            .ends_with("with status 401: Unauthorized; are the credentials in the format's options right?"),
        "{failed}"
    );
    assert!(!failed.message.contains("wrong:"), "{failed}");
    // What a password in the URL leaves in messages and in the log.
    let inside = registry.url.replace("http://", "http://me:hidden@");
    let refused =
        orders(&registry, &[("avro-confluent.url", &inside), ("avro-confluent.subject", "refused")]);
    let failed = write(&node, &refused, &[1]).unwrap_err();
    assert_eq!((failed.kind, failed.option.as_deref()), (ErrorKind::Invalid, Some("format")));
    assert!(failed.message.contains("status 409: Schema being registered is incompatible"), "{failed}");
    assert!(!failed.message.contains("hidden"), "{failed}");
    write(&node, &orders(&registry, &[("avro-confluent.url", &inside)]), &[1]).unwrap();
    let log = node.log.clone();
    assert!(log.topic("__schemas").unwrap().internal, "no client may change it");
    let partition = log.topic("__schemas").unwrap().partitions[0];
    for slice in log.read(partition, base::Offset(0), 1 << 20).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        for secret in ["secret", "tok3n", "hidden"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[test]
fn options_of_a_registry_are_checked_without_asking_it() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let kafka = connectors.find("kafka").unwrap();
    let problems = |options: &[(&str, &str)]| {
        let mut all = vec![("connector", "kafka"), ("topic", "t"), ("format", "avro-confluent")];
        all.extend_from_slice(options);
        let checked = table(schema(&[("id", DataType::Int64)]), &all);
        let found = kafka.check(&checked, Role::Sink).err().unwrap_or_default();
        found.into_iter().map(|error| error.message).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(problems(&[("avro-confluent.url", "http://nowhere:1")]), "");
    let tls =
        [("avro-confluent.url", "https://nowhere"), ("avro-confluent.ssl.truststore.location", "/ca.pem")];
    assert_eq!(problems(&tls), "");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "the option 'url' is missing: the address of the schema registry"),
        (&[("avro-confluent.url", "ftp://a")], "the URL of a registry begins with 'http://' or 'https://'"),
        (&[("avro-confluent.url", "localhost:8081")], "the URL of a registry begins with 'http://'"),
        (
            &[
                ("avro-confluent.url", "http://a"),
                ("avro-confluent.basic-auth.credentials-source", "USER_INFO"),
            ],
            "'USER_INFO' needs 'basic-auth.user-info'",
        ),
        (
            &[("avro-confluent.url", "http://a"), ("avro-confluent.properties.max.schemas", "1")],
            "the option 'properties.max.schemas' is not known here",
        ),
    ];
    for (options, expected) in cases {
        let found = problems(options);
        assert!(found.contains(expected), "{options:?}: {found}");
    }
}
