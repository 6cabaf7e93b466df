//! INSERT INTO: the query's columns by position, the implicit casts, and what a sink refuses.

use super::problems::consequence;
use super::relation::{RelationId, RelationKind};
use super::scope::NearestOrList;
use super::table::{BoundTable, BoundView, ColumnSource, TableColumn};
use super::{Binder, Bound, Named, boxed, literal, operator, shown};
use crate::ast::{self, Insert, Literal};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::span::Span;
use crate::types::implicitly_castable;
use base::Zone;
use dataflow::connector::Role;
use std::sync::Arc;

impl Binder<'_> {
    /// Binds one INSERT and adds its sink to the graph.
    pub fn insert(&mut self, insert: &Insert) -> Result<RelationId, Vec<Diagnostic>> {
        let bound = self.bind_insert(insert);
        self.settled(bound)
    }

    fn bind_insert(&mut self, insert: &Insert) -> Bound<RelationId> {
        if insert.overwrite {
            return boxed(
                Diagnostic::unsupported(
                    insert.span,
                    "INSERT OVERWRITE is for batch jobs and is not supported",
                )
                .with_hint("use INSERT INTO"),
            );
        }
        let table = match self.relations.find(&insert.table) {
            Some(Named::Table(table)) => table,
            Some(Named::View(view)) => {
                let name = insert.table.values().collect::<Vec<_>>().join(".");
                let what =
                    if view.materialized { "materialized table, which its own query fills" } else { "view" };
                return boxed(Diagnostic::invalid(
                    insert.table.span,
                    format!("'{name}' is a {what}; INSERT INTO takes a table"),
                ));
            }
            None => {
                let problem = self.unknown_relation(&insert.table);
                let query = self.query(&insert.query);
                return self.both(problem, query).map(|(relation, _)| relation);
            }
        };
        let table = self.with_hints(table, &insert.hints);
        let table = table.and_then(|table| {
            table.check(Role::Sink, insert.table.span)?;
            self.warn(&table, insert.table.span);
            Ok(table)
        });
        let query = self.query_in_sight(&insert.query, true);
        let names = match &table {
            Ok(table) if query.is_err() => self.target_places(insert, table).map(|_| ()),
            _ => Ok(()),
        };
        self.noted(names);
        let (table, query) = self.both(table, query)?;
        if self.broken.contains(&query) {
            return Err(consequence());
        }
        self.sink(query, table, insert)
    }

    /// A query whose rows are printed.
    pub fn select_into(
        &mut self,
        query: &ast::Query,
        table: Arc<BoundTable>,
    ) -> Result<RelationId, Vec<Diagnostic>> {
        let relation = self.query_in_sight(query, true);
        let relation = self.settled(relation)?;
        let columns = self.graph.columns(relation).to_vec();
        let kind = RelationKind::Sink { table, drops_nulls: false, on_conflict: None, span: query.span };
        let id = self.graph.add(kind, vec![relation], columns);
        self.graph.sinks.push(id);
        Ok(id)
    }

    /// A declared view whose rows go into a table of the same columns.
    pub fn view_into(
        &mut self,
        view: &Arc<BoundView>,
        table: Arc<BoundTable>,
    ) -> Result<RelationId, Vec<Diagnostic>> {
        let relation = self.named_view(view);
        let relation = self.settled(relation)?;
        let columns = self.graph.columns(relation).to_vec();
        let kind = RelationKind::Sink { table, drops_nulls: false, on_conflict: None, span: view.span };
        let id = self.graph.add(kind, vec![relation], columns);
        self.graph.sinks.push(id);
        Ok(id)
    }

    /// The relation of a query, for its schema.
    pub fn query_relation(&mut self, query: &ast::Query) -> Result<RelationId, Vec<Diagnostic>> {
        let relation = self.query(query);
        self.settled(relation)
    }

    /// Which of the columns that are written each name of the column list stands for.
    fn target_places(&mut self, insert: &Insert, table: &BoundTable) -> Bound<Vec<usize>> {
        let wanted: Vec<&TableColumn> =
            table.columns.iter().filter(|column| column.is_written(table)).collect();
        let mut places: Vec<Bound<usize>> = Vec::new();
        for name in &insert.columns {
            let place = place_of(&wanted, name, table);
            let is_new = !places.contains(&place);
            places.push(place.and_then(|place| if is_new { Ok(place) } else { boxed(named_twice(name)) }));
        }
        self.all(places)
    }

    fn sink(&mut self, query: RelationId, table: Arc<BoundTable>, insert: &Insert) -> Bound<RelationId> {
        let zone = self.settings.zone;
        let wanted: Vec<&TableColumn> =
            table.columns.iter().filter(|column| column.is_written(&table)).collect();
        // Which column of the query, or which fixed value, fills each column of the sink.
        let mut sources: Vec<Option<Source>> = vec![None; wanted.len()];
        for partition in &insert.partition {
            let Some(value) = &partition.value else { continue };
            let place = place_of(&wanted, &partition.column, &table)?;
            let keys = &table.definition.partition_keys;
            if !keys.contains(&partition.column.value) {
                let diagnostic = Diagnostic::invalid(
                    partition.column.span,
                    format!("the table is not partitioned by '{}'", partition.column.value),
                );
                return boxed(match keys.is_empty() {
                    true => diagnostic.with_hint("leave PARTITION out, and select the value"),
                    false => diagnostic.with_hint(format!("it is partitioned by {}", keys.join(", "))),
                });
            }
            let scalar = self.constant(value)?;
            sources[place] = Some(Source::Value(scalar, value.span));
        }
        let targets: Vec<usize> = if insert.columns.is_empty() {
            (0..wanted.len()).filter(|place| sources[*place].is_none()).collect()
        } else {
            let targets = self.target_places(insert, &table)?;
            let names = insert.columns.iter().zip(&targets);
            if let Some((name, _)) = names.into_iter().find(|(_, place)| sources[**place].is_some()) {
                return boxed(named_twice(name));
            }
            targets
        };
        let columns = self.graph.columns(query).to_vec();
        let schemas = || {
            let found: Vec<String> =
                columns.iter().map(|column| format!("{}: {}", column.name, column.data_type)).collect();
            let sink: Vec<String> = targets
                .iter()
                .map(|place| format!("{}: {}", wanted[*place].name, wanted[*place].data_type))
                .collect();
            format!("query schema: [{}]; sink schema: [{}]", found.join(", "), sink.join(", "))
        };
        let spans = item_spans(&insert.query);
        if columns.len() != targets.len() {
            return boxed(
                Diagnostic::mistyped(
                    insert.query.span,
                    format!(
                        "column types of query result and sink for '{}' do not match: different number of columns, {} and {}",
                        table.name,
                        columns.len(),
                        targets.len()
                    ),
                )
                .with_hint(schemas()),
            );
        }
        let mut mistyped = Vec::new();
        for (number, place) in targets.iter().enumerate() {
            let (from, to) = (&columns[number], wanted[*place]);
            if !implicitly_castable(&from.data_type, &to.data_type) {
                let span = spans.get(number).copied().filter(|_| spans.len() == columns.len());
                let problem = Box::new(
                    Diagnostic::mistyped(
                        span.unwrap_or(insert.query.span),
                        format!(
                            "column types of query result and sink for '{}' do not match: incompatible types for sink column '{}' at position {}",
                            table.name,
                            to.name,
                            number + 1
                        ),
                    )
                    .with_label(format!("this is {}, expected {}", shown(&from.data_type), shown(&to.data_type)))
                    .with_hint(format!("cast it: CAST(… AS {}); {}", shown(&to.data_type), schemas())),
                );
                mistyped.push(problem);
                continue;
            }
            sources[*place] = Some(Source::Column(number));
        }
        if !mistyped.is_empty() {
            mistyped.into_iter().for_each(|problem| self.note(problem));
            return Err(consequence());
        }
        let mut items = Vec::new();
        let mut required = Vec::new();
        for (place, column) in wanted.iter().enumerate() {
            let scalar = match sources[place].take() {
                Some(Source::Column(number)) => columns[number].scalar(number),
                Some(Source::Value(scalar, span)) => {
                    if !implicitly_castable(&scalar.data_type, &column.data_type) {
                        return boxed(Diagnostic::mistyped(
                            span,
                            format!("the partition column '{}' is {}", column.name, shown(&column.data_type)),
                        ));
                    }
                    scalar
                }
                None if column.data_type.nullable => Scalar::null(&column.data_type),
                None => {
                    return boxed(
                        Diagnostic::invalid(
                            insert.table.span,
                            format!(
                                "column '{}' of '{}' is NOT NULL and gets no value",
                                column.name, table.name
                            ),
                        )
                        .with_hint("name it in the column list of INSERT INTO and give it a value"),
                    );
                }
            };
            let mut scalar = operator::coerce(scalar, &column.data_type, zone);
            let nullable = scalar.data_type.nullable;
            if nullable && !column.data_type.nullable {
                required.push(items.len());
                if !self.settings.drops_nulls {
                    scalar = not_null(scalar, &column.name, insert.table.span)?;
                }
            }
            // Where NULLs are dropped, they are still there before the filter.
            let still_nullable = nullable && self.settings.drops_nulls;
            let data_type = column.data_type.with_nullable(column.data_type.nullable || still_nullable);
            items.push((column.name.clone(), Scalar { data_type, ..scalar }));
        }
        // Sinks take the physical columns first, then the metadata columns that they write.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|place| matches!(wanted[*place].source, ColumnSource::Metadata(_)));
        let items: Vec<(String, Scalar)> = order.iter().map(|place| items[*place].clone()).collect();
        let required: Vec<usize> = (0..order.len()).filter(|at| required.contains(&order[*at])).collect();
        let mut relation = self.graph.project(query, items);
        if self.settings.drops_nulls {
            for place in required {
                let column = self.graph.columns(relation)[place].clone();
                let operand = Box::new(column.as_nullable(place));
                let kind = ScalarKind::IsNull { operand, negated: true };
                let predicate = Scalar { kind, data_type: crate::types::TypeKind::Boolean.not_null() };
                relation = self.graph.filter(relation, predicate);
            }
        }
        let columns = self.graph.columns(relation).to_vec();
        let kind = RelationKind::Sink {
            table,
            drops_nulls: self.settings.drops_nulls,
            on_conflict: insert.on_conflict.clone(),
            span: insert.table.span,
        };
        let id = self.graph.add(kind, vec![relation], columns);
        self.graph.sinks.push(id);
        Ok(id)
    }
}

#[derive(Debug, Clone)]
enum Source {
    Column(usize),
    Value(Scalar, Span),
}

impl super::relation::Column {
    fn as_nullable(&self, index: usize) -> Scalar {
        Scalar::column(index, &self.name, self.data_type.as_nullable())
    }
}

/// Fails the job when a NULL would be written into a NOT NULL column, as Flink's enforcer does.
fn not_null(scalar: Scalar, column: &str, span: Span) -> Bound<Scalar> {
    let Some(function) = functions::find("$NOT_NULL") else {
        return boxed(Diagnostic::invalid(span, "the NOT NULL enforcer is not registered"));
    };
    let name = literal::bind(&Literal::String(column.to_string()), false, Zone::UTC, span)?;
    let data_type = scalar.data_type.with_nullable(false);
    Ok(Scalar {
        kind: ScalarKind::Call { function, arguments: vec![scalar, name], zone: Zone::UTC },
        data_type,
    })
}

fn named_twice(name: &ast::Identifier) -> Diagnostic {
    Diagnostic::invalid(name.span, format!("column '{}' is named twice", name.value))
}

fn place_of(wanted: &[&TableColumn], name: &ast::Identifier, table: &BoundTable) -> Bound<usize> {
    if let Some(place) = wanted.iter().position(|column| column.name == name.value) {
        return Ok(place);
    }
    if let Some(column) = table.columns.iter().find(|column| column.name == name.value) {
        let why = if matches!(column.source, ColumnSource::Computed(_)) { "computed" } else { "virtual" };
        return boxed(Diagnostic::invalid(
            name.span,
            format!("column '{}' is {why} and cannot be written", name.value),
        ));
    }
    let names: Vec<&str> = wanted.iter().map(|column| column.name.as_str()).collect();
    boxed(
        Diagnostic::unknown(
            name.span,
            format!("column '{}' not found in table '{}'", name.value, table.name),
        )
        .with_label("no such column")
        .with_nearest_or_list(&name.value, &names),
    )
}

/// Where the items of a plain SELECT stand.
fn item_spans(query: &ast::Query) -> Vec<Span> {
    match &query.body.kind {
        ast::QueryBodyKind::Select(select) => {
            let has_star =
                select.items.iter().any(|item| matches!(item.kind, ast::SelectItemKind::Star { .. }));
            if has_star { Vec::new() } else { select.items.iter().map(|item| item.span).collect() }
        }
        ast::QueryBodyKind::Values(rows) => match rows.as_slice() {
            [row] => row.values.iter().map(|value| value.span).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
