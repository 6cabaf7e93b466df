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
fn multisets_count_repetitions() {
    let (left, right) = (rows(&["a", "a", "b"]), rows(&["a", "c"]));
    assert_eq!(subtract(&left, &right), vec!["a", "b"]);
    assert_eq!(subtract(&right, &left), vec!["c"]);
}

#[test]
fn files_give_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let long = (0..20_000).map(|number| format!("{{\"n\":{number}}}")).collect();
    let results = Results::from([("long".to_owned(), long), ("short".to_owned(), rows(&["1", "1"]))]);
    write(&folder.path().join("golden"), &results).unwrap();
    assert!(folder.path().join("golden/long.jsonl.gz").is_file());
    assert_eq!(read(&folder.path().join("golden")).unwrap(), results);
    assert!(read(folder.path()).is_err());
}
