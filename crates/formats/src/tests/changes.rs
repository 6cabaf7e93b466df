//! Changelogs in JSON: each envelope's changes, metadata, errors that leave no trace, what is written,
//! round trips and mutated bytes.

use super::properties::fuzz;
use super::*;
use crate::{ChangeKind, Surroundings, WantedMetadata};
use arrow_array::{Int64Array, StringArray};

fn orders() -> SchemaRef {
    schema_of(vec![column("id", DataType::Int64), column("city", DataType::Utf8)])
}

fn short(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Insert => "+I",
        ChangeKind::UpdateBefore => "-U",
        ChangeKind::UpdateAfter => "+U",
        ChangeKind::Delete => "-D",
    }
}

/// The rows of a record with their kinds, or the error; an error must leave the rows before it alone.
fn changes(kind: FormatKind, given: &[(&str, &str)], record: &str) -> Vec<String> {
    let mut decoder = decoder(kind, given, &orders());
    collect(decoder.as_mut(), record)
}

fn collect(decoder: &mut dyn RowDecoder, record: &str) -> Vec<String> {
    let error = decoder.decode(record.as_bytes()).err();
    let kinds = decoder.kinds().unwrap().to_vec();
    let rows = decoder.finish().unwrap();
    assert_eq!(kinds.len(), rows.num_rows());
    let shown = printed(&rows).into_iter().zip(kinds);
    let mut lines: Vec<String> = shown.map(|(row, kind)| format!("{} {row}", short(kind))).collect();
    lines.extend(error.map(|error| format!("error: {error}")));
    lines
}

#[test]
fn every_envelope_gives_its_changes() {
    use FormatKind::{CanalJson, DebeziumJson, MaxwellJson, OggJson};
    let cases: &[(FormatKind, &str, &[&str])] = &[
        (DebeziumJson, r#"{"before":null,"after":{"id":1,"city":"Oslo"},"op":"c"}"#, &["+I [1, Oslo]"]),
        (DebeziumJson, r#"{"op":"r","after":{"city":"Oslo","id":1,"more":[{}]}}"#, &["+I [1, Oslo]"]),
        (
            DebeziumJson,
            r#"{"before":{"id":1,"city":"Oslo"},"after":{"id":1,"city":null},"source":{"db":"x"},"op":"u"}"#,
            &["-U [1, Oslo]", "+U [1, null]"],
        ),
        (DebeziumJson, r#"{"before":{"id":1},"after":null,"op":"d","ts_ms":5}"#, &["-D [1, null]"]),
        (DebeziumJson, "", &[]),
        (
            CanalJson,
            r#"{"data":[{"id":"1","city":"Oslo"},{"id":"2","city":null}],"old":null,"type":"INSERT"}"#,
            &["+I [1, Oslo]", "+I [2, null]"],
        ),
        (
            CanalJson,
            r#"{"data":[{"id":"1","city":"Oslo"},{"city":"Rome","id":"2"}],"old":[{"city":"Bern"},{"id":"3","city":null}],"type":"UPDATE"}"#,
            &["-U [1, Bern]", "+U [1, Oslo]", "-U [3, null]", "+U [2, Rome]"],
        ),
        (CanalJson, r#"{"data":[{"id":1}],"type":"DELETE"}"#, &["-D [1, null]"]),
        (CanalJson, r#"{"data":null,"type":"CREATE","sql":"CREATE TABLE t"}"#, &[]),
        (MaxwellJson, r#"{"type":"insert","data":{"id":1,"city":"Oslo"}}"#, &["+I [1, Oslo]"]),
        (
            MaxwellJson,
            r#"{"data":{"id":1,"city":"Oslo"},"old":{"city":null},"type":"update"}"#,
            &["-U [1, null]", "+U [1, Oslo]"],
        ),
        (MaxwellJson, r#"{"data":{"id":1,"city":"Oslo"},"type":"delete"}"#, &["-D [1, Oslo]"]),
        (OggJson, r#"{"after":{"id":1,"city":"Oslo"},"op_type":"I"}"#, &["+I [1, Oslo]"]),
        (OggJson, r#"{"before":{"id":1},"after":{"id":2},"op_type":"U"}"#, &["-U [1, null]", "+U [2, null]"]),
        (OggJson, r#"{"before":{"id":1},"op_type":"D"}"#, &["-D [1, null]"]),
    ];
    for (kind, record, expected) in cases {
        assert_eq!(changes(*kind, &[], record), *expected, "{kind:?} {record}");
    }
}

#[test]
fn what_is_no_change_is_an_error_and_leaves_no_row() {
    use FormatKind::{CanalJson, DebeziumJson, MaxwellJson};
    let cases: &[(FormatKind, &str, &str)] = &[
        (DebeziumJson, r#"{"after":{"id":1},"op":"x"}"#, "error: 'op' is 'x', which is no known change"),
        (DebeziumJson, r#"{"after":{"id":1}}"#, "error: there is no 'op' that says what happened"),
        (DebeziumJson, r#"{"op":"c","after":null}"#, "error: the change 'c' has no 'after'"),
        (
            DebeziumJson,
            r#"{"op":"u","after":{"id":1},"before":null}"#,
            "error: the change 'u' has no 'before'; the source must log whole rows (in PostgreSQL: ALTER TABLE … \
             REPLICA IDENTITY FULL)",
        ),
        (
            DebeziumJson,
            r#"{"op":"u","before":{"id":1},"after":{"id":"x"}}"#,
            "error: field 'id': 'x' is no BIGINT",
        ),
        (DebeziumJson, r#"{"op":"c","after":7}"#, "error: not valid JSON at byte 18: expected an object"),
        (DebeziumJson, "[]", "error: not valid JSON at byte 0: expected an object"),
        (CanalJson, r#"{"type":"INSERT"}"#, "error: the change 'INSERT' has no 'data'"),
        (
            CanalJson,
            r#"{"type":"UPDATE","data":[{"id":1},{"id":2}],"old":[{}]}"#,
            "error: 'data' has 2 rows, 'old' has 1",
        ),
        (MaxwellJson, r#"{"type":"update","data":{"id":1}}"#, "error: the change 'update' has no 'old'"),
    ];
    for (kind, record, expected) in cases {
        assert_eq!(changes(*kind, &[], record), [*expected], "{record}");
    }
}

#[test]
fn with_ignore_parse_errors_a_field_that_does_not_fit_is_null() {
    let record = r#"{"op":"c","after":{"id":"x","city":"Oslo"}}"#;
    let rows = changes(FormatKind::DebeziumJson, &[("ignore-parse-errors", "true")], record);
    assert_eq!(rows, ["+I [null, Oslo]"]);
}

#[test]
fn a_schema_beside_the_payload_is_passed_over() {
    let record = r#"{"schema":{"type":"struct"},"payload":{"op":"c","after":{"id":1}}}"#;
    let given = &[("schema-include", "true")];
    assert_eq!(changes(FormatKind::DebeziumJson, given, record), ["+I [1, null]"]);
    let bare = changes(FormatKind::DebeziumJson, given, r#"{"op":"c","after":{"id":1}}"#);
    assert_eq!(bare, ["error: there is no 'payload'; 'schema-include' is for records with one"]);
}

#[test]
fn canal_keeps_only_the_databases_and_tables_that_match_whole() {
    let record = r#"{"database":"shop_1","table":"orders","data":[{"id":1}],"type":"INSERT"}"#;
    let count = |given: &[(&str, &str)]| changes(FormatKind::CanalJson, given, record).len();
    assert_eq!(count(&[("database.include", "shop_.")]), 1);
    assert_eq!(count(&[("database.include", "shop")]), 0);
    assert_eq!(count(&[("database.include", "shop_.*"), ("table.include", "users|orders")]), 1);
    assert_eq!(count(&[("table.include", "order")]), 0);
    let options = options(FormatKind::CanalJson, &[("table.include", "(")]);
    let Err(error) = FormatKind::CanalJson.decoder(&options, &orders(), &[0], &[], &Surroundings::default())
    else {
        panic!("an unclosed group is no regular expression")
    };
    assert!(error.to_string().starts_with("'table.include' = '(' is no regular expression: "), "{error}");
}

fn with_metadata(kind: FormatKind, given: &[(&str, &str)], record: &str) -> Vec<String> {
    let wanted: Vec<WantedMetadata> = kind
        .metadata()
        .into_iter()
        .map(|known| WantedMetadata {
            key: known.key.to_string(),
            field: Arc::new(column(known.key, known.data_type)),
        })
        .collect();
    let options = options(kind, given);
    let mut decoder = kind.decoder(&options, &orders(), &[0], &wanted, &Surroundings::default()).unwrap();
    collect(decoder.as_mut(), record)
}

#[test]
fn metadata_comes_with_every_row() {
    let debezium = r#"{"schema":{"a":[1]},"payload":{"op":"u","before":{"id":1},"after":{"id":2},"ts_ms":1589362330904,"source":{"db":"shop","schema":"public","table":"orders","ts_ms":1000,"snapshot":false,"lsn":7}}}"#;
    let rest = r#"2020-05-13T09:32:10.904Z, 1970-01-01T00:00:01Z, shop, public, orders, {db=shop, schema=public, table=orders, ts_ms=1000, snapshot=false, lsn=7}]"#;
    assert_eq!(
        with_metadata(FormatKind::DebeziumJson, &[("schema-include", "true")], debezium),
        [format!(r#"-U [1, {{"a":[1]}}, {rest}"#), format!(r#"+U [2, {{"a":[1]}}, {rest}"#)]
    );
    assert_eq!(
        with_metadata(FormatKind::DebeziumJson, &[], r#"{"op":"c","after":{"id":1},"source":null}"#),
        ["+I [1, null, null, null, null, null, null, null]"]
    );
    let canal = r#"{"data":[{"id":"1"}],"database":"shop","table":"orders","es":1000,"ts":2000,"pkNames":["id"],"sqlType":{"id":4},"type":"INSERT"}"#;
    assert_eq!(
        with_metadata(FormatKind::CanalJson, &[], canal),
        ["+I [1, shop, orders, {id=4}, [id], 1970-01-01T00:00:02Z, 1970-01-01T00:00:01Z]"]
    );
    let maxwell = r#"{"database":"shop","table":"orders","type":"insert","ts":1000,"primary_key_columns":["id"],"data":{"id":1}}"#;
    assert_eq!(
        with_metadata(FormatKind::MaxwellJson, &[], maxwell),
        ["+I [1, shop, orders, [id], 1970-01-01T00:00:01Z]"]
    );
    let ogg = r#"{"table":"SHOP.ORDERS","op_type":"I","op_ts":"2020-05-13 15:40:06.000000","current_ts":"2020-05-13 15:40:07.5","primary_keys":["id"],"after":{"id":1}}"#;
    assert_eq!(
        with_metadata(FormatKind::OggJson, &[], ogg),
        ["+I [1, SHOP.ORDERS, [id], 2020-05-13T15:40:07.500Z, 2020-05-13T15:40:06Z]"]
    );
}

#[test]
fn metadata_that_is_not_there_or_of_another_type_is_refused() {
    let ask = |kind: FormatKind, key: &str, data_type: DataType| {
        let wanted = [WantedMetadata { key: key.into(), field: Arc::new(column("m", data_type)) }];
        let decoder = kind.decoder(&options(kind, &[]), &orders(), &[0], &wanted, &Surroundings::default());
        decoder.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(
        ask(FormatKind::OggJson, "database", DataType::Utf8),
        "column 'm': the format 'ogg-json' has no metadata 'database'; it has: table, primary-key-columns, \
         ingestion-timestamp, event-timestamp"
    );
    assert_eq!(
        ask(FormatKind::OggJson, "table", DataType::Int32),
        "column 'm': the metadata 'table' is of another type"
    );
    assert_eq!(ask(FormatKind::Json, "table", DataType::Utf8), "the format 'json' has no metadata 'table'");
}

const FORMATS: [FormatKind; 4] =
    [FormatKind::DebeziumJson, FormatKind::CanalJson, FormatKind::MaxwellJson, FormatKind::OggJson];

fn one_row() -> RecordBatch {
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec![None::<&str>]))];
    RecordBatch::try_new(orders(), columns).unwrap()
}

fn written(kind: FormatKind, given: &[(&str, &str)], change: ChangeKind) -> String {
    let mut encoder = kind.encoder(&options(kind, given), &orders(), &Surroundings::default()).unwrap();
    let mut out = Vec::new();
    encoder.encode_change(&one_row(), 0, change, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_row_is_written_as_an_insert_or_a_delete() {
    let expected = [
        (
            r#"{"before":null,"after":{"id":1,"city":null},"op":"c"}"#,
            r#"{"before":{"id":1,"city":null},"after":null,"op":"d"}"#,
        ),
        (
            r#"{"data":[{"id":1,"city":null}],"type":"INSERT"}"#,
            r#"{"data":[{"id":1,"city":null}],"type":"DELETE"}"#,
        ),
        (
            r#"{"data":{"id":1,"city":null},"type":"insert"}"#,
            r#"{"data":{"id":1,"city":null},"type":"delete"}"#,
        ),
        (
            r#"{"before":null,"after":{"id":1,"city":null},"op_type":"I"}"#,
            r#"{"before":{"id":1,"city":null},"after":null,"op_type":"D"}"#,
        ),
    ];
    for (kind, (insert, delete)) in FORMATS.into_iter().zip(expected) {
        assert_eq!(written(kind, &[], ChangeKind::Insert), insert);
        assert_eq!(written(kind, &[], ChangeKind::UpdateAfter), insert);
        assert_eq!(written(kind, &[], ChangeKind::UpdateBefore), delete);
        assert_eq!(written(kind, &[], ChangeKind::Delete), delete);
        assert_eq!(changes(kind, &[], insert), ["+I [1, null]"]);
        assert_eq!(changes(kind, &[], delete), ["-D [1, null]"]);
    }
    let short = &[("encode.ignore-null-fields", "true")];
    assert_eq!(
        written(FormatKind::DebeziumJson, short, ChangeKind::Insert),
        r#"{"after":{"id":1},"op":"c"}"#
    );
    assert_eq!(
        written(FormatKind::DebeziumJson, short, ChangeKind::Delete),
        r#"{"before":{"id":1},"op":"d"}"#
    );
    let refused = options(FormatKind::DebeziumJson, &[("schema-include", "true")]);
    assert!(FormatKind::DebeziumJson.encoder(&refused, &orders(), &Surroundings::default()).is_err());
}

#[test]
fn mutated_changes_do_no_harm() {
    let seeds: [&[&[u8]]; 4] = [
        &[
            br#"{"before":{"id":1,"city":"Oslo"},"after":{"id":1,"city":null},"source":{"db":"x"},"op":"u"}"#,
            br#"{"op":"d","before":{"id":1}}"#,
        ],
        &[br#"{"data":[{"id":"1"},{"city":"Rome","id":2}],"old":[{"city":"Bern"},{"id":3}],"type":"UPDATE"}"#],
        &[br#"{"data":{"id":1,"city":"Oslo"},"old":{"city":null},"type":"update"}"#],
        &[br#"{"before":{"id":1},"after":{"id":2,"city":"\u00e9"},"op_type":"U"}"#],
    ];
    for (kind, seeds) in FORMATS.into_iter().zip(seeds) {
        for given in [&[][..], &[("ignore-parse-errors", "true")]] {
            fuzz(kind, given, &orders(), seeds, 20_000);
        }
    }
}
