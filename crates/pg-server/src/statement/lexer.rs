//! Words of a text in PostgreSQL's dialect, as far as they tell statements apart.

use crate::error::{Code, PgError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted word, a number included.
    Word,
    /// `"name"`
    Quoted,
    /// `'text'`, `E'text'`, `$$text$$`
    Text,
    Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub at: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// The name, with the case of letters folded where it is not quoted.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_lowercase()),
            Kind::Quoted => Some(self.text[1..self.text.len() - 1].replace("\"\"", "\"")),
            Kind::Text | Kind::Sign => None,
        }
    }

    /// What a text says.
    pub(super) fn string(&self) -> Option<String> {
        if self.kind != Kind::Text {
            return None;
        }
        if let Some(rest) = self.text.strip_prefix('$') {
            let tag = rest.find('$')? + 2;
            return Some(self.text[tag..self.text.len() - tag].to_string());
        }
        let is_escaped = self.text.starts_with(['e', 'E']);
        let inner = self.text.get(usize::from(is_escaped) + 1..self.text.len() - 1)?.replace("''", "'");
        Some(if is_escaped { unescape(&inner) } else { inner })
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// The statements of a text, between semicolons; with the place of each in it, in bytes.
pub fn split(text: &str) -> Result<Vec<(usize, &str)>, PgError> {
    let mut statements = Vec::new();
    let mut start = 0;
    for token in tokens(text)? {
        if token.is_sign(";") {
            statements.push((start, &text[start..token.at]));
            start = token.end();
        }
    }
    statements.push((start, &text[start..]));
    let is_empty = |part: &str| tokens(part).is_ok_and(|tokens| tokens.is_empty());
    statements.retain(|(_, part)| !is_empty(part));
    Ok(statements)
}

/// Words and signs of a text, so that all parameters fit that the protocol has, with commas between them.
const TOKENS_MAX: usize = 150_000;

/// What makes a plan deeper than it makes a statement weighs more.
const PLAN_WEIGHT: usize = 80;

/// What nests, though the text has it in a row: words before, between and behind expressions.
const OPERATORS: [&str; 19] = [
    "and", "or", "not", "is", "isnull", "notnull", "like", "ilike", "similar", "rlike", "regexp", "in",
    "between", "at", "collate", "overlaps", "div", "xor", "operator",
];
const PLAN_OPERATORS: [&str; 4] = ["union", "except", "intersect", "join"];

/// How many operators a statement has, before, between and behind expressions: a chain of them nests as deeply.
pub fn operators(text: &str) -> Result<usize, PgError> {
    let tokens = tokens(text)?;
    let before = |index: usize, back: usize| index.checked_sub(back).and_then(|index| tokens.get(index));
    let is_before =
        |index: usize, back: usize, sign: &str| before(index, back).is_some_and(|token| token.is_sign(sign));
    let weight = |(index, token): (usize, &Token<'_>)| match token.kind {
        Kind::Word if OPERATORS.iter().any(|word| token.is(word)) => 1,
        Kind::Word if PLAN_OPERATORS.iter().any(|word| token.is(word)) => PLAN_WEIGHT,
        // The sign of a number in a list.
        Kind::Sign if token.is_sign("-") && (is_before(index, 1, ",") || is_before(index, 1, "(")) => 0,
        // A field of a field; `t.a` and `1.5` nest nothing.
        Kind::Sign if token.is_sign(".") => {
            usize::from(is_before(index, 1, ")") || is_before(index, 1, "]") || is_before(index, 2, "."))
        }
        Kind::Sign => usize::from(b"+-*/%|<>=~!^&#@:?[".contains(&token.text.as_bytes()[0])),
        Kind::Word | Kind::Quoted | Kind::Text => 0,
    };
    Ok(tokens.iter().enumerate().map(weight).sum())
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, PgError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let unfinished = |what: &str, at: usize| {
        let error = PgError::new(Code::SYNTAX_ERROR, format!("syntax error: {what} does not end"));
        Err(error.at(text[..at].chars().count() + 1))
    };
    while let Some(byte) = bytes.get(at) {
        let start = at;
        let kind = match byte {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let Some(end) = comment_end(bytes, at) else { return unfinished("a comment", at) };
                at = end;
                continue;
            }
            b'\'' => {
                let Some(end) = quoted_end(bytes, at, b'\'', false) else { return unfinished("a text", at) };
                at = end;
                Kind::Text
            }
            b'e' | b'E' if bytes.get(at + 1) == Some(&b'\'') => {
                let Some(end) = quoted_end(bytes, at + 1, b'\'', true) else {
                    return unfinished("a text", at);
                };
                at = end;
                Kind::Text
            }
            b'"' => {
                let Some(end) = quoted_end(bytes, at, b'"', false) else { return unfinished("a name", at) };
                at = end;
                Kind::Quoted
            }
            b'$' if dollar_tag(bytes, at).is_some() => {
                let tag = dollar_tag(bytes, at).unwrap_or_default();
                let Some(end) = memchr::memmem::find(&bytes[at + tag.len()..], tag) else {
                    return unfinished("a text", at);
                };
                at += tag.len() + end + tag.len();
                Kind::Text
            }
            byte if is_word(*byte) => {
                while bytes.get(at).is_some_and(|byte| is_word(*byte)) {
                    at += 1;
                }
                Kind::Word
            }
            _ => {
                at += 1;
                Kind::Sign
            }
        };
        if tokens.len() >= TOKENS_MAX {
            let message = format!("a text has at most {TOKENS_MAX} words and signs");
            let error = PgError::new(Code::STATEMENT_TOO_COMPLEX, message);
            return Err(error.hint("give a long list as one parameter: = ANY ($1)"));
        }
        tokens.push(Token { kind, text: &text[start..at], at: start });
    }
    Ok(tokens)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// Comments nest.
fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut at) = (0, start);
    loop {
        match bytes.get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
}

/// Behind the closing quote; a doubled one is part of the text.
fn quoted_end(bytes: &[u8], start: usize, quote: u8, has_escapes: bool) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if has_escapes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// `$$` or `$tag$`; `$1` is a parameter.
fn dollar_tag(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let rest = &bytes[start + 1..];
    let length = rest.iter().position(|byte| *byte == b'$')?;
    let tag = &rest[..length];
    let is_tag = tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
        && !tag.first().is_some_and(u8::is_ascii_digit);
    is_tag.then(|| &bytes[start..start + length + 2])
}
