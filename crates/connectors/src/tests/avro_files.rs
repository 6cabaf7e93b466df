//! Avro's container files: rows written, read back in pieces and again; files of other writers; broken files.

use super::parquet::{files_in, from_json, printed, sink, source, write};
use super::*;
use crate::filesystem::avro::schema_of;
use dataflow::connector::Role;

fn columns() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let inner = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)];
    schema(&[
        ("id", DataType::Int64),
        ("text", DataType::Utf8),
        ("price", DataType::Decimal128(12, 3)),
        ("ts", DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None)),
        ("list", DataType::List(item)),
        ("inner", DataType::Struct(inner.into())),
    ])
}

fn lines(count: i64) -> Vec<String> {
    let line = |id: i64| match id % 3 {
        0 => format!(r#"{{"id":{id}}}"#),
        _ => format!(
            r#"{{"id":{id},"text":"é {id}","price":"-{id}.125","ts":"1960-01-01 00:00:00.{:03}","list":["a",null],"inner":{{"x":{id}}}}}"#,
            id % 1000
        ),
    };
    (0..count).map(line).collect()
}

#[test]
fn what_is_written_comes_back_in_any_pieces_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let path = folder.path().join(codec);
        let table = files_in(&path, "avro", columns(), &[("avro.codec", codec)]);
        let rows = from_json(&columns(), &lines(10_000));
        let mut sink = sink(&table);
        assert_eq!(sink.open().unwrap(), 0);
        let end = write(sink.as_mut(), rows.clone(), 0);
        assert_eq!(sink.commit(true, 5_000).unwrap(), end);
        for rows_max in [700, 100_000] {
            let mut source = source(&table, (0..6).collect());
            let split = source.splits().unwrap().remove(0);
            assert!(split.id.ends_with(".avro"), "{}", split.id);
            let reads = read_all(source.as_mut(), &split, Position(0), rows_max);
            let read: Vec<String> = reads.iter().flat_map(|read| printed(&read.rows)).collect();
            assert_eq!(read, printed(&rows));
            for at in [0, 1, 4090, 9_990] {
                let again = source.read(&split, Position(at), Some(Position(at + 10)), limits(1)).unwrap();
                assert_eq!(printed(&again.rows), printed(&rows.slice(at as usize, 10)));
            }
            let schema = schema_of(std::path::Path::new(&split.id));
            assert_eq!((&schema["name"], &schema["fields"][0]["name"]), (&"record".into(), &"id".into()));
        }
        let mut few = source(&table, vec![1, 0]);
        let split = few.splits().unwrap().remove(0);
        let read = few.read(&split, Position(9_998), None, limits(10)).unwrap();
        assert_eq!(
            (printed(&read.rows), read.finished),
            (vec!["[é 9998, 9998]".into(), "[null, 9999]".into()], true)
        );
    }
}

/// A file of another writer: fields in another order, one more, one less, one of a smaller type.
fn foreign_file(sync: u8, blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let schema = br#"{"type":"record","name":"Other","fields":[{"name":"extra","type":"boolean"},{"name":"text","type":"string"},{"name":"id","type":"int"}]}"#;
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    // A length below 8192 takes two bytes.
    let length = schema.len() as u16 * 2;
    file.extend_from_slice(&[length as u8 | 0x80, (length >> 7) as u8]);
    file.extend_from_slice(schema);
    file.push(0);
    file.extend_from_slice(&[7; 16]);
    for (count, bytes) in blocks {
        file.extend_from_slice(&[count * 2, bytes.len() as u8 * 2]);
        file.extend_from_slice(bytes);
        file.extend_from_slice(&[sync; 16]);
    }
    file
}

#[test]
fn files_of_other_writers_are_resolved_and_broken_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    std::fs::create_dir(&path).unwrap();
    let columns = schema(&[("id", DataType::Int64), ("text", DataType::Utf8), ("missing", DataType::Int32)]);
    let table = files_in(&path, "avro", columns, &[]);
    let two: &[u8] = &[1, 2, b'a', 2, 0, 4, b'b', b'c', 3];
    let read = |bytes: &[u8]| {
        std::fs::write(path.join("part"), bytes).unwrap();
        let mut source = source(&table, vec![0, 1]);
        let split = source.splits().unwrap().remove(0);
        source.read(&split, Position(0), None, limits(10)).map(|read| printed(&read.rows))
    };
    let whole = foreign_file(7, &[(2, two), (0, &[]), (1, &two[..4])]);
    assert_eq!(read(&whole).unwrap(), ["[1, a]", "[-2, bc]", "[1, a]"]);
    for (bytes, part) in [
        (Vec::new(), "cannot be read"),
        (b"PAR1 and so on".to_vec(), "no container file"),
        (foreign_file(8, &[(2, two)]), "the mark"),
        (foreign_file(7, &[(3, two)]), "ends too early"),
        (foreign_file(7, &[(1, two), (1, &two[..4])]), "bytes behind"),
        (foreign_file(7, &[(1, &[9, 9])]), "cannot be read"),
    ] {
        let error = read(&bytes).unwrap_err();
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    // Wherever a file is cut, it gives the rows of whole blocks or an error, and never more.
    for end in 0..whole.len() {
        if let Ok(rows) = read(&whole[..end]) {
            assert!(rows.len() <= 2, "{end}: {rows:?}");
        }
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        let _ = read(&flipped);
    }
}

#[test]
fn what_files_of_avro_cannot_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let check = |table: &TableDefinition| {
        let errors = connectors.find("filesystem").unwrap().check(table, Role::Sink).unwrap_err();
        errors[0].message.clone()
    };
    let json =
        files_in(folder.path(), "avro", schema(&[("id", DataType::Int64)]), &[("avro.encoding", "json")]);
    assert!(check(&json).contains("avro.encoding"));
    let ltz = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some("UTC".into()));
    let zoned = files_in(folder.path(), "avro", schema(&[("at", ltz)]), &[]);
    assert!(check(&zoned).contains("timestamp_mapping.legacy"), "{}", check(&zoned));
}
