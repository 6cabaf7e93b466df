//! Walks over JSON text without building anything: the decoder asks for what it wants and skips the rest.
//!
//! What is skipped is checked for its structure and its numbers, but texts in it are only searched
//! for their end. As in Flink, control characters may stand in texts unescaped. Nesting has a limit,
//! so that hostile input cannot exhaust the stack.

/// Deeper nesting is refused, as Flink's parser does.
pub(crate) const DEPTH_MAX: usize = 1000;

/// Where and why the text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub position: usize,
    pub reason: &'static str,
}

pub(crate) struct Scanner<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub depth: usize,
}

/// The inside of a text, between its quotes, as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawText<'a> {
    pub bytes: &'a [u8],
    pub escaped: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RawNumber<'a> {
    pub text: &'a [u8],
    pub is_integer: bool,
}

/// What comes behind an element of an object or array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Element,
    End,
}

type Scanned<T> = Result<T, SyntaxError>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0, depth: 0 }
    }

    #[cold]
    pub(crate) fn error<T>(&self, reason: &'static str) -> Scanned<T> {
        let reason = if self.at >= self.bytes.len() { "the text ends too early" } else { reason };
        Err(SyntaxError { position: self.at.min(self.bytes.len()), reason })
    }

    /// The next byte that is no white space; zero at the end of the text.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline]
    fn expect(&mut self, byte: u8, reason: &'static str) -> Scanned<()> {
        if self.peek() != byte {
            return self.error(reason);
        }
        self.at += 1;
        Ok(())
    }

    /// Goes behind `{` or `[`; whether there is an element.
    #[inline]
    pub(crate) fn enter(&mut self, open: u8, close: u8) -> Scanned<Next> {
        self.expect(open, if open == b'{' { "expected an object" } else { "expected an array" })?;
        if self.depth >= DEPTH_MAX {
            return self.error("objects and arrays are nested too deeply");
        }
        if self.peek() == close {
            self.at += 1;
            return Ok(Next::End);
        }
        self.depth += 1;
        Ok(Next::Element)
    }

    /// Goes behind the comma or the closing bracket that must follow an element.
    #[inline]
    pub(crate) fn next(&mut self, close: u8) -> Scanned<Next> {
        match self.peek() {
            b',' => {
                self.at += 1;
                Ok(Next::Element)
            }
            byte if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(Next::End)
            }
            _ => self.error("expected a comma or the closing bracket"),
        }
    }

    /// A field's name and the colon behind it.
    #[inline]
    pub(crate) fn name(&mut self) -> Scanned<RawText<'a>> {
        if self.peek() != b'"' {
            return self.error("expected a field's name in double quotes");
        }
        let name = self.text()?;
        self.expect(b':', "expected a colon behind the field's name")?;
        Ok(name)
    }

    /// A text; `at` stands on its opening quote.
    #[inline]
    pub(crate) fn text(&mut self) -> Scanned<RawText<'a>> {
        let start = self.at + 1;
        let end = find_quote_or_backslash(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(RawText { bytes: &self.bytes[start..end], escaped: false });
        }
        self.escaped_text(start, end)
    }

    #[cold]
    fn escaped_text(&mut self, start: usize, mut end: usize) -> Scanned<RawText<'a>> {
        loop {
            match self.bytes.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(RawText { bytes: &self.bytes[start..end], escaped: true });
                }
                Some(_) => {
                    let length = match self.bytes.get(end + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if hexadecimal(self.bytes, end + 2).is_some() => 6,
                        _ => {
                            self.at = end;
                            return self.error("no such escape in a text");
                        }
                    };
                    end = find_quote_or_backslash(self.bytes, end + length);
                }
                None => {
                    self.at = self.bytes.len();
                    return self.error("the text ends too early");
                }
            }
        }
    }

    /// A number; `at` stands on its first byte.
    #[inline]
    pub(crate) fn number(&mut self) -> Scanned<RawNumber<'a>> {
        let start = self.at;
        let mut at = start;
        let digit = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_digit);
        if self.bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let first = at;
        while digit(at) {
            at += 1;
        }
        let leading_zero = at > first + 1 && self.bytes[first] == b'0';
        let mut is_valid = at > first && !leading_zero;
        let mut is_integer = true;
        if self.bytes.get(at) == Some(&b'.') {
            is_integer = false;
            is_valid &= digit(at + 1);
            at += 1;
            while digit(at) {
                at += 1;
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            is_integer = false;
            at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(at) {
                at += 1;
            }
            is_valid &= digit(at);
            while digit(at) {
                at += 1;
            }
        }
        if !is_valid {
            return self.error("not a valid number");
        }
        self.at = at;
        Ok(RawNumber { text: &self.bytes[start..at], is_integer })
    }

    /// `true`, `false` or `null`; `at` stands on its first byte.
    #[inline]
    pub(crate) fn word(&mut self, word: &'static str) -> Scanned<()> {
        let end = self.at + word.len();
        let is_longer = self.bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) || is_longer {
            return self.error("expected a value");
        }
        self.at = end;
        Ok(())
    }

    /// Goes behind the next value, whatever it is.
    pub(crate) fn skip(&mut self) -> Scanned<()> {
        match self.peek() {
            b'"' => self.text().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'{' => {
                let mut next = self.enter(b'{', b'}')?;
                while next == Next::Element {
                    self.name()?;
                    self.skip()?;
                    next = self.next(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut next = self.enter(b'[', b']')?;
                while next == Next::Element {
                    self.skip()?;
                    next = self.next(b']')?;
                }
                Ok(())
            }
            _ => self.error("expected a value"),
        }
    }
}

/// The place of the next `"` or `\` from `at` on; the length when there is none.
#[inline]
fn find_quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    /// Beyond so many bytes the vector instructions are worth their call.
    const SHORT_BYTES: usize = 32;
    // Eight bytes at a time: a byte that equals the wanted one becomes zero by exclusive or, and
    // subtracting one from each byte then sets the top bit of the first zero byte.
    for _ in 0..SHORT_BYTES / 8 {
        let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else { break };
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & TOPS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.len() >= 16 {
        return memchr::memchr2(b'"', b'\\', rest).map_or(bytes.len(), |found| at + found);
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at.min(bytes.len())
}

/// The number that four hexadecimal digits at `at` stand for.
fn hexadecimal(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at.checked_add(4)?)?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | (*digit as char).to_digit(16)?))
}

/// Appends a text with its escapes resolved; a surrogate without its other half becomes `?`, as in Java.
pub(crate) fn unescape(raw: RawText<'_>, out: &mut Vec<u8>) {
    if !raw.escaped {
        out.extend_from_slice(raw.bytes);
        return;
    }
    let bytes = raw.bytes;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let escape = bytes.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        out.push(match escape {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = hexadecimal(bytes, at).unwrap_or(0xd800);
                at += 4;
                let mut code = unit;
                if (0xd800..0xdc00).contains(&unit)
                    && bytes.get(at..at + 2) == Some(b"\\u")
                    && let Some(low @ 0xdc00..0xe000) = hexadecimal(bytes, at + 2)
                {
                    code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
                let letter = char::from_u32(code).unwrap_or('?');
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
}
