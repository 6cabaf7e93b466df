//! The fold of changelogs, and that there are golden rows of every topic.

use super::*;

fn record(key: &str, value: Option<&str>) -> Record {
    Record { key: Some(key.to_owned()), value: value.map(str::to_owned) }
}

#[test]
fn the_last_row_of_each_key_stands() {
    let records = vec![
        record(r#"{"b":1,"a":2}"#, Some(r#"{"n":1}"#)),
        record(r#"{"a":3}"#, Some(r#"{"n":2.0}"#)),
        record(r#"{"a":2,"b":1}"#, None),
        record(r#"{"a":2,"b":1}"#, Some(r#"{"n":3}"#)),
    ];
    assert_eq!(fold(records).unwrap(), [r#"[{"a":2,"b":1},{"n":3}]"#, r#"[{"a":3},{"n":2}]"#]);
}

#[test]
fn a_changelog_deletes_only_what_is_there_and_has_keys() {
    let twice = vec![record("1", Some("2")), record("1", None), record("1", None)];
    assert_eq!(fold(twice).unwrap_err().to_string(), "offset=2 deletes what is not there: key=1");
    assert!(fold(vec![Record { key: None, value: None }]).is_err());
}

#[test]
fn every_result_has_golden_rows() {
    let expected = expected().unwrap();
    for topic in [UPDATING_TOPICS, APPENDING_TOPICS].concat() {
        assert!(expected.get(topic).is_some_and(|rows| !rows.is_empty()), "{topic}");
    }
}
