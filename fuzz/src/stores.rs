//! What stores say to a sink: an OpenSearch what it is, an index's fields, and what became of documents; a ClickHouse a table's
//! columns, and exceptions; a Prometheus whether it takes samples. Every request gets the first answer that the server says.

use crate::{choice, log, script, tables};
use arrow_array::{RecordBatch, UInt64Array};
use connectors::Connectors;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, Sink};
use eventlog::{Committer, EventLog, Recovery};
use os::sim::SimOs;
use std::sync::{Arc, OnceLock};

type Options = &'static [(&'static str, &'static str)];

const TABLES: [(&str, Options, bool); 4] = [
    (
        "opensearch",
        &[("hosts", "http://server"), ("index", "i"), ("sink.bulk-flush.backoff.strategy", "NONE")],
        false,
    ),
    (
        "opensearch",
        &[("hosts", "http://server"), ("index", "i"), ("sink.bulk-flush.backoff.strategy", "NONE")],
        true,
    ),
    ("clickhouse", &[("url", "http://server"), ("table-name", "t"), ("sink.max-retries", "0")], false),
    (
        "prometheus",
        &[
            ("metric.endpoint-url", "http://server/write"),
            ("metric.name", "name"),
            ("metric.sample.key", "id"),
            ("metric.sample.timestamp", "at_time"),
            ("sink.max-retries", "0"),
        ],
        false,
    ),
];

/// So many first bytes choose a store.
pub const COUNT: u8 = TABLES.len() as u8;

const ROWS: usize = 3;

/// Where sinks keep their positions.
pub fn positions() -> &'static EventLog {
    static LOG: OnceLock<EventLog> = OnceLock::new();
    LOG.get_or_init(|| {
        let os = SimOs::new(1).os();
        let recovery = Recovery::open(&os, log::small_log(Committer::Thread)).expect("an empty disk");
        recovery.start(Vec::new()).expect("a log")
    })
}

/// The first byte chooses the store.
pub fn write(data: &[u8]) {
    let Some((first, said)) = choice(data) else { return };
    let (name, options, has_key) = TABLES[usize::from(first) % TABLES.len()];
    let connectors = connectors::table(Connectors { os: script::os(said), log: Some(positions().clone()) });
    let letters = ("dead-letter.topic", "letters");
    let mut table = tables::table(&[&[("connector", name), letters], options].concat());
    if has_key {
        Arc::make_mut(&mut table).primary_key = vec!["id".into()];
    }
    let connector = connectors.find(name).expect("a connector");
    connector.probe(&table, dataflow::connector::Role::Sink, 1_000);
    let Ok(Sink::Outbox(mut sink)) = connector.sink(&table, "job") else { panic!("a table that is right") };
    let columns =
        table.schema.fields().iter().map(|field| arrow_array::new_null_array(field.data_type(), ROWS));
    send(&mut *sink, RecordBatch::try_new(table.schema.clone(), columns.collect()).expect("rows"));
}

/// Has a sink write some rows, whatever becomes of them.
pub fn send(sink: &mut dyn OutboxSink, rows: RecordBatch) {
    let Ok(offset) = sink.open() else { return };
    let count = rows.num_rows();
    let ordinals = UInt64Array::from_iter_values(0..count as u64);
    let rows = Batch { rows, kinds: None, ordinals, ties: None, watermarks: None, traces: None };
    let mut batches = sink.encode(&rows, 0).expect("rows that can be written");
    let batch = &mut batches[0].bytes;
    kafka_wire::records::set_base_offset(batch, offset).expect("a batch");
    sink.apply(batch).expect("a batch");
    // What is refused is taken away in between.
    for _ in 0..2 {
        let Ok(stored) = sink.commit(true, 0) else { return };
        let refused = sink.take_rejected().len();
        assert!(refused <= count, "{refused} of {count} rows are refused");
        assert!(stored == offset || stored == offset + count as i64, "{offset} became {stored}");
        assert!(refused == 0 || stored == offset, "what is refused was left behind");
    }
}

pub fn seeds(first: u8) -> Vec<Vec<u8>> {
    let answer = |store: u8, head: &str, body: &str| {
        let text = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        [&[first + store], text.as_bytes()].concat()
    };
    let items = r#"{"version":{"number":"2"},"items":[{"create":{"status":201}},{"create":{"status":409}},{"create":{"status":400,"error":{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d"}}}}]}"#;
    let mapping = r#"{"i":{"mappings":{"dynamic":"strict","properties":{"id":{"type":"long"},"name":{"properties":{}}}}}}"#;
    let columns = "id\tInt64\nname\tNullable(String)\nprice\tDecimal(10, 2)\nat_time\tDateTime64(3)\n";
    vec![
        answer(0, "200 OK", items),
        answer(1, "200 OK", items),
        answer(1, "200 OK", mapping),
        answer(0, "413 No", "too much"),
        answer(2, "200 OK", columns),
        answer(2, "500 No\r\nX-ClickHouse-Exception-Code: 27", "Code: 27. DB::Exception: x"),
        answer(2, "200 OK", "Code: 27. DB::Exception: x"),
        answer(3, "204 OK", ""),
        answer(3, "400 No", "out of order sample"),
    ]
}
