//! The comparable form of rows, and the comparison of multisets.

use super::*;

fn rows(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn canonical_json_ignores_key_order_and_number_notation() {
    let left = canonical_line(r#"{"b":39.0,"a":[1.50,null],"c":{"y":-2.0,"x":"2.0"}}"#).unwrap();
    let right = canonical_line(r#"{"a":[1.5,null],"b":39,"c":{"x":"2.0","y":-2}}"#).unwrap();
    assert_eq!(left, right);
    assert_eq!(left, r#"{"a":[1.5,null],"b":39,"c":{"x":"2.0","y":-2}}"#);
    assert!(canonical_line("not json").is_err());
}

#[test]
fn csv_fields_with_and_without_quotes_are_equal() {
    assert_eq!(
        csv_fields(r#""2013-01-01 00:00:00",EWR,,12.5"#),
        rows(&["2013-01-01 00:00:00", "EWR", "", "12.5"])
    );
    assert_eq!(csv_fields(r#""a ""b"", c",d"#), rows(&[r#"a "b", c"#, "d"]));
}

#[test]
fn multisets_count_repetitions() {
    let (left, right) = (rows(&["a", "a", "b"]), rows(&["a", "c"]));
    assert_eq!(subtract(&left, &right), vec!["a", "b"]);
    assert_eq!(subtract(&right, &left), vec!["c"]);
}

#[test]
fn only_rows_count_as_printed() {
    let printed = "kafka listening on 127.0.0.1:9092\n+I[2, b]\n+I[1, a]\n";
    assert_eq!(printed_rows(printed), rows(&[r#""+I[1, a]""#, r#""+I[2, b]""#]));
}

#[test]
fn golden_rows_are_there_and_differ_from_an_empty_run() {
    let golden = read_golden().unwrap();
    assert!(golden.values().all(|rows| !rows.is_empty()));
    assert!(compare(&golden).unwrap().is_empty());
    assert_eq!(compare(&Results::new()).unwrap().len(), golden.len());
}
