//! Finds its way through JSON text without building anything: values are slices of the input.
//!
//! What is not wanted is checked only as far as it takes to find its end. Nesting is counted, not
//! recursed into, so that no depth overflows the stack.

use crate::error::DecodeError;
use std::borrow::Cow;

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 1000;

/// One value, as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Number(&'a [u8]),
    /// Between the quotes; `escaped` if there is a backslash in it.
    Text { raw: &'a [u8], escaped: bool },
    /// With its brackets.
    Object(&'a [u8]),
    Array(&'a [u8]),
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    pub(super) fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError::Syntax { position: self.at, reason }
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes a byte if it comes next.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, wanted: u8, reason: &'static str) -> Result<(), DecodeError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(reason)) }
    }

    /// Fails unless only white space is left.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error("text follows the value")) }
    }

    /// A string: its inside, and whether it has escapes.
    pub(super) fn text(&mut self) -> Result<(&'a [u8], bool), DecodeError> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err(self.error("the string has no end"));
            };
            self.at += found;
            if self.bytes[self.at] == b'"' {
                let raw = &self.bytes[start..self.at];
                self.at += 1;
                return Ok((raw, escaped));
            }
            escaped = true;
            self.at = (self.at + 2).min(self.bytes.len());
        }
    }

    pub(super) fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        match self.peek() {
            Some(b'"') => {
                let (raw, escaped) = self.text()?;
                Ok(Value::Text { raw, escaped })
            }
            Some(b'{') => Ok(Value::Object(self.nested()?)),
            Some(b'[') => Ok(Value::Array(self.nested()?)),
            Some(b't') => self.word(b"true", Value::Boolean(true)),
            Some(b'f') => self.word(b"false", Value::Boolean(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                self.at += self.bytes[start..].iter().take_while(|byte| is_part(byte)).count();
                let number = &self.bytes[start..self.at];
                if !number.last().is_some_and(u8::is_ascii_digit) {
                    return Err(self.error("a number is cut off"));
                }
                Ok(Value::Number(number))
            }
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the text ends where a value should be")),
        }
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Result<Value<'a>, DecodeError> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.error("expected true, false or null"))
    }

    /// An object or an array, up to its closing bracket.
    fn nested(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.text()?;
                    continue;
                }
                b'{' | b'[' => {
                    if open.len() >= DEPTH_MAX {
                        return Err(self.error("nested deeper than 1000 levels"));
                    }
                    open.push(byte + 2);
                }
                b'}' | b']' => {
                    if open.pop() != Some(byte) {
                        return Err(self.error("brackets do not match"));
                    }
                    if open.is_empty() {
                        self.at += 1;
                        return Ok(&self.bytes[start..self.at]);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(self.error("an object or array has no end"))
    }

    /// Calls `visit` with each field of the object that comes next.
    pub(super) fn object(
        &mut self,
        mut visit: impl FnMut(&'a [u8], bool, Value<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{', "expected an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let (name, escaped) = self.text()?;
            self.expect(b':', "expected a colon")?;
            let value = self.value()?;
            visit(name, escaped, value)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the end of the object")?;
        }
    }

    /// Calls `visit` with each element of the array that comes next.
    pub(super) fn array(
        &mut self,
        mut visit: impl FnMut(Value<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'[', "expected an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            let value = self.value()?;
            visit(value)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the end of the array")?;
        }
    }
}

/// The text of a string, escapes resolved; none if it is not valid.
pub(super) fn unescape(raw: &[u8], escaped: bool) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !escaped {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next()? {
            '"' => out.push('"'),
            '\\' => out.push('\\'),
            '/' => out.push('/'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let unit = hex(&mut letters)?;
                let code = if (0xd800..0xdc00).contains(&unit) {
                    // The second half of a surrogate pair must follow.
                    if letters.next()? != '\\' || letters.next()? != 'u' {
                        return None;
                    }
                    let low = hex(&mut letters)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                out.push(char::from_u32(code)?);
            }
            _ => return None,
        }
    }
    Some(Cow::Owned(out))
}

fn hex(letters: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + letters.next()?.to_digit(16)?;
    }
    Some(unit)
}
