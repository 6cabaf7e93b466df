//! SHOW and DESCRIBE.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    pub(super) fn show(&mut self) -> Parsed<StatementKind> {
        self.advance();
        let target = self.show_target()?;
        let like = match target {
            ShowTarget::Tables { .. }
            | ShowTarget::Views { .. }
            | ShowTarget::MaterializedTables { .. }
            | ShowTarget::Functions { .. }
            | ShowTarget::Models { .. }
            | ShowTarget::Databases { .. }
            | ShowTarget::Catalogs
            | ShowTarget::Columns { .. } => self.show_like()?,
            _ => None,
        };
        Ok(StatementKind::Show(Show { target, like }))
    }

    fn show_target(&mut self) -> Parsed<ShowTarget> {
        if self.take_word("TABLES") {
            return Ok(ShowTarget::Tables { database: self.optional_database()? });
        }
        if self.take_word("VIEWS") {
            return Ok(ShowTarget::Views { database: self.optional_database()? });
        }
        if self.take_word("MATERIALIZED") {
            self.expect_word("TABLES")?;
            return Ok(ShowTarget::MaterializedTables { database: self.optional_database()? });
        }
        if self.take_words(&["USER", "FUNCTIONS"]) {
            return Ok(ShowTarget::Functions { user_only: true, database: self.optional_database()? });
        }
        if self.take_word("FUNCTIONS") {
            return Ok(ShowTarget::Functions { user_only: false, database: self.optional_database()? });
        }
        if self.take_word("MODELS") {
            return Ok(ShowTarget::Models { database: self.optional_database()? });
        }
        if self.take_word("DATABASES") {
            let catalog = match self.take_from_or_in() {
                true => Some(self.identifier("the name of a catalog")?),
                false => None,
            };
            return Ok(ShowTarget::Databases { catalog });
        }
        if self.take_word("CATALOGS") {
            return Ok(ShowTarget::Catalogs);
        }
        if self.take_word("CURRENT") {
            if self.take_word("CATALOG") {
                return Ok(ShowTarget::CurrentCatalog);
            }
            self.expect_word("DATABASE")?;
            return Ok(ShowTarget::CurrentDatabase);
        }
        if self.take_word("COLUMNS") {
            if !self.take_from_or_in() {
                return Err(self.expected("FROM and the name of a table"));
            }
            return Ok(ShowTarget::Columns { table: self.table_name("the name of a table")? });
        }
        if self.take_word("PARTITIONS") {
            let table = self.table_name("the name of a table")?;
            let partition = match self.take_word("PARTITION") {
                true => self.parenthesized_list(Parser::partition_value)?,
                false => Vec::new(),
            };
            return Ok(ShowTarget::Partitions { table, partition });
        }
        if self.take_word("CREATE") {
            return self.show_create();
        }
        if self.take_word("JOBS") {
            return Ok(ShowTarget::Jobs);
        }
        if self.is_word("MODULES") || (self.is_word_at(0, "FULL") && self.is_word_at(1, "MODULES")) {
            let full = self.take_word("FULL");
            self.advance();
            return Ok(ShowTarget::Modules { full });
        }
        for (word, hint) in [
            ("JARS", "there is no JVM to load them into"),
            ("PROCEDURES", "there are no procedures"),
            ("CONNECTIONS", "connection options stand in WITH (…) of each table"),
        ] {
            if self.is_word_at(0, word) {
                return self.unsupported(self.span(), &format!("SHOW {word}"), hint);
            }
        }
        Err(self
            .expected("TABLES, VIEWS, FUNCTIONS, DATABASES, CATALOGS, COLUMNS, JOBS or CREATE behind SHOW"))
    }

    fn show_create(&mut self) -> Parsed<ShowTarget> {
        if self.take_word("TABLE") {
            return self.table_name("the name of a table").map(ShowTarget::CreateTable);
        }
        if self.take_word("VIEW") {
            return self.table_name("the name of a view").map(ShowTarget::CreateView);
        }
        if self.take_word("MATERIALIZED") {
            self.expect_word("TABLE")?;
            return self.table_name("the name of a table").map(ShowTarget::CreateMaterializedTable);
        }
        if self.take_word("MODEL") {
            return self.table_name("the name of a model").map(ShowTarget::CreateModel);
        }
        if self.take_word("CATALOG") {
            return self.identifier("the name of a catalog").map(ShowTarget::CreateCatalog);
        }
        Err(self.expected("TABLE, VIEW, MODEL or CATALOG"))
    }

    fn take_from_or_in(&mut self) -> bool {
        self.take_word("FROM") || self.take_word("IN")
    }

    fn optional_database(&mut self) -> Parsed<Option<ObjectName>> {
        match self.take_from_or_in() {
            true => self.table_name("the name of a database").map(Some),
            false => Ok(None),
        }
    }

    fn show_like(&mut self) -> Parsed<Option<ShowLike>> {
        let negated = self.take_word("NOT");
        let case_sensitive = if self.take_word("LIKE") {
            true
        } else if self.take_word("ILIKE") {
            false
        } else if negated {
            return Err(self.expected("LIKE or ILIKE"));
        } else {
            return Ok(None);
        };
        let pattern =
            self.text_literal("a pattern in quotes, with % for any text and _ for one character")?;
        Ok(Some(ShowLike { negated, case_sensitive, pattern }))
    }

    /// `DESCRIBE [TABLE|CATALOG|DATABASE|FUNCTION|MODEL|JOB] [EXTENDED] name`.
    pub(super) fn describe(&mut self) -> Parsed<StatementKind> {
        self.advance();
        let mut object = DescribeObject::Table;
        for (word, named) in [
            ("CATALOG", DescribeObject::Catalog),
            ("DATABASE", DescribeObject::Database),
            ("FUNCTION", DescribeObject::Function),
            ("MODEL", DescribeObject::Model),
            ("JOB", DescribeObject::Job),
            ("TABLE", DescribeObject::Table),
        ] {
            // A table may be called `model` or `job`: the word is a keyword only where a name follows.
            let name_follows = self.is_name_at(1)
                || (named == DescribeObject::Function && self.token(1).kind == TokenKind::Word)
                || self.is_word_at(1, "EXTENDED")
                || self.token(1).kind == TokenKind::String;
            if self.is_word_at(0, word) && name_follows {
                self.advance();
                object = named;
                break;
            }
        }
        let extended = self.take_word("EXTENDED");
        if object == DescribeObject::Job {
            let id = self.text_literal("the job's id as a string in quotes")?;
            let part = Identifier { value: id.value, quoted: true, span: id.span };
            let name = ObjectName { parts: vec![part], span: id.span };
            return Ok(StatementKind::Describe(Describe { object, extended, name }));
        }
        if object == DescribeObject::Function && self.is(TokenKind::Word) && !self.is_name() {
            let hint = "the reference describes the functions that are built in";
            return self.unsupported(self.span(), "DESCRIBE FUNCTION of a built-in function", hint);
        }
        let name = self.table_name("the name of a table or view")?;
        Ok(StatementKind::Describe(Describe { object, extended, name }))
    }
}
