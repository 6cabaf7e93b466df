//! Statements.

use super::table_definition::{indented, table_tail};
use super::{commas, comment, hints, word_if};
use crate::ast::*;
use std::fmt::{self, Display, Formatter};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StatementKind::Query(query) => write!(f, "{query}"),
            StatementKind::Insert(insert) => write!(f, "{insert}"),
            StatementKind::StatementSet(members) => {
                f.write_str("EXECUTE STATEMENT SET\nBEGIN\n")?;
                members.iter().try_for_each(|member| writeln!(f, "{};", member.insert))?;
                f.write_str("END")
            }
            StatementKind::Explain(explain) => {
                f.write_str("EXPLAIN ")?;
                if explain.details.is_empty() {
                    f.write_str("PLAN FOR ")?;
                } else {
                    write!(f, "{} ", commas(&explain.details))?;
                }
                write!(f, "{}", explain.statement)
            }
            StatementKind::CreateTable(table) => write!(f, "{table}"),
            StatementKind::AlterTable(table) => write!(f, "{table}"),
            StatementKind::CreateView(view) => write!(f, "{view}"),
            StatementKind::AlterView(view) => match &view.action {
                AlterViewAction::RenameTo(name) => write!(f, "ALTER VIEW {} RENAME TO {name}", view.name),
                AlterViewAction::As(query) => write!(f, "ALTER VIEW {} AS\n{query}", view.name),
            },
            StatementKind::CreateMaterializedTable(table) => write!(f, "{table}"),
            StatementKind::AlterMaterializedTable { name, action } => {
                write!(f, "ALTER MATERIALIZED TABLE {name} ")?;
                match action {
                    AlterMaterializedTableAction::Suspend => f.write_str("SUSPEND"),
                    AlterMaterializedTableAction::Resume(options) => {
                        f.write_str("RESUME")?;
                        with_options(f, options)
                    }
                    AlterMaterializedTableAction::Refresh(partition) if partition.is_empty() => {
                        f.write_str("REFRESH")
                    }
                    AlterMaterializedTableAction::Refresh(partition) => {
                        write!(f, "REFRESH PARTITION ({})", commas(partition))
                    }
                    AlterMaterializedTableAction::As(query) => write!(f, "AS\n{query}"),
                }
            }
            StatementKind::CreateFunction(function) => write!(f, "{function}"),
            StatementKind::CreateModel(model) => write!(f, "{model}"),
            StatementKind::CreateCatalog(catalog) => {
                f.write_str("CREATE CATALOG")?;
                word_if(f, catalog.if_not_exists, "IF NOT EXISTS")?;
                write!(f, " {}", catalog.name)?;
                comment(f, &catalog.comment)?;
                with_options(f, &catalog.options)
            }
            StatementKind::AlterCatalog { name, action } => {
                write!(f, "ALTER CATALOG {name} ")?;
                match action {
                    AlterCatalogAction::Set(options) => write!(f, "SET ({})", commas(options)),
                    AlterCatalogAction::Reset(keys) => write!(f, "RESET ({})", commas(keys)),
                    AlterCatalogAction::Comment(text) => write!(f, "COMMENT {text}"),
                }
            }
            StatementKind::CreateDatabase(database) => {
                f.write_str("CREATE DATABASE")?;
                word_if(f, database.if_not_exists, "IF NOT EXISTS")?;
                write!(f, " {}", database.name)?;
                comment(f, &database.comment)?;
                with_options(f, &database.options)
            }
            StatementKind::AlterDatabase { name, options } => {
                write!(f, "ALTER DATABASE {name} SET ({})", commas(options))
            }
            StatementKind::Drop(drop) => write!(f, "{drop}"),
            StatementKind::UseCatalog(name) => write!(f, "USE CATALOG {name}"),
            StatementKind::UseDatabase(name) => write!(f, "USE {name}"),
            StatementKind::UseModules(names) => write!(f, "USE MODULES {}", commas(names)),
            StatementKind::Show(show) => write!(f, "{show}"),
            StatementKind::Describe(describe) => write!(f, "{describe}"),
            StatementKind::Set(Some(pair)) => write!(f, "SET {pair}"),
            StatementKind::Set(None) => f.write_str("SET"),
            StatementKind::Reset(Some(key)) => write!(f, "RESET {key}"),
            StatementKind::Reset(None) => f.write_str("RESET"),
        }
    }
}

fn with_options(f: &mut Formatter<'_>, options: &[OptionPair]) -> fmt::Result {
    if options.is_empty() { Ok(()) } else { write!(f, " WITH ({})", commas(options)) }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "INSERT {} {}", if self.overwrite { "OVERWRITE" } else { "INTO" }, self.table)?;
        hints(f, &self.hints)?;
        if !self.partition.is_empty() {
            write!(f, " PARTITION ({})", commas(&self.partition))?;
        }
        if !self.columns.is_empty() {
            write!(f, " ({})", commas(&self.columns))?;
        }
        write!(f, "\n{}", self.query)?;
        match &self.on_conflict {
            Some(conflict) => f.write_str(match conflict.action {
                ConflictAction::Deduplicate => "\nON CONFLICT DO DEDUPLICATE",
                ConflictAction::Nothing => "\nON CONFLICT DO NOTHING",
                ConflictAction::Error => "\nON CONFLICT DO ERROR",
            }),
            None => Ok(()),
        }
    }
}

impl Display for PartitionValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}", self.column),
            None => write!(f, "{}", self.column),
        }
    }
}

impl Display for ExplainDetail {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExplainDetail::EstimatedCost => "ESTIMATED_COST",
            ExplainDetail::ChangelogMode => "CHANGELOG_MODE",
            ExplainDetail::JsonExecutionPlan => "JSON_EXECUTION_PLAN",
            ExplainDetail::PlanAdvice => "PLAN_ADVICE",
        })
    }
}

impl Display for CreateView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE")?;
        word_if(f, self.or_replace, "OR REPLACE")?;
        word_if(f, self.temporary, "TEMPORARY")?;
        f.write_str(" VIEW")?;
        word_if(f, self.if_not_exists, "IF NOT EXISTS")?;
        write!(f, " {}", self.name)?;
        if !self.columns.is_empty() {
            f.write_str(" ")?;
            indented(f, &self.columns)?;
        }
        if let Some(text) = &self.comment {
            write!(f, "\nCOMMENT {text}")?;
        }
        write!(f, "\nAS {}", self.query)
    }
}

impl Display for CreateMaterializedTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE")?;
        word_if(f, self.or_alter, "OR ALTER")?;
        f.write_str(" MATERIALIZED TABLE")?;
        word_if(f, self.if_not_exists, "IF NOT EXISTS")?;
        write!(f, " {}", self.name)?;
        let mut elements: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        elements.extend(self.column_names.iter().map(ToString::to_string));
        elements.extend(self.watermark.iter().map(ToString::to_string));
        elements.extend(self.primary_key.iter().map(ToString::to_string));
        if !elements.is_empty() {
            f.write_str(" ")?;
            indented(f, &elements)?;
        }
        table_tail(f, &self.comment, &self.distribution, &self.partitioned_by, &self.options)?;
        if let Some(freshness) = &self.freshness {
            write!(f, "\nFRESHNESS = {freshness}")?;
        }
        match self.refresh_mode {
            Some(RefreshMode::Full) => f.write_str("\nREFRESH_MODE = FULL")?,
            Some(RefreshMode::Continuous) => f.write_str("\nREFRESH_MODE = CONTINUOUS")?,
            None => {}
        }
        write!(f, "\nAS {}", self.query)
    }
}

impl Display for CreateFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE")?;
        word_if(f, self.temporary, "TEMPORARY")?;
        word_if(f, self.system, "SYSTEM")?;
        f.write_str(" FUNCTION")?;
        word_if(f, self.if_not_exists, "IF NOT EXISTS")?;
        write!(f, " {} AS {} LANGUAGE ", self.name, self.class)?;
        f.write_str(match self.language {
            FunctionLanguage::Java => "JAVA",
            FunctionLanguage::Scala => "SCALA",
            FunctionLanguage::Python => "PYTHON",
            FunctionLanguage::Sql => "SQL",
            FunctionLanguage::Wasm => "WASM",
        })?;
        if !self.resources.is_empty() {
            write!(f, " USING {}", commas(&self.resources))?;
        }
        with_options(f, &self.options)
    }
}

impl Display for FunctionResource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path)
    }
}

impl Display for CreateModel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE")?;
        word_if(f, self.or_replace, "OR REPLACE")?;
        word_if(f, self.temporary, "TEMPORARY")?;
        f.write_str(" MODEL")?;
        word_if(f, self.if_not_exists, "IF NOT EXISTS")?;
        write!(f, " {}", self.name)?;
        if !self.input.is_empty() {
            write!(f, "\nINPUT ({})", commas(&self.input))?;
        }
        if !self.output.is_empty() {
            write!(f, "\nOUTPUT ({})", commas(&self.output))?;
        }
        table_tail(f, &self.comment, &None, &[], &self.options)?;
        match &self.query {
            Some(query) => write!(f, "\nAS {query}"),
            None => Ok(()),
        }
    }
}

impl Display for DropStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DROP")?;
        word_if(f, self.temporary, "TEMPORARY")?;
        f.write_str(match self.object {
            DropObject::Table => " TABLE",
            DropObject::View => " VIEW",
            DropObject::MaterializedTable => " MATERIALIZED TABLE",
            DropObject::Function => " FUNCTION",
            DropObject::SystemFunction => " SYSTEM FUNCTION",
            DropObject::Model => " MODEL",
            DropObject::Database => " DATABASE",
            DropObject::Catalog => " CATALOG",
        })?;
        word_if(f, self.if_exists, "IF EXISTS")?;
        write!(f, " {}", self.name)?;
        word_if(f, self.cascade, "CASCADE")
    }
}

impl Display for Show {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW ")?;
        match &self.target {
            ShowTarget::Tables { database } => listing(f, "TABLES", database)?,
            ShowTarget::Views { database } => listing(f, "VIEWS", database)?,
            ShowTarget::MaterializedTables { database } => listing(f, "MATERIALIZED TABLES", database)?,
            ShowTarget::Functions { user_only: true, database } => listing(f, "USER FUNCTIONS", database)?,
            ShowTarget::Functions { user_only: false, database } => listing(f, "FUNCTIONS", database)?,
            ShowTarget::Models { database } => listing(f, "MODELS", database)?,
            ShowTarget::Databases { catalog } => listing(f, "DATABASES", catalog)?,
            ShowTarget::Catalogs => f.write_str("CATALOGS")?,
            ShowTarget::CurrentCatalog => f.write_str("CURRENT CATALOG")?,
            ShowTarget::CurrentDatabase => f.write_str("CURRENT DATABASE")?,
            ShowTarget::Columns { table } => write!(f, "COLUMNS FROM {table}")?,
            ShowTarget::Partitions { table, partition } => {
                write!(f, "PARTITIONS {table}")?;
                if !partition.is_empty() {
                    write!(f, " PARTITION ({})", commas(partition))?;
                }
            }
            ShowTarget::CreateTable(name) => write!(f, "CREATE TABLE {name}")?,
            ShowTarget::CreateView(name) => write!(f, "CREATE VIEW {name}")?,
            ShowTarget::CreateMaterializedTable(name) => write!(f, "CREATE MATERIALIZED TABLE {name}")?,
            ShowTarget::CreateModel(name) => write!(f, "CREATE MODEL {name}")?,
            ShowTarget::CreateCatalog(name) => write!(f, "CREATE CATALOG {name}")?,
            ShowTarget::Jobs => f.write_str("JOBS")?,
            ShowTarget::Modules { full } => {
                f.write_str(if *full { "FULL MODULES" } else { "MODULES" })?;
            }
        }
        match &self.like {
            Some(like) => {
                word_if(f, like.negated, "NOT")?;
                write!(f, " {} {}", if like.case_sensitive { "LIKE" } else { "ILIKE" }, like.pattern)
            }
            None => Ok(()),
        }
    }
}

fn listing<T: Display>(f: &mut Formatter<'_>, what: &str, place: &Option<T>) -> fmt::Result {
    match place {
        Some(place) => write!(f, "{what} FROM {place}"),
        None => f.write_str(what),
    }
}

impl Display for Describe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.object {
            DescribeObject::Table => "DESCRIBE",
            DescribeObject::Catalog => "DESCRIBE CATALOG",
            DescribeObject::Database => "DESCRIBE DATABASE",
            DescribeObject::Function => "DESCRIBE FUNCTION",
            DescribeObject::Model => "DESCRIBE MODEL",
            DescribeObject::Job => "DESCRIBE JOB",
        })?;
        word_if(f, self.extended, "EXTENDED")?;
        match self.object {
            DescribeObject::Job => write!(f, " {}", super::literal(&self.name.last().value)),
            _ => write!(f, " {}", self.name),
        }
    }
}
