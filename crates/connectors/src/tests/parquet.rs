//! Parquet files: nested rows written, read back in pieces and again; partitions; files of others; broken files.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use dataflow::connector::{Role, SourceRequest};
use dataflow::sink::{OutboxSink, Sink};
use formats::print::RowPrinter;

fn every_type() -> SchemaRef {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let pair = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Int32, true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false);
    let inner = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)];
    use arrow_schema::TimeUnit::{Microsecond, Millisecond, Nanosecond};
    schema(&[
        ("id", DataType::Int64),
        ("t", DataType::Int8),
        ("s", DataType::Int16),
        ("f", DataType::Float32),
        ("d", DataType::Float64),
        ("flag", DataType::Boolean),
        ("text", DataType::Utf8),
        ("small", DataType::Decimal128(7, 2)),
        ("large", DataType::Decimal128(30, 5)),
        ("day", DataType::Date32),
        ("time", DataType::Time32(Millisecond)),
        ("ts", DataType::Timestamp(Millisecond, None)),
        ("fine", DataType::Timestamp(Microsecond, None)),
        ("zoned", DataType::Timestamp(Millisecond, Some("UTC".into()))),
        ("coarse", DataType::Timestamp(Nanosecond, None)),
        ("bytes", DataType::Binary),
        ("list", DataType::List(item(DataType::Utf8))),
        ("map", map),
        ("inner", DataType::Struct(inner.clone().into())),
        ("rows", DataType::List(item(DataType::Struct(inner.into())))),
    ])
}

pub(super) fn from_json(schema: &SchemaRef, lines: &[String]) -> RecordBatch {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let kind = formats::FormatKind::Json;
    let options = base::options::Options::check(&BTreeMap::new(), kind.specs()).unwrap();
    let mut decoder = kind.decoder(&options, schema, &all, &[], &formats::Surroundings::default()).unwrap();
    lines.iter().for_each(|line| decoder.decode(line.as_bytes()).unwrap());
    decoder.finish().unwrap()
}

fn lines(range: std::ops::Range<i64>) -> Vec<String> {
    let line = |id: i64| match id % 3 {
        0 => format!(r#"{{"id":{id}}}"#),
        _ => format!(
            r#"{{"id":{id},"t":-{0},"s":{0},"f":1.5,"d":-2.5,"flag":true,"text":"é {id}","small":"-12.34","large":"{id}.00001","day":"1969-12-31","time":"05:00:00.123","ts":"1960-01-01 00:00:00.{1:03}","fine":"2013-01-31 12:00:00.000{1:03}","zoned":"2013-01-31 12:00:00.{1:03}Z","coarse":"2013-01-31 12:00:00.123456","bytes":"AP8=","list":["a",null],"map":{{"k":{0},"n":null}},"inner":{{"x":{0}}},"rows":[{{"y":"z"}},null]}}"#,
            id % 100,
            id % 1000,
        ),
    };
    range.map(line).collect()
}

fn files_of(folder: &std::path::Path, schema: SchemaRef, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    files_in(folder, "parquet", schema, options)
}

/// A table of files of a format.
pub(super) fn files_in(
    folder: &std::path::Path,
    format: &str,
    schema: SchemaRef,
    options: &[(&str, &str)],
) -> Arc<TableDefinition> {
    let path = folder.to_str().unwrap();
    let mut all = vec![("connector", "filesystem"), ("path", path), ("format", format)];
    all.extend_from_slice(options);
    table(schema, &all)
}

fn connectors() -> ConnectorTable {
    crate::table(Connectors { os: Os::real(), log: None })
}

pub(super) fn sink(table: &Arc<TableDefinition>) -> Box<dyn OutboxSink> {
    match connectors().find("filesystem").unwrap().sink(table, "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("an outbox sink"),
    }
}

/// Writes batches as an outbox whose first offset is `offset`; the offset behind them.
pub(super) fn write(sink: &mut dyn OutboxSink, rows: RecordBatch, mut offset: i64) -> i64 {
    for mut one in sink.encode(&batch(rows), 5_000).unwrap() {
        kafka_wire::records::set_base_offset(&mut one.bytes, offset).unwrap();
        sink.apply(&one.bytes).unwrap();
        offset += i64::from(one.records);
    }
    offset
}

pub(super) fn source(table: &Arc<TableDefinition>, projection: Vec<usize>) -> Box<dyn Source> {
    let request = SourceRequest { table: table.clone(), projection, metadata: Vec::new() };
    connectors().find("filesystem").unwrap().source(request).unwrap()
}

pub(super) fn printed(rows: &RecordBatch) -> Vec<String> {
    let printer = RowPrinter::new(rows);
    let print = |row| {
        let mut text = String::new();
        printer.print(row, &mut text);
        text
    };
    (0..rows.num_rows()).map(print).collect()
}

#[test]
fn what_is_written_comes_back_in_any_pieces_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for (case, options) in [
        &[][..],
        &[("parquet.compression", "ZSTD"), ("parquet.timestamp.time.unit", "nanos")],
        &[("parquet.compression", "GZIP")],
        &[("parquet.compression", "UNCOMPRESSED")],
    ]
    .into_iter()
    .enumerate()
    {
        let table = files_of(&folder.path().join(case.to_string()), every_type(), options);
        let rows = from_json(&every_type(), &lines(0..5000));
        let mut sink = sink(&table);
        assert_eq!(sink.open().unwrap(), 0);
        let end = write(sink.as_mut(), rows.clone(), 0);
        assert_eq!(sink.commit(true, 5_000).unwrap(), end);
        let all: Vec<usize> = (0..every_type().fields().len()).collect();
        for rows_max in [700, 5000, 100_000] {
            let mut source = source(&table, all.clone());
            let split = source.splits().unwrap().remove(0);
            let reads = read_all(source.as_mut(), &split, Position(0), rows_max);
            assert!(reads.iter().all(|read| read.rows.num_rows() <= rows_max));
            let read: Vec<String> = reads.iter().flat_map(|read| printed(&read.rows)).collect();
            assert_eq!(read, printed(&rows));
            // The same range again gives the same rows.
            let again = source.read(&split, Position(4090), Some(Position(4100)), limits(1)).unwrap();
            assert_eq!(printed(&again.rows), printed(&rows.slice(4090, 10)));
        }
        let mut few = source(&table, vec![6, 0]);
        let split = few.splits().unwrap().remove(0);
        let read = few.read(&split, Position(4999), None, limits(10)).unwrap();
        assert_eq!((printed(&read.rows), read.finished), (vec!["[é 4999, 4999]".to_string()], true));
    }
}

#[test]
fn a_crash_before_the_commit_leaves_no_row_and_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let table =
        files_of(&folder.path().join("out"), every_type(), &[("sink.rolling-policy.file-size", "1 gb")]);
    let rows = |range| from_json(&every_type(), &lines(range));
    let mut first = sink(&table);
    first.open().unwrap();
    let committed = write(first.as_mut(), rows(0..10), 0);
    assert_eq!(first.commit(true, 0).unwrap(), committed);
    write(first.as_mut(), rows(10..20), committed);
    drop(first);
    let mut second = sink(&table);
    assert_eq!(second.open().unwrap(), committed);
    write(second.as_mut(), rows(10..25), committed);
    second.commit(true, 0).unwrap();
    let mut source = source(&table, vec![0]);
    let mut ids = Vec::new();
    for split in source.splits().unwrap() {
        for read in read_all(source.as_mut(), &split, Position(0), 7) {
            ids.extend(read.rows.column(0).as_primitive::<Int64Type>().values().to_vec());
        }
    }
    assert_eq!(ids, (0..25).collect::<Vec<i64>>());
}

#[test]
fn partitions_get_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let two = schema(&[("id", DataType::Int64), ("day", DataType::Utf8)]);
    let mut definition = (*files_of(folder.path(), two.clone(), &[])).clone();
    definition.partition_keys = vec!["day".into()];
    let mut sink = sink(&Arc::new(definition));
    sink.open().unwrap();
    let line = |id: i64| format!(r#"{{"id":{id},"day":"d{}"}}"#, id % 2);
    write(sink.as_mut(), from_json(&two, &(0..10).map(line).collect::<Vec<_>>()), 0);
    sink.commit(true, 0).unwrap();
    let only = files_of(&folder.path().join("day=d1"), schema(&[("id", DataType::Int64)]), &[]);
    let mut source = source(&only, vec![0]);
    let split = source.splits().unwrap().remove(0);
    let read = source.read(&split, Position(0), None, limits(100)).unwrap();
    assert_eq!(read.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 3, 5, 7, 9]);
}

#[test]
fn columns_are_matched_by_name_and_what_does_not_fit_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let written = files_of(folder.path(), every_type(), &[]);
    let mut sink = sink(&written);
    sink.open().unwrap();
    write(sink.as_mut(), from_json(&every_type(), &lines(0..3)), 0);
    sink.commit(true, 0).unwrap();
    let read = |columns: &[(&str, DataType)]| {
        let table = files_of(folder.path(), schema(columns), &[]);
        let mut source = source(&table, (0..columns.len()).collect());
        let split = source.splits().unwrap().remove(0);
        source
            .read(&split, Position(0), None, limits(100))
            .map(|read| printed(&read.rows))
            .map_err(|error| error.message)
    };
    let inner = DataType::Struct(
        vec![Field::new("more", DataType::Int64, true), Field::new("x", DataType::Int64, true)].into(),
    );
    let wider =
        read(&[("new", DataType::Utf8), ("inner", inner), ("t", DataType::Int32), ("f", DataType::Float64)]);
    assert_eq!(
        wider.unwrap(),
        ["[null, null, null, null]", "[null, +I[null, 1], -1, 1.5]", "[null, +I[null, 2], -2, 1.5]"]
    );
    let refused = read(&[("text", DataType::Int32)]).unwrap_err();
    assert!(
        refused.contains("cannot be read from row 0 on: column 'text': the file has Utf8, which is no Int32"),
        "{refused}"
    );
    let strict = Arc::new(Schema::new(vec![Field::new("t", DataType::Int8, false)]));
    let mut source = source(&files_of(folder.path(), strict, &[]), vec![0]);
    let split = source.splits().unwrap().remove(0);
    let refused = source.read(&split, Position(0), None, limits(100)).unwrap_err().message;
    assert!(refused.contains("the column is NOT NULL, and the file has a NULL"), "{refused}");
    let interval = schema(&[("i", DataType::Duration(arrow_schema::TimeUnit::Second))]);
    let found =
        connectors().find("filesystem").unwrap().check(&files_of(folder.path(), interval, &[]), Role::Sink);
    assert!(found.unwrap_err()[0].message.contains("the format 'parquet' does not take the type"));
}

#[test]
fn broken_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let table = files_of(&folder.path().join("good"), every_type(), &[]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    write(sink.as_mut(), from_json(&every_type(), &lines(0..50)), 0);
    sink.commit(true, 0).unwrap();
    let good = std::fs::read_dir(folder.path().join("good"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .unwrap();
    let bytes = std::fs::read(good).unwrap();
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    let path = broken.join("one.parquet");
    let mut state = 7u64;
    for round in 0..300 {
        let mut mutated = bytes.clone();
        for _ in 0..1 + round % 4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % mutated.len();
            mutated[at] ^= 1 << (state >> 20 & 7);
        }
        if round % 5 == 0 {
            mutated.truncate(mutated.len() - 1 - round);
        }
        std::fs::write(&path, &mutated).unwrap();
        let table = files_of(&broken, every_type(), &[]);
        let mut source = source(&table, (0..every_type().fields().len()).collect());
        let split = source.splits().unwrap().remove(0);
        // Rows or an error, never a panic.
        let _ = source.read(&split, Position(0), None, limits(100));
    }
    std::fs::write(&path, b"PAR1").unwrap();
    let mut source = source(&files_of(&broken, every_type(), &[]), vec![0]);
    let split = source.splits().unwrap().remove(0);
    assert_eq!(
        source.read(&split, Position(0), None, limits(100)).unwrap_err().kind,
        base::ErrorKind::Invalid
    );
}
