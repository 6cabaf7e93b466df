//! Settings: what is accepted, what is refused, what is listed.

use super::*;
use crate::span::Span;

fn pair(key: &str, value: &str) -> OptionPair {
    let text = |value: &str, start: u32| Text {
        value: value.into(),
        span: Span::new(start, start + value.len() as u32),
    };
    OptionPair { key: text(key, 0), value: text(value, 100) }
}

#[test]
fn every_spec_is_found_by_its_own_key_and_accepts_its_example() {
    for spec in SETTINGS {
        let key = spec.option.key.replace('*', "some.thing");
        let found = find(&key).unwrap_or_else(|| panic!("{key} is not found"));
        assert_eq!(found.option.key, spec.option.key, "another spec hides {key}");
        if let Err(error) = check(&pair(&key, spec.option.example)) {
            panic!("{key} refuses its own example: {error}");
        }
        if let Some(default) = spec.option.default {
            assert!(check(&pair(&key, default)).is_ok(), "{key} refuses its own default");
        }
        assert!(!spec.option.doc.is_empty());
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let error = Settings::default().set(&pair("table.dml-snyc", "true")).unwrap_err();
    assert_eq!(error.message, "unknown setting 'table.dml-snyc'");
    assert_eq!(error.hint.as_deref(), Some("did you mean 'table.dml-sync'?"));
    assert_eq!(error.span, Span::new(0, 14));
    let error = Settings::default().reset(Some(&pair("whatever", "").key)).unwrap_err();
    assert_eq!(error.message, "unknown setting 'whatever'");
}

#[test]
fn a_wrong_value_says_what_is_expected() {
    let mut settings = Settings::default();
    let error = settings.set(&pair("table.dml-sync", "yes")).unwrap_err();
    assert_eq!(error.label.as_deref(), Some("expected 'true' or 'false'"));
    assert_eq!(error.span.start, 100);
    assert!(settings.set(&pair("parallelism.default", "0")).is_err());
    assert!(settings.set(&pair("execution.runtime-mode", "batch")).is_err());
    assert!(settings.values().is_empty());
}

#[test]
fn values_come_back_and_defaults_stand_behind_them() {
    let mut settings = Settings::default();
    assert!(!settings.is_on("table.dml-sync"));
    assert_eq!(settings.integer("parallelism.default"), Some(1));
    assert!(settings.set(&pair("table.dml-sync", "TRUE")).unwrap().is_none());
    assert!(settings.set(&pair("parallelism.default", "4")).unwrap().is_none());
    assert!(settings.is_on("table.dml-sync"));
    assert_eq!(settings.integer("parallelism.default"), Some(4));
    assert_eq!(settings.given("pipeline.name"), None);
    settings.reset(Some(&pair("parallelism.default", "").key)).unwrap();
    assert_eq!(settings.integer("parallelism.default"), Some(1));
    settings.reset(None).unwrap();
    assert!(settings.values().is_empty());
}

#[test]
fn what_changes_nothing_is_accepted_and_said() {
    let mut settings = Settings::default();
    let warning = settings.set(&pair("execution.checkpointing.interval", "10 s")).unwrap().unwrap();
    assert!(!warning.is_error());
    assert!(warning.message.starts_with("'execution.checkpointing.interval' is without effect: "));
    settings.set(&pair("pipeline.name", "job")).unwrap();
    let listed: Vec<&str> = settings.without_effect().into_iter().map(|(key, _)| key).collect();
    assert_eq!(listed, ["execution.checkpointing.interval"]);
    let listing = settings.listing();
    assert_eq!(listing.columns, ["key", "value"]);
    assert_eq!(listing.rows.len(), 2);
}
