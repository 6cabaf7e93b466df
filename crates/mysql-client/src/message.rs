//! What the server sends: its greeting, columns, rows, ends of results, errors.

use crate::WireError;
use base::ErrorKind;

/// What the server can do, and we ask for.
pub(crate) mod capability {
    pub(crate) const LONG_PASSWORD: u32 = 1;
    /// Changed rows are those that were found, also where they are as before.
    pub(crate) const FOUND_ROWS: u32 = 1 << 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const SSL: u32 = 1 << 11;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const MULTI_STATEMENTS: u32 = 1 << 16;
    pub(crate) const MULTI_RESULTS: u32 = 1 << 17;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
}

/// A flag of the server's state: the answers to further statements follow.
const MORE_RESULTS: u16 = 8;

/// A column of a statement's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// The number of its type in the protocol.
    pub kind: u8,
}

/// The first thing that a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub version: String,
    pub capabilities: u32,
    /// What the password is mixed with.
    pub nonce: Vec<u8>,
    pub plugin: String,
}

/// The end of a statement without rows, or of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub affected: u64,
    pub has_more: bool,
}

/// What is left of a message.
pub struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|number| number as u16)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.number(4).map(|number| number as u32)
    }

    /// A number of up to eight bytes, the least first.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same, the greatest first.
    pub fn number_be(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number whose first byte says how long it is.
    pub fn length(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=0xfa => Some(small.into()),
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            _ => None,
        }
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length()?).ok()?;
        self.take(length)
    }

    /// Bytes up to a zero.
    pub fn until_zero(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let taken = self.take(end)?;
        self.take(1)?;
        Some(taken)
    }
}

pub(crate) fn greeting(body: &[u8]) -> Option<Greeting> {
    let mut rest = Rest(body);
    if rest.u8()? != 10 {
        return None;
    }
    let version = String::from_utf8_lossy(rest.until_zero()?).into_owned();
    rest.take(4)?;
    let mut nonce = rest.take(8)?.to_vec();
    rest.take(1)?;
    let low = rest.number(2)? as u32;
    rest.take(3)?;
    let capabilities = low | (rest.number(2)? as u32) << 16;
    let length = usize::from(rest.u8()?);
    rest.take(10)?;
    // The zero at its end is none of it.
    let second = rest.take(length.saturating_sub(8).max(13).min(rest.0.len()))?;
    nonce.extend_from_slice(second.strip_suffix(&[0]).unwrap_or(second));
    let plugin = rest.until_zero().unwrap_or(rest.0);
    Some(Greeting { version, capabilities, nonce, plugin: String::from_utf8_lossy(plugin).into_owned() })
}

pub(crate) fn described(body: &[u8]) -> Option<Described> {
    let mut rest = Rest(body);
    for _ in 0..4 {
        rest.bytes()?;
    }
    let name = String::from_utf8_lossy(rest.bytes()?).into_owned();
    rest.bytes()?;
    // The length of what follows, the collation, the width.
    rest.take(1 + 2 + 4)?;
    Some(Described { name, kind: rest.u8()? })
}

pub(crate) fn row(body: &[u8], columns: usize) -> Option<Vec<Option<&[u8]>>> {
    let mut rest = Rest(body);
    let mut values = Vec::new();
    for _ in 0..columns {
        values.push(match rest.0.first()? {
            0xfb => rest.u8().map(|_| None)?,
            _ => Some(rest.bytes()?),
        });
    }
    rest.is_empty().then_some(values)
}

/// What an OK packet says.
pub(crate) fn ok(body: &[u8]) -> Option<End> {
    let mut rest = Rest(body);
    rest.take(1)?;
    let affected = rest.length()?;
    rest.length()?;
    Some(End { affected, has_more: rest.u16()? & MORE_RESULTS != 0 })
}

/// What an EOF packet says; none where it is a row that begins alike.
pub(crate) fn eof(body: &[u8]) -> Option<End> {
    if body.first() != Some(&0xfe) || body.len() >= 9 {
        return None;
    }
    let state = body.get(3..5).map_or(0, |state| u16::from_le_bytes([state[0], state[1]]));
    Some(End { affected: 0, has_more: state & MORE_RESULTS != 0 })
}

/// What the server says in an error packet, with the kind that tells the caller what to do.
pub fn server_error(body: &[u8]) -> WireError {
    let mut rest = Rest(body.get(1..).unwrap_or_default());
    let code = rest.u16().unwrap_or_default();
    let state = match rest.0.strip_prefix(b"#").and_then(|state| state.split_at_checked(5)) {
        Some((state, message)) => {
            rest = Rest(message);
            String::from_utf8_lossy(state).into_owned()
        }
        None => String::new(),
    };
    let message = String::from_utf8_lossy(rest.0);
    let kind = match (code, state.get(..2)) {
        // Another transaction was first, or holds a lock, or has changed what a snapshot was to see.
        (1020 | 1205 | 1213 | 1412, _) | (_, Some("40")) => ErrorKind::Retry,
        // Connections, resources, servers that end or that others have made read-only, statements that operators end.
        (
            1021
            | 1037
            | 1040
            | 1041
            | 1053
            | 1077..=1079
            | 1114
            | 1129
            | 1203
            | 1226
            | 1290
            | 1317
            | 1836
            | 1927
            | 1969
            | 3024,
            _,
        )
        | (_, Some("08")) => ErrorKind::Unavailable,
        (1049 | 1051 | 1054 | 1146, _) => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    };
    let shown = if state.is_empty() { String::new() } else { format!(", SQLSTATE {state}") };
    WireError { kind, message: format!("{message} (error {code}{shown})"), code, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MariaDB 10.11 greets.
    pub(crate) fn greeted() -> Vec<u8> {
        let mut body = b"\x0a5.5.5-10.11.6-MariaDB\0".to_vec();
        body.extend(7u32.to_le_bytes());
        body.extend(b"abcdefgh\0");
        body.extend([0xfe, 0xf7, 45, 2, 0, 0xff, 0x81, 21]);
        body.extend([0; 10]);
        body.extend(b"ijklmnopqrst\0mysql_native_password\0");
        body
    }

    #[test]
    fn a_greeting_says_who_and_what() {
        let found = greeting(&greeted()).unwrap();
        assert_eq!(found.version, "5.5.5-10.11.6-MariaDB");
        assert_eq!(found.nonce, b"abcdefghijklmnopqrst");
        assert_eq!(found.plugin, "mysql_native_password");
        assert_eq!(found.capabilities, 0x81ff_f7fe);
        let whole = greeted();
        for length in 0..44 {
            assert_eq!(greeting(&whole[..length]), None, "{length}");
        }
        assert_eq!(greeting(b"\x09old\0"), None);
    }

    #[test]
    fn messages_that_end_too_early_are_no_rows() {
        let whole = [1, b'x', 0xfb, 0];
        assert_eq!(row(&whole, 3), Some(vec![Some(&b"x"[..]), None, Some(&b""[..])]));
        for length in 0..whole.len() {
            assert_eq!(row(&whole[..length], 3), None, "{length}");
        }
        assert_eq!(row(&whole, 2), None);
        assert_eq!(row(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1), None);
        assert_eq!(described(b"\x03def\0\0\0"), None);
        assert_eq!(ok(b"\0\x02\0\x0a\0\0\0"), Some(End { affected: 2, has_more: true }));
        assert_eq!(eof(b"\xfe\0\0\x02\0"), Some(End { affected: 0, has_more: false }));
        assert_eq!(eof(b"\xfe\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = server_error(b"\xff\x28\x04#42000You have an error");
        assert_eq!((error.kind, error.code, error.state.as_str()), (ErrorKind::Invalid, 1064, "42000"));
        assert_eq!(error.message, "You have an error (error 1064, SQLSTATE 42000)");
        assert!(!error.is_of_row());
        let early = server_error(b"\xff\x10\x04Too many connections");
        assert_eq!((early.kind, early.state.as_str()), (ErrorKind::Unavailable, ""));
        let lock = server_error(b"\xff\xb5\x04#HY000Lock wait timeout exceeded");
        assert_eq!((lock.code, lock.kind), (1205, ErrorKind::Retry));
        let value = server_error(b"\xff\x56\x05#22007Incorrect value");
        assert!(value.is_of_row() && !value.is_of_text());
        let letters = server_error(b"\xff\xf3\x04#HY000Illegal mix of collations");
        assert!(letters.code == 1267 && letters.is_of_row() && letters.is_of_text());
        let told = |code: u16| server_error(&[&[0xff], &code.to_le_bytes()[..], b"#HY000"].concat()).kind;
        assert_eq!([1020, 1412].map(told), [ErrorKind::Retry; 2]);
        assert_eq!(told(1969), ErrorKind::Unavailable);
        assert_eq!(server_error(b"\xff").message, " (error 0)");
    }
}
