//! A shell for SQL over PostgreSQL's protocol, in psql's manner: statements from arguments, files, a pipe or a person.
//!
//! `splitter` finds the statements, `session` runs them, `printer` shows what comes of them. `editor` is the line that is
//! typed, without a terminal; `terminal` has it. `shell` holds them together.

mod catalog;
mod command;
mod complete;
mod editor;
mod history;
mod printer;
mod records;
mod session;
mod shell;
mod splitter;
mod table;
mod terminal;
mod terminal_text;
mod told;

pub use pg_client::{Address, OptionNames};
pub use printer::{Form, Style};
pub use session::{Failure, Interrupts};
pub use shell::{Options, Source, run};
