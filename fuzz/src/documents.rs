//! AsyncAPI documents, and the YAML that they are written in.

use asyncapi::{document, parse, yaml};

/// The byte before one.
pub const FIRST: u8 = u8::MAX;

const REGISTRY: &str = "http://127.0.0.1:8081";

/// What is read can be written, and is read again as the same.
pub fn read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(value) = yaml::parse(text) else { return };
    let written = yaml::write(&value);
    let again = yaml::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again, value, "{written}");
    if let Ok(read) = parse(text, REGISTRY) {
        let written = yaml::write(&document(&read.system));
        parse(&written, REGISTRY).unwrap_or_else(|error| panic!("{error}: {written}"));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&str; 4] = [
        "asyncapi: 3.0.0\ninfo: {title: x, version: '1'}\nchannels:\n  t:\n    address: t\n    bindings:\n      kafka:\n        \
         partitions: 3\n        topicConfiguration: {cleanup.policy: [delete], retention.ms: 5}\n    messages:\n      m:\n        \
         payload:\n          type: object\n          required: [id]\n          properties:\n            id: {type: integer}\n",
        "{\"asyncapi\": \"3.0.0\", \"channels\": {\"t\": {\"x-eventwright-tables\": [\"CREATE TABLE t (a INT) WITH ('connector' = \
         'kafka', 'topic' = 't', 'format' = 'json')\"]}}, \"components\": {\"schemas\": {\"s\": {\"schemaFormat\": \
         \"application/vnd.apache.avro\", \"schema\": \"long\", \"x-eventwright-subject\": \"t-value\"}}}}",
        "a: |\n  x\n   y\nb: >-\n  z\n\n  w\n- no\n",
        "- a: 'it''s'\n  \"b\\u00e9\": [1, {c: d}, -2.5e3]\n- - ~\n  - yes # and\n",
    ];
    texts.iter().map(|text| [&[FIRST], text.as_bytes()].concat()).collect()
}
