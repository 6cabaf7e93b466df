//! Reads YAML. A node is known by the column that it begins in: what is below a key stands further right, or is a list whose
//! dashes stand under the key.

use crate::DocumentError;
use serde_json::{Map, Number, Value};
use std::cell::Cell;

/// How deep collections may nest.
const DEPTH_MAX: usize = 64;

type Parsed<T> = Result<T, DocumentError>;

pub(super) fn document(text: &str) -> Parsed<Value> {
    let mut reader = Reader { text, at: 0, bounds: Cell::new((1, 0)) };
    reader.skip()?;
    if reader.is_marker("---") {
        reader.at += 3;
        reader.skip()?;
    }
    if reader.is_at_end() {
        return Ok(Value::Null);
    }
    let value = reader.node(-1, Place::Block, 0)?;
    reader.skip()?;
    if reader.is_marker("...") {
        reader.at += 3;
        reader.skip()?;
    }
    match reader.is_at_end() {
        true => Ok(value),
        false if reader.is_marker("---") => Err(reader.error("a file may hold one document only")),
        false => Err(reader.error("what stands here belongs to nothing: look at how far it is indented")),
    }
}

/// Where a node begins.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the beginning of a line, or behind a dash: it may be a collection.
    Block,
    /// Behind a key.
    Value,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the line that was asked for last begins and ends: lines may be long.
    bounds: Cell<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn error(&self, reason: impl Into<String>) -> DocumentError {
        let line = self.text.as_bytes()[..self.at].iter().filter(|byte| **byte == b'\n').count() + 1;
        DocumentError::Yaml { line, reason: reason.into() }
    }

    /// Where this line begins, and where its end stands.
    fn bounds(&self) -> (usize, usize) {
        let (start, end) = self.bounds.get();
        if (start..=end).contains(&self.at) {
            return (start, end);
        }
        let start = self.text[..self.at].rfind('\n').map_or(0, |end| end + 1);
        let end = self.rest().find('\n').map_or(self.text.len(), |length| self.at + length);
        self.bounds.set((start, end));
        (start, end)
    }

    fn line_start(&self) -> usize {
        self.bounds().0
    }

    fn column(&self) -> isize {
        (self.at - self.line_start()) as isize
    }

    /// The rest of this line, without its end.
    fn line(&self) -> &'a str {
        let line = &self.text[self.at..self.bounds().1];
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn next_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
    }

    /// Over spaces in this line.
    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// To what comes next, over spaces, line ends and comments.
    fn skip(&mut self) -> Parsed<()> {
        loop {
            let start = self.at;
            self.spaces();
            match self.peek() {
                Some('\n' | '\r') => self.next_line(),
                Some('#') => self.next_line(),
                Some(_) if self.text[start..self.at].contains('\t') && self.line_start() == start => {
                    return Err(self.error("a tab cannot indent: use spaces"));
                }
                _ => return Ok(()),
            }
        }
    }

    fn is_marker(&self, marker: &str) -> bool {
        self.column() == 0
            && self.line().strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    fn is_dash(&self) -> bool {
        self.line() == "-" || self.line().starts_with("- ")
    }

    /// A node that stands right of `parent`.
    fn node(&mut self, parent: isize, place: Place, depth: usize) -> Parsed<Value> {
        if depth >= DEPTH_MAX {
            return Err(self.error(format!("collections are nested more than {DEPTH_MAX} deep")));
        }
        let column = self.column();
        if place == Place::Block {
            if self.is_dash() {
                return self.list(column, depth);
            }
            if self.key_end()?.is_some() {
                return self.mapping(column, depth);
            }
        }
        let value = match self.peek() {
            Some('"' | '\'') => Value::String(self.quoted()?),
            Some('[' | '{') => self.flow(depth)?,
            Some('|' | '>') => return self.block_text(parent).map(Value::String),
            Some(first @ ('&' | '*' | '!' | '?' | '%' | '@' | '`')) => return Err(self.unread(first)),
            _ => return self.plain(parent),
        };
        self.spaces();
        match self.peek() {
            None | Some('\n' | '\r' | '#') => Ok(value),
            Some(_) => Err(self.error("nothing may follow a value in its line")),
        }
    }

    fn unread(&self, first: char) -> DocumentError {
        let what = match first {
            '&' | '*' => "anchors and aliases are",
            '!' => "tags are",
            '?' => "keys that are no text are",
            _ => "a text that begins so is",
        };
        self.error(format!(
            "{what} not read here ('{first}'): write the value out, in quotes where it is a text"
        ))
    }

    fn list(&mut self, column: isize, depth: usize) -> Parsed<Value> {
        let mut list = Vec::new();
        while !self.is_at_end() && self.column() == column && self.is_dash() {
            self.at += 1;
            self.skip()?;
            // On a line of its own it must stand right of the dash.
            let is_there = !self.is_at_end() && self.column() > column;
            list.push(if is_there { self.node(column, Place::Block, depth + 1)? } else { Value::Null });
            self.skip()?;
        }
        self.ends_at(column)?;
        Ok(Value::Array(list))
    }

    fn mapping(&mut self, column: isize, depth: usize) -> Parsed<Value> {
        let mut map = Map::new();
        while !self.is_at_end() && self.column() == column && !self.is_marker("---") && !self.is_marker("...")
        {
            if matches!(self.peek(), Some('&' | '*' | '!' | '?')) {
                return Err(self.unread(self.peek().unwrap_or_default()));
            }
            let Some(end) = self.key_end()? else {
                return Err(self.error("a key is missing its ':'"));
            };
            let key = match self.peek() {
                Some('"' | '\'') => self.quoted()?,
                _ => self.text[self.at..end].trim_end().to_string(),
            };
            if map.contains_key(&key) {
                return Err(self.error(format!("the key '{key}' stands here twice")));
            }
            self.at = end + 1;
            self.spaces();
            let value = match self.peek() {
                None | Some('\n' | '\r' | '#') => {
                    self.skip()?;
                    let below = if self.is_at_end() { -1 } else { self.column() };
                    if below > column {
                        self.node(column, Place::Block, depth + 1)?
                    } else if below == column && self.is_dash() {
                        self.list(column, depth + 1)?
                    } else {
                        Value::Null
                    }
                }
                Some(_) => self.node(column, Place::Value, depth + 1)?,
            };
            map.insert(key, value);
            self.skip()?;
        }
        self.ends_at(column)?;
        Ok(Value::Object(map))
    }

    /// What follows a collection stands left of it, or under it where it is a list below a key.
    fn ends_at(&self, column: isize) -> Parsed<()> {
        match !self.is_at_end() && self.column() > column {
            true => Err(self.error("this is indented further than what it stands beside")),
            false => Ok(()),
        }
    }

    /// Where the ':' of a key stands, if one begins here.
    fn key_end(&self) -> Parsed<Option<usize>> {
        let line = self.line();
        let from = match self.peek() {
            Some(quote @ ('"' | '\'')) => match closing_quote(line, quote) {
                Some(end) => end + 1,
                None => return Ok(None),
            },
            Some('[' | '{' | '|' | '>' | '#') => return Ok(None),
            _ => 0,
        };
        let is_quoted = from > 0;
        // What is behind it is a comment.
        let end = line[from..].find(" #").map_or(line.len(), |length| from + length);
        for (index, _) in line[from..end].match_indices(':') {
            let (before, after) = (&line[from..from + index], &line[from + index + 1..]);
            if is_quoted && !before.trim().is_empty() {
                return Ok(None);
            }
            if after.is_empty() || after.starts_with([' ', '\t']) {
                return Ok(Some(self.at + from + index));
            }
        }
        Ok(None)
    }

    /// A text without quotes, over as many lines as stand right of `parent`.
    fn plain(&mut self, parent: isize) -> Parsed<Value> {
        let mut text = plain_part(self.line()).trim_end().to_string();
        let mut is_commented = plain_part(self.line()).len() < self.line().len();
        if text.contains(": ") || text.ends_with(':') {
            return Err(self.error("a value with ': ' in it must stand in quotes"));
        }
        let mut is_one_line = true;
        let mut blank = 0;
        self.next_line();
        while !self.is_at_end() && !is_commented {
            let line = self.line();
            let trimmed = line.trim_start_matches(' ');
            if trimmed.is_empty() {
                blank += 1;
                self.next_line();
                continue;
            }
            let indent = (line.len() - trimmed.len()) as isize;
            if indent <= parent || trimmed.starts_with('#') || self.is_marker("---") || self.is_marker("...")
            {
                break;
            }
            let part = plain_part(trimmed);
            is_commented = part.len() < trimmed.len();
            let part = part.trim_end();
            if part.contains(": ") || part.ends_with(':') {
                return Err(
                    self.error("a key stands in the middle of a text: look at how far it is indented")
                );
            }
            match blank {
                0 => text.push(' '),
                count => text.extend(std::iter::repeat_n('\n', count)),
            }
            text.push_str(part);
            (blank, is_one_line) = (0, false);
            self.next_line();
        }
        Ok(if is_one_line { word(&text) } else { Value::String(text) })
    }

    /// A text in quotes, over several lines where it is so written.
    fn quoted(&mut self) -> Parsed<String> {
        let quote = self.peek().unwrap_or_default();
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(character) = self.peek() else {
                return Err(self.error("a text in quotes does not end"));
            };
            self.at += character.len_utf8();
            match character {
                '\'' if quote == '\'' && self.peek() == Some('\'') => {
                    text.push('\'');
                    self.at += 1;
                }
                character if character == quote => return Ok(text),
                '\\' if quote == '"' => text.extend(self.escape()?),
                '\n' => {
                    // A line end is a space, and further ones are line ends.
                    let kept = text.trim_end_matches([' ', '\t', '\r']).len();
                    text.truncate(kept);
                    let mut blank = 0;
                    loop {
                        self.spaces();
                        match self.rest().strip_prefix('\r').unwrap_or(self.rest()).starts_with('\n') {
                            true => {
                                self.next_line();
                                blank += 1;
                            }
                            false => break,
                        }
                    }
                    match blank {
                        0 => text.push(' '),
                        count => text.extend(std::iter::repeat_n('\n', count)),
                    }
                }
                character => text.push(character),
            }
        }
    }

    /// The character that an escape stands for; none where the line goes on in the next one.
    fn escape(&mut self) -> Parsed<Option<char>> {
        let Some(character) = self.peek() else { return Err(self.error("a text in quotes does not end")) };
        self.at += character.len_utf8();
        let digits = match character {
            '0' => return Ok(Some('\0')),
            'a' => return Ok(Some('\u{7}')),
            'b' => return Ok(Some('\u{8}')),
            't' | '\t' => return Ok(Some('\t')),
            'n' => return Ok(Some('\n')),
            'v' => return Ok(Some('\u{b}')),
            'f' => return Ok(Some('\u{c}')),
            'r' => return Ok(Some('\r')),
            'e' => return Ok(Some('\u{1b}')),
            ' ' | '"' | '/' | '\\' => return Ok(Some(character)),
            'N' => return Ok(Some('\u{85}')),
            '_' => return Ok(Some('\u{a0}')),
            'L' => return Ok(Some('\u{2028}')),
            'P' => return Ok(Some('\u{2029}')),
            '\n' => {
                self.spaces();
                return Ok(None);
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(self.error(format!("'\\{character}' means nothing in a text in quotes"))),
        };
        let mut code = self.hex(digits)?;
        // Two halves of one character, as JSON writes them.
        if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hex(4)?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.error("half a character stands alone"));
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        match char::from_u32(code) {
            Some(character) => Ok(Some(character)),
            None => Err(self.error("half a character stands alone, or there is no such")),
        }
    }

    fn hex(&mut self, digits: usize) -> Parsed<u32> {
        let number =
            self.rest().get(..digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = number.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.error(format!("{digits} hexadecimal digits must follow")));
        };
        self.at += digits;
        Ok(code)
    }

    /// A literal (`|`) or folded (`>`) text.
    fn block_text(&mut self, parent: isize) -> Parsed<String> {
        let header = plain_part(self.line()).trim_end();
        let is_folded = header.starts_with('>');
        let (mut given, mut chomping) = (None, ' ');
        for sign in header[1..].chars() {
            match sign {
                '-' | '+' => chomping = sign,
                '1'..='9' => given = sign.to_digit(10),
                _ => return Err(self.error(format!("'{header}' begins no text"))),
            }
        }
        self.next_line();
        let least = (parent + 1).max(0) as usize;
        let mut indent = given.map(|given| parent.max(0) as usize + given as usize);
        let mut lines: Vec<&str> = Vec::new();
        while !self.is_at_end() {
            let line = self.line();
            let spaces = line.len() - line.trim_start_matches(' ').len();
            let is_blank = spaces == line.len();
            if !is_blank && spaces < *indent.get_or_insert(spaces.max(least)) {
                break;
            }
            let from = indent.unwrap_or(spaces).min(spaces);
            lines.push(&line[from..]);
            self.next_line();
        }
        let kept = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        let trailing = lines.len() - kept;
        let mut text = match is_folded {
            true => folded(&lines[..kept]),
            false => lines[..kept].join("\n"),
        };
        match chomping {
            '-' => {}
            '+' => text.extend(std::iter::repeat_n('\n', trailing + usize::from(kept > 0))),
            _ if kept > 0 => text.push('\n'),
            _ => {}
        }
        Ok(text)
    }

    /// A collection in brackets.
    fn flow(&mut self, depth: usize) -> Parsed<Value> {
        if depth >= DEPTH_MAX {
            return Err(self.error(format!("collections are nested more than {DEPTH_MAX} deep")));
        }
        let is_list = self.peek() == Some('[');
        let close = if is_list { ']' } else { '}' };
        self.at += 1;
        let (mut list, mut map) = (Vec::new(), Map::new());
        loop {
            self.skip()?;
            match self.peek() {
                None => return Err(self.error(format!("a '{close}' is missing"))),
                Some(next) if next == close => {
                    self.at += 1;
                    return Ok(if is_list { Value::Array(list) } else { Value::Object(map) });
                }
                _ => {}
            }
            let value = self.flow_value(depth)?;
            self.skip()?;
            if is_list {
                list.push(value);
            } else {
                let key = match value {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                let value = match self.peek() {
                    Some(':') => {
                        self.at += 1;
                        self.skip()?;
                        match self.peek() {
                            Some(',' | '}') => Value::Null,
                            _ => self.flow_value(depth)?,
                        }
                    }
                    _ => Value::Null,
                };
                if map.insert(key.clone(), value).is_some() {
                    return Err(self.error(format!("the key '{key}' stands here twice")));
                }
                self.skip()?;
            }
            match self.peek() {
                Some(',') => self.at += 1,
                Some(next) if next == close => {}
                _ => return Err(self.error(format!("a ',' or '{close}' is missing"))),
            }
        }
    }

    fn flow_value(&mut self, depth: usize) -> Parsed<Value> {
        match self.peek() {
            Some('[' | '{') => self.flow(depth + 1),
            Some('"' | '\'') => self.quoted().map(Value::String),
            Some(first @ ('&' | '*' | '!' | '?' | '|' | '>' | '%' | '@' | '`')) => Err(self.unread(first)),
            _ => {
                let rest = self.rest();
                let end = |(index, sign): (usize, char)| match sign {
                    ',' | '[' | ']' | '{' | '}' | '\n' => true,
                    ':' => rest[index + 1..].starts_with([' ', ',', ']', '}', '\n', '\r']),
                    '#' => rest[..index].ends_with([' ', '\t']),
                    _ => false,
                };
                let length =
                    rest.char_indices().find(|found| end(*found)).map_or(rest.len(), |(index, _)| index);
                if rest[..length].trim_end().is_empty() {
                    return Err(self.error("a value is missing"));
                }
                self.at += length;
                Ok(word(rest[..length].trim_end()))
            }
        }
    }
}

/// A line up to its comment.
fn plain_part(line: &str) -> &str {
    let comment = line.find(" #").into_iter().chain(line.find("\t#")).min();
    &line[..comment.unwrap_or(line.len())]
}

/// Where the quote that opens a line is closed in it.
fn closing_quote(line: &str, quote: char) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == '"' => at += 1,
            b'\'' if quote == '\'' && bytes.get(at + 1) == Some(&b'\'') => at += 1,
            byte if char::from(byte) == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Lines that go on become one; those that are indented further, and empty ones, stay.
fn folded(lines: &[&str]) -> String {
    let mut text = String::new();
    let is_more = |line: &str| line.starts_with([' ', '\t']);
    let mut last: Option<&str> = None;
    let mut blank = 0;
    for &line in lines {
        if line.is_empty() {
            blank += 1;
            continue;
        }
        match last {
            None => text.extend(std::iter::repeat_n('\n', blank)),
            Some(last) if is_more(last) || is_more(line) => text.extend(std::iter::repeat_n('\n', blank + 1)),
            Some(_) if blank == 0 => text.push(' '),
            Some(_) => text.extend(std::iter::repeat_n('\n', blank)),
        }
        text.push_str(line);
        (last, blank) = (Some(line), 0);
    }
    text
}

/// A word without quotes: null, a boolean, a number, or a text.
fn word(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = text.parse::<u64>() {
            return number.into();
        }
    }
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let number = Some(text).filter(|_| is_number).and_then(|text| text.parse::<f64>().ok());
    number.and_then(Number::from_f64).map_or_else(|| Value::String(text.to_string()), Value::Number)
}
