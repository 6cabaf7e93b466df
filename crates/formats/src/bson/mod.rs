//! BSON, MongoDB's binary JSON: values, their bytes, their text, and rows of them.
//!
//! Bytes come from outside: every length is looked at before anything is kept for it, and documents lie in one another no
//! deeper than [`DEPTH_MAX`], so that no answer of a server can exhaust the stack. Rows are made and read as Flink's MongoDB
//! connector makes and reads them.

mod columns;
mod decimal;
mod read;
mod rows;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub use columns::BsonColumns;
pub use decimal::Decimal128;
pub use read::BsonError;
pub use rows::{bson_document, bson_problem, bson_value};

/// Servers keep documents that are a hundred levels deep; what they say of them adds a few.
pub(crate) const DEPTH_MAX: usize = 200;
/// Values of one message. A value takes two bytes of it at least, and fifty and more in memory; servers answer no more than 16 MB,
/// in which no collection of any use has so many.
pub(crate) const VALUES_MAX: usize = 4 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Bson {
    Double(f64),
    String(String),
    Document(Document),
    Array(Vec<Bson>),
    Binary {
        subtype: u8,
        bytes: Vec<u8>,
    },
    Undefined,
    ObjectId([u8; 12]),
    Boolean(bool),
    /// Milliseconds since 1970, in UTC.
    DateTime(i64),
    Null,
    Regex {
        pattern: String,
        options: String,
    },
    DbPointer {
        namespace: String,
        id: [u8; 12],
    },
    JavaScript(String),
    Symbol(String),
    JavaScriptWithScope {
        code: String,
        scope: Document,
    },
    Int32(i32),
    /// A moment of the server's log: seconds since 1970, and a number within the second.
    Timestamp {
        seconds: u32,
        increment: u32,
    },
    Int64(i64),
    Decimal128(Decimal128),
    MinKey,
    MaxKey,
}

/// Fields in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document(pub Vec<(String, Bson)>);

impl Document {
    pub fn new() -> Document {
        Document::default()
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Bson>) -> Document {
        self.push(name, value);
        self
    }

    pub fn push(&mut self, name: &str, value: impl Into<Bson>) {
        self.0.push((name.to_string(), value.into()));
    }

    /// The first field of a name.
    pub fn get(&self, name: &str) -> Option<&Bson> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn document(&self, name: &str) -> Option<&Document> {
        match self.get(name) {
            Some(Bson::Document(document)) => Some(document),
            _ => None,
        }
    }

    pub fn array(&self, name: &str) -> Option<&[Bson]> {
        match self.get(name) {
            Some(Bson::Array(items)) => Some(items),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Bson::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A number without a fraction, of whatever type.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Bson::Int32(number)) => Some((*number).into()),
            Some(Bson::Int64(number)) => Some(*number),
            Some(Bson::Double(number)) if number.fract() == 0.0 => Some(*number as i64),
            _ => None,
        }
    }

    /// Whether a field says so: `true`, or a number that is not 0.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Bson::Boolean(true)) || self.number(name).is_some_and(|number| number != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! from {
    ($type:ty, $variant:ident) => {
        impl From<$type> for Bson {
            fn from(value: $type) -> Bson {
                Bson::$variant(value.into())
            }
        }
    };
}

from!(f64, Double);
from!(&str, String);
from!(String, String);
from!(Document, Document);
from!(Vec<Bson>, Array);
from!(bool, Boolean);
from!(i32, Int32);
from!(i64, Int64);
