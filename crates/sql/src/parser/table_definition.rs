//! The parts of a table's definition: columns, keys, watermarks, distribution, LIKE.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// `(column …, WATERMARK …, PRIMARY KEY …)`.
    pub(super) fn table_elements(&mut self) -> Parsed<Vec<TableElement>> {
        if self.is(TokenKind::LeftParen) && self.kind(1) == TokenKind::RightParen {
            self.advance();
            self.advance();
            return Ok(Vec::new());
        }
        self.definition_list(Parser::table_element)
    }

    fn table_element(&mut self) -> Parsed<TableElement> {
        if self.is_word("WATERMARK") {
            return self.watermark().map(TableElement::Watermark);
        }
        if self.begins_constraint() {
            return self.primary_key().map(TableElement::PrimaryKey);
        }
        if self.is_name() && matches!(self.kind(1), TokenKind::Comma | TokenKind::RightParen) {
            return self.identifier("a column name").map(TableElement::ColumnName);
        }
        self.column_definition().map(TableElement::Column)
    }

    pub(super) fn begins_constraint(&self) -> bool {
        ["PRIMARY", "CONSTRAINT", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| self.is_word_at(0, word))
            && self.kind(1) != TokenKind::Dot
    }

    /// `WATERMARK FOR column AS expression`.
    pub(super) fn watermark(&mut self) -> Parsed<WatermarkDefinition> {
        let start = self.expect_word("WATERMARK")?;
        self.expect_word("FOR")?;
        let column = self.object_name("the column of the watermark")?;
        self.expect_word("AS")?;
        let expression = self.expression()?;
        Ok(WatermarkDefinition { column, expression, span: self.since(start) })
    }

    /// `[CONSTRAINT name] PRIMARY KEY (columns) NOT ENFORCED`.
    pub(super) fn primary_key(&mut self) -> Parsed<PrimaryKeyDefinition> {
        let start = self.span();
        let constraint_name = match self.take_word("CONSTRAINT") {
            true => Some(self.identifier("the name of the constraint")?),
            false => None,
        };
        for word in ["UNIQUE", "FOREIGN", "CHECK"] {
            if self.is_word_at(0, word) {
                let hint = "only PRIMARY KEY (…) NOT ENFORCED can be declared";
                return self.unsupported(self.span(), &format!("a {word} constraint"), hint);
            }
        }
        self.expect_words(&["PRIMARY", "KEY"])?;
        let columns = self.column_names()?;
        self.not_enforced()?;
        Ok(PrimaryKeyDefinition { constraint_name, columns, span: self.since(start) })
    }

    fn not_enforced(&mut self) -> Parsed<()> {
        if self.take_words(&["NOT", "ENFORCED"]) {
            return Ok(());
        }
        let hint = "write NOT ENFORCED behind it: rows are not searched for duplicate keys";
        let end = self.previous().map_or(self.span(), |token| self.token_span(token));
        if self.is_word_at(0, "ENFORCED") {
            return self.unsupported(self.span(), "an enforced primary key", hint);
        }
        Err(Box::new(Diagnostic::syntax(end, "a primary key must be NOT ENFORCED").with_hint(hint)))
    }

    pub(super) fn column_definition(&mut self) -> Parsed<ColumnDefinition> {
        let start = self.span();
        let name = self.identifier("a column name")?;
        let kind = if self.take_word("AS") {
            ColumnKind::Computed { expression: self.expression()? }
        } else {
            self.typed_column()?
        };
        let comment = self.optional_comment()?;
        self.refuse_column_clauses()?;
        Ok(ColumnDefinition { name, kind, comment, span: self.since(start) })
    }

    fn typed_column(&mut self) -> Parsed<ColumnKind> {
        let data_type = self.data_type()?;
        if self.take_word("METADATA") {
            let key = match self.take_word("FROM") {
                true => Some(self.text_literal("the metadata key as a string in quotes")?),
                false => None,
            };
            if key.is_none() && self.is(TokenKind::String) {
                let mut error = self.expected("FROM before the metadata key");
                error.hint = Some("write METADATA FROM 'key'".into());
                return Err(error);
            }
            let is_virtual = self.take_word("VIRTUAL");
            return Ok(ColumnKind::Metadata { data_type, key, is_virtual });
        }
        let start = self.span();
        if self.take_word("CONSTRAINT") {
            self.identifier("the name of the constraint")?;
        }
        let mut primary_key = None;
        if self.take_words(&["PRIMARY", "KEY"]) {
            self.not_enforced()?;
            primary_key = Some(self.since(start));
        }
        Ok(ColumnKind::Physical { data_type, primary_key })
    }

    fn refuse_column_clauses(&self) -> Parsed<()> {
        for (word, hint) in [
            ("DEFAULT", "write COALESCE(column, value) where the table is filled"),
            ("GENERATED", "a computed column is written name AS expression"),
            ("UNIQUE", "declare PRIMARY KEY (…) NOT ENFORCED"),
            ("REFERENCES", "there are no foreign keys"),
            ("AUTO_INCREMENT", "there is no counter: a row brings its key, or it is made of its fields"),
            ("CHECK", "leave it out, and keep such rows away by WHERE"),
            ("UNSIGNED", "leave it out, or take the next larger type"),
            ("COLLATE", "texts are ordered by their code points"),
        ] {
            if self.is_word_at(0, word) {
                return self.unsupported(self.span(), &format!("{word} on a column"), hint);
            }
        }
        if !matches!(self.kind(0), TokenKind::Comma | TokenKind::RightParen) {
            // Remembered for spelling hints.
            for word in ["METADATA", "COMMENT", "PRIMARY", "VIRTUAL"] {
                self.is_word(word);
            }
        }
        Ok(())
    }

    /// `DISTRIBUTED …`, the word not yet taken; `DISTRIBUTION` in ALTER TABLE.
    pub(super) fn distribution(&mut self) -> Parsed<Option<Distribution>> {
        let start = self.span();
        if !self.take_word("DISTRIBUTED") {
            return Ok(None);
        }
        self.distribution_tail(start).map(Some)
    }

    pub(super) fn distribution_tail(&mut self, start: crate::span::Span) -> Parsed<Distribution> {
        let (mut kind, mut columns) = (DistributionKind::Unspecified, Vec::new());
        if self.take_word("BY") {
            if self.take_word("HASH") {
                kind = DistributionKind::Hash;
            } else if self.take_word("RANGE") {
                kind = DistributionKind::Range;
            }
            columns = self.column_names()?;
        }
        let mut bucket_count = None;
        if columns.is_empty() || self.is_word("INTO") {
            self.expect_word("INTO")?;
            let span = self.span();
            let count = self.whole_number("the number of buckets")?;
            if count == 0 {
                return Err(Box::new(Diagnostic::invalid(span, "a table has at least one bucket")));
            }
            bucket_count = Some(count);
            self.expect_word("BUCKETS")?;
        }
        Ok(Distribution { kind, columns, bucket_count, span: self.since(start) })
    }

    pub(super) fn partitioned_by(&mut self) -> Parsed<Vec<Identifier>> {
        if !self.take_word("PARTITIONED") {
            return Ok(Vec::new());
        }
        self.expect_word("BY")?;
        self.column_names()
    }

    /// `WITH (…)`, where it stands.
    pub(super) fn with_options(&mut self) -> Parsed<Vec<OptionPair>> {
        if !self.take_word("WITH") {
            return Ok(Vec::new());
        }
        self.options()
    }

    /// `LIKE source [(INCLUDING ALL …)]`.
    pub(super) fn table_like(&mut self) -> Parsed<Option<TableLike>> {
        let start = self.span();
        if !self.take_word("LIKE") {
            return Ok(None);
        }
        let source = self.table_name("the name of a table")?;
        let mut options = Vec::new();
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            while !self.is(TokenKind::RightParen) {
                options.push(self.like_option()?);
            }
            self.close(open)?;
        }
        Ok(Some(TableLike { source, options, span: self.since(start) }))
    }

    fn like_option(&mut self) -> Parsed<LikeOption> {
        let start = self.span();
        let merging = if self.take_word("INCLUDING") {
            MergingStrategy::Including
        } else if self.take_word("EXCLUDING") {
            MergingStrategy::Excluding
        } else if self.take_word("OVERWRITING") {
            MergingStrategy::Overwriting
        } else {
            return Err(self.expected("INCLUDING, EXCLUDING or OVERWRITING"));
        };
        let feature = if self.is_word("ALL") {
            self.advance();
            LikeFeature::All
        } else if self.take_word("CONSTRAINTS") {
            LikeFeature::Constraints
        } else if self.take_word("DISTRIBUTION") {
            LikeFeature::Distribution
        } else if self.take_word("GENERATED") {
            LikeFeature::Generated
        } else if self.take_word("METADATA") {
            LikeFeature::Metadata
        } else if self.take_word("OPTIONS") {
            LikeFeature::Options
        } else if self.take_word("PARTITIONS") {
            LikeFeature::Partitions
        } else if self.take_word("WATERMARKS") {
            LikeFeature::Watermarks
        } else {
            let what =
                "ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS";
            return Err(self.expected(what));
        };
        let span = self.since(start);
        let overwritable = matches!(
            feature,
            LikeFeature::Generated | LikeFeature::Metadata | LikeFeature::Options | LikeFeature::Watermarks
        );
        if merging == MergingStrategy::Overwriting && !overwritable {
            return Err(Box::new(
                Diagnostic::invalid(span, "this part of a table cannot be overwritten")
                    .with_hint("OVERWRITING goes with GENERATED, METADATA, OPTIONS and WATERMARKS"),
            ));
        }
        Ok(LikeOption { merging, feature, span })
    }
}
