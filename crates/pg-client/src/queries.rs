//! The simple query protocol, and the flow of a replication slot: COPY in both directions.
//!
//! A connection that was opened with `replication=database` takes the commands of replication and SQL alike, one at a
//! time, by the simple protocol only.

use crate::message::{row, server_error};
use crate::{Connection, Wired, broken, wrong};
use std::time::Duration;

/// The rows that a command answered.
pub type TextRows = Vec<Vec<Option<String>>>;

impl Connection {
    /// Runs one command, or SQL, without parameters.
    pub fn query(&mut self, sql: &str) -> Wired<TextRows> {
        let mut rows = Vec::new();
        self.begin_rows(sql)?;
        self.until_ready(&mut |kind, body| {
            if kind == b'D' {
                let values = row(body).ok_or_else(|| broken("a row cannot be read"))?;
                rows.push(values.into_iter().map(|value| value.map(str::to_string)).collect());
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Begins a query whose rows are taken one by one; nothing else may be asked before all of them are.
    pub fn begin_rows(&mut self, sql: &str) -> Wired<()> {
        self.begin_call();
        self.push_query(sql)
    }

    /// Gives the next row to `each`; false when there are no more.
    pub fn next_row(&mut self, each: &mut dyn FnMut(&[Option<&str>])) -> Wired<bool> {
        loop {
            match self.receive()? {
                (b'D', body) => {
                    each(&row(&body).ok_or_else(|| broken("a row cannot be read"))?);
                    return Ok(true);
                }
                (b'E', body) => {
                    // A server that closes the connection has said why.
                    let _ = self.until_ready(&mut |_, _| Ok(()));
                    return Err(server_error(&body));
                }
                (b'Z', _) => return Ok(false),
                // Descriptions, notices.
                _ => {}
            }
        }
    }

    /// Begins a command that copies in both directions.
    pub fn begin_copy_both(&mut self, command: &str) -> Wired<()> {
        self.begin_call();
        self.push_query(command)?;
        loop {
            match self.receive()? {
                (b'W', _) => return Ok(()),
                (b'E', body) => {
                    let error = server_error(&body);
                    self.until_ready(&mut |_, _| Ok(()))?;
                    return Err(error);
                }
                (b'Z', _) => return Err(broken("the server does not begin to copy")),
                // Notices.
                _ => {}
            }
        }
    }

    /// What the server copies to us, after waiting for it for so long at most.
    pub fn copied(&mut self, wait: Duration) -> Wired<Option<Vec<u8>>> {
        loop {
            if !self.has_come(wait)? {
                return Ok(None);
            }
            self.begin_call();
            match self.receive()? {
                (b'd', body) => return Ok(Some(body)),
                (b'E', body) => return Err(server_error(&body)),
                (b'c' | b'C' | b'Z', _) => return Err(broken("the server has ended the replication")),
                _ => {}
            }
        }
    }

    /// Copies something to the server.
    pub fn copy(&mut self, body: &[u8]) -> Wired<()> {
        self.begin_call();
        self.push(b'd', body);
        self.send()
    }

    fn push_query(&mut self, sql: &str) -> Wired<()> {
        if sql.contains('\0') {
            return Err(wrong("a command holds a zero byte"));
        }
        self.push(b'Q', format!("{sql}\0").as_bytes());
        self.send()
    }
}

/// A text as SQL writes it.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'; DROP TABLE t"), "E'a\\\\''; DROP TABLE t'");
    }
}
