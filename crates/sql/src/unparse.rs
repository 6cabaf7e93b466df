//! The tree back to SQL: canonical text, for SHOW CREATE, for comparing trees, and for fingerprints.
//!
//! Names stand in back quotes, keywords and built-in functions in upper case, a clause of a query on its own line,
//! as Flink prints them. Parentheses stand only where the tree needs them. Parsing the text again gives a tree with
//! the same text; `tests/parser` holds that for everything that it parses.

mod data_type;
mod expression;
mod match_recognize;
mod query;
mod statement;
mod table_definition;

use crate::ast::{Hint, HintArguments, Identifier, ObjectName, OptionPair, Text};
use std::fmt::{self, Display, Formatter, Write};

/// A name in back quotes.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a string literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Display for Identifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.value))
    }
}

impl Display for ObjectName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        separated(f, &self.parts, ".")
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&literal(&self.value))
    }
}

impl Display for OptionPair {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.value.to_ascii_uppercase())?;
        match &self.arguments {
            HintArguments::None => Ok(()),
            HintArguments::Options(options) => write!(f, "({})", commas(options)),
            HintArguments::Names(names) => write!(f, "({})", commas(names)),
        }
    }
}

/// ` /*+ … */`, or nothing.
fn hints(f: &mut Formatter<'_>, hints: &[Hint]) -> fmt::Result {
    if hints.is_empty() { Ok(()) } else { write!(f, " /*+ {} */", commas(hints)) }
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Items with commas between them.
fn commas<T: Display>(items: &[T]) -> Commas<'_, T> {
    Commas(items)
}

struct Commas<'a, T>(&'a [T]);

impl<T: Display> Display for Commas<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        separated(f, self.0, ", ")
    }
}

/// ` COMMENT '…'`, or nothing.
fn comment(f: &mut Formatter<'_>, comment: &Option<Text>) -> fmt::Result {
    match comment {
        Some(text) => write!(f, " COMMENT {text}"),
        None => Ok(()),
    }
}

/// Words with a space before them where the condition holds.
fn word_if(f: &mut Formatter<'_>, condition: bool, words: &str) -> fmt::Result {
    if condition {
        f.write_char(' ')?;
        f.write_str(words)?;
    }
    Ok(())
}
