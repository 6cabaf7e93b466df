//! What a Redis says: values of its protocol in both versions, RESP2 and RESP3.
//!
//! An answer may be long and come in many pieces, so its end is looked for first, from where the last piece ended; what is
//! whole is then read. Maps of RESP3 become the flat lists of RESP2, so that nobody else has to tell them apart.
//!
//! The protocol is described at <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use crate::messages::{Done, EVENTS_BYTES_MAX, ServerError};

/// Errors and simple texts; a longer line is none.
const LINE_BYTES_MAX: usize = 64 << 10;
/// No answer to what we ask has more levels.
const DEPTH_MAX: usize = 16;
/// Values of one answer.
const VALUES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// Texts of all kinds, and numbers that are no integers.
    Text(Vec<u8>),
    Integer(i64),
    Error(String),
    List(Vec<Value>),
    /// What the server says without being asked.
    Push(Vec<Value>),
}

impl Value {
    pub(super) fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => u64::try_from(*number).ok(),
            other => other.text()?.parse().ok(),
        }
    }

    /// Of a flat list of names and values.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let (pairs, _) = self.list()?.as_chunks::<2>();
        pairs.iter().find(|[key, _]| key.text() == Some(name)).map(|[_, value]| value)
    }
}

/// How a value begins.
enum Head {
    Whole(Value),
    /// So many bytes follow, and a line end; texts of RESP3 with a kind have it in front.
    Text {
        length: usize,
        is_error: bool,
        has_kind: bool,
    },
    Values {
        count: u64,
        is_push: bool,
    },
}

/// The head at `at`, and where what follows begins.
fn head(bytes: &[u8], at: usize) -> Done<Option<(Head, usize)>> {
    let rest = &bytes[at.min(bytes.len())..];
    let searched = &rest[..rest.len().min(LINE_BYTES_MAX)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return match rest.len() {
            0..LINE_BYTES_MAX => Ok(None),
            _ => Err(ServerError::malformed(&format!("a line exceeds limit={LINE_BYTES_MAX}"))),
        };
    };
    let (kind, line) = match rest[..end].split_first() {
        Some((kind, line)) => (*kind, line),
        None => return Err(ServerError::malformed("an empty line")),
    };
    let wrong = || ServerError::malformed("a value is not understood");
    let integer =
        || std::str::from_utf8(line).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(wrong);
    // -1 is how RESP2 says that there is nothing.
    let count = || match integer()? {
        -1 => Ok(None),
        count => u64::try_from(count).map(Some).map_err(|_| wrong()),
    };
    let words = || String::from_utf8_lossy(line).into_owned();
    let head = match kind {
        b'+' | b',' | b'(' => Head::Whole(Value::Text(line.to_vec())),
        b'-' => Head::Whole(Value::Error(words())),
        b':' => Head::Whole(Value::Integer(integer()?)),
        b'_' => Head::Whole(Value::Null),
        b'#' => Head::Whole(Value::Integer(i64::from(line == b"t"))),
        b'$' | b'=' | b'!' => match count()? {
            None => Head::Whole(Value::Null),
            Some(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= EVENTS_BYTES_MAX);
                let length = length.ok_or_else(too_long)?;
                Head::Text { length, is_error: kind == b'!', has_kind: kind == b'=' }
            }
        },
        b'*' | b'~' | b'>' | b'%' => match count()? {
            None => Head::Whole(Value::Null),
            Some(count) if count > VALUES_MAX => return Err(too_long()),
            Some(count) => {
                let count = if kind == b'%' { count * 2 } else { count };
                Head::Values { count, is_push: kind == b'>' }
            }
        },
        _ => return Err(wrong()),
    };
    Ok(Some((head, at + end + 2)))
}

/// What an answer is that does not end within the limits.
fn too_long() -> ServerError {
    ServerError::unavailable(format!("an answer of the server exceeds limit={EVENTS_BYTES_MAX}"))
}

/// How far the end of an answer was looked for.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: usize,
    /// Values that are left on each level.
    open: Vec<u64>,
    values: u64,
}

impl Scan {
    /// Where the first answer of `bytes` ends, if it is there as a whole; `bytes` may only grow between calls.
    fn end(&mut self, bytes: &[u8]) -> Done<Option<usize>> {
        loop {
            let Some((head, behind)) = head(bytes, self.at)? else { return Ok(None) };
            let mut next = behind;
            match head {
                Head::Whole(_) => {}
                Head::Text { length, .. } => {
                    next = behind + length + 2;
                    if bytes.len() < next {
                        return if next > EVENTS_BYTES_MAX { Err(too_long()) } else { Ok(None) };
                    }
                    if &bytes[next - 2..next] != b"\r\n" {
                        return Err(ServerError::malformed("a text does not end where it says"));
                    }
                }
                Head::Values { count, .. } => {
                    self.values += count;
                    if self.values > VALUES_MAX || self.open.len() == DEPTH_MAX {
                        return Err(too_long());
                    }
                    // One more for the list itself, which ends with its last value.
                    self.open.push(count + 1);
                }
            }
            self.at = next;
            if next > EVENTS_BYTES_MAX {
                return Err(too_long());
            }
            while let Some(left) = self.open.last_mut() {
                *left -= 1;
                if *left > 0 {
                    break;
                }
                self.open.pop();
            }
            if self.open.is_empty() {
                return Ok(Some(self.at));
            }
        }
    }

    /// Takes the first answer, if it is whole.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) -> Done<Option<(Value, usize)>> {
        let Some(end) = self.end(bytes)? else { return Ok(None) };
        *self = Scan::default();
        let (value, _) = read(bytes, 0)?;
        bytes.drain(..end);
        Ok(Some((value, end)))
    }
}

/// A value that is there as a whole, and where it ends. Its depth was bounded when its end was looked for.
fn read(bytes: &[u8], at: usize) -> Done<(Value, usize)> {
    let whole = || ServerError::malformed("a value is not whole");
    let (head, behind) = head(bytes, at)?.ok_or_else(whole)?;
    match head {
        Head::Whole(value) => Ok((value, behind)),
        Head::Text { length, is_error, has_kind } => {
            let text = bytes.get(behind..behind + length).ok_or_else(whole)?;
            let value = match (is_error, has_kind) {
                (true, _) => Value::Error(String::from_utf8_lossy(text).into_owned()),
                // `txt:` or `mkd:`.
                (false, true) => Value::Text(text.get(4..).unwrap_or_default().to_vec()),
                (false, false) => Value::Text(text.to_vec()),
            };
            Ok((value, behind + length + 2))
        }
        Head::Values { count, is_push } => {
            let (mut values, mut next) = (Vec::new(), behind);
            for _ in 0..count {
                let (value, end) = read(bytes, next)?;
                values.push(value);
                next = end;
            }
            Ok((if is_push { Value::Push(values) } else { Value::List(values) }, next))
        }
    }
}

/// Puts a command on its way.
pub(super) fn put(out: &mut Vec<u8>, command: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(said: &[u8]) -> Done<Option<(Value, usize)>> {
        Scan::default().take(&mut said.to_vec())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn values_of_both_versions_are_read_when_they_are_whole() {
        let list = |values: &[Value]| Value::List(values.to_vec());
        let cases: &[(&[u8], Value)] = &[
            (b"+OK\r\n", text("OK")),
            (b"-WRONGTYPE no stream\r\n", Value::Error("WRONGTYPE no stream".into())),
            (b"!5\r\nERR x\r\n", Value::Error("ERR x".into())),
            (b":-7\r\n", Value::Integer(-7)),
            (b"$-1\r\n", Value::Null),
            (b"*-1\r\n", Value::Null),
            (b"_\r\n", Value::Null),
            (b"#t\r\n", Value::Integer(1)),
            (b",1.5\r\n", text("1.5")),
            (b"=7\r\ntxt:abc\r\n", text("abc")),
            (b"$4\r\na\r\nb\r\n", text("a\r\nb")),
            (b"*0\r\n", list(&[])),
            (b"%1\r\n+a\r\n*2\r\n:1\r\n*0\r\n", list(&[text("a"), list(&[Value::Integer(1), list(&[])])])),
            (b">1\r\n+x\r\n", Value::Push(vec![text("x")])),
        ];
        for (said, value) in cases {
            assert_eq!(taken(said).unwrap(), Some((value.clone(), said.len())), "{}", said.escape_ascii());
            let (mut scan, mut bytes) = (Scan::default(), Vec::new());
            for byte in *said {
                assert_eq!(scan.take(&mut bytes).unwrap(), None, "{}", said.escape_ascii());
                bytes.push(*byte);
            }
            assert_eq!(scan.take(&mut bytes).unwrap().map(|(value, _)| value).as_ref(), Some(value));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn what_no_server_says_is_an_error_before_anything_is_made_of_it() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        for said in [
            &b"$99999999999\r\n"[..],
            b"$-2\r\n",
            b"*99999999\r\n",
            b"%9223372036854775807\r\n",
            b"*1048576\r\n*1048576\r\n",
            b"$1\r\nabc",
            b":x\r\n",
            b"?1\r\n",
            b"\r\n",
            &[b'+'; LINE_BYTES_MAX],
            &deep,
        ] {
            let found = taken(said);
            assert!(found.is_err(), "{}: {found:?}", said[..said.len().min(40)].escape_ascii());
        }
    }

    #[test]
    fn a_command_is_its_words_with_their_lengths() {
        let mut out = Vec::new();
        put(&mut out, &[b"GET", b"a\r\nb"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }
}
