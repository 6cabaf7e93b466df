//! Shows what comes of a statement in the form that was asked for.

use crate::records::{csv_line, json_line};
use crate::session::Event;
use crate::table::{Aligned, expanded};
use crate::told;
use pg_client::Described;
use std::io::{self, Write};

/// Rows that wait for one another, so that their columns are aligned.
const WAITING_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Table,
    Csv,
    Json,
}

/// How rows are shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub form: Form,
    pub is_expanded: bool,
}

/// Of one statement.
pub struct Printer<'a> {
    style: Style,
    statement: &'a str,
    /// A statement that only ends when it is cancelled; then that is no error.
    is_live: bool,
    title: Option<String>,
    out: &'a mut dyn Write,
    columns: Vec<Described>,
    aligned: Option<Aligned>,
    waiting: Vec<Vec<Option<String>>>,
    waiting_bytes: usize,
    rows: u64,
    pub has_failed: bool,
}

const QUERY_CANCELED: &str = "57014";

impl<'a> Printer<'a> {
    pub fn new(style: Style, statement: &'a str, is_live: bool, out: &'a mut dyn Write) -> Printer<'a> {
        Printer {
            style,
            statement,
            is_live,
            title: None,
            out,
            columns: Vec::new(),
            aligned: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            rows: 0,
            has_failed: false,
        }
    }

    pub fn titled(self, title: &str) -> Printer<'a> {
        Printer { title: Some(title.to_string()), ..self }
    }

    pub fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Columns(columns) => {
                if self.style.form == Form::Csv {
                    csv_line(columns.iter().map(|column| Some(column.name.as_str())), self.out)?;
                }
                self.aligned = Some(Aligned::new(&columns));
                self.columns = columns;
                self.rows = 0;
                Ok(())
            }
            Event::Row(row) => self.row(row),
            Event::Copied(bytes) => self.out.write_all(&bytes),
            Event::Due => {
                if !self.waiting.is_empty() {
                    self.show_waiting()?;
                }
                self.out.flush()
            }
            Event::Done(tag) => {
                if self.aligned.is_some() {
                    return self.end_of_rows();
                }
                // A copy's rows are all that a program wants to see of it.
                if self.style.form == Form::Table && !tag.is_empty() && !tag.starts_with("COPY") {
                    writeln!(self.out, "{tag}")?;
                }
                Ok(())
            }
            Event::Notice(report) => {
                eprintln!("{}", told::report(&report, self.statement));
                Ok(())
            }
            Event::Failed(report) => {
                if self.is_live && report.state == QUERY_CANCELED {
                    return if self.aligned.is_some() { self.end_of_rows() } else { Ok(()) };
                }
                if !self.waiting.is_empty() {
                    self.show_waiting()?;
                }
                self.out.flush()?;
                self.has_failed = true;
                eprintln!("{}", told::report(&report, self.statement));
                Ok(())
            }
        }
    }

    fn row(&mut self, row: Vec<Option<String>>) -> io::Result<()> {
        self.rows += 1;
        match self.style.form {
            Form::Csv => csv_line(row.iter().map(Option::as_deref), self.out),
            Form::Json => json_line(&self.columns, &row, self.out),
            Form::Table if self.style.is_expanded => expanded(&self.columns, &row, self.rows, self.out),
            Form::Table => {
                self.waiting_bytes += row.iter().flatten().map(String::len).sum::<usize>() + 32 * row.len();
                self.waiting.push(row);
                if self.waiting_bytes > WAITING_BYTES_MAX {
                    self.show_waiting()?;
                }
                Ok(())
            }
        }
    }

    fn show_waiting(&mut self) -> io::Result<()> {
        self.waiting_bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        let Some(aligned) = &mut self.aligned else { return Ok(()) };
        aligned.fit(&rows);
        if let Some(title) = self.title.take() {
            aligned.title(&title, self.out)?;
        }
        aligned.rows(&rows, self.out)
    }

    fn end_of_rows(&mut self) -> io::Result<()> {
        if self.style.form == Form::Table {
            let is_titled = self.title.is_some();
            if !self.style.is_expanded {
                self.show_waiting()?;
            }
            if !is_titled {
                match self.rows {
                    1 => writeln!(self.out, "(1 row)\n")?,
                    rows => writeln!(self.out, "({rows} rows)\n")?,
                }
            }
        }
        self.aligned = None;
        self.out.flush()
    }
}
