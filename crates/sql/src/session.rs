//! The front of the crate: statements in, answers and jobs out.
//!
//! A session keeps the declared tables, views and settings. It never runs anything: an INSERT, a statement set or a
//! SELECT becomes a `JobRequest` with a finished plan, which the runtime starts.

mod catalog;
mod create_as;
mod explain_view;
mod materialized;
mod settings;

use crate::ast::{self, DescribeObject, ShowTarget, Statement, StatementKind};
use crate::binder::{
    BindSettings, Binder, BoundTable, BoundView, Column, Graph, Named, Relations, bind_table,
    bind_view_columns,
};
use crate::catalog::{CatalogObject, Change, Definition, Listing, ResolvedColumn};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::parser::parse_whole_script;
use crate::planner::{self, Tables};
use crate::source::SourceText;
use crate::span::Span;

use arrow_schema::Schema;
use catalog::Declarations;
use dataflow::connector::ConnectorTable;
use dataflow::plan::Plan;
use dataflow::table::TableDefinition;
pub use materialized::{NewView, groups};
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a statement came to.
#[derive(Debug)]
pub enum Outcome {
    /// It is done; a sentence for the user, perhaps empty.
    Done(String),
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Option<String>>>,
    },
    Explain(String),
    Job(JobRequest),
    /// Materialized tables are to go, with their rows.
    DropViews(Vec<DroppedView>),
}

/// A materialized table that DROP names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedView {
    pub name: String,
    pub if_exists: bool,
}

/// A job to run.
#[derive(Debug, Clone)]
pub struct JobRequest {
    pub name: String,
    pub plan: Arc<Plan>,
    /// Equal for jobs that mean the same.
    pub fingerprint: String,
    /// What SET has set; booleans in small letters, numbers without blanks.
    pub settings: BTreeMap<String, String>,
    /// Every source ends by itself.
    pub bounded: bool,
    /// What whoever runs it should know.
    pub warnings: Vec<Diagnostic>,
    /// What could be better; EXPLAIN and `check` say it too.
    pub advice: Vec<Diagnostic>,
    pub explain: String,
    /// The plan in JSON.
    pub json: String,
    /// The materialized tables that it keeps; empty for one that only writes tables.
    pub views: Vec<NewView>,
}

/// What `check_script` found.
#[derive(Debug, Default)]
pub struct Check {
    /// Everything wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Warnings.
    pub lints: Vec<Diagnostic>,
    /// The plan of each job, in the order of the statements.
    pub jobs: Vec<JobRequest>,
}

pub struct Session {
    connectors: ConnectorTable,
    declarations: Declarations,
    settings: Settings,
    jobs: usize,
    /// What the EXPLAIN that is being answered asks for.
    explain_details: Vec<ast::ExplainDetail>,
    /// The materialized tables that the node has, with the statements that made them; none without a node.
    known_views: Option<BTreeMap<String, String>>,
}

type Executed = Result<Outcome, Vec<Diagnostic>>;

fn refuse<T>(diagnostic: Diagnostic) -> Result<T, Vec<Diagnostic>> {
    Err(vec![diagnostic])
}

impl Session {
    pub fn new(connectors: ConnectorTable) -> Session {
        Session {
            connectors,
            declarations: Declarations::default(),
            settings: Settings::default(),
            jobs: 0,
            explain_details: Vec::new(),
            known_views: None,
        }
    }

    /// The value of a setting, where SET has given one.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key)
    }

    /// What SET has changed about binding.
    pub fn bind_settings(&self) -> BindSettings {
        self.settings.bind_settings()
    }

    /// Parses and checks a whole script without running it.
    pub fn check_script(&mut self, source: &SourceText) -> Check {
        let script = parse_whole_script(source);
        script.broken.iter().for_each(|name| self.declarations.note_broken(name));
        let mut check = Check { diagnostics: script.diagnostics, ..Check::default() };
        for group in groups(&script.statements) {
            let statement = &group[0];
            match self.execute_group(group) {
                Ok(Outcome::Job(job)) => {
                    check.lints.extend(job.warnings.iter().chain(&job.advice).cloned());
                    check.jobs.push(job);
                }
                Ok(_) => {
                    if let StatementKind::Set(Some(pair)) = &statement.kind {
                        check.lints.extend(crate::settings::warning(&pair.key));
                    }
                }
                Err(diagnostics) => {
                    check.diagnostics.extend(diagnostics);
                    // What a broken declaration declares is not reported as unknown again.
                    group.iter().for_each(|statement| self.declarations.note_failed(statement));
                }
            }
        }
        let broken = self.declarations.take_broken();
        check.diagnostics.retain(|diagnostic| {
            diagnostic.kind != DiagnosticKind::Unknown || !broken.contains(&diagnostic.message)
        });
        check.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
        check.diagnostics.dedup();
        check.lints.sort_by_key(|diagnostic| diagnostic.span);
        check.lints.dedup();
        check
    }

    /// Executes statements that belong together, as `groups` puts them.
    pub fn execute_group(&mut self, statements: &[Statement]) -> Executed {
        match statements {
            [only] => self.execute(only),
            several => self.execute_materialized(several),
        }
    }

    /// Executes a statement; what is wrong with it comes back all at once where that is possible.
    pub fn execute(&mut self, statement: &Statement) -> Executed {
        match &statement.kind {
            StatementKind::Query(query) => self.select_job(query, statement.span).map(Outcome::Job),
            StatementKind::Insert(insert) => self.insert_job(&[insert], statement.span).map(Outcome::Job),
            StatementKind::StatementSet(members) => {
                let inserts: Vec<&ast::Insert> = members.iter().map(|member| &member.insert).collect();
                self.insert_job(&inserts, statement.span).map(Outcome::Job)
            }
            StatementKind::Explain(explain) => self.explain(explain),
            StatementKind::Set(None) => Ok(listed(self.settings.listing())),
            StatementKind::Set(Some(pair)) => {
                let warning = self.settings.set(pair).map_err(|d| vec![*d])?;
                Ok(Outcome::Done(warning.map(|warning| warning.message).unwrap_or_default()))
            }
            StatementKind::Reset(key) => {
                self.settings.reset(key.as_ref()).map_err(|d| vec![*d])?;
                Ok(Outcome::Done(String::new()))
            }
            StatementKind::UseModules(names) => match names.iter().find(|name| name.value != "core") {
                None => Ok(Outcome::Done(String::new())),
                Some(other) => refuse(
                    Diagnostic::unknown(other.span, format!("module '{}' not found", other.value))
                        .with_hint("the only module is core: the built-in functions"),
                ),
            },
            StatementKind::Show(show) => self.show(show, statement.span),
            StatementKind::Describe(describe) => self.describe(describe, statement.span),
            StatementKind::CreateTable(create) => match &create.query {
                Some(query) => self.create_table_as(create, query, statement.span),
                None => self.declare(&statement.kind, statement.span),
            },
            StatementKind::CreateMaterializedTable(_)
            | StatementKind::AlterMaterializedTable { .. }
            | StatementKind::Drop(ast::DropStatement {
                object: ast::DropObject::MaterializedTable, ..
            }) => self.execute_materialized(std::slice::from_ref(statement)),
            other => self.declare(other, statement.span),
        }
    }

    /// A statement about the catalog.
    fn declare(&mut self, statement: &StatementKind, span: Span) -> Executed {
        match self.declarations.catalog.prepare(statement) {
            Some(change) => self.change(change.map_err(|d| vec![*d])?),
            None => refuse(unsupported(statement, span)),
        }
    }

    /// Binds what a change defines, then applies it.
    fn change(&mut self, change: Change) -> Executed {
        let named = match &change {
            Change::Define(definition) => Some(self.bind_definition(definition)?),
            _ => None,
        };
        match named {
            Some(Named::View(view)) => {
                // A view is bound among the relations as they will be, so that one that reads itself is refused.
                let mut after = self.declarations.clone();
                after.apply(change, Some(Named::View(view.clone())));
                let before = std::mem::replace(&mut self.declarations, after);
                if let Err(problems) = self.view_columns(&view, view.span) {
                    self.declarations = before;
                    return Err(problems);
                }
            }
            named => self.declarations.apply(change, named),
        }
        Ok(Outcome::Done(String::new()))
    }

    fn bind_definition(&self, definition: &Definition) -> Result<Named, Vec<Diagnostic>> {
        let name = definition.name.short();
        match &definition.object {
            CatalogObject::Table(table) => {
                let create =
                    table.to_create(definition.name.to_object_name(table.span), definition.temporary);
                let settings = self.settings.bind_settings();
                let table = bind_table(&create, &name, &self.connectors, &self.declarations, settings)?;
                Ok(Named::Table(Arc::new(table)))
            }
            CatalogObject::View(view) => {
                let bound = BoundView {
                    name,
                    columns: view.columns.clone(),
                    query: view.query.clone(),
                    comment: view.comment.as_ref().map(|text| text.value.clone()),
                    span: view.span,
                    materialized: view.materialized.is_some(),
                };
                Ok(Named::View(Arc::new(bound)))
            }
        }
    }

    fn binder(&self) -> Binder<'_> {
        Binder::new(&self.declarations, self.settings.bind_settings())
    }

    fn view_columns(&self, view: &BoundView, span: Span) -> Result<Vec<Column>, Vec<Diagnostic>> {
        let mut binder = self.binder();
        let relation = binder.query_relation(&view.query)?;
        bind_view_columns(view, binder.graph.columns(relation), span).map_err(|d| vec![*d])
    }

    /// The columns that a query gives.
    pub fn query_columns(&self, query: &ast::Query) -> Result<Vec<Column>, Box<Diagnostic>> {
        let mut binder = self.binder();
        let first = |mut problems: Vec<Diagnostic>| Box::new(problems.swap_remove(0));
        let relation = binder.query_relation(query).map_err(first)?;
        Ok(with_unique_names(binder.graph.columns(relation).to_vec()))
    }

    fn insert_job(&mut self, inserts: &[&ast::Insert], span: Span) -> Result<JobRequest, Vec<Diagnostic>> {
        let mut binder = self.binder();
        let mut problems = Vec::new();
        for insert in inserts {
            if let Err(found) = binder.insert(insert) {
                problems.extend(found);
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let name = match inserts {
            [only] => format!("insert-into-{}", only.table.last().value),
            _ => "statement-set".into(),
        };
        let (graph, warnings) = (binder.graph, binder.warnings);
        self.job(graph, warnings, name, span)
    }

    /// A SELECT of its own is a job that prints.
    fn select_job(&mut self, query: &ast::Query, span: Span) -> Result<JobRequest, Vec<Diagnostic>> {
        let Some(connector) = self.connectors.find("print").cloned() else {
            return refuse(
                Diagnostic::unsupported(span, "a SELECT on its own needs the connector 'print'")
                    .with_hint("write INSERT INTO a table"),
            );
        };
        let mut binder = self.binder();
        let relation = binder.query_relation(query)?;
        let columns = with_unique_names(binder.graph.columns(relation).to_vec());
        let fields: Vec<_> = columns.iter().map(|column| column.data_type.to_field(&column.name)).collect();
        let definition = Arc::new(TableDefinition {
            name: "select".into(),
            schema: Arc::new(Schema::new(fields)),
            metadata: Vec::new(),
            primary_key: Vec::new(),
            partition_keys: Vec::new(),
            options: BTreeMap::from([("connector".to_string(), "print".to_string())]),
        });
        let table = BoundTable {
            name: "select".into(),
            columns: Vec::new(),
            watermark: None,
            definition,
            connector,
            bounded: true,
            comment: None,
        };
        let mut binder = self.binder();
        binder.select_into(query, Arc::new(table))?;
        let (graph, warnings) = (binder.graph, binder.warnings);
        self.job(graph, warnings, "select".into(), span)
    }

    fn job(
        &mut self,
        graph: Graph,
        mut warnings: Vec<Diagnostic>,
        default_name: String,
        span: Span,
    ) -> Result<JobRequest, Vec<Diagnostic>> {
        warnings.extend(planner::lint(&graph, span));
        let bounded = graph.sinks.iter().all(|sink| graph.is_bounded(*sink));
        let tables = Tables::of(&graph);
        let planned = planner::plan(graph, self.settings.bind_settings(), span).map_err(|d| vec![*d])?;
        warnings.extend(planned.warnings);
        let (plan, advice) = (planned.plan, planned.advice);
        self.jobs += 1;
        let name = match self.settings.get("pipeline.name") {
            Some(name) => name.to_string(),
            None => format!("{}-{default_name}", self.jobs),
        };
        let all: Vec<Diagnostic> = warnings.iter().chain(&advice).cloned().collect();
        let explained =
            planner::Explained { plan: &plan, keys: &planned.keys, tables: &tables, advice: &all };
        let explain = explained.text(&self.explain_details);
        let json = explained.json();
        let zone = self.settings.bind_settings().zone;
        Ok(JobRequest {
            name,
            fingerprint: format!("zone={zone}\n{}", plan.describe()),
            settings: self.settings.normalised(),
            bounded,
            warnings,
            advice,
            explain,
            json,
            plan: Arc::new(plan),
            views: Vec::new(),
        })
    }

    fn explain(&mut self, explain: &ast::Explain) -> Executed {
        let jobs = self.jobs;
        self.explain_details.clone_from(&explain.details);
        let outcome = match &explain.statement.kind {
            StatementKind::Query(_) | StatementKind::Insert(_) | StatementKind::StatementSet(_) => {
                self.execute(&explain.statement)
            }
            StatementKind::CreateMaterializedTable(_) | StatementKind::AlterMaterializedTable { .. } => {
                self.explain_materialized(&explain.statement)
            }
            _ => refuse(Diagnostic::invalid(
                explain.statement.span,
                "EXPLAIN takes a query, an INSERT, a statement set or a materialized table",
            )),
        };
        self.jobs = jobs;
        self.explain_details.clear();
        match outcome? {
            Outcome::Job(job) => Ok(Outcome::Explain(job.explain)),
            other => Ok(other),
        }
    }

    fn show(&self, show: &ast::Show, span: Span) -> Executed {
        if let Some(outcome) = self.show_known_views(show) {
            return Ok(outcome);
        }
        if let Some(listing) = self.declarations.catalog.show(show) {
            return listing.map(listed).map_err(|d| vec![*d]);
        }
        match &show.target {
            ShowTarget::Columns { table } => self.describe_table(table, show.like.as_ref()),
            ShowTarget::Functions { user_only, .. } => {
                let builtin = crate::functions::names().filter(|_| !user_only).map(str::to_lowercase);
                let own = self.declarations.catalog.user_functions();
                let mut names = crate::catalog::matching(builtin.chain(own), show.like.as_ref());
                names.sort();
                Ok(listed(Listing::of("function name", names)))
            }
            ShowTarget::Jobs => refuse(
                Diagnostic::unsupported(span, "SHOW JOBS is not supported yet")
                    .with_hint("`eventwright job list` shows them"),
            ),
            _ => refuse(Diagnostic::unsupported(span, "this SHOW is not supported yet")),
        }
    }

    fn describe(&self, describe: &ast::Describe, span: Span) -> Executed {
        let catalog = &self.declarations.catalog;
        match describe.object {
            DescribeObject::Table => self.describe_table(&describe.name, None),
            DescribeObject::Catalog => {
                let listing = catalog.describe_catalog(describe.name.last(), describe.extended);
                listing.map(listed).map_err(|d| vec![*d])
            }
            DescribeObject::Database => {
                let listing = catalog.describe_database(&describe.name, describe.extended);
                listing.map(listed).map_err(|d| vec![*d])
            }
            DescribeObject::Function | DescribeObject::Model | DescribeObject::Job => {
                let what = match describe.object {
                    DescribeObject::Function => "FUNCTION",
                    DescribeObject::Model => "MODEL",
                    _ => "JOB",
                };
                let hint = match describe.object {
                    DescribeObject::Function => "the reference describes the functions that are built in",
                    DescribeObject::Model => "there are no models",
                    _ => "`eventwright job describe JOB` shows it",
                };
                let message = format!("DESCRIBE {what} is not supported yet");
                refuse(Diagnostic::unsupported(span, message).with_hint(hint))
            }
        }
    }

    fn describe_table(&self, name: &ast::ObjectName, like: Option<&ast::ShowLike>) -> Executed {
        let found = self.declarations.catalog.resolve(name).map_err(|d| vec![*d])?;
        let columns = match self.declarations.find(name) {
            Some(Named::Table(table)) => table.relation_columns(),
            Some(Named::View(view)) => self.view_columns(&view, name.span)?,
            None => Vec::new(),
        };
        let columns: Vec<ResolvedColumn> = columns
            .iter()
            .map(|column| ResolvedColumn {
                name: column.name.clone(),
                data_type: column.data_type.describe_column(column.attribute),
                nullable: column.data_type.nullable,
            })
            .collect();
        Ok(listed(self.declarations.catalog.describe(&found, &columns, like)))
    }

    /// The tables that are declared, as statements; their options hold what was written, secrets too.
    pub fn tables(&self) -> Vec<ast::CreateTable> {
        self.declarations.catalog.tables()
    }

    /// The columns of a declared table or view: name, type as DESCRIBE prints it.
    pub fn columns_of(&self, name: &str) -> Option<Vec<(String, String)>> {
        let columns = match self.declarations.get(name)? {
            Named::Table(table) => table.relation_columns(),
            Named::View(view) => self.view_columns(view, Span::default()).ok()?,
        };
        Some(
            columns
                .iter()
                .map(|column| (column.name.clone(), column.data_type.describe_column(column.attribute)))
                .collect(),
        )
    }
}

/// The columns of a result as Flink names them: a name that was there gets a number, from 0 on.
fn with_unique_names(mut columns: Vec<Column>) -> Vec<Column> {
    let mut taken = BTreeSet::new();
    for column in &mut columns {
        let written = column.name.clone();
        let mut attempt = 0;
        while !taken.insert(column.name.clone()) {
            column.name = format!("{written}{attempt}");
            attempt += 1;
        }
    }
    columns
}

fn listed(listing: Listing) -> Outcome {
    Outcome::Rows { columns: listing.columns, rows: listing.rows }
}

fn unsupported(kind: &StatementKind, span: Span) -> Diagnostic {
    let (name, hint) = match kind {
        StatementKind::CreateModel(_) => (
            "CREATE MODEL",
            "there are no models: let a service of yours write its answers to a topic, and join them",
        ),
        _ => ("this statement", "`eventwright check` says of a file what is not supported in it"),
    };
    let at = Span::new(span.start, span.end.min(span.start + 80));
    Diagnostic::unsupported(at, format!("{name} is not supported yet")).with_hint(hint)
}
