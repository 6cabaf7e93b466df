//! What a client's text asks for, before anything is planned.
//!
//! A query is left as it stands; everything else is read here, word by word: it is what DataFusion does not know (cursors,
//! COPY, settings, WAIT FOR, SUBSCRIBE) or must not do (anything that writes).

mod lexer;
mod parser;

pub use lexer::{operators, split};
pub use parser::{milliseconds, parse};

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Empty,
    /// SELECT, VALUES, TABLE or EXPLAIN, as its text.
    Query(String),
    Set {
        name: String,
        value: Option<String>,
        is_local: bool,
    },
    Show(String),
    ShowAll,
    Reset(Option<String>),
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE, ROLLBACK TO: the tag that completes it.
    Savepoint(&'static str),
    Declare {
        name: String,
        hold: bool,
        source: Source,
    },
    Fetch {
        name: String,
        count: FetchCount,
        is_move: bool,
    },
    Close(Option<String>),
    Copy {
        source: Source,
        options: CopyOptions,
    },
    Subscribe(Subscribe),
    WaitForLsn {
        lsn: String,
        timeout_ms: Option<u64>,
        is_error: bool,
    },
    Discard,
    Deallocate(Option<String>),
    /// What changes nothing here: the tag that completes it.
    Nothing(&'static str),
}

/// Where the rows of a cursor or a copy come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Query(String),
    Subscribe(Subscribe),
}

/// `SUBSCRIBE [TO] view [WITH (SNAPSHOT [= bool], PROGRESS [= bool])]`
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// One name or two, as they are after the case of letters was folded.
    pub relation: Vec<String>,
    /// The rows that are there at the beginning come first.
    pub snapshot: bool,
    /// A row tells of each step, also of one that changed nothing.
    pub progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchCount {
    Rows(u64),
    All,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub header: bool,
    pub delimiter: u8,
    pub null: String,
    pub quote: u8,
    pub escape: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}
