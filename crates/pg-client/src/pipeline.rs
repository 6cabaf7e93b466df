//! Several statements in one round trip: they are gathered, sent together, and run up to the first error.
//!
//! The server takes what it is sent even where it answers with an error in the middle, and leaves out what follows up to
//! the end. Its answers are short, as it is told to send no notices: so neither side waits for the other to read.

use crate::message::{command_tag, row};
use crate::{Connection, WireError, Wired, broken};

/// What statements answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// What each statement that was run says of itself (`INSERT 0 3`).
    pub tags: Vec<String>,
    /// The rows of all statements.
    pub rows: Vec<Vec<Option<String>>>,
}

/// An error, and how many statements had been run before it.
#[derive(Debug)]
pub struct Stopped {
    pub statements: usize,
    pub error: WireError,
}

impl Connection {
    /// Prepares a statement; no name is that which the next one replaces.
    pub fn add_statement(&mut self, name: &str, sql: &str) {
        self.push(b'P', format!("{name}\0{sql}\0\0\0").as_bytes());
    }

    /// Runs a prepared statement.
    pub fn add_run(&mut self, name: &str, parameters: &[Option<&[u8]>]) {
        let bytes: usize = parameters.iter().map(|parameter| 4 + parameter.map_or(0, <[u8]>::len)).sum();
        self.push_head(b'B', name.len() + 8 + bytes);
        let request = self.request();
        request.push(0);
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(&[0, 0, 0]);
        request.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            let length = parameter.map_or(-1, |bytes| bytes.len() as i32);
            request.extend_from_slice(&length.to_be_bytes());
            request.extend_from_slice(parameter.unwrap_or_default());
        }
        request.extend_from_slice(&[0, 0]);
        self.push(b'E', b"\0\0\0\0\0");
    }

    /// Runs a statement without parameters.
    pub fn add(&mut self, sql: &str) {
        self.add_statement("", sql);
        self.add_run("", &[]);
    }

    /// Runs a COPY and gives it its rows.
    pub fn add_copy(&mut self, sql: &str, rows: &[u8]) {
        self.add(sql);
        self.push(b'd', rows);
        self.push(b'c', &[]);
    }

    /// Sends what was gathered, and waits for all answers.
    pub fn finish(&mut self) -> Result<Answers, Stopped> {
        let mut answers = Answers::default();
        let finished = self.push_and_wait(&mut answers);
        finished
            .map(|()| std::mem::take(&mut answers))
            .map_err(|error| Stopped { statements: answers.tags.len(), error })
    }

    fn push_and_wait(&mut self, answers: &mut Answers) -> Wired<()> {
        self.begin_call();
        self.push(b'S', &[]);
        self.send()?;
        self.until_ready(&mut |kind, body| {
            match kind {
                b'C' => answers.tags.push(command_tag(body)),
                b'D' => {
                    let values = row(body).ok_or_else(|| broken("a row cannot be read"))?;
                    answers.rows.push(values.into_iter().map(|value| value.map(str::to_string)).collect());
                }
                _ => {}
            }
            Ok(())
        })
    }
}
