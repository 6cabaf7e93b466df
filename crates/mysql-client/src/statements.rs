//! Statements as text, one or several in one round trip, and their answers.
//!
//! Where several are sent, the server runs them one after the other and ends at the first that fails.

use crate::message::{End, described, eof, ok, row, server_error};
use crate::{Connection, Described, WireError, Wired, broken, wrong};

const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;

/// What one statement answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<Described>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// Rows that were found to be changed.
    pub affected: u64,
}

impl Answer {
    /// A value as a text; none where it is NULL, or not there.
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        std::str::from_utf8(self.rows.get(row)?.get(column)?.as_deref()?).ok()
    }
}

/// Where several statements were sent: how many were run before the one that failed, and why it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    pub statements: usize,
    pub error: WireError,
}

/// Gets the number of the statement, and a row of it.
type Each<'a> = &'a mut dyn FnMut(usize, &[Option<&[u8]>]) -> Result<(), String>;

/// Gets the number of the statement, its columns, and how many rows it changed.
type Done<'a> = &'a mut dyn FnMut(usize, Vec<Described>, u64);

/// Is given the values of each row.
type EachRow<'a> = dyn FnMut(&[Option<&[u8]>]) + 'a;

impl Connection {
    /// Runs one statement.
    pub fn query(&mut self, sql: &str) -> Wired<Answer> {
        let mut answers = self.run(sql.as_bytes()).map_err(|stopped| stopped.error)?;
        match answers.len() {
            1 => Ok(answers.remove(0)),
            count => Err(broken(format!("the server gave {count} answers to one statement"))),
        }
    }

    /// Runs statements that semicolons part.
    pub fn run(&mut self, sql: &[u8]) -> Result<Vec<Answer>, Stopped> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut rows = Vec::new();
        self.run_each(sql, &mut |statement, values| {
            let values = values.iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>();
            rows.push((statement, values));
            Ok(())
        })
        .map(|ends| {
            answers.extend(ends.into_iter().map(|(columns, affected)| Answer {
                columns,
                rows: Vec::new(),
                affected,
            }));
        })?;
        for (statement, values) in rows {
            if let Some(answer) = answers.get_mut(statement) {
                answer.rows.push(values);
            }
        }
        Ok(answers)
    }

    /// The same, with a look at each row as it comes; answers the columns and changed rows of each statement.
    pub fn run_each(&mut self, sql: &[u8], each: Each<'_>) -> Result<Vec<(Vec<Described>, u64)>, Stopped> {
        let mut ends = Vec::new();
        let sent = self.command(QUERY, sql);
        let read = sent
            .and_then(|()| self.answers(each, &mut |_, columns, affected| ends.push((columns, affected))));
        match read {
            Ok(()) => Ok(ends),
            Err(error) => Err(Stopped { statements: ends.len(), error }),
        }
    }

    /// Asks whether the server is still there.
    pub fn ping(&mut self) -> Wired<()> {
        self.command(PING, &[])?;
        let body = self.receive()?;
        match body.first() {
            Some(0) => Ok(()),
            _ => Err(server_error(&body)),
        }
    }

    fn answers(&mut self, each: Each<'_>, done: Done<'_>) -> Wired<()> {
        // What is wrong with a row is said when all has been read, so that the connection is of use.
        let mut result = Ok(());
        for statement in 0.. {
            let body = self.receive()?;
            let (columns, end) = match body.first() {
                Some(0) => {
                    let end = ok(&body).ok_or_else(|| self.unreadable("an answer"))?;
                    (Vec::new(), end)
                }
                Some(0xff) => return result.and(Err(server_error(&body))),
                // It asks for a file of ours.
                None | Some(0xfb) => return Err(self.unreadable("an answer")),
                Some(_) => {
                    let columns = self.columns(&body)?;
                    let mut each = |values: &[Option<&[u8]>]| {
                        if result.is_ok() {
                            result = each(statement, values).map_err(wrong);
                        }
                    };
                    let end = self.rows(columns.len(), &mut each)?;
                    (columns, end)
                }
            };
            done(statement, columns, end.affected);
            if !end.has_more {
                break;
            }
        }
        result
    }

    fn columns(&mut self, body: &[u8]) -> Wired<Vec<Described>> {
        let count = crate::Rest(body).length().and_then(|count| u16::try_from(count).ok());
        let count = count.ok_or_else(|| self.unreadable("a number of columns"))?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let body = self.receive()?;
            columns.push(described(&body).ok_or_else(|| self.unreadable("a column"))?);
        }
        let body = self.receive()?;
        eof(&body).ok_or_else(|| self.unreadable("the end of the columns"))?;
        Ok(columns)
    }

    fn rows(&mut self, columns: usize, each: &mut EachRow<'_>) -> Wired<End> {
        loop {
            let body = self.receive()?;
            if let Some(end) = eof(&body) {
                return Ok(end);
            }
            if body.first() == Some(&0xff) {
                return Err(server_error(&body));
            }
            match row(&body, columns) {
                Some(values) => each(&values),
                None => return Err(self.unreadable("a row")),
            }
        }
    }
}

/// A text as SQL writes it, where a backslash is no more than one, which every session of ours is told.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL has it, whatever letters it holds.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
