//! The lexer: text to tokens, each a kind and a stretch of the text, twelve bytes in all.
//!
//! Values (a string without its quotes, a number) are taken from the text when the parser asks. Keywords are
//! words: what a word means depends on the place, so the parser compares them. Text that is no token becomes an
//! `Invalid` token and a diagnostic, and lexing goes on behind it.

use crate::diagnostic::Diagnostic;
use crate::source::SourceText;
use crate::span::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted name or a keyword.
    Word,
    /// In back quotes.
    QuotedWord,
    /// `'…'`
    String,
    /// `X'…'`
    BinaryString,
    /// `U&'…'`
    UnicodeString,
    /// Digits with an optional point.
    Exact,
    /// With an exponent.
    Approximate,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    Comma,
    Semicolon,
    Dot,
    Colon,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Concatenate,
    /// `=>`
    Arrow,
    Question,
    /// `|`, `^` and `$` mean something in patterns alone.
    Pipe,
    Caret,
    Dollar,
    /// `/*+`
    HintStart,
    /// `*/` behind a hint.
    HintEnd,
    /// Already reported.
    Invalid,
    /// Behind the last token; empty.
    End,
}

#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte offsets into the expanded text.
    pub start: u32,
    pub end: u32,
}

/// After so many mistakes the rest of the text is not looked at.
pub const DIAGNOSTICS_MAX: usize = 100;

/// The tokens of a source, the last one `End`, and what was wrong.
pub fn lex(source: &SourceText) -> (Vec<Token>, Vec<Diagnostic>) {
    let text = source.expanded();
    let mut lexer = Lexer {
        source,
        text,
        bytes: text.as_bytes(),
        at: 0,
        in_hint: false,
        tokens: Vec::with_capacity(text.len() / 6 + 1),
        diagnostics: Vec::new(),
    };
    while lexer.next_token() {
        if lexer.diagnostics.len() > DIAGNOSTICS_MAX {
            // This is no SQL: a message for each of millions of letters would help nobody.
            lexer.at = lexer.bytes.len();
        }
    }
    (lexer.tokens, lexer.diagnostics)
}

struct Lexer<'a> {
    source: &'a SourceText,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    in_hint: bool,
    tokens: Vec<Token>,
    diagnostics: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: TokenKind, end: usize) {
        self.tokens.push(Token { kind, start: self.at as u32, end: end as u32 });
        self.at = end;
    }

    fn span(&self, start: usize, end: usize) -> Span {
        self.source.original_span(Span::new(start as u32, end as u32))
    }

    /// Lexes one token; false behind the end.
    fn next_token(&mut self) -> bool {
        self.skip_space();
        let Some(&first) = self.bytes.get(self.at) else {
            self.push(TokenKind::End, self.at);
            return false;
        };
        match first {
            b'\'' => self.quoted(TokenKind::String, self.at, b'\''),
            b'`' => self.quoted(TokenKind::QuotedWord, self.at, b'`'),
            b'"' => self.double_quoted(),
            b'x' | b'X' if self.byte(1) == b'\'' => self.binary(),
            b'u' | b'U' if self.byte(1) == b'&' && self.byte(2) == b'\'' => {
                self.quoted(TokenKind::UnicodeString, self.at + 2, b'\'')
            }
            b'n' | b'N' if self.byte(1) == b'\'' => self.quoted(TokenKind::String, self.at + 1, b'\''),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() && !self.follows_a_name() => self.number(),
            _ if self.word_length() > 0 => {
                let end = self.at + self.word_length();
                self.push(TokenKind::Word, end);
            }
            _ => self.symbol(first),
        }
        true
    }

    /// Skips white space and comments.
    fn skip_space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") && !trimmed.starts_with("/*+") {
                match trimmed[2..].find("*/") {
                    Some(length) => self.at += length + 4,
                    None => {
                        let span = self.span(self.at, self.at + 2);
                        let message = "this comment is never closed";
                        self.diagnostics
                            .push(Diagnostic::syntax(span, message).with_hint("close it with `*/`"));
                        self.at = self.bytes.len();
                    }
                }
            } else {
                return;
            }
        }
    }

    /// Letters, digits, `_` and `$`, not beginning with a digit.
    fn word_length(&self) -> usize {
        let rest = &self.text[self.at..];
        if !rest.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic()) {
            return 0;
        }
        rest.find(|c: char| !(c == '_' || c == '$' || c.is_alphanumeric())).unwrap_or(rest.len())
    }

    /// In `t.1` and `a[1].5` the point does not begin a number.
    fn follows_a_name(&self) -> bool {
        self.tokens.last().is_some_and(|token| {
            token.end as usize == self.at
                && matches!(
                    token.kind,
                    TokenKind::Word | TokenKind::QuotedWord | TokenKind::RightBracket | TokenKind::RightParen
                )
        })
    }

    fn quoted(&mut self, kind: TokenKind, open: usize, quote: u8) {
        let mut end = open + 1;
        loop {
            match self.bytes[end..].iter().position(|&byte| byte == quote) {
                Some(length) if self.bytes.get(end + length + 1) == Some(&quote) => end += length + 2,
                Some(length) => {
                    end += length + 1;
                    break;
                }
                None => return self.unterminated(quote),
            }
        }
        if kind == TokenKind::QuotedWord && end == open + 2 {
            let span = self.span(self.at, end);
            self.diagnostics.push(Diagnostic::syntax(span, "a name cannot be empty"));
            return self.push(TokenKind::Invalid, end);
        }
        self.push(kind, end);
    }

    /// Everything to the end belongs to the literal: reported once.
    fn unterminated(&mut self, quote: u8) {
        let what = if quote == b'`' { "name in back quotes" } else { "string" };
        let line_end = self.text[self.at..].find('\n').map_or(self.bytes.len(), |length| self.at + length);
        let span = self.span(self.at, line_end.max(self.at + 1));
        let mut diagnostic = Diagnostic::syntax(span, format!("this {what} is never closed"));
        // An odd quote flips what is text and what is SQL: the mistake often stands at an earlier literal.
        let begun = self.tokens.iter().rev().take_while(|token| token.kind != TokenKind::Semicolon);
        let suspect = begun.filter(|token| {
            matches!(token.kind, TokenKind::String | TokenKind::QuotedWord)
                && self.text[token.start as usize..token.end as usize].contains('\n')
        });
        diagnostic = match suspect.last() {
            Some(token) => {
                // What was found wrong since then follows from it.
                let begun = self.span(token.start as usize, token.end as usize).start;
                self.diagnostics.retain(|diagnostic| diagnostic.span.start < begun);
                let line = self.source.position(begun).line;
                diagnostic.with_hint(format!("the {what} that begins in line {line} runs over several lines; is its closing quote missing?"))
            }
            None if quote == b'`' => diagnostic.with_hint("close it with a back quote"),
            None => diagnostic.with_hint("close it with `'`; a quote inside a string is written twice: `''`"),
        };
        self.diagnostics.push(diagnostic);
        self.push(TokenKind::Invalid, self.bytes.len());
    }

    fn double_quoted(&mut self) {
        let rest = &self.text[self.at + 1..];
        let line = rest.find('\n').map_or(rest, |length| &rest[..length]);
        let length = line.find('"').map_or(line.len(), |length| length + 1);
        let end = self.at + 1 + length;
        let span = self.span(self.at, end);
        let inner = line.split('"').next().unwrap_or("");
        let mut diagnostic = Diagnostic::syntax(span, "double quotes are not used in Flink SQL");
        if !inner.is_empty() && inner.len() <= 60 {
            diagnostic =
                diagnostic.with_hint(format!("write '{inner}' for a string or `{inner}` for a name"));
        }
        self.diagnostics.push(diagnostic);
        self.push(TokenKind::Invalid, end);
    }

    fn binary(&mut self) {
        let before = self.tokens.len();
        let start = self.at;
        self.quoted(TokenKind::BinaryString, self.at + 1, b'\'');
        let Some(token) = self.tokens.get(before).filter(|token| token.kind == TokenKind::BinaryString)
        else {
            return;
        };
        let end = token.end as usize;
        let digits = &self.text[start + 2..end - 1];
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
            let span = self.span(start, end);
            self.diagnostics.push(
                Diagnostic::syntax(span, "a binary string holds pairs of hexadecimal digits")
                    .with_hint("for example X'1FA0'"),
            );
            self.tokens[before].kind = TokenKind::Invalid;
        }
    }

    fn number(&mut self) {
        let start = self.at;
        let digits = |from: usize| self.bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut end = start + digits(start);
        if self.bytes.get(end) == Some(&b'.') {
            end += 1 + digits(end + 1);
        }
        let mut kind = TokenKind::Exact;
        if matches!(self.bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                kind = TokenKind::Approximate;
                end += 1 + sign + exponent;
            }
        }
        let rest = &self.text[end..];
        let tail = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
        if tail > 0 {
            let span = self.span(start, end + tail);
            let text = &self.text[start..end + tail];
            self.diagnostics.push(
                Diagnostic::syntax(span, format!("`{text}` is neither a number nor a name")).with_hint(
                    format!("a name that begins with a digit is written in back quotes: `{text}`"),
                ),
            );
            return self.push(TokenKind::Invalid, end + tail);
        }
        self.push(kind, end);
    }

    fn symbol(&mut self, first: u8) {
        let (kind, length) = match (first, self.byte(1)) {
            (b'*', b'/') if self.in_hint => {
                self.in_hint = false;
                (TokenKind::HintEnd, 2)
            }
            (b'/', b'*') => {
                self.in_hint = true;
                (TokenKind::HintStart, 3)
            }
            (b'<', b'=') => (TokenKind::LessOrEqual, 2),
            (b'<', b'>') => (TokenKind::NotEqual, 2),
            (b'>', b'=') => (TokenKind::GreaterOrEqual, 2),
            (b'=', b'>') => (TokenKind::Arrow, 2),
            (b'|', b'|') => (TokenKind::Concatenate, 2),
            (b'(', _) => (TokenKind::LeftParen, 1),
            (b')', _) => (TokenKind::RightParen, 1),
            (b'[', _) => (TokenKind::LeftBracket, 1),
            (b']', _) => (TokenKind::RightBracket, 1),
            (b'{', _) => (TokenKind::LeftBrace, 1),
            (b'}', _) => (TokenKind::RightBrace, 1),
            (b',', _) => (TokenKind::Comma, 1),
            (b';', _) => (TokenKind::Semicolon, 1),
            (b'.', _) => (TokenKind::Dot, 1),
            (b':', _) => (TokenKind::Colon, 1),
            (b'=', _) => (TokenKind::Equal, 1),
            (b'<', _) => (TokenKind::Less, 1),
            (b'>', _) => (TokenKind::Greater, 1),
            (b'+', _) => (TokenKind::Plus, 1),
            (b'-', _) => (TokenKind::Minus, 1),
            (b'*', _) => (TokenKind::Star, 1),
            (b'/', _) => (TokenKind::Slash, 1),
            (b'%', _) => (TokenKind::Percent, 1),
            (b'?', _) => (TokenKind::Question, 1),
            (b'|', _) => (TokenKind::Pipe, 1),
            (b'^', _) => (TokenKind::Caret, 1),
            (b'$', _) => (TokenKind::Dollar, 1),
            _ => return self.stray(),
        };
        self.push(kind, self.at + length);
    }

    /// A character that begins no token.
    fn stray(&mut self) {
        let letter = self.text[self.at..].chars().next().unwrap_or(' ');
        let doubled = ["!=", "&&"].iter().any(|symbol| self.text[self.at..].starts_with(symbol));
        let end = self.at + if doubled { 2 } else { letter.len_utf8() };
        let mut diagnostic = Diagnostic::syntax(
            self.span(self.at, end),
            format!("`{}` has no meaning here", self.text[self.at..end].escape_debug()),
        );
        let hint = match letter {
            '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => {
                Some("strings stand in straight quotes: '…'")
            }
            '\u{ff0c}' => Some("the comma is `,`"),
            '\u{ff1b}' => Some("statements end with `;`"),
            '\u{ff08}' | '\u{ff09}' => Some("parentheses are `(` and `)`"),
            '!' => Some("values differ with `<>`"),
            '&' => Some("the conjunction is written AND"),
            '#' | '@' => Some("a name with other characters is written in back quotes"),
            '~' => Some("a pattern is matched by REGEXP(value, 'pattern')"),
            '\\' => Some("a quote inside a string is written twice: `''`"),
            _ => None,
        };
        if let Some(hint) = hint {
            diagnostic = diagnostic.with_hint(hint);
        }
        self.diagnostics.push(diagnostic);
        self.push(TokenKind::Invalid, end);
    }
}

/// The value of a string or a quoted name: without the quotes, doubled quotes once.
pub fn unquote(text: &str) -> String {
    let open = text.find(['\'', '`']).unwrap_or(0);
    let quote = text[open..].chars().next().unwrap_or('\'');
    let inner = text.get(open + 1..text.len() - 1).unwrap_or("");
    if quote == '`' { inner.replace("``", "`") } else { inner.replace("''", "'") }
}

#[cfg(test)]
#[path = "lexer/tests.rs"]
mod tests;
