//! CREATE of every kind.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

/// The words between CREATE and the kind of object.
#[derive(Default)]
struct Modifiers {
    or_replace: bool,
    or_alter: bool,
    temporary: bool,
    system: bool,
    /// Of the last modifier, for messages.
    span: Span,
}

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Parsed<StatementKind> {
        self.advance();
        let mut modifiers = Modifiers { span: self.span(), ..Modifiers::default() };
        if self.take_word("OR") {
            modifiers.or_replace = self.take_word("REPLACE");
            modifiers.or_alter = !modifiers.or_replace && self.take_word("ALTER");
            if !modifiers.or_replace && !modifiers.or_alter {
                return Err(self.expected("REPLACE"));
            }
            modifiers.span = self.since(modifiers.span);
        }
        if self.is_word("TEMPORARY") {
            modifiers.span = self.span();
            self.advance();
            modifiers.temporary = true;
            modifiers.system = self.take_word("SYSTEM");
        }
        if self.take_word("TABLE") {
            self.allow(&modifiers, "a table", true, true)?;
            return self.create_table(modifiers);
        }
        if self.take_word("VIEW") {
            self.allow(&modifiers, "a view", true, true)?;
            return self.create_view(modifiers);
        }
        if self.take_word("MATERIALIZED") {
            if self.is_word_at(0, "VIEW") {
                let hint =
                    "write CREATE VIEW for a stored query, CREATE MATERIALIZED TABLE for a kept result";
                return self.unsupported(self.span(), "CREATE MATERIALIZED VIEW", hint);
            }
            self.expect_word("TABLE")?;
            return self.create_materialized_table(modifiers);
        }
        if self.take_word("FUNCTION") {
            self.allow(&modifiers, "a function", false, true)?;
            return self.create_function(modifiers);
        }
        if self.take_word("MODEL") {
            self.allow(&modifiers, "a model", true, true)?;
            return self.create_model(modifiers);
        }
        if self.take_word("CATALOG") {
            self.allow(&modifiers, "a catalog", false, false)?;
            return self.create_catalog();
        }
        if self.take_word("DATABASE") {
            self.allow(&modifiers, "a database", false, false)?;
            return self.create_database();
        }
        self.refuse_foreign_objects()?;
        Err(self.expected("TABLE, VIEW, FUNCTION, MODEL, DATABASE or CATALOG"))
    }

    fn allow(&self, modifiers: &Modifiers, what: &str, replace: bool, temporary: bool) -> Parsed<()> {
        let refused = if modifiers.or_alter {
            "OR ALTER"
        } else if modifiers.or_replace && !replace {
            "OR REPLACE"
        } else if modifiers.temporary && !temporary {
            "TEMPORARY"
        } else if modifiers.system && what != "a function" {
            "SYSTEM"
        } else {
            return Ok(());
        };
        let message = format!("{what} cannot be created with {refused}");
        Err(Box::new(Diagnostic::syntax(modifiers.span, message)))
    }

    /// Objects of other streaming databases.
    fn refuse_foreign_objects(&self) -> Parsed<()> {
        for (word, hint) in [
            ("STREAM", "write CREATE TABLE … WITH ('connector' = 'kafka', …)"),
            ("SOURCE", "write CREATE TABLE … WITH ('connector' = …)"),
            ("SINK", "write CREATE TABLE … WITH ('connector' = …) and INSERT INTO it"),
            ("SCHEMA", "write CREATE DATABASE"),
            ("INDEX", "state is keyed by what a query needs; there are no indexes to declare"),
            ("CONNECTION", "connection options stand in WITH (…) of each table"),
            ("TYPE", "write ROW<…> where the type is used"),
        ] {
            if self.is_word_at(0, word) {
                return self.unsupported(self.span(), &format!("CREATE {word}"), hint);
            }
        }
        Ok(())
    }

    fn create_table(&mut self, modifiers: Modifiers) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the table")?;
        let elements = match self.is(TokenKind::LeftParen) {
            true => self.table_elements()?,
            false => Vec::new(),
        };
        let comment = self.optional_comment()?;
        let distribution = self.distribution()?;
        let partitioned_by = self.partitioned_by()?;
        let options = self.with_options()?;
        self.refuse_late_clauses()?;
        let like = self.table_like()?;
        let query = match self.take_word("AS") {
            true => Some(Box::new(self.query()?)),
            false => None,
        };
        let table = CreateTable {
            or_replace: modifiers.or_replace,
            temporary: modifiers.temporary,
            if_not_exists,
            name,
            elements,
            comment,
            distribution,
            partitioned_by,
            options,
            like,
            query,
        };
        // What is wrong already may be what would be missed.
        if self.diagnostics.is_empty() {
            self.check_table(&table)?;
        }
        Ok(StatementKind::CreateTable(Box::new(table)))
    }

    /// Flink wants COMMENT, DISTRIBUTED, PARTITIONED BY and WITH in this order.
    fn refuse_late_clauses(&self) -> Parsed<()> {
        for word in ["COMMENT", "DISTRIBUTED", "PARTITIONED", "WITH"] {
            if self.is_word_at(0, word) {
                return Err(Box::new(
                    Diagnostic::syntax(self.span(), format!("{word} comes too late")).with_hint(
                        "the order is COMMENT, DISTRIBUTED, PARTITIONED BY, WITH, then LIKE or AS",
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What can be seen to be wrong from the definition alone.
    fn check_table(&self, table: &CreateTable) -> Parsed<()> {
        let mut names = std::collections::HashMap::new();
        let (mut watermarks, mut keys) = (0, 0);
        for element in &table.elements {
            match element {
                TableElement::Column(column) => {
                    if let Some(first) = names.insert(column.name.value.as_str(), column.name.span) {
                        return Err(self.duplicate("column", &column.name, first));
                    }
                    if let ColumnKind::Physical { primary_key: Some(span), .. } = column.kind {
                        keys += 1;
                        self.only_one(
                            keys,
                            span,
                            "primary key",
                            "write PRIMARY KEY (a, b) NOT ENFORCED for several columns",
                        )?;
                    }
                }
                TableElement::ColumnName(name) => {
                    if table.query.is_none() {
                        let message = format!("column `{}` has no type", name.value);
                        return Err(Box::new(
                            Diagnostic::syntax(name.span, message)
                                .with_hint("a list of names alone goes with CREATE TABLE … AS SELECT"),
                        ));
                    }
                    if let Some(first) = names.insert(name.value.as_str(), name.span) {
                        return Err(self.duplicate("column", name, first));
                    }
                }
                TableElement::Watermark(watermark) => {
                    watermarks += 1;
                    self.only_one(watermarks, watermark.span, "watermark", "")?;
                }
                TableElement::PrimaryKey(key) => {
                    keys += 1;
                    self.only_one(keys, key.span, "primary key", "")?;
                }
            }
        }
        if let (Some(like), Some(_)) = (&table.like, &table.query) {
            let message = "a table is made either LIKE another one or AS a query";
            return Err(Box::new(Diagnostic::syntax(like.span, message)));
        }
        if table.elements.is_empty() && table.like.is_none() && table.query.is_none() {
            return Err(Box::new(
                Diagnostic::syntax(
                    table.name.span,
                    format!("table `{}` has no columns", table.name.last().value),
                )
                .with_hint("declare them in parentheses, or make the table LIKE another one or AS a query"),
            ));
        }
        Ok(())
    }

    fn duplicate(&self, what: &str, name: &Identifier, first: Span) -> Box<Diagnostic> {
        let line = self.source.position(first.start).line;
        let message = format!("{what} `{}` is declared twice", name.value);
        Box::new(
            Diagnostic::invalid(name.span, message).with_hint(format!("the first one stands in line {line}")),
        )
    }

    fn only_one(&self, count: usize, span: Span, what: &str, hint: &str) -> Parsed<()> {
        if count <= 1 {
            return Ok(());
        }
        let error = Diagnostic::invalid(span, format!("a table has at most one {what}"));
        Err(Box::new(if hint.is_empty() { error } else { error.with_hint(hint) }))
    }

    fn create_view(&mut self, modifiers: Modifiers) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the view")?;
        let mut columns = Vec::new();
        if self.is(TokenKind::LeftParen) {
            columns = self.column_names()?;
        }
        let comment = self.optional_comment()?;
        if self.is_word_at(0, "WITH") {
            let hint = "options belong to tables; a view is its query: CREATE VIEW … AS SELECT …";
            return Err(Box::new(Diagnostic::syntax(self.span(), "a view has no options").with_hint(hint)));
        }
        if !self.take_word("AS") {
            return Err(self.expected("AS and a query"));
        }
        let query = self.query()?;
        Ok(StatementKind::CreateView(Box::new(CreateView {
            or_replace: modifiers.or_replace,
            temporary: modifiers.temporary,
            if_not_exists,
            name,
            columns,
            comment,
            query,
        })))
    }

    fn create_materialized_table(&mut self, modifiers: Modifiers) -> Parsed<StatementKind> {
        if modifiers.or_replace || modifiers.temporary {
            let message = "a materialized table is neither TEMPORARY nor created with OR REPLACE";
            return Err(Box::new(
                Diagnostic::syntax(modifiers.span, message)
                    .with_hint("CREATE OR ALTER MATERIALIZED TABLE changes one"),
            ));
        }
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the materialized table")?;
        let (mut columns, mut column_names) = (Vec::new(), Vec::new());
        let (mut watermark, mut primary_key) = (None, None);
        if self.is(TokenKind::LeftParen) {
            for element in self.table_elements()? {
                match element {
                    TableElement::Column(column) => columns.push(column),
                    TableElement::ColumnName(name) => column_names.push(name),
                    TableElement::Watermark(definition) => {
                        self.only_one(
                            1 + usize::from(watermark.is_some()),
                            definition.span,
                            "watermark",
                            "",
                        )?;
                        watermark = Some(definition);
                    }
                    TableElement::PrimaryKey(key) => {
                        self.only_one(1 + usize::from(primary_key.is_some()), key.span, "primary key", "")?;
                        primary_key = Some(key);
                    }
                }
            }
        }
        let comment = self.optional_comment()?;
        let distribution = self.distribution()?;
        let partitioned_by = self.partitioned_by()?;
        let options = self.with_options()?;
        let mut freshness = None;
        if self.take_word("FRESHNESS") {
            self.expect(TokenKind::Equal, "`=` and an interval")?;
            freshness = Some(self.interval_literal()?);
        }
        let refresh_mode = self.refresh_mode()?;
        if !self.take_word("AS") {
            return Err(self.expected("AS and a query"));
        }
        let query = self.query()?;
        Ok(StatementKind::CreateMaterializedTable(Box::new(CreateMaterializedTable {
            or_alter: modifiers.or_alter,
            if_not_exists,
            name,
            columns,
            column_names,
            watermark,
            primary_key,
            comment,
            distribution,
            partitioned_by,
            options,
            freshness,
            refresh_mode,
            query,
        })))
    }

    fn refresh_mode(&mut self) -> Parsed<Option<RefreshMode>> {
        if !self.take_word("REFRESH_MODE") {
            return Ok(None);
        }
        self.expect(TokenKind::Equal, "`=`")?;
        if self.take_word("FULL") {
            Ok(Some(RefreshMode::Full))
        } else if self.take_word("CONTINUOUS") {
            Ok(Some(RefreshMode::Continuous))
        } else {
            Err(self.expected("FULL or CONTINUOUS"))
        }
    }

    fn create_function(&mut self, modifiers: Modifiers) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the function")?;
        if !self.take_word("AS") {
            return Err(self.expected("AS and the class or path of the function in quotes"));
        }
        let class = self.text_literal("the class or path of the function in quotes")?;
        let mut language = FunctionLanguage::Java;
        if self.take_word("LANGUAGE") {
            let known = [
                ("JAVA", FunctionLanguage::Java),
                ("SCALA", FunctionLanguage::Scala),
                ("PYTHON", FunctionLanguage::Python),
                ("SQL", FunctionLanguage::Sql),
                ("WASM", FunctionLanguage::Wasm),
            ];
            match known.iter().find(|(word, _)| self.is_word(word)) {
                Some((_, found)) => language = *found,
                None => return Err(self.expected("JAVA, SCALA, PYTHON, SQL or WASM")),
            }
            self.advance();
        }
        let mut resources = Vec::new();
        if self.take_word("USING") {
            resources = self.list(|parser| {
                let kind =
                    parser.upper_word().filter(|word| matches!(word.as_str(), "JAR" | "ARTIFACT" | "FILE"));
                let Some(kind) = kind else { return Err(parser.expected("JAR, ARTIFACT or FILE")) };
                parser.advance();
                Ok(FunctionResource { kind, path: parser.text_literal("a path in quotes")? })
            })?;
        }
        let options = self.with_options()?;
        Ok(StatementKind::CreateFunction(Box::new(CreateFunction {
            temporary: modifiers.temporary,
            system: modifiers.system,
            if_not_exists,
            name,
            class,
            language,
            resources,
            options,
        })))
    }

    fn create_model(&mut self, modifiers: Modifiers) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the model")?;
        let input = match self.take_word("INPUT") {
            true => self.parenthesized_list(Parser::column_definition)?,
            false => Vec::new(),
        };
        let output = match self.take_word("OUTPUT") {
            true => self.parenthesized_list(Parser::column_definition)?,
            false => Vec::new(),
        };
        let comment = self.optional_comment()?;
        let options = self.with_options()?;
        let query = match self.take_word("AS") {
            true => Some(Box::new(self.query()?)),
            false => None,
        };
        Ok(StatementKind::CreateModel(Box::new(CreateModel {
            or_replace: modifiers.or_replace,
            temporary: modifiers.temporary,
            if_not_exists,
            name,
            input,
            output,
            comment,
            options,
            query,
        })))
    }

    fn create_catalog(&mut self) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier("the name of the catalog")?;
        let comment = self.optional_comment()?;
        let options = self.with_options()?;
        Ok(StatementKind::CreateCatalog(CreateCatalog { if_not_exists, name, comment, options }))
    }

    fn create_database(&mut self) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.table_name("the name of the database")?;
        let comment = self.optional_comment()?;
        let options = self.with_options()?;
        Ok(StatementKind::CreateDatabase(CreateDatabase { if_not_exists, name, comment, options }))
    }
}
