//! The raw format, read and written.

use super::*;

fn both_ways(data_type: DataType, given: &[(&str, &str)], bytes: &[u8]) -> (String, Vec<u8>) {
    let schema = schema_of(vec![column("v", data_type)]);
    let mut decoder = decoder(FormatKind::Raw, given, &schema);
    decoder.decode(bytes).unwrap();
    let rows = decoder.finish().unwrap();
    let mut out = Vec::new();
    let mut encoder =
        FormatKind::Raw.encoder(&options(FormatKind::Raw, given), &schema, &Surroundings::default()).unwrap();
    encoder.encode(&rows, 0, &mut out).unwrap();
    (printed(&rows).remove(0), out)
}

#[test]
fn bytes_are_the_value() {
    const LITTLE: Given = &[("endianness", "little-endian")];
    let cases: &[(DataType, Given, &[u8], &str)] = &[
        (DataType::Utf8, &[], "é\n".as_bytes(), "[é\n]"),
        (DataType::Utf8, &[], b"", "[]"),
        (DataType::Binary, &[], &[0, 0xff], "[[0, -1]]"),
        (DataType::Boolean, &[], &[1], "[true]"),
        (DataType::Int8, &[], &[0xfe], "[-2]"),
        (DataType::Int16, &[], &[1, 2], "[258]"),
        (DataType::Int16, LITTLE, &[1, 2], "[513]"),
        (DataType::Int32, &[], &[0, 0, 1, 0], "[256]"),
        (DataType::Int64, LITTLE, &[1, 0, 0, 0, 0, 0, 0, 0], "[1]"),
        (DataType::Float32, &[], &[0x3f, 0x80, 0, 0], "[1.0]"),
        (DataType::Float64, LITTLE, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], "[1.0]"),
    ];
    for (data_type, given, bytes, expected) in cases {
        assert_eq!(both_ways(data_type.clone(), given, bytes), (expected.to_string(), bytes.to_vec()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let number = schema_of(vec![column("v", DataType::Int32)]);
    let text = schema_of(vec![column("v", DataType::Utf8)]);
    let records: &[&[u8]] = &[b"abc", b"abcd"];
    let outcomes_of = |schema, records: &[&[u8]]| outcomes(FormatKind::Raw, &[], schema, records);
    assert_eq!(
        outcomes_of(&number, records),
        ["error: field 'v': the record has 3 bytes instead of 4", "[1633837924]"]
    );
    assert_eq!(outcomes_of(&text, &[b"\xff"]), ["error: field 'v': the text is not valid UTF-8"]);
    let two = schema_of(vec![column("a", DataType::Utf8), column("b", DataType::Utf8)]);
    let refused = FormatKind::Raw
        .encoder(&options(FormatKind::Raw, &[]), &two, &Surroundings::default())
        .err()
        .unwrap();
    assert_eq!(refused.to_string(), "the format 'raw' takes one column, but there are 2");
}
