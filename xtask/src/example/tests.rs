//! What is read of files and of printed text, and that there are golden rows.

use super::*;

fn rows(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn only_rows_count_as_printed() {
    let printed = "kafka listening on 127.0.0.1:9092\n+I[2, b]\n+I[1, a]\n";
    assert_eq!(printed_rows(printed), rows(&[r#""+I[1, a]""#, r#""+I[2, b]""#]));
}

#[test]
fn golden_rows_are_there_and_differ_from_an_empty_run() {
    let golden = expected().unwrap();
    assert!(golden.values().all(|rows| !rows.is_empty()));
    assert!(golden::compare(&golden, &golden).is_empty());
    assert_eq!(golden::compare(&golden, &Results::new()).len(), golden.len());
}
