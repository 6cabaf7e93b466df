//! Regular expressions, of Java's kind: what runs in linear time is left to `regex`, and what needs backtracking
//! (lookaround, backreferences, possessive quantifiers) to `fancy-regex`. A pattern that neither can read is none: that
//! is NULL or FALSE, as in Flink.

use super::Parameter::{Int, Text};
use super::*;
use crate::expression::value::integers_column;
use arrow_array::BooleanArray;
use arrow_array::builder::{ListBuilder, StringBuilder};
use regex::Regex;
use std::ops::Range;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "REGEXP",
        signatures: &[signature(&[Text, Text], returns_boolean)],
        may_fail: true,
        evaluate: matches,
        doc: "Whether some part of the text matches the pattern.",
        examples: &[
            ("REGEXP('abc123', '[0-9]+')", "TRUE"),
            ("REGEXP('abc', '^b')", "FALSE"),
            ("REGEXP('foobar', 'foo(?=bar)')", "TRUE"),
        ],
        ..PLAIN
    },
    Function {
        name: "REGEXP_EXTRACT",
        signatures: &[optional(&[Text, Text, Int], 1, returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: extract,
        doc: "The first match, or one group of it; NULL without a match.",
        examples: &[
            ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar"),
            ("REGEXP_EXTRACT('foothebar', 'the')", "the"),
            ("REGEXP_EXTRACT('foothebar', 'nope')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "REGEXP_REPLACE",
        signatures: &[signature(&[Text, Text, Text], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: replace,
        doc: "Every match replaced by the text as it stands; NULL for a pattern that is none.",
        examples: &[
            ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb"),
            ("REGEXP_REPLACE('price 5', '[0-9]+', '$1')", "price $1"),
        ],
        ..PLAIN
    },
    Function {
        name: "REGEXP_EXTRACT_ALL",
        signatures: &[optional(&[Text, Text, Int], 1, returns_texts)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: extract_all,
        doc: "One group of every match, by default the first; NULL without that group or for a pattern that is none.",
        examples: &[
            ("REGEXP_EXTRACT_ALL('100-200, 300-400', '(\\d+)-(\\d+)', 2)", "[200, 400]"),
            ("REGEXP_EXTRACT_ALL('abc', '[ac]', 0)", "[a, c]"),
        ],
        ..PLAIN
    },
    Function {
        name: "REGEXP_INSTR",
        signatures: &[signature(&[Text, Text], returns_int)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: position,
        doc: "Where the first match begins, counted from 1; 0 without a match, NULL for a pattern that is none.",
        examples: &[("REGEXP_INSTR('hello world! Hello everyone!', 'Hello')", "14")],
        ..PLAIN
    },
    Function {
        name: "REGEXP_SUBSTR",
        signatures: &[signature(&[Text, Text], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: first_match,
        doc: "The first match; NULL without one, or for a pattern that is none.",
        examples: &[("REGEXP_SUBSTR('foothebar', 'o+')", "oo")],
        ..PLAIN
    },
    Function {
        name: "REGEXP_COUNT",
        signatures: &[signature(&[Text, Text], returns_int)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: count,
        doc: "How many matches the text has.",
        examples: &[("REGEXP_COUNT('abcabc', 'b')", "2")],
        ..PLAIN
    },
];

/// A compiled pattern.
pub(super) enum Pattern {
    Linear(Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

impl Pattern {
    fn compile(text: &str) -> Option<Pattern> {
        match Regex::new(text) {
            Ok(expression) => Some(Pattern::Linear(expression)),
            Err(_) => fancy_regex::Regex::new(text).ok().map(|found| Pattern::Backtracking(Box::new(found))),
        }
    }

    fn is_match(&self, text: &str) -> Result<bool, String> {
        match self {
            Pattern::Linear(expression) => Ok(expression.is_match(text)),
            Pattern::Backtracking(expression) => expression.is_match(text).map_err(too_hard),
        }
    }

    fn groups(&self) -> usize {
        match self {
            Pattern::Linear(expression) => expression.captures_len(),
            Pattern::Backtracking(expression) => expression.captures_len(),
        }
    }

    fn find(&self, text: &str) -> Result<Option<Range<usize>>, String> {
        match self {
            Pattern::Linear(expression) => Ok(expression.find(text).map(|found| found.range())),
            Pattern::Backtracking(expression) => {
                Ok(expression.find(text).map_err(too_hard)?.map(|found| found.range()))
            }
        }
    }

    /// A group of the first match.
    fn first_group<'t>(&self, text: &'t str, group: usize) -> Result<Option<&'t str>, String> {
        match self {
            Pattern::Linear(expression) => {
                Ok(expression.captures(text).and_then(|groups| groups.get(group)).map(|found| found.as_str()))
            }
            Pattern::Backtracking(expression) => {
                let groups = expression.captures(text).map_err(too_hard)?;
                Ok(groups.and_then(|groups| groups.get(group)).map(|found| found.as_str()))
            }
        }
    }

    /// The texts between the matches, at most so many.
    pub(super) fn split<'t>(&self, text: &'t str, parts_max: usize) -> Result<Vec<&'t str>, String> {
        let (mut parts, mut copied) = (Vec::new(), 0);
        self.each_group(text, 0, |_, whole| {
            if parts.len() + 1 < parts_max {
                parts.push(&text[copied..whole.start]);
                copied = whole.end;
            }
        })?;
        parts.push(&text[copied..]);
        Ok(parts)
    }

    /// A group of every match.
    fn each_group<'t>(
        &self,
        text: &'t str,
        group: usize,
        mut take: impl FnMut(Option<&'t str>, Range<usize>),
    ) -> Result<(), String> {
        // As Java goes on: an empty match may touch the one before it.
        let mut from = 0;
        while from <= text.len() {
            let (found, whole) = match self {
                Pattern::Linear(expression) => match expression.captures_at(text, from) {
                    None => break,
                    Some(groups) => (
                        groups.get(group).map(|found| found.as_str()),
                        groups.get(0).map_or(0..0, |whole| whole.range()),
                    ),
                },
                Pattern::Backtracking(expression) => {
                    match expression.captures_from_pos(text, from).map_err(too_hard)? {
                        None => break,
                        Some(groups) => (
                            groups.get(group).map(|found| found.as_str()),
                            groups.get(0).map_or(0..0, |whole| whole.range()),
                        ),
                    }
                }
            };
            from = match whole.is_empty() {
                true => whole.end + text[whole.end..].chars().next().map_or(1, char::len_utf8),
                false => whole.end,
            };
            take(found, whole);
        }
        Ok(())
    }
}

/// Whether a text is a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    Pattern::compile(text).is_some()
}

fn too_hard(error: fancy_regex::Error) -> String {
    format!("the regular expression takes too many steps on a text: {error}")
}

/// The pattern compiled last: nearly always all rows have the same.
#[derive(Default)]
pub(super) struct Last(Option<(String, Option<Pattern>)>);

impl Last {
    /// Fails where the text is no pattern.
    pub(super) fn needed(&mut self, text: &str) -> Result<&Pattern, String> {
        self.compile(text).ok_or_else(|| format!("'{text}' is no regular expression"))
    }

    /// `None` when the text is no pattern.
    fn compile(&mut self, text: &str) -> Option<&Pattern> {
        if self.0.as_ref().is_none_or(|(last, _)| last != text) {
            self.0 = Some((text.to_string(), Pattern::compile(text)));
        }
        self.0.as_ref().and_then(|(_, compiled)| compiled.as_ref())
    }
}

/// The second group of the first match, of a pattern that is built from an argument: PARSE_URL.
#[derive(Default)]
pub(super) struct KeyPattern(Last);

impl KeyPattern {
    pub(super) fn second_group<'t>(
        &mut self,
        pattern: &str,
        text: &'t str,
    ) -> Result<Option<&'t str>, String> {
        self.0.needed(pattern)?.first_group(text, 2)
    }
}

fn matches(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (texts.get(row), patterns.get(row)) {
            // Flink takes the empty pattern for none.
            (Some(_), Some("")) => Some(false),
            (Some(text), Some(pattern)) => {
                Some(last.compile(pattern).map_or(Ok(false), |pattern| pattern.is_match(text))?)
            }
            _ => None,
        });
    }
    Ok(Arc::new(BooleanArray::from(out)))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let groups = call.arguments.get(2).map(Value::integers).transpose()?;
    let mut last = Last::default();
    fallible_texts(call.rows, |row, out| {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else { return Ok(false) };
        let group = groups.as_ref().map_or(Some(0), |groups| groups.get(row));
        let Some(group) = group.and_then(|group| usize::try_from(group).ok()) else { return Ok(false) };
        let Some(pattern) = last.compile(pattern) else { return Ok(false) };
        let found = match group {
            0 => pattern.find(text)?.map(|range| &text[range]),
            group => pattern.first_group(text, group)?,
        };
        Ok(found.map(|found| out.push_str(found)).is_some())
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let replacements = call.argument(2)?.texts()?;
    let mut last = Last::default();
    fallible_texts(call.rows, |row, out| {
        let (Some(text), Some(pattern), Some(replacement)) =
            (texts.get(row), patterns.get(row), replacements.get(row))
        else {
            return Ok(false);
        };
        let Some(pattern) = last.compile(pattern) else { return Ok(false) };
        let (mut copied, mut fits) = (0, Ok(()));
        pattern.each_group(text, 0, |_, whole| {
            if fits.is_ok() {
                fits = push_bounded(out, &text[copied..whole.start])
                    .and_then(|()| push_bounded(out, replacement));
            }
            copied = whole.end;
        })?;
        fits?;
        push_bounded(out, &text[copied..])?;
        Ok(true)
    })
}

fn count(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else {
            out.push(None);
            continue;
        };
        let mut found = 0;
        out.push(match last.compile(pattern) {
            Some(pattern) => {
                pattern.each_group(text, 0, |_, _| found += 1)?;
                Some(found)
            }
            None => None,
        });
    }
    integers_column(out.into_iter(), call.result)
}

fn returns_texts(_: &[LogicalType]) -> TypeKind {
    TypeKind::Array(Box::new(TypeKind::string().nullable()))
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let groups = call.arguments.get(2).map(Value::integers).transpose()?;
    let mut last = Last::default();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let group = groups.as_ref().map_or(Some(1), |groups| groups.get(row));
        let group = group.and_then(|group| usize::try_from(group).ok());
        let (Some(text), Some(pattern), Some(group)) = (texts.get(row), patterns.get(row), group) else {
            out.append_null();
            continue;
        };
        match last.compile(pattern).filter(|pattern| group < pattern.groups()) {
            Some(pattern) => {
                pattern.each_group(text, group, |found, _| out.values().append_option(found))?;
                out.append(true);
            }
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn position(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else {
            out.push(None);
            continue;
        };
        out.push(match last.compile(pattern) {
            Some(pattern) => {
                let start = pattern.find(text)?.map(|found| found.start);
                Some(start.map_or(0, |start| text[..start].chars().count() as i64 + 1))
            }
            None => None,
        });
    }
    integers_column(out.into_iter(), call.result)
}

fn first_match(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    fallible_texts(call.rows, |row, out| {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else { return Ok(false) };
        let Some(pattern) = last.compile(pattern) else { return Ok(false) };
        Ok(pattern.find(text)?.map(|range| out.push_str(&text[range])).is_some())
    })
}
