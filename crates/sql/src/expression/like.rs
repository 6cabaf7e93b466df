//! LIKE and SIMILAR TO: patterns compiled once per batch.
//!
//! Flink's LIKE has no escape character unless ESCAPE names one. Plain prefixes, suffixes and infixes are
//! searched as text; the rest becomes a regular expression.

use regex::{Regex, RegexBuilder};

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Expression(Regex),
}

impl Pattern {
    pub fn like(pattern: &str, escape: Option<char>) -> Result<Pattern, String> {
        let tokens = tokens(pattern, escape)?;
        let literal = |tokens: &[Token]| -> Option<String> {
            tokens.iter().map(|token| if let Token::Letter(c) = token { Some(*c) } else { None }).collect()
        };
        if let Some(text) = literal(&tokens) {
            return Ok(Pattern::Exact(text));
        }
        let (first, last) = (tokens.first(), tokens.last());
        if last == Some(&Token::Any)
            && let Some(text) = literal(&tokens[..tokens.len() - 1])
        {
            return Ok(Pattern::Prefix(text));
        }
        if first == Some(&Token::Any) {
            if let Some(text) = literal(&tokens[1..]) {
                return Ok(Pattern::Suffix(text));
            }
            if last == Some(&Token::Any)
                && tokens.len() >= 2
                && let Some(text) = literal(&tokens[1..tokens.len() - 1])
            {
                return Ok(Pattern::Contains(text));
            }
        }
        let mut text = String::from("^");
        for token in &tokens {
            match token {
                Token::Letter(letter) => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
                Token::One => text.push('.'),
                Token::Any => text.push_str(".*"),
            }
        }
        text.push('$');
        compile(&text).map(Pattern::Expression)
    }

    /// SQL:1999 regular expressions: `%` and `_` beside `|`, `*`, `+`, `?`, `{}`, `()` and `[]`.
    pub fn similar(pattern: &str, escape: Option<char>) -> Result<Pattern, String> {
        let mut text = String::from("^(?:");
        let mut letters = pattern.chars();
        let mut in_class = false;
        while let Some(letter) = letters.next() {
            if Some(letter) == escape {
                let next = letters.next().ok_or("the pattern ends with its escape character")?;
                text.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                continue;
            }
            match letter {
                '[' => {
                    in_class = true;
                    text.push('[');
                }
                ']' => {
                    in_class = false;
                    text.push(']');
                }
                letter if in_class => text.push(letter),
                '%' => text.push_str(".*"),
                '_' => text.push('.'),
                '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => text.push(letter),
                letter => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
            }
        }
        text.push_str(")$");
        compile(&text).map(Pattern::Expression)
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(wanted) => text == wanted,
            Pattern::Prefix(wanted) => text.starts_with(wanted.as_str()),
            Pattern::Suffix(wanted) => text.ends_with(wanted.as_str()),
            Pattern::Contains(wanted) => text.contains(wanted.as_str()),
            Pattern::Expression(expression) => expression.is_match(text),
        }
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .dot_matches_new_line(true)
        .build()
        .map_err(|error| format!("the pattern cannot be compiled: {error}"))
}

#[derive(Debug, PartialEq)]
enum Token {
    Letter(char),
    One,
    Any,
}

fn tokens(pattern: &str, escape: Option<char>) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        tokens.push(if Some(letter) == escape {
            match letters.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => Token::Letter(next),
                _ => return Err(format!("the escape character '{letter}' must stand before %, _ or itself")),
            }
        } else {
            match letter {
                '%' => Token::Any,
                '_' => Token::One,
                letter => Token::Letter(letter),
            }
        });
    }
    tokens.dedup_by(|next, previous| *next == Token::Any && *previous == Token::Any);
    Ok(tokens)
}
