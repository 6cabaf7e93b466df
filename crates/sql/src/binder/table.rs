//! Tables and views as the catalog keeps them: CREATE TABLE with its types bound and its expressions checked.

use super::problems::consequence;
use super::relation::Column;
use super::{BindSettings, Binder, Bound, Named, Relations, boxed, shown};
use crate::ast::{self, ColumnKind, CreateTable, OptionPair, TableElement};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute, TypeKind, castable};
use arrow_schema::Schema;
use base::ErrorKind;
use dataflow::connector::{Connector, ConnectorTable, Role};
use dataflow::table::{MetadataColumn, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A declared table.
#[derive(Clone)]
pub struct BoundTable {
    /// As in messages and in the catalog.
    pub name: String,
    /// In declared order.
    pub columns: Vec<TableColumn>,
    /// The row-time column and the watermark over the declared columns.
    pub watermark: Option<(usize, Scalar)>,
    pub definition: Arc<TableDefinition>,
    pub connector: Arc<dyn Connector>,
    /// A scan ends by itself.
    pub bounded: bool,
    pub comment: Option<String>,
}

impl std::fmt::Debug for BoundTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundTable").field("name", &self.name).field("columns", &self.columns).finish()
    }
}

#[derive(Debug, Clone)]
pub struct TableColumn {
    pub name: String,
    pub data_type: LogicalType,
    pub source: ColumnSource,
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
pub enum ColumnSource {
    /// The number in the table's schema.
    Physical(usize),
    /// The number among the table's metadata columns.
    Metadata(usize),
    /// Over the declared columns.
    Computed(Scalar),
}

/// A declared view.
#[derive(Debug, Clone)]
pub struct BoundView {
    pub name: String,
    pub columns: Vec<ast::Identifier>,
    pub query: ast::Query,
    pub comment: Option<String>,
    /// Where its name stood when it was created.
    pub span: Span,
    /// Its rows are kept.
    pub materialized: bool,
}

impl Named {
    /// The same table or view under another name.
    pub fn renamed(&self, name: &str) -> Named {
        match self {
            Named::Table(table) => {
                let mut table = table.as_ref().clone();
                table.name = name.into();
                table.definition =
                    Arc::new(TableDefinition { name: name.into(), ..table.definition.as_ref().clone() });
                Named::Table(Arc::new(table))
            }
            Named::View(view) => {
                Named::View(Arc::new(BoundView { name: name.into(), ..view.as_ref().clone() }))
            }
        }
    }
}

impl TableColumn {
    /// Whether INSERT INTO gives it a value.
    pub fn is_written(&self, table: &BoundTable) -> bool {
        match &self.source {
            ColumnSource::Physical(_) => true,
            ColumnSource::Metadata(index) => !table.definition.metadata[*index].is_virtual,
            ColumnSource::Computed(_) => false,
        }
    }
}

impl BoundTable {
    /// What the connector says of the table in that role; the messages point at `span`.
    pub fn check(&self, role: Role, span: Span) -> Bound<()> {
        let spec = self.connector.spec();
        let (able, verb) = match role {
            Role::Source => (spec.reads, "read"),
            Role::Sink => (spec.writes, "written"),
            Role::Lookup => (self.connector.looks_up(&self.definition), "looked up"),
        };
        if !able {
            return boxed(Diagnostic::invalid(
                span,
                format!(
                    "table '{}' cannot be {verb}: its connector '{}' does not do that",
                    self.name, spec.name
                ),
            ));
        }
        match self.connector.check(&self.definition, role) {
            Ok(()) => Ok(()),
            Err(errors) => {
                let text: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
                boxed(Diagnostic::invalid(
                    span,
                    format!("table '{}' cannot be {verb}: {}", self.name, text.join("; ")),
                ))
            }
        }
    }

    /// What is given with the table and changes nothing.
    pub fn warnings(&self, span: Span) -> impl Iterator<Item = Diagnostic> {
        let specs = self.connector.spec().options;
        self.definition.options.keys().filter_map(move |key| {
            let why = specs.iter().find(|spec| spec.matches(key))?.without_effect()?;
            let message = format!("table '{}': '{key}' is without effect: {why}", self.name);
            Some(Diagnostic::warning(DiagnosticKind::Unsupported, span, message))
        })
    }

    /// The same table with some options changed, as a hint does it.
    pub fn with_options(&self, pairs: &[OptionPair]) -> BoundTable {
        let mut definition = self.definition.as_ref().clone();
        for pair in pairs {
            definition.options.insert(pair.key.value.clone(), pair.value.value.clone());
        }
        let definition = Arc::new(definition);
        let bounded = self.connector.is_bounded(&definition);
        BoundTable { definition, bounded, ..self.clone() }
    }

    /// The columns as relations have them, in declared order.
    pub fn relation_columns(&self) -> Vec<Column> {
        let row_time = self.watermark.as_ref().map(|(column, _)| *column);
        self.columns
            .iter()
            .enumerate()
            .map(|(index, column)| Column {
                attribute: if row_time == Some(index) { TimeAttribute::RowTime } else { TimeAttribute::None },
                ..Column::new(&column.name, column.data_type.clone())
            })
            .collect()
    }
}

/// Binds CREATE TABLE; everything wrong with it at once.
pub fn bind_table(
    create: &CreateTable,
    name: &str,
    connectors: &ConnectorTable,
    relations: &dyn Relations,
    settings: BindSettings,
) -> Result<BoundTable, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut declared = Declared::default();
    for element in &create.elements {
        if let Err(problem) = declared.add(element) {
            problems.push(*problem);
            if let TableElement::Column(column) = element {
                declared.broken.insert(column.name.value.clone());
            }
        }
    }
    let options: BTreeMap<String, String> =
        create.options.iter().map(|pair| (pair.key.value.clone(), pair.value.value.clone())).collect();
    let connector = match find_connector(create, connectors) {
        Ok(connector) => Some(connector),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    };
    let mut binder = Binder::new(relations, settings);
    let columns = declared.bind_columns(&mut binder);
    let watermark = declared.bind_watermark(&columns, &mut binder);
    let watermark = match binder.settled(watermark) {
        Ok(watermark) => watermark,
        Err(found) => {
            problems.extend(found);
            None
        }
    };
    let primary_key = declared.primary_key.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
    for name in declared.primary_key.iter().copied().chain(&create.partitioned_by) {
        if !declared.broken.contains(&name.value) && !columns.iter().any(|column| column.name == name.value) {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            problems.push(
                Diagnostic::unknown(name.span, format!("column '{}' is not declared", name.value))
                    .with_nearest(&name.value, names),
            );
        }
    }
    // What follows is about the connector.
    let Some(connector) = connector else { return Err(problems) };
    let metadata_known = connector.metadata();
    for (metadata, span) in &declared.metadata {
        if !metadata_known.iter().any(|known| known.key == metadata.key) {
            let known: Vec<&str> = metadata_known.iter().map(|known| known.key).collect();
            let hint = if known.is_empty() {
                format!("the connector '{}' has none", connector.spec().name)
            } else {
                format!("the connector '{}' has: {}", connector.spec().name, known.join(", "))
            };
            problems.push(
                Diagnostic::unknown(*span, format!("unknown metadata key '{}'", metadata.key))
                    .with_hint(hint),
            );
        }
    }
    let definition = Arc::new(TableDefinition {
        name: name.to_string(),
        schema: Arc::new(Schema::new(declared.physical(&primary_key))),
        metadata: declared.metadata.iter().map(|(metadata, _)| metadata.clone()).collect(),
        primary_key,
        partition_keys: create.partitioned_by.iter().map(|name| name.value.clone()).collect(),
        options,
    });
    problems.extend(check_options(create, &definition, connector.as_ref()));
    if !problems.is_empty() {
        return Err(problems);
    }
    let bounded = connector.is_bounded(&definition);
    let columns = columns
        .into_iter()
        .map(|mut column| {
            // A primary key's columns are NOT NULL.
            if definition.primary_key.contains(&column.name) {
                column.data_type.nullable = false;
            }
            column
        })
        .collect();
    Ok(BoundTable {
        name: name.to_string(),
        columns,
        watermark,
        definition,
        connector,
        bounded,
        comment: create.comment.as_ref().map(|text| text.value.clone()),
    })
}

/// The names that a view's column list gives, checked against its query.
pub fn bind_view_columns(view: &BoundView, found: &[Column], span: Span) -> Bound<Vec<Column>> {
    if view.columns.is_empty() {
        return Ok(found.to_vec());
    }
    if view.columns.len() != found.len() {
        return boxed(Diagnostic::invalid(
            span,
            format!("the view names {} columns and its query has {}", view.columns.len(), found.len()),
        ));
    }
    Ok(found
        .iter()
        .zip(&view.columns)
        .map(|(column, name)| Column { name: name.value.clone(), ..column.clone() })
        .collect())
}

fn find_connector(create: &CreateTable, connectors: &ConnectorTable) -> Bound<Arc<dyn Connector>> {
    let Some(pair) = create.options.iter().find(|pair| pair.key.value == "connector") else {
        let near = create.options.iter().find(|pair| base::nearest(&pair.key.value, ["connector"]).is_some());
        let diagnostic = Diagnostic::invalid(
            near.map_or(create.name.span, |pair| pair.key.span),
            "option 'connector' is missing",
        );
        return boxed(match near {
            Some(pair) => diagnostic.with_hint(format!("did you mean 'connector' for '{}'?", pair.key.value)),
            None => diagnostic.with_hint("add WITH ('connector' = '…')"),
        });
    };
    if let Some(connector) = connectors.declarable(&pair.value.value) {
        return Ok(connector.clone());
    }
    let names: Vec<&str> = connectors.names().collect();
    let diagnostic =
        Diagnostic::unknown(pair.value.span, format!("unknown connector '{}'", pair.value.value));
    boxed(match base::nearest(&pair.value.value, names.iter().copied()) {
        Some(near) => diagnostic.with_hint(format!("did you mean '{near}'?")),
        None => diagnostic.with_hint(format!("the connectors are: {}", names.join(", "))),
    })
}

/// The connector's own check, in a role that it can have; each message points at its option.
fn check_options(
    create: &CreateTable,
    definition: &TableDefinition,
    connector: &dyn Connector,
) -> Vec<Diagnostic> {
    let spec = connector.spec();
    let mut first_errors = None;
    let looks_up = connector.looks_up(definition);
    let roles = [(looks_up, Role::Lookup), (spec.reads, Role::Source), (spec.writes, Role::Sink)];
    for (able, role) in roles {
        if !able {
            continue;
        }
        match connector.check(definition, role) {
            Ok(()) => return Vec::new(),
            Err(errors) => {
                first_errors.get_or_insert(errors);
            }
        }
    }
    first_errors
        .unwrap_or_default()
        .into_iter()
        .map(|error| {
            let pair = error
                .option
                .as_ref()
                .and_then(|key| create.options.iter().find(|pair| pair.key.value == *key));
            let span = pair.map_or(create.name.span, OptionPair::span);
            let make = match error.kind {
                ErrorKind::NotFound => Diagnostic::unknown,
                _ => Diagnostic::invalid,
            };
            make(span, error.message)
        })
        .collect()
}

/// What the elements of CREATE TABLE declare.
#[derive(Default)]
struct Declared<'a> {
    columns: Vec<DeclaredColumn<'a>>,
    metadata: Vec<(MetadataColumn, Span)>,
    watermark: Option<&'a ast::WatermarkDefinition>,
    primary_key: Vec<&'a ast::Identifier>,
    /// Columns whose declarations are wrong, by name.
    broken: BTreeSet<String>,
}

struct DeclaredColumn<'a> {
    name: &'a ast::Identifier,
    data_type: Option<LogicalType>,
    source: DeclaredSource<'a>,
    comment: Option<String>,
}

enum DeclaredSource<'a> {
    Physical,
    Metadata(usize),
    Computed(&'a ast::Expression),
}

impl<'a> Declared<'a> {
    fn add(&mut self, element: &'a TableElement) -> Bound<()> {
        match element {
            TableElement::Column(column) => self.add_column(column),
            TableElement::ColumnName(name) => boxed(Diagnostic::invalid(
                name.span,
                format!("column '{}' has no type; names alone are for CREATE TABLE … AS", name.value),
            )),
            TableElement::Watermark(watermark) => {
                if self.watermark.replace(watermark).is_some() {
                    return boxed(Diagnostic::invalid(watermark.span, "a table has one WATERMARK"));
                }
                Ok(())
            }
            TableElement::PrimaryKey(key) => self.add_key(key.columns.iter().collect(), key.span),
        }
    }

    fn add_key(&mut self, columns: Vec<&'a ast::Identifier>, span: Span) -> Bound<()> {
        if !self.primary_key.is_empty() {
            return boxed(Diagnostic::invalid(span, "a table has one PRIMARY KEY"));
        }
        self.primary_key = columns;
        Ok(())
    }

    fn add_column(&mut self, column: &'a ast::ColumnDefinition) -> Bound<()> {
        if self.columns.iter().any(|other| other.name.value == column.name.value) {
            return boxed(Diagnostic::invalid(
                column.name.span,
                format!("column '{}' is declared twice", column.name.value),
            ));
        }
        let (data_type, source) = match &column.kind {
            ColumnKind::Physical { data_type, primary_key } => {
                if let Some(span) = primary_key {
                    self.add_key(vec![&column.name], *span)?;
                }
                (Some(LogicalType::from_ast(data_type)?), DeclaredSource::Physical)
            }
            ColumnKind::Computed { expression } => (None, DeclaredSource::Computed(expression)),
            ColumnKind::Metadata { data_type, key, is_virtual } => {
                let data_type = LogicalType::from_ast(data_type)?;
                let metadata = MetadataColumn {
                    name: column.name.value.clone(),
                    key: key.as_ref().map_or_else(|| column.name.value.clone(), |key| key.value.clone()),
                    data_type: data_type.to_arrow(),
                    is_virtual: *is_virtual,
                };
                self.metadata.push((metadata, key.as_ref().map_or(column.name.span, |key| key.span)));
                (Some(data_type), DeclaredSource::Metadata(self.metadata.len() - 1))
            }
        };
        let comment = column.comment.as_ref().map(|comment| comment.value.clone());
        self.columns.push(DeclaredColumn { name: &column.name, data_type, source, comment });
        Ok(())
    }

    fn physical(&self, primary_key: &[String]) -> Vec<arrow_schema::FieldRef> {
        self.columns
            .iter()
            .filter(|column| matches!(column.source, DeclaredSource::Physical))
            .filter_map(|column| {
                let mut data_type = column.data_type.clone()?;
                data_type.nullable &= !primary_key.contains(&column.name.value);
                Some(data_type.to_field(&column.name.value))
            })
            .collect()
    }

    /// The columns that are right; what is wrong with the others is noted.
    fn bind_columns(&mut self, binder: &mut Binder<'_>) -> Vec<TableColumn> {
        // Computed columns see the physical and the metadata columns, not each other.
        let mut names = Vec::new();
        let mut numbers = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            if let Some(data_type) = &column.data_type {
                names.push(Column::new(&column.name.value, data_type.clone()));
                numbers.push(index);
            }
        }
        let mut physical = 0;
        let mut columns = Vec::new();
        for column in &self.columns {
            let (data_type, source) = match (&column.source, &column.data_type) {
                (DeclaredSource::Computed(expression), _) => {
                    match binder.over(expression, &names, !self.broken.is_empty()) {
                        Ok(mut scalar) => {
                            if scalar.data_type.kind == TypeKind::Null {
                                binder.note(Box::new(Diagnostic::mistyped(
                                    expression.span,
                                    format!(
                                        "the type of the computed column '{}' is not known; cast it",
                                        column.name.value
                                    ),
                                )));
                            }
                            scalar.remap(&|at| numbers[at]);
                            (scalar.data_type.clone(), ColumnSource::Computed(scalar))
                        }
                        Err(problem) => {
                            binder.note(problem);
                            self.broken.insert(column.name.value.clone());
                            continue;
                        }
                    }
                }
                (DeclaredSource::Physical, Some(data_type)) => {
                    physical += 1;
                    (data_type.clone(), ColumnSource::Physical(physical - 1))
                }
                (DeclaredSource::Metadata(index), Some(data_type)) => {
                    (data_type.clone(), ColumnSource::Metadata(*index))
                }
                (_, None) => continue,
            };
            columns.push(TableColumn {
                name: column.name.value.clone(),
                data_type,
                source,
                comment: column.comment.clone(),
            });
        }
        columns
    }

    fn bind_watermark(
        &self,
        columns: &[TableColumn],
        binder: &mut Binder<'_>,
    ) -> Bound<Option<(usize, Scalar)>> {
        let Some(watermark) = self.watermark else { return Ok(None) };
        let [name] = watermark.column.parts.as_slice() else {
            return boxed(
                Diagnostic::unsupported(
                    watermark.column.span,
                    "a WATERMARK on a nested field is not supported yet",
                )
                .with_hint("declare a computed column: ts AS row_column.field"),
            );
        };
        let Some(index) = columns.iter().position(|column| column.name == name.value) else {
            if self.broken.contains(&name.value) {
                return Err(consequence());
            }
            return boxed(
                Diagnostic::unknown(
                    name.span,
                    format!("the row-time column '{}' is not declared", name.value),
                )
                .with_nearest(&name.value, columns.iter().map(|column| column.name.as_str())),
            );
        };
        let fits = |data_type: &LogicalType| matches!(data_type.kind, TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) if p <= 3);
        if !fits(&columns[index].data_type) {
            return boxed(
                Diagnostic::mistyped(
                    name.span,
                    format!(
                        "invalid data type of time field for watermark definition: the field '{}' is {}",
                        name.value,
                        shown(&columns[index].data_type)
                    ),
                )
                .with_label("expected TIMESTAMP(p) or TIMESTAMP_LTZ(p), p from 0 to 3")
                .with_hint("declare the column as TIMESTAMP(3)"),
            );
        }
        let over: Vec<Column> =
            columns.iter().map(|column| Column::new(&column.name, column.data_type.clone())).collect();
        let scalar = binder.over(&watermark.expression, &over, !self.broken.is_empty())?;
        if !scalar.data_type.kind.is_timestamp() {
            return boxed(
                Diagnostic::mistyped(
                    watermark.expression.span,
                    format!("the watermark of '{}' is {}", name.value, shown(&scalar.data_type)),
                )
                .with_label("expected a timestamp")
                .with_hint(format!(
                    "subtract the delay: WATERMARK FOR {0} AS {0} - INTERVAL '5' SECOND",
                    name.value
                )),
            );
        }
        // The engine compares milliseconds.
        let target = match scalar.data_type.kind {
            TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3),
            _ => TypeKind::Timestamp(3),
        };
        debug_assert!(castable(&scalar.data_type, &target.clone().nullable()).is_ok());
        Ok(Some((index, super::operator::coerce(scalar, &target.nullable(), base::Zone::UTC))))
    }
}
