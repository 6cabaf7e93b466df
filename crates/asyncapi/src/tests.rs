//! Documents that were written are read again; those of others are made sense of; hostile ones are refused.

use crate::yaml::{parse as yaml, write};
use crate::{
    DocumentError, Language, Operation, Protocol, Read, Schema, Server, System, Table, Topic, document, parse,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const REGISTRY: &str = "http://127.0.0.1:8081";

fn table(statement: &str) -> Table {
    Table::of_statement(statement).expect("a table over a topic")
}

fn system() -> System {
    let orders = "CREATE TABLE orders (id BIGINT NOT NULL COMMENT 'which', `note``s` STRING, total DECIMAL(10, 2), \
                  tags ARRAY<STRING>, `to` ROW<street STRING NOT NULL, zip CHAR(5)>, extra MAP<STRING, INT>, image BYTES, \
                  d DATE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
                  WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json')";
    let totals = "CREATE TABLE totals (city STRING, total BIGINT, PRIMARY KEY (city) NOT ENFORCED) WITH ('connector' = \
                  'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json', \
                  'value.fields-include' = 'EXCEPT_KEY')";
    let other =
        "CREATE TABLE others (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'csv')";
    let schema = |language, text: &str| Schema { language, text: text.into(), references: Vec::new() };
    let configs =
        [("cleanup.policy", "compact,delete"), ("retention.ms", "86400000"), ("compression.type", "zstd")];
    let configs = configs.map(|(key, value)| (key.to_string(), value.to_string()));
    let mut payments =
        schema(Language::Avro, r#"{"type":"record","name":"P","fields":[{"name":"id","type":"long"}]}"#);
    payments.references = vec![("Q".into(), "shared/Q".into())];
    System {
        title: "Shop: \"orders\"".into(),
        version: "1.10".into(),
        servers: vec![
            Server {
                protocol: Protocol::Kafka,
                address: "127.0.0.1:9092".into(),
                tls: true,
                login: Some("scramSha256".into()),
            },
            Server { protocol: Protocol::Http, address: "127.0.0.1:8081".into(), tls: false, login: None },
        ],
        topics: BTreeMap::from([
            (
                "orders".to_string(),
                Topic {
                    partitions: Some(3),
                    configs: configs.into(),
                    tables: vec![table(orders), table(other)],
                },
            ),
            (
                "totals".to_string(),
                Topic { partitions: Some(1), tables: vec![table(totals)], ..Topic::default() },
            ),
            ("payments".to_string(), Topic { partitions: Some(1), ..Topic::default() }),
            ("plain".to_string(), Topic { partitions: Some(1), ..Topic::default() }),
        ]),
        schemas: BTreeMap::from([
            ("payments-value".to_string(), payments),
            (
                "shared/Q".to_string(),
                schema(Language::Protobuf, "syntax = \"proto3\";\n\nmessage Q {\n  int64 id = 1;\n}\n"),
            ),
            ("shared_Q".to_string(), schema(Language::Json, r#"{"type":"object"}"#)),
        ]),
        operations: vec![
            Operation { job: "sum up".into(), topic: "orders".into(), is_send: false },
            Operation { job: "sum up".into(), topic: "totals".into(), is_send: true },
        ],
    }
}

#[test]
fn what_was_written_is_read_again() {
    let system = system();
    let document = document(&system);
    for text in [write(&document), format!("{document:#}"), document.to_string()] {
        let read = parse(&text, REGISTRY).expect("it is ours");
        assert_eq!(read.notes, [""; 0]);
        assert_eq!(read.system, system);
    }
    let orders = &document["components"]["messages"]["orders.orders"]["payload"];
    assert_eq!(orders["required"], json!(["id"]));
    assert_eq!(
        orders["properties"]["id"],
        json!({"type": "integer", "format": "int64", "description": "which"})
    );
    assert_eq!(orders["properties"]["to"]["required"], json!(["street"]));
    assert_eq!(orders["properties"]["extra"]["additionalProperties"]["format"], "int32");
    assert_eq!(orders["properties"]["image"]["contentEncoding"], "base64");
    let totals = &document["components"]["messages"]["totals"];
    assert_eq!(
        totals["payload"]["properties"]
            .as_object()
            .map(|all| all.keys().map(String::as_str).collect::<Vec<_>>()),
        Some(vec!["total"])
    );
    assert_eq!(totals["bindings"]["kafka"]["key"]["required"], json!(["city"]));
    let binding = &document["channels"]["orders"]["bindings"]["kafka"];
    let wanted = json!({"cleanup.policy": ["compact", "delete"], "retention.ms": 86_400_000, "compression.type": "zstd"});
    assert_eq!(binding["topicConfiguration"], wanted);
    assert_eq!(document["operations"]["sum_up.send.totals"]["channel"]["$ref"], "#/channels/totals");
    let key = &document["components"]["schemas"]["shared_Q_2"]["x-eventwright-subject"];
    assert_eq!(key, "shared_Q", "two subjects whose names are one key");
}

#[test]
fn secrets_and_tables_elsewhere_stay_out() {
    let statement = "CREATE TABLE t (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'avro-confluent', \
                     'avro-confluent.url' = 'http://registry:8081', 'avro-confluent.basic-auth.user-info' = 'me:hidden')";
    let kept = table(statement);
    assert!(
        kept.statement.contains("registry:8081") && !kept.statement.contains("hidden"),
        "{}",
        kept.statement
    );
    assert_eq!((kept.payload, kept.content_type), (None, Some("application/vnd.apache.avro")));
    for (options, reason) in [
        ("'connector' = 'print'", "the table does not read a topic of the node"),
        (
            "'connector' = 'kafka', 'topic' = 'a;b', 'format' = 'json'",
            "the table does not read a topic of the node",
        ),
        (
            "'connector' = 'kafka', 'topic' = 'a', 'properties.bootstrap.servers' = 'other:9092'",
            "the table does not read a topic of the node",
        ),
    ] {
        let refused = Table::of_statement(&format!("CREATE TABLE t (id BIGINT) WITH ({options})"));
        assert_eq!(refused.expect_err(options), reason);
    }
    for statement in
        ["DROP TABLE t", "CREATE TABLE t (id INT); DROP TABLE t", "CREATE TABLE t AS SELECT 1", "nonsense"]
    {
        assert!(Table::of_statement(statement).is_err(), "{statement}");
    }
}

/// As it could be in another's repository.
const OTHERS: &str = "
asyncapi: 3.0.0
info: {title: Streetlights, version: '1.0'}
servers:
  production:
    host: broker.example:9092
    protocol: kafka
  live: {host: live.example, protocol: ws}
channels:
  lights:
    address: lights.measured   # where they are
    messages:
      measured: {$ref: '#/components/messages/measured'}
    bindings:
      kafka:
        partitions: 4
        topicConfiguration:
          cleanup.policy: [delete]
          retention.ms: 604800000
  signups:
    servers:
    - $ref: '#/servers/production'
    messages:
      signedUp:
        payload:
          schemaFormat: application/vnd.apache.avro;version=1.9.0
          schema:
            type: record
            name: SignedUp
            fields:
            - {name: id, type: {type: long, logicalType: timestamp-millis}}
            - name: name
              type: ['null', string]
  one: {address: 'lights.{id}', parameters: {id: {}}}
  socket:
    address: /feed
    servers: [{$ref: '#/servers/live'}]
  reply: {address: null}
operations:
  turn:
    action: send
    channel: {$ref: '#/channels/lights'}
components:
  messages:
    measured:
      payload: {$ref: '#/components/schemas/measured'}
  schemas:
    id: {type: integer}
    measured:
      type: object
      required: [id]
      properties:
        id: {$ref: '#/components/schemas/id'}
        lumens:
          type: number
          description: >-
            Light intensity
            measured in lumens.
        sentAt: {type: string, format: date-time}
        where:
          type: object
          properties: {x: {type: number}, y: {type: number}}
";

#[test]
fn documents_of_others_become_topics_schemas_and_tables() {
    let Read { system, notes } = parse(OTHERS, REGISTRY).expect("it is right");
    assert_eq!(system.topics.keys().collect::<Vec<_>>(), ["lights.measured", "signups"]);
    let lights = &system.topics["lights.measured"];
    assert_eq!(lights.partitions, Some(4));
    assert_eq!(lights.configs["retention.ms"], "604800000");
    let statement = &lights.tables[0].statement;
    for part in [
        "CREATE TABLE `measured`",
        "`id` BIGINT NOT NULL",
        "`lumens` DOUBLE COMMENT 'Light intensity measured in lumens.'",
        "`sentAt` VARCHAR(2147483647)",
        "`where` ROW<`x` DOUBLE, `y` DOUBLE>",
        "'topic' = 'lights.measured'",
    ] {
        assert!(statement.contains(part), "{part} in {statement}");
    }
    let signups = &system.topics["signups"].tables[0].statement;
    for part in [
        "`id` TIMESTAMP(3) NOT NULL",
        "`name` VARCHAR(2147483647)",
        "'avro-confluent.url' = 'http://127.0.0.1:8081'",
    ] {
        assert!(signups.contains(part), "{part} in {signups}");
    }
    assert_eq!(system.schemas["signups-value"].language, Language::Avro);
    assert_eq!(
        system.operations,
        [Operation { job: "turn".into(), topic: "lights.measured".into(), is_send: true }]
    );
    assert_eq!(
        notes,
        [
            "server 'live' is left out: it speaks neither Kafka nor HTTP",
            "channel 'one' is left out: 'lights.{id}' stands for many topics",
            "channel 'socket' is left out: none of its servers speaks Kafka",
            "channel 'reply' is left out: its address is not known beforehand",
        ]
    );
}

#[test]
fn what_a_document_brings_into_sql_stays_a_name() {
    let document = json!({"asyncapi": "3.0.0", "channels": {"t": {
        "messages": {"m`); DROP TABLE x; --": {"payload": {"type": "object", "properties": {
            "a` INT); DROP TABLE x; --": {"type": "string", "description": "'); DROP TABLE x; --"},
        }}}},
        "x-unknown": 1,
    }}});
    let read = parse(&document.to_string(), "'); DROP TABLE x; --").expect("names are names");
    let statement = &read.system.topics["t"].tables[0].statement;
    let source = sql::source::SourceText::new("it", statement.clone());
    assert_eq!(sql::parser::parse_script(&source).0.len(), 1, "{statement}");
    // A statement that is brought is one declaration or nothing.
    let document = json!({"asyncapi": "3.0.0", "channels": {"t": {"x-eventwright-tables": [
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't'); DROP TABLE y",
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'other', 'format' = 'json')",
    ]}}});
    let read = parse(&document.to_string(), REGISTRY).expect("a document");
    assert_eq!((read.system.topics["t"].tables.len(), read.notes.len()), (0, 2), "{:?}", read.notes);
}

#[test]
fn documents_that_are_none_are_refused_with_a_reason() {
    let wide = |levels: usize| {
        let schema = |level: usize| {
            let next = json!({"$ref": format!("#/components/schemas/s{}", (level + 1) % levels)});
            (format!("s{level}"), json!({"properties": {"a": next, "b": next, "c": next}}))
        };
        let schemas: serde_json::Map<String, Value> = (0..levels).map(schema).collect();
        let message = json!({"payload": {"$ref": "#/components/schemas/s0"}});
        json!({"asyncapi": "3.0.0", "channels": {"t": {"messages": {"m": message}}}, "components": {"schemas": schemas}})
    };
    // A text of 1 MB, a hundred times.
    let payload = json!({"anyOf": vec![json!({"$ref": "#/components/long"}); 100]});
    let long = json!({"asyncapi": "3.0.0", "components": {"long": "x".repeat(1 << 20)},
                      "channels": {"t": {"messages": {"m": {"payload": payload}}}}});
    let circle = json!({"asyncapi": "3.0.0", "channels": {"a": {"$ref": "#/channels/b"}, "b": {"$ref": "#/channels/a"}}});
    for (text, reason) in [
        ("a: 1", "the file is no AsyncAPI document: it has no 'asyncapi' with a version"),
        ("asyncapi: 2.6.0", "its version is 2.6.0"),
        ("asyncapi: 2.6", "its version is 2.6, and 3.0 is read"),
        ("asyncapi: 3.0.0\nchannels: [a]", "channels: this must be a map"),
        ("asyncapi: 3.0.0\nchannels: {a: {$ref: 'other.yaml#/a'}}", "it leads out of the document"),
        ("asyncapi: 3.0.0\nchannels: {a: {$ref: '#/b'}}", "there is nothing of that name"),
        ("asyncapi: 3.0.0\nchannels: {a: {bindings: {kafka: {partitions: -1}}}}", "no number of partitions"),
        (&circle.to_string(), "references lead on and on"),
        (&wide(20).to_string(), "references inside of what they stand for, or too many"),
        (&long.to_string(), "references inside of what they stand for, or too many"),
        ("a: &x 1", "line 1: anchors and aliases are not read here"),
        ("a: 1\nb: !!str 1", "line 2: tags are not read here"),
        ("? [a]\n: b", "keys that are no text are not read here"),
        ("a: 1\n b: 2", "line 2: "),
        ("a: 1\na: 2", "the key 'a' stands here twice"),
        ("a:\n\t- b", "a tab cannot indent"),
        ("a: [1, 2", "a ',' or ']' is missing"),
        ("a: \"x", "a text in quotes does not end"),
        ("a: 'x' y", "nothing may follow a value"),
        ("a: b: c", "must stand in quotes"),
        ("a: 1\n---\nb: 2", "one document only"),
        (&"[".repeat(100_000), "nested more than 64 deep"),
        (&"- ".repeat(100_000), "nested more than 64 deep"),
    ] {
        let error = parse(text, REGISTRY).expect_err(reason).to_string();
        assert!(error.contains(reason), "{text:.80}: {error}");
    }
}

#[test]
fn yaml_is_read_as_it_is_meant() {
    for (text, wanted) in [
        ("", Value::Null),
        ("# nothing\n", Value::Null),
        ("--- # a document\na: 1\n...\n", json!({"a": 1})),
        (
            "a: 1 # one\nb: -2.5\nc: true\nd: ~\ne:\nf: 1e3",
            json!({"a": 1, "b": -2.5, "c": true, "d": null, "e": null, "f": 1e3}),
        ),
        (
            "a: yes\nb: 1.2.3\nc: 2020-01-01\nd: a#b\ne: x:y\nf: 'it''s'",
            json!({"a": "yes", "b": "1.2.3", "c": "2020-01-01", "d": "a#b", "e": "x:y", "f": "it's"}),
        ),
        (
            "a:\n- 1\n-\n  b: 2\n- c: 3\n  d: 4\n- - 5\n  - 6\n-\ne: 7",
            json!({"a": [1, {"b": 2}, {"c": 3, "d": 4}, [5, 6], null], "e": 7}),
        ),
        ("- a:\n    - b\n  c: d\n- e", json!([{"a": ["b"], "c": "d"}, "e"])),
        ("a: one\n  two\n\n  three\nb: \"x\n  y\\n\\\n  z\"", json!({"a": "one two\nthree", "b": "x y\nz"})),
        (
            "a: |\n  x\n   y\n\n  z\nb: >-\n  x\n  y\n\n  z\n   more\n  end\nc: |+\n  k\n\nd: |2\n   x\n",
            json!({"a": "x\n y\n\nz\n", "b": "x y\nz\n more\nend", "c": "k\n\n", "d": " x\n"}),
        ),
        (
            "{a: [1, 'b', \"c\"], d: {e: f g, h: }, 'i j': {}, k}",
            json!({"a": [1, "b", "c"], "d": {"e": "f g", "h": null}, "i j": {}, "k": null}),
        ),
        ("a: [\n  1,\n  # two\n  2,\n]\n\"b c\": 1\n'd': 2", json!({"a": [1, 2], "b c": 1, "d": 2})),
        ("a: \"\\u00e9\\x41\\ud83d\\ude00\\t\"", json!({"a": "éA😀\t"})),
        ("a: http://x/y\r\nb:\r\n  - c\r\n", json!({"a": "http://x/y", "b": ["c"]})),
        ("/users/{id}:\n  get: x\n", json!({"/users/{id}": {"get": "x"}})),
        ("just a text", json!("just a text")),
        ("18446744073709551615", json!(u64::MAX)),
    ] {
        assert_eq!(yaml(text).unwrap_or_else(|error| panic!("{text:?}: {error}")), wanted, "{text:?}");
    }
    let error = yaml("a:\n  b: 1\n c: 2").expect_err("it is crooked");
    assert!(matches!(error, DocumentError::Yaml { line: 3, .. }), "{error}");
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~\\n]{0,12}",
        "\\PC{0,8}",
        any::<String>(),
        Just("- a: |".to_string()),
        Just("2020-01-01".into())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_written_and_read_again(value in values()) {
        let text = write(&value);
        prop_assert_eq!(yaml(&text).map_err(|error| error.to_string()), Ok(value), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a:?|>#'\"\\[\\]{}, \\n&*!%0-9\\\\x]{0,60}") {
        let _ = yaml(&text);
    }
}
