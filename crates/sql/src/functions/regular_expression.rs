//! Regular expressions. Java's backreferences and lookaround do not exist in the engine used here (which runs in
//! linear time); a pattern that needs them fails with a message that says so.

use super::Parameter::{Int, Text};
use super::*;
use crate::expression::value::{integers_column, texts_column};
use arrow_array::BooleanArray;
use regex::Regex;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "REGEXP",
        signatures: &[signature(&[Text, Text], returns_boolean)],
        may_fail: true,
        evaluate: matches,
        doc: "Whether some part of the text matches the pattern.",
        examples: &[("REGEXP('abc123', '[0-9]+')", "TRUE"), ("REGEXP('abc', '^b')", "FALSE")],
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
        doc: "Every match replaced; $1 in the replacement is a group.",
        examples: &[
            ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb"),
            ("REGEXP_REPLACE('a1b2', '([a-z])([0-9])', '$2$1')", "1a2b"),
        ],
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

/// The pattern compiled last: nearly always all rows have the same.
#[derive(Default)]
pub(super) struct Last(Option<(String, Regex)>);

impl Last {
    pub(super) fn compile(&mut self, pattern: &str) -> Result<&Regex, String> {
        if self.0.as_ref().is_none_or(|(text, _)| text != pattern) {
            let compiled = Regex::new(pattern).map_err(|error| explain(pattern, &error))?;
            self.0 = Some((pattern.to_string(), compiled));
        }
        self.0.as_ref().map(|(_, compiled)| compiled).ok_or_else(|| "no pattern".into())
    }
}

fn explain(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_string();
    format!("the pattern '{pattern}' cannot be used: {reason}")
}

fn matches(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (texts.get(row), patterns.get(row)) {
            (Some(text), Some(pattern)) => Some(last.compile(pattern)?.is_match(text)),
            _ => None,
        });
    }
    Ok(Arc::new(BooleanArray::from(out)))
}

/// Builds texts row by row where compiling a pattern may fail.
fn build(
    call: &Call<'_>,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, String>,
) -> Result<ArrayRef, String> {
    let mut failure = None;
    let array = texts_column(call.rows, |row, out| match write(row, out) {
        Ok(known) => known,
        Err(message) => {
            failure.get_or_insert(message);
            false
        }
    });
    failure.map_or(Ok(array), Err)
}

fn extract(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let groups = call.arguments.get(2).map(Value::integers).transpose()?;
    let mut last = Last::default();
    build(call, |row, out| {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else { return Ok(false) };
        let group = match &groups {
            None => Some(0),
            Some(groups) => groups.get(row),
        };
        let Some(group) = group.and_then(|group| usize::try_from(group).ok()) else { return Ok(false) };
        let expression = last.compile(pattern)?;
        let found = if group == 0 {
            expression.find(text)
        } else {
            expression.captures(text).and_then(|captures| captures.get(group))
        };
        Ok(match found {
            Some(found) => {
                out.push_str(found.as_str());
                true
            }
            None => false,
        })
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let replacements = call.argument(2)?.texts()?;
    let mut last = Last::default();
    build(call, |row, out| {
        let (Some(text), Some(pattern), Some(replacement)) =
            (texts.get(row), patterns.get(row), replacements.get(row))
        else {
            return Ok(false);
        };
        let expression = last.compile(pattern)?;
        out.push_str(&expression.replace_all(text, rust_replacement(replacement).as_str()));
        Ok(true)
    })
}

/// Java reads `$12x` as a group followed by x and `\$` as a dollar; Rust wants braces and `$$`.
fn rust_replacement(java: &str) -> String {
    let mut out = String::with_capacity(java.len());
    let mut letters = java.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' if letters.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("${");
                while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            '$' => out.push_str("$$"),
            letter => out.push(letter),
        }
    }
    out
}

fn count(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, patterns) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = Last::default();
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (texts.get(row), patterns.get(row)) {
            (Some(text), Some(pattern)) => Some(last.compile(pattern)?.find_iter(text).count() as i64),
            _ => None,
        });
    }
    integers_column(out.into_iter(), call.result)
}
