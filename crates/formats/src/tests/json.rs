//! JSON read: Flink's answers, errors, NOT NULL, projection, limits.

use super::*;

const IGNORE: &[(&str, &str)] = &[("ignore-parse-errors", "true")];

/// (record, the row that Flink printed; an empty text when it skipped the record).
const FLINK: &[(&str, &str)] = &[
    (
        r#"{"k":"base","i":1,"b":2,"t":3,"s":4,"f":1.5,"d":2.5,"bo":true,"st":"x","de":12.345,"da":"2013-01-01","ti":"05:00:00.123","ts":"2013-01-01 05:00:00.5","tl":"2013-01-01 05:00:00Z","by":"AQID","a":["p",null,"q"],"m":{"k1":1,"k2":null},"r":{"x":1,"y":"z"}}"#,
        "[base, 1, 2, 3, 4, 1.5, 2.5, true, x, 12.35, 2013-01-01, 05:00:00.123, 2013-01-01T05:00:00.500, 2013-01-01T05:00:00Z, [1, 2, 3], [p, null, q], {k1=1, k2=null}, +I[1, z]]",
    ),
    (
        r#"{"k":"strings","i":" 12 ","b":"+13","t":"14","s":"15","f":"1e3","d":"NaN","bo":"TRUE","de":" 1.005 ","st":1.50}"#,
        "[strings, 12, 13, 14, 15, 1000.0, NaN, true, 1.50, 1.01, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"floats-to-int","i":1.9,"b":-2.9,"t":3.9,"s":4.9,"f":7,"d":8,"bo":1,"de":"1e3","st":true}"#,
        "[floats-to-int, 1, -2, null, null, 7.0, 8.0, false, true, 1000.00, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"overflow","i":2147483648,"b":9223372036854775808,"t":128,"s":32768,"f":1e400,"d":1e400,"de":123456789.1,"bo":"yes"}"#,
        "[overflow, null, null, null, null, Infinity, Infinity, false, null, null, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"objects","st":{"a" : [1, 2.50, "\u0041\/\n", null], "b":1e2},"i":{},"a":"notarray","m":[],"r":[1]}"#,
        r#"[objects, null, null, null, null, null, null, null, {"a":[1,2.5,"A/\n",null],"b":1E+2}, null, null, null, null, null, null, null, null, null]"#,
    ),
    (
        r#"{"k":"array-to-string","st":[ 1 , true ],"i":null,"da":"2013-1-1","ti":"05:00","ts":"2013-01-01T05:00:00","tl":"2013-01-01 05:00:00"}"#,
        "[array-to-string, null, null, null, null, null, null, null, [1,true], null, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"times","da":"2013-01-01 ","ti":"5:00:00","ts":"2013-01-01 05:00","tl":"2013-01-01 05:00:00.123456Z","by":"!!!","de":true}"#,
        "[times, null, null, null, null, null, null, null, null, null, null, null, null, 2013-01-01T05:00:00.123456Z, null, null, null, null]",
    ),
    (
        r#"{"k":"dup","i":1,"i":2,"st":"\ud83d\ude00"}"#,
        "[dup, 2, null, null, null, null, null, null, 😀, null, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"trailing","i":1} garbage"#,
        "[trailing, 1, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null]",
    ),
    ("not json", ""),
    ("[1,2]", ""),
    (r#"{"k":"unterminated","i":1"#, ""),
    ("{\"k\":\"ctrl\ttab\",\"i\":0012}", ""),
    (
        r#"{"k":"lone","st":"\ud800x"}"#,
        "[lone, null, null, null, null, null, null, null, ?x, null, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"baddate","da":"2013-02-30","ts":"2013-02-30 00:00:00","ti":"24:00:00"}"#,
        "[baddate, null, null, null, null, null, null, null, null, null, null, 00:00, 2013-02-28T00:00, null, null, null, null, null]",
    ),
    (
        r#"{"k":"frac10","ts":"2013-01-01 05:00:00.1234567891","ti":"05:00:00."}"#,
        "[frac10, null, null, null, null, null, null, null, null, null, null, 05:00, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"rowextra","r":{"y":5,"zz":[1,{"q":"]"}],"x":"7"},"m":{"a":"5"},"a":[1,{"z":1}]}"#,
        r#"[rowextra, null, null, null, null, null, null, null, null, null, null, null, null, null, null, [1, {"z":1}], {a=5}, +I[7, 5]]"#,
    ),
    (
        r#"{"k":"intfloat","i":1.0e3,"b":1E2,"st":-0.0,"de":0.000}"#,
        "[intfloat, 1000, 100, null, null, null, null, null, -0.0, 0.00, null, null, null, null, null, null, null, null]",
    ),
    (
        r#"{"k":"nested-err","r":{"x":"bad","y":"ok"},"a":["ok"],"m":{"a":"bad","b":2}}"#,
        "[nested-err, null, null, null, null, null, null, null, null, null, null, null, null, null, null, [ok], {a=null, b=2}, +I[null, ok]]",
    ),
];

#[test]
fn reads_what_flink_reads() {
    let records: Vec<&[u8]> = FLINK.iter().map(|(record, _)| record.as_bytes()).collect();
    let outcomes = outcomes(FormatKind::Json, IGNORE, &every_type(), &records);
    for ((record, expected), outcome) in FLINK.iter().zip(outcomes) {
        if expected.is_empty() {
            assert!(outcome.starts_with("error: "), "{record}: {outcome}");
        } else {
            assert_eq!(outcome, *expected, "{record}");
        }
    }
}

#[test]
fn says_what_is_wrong_and_leaves_no_trace() {
    let schema = schema_of(vec![
        Field::new("id", DataType::Int64, false),
        column("name", DataType::Utf8),
        column("when", timestamp(TimeUnit::Millisecond)),
        column(
            "where",
            row_of(vec![column("lat", DataType::Float64), Field::new("place", DataType::Utf8, false)]),
        ),
        column("tags", array_of(DataType::Int32)),
    ]);
    let cases: &[(&[u8], &str)] = &[
        (
            br#"{"id":1,"name":"a","when":"2013-01-01 00:00:00","where":{"place":"x"},"tags":[1]}"#,
            "[1, a, 2013-01-01T00:00, +I[null, x], [1]]",
        ),
        (br#"{"name":"b","tags":[1,2,"x"],"id":2}"#, "error: field 'tags.item': 'x' is no INT"),
        (br#"{"name":"b"}"#, "error: field 'id': the column is NOT NULL, and the value is null or missing"),
        (
            br#"{"name":"b","id":null}"#,
            "error: field 'id': the column is NOT NULL, and the value is null or missing",
        ),
        (
            br#"{"id":3,"where":{"lat":1}}"#,
            "error: field 'where.place': the column is NOT NULL, and the value is null or missing",
        ),
        (br#"{"id":3,"where":null,"tags":[]}"#, "[3, null, null, null, []]"),
        (
            br#"{"id":3,"when":"2013-01-01T00:00:00"}"#,
            "error: field 'when': '2013-01-01T00:00:00' is no TIMESTAMP (2013-01-31 12:34:56)",
        ),
        (br#"{"id":true}"#, "error: field 'id': true is no BIGINT"),
        (br#"{"id":1e30}"#, "error: field 'id': 1e30 is out of the range of BIGINT"),
        (br#"{"id":{}}"#, "error: field 'id': expected BIGINT, found an object"),
        (br#"{"id":4,"name":"c","#, "error: not valid JSON at byte 19: the text ends too early"),
        (
            br#"{"id":4 "name":"c"}"#,
            "error: not valid JSON at byte 8: expected a comma or the closing bracket",
        ),
        (
            br#"{"id":4,"other":[1,2}}"#,
            "error: not valid JSON at byte 20: expected a comma or the closing bracket",
        ),
        (br#"{"id":4,"other":01}"#, "error: not valid JSON at byte 16: not a valid number"),
        (br#"{"id":4,"other":nulls}"#, "error: not valid JSON at byte 16: expected a value"),
        (br#"{"id":4,"other":"\x"}"#, "error: not valid JSON at byte 17: no such escape in a text"),
        (br#"{id:4}"#, "error: not valid JSON at byte 1: expected a field's name in double quotes"),
        (b"{\"id\":4,\"name\":\"\xff\"}", "error: field 'name': the text is not valid UTF-8"),
        (b"{\"id\":4,\"other\":\"\xff\"}", "[4, null, null, null, null]"),
        (b"  ", "error: not valid JSON at byte 2: the text ends too early"),
        (b"", "no row"),
        (b"\xef\xbb\xbf{}", "error: not valid JSON at byte 0: expected an object"),
        (br#" { "i\u0064" : 5 , "tags" : [ null ] } "#, "[5, null, null, null, [null]]"),
        (br#"{"id":-9223372036854775808}"#, "[-9223372036854775808, null, null, null, null]"),
    ];
    let records: Vec<&[u8]> = cases.iter().map(|(record, _)| *record).collect();
    for ((record, expected), outcome) in cases.iter().zip(outcomes(FormatKind::Json, &[], &schema, &records))
    {
        assert_eq!(outcome, *expected, "{}", String::from_utf8_lossy(record));
    }
}

#[test]
fn a_missing_field_fails_where_asked() {
    let schema = schema_of(vec![
        column("a", DataType::Int32),
        column("r", row_of(vec![column("b", DataType::Int32)])),
    ]);
    let given = &[("fail-on-missing-field", "true")];
    assert_eq!(outcome(FormatKind::Json, given, &schema, r#"{"a":1,"r":{"b":null}}"#), "[1, +I[null]]");
    assert_eq!(
        outcome(FormatKind::Json, given, &schema, r#"{"r":null}"#),
        "error: field 'a': the field is missing"
    );
    assert_eq!(
        outcome(FormatKind::Json, given, &schema, r#"{"a":1,"r":{}}"#),
        "error: field 'r.b': the field is missing"
    );
    let both =
        options(FormatKind::Json, &[("fail-on-missing-field", "true"), ("ignore-parse-errors", "true")]);
    let refused =
        FormatKind::Json.decoder(&both, &schema, &[0], &[], &Surroundings::default()).err().unwrap();
    assert_eq!(refused.to_string(), "'fail-on-missing-field' and 'ignore-parse-errors' cannot both be true");
}

#[test]
fn iso_time_stamps() {
    let schema = schema_of(vec![
        column("p", timestamp(TimeUnit::Nanosecond)),
        column("z", timestamp_ltz(TimeUnit::Millisecond)),
    ]);
    let given = &[("timestamp-format.standard", "ISO-8601")];
    let read = |record| outcome(FormatKind::Json, given, &schema, record);
    assert_eq!(
        read(r#"{"p":"2013-01-01T05:00:00.123456789","z":"1969-12-31T23:59:59.999Z"}"#),
        "[2013-01-01T05:00:00.123456789, 1969-12-31T23:59:59.999Z]"
    );
    assert_eq!(read(r#"{"p":"2013-01-01T05:00"}"#), "[2013-01-01T05:00, null]");
    assert_eq!(
        read(r#"{"p":"2013-01-01 05:00:00"}"#),
        "error: field 'p': '2013-01-01 05:00:00' is no TIMESTAMP (2013-01-31T12:34:56)"
    );
    // Nanoseconds since the epoch reach to the year 2262.
    assert!(read(r#"{"p":"9999-01-01T00:00:00"}"#).starts_with("error: field 'p'"));
}

#[test]
fn only_wanted_columns_are_read_in_the_order_of_the_projection() {
    let schema = every_type();
    let projection = [8, 1];
    let mut decoder = FormatKind::Json
        .decoder(&options(FormatKind::Json, &[]), &schema, &projection, &[], &Surroundings::default())
        .unwrap();
    decoder.decode(br#"{"i":7,"b":"not looked at","st":"x","r":17}"#).unwrap();
    let rows = decoder.finish().unwrap();
    assert_eq!(rows.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["st", "i"]);
    assert_eq!(printed(&rows), ["[x, 7]"]);
    // Counting needs no column at all.
    let mut counter = FormatKind::Json
        .decoder(&options(FormatKind::Json, &[]), &schema, &[], &[], &Surroundings::default())
        .unwrap();
    counter.decode(br#"{"i":7}"#).unwrap();
    counter.decode(b"{}").unwrap();
    assert!(counter.decode(b"{").is_err());
    assert_eq!(counter.finish().unwrap().num_rows(), 2);
    assert!(counter.is_empty());
}

#[test]
fn many_columns_are_found_by_name() {
    let columns: Vec<Field> =
        (0..40).map(|index| column(&format!("column{index}"), DataType::Int32)).collect();
    let record: Vec<String> = (0..40).rev().map(|index| format!("\"column{index}\":{index}")).collect();
    let numbers: Vec<String> = (0..40).map(|index| index.to_string()).collect();
    let read = outcome(FormatKind::Json, &[], &schema_of(columns), &format!("{{{}}}", record.join(",")));
    assert_eq!(read, format!("[{}]", numbers.join(", ")));
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    let schema = schema_of(vec![column("wanted", DataType::Utf8)]);
    for name in ["wanted", "other"] {
        for bracket in ["[", "{\"a\":"] {
            let record = format!("{{\"{name}\":{}", bracket.repeat(100_000));
            let read = outcome(FormatKind::Json, &[], &schema, &record);
            assert!(read.ends_with("objects and arrays are nested too deeply"), "{read}");
        }
    }
    let deep = format!("{{\"wanted\":{}{}}}", "[".repeat(900), "]".repeat(900));
    assert_eq!(outcome(FormatKind::Json, &[], &schema, &deep).len(), 1802);
}

#[test]
fn numbers_in_objects_are_doubles_unless_the_row_has_decimals() {
    let schema = schema_of(vec![column("o", DataType::Utf8)]);
    let read = outcome(FormatKind::Json, &[], &schema, r#"{"o":{"a":1e2,"b":2.50,"c":100,"d":1e400}}"#);
    assert_eq!(read, r#"[{"a":100.0,"b":2.5,"c":100,"d":1e400}]"#);
}

#[test]
fn of_a_key_that_comes_twice_in_a_map_the_last_counts() {
    let schema = schema_of(vec![column("m", map_of(DataType::Int32))]);
    let read = outcome(FormatKind::Json, &[], &schema, r#"{"m":{"a":1,"b":2,"\u0061":3}}"#);
    assert_eq!(read, "[{a=3, b=2}]");
}

#[test]
fn decimals_round_half_up_and_overflow_to_null() {
    let schema =
        schema_of(vec![column("d", DataType::Decimal128(38, 2)), column("w", DataType::Decimal128(5, 0))]);
    for (text, expected) in [
        ("0.005", "[0.01, 0]"),
        ("-0.005", "[-0.01, 0]"),
        ("0.00499999999999999999999999999999999999999999999999", "[0.00, 0]"),
        ("99999.5", "[99999.50, null]"),
        ("99999.4", "[99999.40, 99999]"),
        ("1e35", "[100000000000000000000000000000000000.00, null]"),
        ("1e36", "[null, null]"),
        ("1e-400", "[0.00, 0]"),
        ("0e400", "[0.00, 0]"),
        ("123456789012345678901234567890123456.789", "[123456789012345678901234567890123456.79, null]"),
        ("1e999999999", "[null, null]"),
    ] {
        let read = outcome(FormatKind::Json, &[], &schema, &format!("{{\"d\":{text},\"w\":{text}}}"));
        assert_eq!(read, expected, "{text}");
    }
    let read = outcome(FormatKind::Json, &[], &schema, r#"{"d":"1_000"}"#);
    assert_eq!(read, "error: field 'd': '1_000' is no DECIMAL");
}
