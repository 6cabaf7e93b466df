//! Files: read in pieces and again, and written exactly once whatever the moment of a crash.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use dataflow::connector::{Role, SourceRequest};
use dataflow::sink::{OutboxSink, Sink, TopicBatch};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::Path;

fn connectors() -> ConnectorTable {
    crate::table(Connectors { os: Os::real(), log: None })
}

fn people(path: &Path, options: &[(&str, &str)]) -> TableDefinition {
    let mut all = vec![("connector", "filesystem"), ("path", path.to_str().unwrap()), ("format", "csv")];
    all.extend_from_slice(options);
    (*table(schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]), &all)).clone()
}

fn ids(reads: &[Read]) -> Vec<i64> {
    reads.iter().flat_map(|read| read.rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn plain_and_gzip_files_read_alike_in_any_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..500).map(|id| format!("{id},\"name, \"\"{id}\"\"\nsecond line\"\r\n")).collect();
    std::fs::write(folder.path().join("a.csv"), &text).unwrap();
    let mut gzip =
        GzEncoder::new(std::fs::File::create(folder.path().join("b.csv.gz")).unwrap(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap();
    std::fs::write(folder.path().join(".hidden"), "no csv").unwrap();
    std::fs::write(folder.path().join("_SUCCESS"), "").unwrap();
    let table = Arc::new(people(folder.path(), &[]));
    for rows_max in [1, 13, 10_000] {
        let request = SourceRequest { table: table.clone(), projection: vec![0, 1], metadata: vec![] };
        let mut source = connectors().find("filesystem").unwrap().source(request).unwrap();
        let splits = source.splits().unwrap();
        assert_eq!(splits.len(), 2);
        for split in &splits {
            let reads = read_all(source.as_mut(), split, Position(0), rows_max);
            assert_eq!(ids(&reads), (0..500).collect::<Vec<i64>>());
            assert_eq!(reads[0].rows.column(1).as_string::<i32>().value(0), "name, \"0\"\nsecond line");
            // A piece from the middle, read again after the end was reached.
            if let [first, second, ..] = &reads[..] {
                let again = source.read(split, first.next, Some(second.next), limits(usize::MAX)).unwrap();
                assert_eq!(again.rows, second.rows);
            }
        }
    }
}

#[test]
fn formats_without_lines_are_refused() {
    let table = people(Path::new("people"), &[("format", "cloudevents")]);
    let errors = connectors().find("filesystem").unwrap().check(&table, Role::Sink).unwrap_err();
    let message = &errors[0].message;
    assert!(message.contains("the records of the format 'cloudevents' are no lines"), "{message}");
}

#[test]
fn a_missing_path_and_a_bad_record_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Arc::new(people(&folder.path().join("nowhere"), &[]));
    let request = SourceRequest { table: missing, projection: vec![0], metadata: vec![] };
    let error = connectors().find("filesystem").unwrap().source(request).unwrap().splits().unwrap_err();
    assert!(error.message.contains("there is no file or folder"), "{}", error.message);
    std::fs::write(folder.path().join("bad.csv"), "1,one\nx,two\n3,three\n").unwrap();
    let strict = Arc::new(people(folder.path(), &[]));
    let request = SourceRequest { table: strict, projection: vec![0], metadata: vec![] };
    let mut source = connectors().find("filesystem").unwrap().source(request).unwrap();
    let split = source.splits().unwrap().remove(0);
    let error = source.read(&split, Position(0), None, limits(10)).unwrap_err();
    assert!(
        error.message.contains("bad.csv byte 6 cannot be read: field 'id': 'x' is no BIGINT"),
        "{}",
        error.message
    );
    let lenient = Arc::new(people(folder.path(), &[("csv.ignore-parse-errors", "true")]));
    let request = SourceRequest { table: lenient, projection: vec![0], metadata: vec![] };
    let mut source = connectors().find("filesystem").unwrap().source(request).unwrap();
    let read = source.read(&split, Position(0), None, limits(10)).unwrap();
    assert_eq!(read.rows.num_rows(), 3);
    assert!(read.rows.column(0).is_null(1));
}

fn sink(table: &TableDefinition) -> Box<dyn OutboxSink> {
    let found = connectors().find("filesystem").unwrap().sink(&Arc::new(table.clone()), "job-1").unwrap();
    let Sink::Outbox(sink) = found else { panic!("an outbox sink") };
    sink
}

/// Outbox batches of ten rows each, with their offsets patched as the log does.
fn outbox(table: &TableDefinition, rows: std::ops::Range<i64>) -> Vec<TopicBatch> {
    let mut batches = Vec::new();
    for begin in rows.step_by(10) {
        let names: Vec<String> = (begin..begin + 10).map(|id| format!("group {}", id % 3)).collect();
        let schema = schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
        let ids = Int64Array::from_iter_values(begin..begin + 10);
        let rows =
            RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(StringArray::from(names))]).unwrap();
        let mut encoded = sink(table).encode(&batch(rows), 0).unwrap();
        assert_eq!(encoded.len(), 1);
        kafka_wire::records::set_base_offset(&mut encoded[0].bytes, begin).unwrap();
        batches.extend(encoded);
    }
    batches
}

/// The lines of all visible files, with the folder they lie in, sorted.
fn lines(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            all.extend(lines(&entry.path()).into_iter().map(|line| format!("{name}/{line}")));
        } else {
            all.extend(std::fs::read_to_string(entry.path()).unwrap().lines().map(str::to_string));
        }
    }
    all.sort();
    all
}

#[test]
fn every_row_is_in_the_files_once_wherever_the_sink_dies() {
    for partitioned in [false, true] {
        // The sink is dropped after each number of calls, and opened anew.
        for die_after in 2..12 {
            let folder = tempfile::tempdir().unwrap();
            let mut table = people(&folder.path().join("out"), &[("sink.rolling-policy.file-size", "40 b")]);
            if partitioned {
                table.partition_keys = vec!["name".into()];
            }
            let batches = outbox(&table, 0..100);
            let mut done = false;
            let mut lives = 0;
            while !done {
                lives += 1;
                assert!(lives < 20, "no progress when dying after {die_after} calls");
                let mut sink = sink(&table);
                let mut next = sink.open().unwrap();
                let mut calls = 0;
                loop {
                    if next >= 100 {
                        assert_eq!(sink.commit(true, 1).unwrap(), 100);
                        done = true;
                        break;
                    }
                    calls += 1;
                    if calls > die_after {
                        break;
                    }
                    sink.apply(&batches[next as usize / 10].bytes).unwrap();
                    next = (next / 10 + 1) * 10;
                    if next % 20 == 0 {
                        sink.commit(false, 1).unwrap();
                    }
                }
            }
            let mut expected: Vec<String> = (0..100)
                .map(|id| {
                    let name = format!("group {}", id % 3);
                    if partitioned { format!("name={name}/{id}") } else { format!("{id},\"{name}\"") }
                })
                .collect();
            expected.sort();
            assert_eq!(lines(&folder.path().join("out")), expected, "died after {die_after} calls");
        }
    }
}

/// The names are those that Flink gives: what reads folders of one reads those of the other.
#[test]
fn the_folder_of_a_partition_is_named_as_flink_names_it() {
    let cases = [
        ("09:30", "09%3A30"),
        ("a/b=c", "a%2Fb%3Dc"),
        ("..", "%2E%2E"),
        ("50 % [x] {y} ^", "50 %25 %5Bx%5D %7By} %5E"),
        ("ü, ñ & <z> ~ @", "ü, ñ & <z> ~ @"),
        ("new\nline\u{7f}", "new%0Aline%7F"),
    ];
    for (value, folder) in cases {
        assert_eq!(crate::filesystem::sink::escape(value), folder, "{value}");
    }
}

#[test]
fn a_commit_that_was_not_carried_out_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let table = people(&folder.path().join("out"), &[]);
    let batches = outbox(&table, 0..20);
    let mut first = sink(&table);
    assert_eq!(first.open().unwrap(), 0);
    first.apply(&batches[0].bytes).unwrap();
    assert_eq!(first.commit(true, 0).unwrap(), 10);
    // As if the process had died between the commit file and the rename.
    let out = folder.path().join("out");
    let part = std::fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_string_lossy().starts_with("part-"));
    let part = part.unwrap();
    let name = part.file_stem().unwrap().to_string_lossy().into_owned();
    std::fs::rename(&part, out.join(format!(".{name}.unfinished"))).unwrap();
    assert_eq!(lines(&out).len(), 0);
    let mut second = sink(&table);
    assert_eq!(second.open().unwrap(), 10);
    assert_eq!(lines(&out).len(), 10);
    second.apply(&batches[1].bytes).unwrap();
    assert_eq!(second.commit(true, 0).unwrap(), 20);
    assert_eq!(lines(&out).len(), 20);
}

#[test]
fn the_unfinished_files_of_another_job_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let table = people(folder.path(), &[]);
    let mut sink = sink(&table);
    // The job "job-1-b" begins with our name.
    let theirs = folder.path().join(".part-job-1-b-00000000000000000000.unfinished");
    let ours = folder.path().join(".part-job-1-00000000000000000007.unfinished");
    std::fs::write(&theirs, "theirs").unwrap();
    std::fs::write(&ours, "left by a crash").unwrap();
    sink.open().unwrap();
    assert!(theirs.exists());
    assert!(!ours.exists());
}

#[test]
fn a_blank_line_is_a_record_of_csv_but_none_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "{\"id\":1}\n\n{\"id\":2}\n").unwrap();
    let read = |options: &[(&str, &str)]| {
        let mut all = vec![("connector", "filesystem"), ("path", path.to_str().unwrap())];
        all.extend_from_slice(options);
        let table = table(schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]), &all);
        let request = SourceRequest { table, projection: vec![0], metadata: vec![] };
        let mut source = connectors().find("filesystem").unwrap().source(request).unwrap();
        let split = source.splits().unwrap().remove(0);
        source.read(&split, Position(0), None, limits(10))
    };
    assert_eq!(ids(&[read(&[("format", "json")]).unwrap()]), [1, 2]);
    std::fs::write(&path, "1,a\n\n").unwrap();
    let error = read(&[("format", "csv")]).unwrap_err();
    assert!(error.message.contains("byte 4 cannot be read: field 'id': '' is no BIGINT"), "{error}");
}

#[test]
fn metadata_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "1,a\n").unwrap();
    let mut definition = people(&path, &[]);
    let micros = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    let column = |key: &str, data_type: DataType| dataflow::table::MetadataColumn {
        name: key.into(),
        key: key.into(),
        data_type,
        is_virtual: true,
    };
    definition.metadata = vec![
        column("file.name", DataType::Utf8),
        column("file.size", DataType::Int64),
        column("file.modification-time", micros.clone()),
    ];
    let request = SourceRequest { table: Arc::new(definition), projection: vec![0], metadata: vec![0, 1, 2] };
    let mut source = connectors().find("filesystem").unwrap().source(request).unwrap();
    let split = source.splits().unwrap().remove(0);
    let rows = source.read(&split, Position(0), None, limits(10)).unwrap().rows;
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "a.csv");
    assert_eq!(rows.column(2).as_primitive::<Int64Type>().value(0), 4);
    assert_eq!(rows.column(3).data_type(), &micros);
    let before = split.fingerprint;
    std::fs::write(&path, "1,a\n2,b\n").unwrap();
    assert_ne!(source.splits().unwrap()[0].fingerprint, before);
}
