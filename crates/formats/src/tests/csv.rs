//! CSV read: Flink's answers, quotes, escapes, NULLs, arrays and rows, records of a file.

use super::*;
use crate::RecordSplitter;

/// The table that Flink was asked about.
fn flink_table() -> SchemaRef {
    schema_of(vec![
        column("k", DataType::Utf8),
        column("i", DataType::Int32),
        column("d", DataType::Float64),
        column("bo", DataType::Boolean),
        column("da", DataType::Date32),
        column("ti", DataType::Time32(TimeUnit::Millisecond)),
        column("ts", timestamp(TimeUnit::Millisecond)),
        column("de", DataType::Decimal128(10, 2)),
        column("a", array_of(DataType::Utf8)),
    ])
}

/// (record, the row that Flink printed; an empty text when it skipped the record).
const FLINK: &[(&str, &str)] = &[
    (
        "base,1,2.5,true,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a;b",
        "[base, 1, 2.5, true, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a, b]]",
    ),
    ("empties,,,,,,,,", "[empties, null, null, false, null, null, null, null, []]"),
    (
        "\"quo\"\"ted\",  7 , 8.5 ,TRUE,2013-1-1,05:00,2013-01-01 05:00,1e3,\"a;b\"",
        "[quo\"ted, 7, 8.5, true, 2013-01-01, 05:00, null, 1000.00, [a, b]]",
    ),
    (
        "'single',n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a",
        "['single', null, null, false, null, null, null, null, [n/a]]",
    ),
    ("few,1", "[few, 1, null, null, null, null, null, null, null]"),
    ("many,1,2.5,true,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a;b,extra", ""),
    (
        "trailing,1,2.5,true,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a;b,",
        "[trailing, 1, 2.5, true, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a, b]]",
    ),
    (
        "  spaced  ,1,2.5,yes,2013-01-01,05:00:00.123,2013-01-01T05:00:00,1.005,;",
        "[  spaced  , 1, 2.5, false, 2013-01-01, 05:00:00.123, null, 1.01, [, ]]",
    ),
    (
        "mid\"quote,1,2.5,true,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a",
        "[mid\"quote, 1, 2.5, true, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a]]",
    ),
    (
        "\"multi\nline\",1,2.5,true,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a",
        "[multi\nline, 1, 2.5, true, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a]]",
    ),
    ("", "[, null, null, null, null, null, null, null, null]"),
    (
        "after-blank,1.0,2,1,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a",
        "[after-blank, null, 2.0, false, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a]]",
    ),
    (
        " \"lead\",1,2,1,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a",
        "[ \"lead\", 1, 2.0, false, 2013-01-01, 05:00, 2013-01-01T05:00:00.500, 1.01, [a]]",
    ),
    ("\"tail\"x,1,2,1,2013-01-01,05:00:00,2013-01-01 05:00:00.5,1.005,a", ""),
];

#[test]
fn reads_what_flink_reads() {
    let records: Vec<&[u8]> = FLINK.iter().map(|(record, _)| record.as_bytes()).collect();
    let given = &[("ignore-parse-errors", "true")];
    let outcomes = outcomes(FormatKind::Csv, given, &flink_table(), &records);
    for ((record, expected), outcome) in FLINK.iter().zip(outcomes) {
        if expected.is_empty() {
            assert!(outcome.starts_with("error: "), "{record}: {outcome}");
        } else {
            assert_eq!(outcome, *expected, "{record}");
        }
    }
}

#[test]
fn records_of_a_file_are_parted_as_flink_parts_them() {
    let file: String = FLINK.iter().map(|(record, _)| format!("{record}\n")).collect();
    let splitter = decoder(FormatKind::Csv, &[], &flink_table()).splitter();
    let expected: Vec<String> = FLINK.iter().map(|(record, _)| record.to_string()).collect();
    for chunk in [1, 2, 7, file.len()] {
        assert_eq!(split(splitter.clone(), &file, chunk), expected, "chunk={chunk}");
    }
}

/// Parts a file that arrives in chunks.
fn split(mut splitter: RecordSplitter, file: &str, chunk: usize) -> Vec<String> {
    let mut records = Vec::new();
    let mut buffer = String::new();
    for piece in file.as_bytes().chunks(chunk) {
        buffer.push_str(std::str::from_utf8(piece).unwrap());
        while let Some(end) = splitter.find_end(buffer.as_bytes()) {
            records.push(buffer[..end - 1].to_string());
            buffer.drain(..end);
        }
    }
    assert_eq!(buffer, "");
    records
}

#[test]
fn quotes_escapes_and_comments_part_records() {
    let with = |given: &[(&str, &str)]| {
        let schema = schema_of(vec![column("a", DataType::Utf8), column("b", DataType::Utf8)]);
        decoder(FormatKind::Csv, given, &schema).splitter()
    };
    let file = "\"a\\\"\nb\",c\n#it's \"open\n\"x\"\"\n\",y\nd\"e,f\n";
    let escaped = [("escape-character", "\\"), ("allow-comments", "true")];
    let expected = ["\"a\\\"\nb\",c", "#it's \"open", "\"x\"\"\n\",y", "d\"e,f"];
    for chunk in [1, 3, 100] {
        assert_eq!(split(with(&escaped), file, chunk), expected);
    }
    let lines = split(with(&[("disable-quote-character", "true")]), "\"a\n\"b\n", 2);
    assert_eq!(lines, ["\"a", "\"b"]);
}

#[test]
fn dialects() {
    let schema = schema_of(vec![
        column("a", DataType::Utf8),
        column("b", DataType::Int32),
        column("c", array_of(DataType::Int32)),
        column("d", row_of(vec![column("x", DataType::Int32), column("y", DataType::Utf8)])),
    ]);
    let cases: &[(Given, &str, &str)] = &[
        (&[], "a,1,1;2,3;z", "[a, 1, [1, 2], +I[3, z]]"),
        (&[("field-delimiter", "\\t")], "a\t1\t\t3;", "[a, 1, [], +I[3, ]]"),
        (
            &[("field-delimiter", "|"), ("array-element-delimiter", "::")],
            "a,b|1|1::2|",
            "[a,b, 1, [1, 2], null]",
        ),
        (&[("null-literal", "n/a")], "n/a,n/a,1;n/a,n/a", "[null, null, [1, null], null]"),
        (&[("null-literal", "")], ",,,", "[null, null, null, null]"),
        (&[("quote-character", "'")], "'a,''b',1,,", "[a,'b, 1, [], null]"),
        (&[("disable-quote-character", "true")], "\"a,1,,", "[\"a, 1, [], null]"),
        (&[("escape-character", "\\")], "a\\,\\n\\\\b,1,,", "[a,\n\\b, 1, [], null]"),
        (&[("escape-character", "\\")], "\"a\\\"b\",1,,", "[a\"b, 1, [], null]"),
        (&[("allow-comments", "true")], "# a,1", "no row"),
        (&[], "# a,1,,", "[# a, 1, [], null]"),
        (&[], "a,1,,\r\n", "[a, 1, [], null]"),
        (&[], "\"a\" ,1,,", "[a, 1, [], null]"),
        (&[], "a,1", "error: the record has 2 fields, but the table has 4"),
        (&[], "a,1,,,,", "error: the record has more than the 4 fields of the table"),
        (&[], "a,,,", "error: field 'b': '' is no INT"),
        (&[], "a,1,1;x,", "error: field 'c.item': 'x' is no INT"),
        (&[], "a,1,,3", "error: field 'd': the row has 1 values instead of 2"),
        (&[], "\"a,1,,", "error: not valid CSV at byte 6: a field's closing quote is missing"),
        (
            &[],
            "\"a\"b,1,,",
            "error: not valid CSV at byte 3: expected the delimiter behind a field's closing quote",
        ),
    ];
    for (given, record, expected) in cases {
        assert_eq!(outcome(FormatKind::Csv, given, &schema, record), *expected, "{record}");
    }
}

#[test]
fn not_null_columns_and_bytes_that_are_no_text() {
    let schema =
        schema_of(vec![Field::new("a", DataType::Utf8, false), Field::new("b", DataType::Int32, false)]);
    let given = &[("ignore-parse-errors", "true"), ("null-literal", "-")];
    let records: &[&[u8]] = &[b"a,1", b"-,1", b"a,x", b"a", b"\xff,1", b"b,2"];
    assert_eq!(
        outcomes(FormatKind::Csv, given, &schema, records),
        [
            "[a, 1]",
            "error: field 'a': the column is NOT NULL, and '-' stands for NULL",
            "error: field 'b': 'x' is no INT",
            "error: field 'b': the column is NOT NULL, and the field is missing",
            "error: field 'a': the text is not valid UTF-8",
            "[b, 2]",
        ]
    );
}

#[test]
fn only_wanted_columns_are_read() {
    let schema = flink_table();
    let mut decoder = FormatKind::Csv
        .decoder(&options(FormatKind::Csv, &[]), &schema, &[3, 0], &[], &Surroundings::default())
        .unwrap();
    decoder.decode(b"\"a,\"\"b\",not,looked,true,at,\xff,,,").unwrap();
    assert_eq!(printed(&decoder.finish().unwrap()), ["[true, a,\"b]"]);
}

#[test]
fn wrong_options_and_types_are_refused() {
    let plain = schema_of(vec![column("a", DataType::Utf8)]);
    let refused = |given: &[(&str, &str)], schema: &SchemaRef| {
        FormatKind::Csv
            .decoder(&options(FormatKind::Csv, given), schema, &[0], &[], &Surroundings::default())
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        refused(&[("field-delimiter", "ab")], &plain),
        "'field-delimiter' = 'ab' is not valid: expected one ASCII character"
    );
    assert_eq!(
        refused(&[("quote-character", "'"), ("disable-quote-character", "true")], &plain),
        "'quote-character' cannot be given with 'disable-quote-character' = 'true'"
    );
    assert_eq!(
        refused(&[("field-delimiter", "\"")], &plain),
        "'field-delimiter' must differ from the quote and escape characters"
    );
    let map = schema_of(vec![column("m", map_of(DataType::Int32))]);
    assert!(refused(&[], &map).starts_with("column 'm': CSV takes scalars, and arrays and rows of scalars"));
}
