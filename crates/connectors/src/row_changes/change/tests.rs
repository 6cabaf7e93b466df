//! Records of changes become rows, whatever they hold.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_schema::DataType;
use std::collections::BTreeMap;

const ORIGIN: Origin<'static> = Origin { schema: "public", table: "things", time_ms: 7 };

fn table() -> TableDefinition {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let fields = vec![
        Field::new("id", DataType::Int32, false),
        Field::new("size", DataType::Int32, false),
        Field::new("tags", list, true),
    ];
    let metadata = [("rk", "row_kind"), ("tn", "table_name"), ("ms", "op_ts")].map(|(name, key)| {
        let data_type = if key == "op_ts" { DataType::Int64 } else { DataType::Utf8 };
        MetadataColumn { name: name.into(), key: key.into(), data_type, is_virtual: true }
    });
    TableDefinition {
        name: "t".into(),
        schema: Arc::new(Schema::new(fields)),
        metadata: metadata.into(),
        primary_key: vec!["id".into()],
        partition_keys: Vec::new(),
        options: BTreeMap::new(),
    }
}

fn record(kind: ChangeKind, values: [Option<&str>; 3]) -> Vec<u8> {
    encode(kind, ORIGIN, values.into_iter())
}

#[test]
fn records_become_rows_and_what_does_not_fit_is_left_out() {
    let mut decoder =
        ChangeDecoder::new(&table(), &[2, 0, 1], &[0, 1, 2], Some("shop"), Changelog::Retract).unwrap();
    let wrong = [
        (
            [Some("1"), Some("5000000000"), None],
            "the column 'size' is declared INT and holds the INTEGER 5000000000",
        ),
        (
            [Some("1"), None, None],
            "the column 'size' is declared NOT NULL and holds NULL; declare it without",
        ),
        ([Some("1"), Some("2"), Some("{a")], "the column 'tags' holds '{a', which cannot be read"),
    ];
    for (values, told) in wrong {
        let given = record(ChangeKind::Insert, values);
        let said = decoder.decode(&given).unwrap_err().to_string();
        assert!(said.contains(told), "{said}");
        decoder.decode(&record(ChangeKind::UpdateAfter, [Some("3"), Some("4"), Some("{a,NULL}")])).unwrap();
    }
    assert!(decoder.decode(&record(ChangeKind::Delete, [Some("3"), None, None])).is_err());
    assert_eq!((decoder.len(), decoder.kinds()), (3, Some(&[ChangeKind::UpdateAfter; 3][..])));
    let rows = decoder.finish().unwrap();
    assert_eq!(rows.num_rows(), 3);
    assert_eq!(rows.column(1).as_primitive::<Int32Type>().values(), &[3, 3, 3]);
    for row in 0..3 {
        let tags = rows.column(0).as_list::<i32>().value(row);
        assert_eq!(tags.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
    }
    let text = |column: usize| rows.column(column).as_string::<i32>().value(2);
    assert_eq!((text(3), text(4)), ("+U", "things"));
    assert_eq!((decoder.len(), decoder.finish().unwrap().num_rows()), (0, 0));
}

#[test]
fn a_deletion_by_key_has_nothing_else() {
    let mut decoder = ChangeDecoder::new(&table(), &[0, 1], &[], Some("shop"), Changelog::Upsert).unwrap();
    decoder.decode(&record(ChangeKind::Delete, [Some("3"), None, None])).unwrap();
    assert!(decoder.decode(&record(ChangeKind::Insert, [Some("3"), None, None])).is_err());
    let rows = decoder.finish().unwrap();
    assert_eq!((rows.num_rows(), rows.column(1).null_count()), (1, 1));
}

#[test]
fn changes_that_are_rows_have_their_kind_as_metadata_alone() {
    let mut decoder = ChangeDecoder::new(&table(), &[0], &[0], Some("shop"), Changelog::Insert).unwrap();
    for kind in [ChangeKind::Insert, ChangeKind::Delete] {
        decoder.decode(&record(kind, [Some("3"), Some("4"), None])).unwrap();
    }
    assert_eq!((decoder.len(), decoder.kinds()), (2, None));
    let rows = decoder.finish().unwrap();
    let kinds: Vec<_> = rows.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(kinds, ["+I", "-D"]);
}

#[test]
fn damaged_records_are_none() {
    let whole = record(ChangeKind::Insert, [Some("1"), Some("2"), Some("{}")]);
    let mut decoder =
        ChangeDecoder::new(&table(), &[0, 1, 2], &[0, 1, 2], Some("shop"), Changelog::Retract).unwrap();
    for length in 0..whole.len() {
        assert!(decoder.decode(&whole[..length]).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            // It is another row, or none; and what follows is not harmed.
            let _ = decoder.decode(&damaged);
        }
    }
    let before = decoder.len();
    decoder.decode(&whole).unwrap();
    assert_eq!(decoder.finish().unwrap().num_rows(), before + 1);
}

#[test]
fn people_read_json() {
    let given = record(ChangeKind::UpdateBefore, [Some("1"), None, Some("{a}")]);
    let shown = as_json(&given, &table()).unwrap();
    let expected = r#"{"kind":"-U","schema":"public","table":"things","ts_ms":7,"row":{"id":"1","size":null,"tags":"{a}"}}"#;
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(value(&shown), value(expected.as_bytes()));
    assert_eq!(as_json(b"x", &table()), None);
}
