//! Option specifications: one spec per key, from which validation, help and reference docs come.
//!
//! A connector, a format or a configuration declares a `&[OptionSpec]`; `Options::check` takes what
//! the user wrote and answers a typed, complete set or one error per wrong key.

use crate::{nearest, units};
use std::collections::BTreeMap;

/// The type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    Text,
    Boolean,
    /// A whole number within the given bounds, both included.
    Integer {
        min: i64,
        max: i64,
    },
    /// A number, whole or not, within the given bounds, both included.
    Decimal {
        min: i64,
        max: i64,
    },
    /// A duration; the checked value is in milliseconds.
    Duration,
    /// A size; the checked value is in bytes.
    Size,
    /// One of the named values.
    OneOf(&'static [&'static str]),
}

/// One option: the single place where its name, type, default and documentation stand.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The key; a `*` stands for one name (`fields.*.kind`), a trailing `.*` for any rest (`properties.*`).
    pub key: &'static str,
    pub kind: OptionKind,
    pub required: bool,
    /// As the user would write it; `None` means "unset".
    pub default: Option<&'static str>,
    /// One sentence or two for the reference.
    pub doc: &'static str,
    /// A value as the user would write it; it must pass the check.
    pub example: &'static str,
}

/// What is wrong with one option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("unknown option '{key}'{}", nearest.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_else(|| format!("; the options are: {known}")))]
    Unknown { key: String, nearest: Option<String>, known: String },
    #[error("option '{key}' is missing; for example '{key}' = '{example}'")]
    Missing { key: String, example: String },
    #[error("option '{key}' = '{value}' is not valid: expected {expected}")]
    Invalid { key: String, value: String, expected: String },
}

impl OptionError {
    /// The key the error is about, so that the message can point at it.
    pub fn key(&self) -> &str {
        match self {
            OptionError::Unknown { key, .. }
            | OptionError::Missing { key, .. }
            | OptionError::Invalid { key, .. } => key,
        }
    }
}

/// A checked set of options: every value given or by default fits its spec.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// Checks what was given against the specs; all the errors at once, in key order.
    pub fn check(
        given: &BTreeMap<String, String>,
        specs: &[OptionSpec],
    ) -> Result<Options, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut values = BTreeMap::new();
        for (key, value) in given {
            match specs.iter().find(|spec| spec.matches(key)) {
                None => errors.push(OptionError::Unknown {
                    key: key.clone(),
                    nearest: nearest(key, specs.iter().map(|spec| spec.key)).map(str::to_string),
                    known: specs.iter().map(|spec| spec.key).collect::<Vec<_>>().join(", "),
                }),
                Some(spec) => match spec.kind.check(value) {
                    Ok(()) => {
                        values.insert(key.clone(), value.clone());
                    }
                    Err(expected) => {
                        errors.push(OptionError::Invalid {
                            key: key.clone(),
                            value: value.clone(),
                            expected,
                        });
                    }
                },
            }
        }
        for spec in specs {
            if given.contains_key(spec.key) {
                continue;
            }
            if spec.required {
                errors.push(OptionError::Missing { key: spec.key.into(), example: spec.example.into() });
            } else if let Some(default) = spec.default {
                values.insert(spec.key.to_string(), default.to_string());
            }
        }
        if errors.is_empty() { Ok(Options { values }) } else { Err(errors) }
    }

    /// The text of an option, given or by default.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A boolean option; `false` when unset.
    pub fn boolean(&self, key: &str) -> bool {
        self.text(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub fn integer(&self, key: &str) -> Option<i64> {
        self.text(key)?.trim().parse().ok()
    }

    pub fn decimal(&self, key: &str) -> Option<f64> {
        self.text(key)?.trim().parse().ok()
    }

    pub fn duration_ms(&self, key: &str) -> Option<u64> {
        units::parse_duration_ms(self.text(key)?)
    }

    pub fn bytes(&self, key: &str) -> Option<u64> {
        units::parse_bytes(self.text(key)?)
    }

    /// Every checked option whose key begins with `prefix`, in key order, with the whole key.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values
            .range(prefix.to_string()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// With this begins the doc of an option that changes nothing, and is there so that statements that were written for Flink run.
const WITHOUT_EFFECT: &str = "Accepted for Flink's sake";

impl OptionSpec {
    /// Why a value changes nothing, where that is so.
    pub fn without_effect(&self) -> Option<&'static str> {
        let why = self.doc.strip_prefix(WITHOUT_EFFECT)?.strip_prefix([';', ':', '.'])?;
        Some(why.trim().trim_end_matches('.'))
    }

    /// Whether this spec is the one for `key`.
    pub fn matches(&self, key: &str) -> bool {
        if let Some(prefix) = self.key.strip_suffix(".*") {
            return key.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'));
        }
        match self.key.split_once(".*.") {
            None => self.key == key,
            Some((before, after)) => {
                key.strip_prefix(before).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| {
                    rest.strip_suffix(after)
                        .and_then(|rest| rest.strip_suffix('.'))
                        .is_some_and(|name| !name.is_empty())
                })
            }
        }
    }
}

impl OptionKind {
    fn check(self, value: &str) -> Result<(), String> {
        let fits = match self {
            OptionKind::Text => true,
            OptionKind::Boolean => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            OptionKind::Integer { min, max } => {
                value.trim().parse::<i64>().is_ok_and(|number| (min..=max).contains(&number))
            }
            OptionKind::Decimal { min, max } => {
                value.trim().parse::<f64>().is_ok_and(|number| (min as f64..=max as f64).contains(&number))
            }
            OptionKind::Duration => units::parse_duration_ms(value).is_some(),
            OptionKind::Size => units::parse_bytes(value).is_some(),
            OptionKind::OneOf(names) => names.contains(&value),
        };
        if fits { Ok(()) } else { Err(self.describe()) }
    }

    /// What a value must look like, for messages and docs.
    pub fn describe(self) -> String {
        match self {
            OptionKind::Text => "a text".into(),
            OptionKind::Boolean => "'true' or 'false'".into(),
            OptionKind::Integer { min, max } => match (min, max) {
                (i64::MIN, i64::MAX) => "a whole number".into(),
                (min, i64::MAX) => format!("a whole number of at least {min}"),
                (min, max) => format!("a whole number from {min} to {max}"),
            },
            OptionKind::Decimal { min, max } => format!("a number from {min} to {max}, such as '1.5'"),
            OptionKind::Duration => "a duration such as '10 s' or '5 min'".into(),
            OptionKind::Size => "a size such as '64 mb'".into(),
            OptionKind::OneOf(names) => format!("one of '{}'", names.join("', '")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_says_why() {
        let why = |doc| OptionSpec { doc, ..SPECS[0] }.without_effect();
        assert_eq!(why("Accepted for Flink's sake; there is one reader."), Some("there is one reader"));
        assert_eq!(why("Accepted for Flink's sake: always so. More."), Some("always so. More"));
        assert_eq!(why("Accepted for Flink's sake, but must be false."), None);
        assert_eq!(why("How many."), None);
    }

    const SPECS: &[OptionSpec] = &[
        OptionSpec {
            key: "topic",
            kind: OptionKind::Text,
            required: true,
            default: None,
            doc: "",
            example: "orders",
        },
        OptionSpec {
            key: "scan.mode",
            kind: OptionKind::OneOf(&["a", "b"]),
            required: false,
            default: Some("a"),
            doc: "",
            example: "b",
        },
        OptionSpec {
            key: "fields.*.max",
            kind: OptionKind::Integer { min: 0, max: 9 },
            required: false,
            default: None,
            doc: "",
            example: "1",
        },
        OptionSpec {
            key: "factor",
            kind: OptionKind::Decimal { min: 0, max: 2 },
            required: false,
            default: None,
            doc: "",
            example: "1.5",
        },
        OptionSpec {
            key: "properties.*",
            kind: OptionKind::Text,
            required: false,
            default: None,
            doc: "",
            example: "x",
        },
    ];

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn good_options_get_their_defaults() {
        let options = Options::check(
            &given(&[("topic", "t"), ("fields.price.max", "3"), ("properties.group.id", "g")]),
            SPECS,
        )
        .unwrap();
        assert_eq!(options.text("scan.mode"), Some("a"));
        assert_eq!(options.integer("fields.price.max"), Some(3));
        assert_eq!(options.with_prefix("properties.").collect::<Vec<_>>(), [("properties.group.id", "g")]);
    }

    #[test]
    fn numbers_that_are_not_whole_keep_to_their_bounds() {
        let check = |value: &str| Options::check(&given(&[("topic", "t"), ("factor", value)]), SPECS);
        assert_eq!(check("0.25").unwrap().decimal("factor"), Some(0.25));
        assert_eq!(check("2").unwrap().decimal("factor"), Some(2.0));
        for wrong in ["2.1", "-0.1", "NaN", "inf", "a"] {
            let errors = check(wrong).unwrap_err();
            assert!(errors[0].to_string().ends_with("expected a number from 0 to 2, such as '1.5'"));
        }
    }

    #[test]
    fn every_wrong_option_is_named_with_what_to_do() {
        let errors =
            Options::check(&given(&[("topci", "t"), ("scan.mode", "c"), ("fields.p.max", "10")]), SPECS)
                .unwrap_err();
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "option 'fields.p.max' = '10' is not valid: expected a whole number from 0 to 9",
                "option 'scan.mode' = 'c' is not valid: expected one of 'a', 'b'",
                "unknown option 'topci'; did you mean 'topic'?",
                "option 'topic' is missing; for example 'topic' = 'orders'",
            ]
        );
    }
}
