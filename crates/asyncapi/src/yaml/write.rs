//! Writes YAML: block collections, texts of several lines as they are, and quotes where a reader could take a text for
//! something else.

use serde_json::Value;
use std::fmt::Write;

/// The document, with a line end behind it.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(&mut out, value, 0),
        Value::Array(list) if !list.is_empty() => entries(&mut out, value, 0),
        value => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// The entries of a collection that has some, each on a line of its own.
fn entries(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                // What stands behind a dash has its place already.
                if index > 0 || !out.ends_with("- ") {
                    spaces(out, indent);
                }
                text(out, key);
                out.push(':');
                below(out, value, indent);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                if index > 0 || !out.ends_with("- ") {
                    spaces(out, indent);
                }
                out.push_str("- ");
                if is_block(value) {
                    entries(out, value, indent + 2);
                } else {
                    scalar(out, value, indent);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

/// A value behind its key.
fn below(out: &mut String, value: &Value, indent: usize) {
    if is_block(value) {
        out.push('\n');
        entries(out, value, indent + 2);
    } else {
        out.push(' ');
        scalar(out, value, indent);
        out.push('\n');
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(value) if is_literal(value) => {
            let (body, chomping) = match value.strip_suffix('\n') {
                Some(body) => (body, ""),
                None => (value.as_str(), "-"),
            };
            let _ = write!(out, "|{chomping}");
            for line in body.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    spaces(out, indent + 2);
                    out.push_str(line);
                }
            }
        }
        Value::String(value) => text(out, value),
        // Empty collections, numbers and words are as in JSON.
        value => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Whether a text can stand as its lines are.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.split('\n').all(|line| !line.ends_with(' ') && line.chars().all(is_printable))
}

fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            character if is_printable(character) => out.push(character),
            character if u32::from(character) > 0xffff => {
                let _ = write!(out, "\\U{:08x}", u32::from(character));
            }
            character => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
        }
    }
    out.push('"');
}

/// Whether no reader, of YAML 1.1 either, takes the text for anything else.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let begins =
        text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '/' | '$'));
    begins
        && !text.ends_with(' ')
        && text
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.' | '/' | '$' | '+' | ' '))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}
