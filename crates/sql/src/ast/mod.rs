//! The syntax tree of Flink SQL: what was written, with a span on every node, nothing resolved.
//!
//! One file per area: `statement`, `table_definition`, `query`, `expression`, `data_type`; names, texts and
//! options, which all of them use, stand here. Identifiers keep their case. Nodes carry no equality: two trees
//! mean the same when their canonical texts (`to_string`, see `unparse`) are equal, wherever they stood.

pub mod data_type;
pub mod expression;
pub mod match_recognize;
pub mod query;
pub mod statement;
pub mod table_definition;

pub use data_type::*;
pub use expression::*;
pub use match_recognize::*;
pub use query::*;
pub use statement::*;
pub use table_definition::*;

use crate::span::Span;

/// A name, case-sensitive and never folded.
#[derive(Debug, Clone)]
pub struct Identifier {
    pub value: String,
    /// Whether it stood in back quotes.
    pub quoted: bool,
    pub span: Span,
}

/// A possibly qualified name: `table`, `database.table`, `catalog.database.table`; never empty.
#[derive(Debug, Clone)]
pub struct ObjectName {
    pub parts: Vec<Identifier>,
    pub span: Span,
}

impl ObjectName {
    /// The unqualified part.
    pub fn last(&self) -> &Identifier {
        self.parts.last().expect("an object name has at least one part")
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.value.as_str())
    }
}

/// A character string literal with its place: option keys and values, comments, patterns.
#[derive(Debug, Clone)]
pub struct Text {
    pub value: String,
    pub span: Span,
}

/// `'key' = 'value'` as in WITH, SET and hints.
#[derive(Debug, Clone)]
pub struct OptionPair {
    pub key: Text,
    pub value: Text,
}

impl OptionPair {
    pub fn span(&self) -> Span {
        self.key.span.to(self.value.span)
    }
}
