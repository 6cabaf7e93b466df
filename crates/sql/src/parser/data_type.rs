//! Types, with their defaults filled in and their bounds checked.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

/// The names of the built-in types, for spelling hints and for telling a column from a clause.
const TYPE_WORDS: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BITMAP",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "CHARACTER",
    "DATE",
    "DEC",
    "DECIMAL",
    "DESCRIPTOR",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "NULL",
    "NUMERIC",
    "RAW",
    "REAL",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
    "VARIANT",
];

/// Names of types in other databases, and what to write here.
const FOREIGN_TYPES: &[(&str, &str)] = &[
    ("BOOL", "BOOLEAN"),
    ("BIGSERIAL", "BIGINT"),
    ("BYTEA", "BYTES"),
    ("BLOB", "BYTES"),
    ("CLOB", "STRING"),
    ("DATETIME", "TIMESTAMP(3)"),
    ("FLOAT4", "FLOAT"),
    ("FLOAT8", "DOUBLE"),
    ("INT2", "SMALLINT"),
    ("INT4", "INT"),
    ("INT8", "BIGINT"),
    ("INT32", "INT"),
    ("INT64", "BIGINT"),
    ("JSON", "STRING"),
    ("JSONB", "STRING"),
    ("LIST", "ARRAY"),
    ("LONG", "BIGINT"),
    ("LONGTEXT", "STRING"),
    ("MEDIUMINT", "INT"),
    ("MONEY", "DECIMAL(19, 4)"),
    ("NUMBER", "DECIMAL"),
    ("NVARCHAR", "STRING"),
    ("SERIAL", "INT"),
    ("STRUCT", "ROW"),
    ("TEXT", "STRING"),
    ("TIMESTAMPTZ", "TIMESTAMP_LTZ(3)"),
    ("UUID", "STRING"),
];

pub(super) fn is_type_word(upper: &str) -> bool {
    TYPE_WORDS.binary_search(&upper).is_ok()
}

impl Parser<'_> {
    /// A type with its nullability: `INT NOT NULL`, `ARRAY<INT>`, `INT ARRAY`.
    pub(super) fn data_type(&mut self) -> Parsed<DataType> {
        self.nested(|parser| {
            let start = parser.span();
            let kind = parser.type_kind()?;
            let mut data_type = parser.with_nullability(kind, start)?;
            let mut length = 0;
            while parser.is_word("ARRAY") || parser.is_word("MULTISET") {
                length += 1;
                parser.check_chain(length * 4)?;
                let element = Box::new(data_type);
                let kind = match parser.take_word("ARRAY") {
                    true => DataTypeKind::Array(element),
                    false => {
                        parser.advance();
                        DataTypeKind::Multiset(element)
                    }
                };
                data_type = parser.with_nullability(kind, start)?;
            }
            Ok(data_type)
        })
    }

    fn with_nullability(&mut self, kind: DataTypeKind, start: Span) -> Parsed<DataType> {
        let nullable = !self.take_words(&["NOT", "NULL"]);
        // Behind RETURNING it may be that of NULL ON EMPTY.
        if nullable && self.is_words(&["NULL"]) && !self.is_word_at(1, "ON") {
            self.advance();
        }
        Ok(DataType { kind, nullable, span: self.since(start) })
    }

    fn type_kind(&mut self) -> Parsed<DataTypeKind> {
        let Some(word) = self.upper_word() else {
            if self.is(TokenKind::QuotedWord) {
                return self.table_name("a type").map(DataTypeKind::Named);
            }
            return Err(self.expected("a type"));
        };
        if !is_type_word(&word) {
            return self.other_type(&word);
        }
        let span = self.span();
        self.advance();
        Ok(match word.as_str() {
            "BOOLEAN" => DataTypeKind::Boolean,
            "TINYINT" => DataTypeKind::TinyInt,
            "SMALLINT" => DataTypeKind::SmallInt,
            "INT" | "INTEGER" => DataTypeKind::Int,
            "BIGINT" => DataTypeKind::BigInt,
            "FLOAT" | "REAL" => DataTypeKind::Float,
            "DOUBLE" => {
                self.take_word("PRECISION");
                DataTypeKind::Double
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "CHAR" | "CHARACTER" => match self.take_word("VARYING") {
                true => DataTypeKind::VarChar { length: self.length(LENGTH_MAX)? },
                false => DataTypeKind::Char { length: self.length(1)? },
            },
            "VARCHAR" => DataTypeKind::VarChar { length: self.length(LENGTH_MAX)? },
            "STRING" => DataTypeKind::VarChar { length: LENGTH_MAX },
            "BINARY" => match self.take_word("VARYING") {
                true => DataTypeKind::VarBinary { length: self.length(LENGTH_MAX)? },
                false => DataTypeKind::Binary { length: self.length(1)? },
            },
            "VARBINARY" => DataTypeKind::VarBinary { length: self.length(LENGTH_MAX)? },
            "BYTES" => DataTypeKind::VarBinary { length: LENGTH_MAX },
            "DATE" => DataTypeKind::Date,
            "TIME" => self.time()?,
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => DataTypeKind::TimestampLtz { precision: self.time_precision(6)? },
            "INTERVAL" => self.interval_type()?,
            "ARRAY" => DataTypeKind::Array(Box::new(self.element_type("ARRAY")?)),
            "MULTISET" => DataTypeKind::Multiset(Box::new(self.element_type("MULTISET")?)),
            "MAP" => self.map_type()?,
            "ROW" => self.row_type()?,
            "RAW" => self.raw_type()?,
            "VARIANT" => DataTypeKind::Variant,
            "BITMAP" => DataTypeKind::Bitmap,
            "DESCRIPTOR" => DataTypeKind::Descriptor,
            "NULL" => DataTypeKind::Null,
            _ => return Err(Box::new(Diagnostic::syntax(span, format!("`{word}` is not a type")))),
        })
    }

    /// A word that is no built-in type: a structured type's name, or a slip.
    fn other_type(&mut self, word: &str) -> Parsed<DataTypeKind> {
        let span = self.span();
        let text = self.token_text(self.token(0)).to_string();
        if let Some((_, ours)) = FOREIGN_TYPES.iter().find(|(foreign, _)| *foreign == word) {
            return Err(Box::new(
                Diagnostic::syntax(span, format!("`{text}` is not a type of Flink SQL"))
                    .with_hint(format!("write {ours}")),
            ));
        }
        if !self.is_name() {
            return Err(self.expected("a type"));
        }
        if let Some(near) = base::nearest(word, TYPE_WORDS.iter().copied())
            && self.kind(1) != TokenKind::Dot
        {
            return Err(Box::new(
                Diagnostic::syntax(span, format!("`{text}` is not a type"))
                    .with_hint(format!("did you mean {near}?")),
            ));
        }
        self.table_name("a type").map(DataTypeKind::Named)
    }

    fn decimal(&mut self) -> Parsed<DataTypeKind> {
        let (mut precision, mut scale) = (10, 0);
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            precision = self.precision(1, 38, "a precision from 1 to 38")?;
            if self.take(TokenKind::Comma) {
                let what = format!("a scale from 0 to the precision, {precision}");
                scale = self.precision(0, precision.into(), &what)?;
            }
            self.close(open)?;
        }
        Ok(DataTypeKind::Decimal { precision, scale })
    }

    /// `(n)`, or the default.
    fn length(&mut self, default: u32) -> Parsed<u32> {
        if !self.is(TokenKind::LeftParen) {
            return Ok(default);
        }
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let span = self.span();
        let what = format!("a length from 1 to {LENGTH_MAX}");
        let length = self.whole_number(&what)?;
        if length == 0 || length > LENGTH_MAX {
            return Err(Box::new(Diagnostic::invalid(span, format!("expected {what}, found {length}"))));
        }
        self.close(open)?;
        Ok(length)
    }

    fn time_precision(&mut self, default: u8) -> Parsed<u8> {
        if !self.is(TokenKind::LeftParen) {
            return Ok(default);
        }
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let precision = self.precision(0, 9, "a precision from 0 to 9")?;
        self.close(open)?;
        Ok(precision)
    }

    fn time(&mut self) -> Parsed<DataTypeKind> {
        let precision = self.time_precision(0)?;
        self.take_words(&["WITHOUT", "TIME", "ZONE"]);
        Ok(DataTypeKind::Time { precision })
    }

    fn timestamp(&mut self) -> Parsed<DataTypeKind> {
        let precision = self.time_precision(6)?;
        if self.take_words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            return Ok(DataTypeKind::TimestampLtz { precision });
        }
        if self.take_words(&["WITH", "TIME", "ZONE"]) {
            return Ok(DataTypeKind::TimestampWithTimeZone { precision });
        }
        self.take_words(&["WITHOUT", "TIME", "ZONE"]);
        Ok(DataTypeKind::Timestamp { precision })
    }

    fn interval_type(&mut self) -> Parsed<DataTypeKind> {
        let qualifier = self.interval_qualifier()?;
        let precision = qualifier.precision.unwrap_or(2);
        let (from, to) = (qualifier.from, qualifier.to);
        Ok(match qualifier.is_year_month() {
            true => DataTypeKind::IntervalYearMonth { from, to, precision },
            false => {
                let fraction = qualifier.fraction.unwrap_or(6);
                DataTypeKind::IntervalDayTime { from, to, precision, fraction }
            }
        })
    }

    fn element_type(&mut self, word: &str) -> Parsed<DataType> {
        if !self.take(TokenKind::Less) {
            return Err(self.expected(&format!("`<` and the type of the elements, as in {word}<INT>")));
        }
        let element = self.data_type()?;
        self.expect(TokenKind::Greater, "`>`")?;
        Ok(element)
    }

    fn map_type(&mut self) -> Parsed<DataTypeKind> {
        if !self.take(TokenKind::Less) {
            return Err(self.expected("`<` and two types, as in MAP<STRING, INT>"));
        }
        let key = Box::new(self.data_type()?);
        self.expect(TokenKind::Comma, "`,` and the type of the values")?;
        let value = Box::new(self.data_type()?);
        self.expect(TokenKind::Greater, "`>`")?;
        Ok(DataTypeKind::Map(key, value))
    }

    /// `ROW<name type ['comment'], …>` or `ROW(name type, …)`.
    fn row_type(&mut self) -> Parsed<DataTypeKind> {
        if self.take(TokenKind::NotEqual) {
            // `ROW<>`
            return Ok(DataTypeKind::Row(Vec::new()));
        }
        let open = self.span();
        let angled = self.take(TokenKind::Less);
        if !angled && !self.take(TokenKind::LeftParen) {
            return Err(self.expected("`<` and the fields, as in ROW<name STRING, age INT>"));
        }
        let mut fields = Vec::new();
        if angled || !self.is(TokenKind::RightParen) {
            fields = self.list(|parser| {
                let name = parser.identifier("the name of a field")?;
                let data_type = parser.data_type()?;
                let comment = match parser.is(TokenKind::String) {
                    true => Some(parser.text_literal("a comment")?),
                    false => parser.optional_comment()?,
                };
                Ok(RowField { name, data_type, comment })
            })?;
        }
        if angled {
            self.expect(TokenKind::Greater, "`>`")?;
        } else {
            self.close(open)?;
        }
        Ok(DataTypeKind::Row(fields))
    }

    fn raw_type(&mut self) -> Parsed<DataTypeKind> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let class = self.text_literal("the name of a class as a string")?;
        self.expect(TokenKind::Comma, "`,`")?;
        let serializer = self.text_literal("the serializer's snapshot as a string")?;
        self.close(open)?;
        Ok(DataTypeKind::Raw { class, serializer })
    }
}
