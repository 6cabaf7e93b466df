//! What the server sends: rows, their columns, errors and notices.

use crate::WireError;
use base::ErrorKind;

/// A column of a statement's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// The number of its type in `pg_type`.
    pub oid: u32,
}

/// An error or a notice as the server says it; what it leaves out is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub severity: String,
    /// The SQLSTATE.
    pub state: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
}

impl Report {
    pub fn parse(body: &[u8]) -> Report {
        let mut rest = Rest(body);
        let mut report = Report::default();
        while let Some([field]) = rest.take(1) {
            let Some(text) = rest.text() else { break };
            match field {
                // The second one is never translated.
                b'S' if report.severity.is_empty() => report.severity = text.into(),
                b'V' => report.severity = text.into(),
                b'C' => report.state = text.into(),
                b'M' => report.message = text.into(),
                b'D' => report.detail = text.into(),
                b'H' => report.hint = text.into(),
                b'P' => report.position = text.parse().ok(),
                _ => {}
            }
        }
        report
    }
}

/// What is left of a message.
pub(crate) struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.take(end)?).ok()?;
        self.take(1)?;
        Some(text)
    }
}

pub fn described(body: &[u8]) -> Option<Vec<Described>> {
    let mut rest = Rest(body);
    let count = rest.i16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let name = rest.text()?.to_string();
        rest.take(6)?;
        let oid = rest.i32()? as u32;
        rest.take(8)?;
        columns.push(Described { name, oid });
    }
    Some(columns)
}

pub fn row(body: &[u8]) -> Option<Vec<Option<&str>>> {
    let mut rest = Rest(body);
    let count = rest.i16()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match usize::try_from(rest.i32()?) {
            Ok(length) => Some(std::str::from_utf8(rest.take(length)?).ok()?),
            Err(_) => None,
        });
    }
    Some(values)
}

/// What a statement says of itself when it is done.
pub fn command_tag(body: &[u8]) -> String {
    Rest(body).text().unwrap_or_default().to_string()
}

/// What the server says, with the kind that tells the caller what to do.
pub fn server_error(body: &[u8]) -> WireError {
    let Report { state, message, .. } = Report::parse(body);
    let kind = match (state.as_str(), state.get(..2)) {
        // We have sent what is no message.
        ("08P01", _) => ErrorKind::Internal,
        // Another transaction was first, or holds a lock.
        ("55P03", _) | (_, Some("40")) => ErrorKind::Retry,
        // A server that others have made read-only, say because another one is the first now.
        ("25006", _) => ErrorKind::Unavailable,
        // Connections, resources, objects in use, operators who intervene, the server's disks.
        ("55006", _) | (_, Some("08" | "53" | "57" | "58")) => ErrorKind::Unavailable,
        ("42P01" | "42703", _) | (_, Some("3D" | "3F")) => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    };
    WireError { kind, message: format!("{message} (SQLSTATE {state})"), state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_end_too_early_are_no_rows() {
        let whole = [0, 2, 0, 0, 0, 1, b'x', 255, 255, 255, 255];
        assert_eq!(row(&whole), Some(vec![Some("x"), None]));
        for length in 0..whole.len() {
            assert_eq!(row(&whole[..length]), None, "{length}");
        }
        assert_eq!(row(&[0, 1, 127, 255, 255, 255]), None);
        assert_eq!(described(&[127, 255]), None);
        let error = server_error(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.message, "the database system is starting up (SQLSTATE 57P03)");
        assert_eq!(server_error(b"C").message, " (SQLSTATE )");
        let report = Report::parse(b"SERREUR\0VERROR\0C42703\0Mno\0Hdo\0P8\0\0");
        assert_eq!(
            (report.severity.as_str(), report.hint.as_str(), report.position),
            ("ERROR", "do", Some(8))
        );
    }
}
