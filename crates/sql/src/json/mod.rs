//! JSON values as the SQL/JSON functions see them: read from text, searched by paths, written again.
//!
//! `path` compiles paths, `read` finds what they lead to in a tree and `lookup` in a text, `filter` decides their conditions, `number` knows how numbers
//! are written and compared. Numbers stay texts, because 1.50 must come out as it went in.

pub(crate) mod filter;
pub(crate) mod lookup;
pub(crate) mod number;
pub(crate) mod path;
pub(crate) mod read;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use number::Number;
use std::borrow::Cow;

/// Deeper nesting is refused, as Flink's parser does; so are longer numbers.
const DEPTH_MAX: usize = 1000;
const NUMBER_BYTES_MAX: usize = 1000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    Number(Number),
    String(String),
    Array(Vec<Json>),
    /// In the order of the text; of fields of one name the last value stands where the first one stood.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Json::Array(_) | Json::Object(_))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Reads the value that a text begins with. Like Flink's parser it does not look at what follows, unless the value
    /// is a number or a word, which must end there.
    pub(crate) fn parse(text: &str) -> Result<Json, String> {
        Json::parse_noting_duplicates(text).map(|(value, _)| value)
    }

    /// The same, and whether some object has two fields of one name.
    pub(crate) fn parse_noting_duplicates(text: &str) -> Result<(Json, bool), String> {
        let mut parser = Parser { text, at: 0, duplicates: false };
        let value = parser.value(0)?;
        parser.end_of_value(matches!(value, Json::Number(_) | Json::Boolean(_) | Json::Null))?;
        Ok((value, parser.duplicates))
    }

    /// Reads a text that is one value and nothing else.
    pub(crate) fn parse_whole(text: &str) -> Result<Json, String> {
        let mut parser = Parser { text, at: 0, duplicates: false };
        let value = parser.value(0)?;
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.wrong("expected the end of the text")),
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    duplicates: bool,
}

impl<'t> Parser<'t> {
    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    #[cold]
    fn wrong(&self, reason: &str) -> String {
        format!("{reason} at byte {} of the JSON text", self.at + 1)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// What is a number or a word must end where it ends.
    fn end_of_value(&self, is_bare: bool) -> Result<(), String> {
        match self.bytes().get(self.at) {
            Some(byte) if is_bare && !byte.is_ascii_whitespace() => {
                Err(self.wrong("expected the end of the value"))
            }
            _ => Ok(()),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("objects and arrays are nested too deeply"));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        self.check_depth(depth)?;
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(|parser| {
                    items.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some(b'"') => self.string().map(|text| Json::String(text.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Boolean(true)),
            Some(b'f') => self.word("false", Json::Boolean(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("expected true, false or null"));
        }
        self.at += word.len();
        match self.bytes().get(self.at) {
            Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80 => {
                Err(self.wrong("expected the end of a word"))
            }
            _ => Ok(value),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut duplicates = false;
        self.fields(|parser, name| {
            let value = parser.value(depth + 1)?;
            match fields.iter_mut().find(|(own, _)| own == name) {
                Some(known) => {
                    known.1 = value;
                    duplicates = true;
                }
                None => fields.push((name.to_string(), value)),
            }
            Ok(())
        })?;
        self.duplicates |= duplicates;
        Ok(Json::Object(fields))
    }

    /// Walks over an object; `take` reads the value of a field.
    fn fields(&mut self, mut take: impl FnMut(&mut Self, &str) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected the name of a field in double quotes"));
            }
            let name = self.string()?;
            if !self.take(b':') {
                return Err(self.wrong("expected a colon"));
            }
            take(self, &name)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.wrong("expected a comma or `}`"));
            }
        }
    }

    /// Walks over an array; `take` reads an element.
    fn items(&mut self, mut take: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            take(self)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.wrong("expected a comma or `]`"));
            }
        }
    }

    /// A text; it is the document's own where nothing in it is escaped.
    fn string(&mut self) -> Result<Cow<'t, str>, String> {
        self.at += 1;
        let mut out: Option<String> = None;
        loop {
            let plain = self.plain_part()?;
            let ends = self.bytes()[self.at] == b'"';
            if ends {
                self.at += 1;
                return Ok(match out {
                    None => Cow::Borrowed(plain),
                    Some(out) => Cow::Owned(out + plain),
                });
            }
            let text = out.get_or_insert_default();
            text.push_str(plain);
            let mut letters = std::mem::take(text);
            self.escape(&mut letters)?;
            out = Some(letters);
        }
    }

    /// Up to the next quote or backslash, which is there.
    fn plain_part(&mut self) -> Result<&'t str, String> {
        let rest = &self.text[self.at..];
        let plain = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        let Some(plain) = plain else {
            self.at = self.text.len();
            return Err(self.wrong("expected the end of a text"));
        };
        self.at += plain;
        if rest.as_bytes()[plain] < 0x20 {
            return Err(self.wrong("control characters are escaped in a text, but one stands"));
        }
        Ok(&rest[..plain])
    }

    fn skip_string(&mut self) -> Result<(), String> {
        self.string().map(|_| ())
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let letter = match self.bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit(self.at + 2)?;
                self.at += 6;
                let low = (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u");
                let low = if low { self.unit(self.at + 2).ok() } else { None };
                let pair = low.and_then(|low| char::decode_utf16([unit, low]).next()?.ok());
                self.at += if pair.is_some() { 6 } else { 0 };
                // Half a pair has no bytes; Java writes a question mark.
                out.push(pair.or_else(|| char::from_u32(unit.into())).unwrap_or('?'));
                return Ok(());
            }
            _ => return Err(self.wrong("there is no such escape")),
        };
        self.at += 2;
        out.push(letter);
        Ok(())
    }

    fn unit(&self, at: usize) -> Result<u16, String> {
        let digits = self.bytes().get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.wrong("expected four hexadecimal digits"))
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        let mut at = start + usize::from(self.bytes()[start] == b'-');
        let digits =
            |from: usize| self.bytes()[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(at);
        if whole == 0 || (whole > 1 && self.bytes()[at] == b'0') {
            return Err(self.wrong("this is no number"));
        }
        at += whole;
        let mut is_integer = true;
        if self.bytes().get(at) == Some(&b'.') {
            is_integer = false;
            let count = digits(at + 1);
            if count == 0 {
                return Err(self.wrong("digits must follow the decimal point"));
            }
            at += 1 + count;
        }
        if let Some(b'e' | b'E') = self.bytes().get(at) {
            is_integer = false;
            let sign = matches!(self.bytes().get(at + 1), Some(b'+' | b'-'));
            let first = at + 1 + usize::from(sign);
            let count = digits(first);
            if count == 0 {
                return Err(self.wrong("digits must follow the exponent"));
            }
            at = first + count;
        }
        if at - start > NUMBER_BYTES_MAX {
            return Err(self.wrong("the number has too many digits"));
        }
        let number =
            Number::read(&self.text[start..at], is_integer).ok_or_else(|| self.wrong("this is no number"))?;
        self.at = at;
        Ok(Json::Number(number))
    }
}
