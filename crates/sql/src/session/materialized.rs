//! Materialized tables: what their queries give is kept up to date by a job, and read at one place of the log.
//!
//! 1. CREATE MATERIALIZED TABLE statements that stand next to one another are one job: what their queries share is
//!    computed once, and a reader sees all of them after the same step.
//! 2. To what reads it in the same file, a materialized table is a view: its query takes part in the other's job.
//! 3. Its key is the PRIMARY KEY that is declared, or else the smallest set of columns by which the planner tells the
//!    query's rows apart. Where there is none, a query that only adds rows gives a table of all of them; one that updates
//!    is refused.

use super::{DroppedView, Executed, JobRequest, Outcome, Session, listed, refuse, with_unique_names};
use crate::ast::{
    AlterMaterializedTableAction, ColumnDefinition, ColumnKind, CreateMaterializedTable, DropObject,
    Identifier, ObjectName, Query, RefreshMode, Show, ShowTarget, Statement, StatementKind,
};
use crate::binder::{BoundTable, BoundView, Column, Named, Relations};
use crate::catalog::{CatalogObject, CatalogView, Change, FullName, Listing, matching};
use crate::diagnostic::Diagnostic;
use crate::parser::parse_query;
use crate::planner;
use crate::source::SourceText;
use crate::span::Span;
use crate::types::TypeKind;
use crate::unparse::quoted;
use arrow_schema::{Schema, SchemaRef};
use dataflow::plan::{Changelog, NodeKind};
use dataflow::table::TableDefinition;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The connector that writes the topic of a materialized table.
const CONNECTOR: &str = "view";

/// A materialized table that a job is to keep.
#[derive(Debug, Clone)]
pub struct NewView {
    pub name: String,
    pub schema: SchemaRef,
    /// The columns' types as Flink writes them, without NOT NULL.
    pub types: Vec<String>,
    /// Its key as column indices: none keeps every row, no columns are one row.
    pub key: Option<Vec<usize>>,
    /// As SHOW CREATE MATERIALIZED TABLE prints it.
    pub statement: String,
    pub comment: Option<String>,
    /// OR ALTER: one of the name makes room.
    pub or_alter: bool,
    /// IF NOT EXISTS: one of the name stays.
    pub if_not_exists: bool,
}

/// The statements of a script, those together that are one job or one change: materialized tables that are created, or
/// dropped, next to one another.
pub fn groups(statements: &[Statement]) -> impl Iterator<Item = &[Statement]> {
    let kind = |statement: &Statement| match &statement.kind {
        StatementKind::CreateMaterializedTable(_) => 1,
        StatementKind::Drop(drop) if drop.object == DropObject::MaterializedTable => 2,
        _ => 0,
    };
    statements.chunk_by(move |one, next| kind(one) != 0 && kind(one) == kind(next))
}

impl Session {
    /// Says which materialized tables the node has, each with the statement that made it. Without it (a file is only
    /// checked) one that the file does not create may be there or not.
    pub fn know_views(&mut self, statements: BTreeMap<String, String>) {
        self.known_views = Some(statements);
    }

    pub(super) fn execute_materialized(&mut self, statements: &[Statement]) -> Executed {
        let mut creates = Vec::new();
        let mut dropped = Vec::new();
        let span = statements[0].span;
        for statement in statements {
            match &statement.kind {
                StatementKind::CreateMaterializedTable(create) => creates.push(create.as_ref().clone()),
                StatementKind::AlterMaterializedTable { name, action } => {
                    creates.push(self.altered(name, action, statement.span).map_err(|d| vec![*d])?);
                }
                StatementKind::Drop(drop) => {
                    let name = self.declarations.catalog.full_name(&drop.name);
                    // One of another run is known to the node alone.
                    if self.declarations.catalog.find_full(&name).is_some() {
                        self.declare(&statement.kind, statement.span)?;
                    }
                    dropped.push(DroppedView { name: name.short(), if_exists: drop.if_exists });
                }
                _ => {}
            }
        }
        if !dropped.is_empty() {
            return Ok(Outcome::DropViews(dropped));
        }
        // All of them stand and fall together.
        let before = self.declarations.clone();
        self.materialize(&creates, span).inspect_err(|_| self.declarations = before)
    }

    fn materialize(&mut self, creates: &[CreateMaterializedTable], span: Span) -> Executed {
        let mut views = Vec::new();
        let mut tables = Vec::new();
        let mut left = Vec::new();
        for create in creates {
            let Some(view) = self.declare_materialized(create)? else {
                left.push(format!("materialized table '{}' exists already", create.name.last().value));
                continue;
            };
            let (new, table) = self.view_and_table(create, &view)?;
            views.push(new);
            tables.push((view, Arc::new(table)));
        }
        if tables.is_empty() {
            return Ok(Outcome::Done(left.join("\n")));
        }
        let mut binder = self.binder();
        for (view, table) in &tables {
            binder.view_into(view, table.clone())?;
        }
        let name = match views.as_slice() {
            [only] => format!("materialized-table-{}", only.name),
            _ => "materialized-tables".into(),
        };
        let (graph, warnings) = (binder.graph, binder.warnings);
        let job = self.job(graph, warnings, name, span)?;
        Ok(Outcome::Job(JobRequest { views, ..job }))
    }

    /// Enters it into the catalog as a view of its query; none where IF NOT EXISTS leaves one of this file as it is.
    fn declare_materialized(
        &mut self,
        create: &CreateMaterializedTable,
    ) -> Result<Option<Arc<BoundView>>, Vec<Diagnostic>> {
        check(create)?;
        let kind = StatementKind::CreateMaterializedTable(Box::new(create.clone()));
        let prepared = self.declarations.catalog.prepare(&kind).transpose().map_err(|d| vec![*d])?;
        let Some(Change::Define(mut definition)) = prepared else { return Ok(None) };
        let columns = self.binder_columns(&create.query)?;
        if let CatalogObject::View(view) = &definition.object
            && let Some(query) = shaped(create, &view.query, &columns)?
        {
            let view = CatalogView { query, ..view.as_ref().clone() };
            definition.object = CatalogObject::View(Arc::new(view));
        }
        let name: FullName = definition.name.clone();
        self.change(Change::Define(definition))?;
        match self.declarations.find(&name.to_object_name(create.name.span)) {
            Some(Named::View(view)) => Ok(Some(view)),
            _ => refuse(Diagnostic::invalid(create.name.span, "the materialized table was not declared")),
        }
    }

    fn binder_columns(&self, query: &Query) -> Result<Vec<Column>, Vec<Diagnostic>> {
        let mut binder = self.binder();
        let relation = binder.query_relation(query)?;
        Ok(binder.graph.columns(relation).to_vec())
    }

    /// What the view is, and the table that its changes are written to.
    fn view_and_table(
        &self,
        create: &CreateMaterializedTable,
        view: &Arc<BoundView>,
    ) -> Result<(NewView, BoundTable), Vec<Diagnostic>> {
        let Some(connector) = self.connectors.find(CONNECTOR).cloned() else {
            return refuse(Diagnostic::unsupported(
                create.name.span,
                "a materialized table needs the connector 'view'",
            ));
        };
        let columns = self.view_columns(view, view.span)?;
        if let Some(column) = columns.iter().find(|column| column.data_type.kind == TypeKind::Null) {
            let message =
                format!("column '{}' is {}, which no table can have", column.name, column.data_type);
            return refuse(
                Diagnostic::mistyped(create.query.span, message).with_hint("cast it to another type"),
            );
        }
        if with_unique_names(columns.clone()).iter().zip(&columns).any(|(one, other)| one.name != other.name)
        {
            return refuse(
                Diagnostic::invalid(create.query.span, "two columns of the query have the same name")
                    .with_hint("name them apart with AS"),
            );
        }
        let fields: Vec<_> = columns.iter().map(|column| column.data_type.to_field(&column.name)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let table = |key: &Option<Vec<usize>>| {
            let names = key.iter().flatten().map(|column| schema.field(*column).name().clone());
            let mode = if key.is_some() { "upsert" } else { "append" };
            let options = [("connector", CONNECTOR), ("view", view.name.as_str()), ("mode", mode)];
            let definition = TableDefinition {
                name: view.name.clone(),
                schema: schema.clone(),
                metadata: Vec::new(),
                primary_key: names.collect(),
                partition_keys: Vec::new(),
                options: options.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            };
            BoundTable {
                name: view.name.clone(),
                columns: Vec::new(),
                watermark: None,
                definition: Arc::new(definition),
                connector: connector.clone(),
                bounded: true,
                comment: None,
            }
        };
        let key = match declared_key(create, &columns)? {
            Some(key) => Some(key),
            None => self.inferred_key(create, view, table(&Some(Vec::new())))?,
        };
        let table = table(&key);
        table.check(dataflow::connector::Role::Sink, create.name.span).map_err(|d| vec![*d])?;
        let catalog = &self.declarations.catalog;
        let made_by = catalog.find(&create.name).and_then(|found| found.object.materialized().cloned());
        let new = NewView {
            name: view.name.clone(),
            types: columns.iter().map(|column| column.data_type.kind.to_string()).collect(),
            statement: made_by.map(|made_by| format!("{made_by}\n")).unwrap_or_default(),
            comment: create.comment.as_ref().map(|text| text.value.clone()),
            or_alter: create.or_alter,
            if_not_exists: create.if_not_exists,
            schema,
            key,
        };
        Ok((new, table))
    }

    /// The key that the planner finds for the query; none keeps every row. The table takes any change.
    fn inferred_key(
        &self,
        create: &CreateMaterializedTable,
        view: &Arc<BoundView>,
        table: BoundTable,
    ) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
        let mut binder = self.binder();
        binder.view_into(view, Arc::new(table))?;
        let planned = planner::plan(binder.graph, self.settings.bind_settings(), create.query.span)
            .map_err(|d| vec![*d])?;
        let sink = planned.plan.nodes.iter().position(|node| matches!(node.kind, NodeKind::Sink { .. }));
        let Some(sink) = sink else { return Ok(None) };
        let keys = &planned.keys[sink];
        if let Some(key) = keys.iter().min_by_key(|key| (key.len(), *key)) {
            return Ok(Some(key.iter().copied().collect()));
        }
        if planned.plan.nodes[sink].changelog == Changelog::Insert {
            return Ok(None);
        }
        refuse(
            Diagnostic::invalid(
                create.query.span,
                format!("the rows of '{}' change, and nothing in the query tells them apart", view.name),
            )
            .with_hint(
                "declare (PRIMARY KEY (…) NOT ENFORCED) behind the name, or group by what names a row",
            ),
        )
    }

    /// What ALTER … AS makes of the definition that there is.
    fn altered(
        &self,
        name: &ObjectName,
        action: &AlterMaterializedTableAction,
        span: Span,
    ) -> Result<CreateMaterializedTable, Box<Diagnostic>> {
        let full = self.declarations.catalog.full_name(name);
        let unsupported = |what: &str, hint: &str| {
            let message = format!("ALTER MATERIALIZED TABLE … {what} is not supported");
            Err(Box::new(Diagnostic::unsupported(span, message).with_hint(hint)))
        };
        let query = match action {
            AlterMaterializedTableAction::As(query) => query,
            AlterMaterializedTableAction::Suspend => {
                return unsupported(
                    "SUSPEND",
                    "`eventwright job stop JOB` stops its job; the rows stay and can be read",
                );
            }
            AlterMaterializedTableAction::Resume(_) => {
                return unsupported(
                    "RESUME",
                    "run the file that creates it again: its job goes on where it was",
                );
            }
            AlterMaterializedTableAction::Refresh(_) => {
                return unsupported("REFRESH", "it is brought up to date with every step of its job");
            }
        };
        let declared = self.declarations.catalog.find_full(&full);
        let declared = declared.and_then(|found| found.object.materialized().cloned());
        let from_scratch = || CreateMaterializedTable {
            or_alter: true,
            if_not_exists: false,
            name: name.clone(),
            columns: Vec::new(),
            column_names: Vec::new(),
            watermark: None,
            primary_key: None,
            comment: None,
            distribution: None,
            partitioned_by: Vec::new(),
            options: Vec::new(),
            freshness: None,
            refresh_mode: None,
            query: query.as_ref().clone(),
        };
        let known = || {
            let Some(known) = &self.known_views else { return Some(from_scratch()) };
            let source = SourceText::new("definition", known.get(&full.short())?.clone());
            let statement = crate::parser::parse_script(&source).0.into_iter().next()?;
            match statement.kind {
                StatementKind::CreateMaterializedTable(create) => Some(*create),
                _ => None,
            }
        };
        let Some(create) = declared.map(|create| create.as_ref().clone()).or_else(known) else {
            let names = self.known_views.iter().flatten().map(|(name, _)| name.as_str());
            let message = format!("materialized table '{}' not found", full.short());
            return Err(Box::new(Diagnostic::unknown(name.span, message).with_nearest(&full.short(), names)));
        };
        // The columns are those of the new query.
        Ok(CreateMaterializedTable {
            primary_key: create.primary_key,
            comment: create.comment,
            freshness: create.freshness,
            refresh_mode: create.refresh_mode,
            ..from_scratch()
        })
    }

    /// SHOW of materialized tables that this file does not create.
    pub(super) fn show_known_views(&self, show: &Show) -> Option<Outcome> {
        match &show.target {
            ShowTarget::MaterializedTables { database: None } => {
                let own = self.declarations.catalog.show(show)?.ok()?;
                let known = self.known_views.iter().flatten().map(|(name, _)| name.clone());
                let known = matching(known, show.like.as_ref());
                let mut rows = own.rows;
                rows.extend(known.into_iter().map(|name| vec![Some(name)]));
                rows.sort();
                rows.dedup();
                Some(listed(Listing { columns: own.columns, rows }))
            }
            ShowTarget::CreateMaterializedTable(name) if self.declarations.catalog.find(name).is_none() => {
                let statement = match &self.known_views {
                    Some(known) => {
                        Some(known.get(&self.declarations.catalog.full_name(name).short())?.clone())
                    }
                    None => None,
                };
                Some(listed(Listing::of("result", statement)))
            }
            _ => None,
        }
    }
}

/// Refuses what no materialized table can have.
fn check(create: &CreateMaterializedTable) -> Result<(), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    if create.refresh_mode == Some(RefreshMode::Full) {
        problems.push(
            Diagnostic::unsupported(create.name.span, "REFRESH_MODE = FULL is not supported").with_hint(
                "leave it out: each step of the job brings the table up to date, which meets every FRESHNESS",
            ),
        );
    }
    if let Some(watermark) = &create.watermark {
        problems.push(
            Diagnostic::unsupported(watermark.span, "a materialized table has no watermark of its own")
                .with_hint("declare it in the tables that the query reads"),
        );
    }
    if let Some(distribution) = &create.distribution {
        problems.push(
            Diagnostic::unsupported(distribution.span, "a materialized table is not distributed")
                .with_hint("leave it out: its rows lie in one partition of the node's own log"),
        );
    }
    if let Some(option) = create.options.first() {
        problems.push(
            Diagnostic::unsupported(option.key.span, "a materialized table has no options")
                .with_hint("leave WITH out: it lies in the node's own log, as JSON"),
        );
    }
    for column in &create.columns {
        if !matches!(column.kind, ColumnKind::Physical { .. }) {
            let message = format!("column '{}' is computed or metadata", column.name.value);
            problems
                .push(Diagnostic::unsupported(column.span, message).with_hint(
                    "select it in the query: the columns of a materialized table are the query's",
                ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The query with the columns that are declared, in their order and with their types; none where none are.
fn shaped(
    create: &CreateMaterializedTable,
    query: &Query,
    columns: &[Column],
) -> Result<Option<Query>, Vec<Diagnostic>> {
    let names: Vec<&Identifier> =
        create.columns.iter().map(|column| &column.name).chain(&create.column_names).collect();
    for column in create.partitioned_by.iter().chain(names.iter().copied()) {
        if columns.iter().all(|own| own.name != column.value) {
            let message = format!("the query has no column '{}'", column.value);
            let near = columns.iter().map(|column| column.name.as_str());
            return refuse(Diagnostic::unknown(column.span, message).with_nearest(&column.value, near));
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    if let Some(left) = columns.iter().find(|column| names.iter().all(|name| name.value != column.name)) {
        let message = format!("column '{}' of the query is not in the list of columns", left.name);
        return refuse(
            Diagnostic::invalid(create.name.span, message)
                .with_hint("list all columns of the query, or none"),
        );
    }
    let item = |name: &Identifier, column: Option<&ColumnDefinition>| {
        let quoted = quoted(&name.value);
        match column.map(|column| &column.kind) {
            Some(ColumnKind::Physical { data_type, .. }) => {
                format!("CAST({quoted} AS {data_type}) AS {quoted}")
            }
            _ => quoted.to_string(),
        }
    };
    let typed = create.columns.iter().map(|column| item(&column.name, Some(column)));
    let items: Vec<String> = typed.chain(create.column_names.iter().map(|name| item(name, None))).collect();
    let text = format!("SELECT {} FROM ({})", items.join(", "), query);
    parse_query(&SourceText::new("query", text)).map(Some).map_err(|problems| {
        let reason = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
        vec![Diagnostic::invalid(create.query.span, format!("the columns do not fit the query: {reason}"))]
    })
}

/// The columns of the PRIMARY KEY that is declared, in its order.
fn declared_key(
    create: &CreateMaterializedTable,
    columns: &[Column],
) -> Result<Option<Vec<usize>>, Vec<Diagnostic>> {
    let at_columns = create.columns.iter().filter_map(|column| match column.kind {
        ColumnKind::Physical { primary_key: Some(_), .. } => Some(&column.name),
        _ => None,
    });
    let mut names: Vec<&Identifier> = at_columns.collect();
    if let Some(key) = &create.primary_key {
        if !names.is_empty() {
            return refuse(Diagnostic::invalid(key.span, "there is more than one PRIMARY KEY"));
        }
        names = key.columns.iter().collect();
    }
    let mut key = Vec::new();
    for name in names {
        let Some(place) = columns.iter().position(|column| column.name == name.value) else {
            let message = format!("the query has no column '{}'", name.value);
            let near = columns.iter().map(|column| column.name.as_str());
            return refuse(Diagnostic::unknown(name.span, message).with_nearest(&name.value, near));
        };
        if key.contains(&place) {
            return refuse(Diagnostic::invalid(name.span, format!("column '{}' is named twice", name.value)));
        }
        key.push(place);
    }
    Ok((!key.is_empty()).then_some(key))
}
