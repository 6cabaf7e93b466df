//! Every spec holds together, and wrong options are named with what to do.

use super::*;
use dataflow::connector::Role;

fn connectors() -> ConnectorTable {
    crate::table(Connectors { os: Os::real(), log: None })
}

#[test]
fn every_example_and_default_passes_its_own_check() {
    let connectors = connectors();
    for name in connectors.names() {
        let spec = connectors.find(name).unwrap().spec();
        for option in spec.options {
            for value in [Some(option.example), option.default].into_iter().flatten() {
                let key = option.key.replace('*', "name");
                let given = BTreeMap::from([(key.clone(), value.to_string())]);
                let relaxed: Vec<_> = spec
                    .options
                    .iter()
                    .map(|o| base::options::OptionSpec { required: false, ..*o })
                    .collect();
                base::options::Options::check(&given, &relaxed)
                    .unwrap_or_else(|errors| panic!("{name}: '{key}' = '{value}': {errors:?}"));
            }
            assert!(option.doc.ends_with('.'), "{name}: the doc of '{}' is no sentence", option.key);
        }
    }
}

/// Options as they are given, and the messages that they bring.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

fn messages(connector: &str, role: Role, options: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("connector", connector)];
    all.extend_from_slice(options);
    let table = table(schema(&[("id", DataType::Int64)]), &all);
    let checked = connectors().find(connector).unwrap().check(&table, role);
    checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect()
}

#[test]
fn wrong_options_are_named() {
    let kafka = |options: &[(&str, &str)]| messages("kafka", Role::Source, options);
    assert_eq!(kafka(&[("topic", "t"), ("format", "json")]), [""; 0]);
    let cases: &[Case] = &[
        (
            &[("tpoic", "t"), ("format", "json")],
            &["table 't': unknown option 'tpoic'; did you mean 'topic'?"],
        ),
        (
            &[("topic", "t"), ("format", "jsn")],
            &["table 't': there is no format 'jsn'; did you mean 'json'?"],
        ),
        (
            &[("topic", "t")],
            &[
                "table 't': the option 'format' is missing; the formats are 'json', 'csv', 'raw', 'avro', 'avro-confluent', 'protobuf', 'protobuf-confluent', 'cloudevents', 'debezium-json', 'canal-json', 'maxwell-json', 'ogg-json', 'debezium-avro-confluent', for example 'format' = 'json'",
            ],
        ),
        (
            &[("topic", "t"), ("format", "json"), ("json.ignore-parse-error", "true")],
            &[
                "table 't': format 'json': unknown option 'ignore-parse-error'; did you mean 'ignore-parse-errors'?",
            ],
        ),
        (
            &[("topic", "t"), ("format", "json"), ("scan.startup.mode", "timestamp")],
            &["table 't': 'scan.startup.mode' = 'timestamp' needs 'scan.startup.timestamp-millis'"],
        ),
        (
            &[("topic", "t"), ("format", "json"), ("properties.compression.type", "rar")],
            &["table 't': there is no compression 'rar'; use none, gzip, snappy, lz4 or zstd"],
        ),
        (&[("topic", "t"), ("format", "json"), ("properties.bootstrap.servers", "kafka:9092")], &[]),
        (
            &[
                ("topic", "t"),
                ("format", "json"),
                ("properties.bootstrap.servers", "kafka:9092"),
                ("properties.security.protocol", "SASL_SSL"),
            ],
            &["table 't': TLS needs the authority that signed the node's certificate: set ssl.ca.location"],
        ),
        (
            &[
                ("topic", "t"),
                ("format", "json"),
                ("properties.security.protocol", "SASL_SSL"),
                ("properties.sasl.jaas.config", "x"),
            ],
            &[
                "table 't': the table lies in the node's own log, for which nobody logs in; leave 'properties.sasl.jaas.config' out, or name an outside cluster with 'properties.bootstrap.servers'",
                "table 't': the table lies in the node's own log, for which nobody logs in; leave 'properties.security.protocol' out, or name an outside cluster with 'properties.bootstrap.servers'",
            ],
        ),
        (&[("topic", "t"), ("format", "json"), ("properties.security.protocol", "PLAINTEXT")], &[]),
        (
            &[("topic", "t"), ("format", "json"), ("scan.startup.mode", "group-offsets")],
            &[
                "table 't': a job keeps its own offsets and has none in a group when it starts: for 'group-offsets' say with 'properties.auto.offset.reset' = 'earliest' or 'latest' where it begins",
            ],
        ),
        (
            &[("topic", "t"), ("value.format", "json"), ("key.format", "raw"), ("key.fields", "di")],
            &["table 't': there is no column 'di'; did you mean 'id'?"],
        ),
        (
            &[
                ("topic", "t"),
                ("format", "json"),
                ("key.format", "raw"),
                ("key.fields", "id"),
                ("key.fields-prefix", "k_"),
                ("value.fields-include", "EXCEPT_KEY"),
            ],
            &["table 't': the column 'id' does not begin with 'key.fields-prefix' = 'k_'"],
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(kafka(options), *expected);
    }
    assert_eq!(
        messages("print", Role::Sink, &[("print-identifer", "x")]),
        ["table 't': unknown option 'print-identifer'; did you mean 'print-identifier'?"]
    );
}
