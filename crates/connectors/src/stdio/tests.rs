//! The two ends of a pipe.

use super::read::{InputFeed, begin};
use super::write::LineSink;
use crate::arrivals::Arrivals;
use crate::table_format::{self, Formats};
use crate::tests::{Node, batch, schema, table};
use crate::text_stream::Records;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest};
use dataflow::sink::DirectSink;
use formats::RecordSplitter;
use os::Os;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

const INPUT: &[(&str, &str)] = &[("connector", "stdin"), ("format", "json")];

#[test]
fn what_comes_over_the_input_is_read_to_its_end() {
    let arrivals = Arrivals::new(1 << 10);
    let text = (0..1000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>() + "{}";
    begin(io::Cursor::new(text), Records::new(RecordSplitter::lines(), 100), &arrivals).unwrap();
    let table = table(schema(&[("n", DataType::Int64)]), INPUT);
    let mut feed = InputFeed::new(table, Os::real(), arrivals);
    feed.open(None).unwrap();
    let mut records = Vec::new();
    loop {
        let haul = feed.poll(60_000).unwrap();
        records.extend(haul.records);
        if haul.ended {
            break;
        }
    }
    assert_eq!(records.len(), 1001);
    assert_eq!(records[1000].value.as_deref(), Some(&b"{}"[..]));
    // It has ended for good.
    feed.open(None).unwrap();
    assert!(feed.poll(60_000).unwrap().ended);
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_are_lines_of_the_output() {
    let table = table(schema(&[("n", DataType::Int64)]), &[("connector", "stdout"), ("format", "json")]);
    let checked =
        table_format::check(&table, &[crate::CONNECTOR, table_format::FORMAT], Formats::One).unwrap();
    let sink = |out: Box<dyn Write + Send>| {
        let rows = checked.value.encoder(&table.schema).unwrap();
        LineSink::new("t".into(), rows, RecordSplitter::lines(), out)
    };
    let rows = RecordBatch::try_new(table.schema.clone(), vec![Arc::new(Int64Array::from(vec![1, 2]))]);
    let rows = batch(rows.unwrap());
    let shared = Shared::default();
    sink(Box::new(shared.clone())).write(&rows).unwrap();
    assert_eq!(shared.0.lock().unwrap().as_slice(), b"{\"n\":1}\n{\"n\":2}\n");
    let error = sink(Box::new(Broken)).write(&rows).unwrap_err();
    assert!(error.message.contains("nobody reads it any more"), "{error}");
}

#[test]
fn a_row_that_would_be_read_as_two_is_not_written() {
    let schema = schema(&[("text", DataType::Utf8)]);
    for (format, written) in
        [("raw", None), ("csv", Some("\"a\nb\"\n")), ("json", Some("{\"text\":\"a\\nb\"}\n"))]
    {
        let table = table(schema.clone(), &[("connector", "stdout"), ("format", format)]);
        let checked =
            table_format::check(&table, &[crate::CONNECTOR, table_format::FORMAT], Formats::One).unwrap();
        let (splitter, _) = crate::text_stream::form(&table, &checked).unwrap();
        let shared = Shared::default();
        let encoder = checked.value.encoder(&table.schema).unwrap();
        let mut sink = LineSink::new("t".into(), encoder, splitter, Box::new(shared.clone()));
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(vec!["a\nb"]))]);
        let error = sink.write(&batch(rows.unwrap())).err().map(|error| error.message);
        assert!(
            error.is_none_or(|error| written.is_none() && error.contains("write it as 'json'")),
            "{format}"
        );
        assert_eq!(shared.0.lock().unwrap().as_slice(), written.unwrap_or_default().as_bytes(), "{format}");
    }
}

#[test]
fn the_input_is_for_a_run_and_each_end_for_its_side() {
    let node = Node::start();
    let table = |connector: &str, format: &str| {
        table(schema(&[("n", DataType::Int64)]), &[("connector", connector), ("format", format)])
    };
    let (input, output) = (node.connector("stdin"), node.connector("stdout"));
    assert!(input.check(&table("stdin", "json"), Role::Source).is_ok());
    assert!(output.check(&table("stdout", "json"), Role::Sink).is_ok());
    let told =
        |errors: Result<(), Vec<dataflow::connector::ConnectorError>>| errors.unwrap_err()[0].message.clone();
    assert!(told(input.check(&table("stdin", "json"), Role::Sink)).contains("see 'stdout'"));
    assert!(told(output.check(&table("stdout", "json"), Role::Source)).contains("see 'stdin'"));
    assert!(told(input.check(&table("stdin", "parquet"), Role::Source)).contains("has no lines of text"));
    // The test was not started by `eventwright run`.
    let request = FeedRequest { table: table("stdin", "json"), identity: "job".into() };
    let error = input.feed(request).err().unwrap();
    assert!(error.message.contains("standard input of 'eventwright run'"), "{error}");
    assert!(!input.is_bounded(&table("stdin", "json")));
}
