//! The source text of a script: its files, their lines, and the variables substituted in them.
//!
//! Several files are one text, as if they had been typed one after the other; positions are those in the files.
//!
//! `${NAME}` is replaced before lexing, by plain text and once: a value is not searched again. NAME is a letter
//! or `_` followed by letters, digits and `_`; anything else after `${` stays as it is. Comments are left alone,
//! hints are not comments. Inside `'…'` and back quotes the quotes of a value are doubled, so that a value never
//! ends the literal it stands in. There is no escape: a text that must contain `${NAME}` is written
//! `'$' || '{NAME}'`.
//!
//! Lexer and parser work on the expanded text; every span is mapped back, so that messages point at the text as
//! the user wrote it. A span that ends inside a value covers the whole `${NAME}`.

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;

/// Longer scripts are refused: offsets are 32 bits wide, and nobody wrote such a text by hand.
pub const SOURCE_BYTES_MAX: usize = 10 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct SourceText {
    /// In order; the first begins at 0.
    files: Vec<SourceFile>,
    original: String,
    /// None where nothing was substituted.
    expanded: Option<String>,
    substitutions: Vec<Substitution>,
    /// Byte offset of the beginning of each line of the original.
    line_starts: Vec<u32>,
}

#[derive(Debug, Clone)]
struct SourceFile {
    name: String,
    start: u32,
    /// Lines of the text before this file.
    lines_before: u32,
}

/// What stands between two files: it ends the last statement of the first.
const BETWEEN_FILES: &str = "\n;\n";

/// One replaced variable, in both texts.
#[derive(Debug, Clone, Copy)]
struct Substitution {
    original: Span,
    expanded: Span,
}

/// A place as people count: both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl SourceText {
    /// A text without variables; `name` is what messages call it, usually the file's path.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> SourceText {
        SourceText::of_files([(name.into(), text.into())])
    }

    /// Several files, one after the other, without variables.
    fn of_files(files: impl IntoIterator<Item = (String, String)>) -> SourceText {
        let mut original = String::new();
        let mut places = Vec::new();
        for (name, text) in files {
            if !places.is_empty() {
                original.push_str(BETWEEN_FILES);
            }
            let lines_before = original.bytes().filter(|byte| *byte == b'\n').count() as u32;
            places.push(SourceFile { name, start: original.len() as u32, lines_before });
            original.push_str(&text);
        }
        let line_starts = line_starts(&original);
        SourceText { files: places, original, expanded: None, substitutions: Vec::new(), line_starts }
    }

    /// Substitutes variables; one diagnostic for every name that `lookup` does not know.
    pub fn with_variables(
        name: impl Into<String>,
        text: impl Into<String>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (SourceText, Vec<Diagnostic>) {
        SourceText::files_with_variables([(name.into(), text.into())], lookup)
    }

    /// Several files, one after the other: (name, text).
    pub fn files_with_variables(
        files: impl IntoIterator<Item = (String, String)>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> (SourceText, Vec<Diagnostic>) {
        let mut source = SourceText::of_files(files);
        let diagnostics = source.substitute(lookup);
        (source, diagnostics)
    }

    fn file(&self, offset: u32) -> Option<&SourceFile> {
        self.files[..self.files.partition_point(|file| file.start <= offset)].last()
    }

    /// The name of the file that an offset lies in.
    pub fn file_name(&self, offset: u32) -> &str {
        self.file(offset).map_or("", |file| &file.name)
    }

    /// The text as the user wrote it.
    pub fn text(&self) -> &str {
        &self.original
    }

    /// The text to lex.
    pub fn expanded(&self) -> &str {
        self.expanded.as_deref().unwrap_or(&self.original)
    }

    /// The text that a span of the original covers; empty when the span is not of this text.
    pub fn slice(&self, span: Span) -> &str {
        self.original.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Maps a span of the expanded text to the original.
    pub fn original_span(&self, expanded: Span) -> Span {
        if self.substitutions.is_empty() {
            return expanded;
        }
        let (start, start_inside) = self.original_offset(expanded.start);
        let (end, end_inside) = self.original_offset(expanded.end);
        Span::new(
            start_inside.map_or(start, |variable| variable.start),
            end_inside.map_or(end, |variable| variable.end),
        )
    }

    /// The offset in the original, and the variable inside whose value the offset lies.
    fn original_offset(&self, offset: u32) -> (u32, Option<Span>) {
        let before = self.substitutions.partition_point(|variable| variable.expanded.start < offset);
        let Some(last) = before.checked_sub(1).map(|index| self.substitutions[index]) else {
            return (offset, None);
        };
        if offset < last.expanded.end {
            return (last.original.start, Some(last.original));
        }
        (last.original.end + (offset - last.expanded.end), None)
    }

    /// The index of the line that an offset lies in; an offset past the end is the end.
    fn line_index(&self, offset: u32) -> usize {
        let offset = (offset as usize).min(self.original.len());
        self.line_starts.partition_point(|&start| start as usize <= offset).max(1) - 1
    }

    /// Line and column of a byte offset within its file; an offset past the end is the end.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_index(offset);
        let start = self.line_starts[line] as usize;
        let before = self.original.get(start..(offset as usize).min(self.original.len())).unwrap_or("");
        let lines_before = self.file(offset).map_or(0, |file| file.lines_before);
        Position { line: line as u32 + 1 - lines_before, column: before.chars().count() as u32 + 1 }
    }

    /// The line that an offset lies in, without its line break, and the offset at which it begins.
    pub fn line_at(&self, offset: u32) -> (&str, u32) {
        let index = self.line_index(offset);
        let start = self.line_starts[index];
        let end = self.line_starts.get(index + 1).map_or(self.original.len(), |&next| next as usize);
        (self.original[start as usize..end].trim_end_matches(['\n', '\r']), start)
    }

    fn substitute(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<Diagnostic> {
        if self.original.len() > SOURCE_BYTES_MAX {
            // The parser refuses the text with a message of its own.
            return Vec::new();
        }
        let mut diagnostics = Vec::new();
        let mut expanded = String::new();
        let mut copied = 0;
        for (start, end, quote) in variables(&self.original) {
            let name = &self.original[start + 2..end - 1];
            let span = Span::new(start as u32, end as u32);
            let Some(value) = lookup(name) else {
                diagnostics.push(undefined(name, span));
                continue;
            };
            expanded.push_str(&self.original[copied..start]);
            let value_start = expanded.len();
            match quote {
                Some(quote) => {
                    for letter in value.chars() {
                        expanded.push(letter);
                        if letter == quote {
                            expanded.push(quote);
                        }
                    }
                }
                None => expanded.push_str(&value),
            }
            copied = end;
            if expanded.len() > SOURCE_BYTES_MAX {
                diagnostics.push(Diagnostic::new(
                    DiagnosticKind::Limit,
                    span,
                    format!(
                        "the script with its variables filled in is larger than {SOURCE_BYTES_MAX} bytes"
                    ),
                ));
                return diagnostics;
            }
            let value_span = Span::new(value_start as u32, expanded.len() as u32);
            self.substitutions.push(Substitution { original: span, expanded: value_span });
        }
        if !self.substitutions.is_empty() {
            expanded.push_str(&self.original[copied..]);
            self.expanded = Some(expanded);
        }
        diagnostics
    }
}

fn undefined(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(DiagnosticKind::Unknown, span, format!("the variable `{name}` is not defined"))
        .with_hint(format!("give it a value with `--var {name}=value` or in the environment"))
}

fn line_starts(text: &str) -> Vec<u32> {
    std::iter::once(0)
        .chain(text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at as u32 + 1))
        .collect()
}

/// Every `${NAME}` outside comments: where it begins and ends, and the quote it stands in.
fn variables(text: &str) -> Vec<(usize, usize, Option<char>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut quote: Option<u8> = None;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match quote {
            Some(open) if bytes[at] == open => quote = None,
            None if matches!(bytes[at], b'\'' | b'`') => quote = Some(bytes[at]),
            None if rest.starts_with(b"--") => {
                at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                continue;
            }
            None if rest.starts_with(b"/*") && !rest.starts_with(b"/*+") => {
                at += rest.windows(2).skip(2).position(|pair| pair == b"*/").map_or(rest.len(), |p| p + 4);
                continue;
            }
            _ => {}
        }
        if let Some(length) = variable_length(rest) {
            found.push((at, at + length, quote.map(char::from)));
            at += length;
        } else {
            at += 1;
        }
    }
    found
}

/// The length of `${NAME}` at the beginning of `bytes`.
fn variable_length(bytes: &[u8]) -> Option<usize> {
    let name = bytes.strip_prefix(b"${")?;
    let length = name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let begins_well = name.first().is_some_and(|byte| !byte.is_ascii_digit());
    (length > 0 && begins_well && name.get(length) == Some(&b'}')).then_some(length + 3)
}

#[cfg(test)]
#[path = "source/tests.rs"]
mod tests;
